//! Which peers are trusted.
//!
//! Nothing in an auth request shows whether the gateway has deleted the client's own identity
//! headers, and no gateway signs what it sends. So a connection is trusted: by its TCP peer
//! address, and where gateways share a network with others, by a key that the gateway sends.

use crate::secret::GatewayKey;
use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

/// The header in which a gateway sends its key. All gateways can overwrite a client's header.
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("x-elastauth-key");

/// Which peers are trusted.
#[derive(Debug, Clone)]
pub struct Config {
    /// Networks from which gateways connect.
    pub proxies: Vec<IpNet>,
    /// If not empty, a gateway must also send one of these.
    pub gateway_keys: Vec<KnownKey>,
}

/// A gateway's key, and what its holder may be asked about.
#[derive(Debug, Clone)]
pub struct KnownKey {
    /// The key.
    pub key: GatewayKey,
    /// For which providers' users.
    pub providers: AllowedProviders,
}

/// Of which identity providers a gateway may bring credentials: of all, or of these names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedProviders(Option<Arc<[Box<str>]>>);

impl AllowedProviders {
    /// Those of these names.
    #[must_use]
    pub fn named(names: impl IntoIterator<Item = String>) -> Self {
        Self(Some(names.into_iter().map(Into::into).collect()))
    }

    /// Whether the provider of this name is one of them.
    #[must_use]
    pub fn allow(&self, name: &str) -> bool {
        let names = self.0.as_deref();
        names.is_none_or(|names| names.iter().any(|known| **known == *name))
    }

    /// The names, where not all are allowed.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .flat_map(|names| names.iter().map(|name| &**name))
    }

    fn has_more_than(&self, before: &Self) -> bool {
        match (&self.0, &before.0) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(_), Some(_)) => self.names().any(|name| !before.allow(name)),
        }
    }
}

impl Config {
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
            keys.filter(|key| key.providers.0.is_none()).count()
        };
        // More keys than were removed are new gateways.
        let loses_a_binding = unbound(&gone) < gone.len() && unbound(&fresh) > unbound(&gone);
        same.iter()
            .any(|new| known(new).is_some_and(|old| has_more(new, old)))
            || fresh.iter().any(is_wider)
            || loses_a_binding
    }
}

/// Decides which peers are trusted.
#[derive(Debug)]
pub struct Trust(Config);

/// Proof that a peer is trusted: [`Trust::admit`] makes it for the peer of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPeer {
    ip: IpAddr,
    providers: AllowedProviders,
}

impl TrustedPeer {
    /// The operator of this machine, who plays a gateway (`elastauth explain`).
    pub(crate) fn operator() -> Self {
        Self {
            ip: Ipv4Addr::LOCALHOST.into(),
            providers: AllowedProviders::default(),
        }
    }

    /// Of which providers it may bring credentials.
    pub(crate) fn providers(&self) -> &AllowedProviders {
        &self.providers
    }

    #[cfg(test)]
    pub(crate) fn ip(&self) -> IpAddr {
        self.ip
    }
}

/// Why a peer is not trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It connects from outside `trusted_proxies`.
    #[error("the peer is not in `trusted_proxies`")]
    Peer,
    /// `gateway_keys` is set and the request shows no key.
    #[error("the request has no x-elastauth-key header and `gateway_keys` is set")]
    KeyMissing,
    /// The key is not one of `gateway_keys`.
    #[error("the key in x-elastauth-key is not one of `gateway_keys`")]
    KeyWrong,
    /// Two keys: one of them may be the client's.
    #[error(
        "the x-elastauth-key header occurs more than once; the gateway must replace the client's \
         own"
    )]
    KeyRepeated,
}

impl Trust {
    /// Takes the networks and keys. A network of IPv4 addresses in their IPv6 form means those IPv4
    /// addresses.
    #[must_use]
    pub fn new(mut config: Config) -> Self {
        config
            .proxies
            .iter_mut()
            .for_each(|network| *network = unmapped(*network));
        Self(config)
    }

    /// Whether a peer connects from a gateway's network. What the peer sends is trusted only after
    /// [`Self::admit`].
    #[must_use]
    pub fn knows(&self, peer: IpAddr) -> bool {
        // A listener on `::` reports IPv4 peers as `::ffff:a.b.c.d`.
        let peer = peer.to_canonical();
        self.0.proxies.iter().any(|network| network.contains(&peer))
    }

    /// Whether a gateway has to send a key, too.
    #[must_use]
    pub(crate) fn asks_for_key(&self) -> bool {
        !self.0.gateway_keys.is_empty()
    }

