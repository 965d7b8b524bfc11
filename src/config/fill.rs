//! From the values of the keys to each component's own `Config`: one file a component.
//!
//! A filler returns `None` where a value that it needs is missing or faulty. Every filler runs, so
//! that all faults are reported at once.

mod broker;
mod cluster;
mod clusters;
mod filler;
mod identity;
mod ledger;
mod matching;
mod oidc;
mod proxy;
mod roles;
mod server;
mod sign_in;
mod telemetry;
mod traces;
mod trust;
mod user_names;

use super::{
    choice::AuthProvider, effective, finding::Findings, settings::Settings, table, types::Config,
    value_type::SectionsOf,
};
use filler::Filler;

/// Fills everything in.
pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let fill = &mut Filler::new(settings, findings);
    let login_url = sign_in::fill(fill);
    let trust = trust::fill(fill);
    let listeners = server::fill(fill, trust.as_ref());
    let shutdown = server::shutdown(fill);
    let proxy = proxy::is_on(fill);
    // In proxy mode a client with a token needs no gateway.
    let takes_tokens = fill
        .settings
        .names(&table::AUTH_PROVIDER, AuthProvider::Oidc);
    if proxy == Some(false) || !takes_tokens {
        trust::check_somebody(fill);
        for own in fill.settings.sections(SectionsOf::Listeners) {
            trust::check_somebody(&mut fill.section(own));
        }
    }
    let identity = identity::fill(fill);
    let mut listeners = listeners;
    if let (Some(listeners), Some(identity)) = (&mut listeners, &identity) {
        let exposed = proxy::check_exposure(fill, &listeners.all, identity);
        listeners.unprotected.extend(exposed);
    }
    if let (Some(trust), Some(identity)) = (&trust, &identity) {
        trust::check_providers(fill, trust, identity);
        for own in fill.settings.sections(SectionsOf::Listeners) {
            let fill = &mut fill.section(own);
            let own = trust::own(fill);
            trust::check_providers(fill, &own, identity);
        }
    }
    let clusters = clusters::fill(fill);
    let log = telemetry::fill(fill);
    let audit = telemetry::audit(fill);
    let access_log = telemetry::access_log(fill, audit.as_ref());
    let traces = traces::fill(fill);
    let admin = telemetry::admin(fill);
    if let (Some(listeners), Some(Some(listen))) =
        (&listeners, admin.as_ref().map(|admin| admin.listen))
    {
        server::check_admin(fill, listen, &listeners.all);
    }
    let (listeners, clusters) = (listeners?, clusters?);
    Some(Config {
        listeners: listeners.all,
        shutdown: shutdown?,
        proxy: proxy?,
        login_url: login_url?,
        trust: trust?,
        identity: identity?,
        clusters: clusters.all,
        unmatched: clusters.unmatched,
        telemetry: log?,
        audit: audit?,
        access_log: access_log?,
        traces: traces?,
        admin: admin?,
        unprotected: listeners.unprotected,
        shown: effective::tree(settings),
    })
}
