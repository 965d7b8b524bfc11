//! TLS in front of proxy mode and behind it, and what happens if it fails.

use super::{
    framing::{is_refusal, refused},
    setup::{OK, Upstream, header, read_answer, read_to_end, request},
};
use crate::support::{
    find,
    multiplexed::Multiplexed,
    stage::{GATEWAY_KEY, Plan, Stage},
    tls::{Authority, TlsFront, front},
    until,
};
use http::Request;
use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{io::AsyncWriteExt as _, net::TcpStream, sync::Notify};
use tokio_rustls::{TlsConnector, client::TlsStream};

const IN_TIME: Duration = Duration::from_secs(20);

async fn answering() -> Upstream {
    Upstream::start(|mut connection| async move {
        while connection.head().await.is_some() {
            connection.say(OK.as_bytes()).await;
        }
    })
    .await
}

/// elastauth that clients speak TLS to, in front of this port.
async fn in_front_of(port: u16, authority: &Authority) -> Stage {
    let own = authority.sign();
    let more = format!(
        "proxy: {{enabled: true, elasticsearch_url: \"http://127.0.0.1:{port}\"}}\n\
         tls: {{cert: /etc/elastauth/tls.crt, key: /etc/elastauth/tls.key}}\n"
    );
    Stage::planned(Plan {
        more: &more,
        files: &[("tls.crt", &own.certificate), ("tls.key", &own.key)],
        ..Plan::default()
    })
    .await
}

/// A connection on which the client offers these protocols.
async fn secured(
    stage: &Stage,
    client: &ClientConfig,
    offered: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut client = client.clone();
    client.alpn_protocols = offered
        .iter()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let name = ServerName::from(stage.gateway().address().ip());
    let stream = stage.gateway().connect().await.unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    connector.connect(name, stream).await
}

#[tokio::test]
async fn clients_agree_on_http_2_or_http_1_over_tls() {
    let (upstream, authority) = (answering().await, Authority::new());
    let stage = in_front_of(upstream.port, &authority).await;
    let client = authority.client();
    for offered in [&[][..], &["http/1.1"], &["http/1.0", "http/1.1"]] {
        let mut stream = secured(&stage, &client, offered).await.unwrap();
        // Two on one connection.
        for _ in 0..2 {
            let text = request("GET /a", "alice", "");
            stream.write_all(text.as_bytes()).await.unwrap();
            let answer = read_answer(&mut stream).await;
            assert!(answer.ends_with("\r\n\r\nok"), "{offered:?}: {answer}");
        }
    }
    let multiplexed = Multiplexed::over_tls(stage.gateway(), &client).await;
    let ask = Request::get("https://es.example/b")
        .header("x-elastauth-key", GATEWAY_KEY)
        .header("remote-user", "alice")
        .body(())
        .unwrap();
    assert_eq!(multiplexed.send(ask).await.unwrap().status, 200);
    let heads = upstream.heads();
    assert_eq!(heads.len(), 7);
    for head in &heads {
        assert_eq!(header(head, "x-forwarded-proto"), Some("https"), "{head}");
    }
    let via: Vec<_> = heads.iter().map(|head| header(head, "via")).collect();
    assert_eq!(via[0], Some("1.1 elastauth"));
    assert_eq!(via[6], Some("2 elastauth"));
}