    /// Decides whether the headers of a request are trusted.
    ///
    /// # Errors
    /// Why not. The address is checked first, so that other peers cannot try keys.
    pub fn admit(&self, peer: IpAddr, headers: &HeaderMap) -> Result<TrustedPeer, Distrust> {
        if !self.knows(peer) {
            return Err(Distrust::Peer);
        }
        let mut providers = AllowedProviders::default();
        if !self.0.gateway_keys.is_empty() {
            let mut shown = headers.get_all(KEY_HEADER).iter();
            let key = shown.next().ok_or(Distrust::KeyMissing)?;
            if shown.next().is_some() {
                return Err(Distrust::KeyRepeated);
            }
            // Every key is compared: the time must not tell which of them, or how many, came close.
            let mut matching = None;
            for known in &self.0.gateway_keys {
                if known.key.matches(key.as_bytes()) {
                    matching = Some(known);
                }
            }
            let known = matching.ok_or(Distrust::KeyWrong)?;
            providers = known.providers.clone();
        }
        Ok(TrustedPeer {
            ip: peer.to_canonical(),
            providers,
        })
    }

    /// The operator, as a gateway with the key of these headers, if they have one.
    pub(crate) fn operator(&self, headers: &HeaderMap) -> TrustedPeer {
        let shown = headers.get(KEY_HEADER).map(http::HeaderValue::as_bytes);
        let mut keys = self.0.gateway_keys.iter();
        let known = shown.and_then(|shown| keys.find(|known| known.key.matches(shown)));
        let providers = known.map(|known| known.providers.clone());
        TrustedPeer {
            providers: providers.unwrap_or_default(),
            ..TrustedPeer::operator()
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const KEY: &str = "correct-horse-battery";
    const NEXT_KEY: &str = "staple-correct-horse";

    fn trust(proxies: &[&str], keys: &[&str]) -> Trust {
        Trust::new(Config {
            proxies: proxies.iter().map(|p| p.parse().unwrap()).collect(),
            gateway_keys: keys.iter().map(|key| known(key, None)).collect(),
        })
    }

    fn known(key: &str, providers: Option<&[&str]>) -> KnownKey {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let names: Option<Vec<String>> = providers.map(names);
        KnownKey {
            key: GatewayKey::parse(key).unwrap(),
            providers: names.map_or_else(AllowedProviders::default, AllowedProviders::named),
        }
    }

    #[test]
    fn a_bound_key_allows_its_providers_alone() {
        let mut config = trust(&["127.0.0.0/8"], &[KEY]).0;
        config
            .gateway_keys
            .push(known(NEXT_KEY, Some(&["partners"])));
        let trust = Trust::new(config);
        let peer = |key| trust.admit(ip("127.0.0.1"), &shown(&[key])).unwrap();
        for (key, staff, partners) in [(KEY, true, true), (NEXT_KEY, false, true)] {
            for peer in [peer(key), trust.operator(&shown(&[key]))] {
                let allowed = peer.providers();
                assert_eq!(
                    (allowed.allow("staff"), allowed.allow("partners")),
                    (staff, partners)
                );
            }
        }
        assert!(trust.operator(&HeaderMap::new()).providers().allow("staff"));
    }

    #[test]
    fn a_key_that_loses_its_providers_is_freed() {
        for (before, after, freed) in [
            (Some(&["a"][..]), None, true),
            (Some(&["a"]), Some(&["a", "b"][..]), true),
            (Some(&["a", "b"]), Some(&["b"]), false),
            (None, Some(&["a"]), false),
            (None, None, false),
        ] {
            let config = |providers| Config {
                proxies: Vec::new(),
                gateway_keys: vec![known(KEY, providers)],
            };
            assert_eq!(
                config(after).frees_a_key(&config(before)),
                freed,
                "{after:?}"
            );
        }
    }

    #[test]
    fn a_key_that_comes_instead_of_a_bound_one_is_bound_too() {
        type Key = (&'static str, Option<&'static [&'static str]>);
        const FREE: Key = (KEY, None);
        const BOUND: Key = (NEXT_KEY, Some(&["a"]));
        const OTHER: Key = ("another-key-of-theirs", None);
        const OTHERS: Key = ("and-one-more-of-them", None);
        let bound = |to: &'static [&'static str]| -> Key { (OTHER.0, Some(to)) };
        let changes: [(&[Key], &[Key], bool); 9] = [
            (&[FREE], &[OTHER], false),
            (&[BOUND], &[bound(&["a"])], false),
            (&[BOUND], &[OTHER], true),
            (&[BOUND], &[bound(&["b"])], true),
            (&[BOUND], &[BOUND, OTHER], true),
            (&[FREE, BOUND], &[FREE, OTHER], true),
            (&[FREE], &[FREE, OTHER], false),
            (&[FREE, BOUND], &[OTHER, OTHERS], true),
            (&[], &[FREE], false),
        ];
        for (before, after, freed) in changes {
            let config = |keys: &[Key]| Config {
                proxies: Vec::new(),
                gateway_keys: keys.iter().map(|(key, of)| known(key, *of)).collect(),
            };
            let is_freed = config(after).frees_a_key(&config(before));
            assert_eq!(is_freed, freed, "{before:?} {after:?}");
        }
    }

    fn shown(keys: &[&'static str]) -> HeaderMap {
        keys.iter()
            .map(|key| (KEY_HEADER, HeaderValue::from_static(key)))
            .fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_more_address_is_more() {
        for (before, after, more) in [
            (
                &["10.0.0.0/8"][..],
                &["10.1.0.0/16", "10.2.3.4/32"][..],
                false,
            ),
            (&["10.0.0.0/8"], &["10.0.0.0/7"], true),
            (&["10.0.0.0/9", "10.128.0.0/9"], &["10.0.0.0/8"], false),
            (&["10.0.0.0/8"], &["10.0.0.0/8", "::1/128"], true),
            (&["10.0.0.0/8"], &["::ffff:10.1.0.0/112"], false),
            (&["::/0"], &["::ffff:10.1.0.0/112"], true),
        ] {
            let config = |networks: &[&str]| trust(networks, &[]).0;
            let (before, after) = (config(before), config(after));
            assert_eq!(after.trusts_more_addresses(&before), more, "{after:?}");
        }
    }

    #[test]
    fn a_peer_is_trusted_by_its_address() {
        let trust = trust(&["10.1.0.0/16", "fd00::/8"], &[]);
        for (peer, trusted) in [
            ("10.1.2.3", true),
            ("10.2.2.3", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(
                trust.admit(ip(peer), &HeaderMap::new()).is_ok(),
                trusted,
                "{peer}"
            );
        }
    }

    #[test]
    fn an_ipv4_peer_of_an_ipv6_listener_is_an_ipv4_peer() {
        let by_v4 = trust(&["10.0.0.0/8"], &[]);
        assert_eq!(
            by_v4
                .admit(ip("::ffff:10.1.2.3"), &HeaderMap::new())
                .map(|peer| peer.ip()),
            Ok(ip("10.1.2.3"))
        );
        let by_mapped = trust(&["::ffff:10.0.0.0/104"], &[]);
        assert!(
            by_mapped.knows(ip("10.1.2.3"))
                && by_mapped.knows(ip("::ffff:10.1.2.3"))
                && !by_mapped.knows(ip("11.1.2.3"))
        );
    }

    #[test]
    fn a_network_of_all_ipv6_addresses_does_not_let_ipv4_in() {
        assert_eq!(
            trust(&["::/0"], &[]).admit(ip("::ffff:10.1.2.3"), &HeaderMap::new()),
            Err(Distrust::Peer)
        );
    }

    #[test]
    fn with_no_networks_no_peer_is_trusted() {
        assert_eq!(
            trust(&[], &[]).admit(ip("127.0.0.1"), &HeaderMap::new()),
            Err(Distrust::Peer)
        );
    }

    #[test]
    fn where_keys_are_set_exactly_one_must_be_sent() {
        let trust = trust(&["127.0.0.0/8"], &[KEY, NEXT_KEY]);
        let admit = |keys: &[&'static str]| trust.admit(ip("127.0.0.1"), &shown(keys)).map(|_| ());
        assert_eq!(admit(&[KEY]), Ok(()));
        assert_eq!(admit(&[NEXT_KEY]), Ok(()));
        assert_eq!(admit(&[]), Err(Distrust::KeyMissing));
        assert_eq!(admit(&[""]), Err(Distrust::KeyWrong));
        assert_eq!(admit(&["correct-horse-batter"]), Err(Distrust::KeyWrong));
        assert_eq!(admit(&[KEY, KEY]), Err(Distrust::KeyRepeated));
    }

    #[test]
    fn a_key_does_not_help_a_peer_outside_the_networks() {
        let trust = trust(&["10.0.0.0/8"], &[KEY]);
        assert_eq!(
            trust.admit(ip("127.0.0.1"), &shown(&[KEY])),
            Err(Distrust::Peer)
        );
    }
}
