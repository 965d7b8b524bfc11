//! Listeners: what each has of its own, what it has of the general keys, and what is refused.

use super::*;
use crate::serve::{self, Listen};

const GATEWAY_KEY: &str = "0123456789abcdef";

fn listeners(more: &str) -> Vec<serve::Config> {
    good(&least_and(more), &[]).listeners
}

fn shown(listeners: &[serve::Config]) -> Vec<String> {
    let listeners = listeners.iter();
    listeners
        .map(|listener| listener.listen.to_string())
        .collect()
}

#[test]
fn what_a_listener_does_not_say_is_as_the_general_keys_say() {
    let all = listeners(
        "tls: {cert: /a, key: /b, client_ca: /c, client_names: [traefik.test]}\n\
         trusted_proxies: [10.0.0.7]\ngateway_keys: [0123456789abcdef]\n\
         proxy_protocol: {from: [10.0.0.5]}\nlisteners:\n\
         - address: 127.0.0.1:5000\n\
         - {address: \"[::1]:5001\", trusted_proxies: [\"::1\"], proxy_protocol: {from: []}, \
            gateway_keys: [fedcba9876543210]}\n\
         - {unix: /run/a.sock}\n\
         - {address: \":5002\", tls: {enabled: false}}\n\
         - {unix: /run/b.sock, unix_mode: 0600, tls: {cert: /d, key: /e, client_names: [\"spiffe://a/b\"]}}\n",
    );
    assert_eq!(
        shown(&all),
        [
            "127.0.0.1:5000",
            "[::1]:5001",
            "unix:/run/a.sock",
            "[::]:5002",
            "unix:/run/b.sock"
        ]
    );
    let [general, own, unix, plain, secure] = all.as_slice() else {
        panic!("five listeners")
    };
    let networks = |listener: &serve::Config| -> Vec<String> {
        let proxies = listener.trust.proxies.iter();
        proxies.map(ToString::to_string).collect()
    };
    let names = |listener: &serve::Config| -> Vec<String> {
        let names = listener.trust.client_names.iter();
        names.map(|known| known.name.to_string()).collect()
    };
    let cert = |listener: &serve::Config| {
        let tls = listener.tls.as_ref()?;
        Some(tls.identity.cert.display().to_string())
    };
    assert_eq!(networks(general), ["10.0.0.7/32"]);
    assert_eq!(
        (cert(general), names(general)),
        (Some("/a".to_owned()), vec!["traefik.test".to_owned()])
    );
    assert_eq!(general.balancers.len(), 1);
    assert_eq!(networks(own), ["::1/128"]);
    assert_eq!((cert(own), own.balancers.len()), (Some("/a".to_owned()), 0));
    assert!(
        !own.trust.gateway_keys[0]
            .key
            .is(&general.trust.gateway_keys[0].key)
    );
    // A gateway on the same machine speaks plain HTTP, and nobody could show a name.
    assert_eq!((cert(unix), names(unix)), (None, Vec::new()));
    assert_eq!(
        (unix.balancers.len(), unix.trust.gateway_keys.len()),
        (0, 1)
    );
    assert!(matches!(&unix.listen, Listen::Unix(socket) if socket.mode == 0o660));
    assert_eq!((cert(plain), names(plain)), (None, Vec::new()));
    assert_eq!(cert(secure), Some("/d".to_owned()));
    assert_eq!(secure.tls.as_ref().unwrap().client_ca, Some("/c".into()));
    assert_eq!(names(secure), ["spiffe://a/b"]);
    assert!(matches!(&secure.listen, Listen::Unix(socket) if socket.mode == 0o600));
}

#[test]
fn listen_is_the_short_form_of_one_listener() {
    let short = listeners("listen: 127.0.0.1:5005\ntrusted_proxies: [10.0.0.7]\n");
    let long =
        listeners("listeners: [{address: \"127.0.0.1:5005\"}]\ntrusted_proxies: [10.0.0.7]\n");
    assert_eq!(format!("{short:?}"), format!("{long:?}"));
}

