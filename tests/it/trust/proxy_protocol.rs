//! The PROXY protocol: from listed balancers it is required and decides who the peer is, from all
//! others it is not read.

use super::setup::{Setup, exchange, question, status};
use crate::support::{http::Server, multiplexed::Multiplexed, tls::Authority};
use http::Request;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{net::Ipv4Addr, sync::Arc};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};
use tokio_rustls::TlsConnector;

const BALANCER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// The gateway behind the balancer.
const GATEWAY: [u8; 4] = [192, 0, 2, 1];
const OTHER: [u8; 4] = [192, 0, 2, 9];

const LINES: &str =
    "trusted_proxies: [192.0.2.1, 127.0.0.1]\nproxy_protocol: {from: [127.0.0.2]}\n";

fn version_1(source: [u8; 4]) -> Vec<u8> {
    let source = Ipv4Addr::from(source);
    format!("PROXY TCP4 {source} 192.0.2.2 56324 443\r\n").into_bytes()
}

fn version_2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    let fixed = [command, family, length[0], length[1]];
    [&b"\r\n\r\n\0\r\nQUIT\n"[..], &fixed, rest].concat()
}

fn addresses(source: [u8; 4]) -> Vec<u8> {
    [&source[..], &[192, 0, 2, 2, 0xDC, 0x04, 1, 187]].concat()
}

