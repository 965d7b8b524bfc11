//! Client certificates as a way to be a trusted gateway, by the names in them.

use super::setup::{Setup, question, status};
use crate::support::{
    find,
    http::Server,
    multiplexed::Multiplexed,
    tls::{Authority, Signed},
};
use http::Request;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

const NAMES: &str = "[traefik.test, \"spiffe://test/gateway\", 192.0.2.7]";

async fn start(authority: &Authority, names: &str) -> Setup {
    let own = authority.sign();
    let files = [
        ("tls.crt", own.certificate.as_str()),
        ("tls.key", &own.key),
        ("ca.pem", &authority.pem()),
    ];
    let lines = format!(
        "listen: 127.0.0.1:0\ntrusted_proxies: [127.0.0.1]\ntls:\n  cert: /etc/elastauth/tls.crt\n  \
         key: /etc/elastauth/tls.key\n  client_ca: /etc/elastauth/ca.pem\n{names}"
    );
    Setup::start(1, &lines, &files).await
}

async fn connect(
    server: &Server,
    client: Arc<ClientConfig>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let name = ServerName::from(server.address().ip());
    let stream = server.connect().await?;
    TlsConnector::from(client).connect(name, stream).await
}

async fn over_h1(server: &Server, client: &Arc<ClientConfig>) -> Option<u16> {
    let stream = connect(server, Arc::clone(client)).await.unwrap();
    status(stream, &question("alice", false)).await
}

fn for_alice() -> Request<()> {
    let request = Request::get("https://elastauth.test/elastauth");
    let request = request
        .header("remote-user", "alice")
        .header("remote-groups", "dev");
    request.body(()).unwrap()
}

#[tokio::test]
async fn a_gateway_is_who_has_one_of_the_names() {
    let authority = Authority::new();
    let setup = start(&authority, &format!("  client_names: {NAMES}\n")).await;
    let server = setup.server(0);
    let signed = |names: &[&str]| authority.sign_for(names);
    let certificates: [(Signed, u16); 7] = [
        (signed(&["traefik.test"]), 200),
        (signed(&["other.test", "Traefik.Test"]), 200),
        (authority.sign_uri("spiffe://test/gateway"), 200),
        (signed(&["192.0.2.7"]), 200),
        (authority.sign_uri("spiffe://test/gateway/of/another"), 403),
        // A wildcard in a certificate stands for no name.
        (signed(&["*.test"]), 403),
        (signed(&["evil.test", "traefik.test.evil.test"]), 403),
    ];
    for (certificate, expected) in certificates {
        let client = authority.client_with(&certificate);
        // Twice: the second handshake may be short, and shows the same certificate.
        for _ in 0..2 {
            assert_eq!(over_h1(&server, &client).await, Some(expected));
        }
        let h2 = Multiplexed::over_tls(&server, &client).await;
        for _ in 0..2 {
            let answer = h2.send(for_alice()).await.unwrap();
            assert_eq!(answer.status, expected, "{}", answer.text());
            if expected == 403 {
                assert_eq!(answer.json()["code"], "gateway_key");
            }
        }
    }
    setup
        .logs("has evil.test, traefik.test.evil.test, and none of these is in `tls.client_names`")
        .await;
    // Without a certificate nobody gets through the handshake.
    let without = connect(&server, authority.client()).await;
    let refused = match without {
        Ok(stream) => status(stream, &question("alice", false)).await,
        Err(_) => None,
    };
    assert_eq!(refused, None);
    // The right name at the wrong address is no gateway's.
    let elsewhere = server.from([127, 0, 0, 2].into());
    let client = authority.client_with(&signed(&["traefik.test"]));
    assert_eq!(over_h1(&elsewhere, &client).await, Some(401));
}

#[tokio::test]
async fn without_names_every_certificate_of_the_ca_is_a_gateways() {
    let (authority, other) = (Authority::new(), Authority::new());
    let setup = start(&authority, "").await;
    let client = authority.client_with(&authority.sign_for(&["anybody.test"]));
    assert_eq!(over_h1(&setup.server(0), &client).await, Some(200));
    let foreign = authority.client_with(&other.sign_for(&["traefik.test"]));
    let refused = match connect(&setup.server(0), foreign).await {
        Ok(stream) => status(stream, &question("alice", false)).await,
        Err(_) => None,
    };
    assert_eq!(refused, None);
}

#[tokio::test]
async fn names_that_hostile_certificates_have_are_escaped_and_cut_in_the_log() {
    let authority = Authority::new();
    let setup = start(&authority, "  client_names: [traefik.test]\n").await;
    let uri = format!("https://x.test/a\r\nlevel=ERROR{}", "y".repeat(5_000));
    let client = authority.client_with(&authority.sign_uri(&uri));
    assert_eq!(over_h1(&setup.server(0), &client).await, Some(403));
    setup
        .logs("and none of these is in `tls.client_names`")
        .await;
    let log = setup.elastauth.log();
    assert!(
        !log.contains("\nlevel=ERROR") && !log.contains(&"y".repeat(200)),
        "{log}"
    );
}

#[tokio::test]
async fn a_name_that_is_removed_counts_no_more_on_open_connections_and_a_new_one_waits() {
    let authority = Authority::new();
    let setup = start(&authority, "  client_names: [traefik.test, caddy.test]\n").await;
    let server = setup.server(0);
    let client = |name: &str| authority.client_with(&authority.sign_for(&[name]));
    let open = Multiplexed::over_tls(&server, &client("caddy.test")).await;
    assert_eq!(open.send(for_alice()).await.unwrap().status, 200);
    setup
        .elastauth
        .edit(|config| config.replace(", caddy.test", ""));
    find("the name is gone", Duration::from_secs(20), async || {
        let answer = open.send(for_alice()).await.unwrap();
        (answer.status == 403).then_some(())
    })
    .await;
    setup
        .elastauth
        .edit(|config| config.replace("[traefik.test]", "[traefik.test, nginx.test]"));
    setup
        .logs("a change is not applied before a restart of elastauth")
        .await;
    assert_eq!(over_h1(&server, &client("nginx.test")).await, Some(403));
    assert_eq!(over_h1(&server, &client("traefik.test")).await, Some(200));
}