#[tokio::test]
async fn nobody_gets_in_by_another_protocol_or_in_clear() {
    let (upstream, authority) = (answering().await, Authority::new());
    let stage = in_front_of(upstream.port, &authority).await;
    // Whoever offers only what elastauth does not speak gets no connection.
    assert!(secured(&stage, &authority.client(), &["h3"]).await.is_err());
    // A client that does not know the CA ends the connection itself.
    let others = Authority::new().client();
    assert!(secured(&stage, &others, &["http/1.1"]).await.is_err());
    let mut clear = stage.gateway().connect().await.unwrap();
    let text = request("GET /a", "alice", "");
    clear.write_all(text.as_bytes()).await.unwrap();
    let (bytes, _) = read_to_end(&mut clear).await;
    assert!(!bytes.starts_with(b"HTTP/1.1 200"), "{bytes:?}");
    assert_eq!(upstream.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn malformed_requests_are_refused_over_tls_too() {
    let (upstream, authority) = (answering().await, Authority::new());
    let stage = in_front_of(upstream.port, &authority).await;
    let client = authority.client();
    for (text, status) in refused() {
        let mut stream = secured(&stage, &client, &["http/1.1"]).await.unwrap();
        let _refused_midway = stream.write_all(text.as_bytes()).await;
        let (bytes, _) = read_to_end(&mut stream).await;
        let answer = String::from_utf8_lossy(&bytes);
        assert!(is_refusal(&bytes, status), "{status} {text:?}: {answer}");
    }
    assert_eq!(upstream.heads(), Vec::<String>::new());
}

/// elastauth in front of an upstream that speaks TLS.
struct Behind {
    stage: Stage,
    upstream: Upstream,
    front: TlsFront,
}

impl Behind {
    /// `tls` has keys of the section `proxy.tls`.
    async fn new(server: Arc<ServerConfig>, tls: &str, files: &[(&str, &str)]) -> Self {
        Self::before(answering().await, server, tls, files).await
    }

    async fn before(
        upstream: Upstream,
        server: Arc<ServerConfig>,
        tls: &str,
        files: &[(&str, &str)],
    ) -> Self {
        let front = front(server, upstream.port).await;
        let more = format!(
            "proxy:\n  enabled: true\n  elasticsearch_url: \"https://127.0.0.1:{}\"\n  \
             tls: {{{tls}}}\n",
            front.port
        );
        let stage = Stage::planned(Plan {
            more: &more,
            files,
            ..Plan::default()
        })
        .await;
        Self {
            stage,
            upstream,
            front,
        }
    }

    async fn ask(&self, line: &str) -> String {
        let mut stream = self.stage.gateway().connect().await.unwrap();
        let text = request(line, "alice", "");
        stream.write_all(text.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }
}

const CA: &str = "ca_cert: /etc/elastauth/ca.pem";
const OWN: &str = "client_cert: /etc/elastauth/own.crt, client_key: /etc/elastauth/own.key";

#[tokio::test]
async fn an_own_ca_and_a_client_certificate_count_behind() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let (pem, own) = (servers.pem(), clients.sign_for(&["elastauth"]));
    let server = Authority::server_for_clients_of(&[&clients], &servers.sign());
    let files = [
        ("ca.pem", &*pem),
        ("own.crt", &own.certificate),
        ("own.key", &own.key),
    ];
    let behind = Behind::new(server, &format!("{CA}, {OWN}"), &files).await;
    for _ in 0..2 {
        let answer = behind.ask("GET /a").await;
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
    let heads = behind.upstream.heads();
    assert_eq!(heads.len(), 2);
    let login = header(&heads[0], "authorization").unwrap().parse().unwrap();
    assert!(behind.stage.cluster.accepts(&login));
}

#[tokio::test]
async fn a_server_that_cannot_be_verified_gets_nothing_and_the_log_says_why() {
    let (servers, others) = (Authority::new(), Authority::new());
    let pem = servers.pem();
    let files = [("ca.pem", &*pem)];
    for (server, why) in [
        // The CAs of tests have the same name, so it is the signature that does not fit.
        (others.sign().server(), "BadSignature"),
        (servers.sign_for(&["es.example"]).server(), "not valid for"),
    ] {
        let behind = Behind::new(server, CA, &files).await;
        let answer = behind.ask("POST /a").await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("\"code\":\"unavailable\""), "{answer}");
        assert!(header(&answer, "retry-after").is_some(), "{answer}");
        let log = behind.stage.elastauth.log();
        assert!(
            log.contains("no_connection") && log.contains("certificate") && log.contains(why),
            "{why}: {log}"
        );
        // The client learns nothing of it.
        assert!(!answer.contains("certificate"), "{answer}");
        assert_eq!(behind.upstream.heads(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_server_that_wants_a_client_certificate_refuses_who_has_none() {
    let (servers, clients) = (Authority::new(), Authority::new());
    let (pem, foreign) = (servers.pem(), Authority::new().sign_for(&["elastauth"]));
    let server = Authority::server_for_clients_of(&[&clients], &servers.sign());
    for (tls, files) in [
        (CA.to_owned(), vec![("ca.pem", &*pem)]),
        (
            format!("{CA}, {OWN}"),
            vec![
                ("ca.pem", &*pem),
                ("own.crt", &*foreign.certificate),
                ("own.key", &*foreign.key),
            ],
        ),
    ] {
        let behind = Behind::new(Arc::clone(&server), &tls, &files).await;
        let answer = behind.ask("GET /a").await;
        assert!(answer.starts_with("HTTP/1.1 50"), "{answer}");
        assert!(header(&answer, "retry-after").is_some(), "{answer}");
        let log = behind.stage.elastauth.log();
        assert!(log.contains("received fatal alert"), "{log}");
        assert_eq!(behind.upstream.heads(), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_server_that_is_not_verified_is_warned_of_loudly() {
    let server = Authority::new().sign_for(&["somebody-else"]).server();
    let behind = Behind::new(server, "insecure_skip_verify: true", &[]).await;
    assert!(behind.ask("GET /a").await.ends_with("\r\n\r\nok"));
    let log = behind.stage.elastauth.log();
    let line = log
        .lines()
        .find(|line| line.contains("`proxy.tls.insecure_skip_verify` is on"));
    let line = line.unwrap_or_else(|| panic!("no warning: {log}"));
    assert!(
        line.contains("WARN") && line.contains("logins of all users"),
        "{line}"
    );
}

/// An upstream that holds its answer to `/slow` until it is told to go on.
async fn with_a_slow_answer(go: Arc<Notify>) -> Upstream {
    Upstream::start(move |mut connection| {
        let go = Arc::clone(&go);
        async move {
            while let Some(head) = connection.head().await {
                if head.starts_with("GET /slow ") {
                    let part = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsl";
                    connection.say(part.as_bytes()).await;
                    go.notified().await;
                    connection.say(b"ow").await;
                } else {
                    connection.say(OK.as_bytes()).await;
                }
            }
        }
    })
    .await
}

/// Everybody exchanges theirs after the other side takes both.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_exchanged_by_reload_and_no_request_is_lost() {
    let (old, new) = (Authority::new(), Authority::new());
    let (old_own, new_own) = (old.sign_for(&["elastauth"]), new.sign_for(&["elastauth"]));
    let go = Arc::new(Notify::new());
    let upstream = with_a_slow_answer(Arc::clone(&go)).await;
    let pem = old.pem();
    let files = [
        ("ca.pem", &*pem),
        ("own.crt", &old_own.certificate),
        ("own.key", &old_own.key),
    ];
    let server = Authority::server_for_clients_of(&[&old], &old.sign());
    let behind = Behind::before(upstream, server, &format!("{CA}, {OWN}"), &files).await;
    let behind = Arc::new(behind);
    let slow = tokio::spawn({
        let behind = Arc::clone(&behind);
        async move { behind.ask("GET /slow").await }
    });
    until("the slow request", || behind.upstream.heads().len() == 1).await;
    let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    let asking = tokio::spawn({
        let (behind, stop, asked) = (Arc::clone(&behind), Arc::clone(&stop), Arc::clone(&asked));
        async move {
            while !stop.load(SeqCst) {
                let answer = behind.ask("GET /a").await;
                assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
                asked.fetch_add(1, SeqCst);
            }
        }
    });
    let elastauth = &behind.stage.elastauth;
    let reload = async || {
        let applied = || {
            elastauth
                .log()
                .matches("read again, certificates too")
                .count()
        };
        let before = applied();
        elastauth.hang_up();
        until("the reload", || applied() > before).await;
        // Requests that begin from now on.
        let before = asked.load(SeqCst);
        until("more answers", || {
            asked.load(SeqCst) > before + 20 || asking.is_finished()
        })
        .await;
    };
    elastauth.put("ca.pem", &format!("{}{}", old.pem(), new.pem()));
    reload().await;
    let server = |clients: &[&Authority]| Authority::server_for_clients_of(clients, &new.sign());
    behind.front.change(server(&[&old, &new]));
    elastauth.put("own.key", &new_own.key);
    elastauth.put("own.crt", &new_own.certificate);
    reload().await;
    behind.front.change(server(&[&new]));
    elastauth.put("ca.pem", &new.pem());
    reload().await;
    stop.store(true, SeqCst);
    asking.await.unwrap();
    // The old server is trusted no more. A changed file lets no idle connection stay.
    behind
        .front
        .change(Authority::server_for_clients_of(&[&old, &new], &old.sign()));
    elastauth.put("ca.pem", &format!("{}\n", new.pem()));
    let refused = async || {
        let answer = behind.ask("GET /a").await;
        answer.starts_with("HTTP/1.1 503 ").then_some(())
    };
    elastauth.hang_up();
    find("a server that is not trusted", IN_TIME, refused).await;
    go.notify_one();
    assert!(slow.await.unwrap().ends_with("\r\n\r\nslow"));
}
