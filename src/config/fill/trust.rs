//! Which peers are trusted.

use super::filler::Filler;
use crate::{
    config::{key::ConfigKey, nearest::did_you_mean, table, value::FromValue},
    identity::{self, Provider, ProviderConfig},
    net::trust::{AllowedProviders, Config, KnownKey, KnownName},
};
use ipnet::IpNet;

/// Whether somebody could ask, by the general keys or those of one listener.
pub(super) fn check_somebody(fill: &mut Filler<'_>) {
    let key = &table::TRUSTED_PROXIES;
    let proxies: Option<Vec<IpNet>> = fill.get(key);
    if proxies.is_some_and(|proxies| proxies.is_empty()) {
        fill.fault(
            key,
            "`trusted_proxies` is an empty list, so nobody could ask; name the addresses of the \
             gateways, or let clients bring tokens in proxy mode",
        );
    }
}

/// The general keys, or those of one listener.
pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let key = &table::TRUSTED_PROXIES;
    let proxies: Option<Vec<IpNet>> = fill.get(key);
    let has_keys = fill.given(&table::GATEWAY_KEYS);
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
    let gateway_keys = list::<KnownKey>(fill, &table::GATEWAY_KEYS, "a key");
    let client_names = list::<KnownName>(fill, &table::TLS_CLIENT_NAMES, "a name");
    Some(Config {
        proxies: proxies?,
        gateway_keys: gateway_keys?,
        client_names: client_names?,
    })
}

/// The keys and names of a listener's own section; the general ones are checked for themselves.
pub(super) fn own(fill: &Filler<'_>) -> Config {
    let proxies = Vec::new();
    Config {
        proxies,
        gateway_keys: fill.get(&table::GATEWAY_KEYS).unwrap_or_default(),
        client_names: fill.get(&table::TLS_CLIENT_NAMES).unwrap_or_default(),
    }
}

/// A list that may be missing and not empty: empty, it would ask for nothing.
fn list<T>(fill: &mut Filler<'_>, key: &ConfigKey, item: &str) -> Option<Vec<T>>
where
    Vec<T>: FromValue,
{
    if !fill.given(key) {
        return Some(Vec::new());
    }
    let items: Vec<T> = fill.get(key)?;
    if items.is_empty() {
        let fault = format!(
            "`{}` is an empty list; leave it out, or name {item}",
            key.path
        );
        fill.fault(key, fault);
    }
    Some(items)
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

/// The providers that keys and names are bound to have to exist: a name that is misspelt would turn
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
    let mut check = |key: &ConfigKey, providers: &AllowedProviders| {
        for name in providers.names().filter(|name| !names.contains(name)) {
            let hint = did_you_mean(name, names.iter().copied(), "");
            let fault = format!(
                "`{}` binds an entry to the provider `{}`, which is not configured; there are \
                 `{}`{hint}",
                key.path,
                name.escape_debug(),
                names.join("`, `")
            );
            fill.fault(key, fault);
        }
    };
    for known in &trust.gateway_keys {
        check(&table::GATEWAY_KEYS, &known.providers);
    }
    for known in &trust.client_names {
        check(&table::TLS_CLIENT_NAMES, &known.providers);
    }
    for (at, known) in trust.gateway_keys.iter().enumerate() {
        let mut earlier = trust.gateway_keys.iter().take(at);
        let same = earlier.find(|other| other.key.is(&known.key));
        if same.is_some_and(|same| same.providers != known.providers) {
            fill.fault(
                &table::GATEWAY_KEYS,
                "`gateway_keys` has the same key twice, for different providers",
            );
        }
    }
    for (at, known) in trust.client_names.iter().enumerate() {
        let mut earlier = trust.client_names.iter().take(at);
        if earlier.any(|other| other.name == known.name) {
            let fault = format!("`tls.client_names` has `{}` twice", known.name);
            fill.fault(&table::TLS_CLIENT_NAMES, fault);
        }
    }
}
