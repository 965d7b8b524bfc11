//! Which peers are believed.

use super::{Findings, Settings};
use crate::{config::table, net::trust::Config};
use std::net::SocketAddr;

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let proxies: Option<Vec<ipnet::IpNet>> = settings.get(&table::TRUSTED_PROXIES);
    let keys = settings.given(&table::GATEWAY_KEYS);
    let place = settings.place(&table::TRUSTED_PROXIES);
    if proxies.as_ref().is_some_and(Vec::is_empty) {
        findings.fault(
            &place,
            "`trusted_proxies` is an empty list: nobody could ask; name the gateways' addresses",
        );
    }
    if proxies
        .iter()
        .flatten()
        .any(|network| network.prefix_len() == 0)
        && !keys
    {
        findings.warn(
            &place,
            "`trusted_proxies` believes every address there is, and no `gateway_keys` are set: whoever reaches the port can be anybody",
        );
    }
    let inward = settings
        .get::<SocketAddr>(&table::LISTEN)
        .is_some_and(|listen| listen.ip().is_loopback());
    if !settings.given(&table::TRUSTED_PROXIES) && !keys && !inward {
        findings.warn(
            &place,
            "`trusted_proxies` is not set: identity headers are believed from every private network; name the gateways' addresses, or set `gateway_keys`",
        );
    }
    let gateway_keys = if keys {
        settings.get(&table::GATEWAY_KEYS)?
    } else {
        Vec::new()
    };
    if keys && gateway_keys.is_empty() {
        findings.fault(
            &settings.place(&table::GATEWAY_KEYS),
            "`gateway_keys` is an empty list; leave it out, or name a key",
        );
    }
    Some(Config {
        proxies: proxies?,
        gateway_keys,
    })
}