#[test]
fn contradictions_and_what_cannot_be_are_faults() {
    let many = "{address: \":0\"}, ".repeat(17);
    let many = format!("listeners: [{many}]\n");
    let long = format!("listeners: [{{unix: /{}}}]\n", "a".repeat(107));
    for (more, at, words) in [
        (
            "listen: :5000\nlisteners: [{address: \":5001\"}]\n",
            ":5000",
            "remove `listen`, or add it to `listeners`",
        ),
        (
            "listeners: []\n",
            "[]",
            "has 0 listeners; it may have 1 to 16",
        ),
        (many.as_str(), "[{", "has 17 listeners"),
        ("listeners: [{}]\n", "{}", "this one has neither"),
        (
            "listeners: [{address: \":1\", unix: /a}]\n",
            "{address",
            "this one has both",
        ),
        (
            "listeners: [{address: \":1\", unix_mode: 0660}]\n",
            "0660",
            "is for a listener with `unix`",
        ),
        (long.as_str(), "/aa", "longer than 107 bytes"),
        (
            "listeners: [{unix: /a, unix_mode: 0860}]\n",
            "0860",
            "a mode in octal digits",
        ),
        (
            "listeners: [{unix: /a, unix_mode: \"0066\"}]\n",
            "\"0066",
            "a mode in octal digits",
        ),
        (
            "listeners: [{unix: /a, unix_mode: 0666}]\n",
            "0666",
            "lets every user of this machine connect",
        ),
        (
            "listeners: [{unix: /a, trusted_proxies: [10.0.0.7]}]\n",
            "[10.0.0.7]",
            "have no address",
        ),
        (
            "listeners: [{unix: /a, proxy_protocol: {from: [10.0.0.7]}}]\n",
            "[10.0.0.7]",
            "have no address",
        ),
        (
            "listeners: [{address: \":1\"}, {address: \":1\"}]\n",
            "{address: \":1\"}]",
            "the same address, [::]:1",
        ),
        (
            "listeners: [{unix: /a}, {unix: /a, unix_mode: 0600}]\n",
            "{unix: /a, unix_mode",
            "the same address, unix:/a",
        ),
        (
            "listeners: [{address: \":1\"}]\nadmin: {listen: \":1\"}\n",
            "\":1\"}\n",
            "also the address of a listener",
        ),
        (
            "listeners: [{address: \":1\", tls: {enabled: true}}]\n",
            "true",
            "`tls.enabled` needs `tls.cert`",
        ),
        (
            "listeners: [{address: \":1\", tls: {enabled: false, cert: /a}}]\n",
            "/a}",
            "`tls.enabled` is `false` here",
        ),
        (
            "listeners: [{address: \":1\", tls: {client_ca: /a}}]\n",
            "/a}",
            "`tls.client_ca` needs `tls.cert`",
        ),
        (
            "listeners: [{address: \":1\", tls: {cert: /a, key: /b, client_names: [a.test]}}]\n",
            "[a.test]",
            "`tls.client_names` needs `tls.client_ca`",
        ),
        (
            "tls: {cert: /a, key: /b, client_names: [a.test]}\n",
            "[a.test]",
            "`tls.client_names` needs `tls.client_ca`",
        ),
        (
            "tls: {cert: /a, key: /b, client_ca: /c, client_names: [\"*.a.test\"]}\n",
            "\"*.a",
            "a DNS name without wildcards",
        ),
        (
            "tls: {cert: /a, key: /b, client_ca: /c, client_names: []}\n",
            "[]",
            "`tls.client_names` is an empty list",
        ),
        (
            "tls: {cert: /a, key: /b, client_ca: /c, client_names: [a.test, A.test]}\n",
            "[a.test, A",
            "has `a.test` twice",
        ),
        (
            "tls: {cert: /a, key: /b, client_ca: /c, client_names: [{name: a.test, providers: [autelia]}]}\n",
            "[{name",
            "did you mean `authelia`?",
        ),
        (
            "tls: {cert: /a, key: /b, client_ca: /c, client_names: [{key: a.test}]}\n",
            "key: a.test",
            "it may have `name`",
        ),
        (
            "listeners: [{address: \":1\", gateway_keys: [{key: 0123456789abcdef, providers: [autelia]}]}]\n",
            "[{key: 0123",
            "did you mean `authelia`?",
        ),
        (
            "listeners: [{address: \":1\", admin: {listen: a}}]\n",
            "admin",
            "is not a key",
        ),
    ] {
        let texts = faults(&least_and(more));
        let (before, _) = more
            .rsplit_once(at)
            .unwrap_or_else(|| panic!("{at} in {more}"));
        let line = 4 + before.matches('\n').count();
        let column = 1 + before
            .rsplit('\n')
            .next()
            .unwrap_or_default()
            .chars()
            .count();
        let start = format!("config.yml:{line}:{column}: ");
        let is_it = |text: &&String| text.starts_with(&start) && text.contains(words);
        assert!(
            texts.iter().any(|text| is_it(&text)),
            "{more}{start}{words}: {texts:#?}"
        );
    }
}

