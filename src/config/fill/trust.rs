//! Which peers are trusted.

use super::filler::Filler;
use crate::{config::table, net::trust::Config};
use std::net::SocketAddr;

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let key = &table::TRUSTED_PROXIES;
    let proxies: Option<Vec<ipnet::IpNet>> = fill.get(key);
    let has_keys = fill.given(&table::GATEWAY_KEYS);
    if proxies.as_ref().is_some_and(Vec::is_empty) {
        fill.fault(
            key,
            "`trusted_proxies` is an empty list, so nobody could ask; name the addresses of the \
             gateways",
        );
    }
    let mut networks = proxies.iter().flatten();
    if networks.any(|network| network.prefix_len() == 0) && !has_keys {
        fill.warn(
            key,
            "`trusted_proxies` trusts every address, and `gateway_keys` is not set: anyone who \
             reaches the port can be any user",
        );
    }
    let listen = fill.get::<SocketAddr>(&table::LISTEN);
    let is_local = listen.is_some_and(|listen| listen.ip().is_loopback());
    if !fill.given(key) && !has_keys && !is_local {
        fill.warn(
            key,
            "`trusted_proxies` is not set: identity headers are trusted from every private \
             network; name the addresses of the gateways, or set `gateway_keys`",
        );
    }
    let gateway_keys = if has_keys {
        fill.get(&table::GATEWAY_KEYS)?
    } else {
        Vec::new()
    };
    if has_keys && gateway_keys.is_empty() {
        fill.fault(
            &table::GATEWAY_KEYS,
            "`gateway_keys` is an empty list; leave it out, or name a key",
        );
    }
    Some(Config {
        proxies: proxies?,
        gateway_keys,
    })
}
