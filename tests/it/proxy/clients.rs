//! Clients who come without a gateway bring tokens, and nothing else that they say counts.

use super::setup::{OK, Upstream, header, headers, read_answer};
use crate::support::{elastauth::Elastauth, idp::Idp, stage::GATEWAY_KEY};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt as _;

pub(super) struct Setup {
    pub(super) idp: Idp,
    cluster: StandIn,
    pub(super) elastauth: Elastauth,
    pub(super) upstream: Upstream,
    _tasks: Tasks,
}

impl Setup {
    pub(super) async fn new(provider: &str) -> Self {
        Self::with(provider, "").await
    }

    /// `more` has sections of the configuration.
    async fn with(provider: &str, more: &str) -> Self {
        let upstream = Upstream::start(|mut connection| async move {
            while connection.head().await.is_some() {
                connection.say(OK.as_bytes()).await;
            }
        })
        .await;
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let config = format!(
            "listen: 127.0.0.1:0\nlog_level: debug\ntrusted_proxies: [127.0.0.1/32]\n\
             gateway_keys: [\"{GATEWAY_KEY}\"]\n\
             secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
             auth_provider: [{provider}]\ngroup_mappings:\n  dev: [editor]\n  ops: [superuser]\n\
             elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n\
             proxy: {{enabled: true, elasticsearch_url: \"http://127.0.0.1:{}\"}}\n\
             oidc:\n  issuer: {}\n  client_id: elastauth\n{more}",
            cluster.url(),
            cluster.service_password(),
            upstream.port,
            idp.issuer,
        );
        let elastauth = Elastauth::start_anywhere(&config, &[]).await;
        Self {
            idp,
            cluster,
            elastauth,
            upstream,
            _tasks: tasks,
        }
    }

    /// Of somebody outside `trusted_proxies`.
    async fn ask(&self, more: &str) -> String {
        self.ask_from(Ipv4Addr::new(127, 0, 0, 2), more).await
    }

    async fn ask_from(&self, source: Ipv4Addr, more: &str) -> String {
        let server = self.elastauth.server().from(source);
        let mut stream = server.connect().await.unwrap();
        let text = format!("GET /a HTTP/1.1\r\nhost: es.example\r\n{more}\r\n");
        stream.write_all(text.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    fn bearer(&self) -> String {
        format!("authorization: Bearer {}\r\n", self.idp.token(|_| {}))
    }
}

const NAMES_OTHERS: &str = "remote-user: mallory\r\nremote-groups: ops\r\n\
    x-forwarded-for: 198.51.100.1\r\nx-forwarded-host: other.example\r\nx_forwarded_proto: https\r\n\
    forwarded: for=198.51.100.1\r\nvia: 1.1 other\r\n";

#[tokio::test]
async fn a_token_gets_in_and_nothing_that_comes_beside_it() {
    let setup = Setup::new("oidc, authelia").await;
    let answer = setup.ask(&(setup.bearer() + NAMES_OTHERS)).await;
    assert!(answer.ends_with("ok"), "{answer}");
    let head = setup.upstream.head();
    let login = header(&head, "authorization").unwrap();
    let login = http::HeaderValue::from_str(login).unwrap();
    assert!(setup.cluster.accepts(&login));
    assert_eq!(setup.cluster.user("alice").unwrap().roles, ["editor"]);
    assert!(setup.cluster.user("mallory").is_none());
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.2"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("es.example"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "via"), Some("1.1 elastauth"));
    for gone in [
        "remote-user",
        "remote-groups",
        "x_forwarded_proto",
        "forwarded",
    ] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
}

#[tokio::test]
async fn without_a_token_nobody_gets_in_whatever_they_say() {
    for provider in ["oidc, authelia", "authelia, oidc", "authelia"] {
        let setup = Setup::new(provider).await;
        let key = format!("x-elastauth-key: {GATEWAY_KEY}\r\n");
        for more in [
            "",
            NAMES_OTHERS,
            &(key.clone() + NAMES_OTHERS),
            "authorization: Basic ZWxhc3RpYzpjaGFuZ2VtZQ==\r\n",
            "authorization: ApiKey a2V5\r\n",
        ] {
            let answer = setup.ask(more).await;
            assert!(
                answer.starts_with("HTTP/1.1 401 "),
                "{provider} {more}: {answer}"
            );
            assert_eq!(headers(&answer, "www-authenticate").len(), 1, "{answer}");
        }
        assert_eq!(setup.upstream.heads().len(), 0, "{provider}");
        assert!(setup.cluster.user("mallory").is_none());
    }
}

#[tokio::test]
async fn a_client_in_the_gateways_network_shows_no_key_and_is_no_gateway() {
    let setup = Setup::new("oidc, authelia").await;
    let loopback = Ipv4Addr::LOCALHOST;
    let answer = setup
        .ask_from(loopback, &(setup.bearer() + NAMES_OTHERS))
        .await;
    assert!(answer.ends_with("ok"), "{answer}");
    assert!(setup.cluster.user("mallory").is_none());
    let answer = setup.ask_from(loopback, NAMES_OTHERS).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    let wrong = format!("x-elastauth-key: wrong\r\n{NAMES_OTHERS}{}", setup.bearer());
    let answer = setup.ask_from(loopback, &wrong).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    // The gateway itself says who asks.
    let key = format!("x-elastauth-key: {GATEWAY_KEY}\r\n");
    let named = key + "remote-user: bob\r\nremote-groups: dev\r\nx-forwarded-for: 198.51.100.1\r\n";
    let answer = setup.ask_from(loopback, &named).await;
    assert!(answer.ends_with("ok"), "{answer}");
    let heads = setup.upstream.heads();
    let forwarded = header(heads.last().unwrap(), "x-forwarded-for");
    assert_eq!(forwarded, Some("198.51.100.1, 127.0.0.1"));
}

#[tokio::test]
async fn a_header_of_the_gateway_chooses_no_cluster_for_a_client() {
    let other = "clusters:\n  other:\n    hosts: [\"http://127.0.0.1:9\"]\n    username: a\n    \
                 password: b\n    match: {header: {name: X-Cluster, value: other}}\n";
    let setup = Setup::with("oidc, authelia", other).await;
    let chosen = setup.bearer() + "x-cluster: other\r\n";
    let loopback = Ipv4Addr::LOCALHOST;
    for source in [Ipv4Addr::new(127, 0, 0, 2), loopback] {
        let answer = setup.ask_from(source, &chosen).await;
        assert!(
            answer.contains("\"code\":\"no_cluster\""),
            "{source}: {answer}"
        );
    }
    // The gateway's counts: nothing answers there.
    let key = format!("x-elastauth-key: {GATEWAY_KEY}\r\n");
    let answer = setup.ask_from(loopback, &(key + &chosen)).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(setup.upstream.heads().len(), 0);
}

#[tokio::test]
async fn the_endpoints_of_gateways_give_no_login_to_clients() {
    let setup = Setup::new("oidc, authelia").await;
    let server = setup.elastauth.server().from(Ipv4Addr::new(127, 0, 0, 2));
    for path in [
        "/elastauth",
        "/elastauth/forward-auth",
        "/elastauth/ext-authz/a",
        "/elastauth/auth-request",
        "/elastauth/clusters/default",
    ] {
        let token = format!("Bearer {}", setup.idp.token(|_| {}));
        let answer = server.get(path, &[("authorization", &token)]).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
        assert!(!answer.headers.contains_key("authorization"), "{path}");
    }
    assert_eq!(setup.upstream.heads().len(), 0);
}

/// There is no gateway that could say which page it was, so the browser's own request does.
#[tokio::test]
async fn a_browser_is_sent_to_sign_in_and_no_script_is() {
    let login = "login_url: \"https://auth.example.org/?rd={url}\"\n";
    let setup = Setup::with("oidc, authelia", login).await;
    let page = "accept: text/html\r\nsec-fetch-mode: navigate\r\n".to_owned() + NAMES_OTHERS;
    for source in [Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::LOCALHOST] {
        let answer = setup.ask_from(source, &page).await;
        assert!(answer.starts_with("HTTP/1.1 302 "), "{source}: {answer}");
        let there = "https://auth.example.org/?rd=http%3A%2F%2Fes.example%2Fa";
        assert_eq!(header(&answer, "location"), Some(there), "{source}");
        assert_eq!(header(&answer, "www-authenticate"), None, "{answer}");
    }
    for more in [
        "accept: application/json\r\nsec-fetch-mode: cors\r\n",
        "accept: */*\r\n",
        "accept: text/html\r\nx-requested-with: XMLHttpRequest\r\n",
        // A token that may be forged.
        "accept: text/html\r\nauthorization: Bearer a.b.c\r\n",
    ] {
        let answer = setup.ask(more).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{more}: {answer}");
        assert_eq!(header(&answer, "location"), None, "{more}");
    }
    assert_eq!(setup.upstream.heads().len(), 0);
}
