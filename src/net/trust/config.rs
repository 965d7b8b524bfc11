//! What makes a peer trusted, and whether another configuration trusts more.

use super::providers::AllowedProviders;
use crate::{net::tls::CertificateName, secret::GatewayKey};
use ipnet::{IpNet, Ipv4Net};

/// Which peers are trusted.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Networks from which gateways connect.
    pub proxies: Vec<IpNet>,
    /// If not empty, a gateway must also send one of these.
    pub gateway_keys: Vec<KnownKey>,
    /// If not empty, a gateway's client certificate must have one of these names. Only a listener
    /// that asks for certificates may have any.
    pub client_names: Vec<KnownName>,
}

/// A gateway's key, and what its holder may be asked about.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The key.
    pub key: GatewayKey,
    /// For which providers' users.
    pub providers: AllowedProviders,
}

/// A name of gateways' certificates, and what its holder may be asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownName {
    /// The name.
    pub name: CertificateName,
    /// For which providers' users.
    pub providers: AllowedProviders,
}

impl Config {
    /// The same, with each network in the form in which peers are compared.
    pub(super) fn unmapped(mut self) -> Self {
        let networks = self.proxies.iter_mut();
        networks.for_each(|network| *network = unmapped(*network));
        self
    }

    /// Whether a certificate is accepted that was not before, or is good for more providers.
    pub(crate) fn accepts_more_names(&self, before: &Self) -> bool {
        if before.client_names.is_empty() {
            return false;
        }
        let is_wider = |new: &KnownName| {
            let mut before = before.client_names.iter();
            let old = before.find(|old| old.name == new.name);
            old.is_none_or(|old| new.providers.has_more_than(&old.providers))
        };
        self.client_names.is_empty() || self.client_names.iter().any(is_wider)
    }

    /// Whether an address is trusted that was not before.
    pub(crate) fn trusts_more_addresses(&self, before: &Self) -> bool {
        let networks = |config: &Self| {
            let networks = config.proxies.iter().map(|network| unmapped(*network));
            // Neighbours become one network, so that what they cover together is covered by one.
            IpNet::aggregate(&networks.collect())
        };
        let before = networks(before);
        let covered = |network: &IpNet| before.iter().any(|known| known.contains(network));
        !networks(self).iter().all(covered)
    }

    /// Whether a key is good for more providers than before: a key that was bound, one that comes
    /// instead of a bound one, or a new one where all keys were bound.
    pub(crate) fn frees_a_key(&self, before: &Self) -> bool {
        let known = |new: &KnownKey| {
            let mut before = before.gateway_keys.iter();
            before.find(|old| old.key.is(&new.key))
        };
        let has_more = |new: &KnownKey, old: &KnownKey| new.providers.has_more_than(&old.providers);
        let (same, fresh): (Vec<&KnownKey>, Vec<_>) = self
            .gateway_keys
            .iter()
            .partition(|new| known(new).is_some());
        let is_gone = |old: &&KnownKey| !same.iter().any(|new| old.key.is(&new.key));
        let gone: Vec<&KnownKey> = before.gateway_keys.iter().filter(is_gone).collect();
        let models = if gone.is_empty() {
            before.gateway_keys.iter().collect()
        } else {
            gone.clone()
        };
        let is_wider =
            |new: &&KnownKey| !models.is_empty() && models.iter().all(|old| has_more(new, old));
        let unbound = |keys: &[&KnownKey]| {
            let keys = keys.iter();
            keys.filter(|key| key.providers.are_all()).count()
        };
        // More keys than were removed are new gateways.
        let loses_a_binding = unbound(&gone) < gone.len() && unbound(&fresh) > unbound(&gone);
        same.iter()
            .any(|new| known(new).is_some_and(|old| has_more(new, old)))
            || fresh.iter().any(is_wider)
            || loses_a_binding
    }
}

/// `::ffff:10.0.0.0/104` is another form of `10.0.0.0/8`; peers are compared in their IPv4 form.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else {
        return network;
    };
    v6.addr()
        .to_ipv4_mapped()
        .zip(v6.prefix_len().checked_sub(96))
        .and_then(|(address, length)| Ipv4Net::new(address, length).ok())
        .map_or(network, IpNet::V4)
}
