//! Which peers are trusted.

use super::filler::Filler;
use crate::{
    config::{nearest::did_you_mean, table},
    identity::{self, Provider, ProviderConfig},
    net::trust::{Config, KnownKey},
};
use ipnet::IpNet;
use std::net::SocketAddr;

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let key = &table::TRUSTED_PROXIES;
    let proxies: Option<Vec<IpNet>> = fill.get(key);
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
    let mut networks = proxies.iter().flatten();
    if let Some(network) = networks.find(|network| is_for_documentation(network)) {
        let warning = format!(
            "`trusted_proxies` has {network}, an address of documentation from which nobody \
             connects; write the address of your gateway"
        );
        fill.warn(key, warning);
    }
    let gateway_keys: Vec<KnownKey> = if has_keys {
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

/// The listeners where any neighbour in a private network may name themselves anybody, each with a
/// warning. Configurations of elastauth 2 are like this, so it is no fault.
pub(super) fn unprotected(fill: &mut Filler<'_>) -> Vec<String> {
    let barriers = [
        &table::TRUSTED_PROXIES,
        &table::GATEWAY_KEYS,
        &table::TLS_CLIENT_CA,
    ];
    let listen = fill.get::<SocketAddr>(&table::LISTEN);
    let Some(listen) = listen.filter(|listen| !listen.ip().is_loopback()) else {
        return Vec::new();
    };
    if barriers.iter().any(|key| fill.given(key)) {
        return Vec::new();
    }
    fill.warn(
        &table::LISTEN,
        "nothing shows elastauth which peers are gateways: every host in a private network that \
         reaches this listener may name themselves any user; add `trusted_proxies: \
         [<address of the gateway>]`, `gateway_keys` or `tls.client_ca`",
    );
    vec![listen.to_string()]
}

/// The networks of RFC 5737 and RFC 3849, which guides use.
fn is_for_documentation(network: &IpNet) -> bool {
    let v4 = [[192, 0, 2, 0], [198, 51, 100, 0], [203, 0, 113, 0]];
    let mut v4 = v4
        .into_iter()
        .filter_map(|net| IpNet::new(net.into(), 24).ok());
    let v6 = IpNet::new([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0].into(), 32);
    v4.any(|known| known.contains(network)) || v6.is_ok_and(|known| known.contains(network))
}

/// The providers that gateway keys are bound to have to exist: a name that is misspelt would turn
/// everybody away.
pub(super) fn check_providers(fill: &mut Filler<'_>, trust: &Config, identity: &identity::Config) {
    let names: Vec<&str> = identity
        .providers
        .iter()
        .flat_map(|provider| match provider {
            ProviderConfig::Headers(_) => vec![Provider::HEADERS],
            ProviderConfig::Oidc(oidc) => oidc
                .providers
                .iter()
                .map(|provider| &*provider.name)
                .collect(),
        })
        .collect();
    for (at, known) in trust.gateway_keys.iter().enumerate() {
        for name in known.providers.names().filter(|name| !names.contains(name)) {
            let hint = did_you_mean(name, names.iter().copied(), "");
            let fault = format!(
                "`gateway_keys` binds a key to the provider `{}`, which is not configured; there \
                 are `{}`{hint}",
                name.escape_debug(),
                names.join("`, `")
            );
            fill.fault(&table::GATEWAY_KEYS, fault);
        }
        let mut earlier = trust.gateway_keys.iter().take(at);
        let same = earlier.find(|other| other.key.is(&known.key));
        if same.is_some_and(|same| same.providers != known.providers) {
            fill.fault(
                &table::GATEWAY_KEYS,
                "`gateway_keys` has the same key twice, for different providers",
            );
        }
    }
}
