//! The listener.

use super::{Findings, Settings, identity_files};
use crate::{config::table, net::tls, server::Config};

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let identity = identity_files(settings, &table::TLS_CERT, &table::TLS_KEY, findings);
    let client_ca = settings.get(&table::TLS_CLIENT_CA);
    if client_ca.is_some() && !settings.given(&table::TLS_CERT) {
        findings.fault(
            &settings.place(&table::TLS_CLIENT_CA),
            "`tls.client_ca` needs `tls.cert` and `tls.key` beside it",
        );
    }
    let tls = identity.map(|identity| tls::ServerConfig {
        identity,
        client_ca,
    });
    Some(Config {
        listen: settings.get(&table::LISTEN)?,
        tls,
    })
}
