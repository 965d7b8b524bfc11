//! The listener.

use super::filler::Filler;
use crate::{config::table, net::tls, serve::Config};

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    if fill.get(&table::PROXY_ENABLED) == Some(true) {
        // Not a warning: what asks elastauth as a proxy would get an answer with a login in it.
        fill.fault(
            &table::PROXY_ENABLED,
            "`proxy.enabled` is not available yet: elastauth would answer requests with logins \
             instead of passing them on; set it to `false`, and let a gateway ask elastauth",
        );
    }
    let identity = fill.identity_files(&table::TLS_CERT, &table::TLS_KEY);
    let client_ca = fill.get(&table::TLS_CLIENT_CA);
    if client_ca.is_some() && !fill.given(&table::TLS_CERT) {
        fill.fault(
            &table::TLS_CLIENT_CA,
            "`tls.client_ca` needs `tls.cert` and `tls.key` as well",
        );
    }
    let tls = identity.map(|identity| tls::ServerConfig {
        identity,
        client_ca,
    });
    Some(Config {
        listen: fill.get(&table::LISTEN)?,
        tls,
    })
}