/// A connection of the balancer that begins so.
async fn begun(server: &Server, header: &[u8]) -> TcpStream {
    let mut stream = server.from(BALANCER).connect().await.unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

#[tokio::test]
async fn the_address_in_the_header_is_the_peer() {
    let lines =
        format!("listen: 127.0.0.1:0\naudit: {{path: /etc/elastauth/audit, grants: all}}\n{LINES}");
    let setup = Setup::start(1, &lines, &[]).await;
    let server = setup.server(0);
    let tlvs = [addresses(GATEWAY), vec![0x04, 0, 3, 1, 2, 3]].concat();
    for (header, expected) in [
        (version_1(GATEWAY), 200),
        (version_1(OTHER), 401),
        (version_2(0x21, 0x11, &addresses(GATEWAY)), 200),
        (version_2(0x21, 0x11, &addresses(OTHER)), 401),
        (version_2(0x21, 0x11, &tlvs), 200),
        // Its own connections are the balancer's, which is no gateway.
        (version_2(0x20, 0x00, &[]), 401),
        (version_2(0x21, 0x00, &[]), 401),
        (b"PROXY UNKNOWN\r\n".to_vec(), 401),
    ] {
        let stream = begun(&server, &header).await;
        let answer = status(stream, &question("alice", false)).await;
        assert_eq!(answer, Some(expected), "{header:?}");
        // In single bytes, and the request at once after it.
        let mut stream = server.from(BALANCER).connect().await.unwrap();
        stream.set_nodelay(true).unwrap();
        for byte in &header {
            stream.write_all(&[*byte]).await.unwrap();
        }
        assert_eq!(
            status(stream, &question("alice", false)).await,
            Some(expected)
        );
        let whole = [&header[..], question("alice", false).as_bytes()].concat();
        let mut stream = server.from(BALANCER).connect().await.unwrap();
        let answer = exchange(&mut stream, &whole).await;
        assert_eq!(answer.map(|(status, _)| status), Some(expected));
    }
    setup.logs("peer=192.0.2.1").await;
    setup.logs("peer=192.0.2.9").await;
    let audited = setup.elastauth.file("audit");
    assert!(audited.contains("\"peer\":\"192.0.2.1\""), "{audited}");
    // A check of the balancer.
    let live = "GET /elastauth/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let stream = begun(&server, &version_2(0x20, 0x00, &[])).await;
    assert_eq!(status(stream, live).await, Some(200));
}

#[tokio::test]
async fn a_balancer_without_a_valid_header_gets_no_answer() {
    let setup = Setup::start(1, &format!("listen: 127.0.0.1:0\n{LINES}"), &[]).await;
    let server = setup.server(0);
    let long = [
        b"PROXY UNKNOWN ".to_vec(),
        vec![b'x'; 200],
        b"\r\n".to_vec(),
    ]
    .concat();
    for header in [
        Vec::new(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 65536 443\r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1 192.0.2.2 56324 443 \r\n".to_vec(),
        b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
        b"PROXY TCP6 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(),
        b"PROXY UDP4 192.0.2.1 192.0.2.2 56324 443\r\n".to_vec(),
        long,
        version_2(0x21, 0x11, &[192, 0, 2, 1]),
        version_2(0x22, 0x11, &addresses(GATEWAY)),
        version_2(0x21, 0x31, &[0; 216]),
        version_2(0x21, 0x11, &[0; 5_000]),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        vec![0xFF; 64],
    ] {
        let stream = begun(&server, &header).await;
        let answer = status(stream, &question("alice", false)).await;
        assert_eq!(answer, None, "{:?}", String::from_utf8_lossy(&header));
    }
    setup.logs("it has no valid PROXY header").await;
    // Two headers: the second one is not HTTP.
    let twice = [version_1(OTHER), version_1(GATEWAY)].concat();
    let stream = begun(&server, &twice).await;
    assert_eq!(status(stream, &question("alice", false)).await, Some(400));
}

#[tokio::test]
async fn from_all_others_no_header_is_read() {
    let setup = Setup::start(1, &format!("listen: 127.0.0.1:0\n{LINES}"), &[]).await;
    let server = setup.server(0);
    let direct = async |bytes: &[u8]| {
        let mut stream = server.connect().await.unwrap();
        exchange(&mut stream, bytes).await.map(|(status, _)| status)
    };
    // 127.0.0.1 is a gateway itself.
    assert_eq!(direct(question("alice", false).as_bytes()).await, Some(200));
    for header in [
        version_1(GATEWAY),
        version_2(0x21, 0x11, &addresses(GATEWAY)),
    ] {
        let bytes = [header, question("alice", false).into_bytes()].concat();
        let answer = direct(&bytes).await;
        assert!([None, Some(400)].contains(&answer), "{answer:?}");
    }
}

#[tokio::test]
async fn a_header_that_stalls_is_not_waited_for() {
    let setup = Setup::start(1, &format!("listen: 127.0.0.1:0\n{LINES}"), &[]).await;
    let server = setup.server(0);
    // A balancer that looks whether the port is open is no reason for a line.
    for _ in 0..20 {
        drop(begun(&server, b"").await);
    }
    let stream = begun(&server, &version_1(GATEWAY)).await;
    assert_eq!(status(stream, &question("alice", false)).await, Some(200));
    let log = setup.elastauth.log();
    assert!(!log.contains("it has no valid PROXY header"), "{log}");
    for header in [
        &b"PROXY TCP4 192.0.2.1"[..],
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11",
        b"",
    ] {
        let mut stream = begun(&server, header).await;
        // Ends within the time of a handshake, or the exchange fails.
        assert_eq!(exchange(&mut stream, b"").await, None);
    }
    setup.logs("it has no valid PROXY header").await;
}

#[tokio::test]
async fn bounds_of_an_address_count_for_the_one_that_the_balancer_names() {
    let setup = Setup::start(1, &format!("listen: 127.0.0.1:0\n{LINES}"), &[]).await;
    let server = setup.server(0);
    let mut open = Vec::new();
    // As many as an address has that is not trusted.
    for _ in 0..64 {
        open.push(begun(&server, &version_1(OTHER)).await);
    }
    let mut closed = begun(&server, &version_1(OTHER)).await;
    assert_eq!(exchange(&mut closed, b"").await, None);
    setup
        .logs("too many connections; closed a new one peer=192.0.2.9")
        .await;
    for (source, expected) in [([192, 0, 2, 10], 401), (GATEWAY, 200)] {
        let stream = begun(&server, &version_1(source)).await;
        assert_eq!(
            status(stream, &question("alice", false)).await,
            Some(expected)
        );
    }
}

#[tokio::test]
async fn the_header_comes_before_tls_and_http_2() {
    let authority = Authority::new();
    let own = authority.sign();
    let files = [
        ("tls.crt", own.certificate.as_str()),
        ("tls.key", &own.key),
        ("ca.pem", &authority.pem()),
    ];
    let lines = format!(
        "listen: 127.0.0.1:0\n{LINES}tls:\n  cert: /etc/elastauth/tls.crt\n  \
         key: /etc/elastauth/tls.key\n  client_ca: /etc/elastauth/ca.pem\n  \
         client_names: [traefik.test]\n"
    );
    let setup = Setup::start(1, &lines, &files).await;
    let server = setup.server(0);
    let client = |name: &str| authority.client_with(&authority.sign_for(&[name]));
    let handshake = async |header: &[u8], client: Arc<ClientConfig>| {
        let stream = begun(&server, header).await;
        let name = ServerName::from(server.address().ip());
        TlsConnector::from(client).connect(name, stream).await
    };
    for (source, name, expected) in [
        (GATEWAY, "traefik.test", 200),
        (GATEWAY, "other.test", 403),
        (OTHER, "traefik.test", 401),
    ] {
        let header = version_2(0x21, 0x11, &addresses(source));
        let stream = handshake(&header, client(name)).await.unwrap();
        let answer = status(stream, &question("alice", false)).await;
        assert_eq!(answer, Some(expected), "{source:?} {name}");
        let mut h2 = (*client(name)).clone();
        h2.alpn_protocols = vec![b"h2".to_vec()];
        let stream = handshake(&header, Arc::new(h2)).await.unwrap();
        let h2 = Multiplexed::over(stream).await;
        let request = Request::get("https://elastauth.test/elastauth")
            .header("remote-user", "alice")
            .header("remote-groups", "dev");
        let answer = h2.send(request.body(()).unwrap()).await.unwrap();
        assert_eq!(answer.status, expected, "{source:?} {name}");
    }
    // Without it, the handshake of the balancer fails, and so does one with it from elsewhere.
    assert!(handshake(b"", client("traefik.test")).await.is_err());
    let mut direct = server.connect().await.unwrap();
    direct.write_all(&version_1(GATEWAY)).await.unwrap();
    let name = ServerName::from(server.address().ip());
    let connector = TlsConnector::from(client("traefik.test"));
    assert!(connector.connect(name, direct).await.is_err());
}