#[test]
fn a_mode_for_everybody_needs_a_key() {
    let open =
        format!("listeners: [{{unix: /a, unix_mode: 0666, gateway_keys: [{GATEWAY_KEY}]}}]\n");
    assert_eq!(listeners(&open).len(), 1);
}

#[test]
fn the_environment_gives_listeners_as_well() {
    let config = good(
        LEAST,
        &[
            ("ELASTAUTH_LISTENERS_0_ADDRESS", "127.0.0.1:5000"),
            ("ELASTAUTH_LISTENERS_0_TRUSTED_PROXIES", "10.0.0.7,10.0.0.8"),
            (
                "ELASTAUTH_LISTENERS_1_UNIX",
                "/run/elastauth/elastauth.sock",
            ),
            ("ELASTAUTH_LISTENERS_1_GATEWAY_KEYS_0", GATEWAY_KEY),
            ("ELASTAUTH_LISTENERS_2_ADDRESS", "127.0.0.1:5001"),
            ("ELASTAUTH_LISTENERS_2_PROXY_PROTOCOL_FROM", "10.0.0.5"),
        ],
    );
    assert_eq!(
        shown(&config.listeners),
        [
            "127.0.0.1:5000",
            "unix:/run/elastauth/elastauth.sock",
            "127.0.0.1:5001"
        ]
    );
    assert_eq!(config.listeners[0].trust.proxies.len(), 2);
    assert_eq!(config.listeners[1].trust.gateway_keys.len(), 1);
    assert_eq!(config.listeners[2].balancers.len(), 1);
    let shown = config.shown["listeners"].to_string();
    assert!(
        shown.contains("elastauth.sock") && !shown.contains(GATEWAY_KEY),
        "{shown}"
    );
}

#[test]
fn each_listener_without_a_barrier_is_warned_of() {
    let open = |more: &str| {
        let checked = check(&sources(&least_and(more), &[]));
        let warned = checked.warnings.iter().map(ToString::to_string);
        let warned: Vec<String> = warned
            .filter(|text| text.contains("every host in a private network"))
            .map(|text| text.split(": ").next().unwrap_or_default().to_owned())
            .collect();
        (warned, checked.outcome.unwrap().unprotected)
    };
    let (warned, named) = open(
        "listeners:\n- {unix: /a}\n- address: 127.0.0.1:1\n- address: :2\n- {address: \":3\", \
         trusted_proxies: [10.0.0.7]}\n- {address: \":4\", gateway_keys: [0123456789abcdef]}\n\
         - {address: \":5\", tls: {cert: /a, key: /b, client_ca: /c}}\n",
    );
    assert_eq!(warned, ["config.yml:7:3"]);
    assert_eq!(named, ["[::]:2"]);
    assert_eq!(
        open("listeners: [{address: \":2\"}]\ntrusted_proxies: [10.0.0.7]\n")
            .0
            .len(),
        0
    );
    assert_eq!(open("listen: :2\ntls: {cert: /a, key: /b}\n").0.len(), 1);
    // A balancer on this host names peers of the whole network.
    let balanced = "listen: 127.0.0.1:2\nproxy_protocol: {from: [127.0.0.1]}\n";
    assert_eq!(open(balanced).0.len(), 1);
}
