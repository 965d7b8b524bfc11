//! From the values of the keys to each component's own `Config`: one file a component.
//!
//! A filler gives nothing where a value that it needs is missing or faulty. Every filler runs, so
//! that all faults are told at once.

mod broker;
mod cluster;
mod identity;
mod ledger;
mod oidc;
mod roles;
mod server;
mod telemetry;
mod traces;
mod trust;

use super::{
    Config,
    finding::{Findings, Place},
    key::Key,
    settings::Settings,
};
use crate::net::{
    client::{NoProxy, Proxy},
    tls::IdentityFiles,
};

/// Fills everything in.
pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let server = server::fill(settings, findings);
    let trust = trust::fill(settings, findings);
    let identity = identity::fill(settings, findings);
    let roles = roles::fill(settings, findings);
    let broker = broker::fill(settings, findings);
    let cluster = cluster::fill(settings, findings);
    let log = telemetry::fill(settings, findings);
    let audit = telemetry::audit(settings, findings);
    let traces = traces::fill(settings, findings);
    let admin = telemetry::admin(settings, findings);
    Some(Config {
        server: server?,
        trust: trust?,
        identity: identity?,
        roles: roles?,
        broker: broker?,
        cluster: cluster?,
        telemetry: log?,
        audit: audit?,
        traces: traces?,
        admin: admin?,
        shown: super::effective::tree(settings),
    })
}

/// The machine's way out to others over https; nothing where there is none.
///
/// # Errors
/// When it cannot be used; the fault was told.
fn outbound_proxy(settings: &Settings, findings: &mut Findings) -> OutboundProxy {
    let (outbound_proxy, except) = settings.proxy();
    outbound_proxy
        .map(|text| Proxy::parse(text, NoProxy::parse(except)))
        .transpose()
        .map_err(|why| {
            findings.fault(
                &Place::Variable("HTTPS_PROXY".to_owned()),
                format!("`HTTPS_PROXY`: {why}"),
            );
            Reported
        })
}

/// The proxy, where the machine has one.
type OutboundProxy = Result<Option<Proxy>, Reported>;

/// A fault that was told already.
#[derive(Clone, Copy)]
struct Reported;

/// A certificate and its key: both, or neither.
fn identity_files(
    settings: &Settings,
    cert: &Key,
    key: &Key,
    findings: &mut Findings,
) -> Option<IdentityFiles> {
    for (one, other) in [(cert, key), (key, cert)] {
        if settings.given(one) && !settings.given(other) {
            findings.fault(
                &settings.place(one),
                format!("`{}` needs `{}` beside it", one.path, other.path),
            );
        }
    }
    Some(IdentityFiles {
        cert: settings.get(cert)?,
        key: settings.get(key)?,
    })
}
