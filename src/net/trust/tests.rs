//! Who is admitted, and which changes admit more.

use super::*;
use crate::{net::tls::CertificateName, secret::GatewayKey};
use http::HeaderValue;

const KEY: &str = "correct-horse-battery";
const NEXT_KEY: &str = "staple-correct-horse";

fn trust(proxies: &[&str], keys: &[&str]) -> Trust {
    Trust::new(Config {
        proxies: proxies.iter().map(|p| p.parse().unwrap()).collect(),
        gateway_keys: keys.iter().map(|key| known(key, None)).collect(),
        client_names: Vec::new(),
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
    let peer = |key| trust.admit(ip("127.0.0.1"), None, &shown(&[key])).unwrap();
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
            client_names: Vec::new(),
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
            client_names: Vec::new(),
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

fn ip(text: &str) -> Peer {
    text.parse::<IpAddr>().unwrap().into()
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
            trust.admit(ip(peer), None, &HeaderMap::new()).is_ok(),
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
            .admit(ip("::ffff:10.1.2.3"), None, &HeaderMap::new())
            .map(|peer| peer.peer()),
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
        trust(&["::/0"], &[]).admit(ip("::ffff:10.1.2.3"), None, &HeaderMap::new()),
        Err(Distrust::Peer)
    );
}

#[test]
fn with_no_networks_no_peer_is_trusted() {
    assert_eq!(
        trust(&[], &[]).admit(ip("127.0.0.1"), None, &HeaderMap::new()),
        Err(Distrust::Peer)
    );
}

#[test]
fn where_keys_are_set_exactly_one_must_be_sent() {
    let trust = trust(&["127.0.0.0/8"], &[KEY, NEXT_KEY]);
    let admit =
        |keys: &[&'static str]| trust.admit(ip("127.0.0.1"), None, &shown(keys)).map(|_| ());
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
        trust.admit(ip("127.0.0.1"), None, &shown(&[KEY])),
        Err(Distrust::Peer)
    );
}

fn named(names: &[(&str, Option<&[&str]>)]) -> Trust {
    let known_name = |(name, providers): &(&str, Option<&[&str]>)| {
        let providers = providers.map(|names| names.iter().map(|name| (*name).to_owned()));
        KnownName {
            name: CertificateName::parse(name).unwrap(),
            providers: providers.map_or_else(AllowedProviders::default, AllowedProviders::named),
        }
    };
    Trust::new(Config {
        client_names: names.iter().map(known_name).collect(),
        ..trust(&["127.0.0.0/8"], &[]).0
    })
}

fn certificate(names: &[&str]) -> CertificateNames {
    let names = names
        .iter()
        .map(|name| CertificateName::parse(name).unwrap());
    names.collect()
}

#[test]
fn a_certificate_is_admitted_by_one_of_its_names() {
    let trust = named(&[
        ("traefik.test", None),
        ("spiffe://test/gateway", Some(&["staff"])),
    ]);
    let admit = |names: Option<&[&str]>| {
        let names = names.map(certificate);
        trust.admit(ip("127.0.0.1"), names.as_ref(), &HeaderMap::new())
    };
    assert!(admit(Some(&["other.test", "traefik.test"])).is_ok());
    let bound = admit(Some(&["spiffe://test/gateway"])).unwrap();
    assert!(bound.providers().allow("staff") && !bound.providers().allow("partners"));
    assert_eq!(
        admit(Some(&["a.test", "b.test"])),
        Err(Distrust::CertificateName("a.test, b.test".to_owned()))
    );
    let without = Err(Distrust::CertificateName("no name".to_owned()));
    assert_eq!((admit(Some(&[])), admit(None)), (without.clone(), without));
    // The address comes first: others learn nothing of the names.
    let names = certificate(&["traefik.test"]);
    let elsewhere = trust.admit(ip("10.0.0.1"), Some(&names), &HeaderMap::new());
    assert_eq!(elsewhere, Err(Distrust::Peer));
}

#[test]
fn a_key_and_a_name_allow_the_providers_of_both() {
    let mut config = named(&[("traefik.test", Some(&["staff", "partners"]))]).0;
    config.gateway_keys = vec![known(KEY, Some(&["partners", "guests"]))];
    let (trust, names) = (Trust::new(config), certificate(&["traefik.test"]));
    let peer = trust
        .admit(ip("127.0.0.1"), Some(&names), &shown(&[KEY]))
        .unwrap();
    let allowed: Vec<&str> = peer.providers().names().collect();
    assert_eq!(allowed, ["partners"]);
    let without_key = trust.admit(ip("127.0.0.1"), Some(&names), &HeaderMap::new());
    assert_eq!(without_key, Err(Distrust::KeyMissing));
}

#[test]
fn a_peer_of_a_unix_socket_needs_no_address_but_the_key_if_there_is_one() {
    let admit =
        |keys: &[&str], headers: &HeaderMap| trust(&[], keys).admit(Peer::Unix, None, headers);
    assert!(admit(&[], &HeaderMap::new()).is_ok());
    assert_eq!(admit(&[KEY], &HeaderMap::new()), Err(Distrust::KeyMissing));
    assert!(admit(&[KEY], &shown(&[KEY])).is_ok());
}

#[test]
fn one_more_name_is_more_and_names_where_all_were_accepted_are_less() {
    type Names = &'static [(&'static str, Option<&'static [&'static str]>)];
    let changes: [(Names, Names, bool); 7] = [
        (&[], &[("a", None)], false),
        (&[("a", None)], &[], true),
        (&[("a", None)], &[("a", None), ("b", None)], true),
        (&[("a", None), ("b", None)], &[("b", None)], false),
        (&[("a", None)], &[("a", Some(&["x"]))], false),
        (&[("a", Some(&["x"]))], &[("a", None)], true),
        (&[("a", Some(&["x"]))], &[("a", Some(&["y"]))], true),
    ];
    for (before, after, more) in changes {
        let (before, after) = (named(before).0, named(after).0);
        assert_eq!(
            after.accepts_more_names(&before),
            more,
            "{before:?} {after:?}"
        );
    }
}
