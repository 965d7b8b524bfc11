//! What gateways send in HTTP/1, and worse.

use super::*;

const ALICE: &str = "GET /elastauth HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\n\r\n";

#[tokio::test]
async fn an_untrusted_peer_gets_401_whatever_it_sends_and_no_idle_connection() {
    let server = Setup {
        proxies: "10.0.0.0/8",
        keys: &["correct-horse-battery"],
        ..Setup::default()
    }
    .start();
    let answer = server.ask("GET / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\naccept: text/html\r\nx-request-id: mine\r\n\r\n").await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, Some("sso realm=\"elastauth\""))
    );
    assert_eq!(answer.json()["code"], "not_authenticated");
    assert_ne!(answer.json()["request_id"], "mine");
    assert!(!answer.head.contains("authorization"));
}

#[tokio::test]
async fn a_gateway_shows_its_key() {
    let server = Setup {
        keys: &["correct-horse-battery"],
        ..Setup::default()
    }
    .start();
    for (keys, status, code) in [
        ("", 403, "gateway_key"),
        (
            "x-elastauth-key: correct-horse-batterx\r\n",
            403,
            "gateway_key",
        ),
        (
            "x-elastauth-key: correct-horse-battery\r\nx-elastauth-key: correct-horse-battery\r\n",
            403,
            "gateway_key",
        ),
        (
            "x-elastauth-key: correct-horse-battery\r\n",
            401,
            "not_authenticated",
        ),
    ] {
        let answer = server
            .ask(&format!("GET / HTTP/1.1\r\nhost: a\r\n{keys}\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (status, Some(code)),
            "{keys}"
        );
    }
}

#[tokio::test]
async fn each_protocol_gets_what_its_gateway_can_pass_on() {
    let server = Setup::default().start();
    let twice = "remote-user: alice\r\nremote-user: mallory\r\n";
    for (path, status, has_body) in [
        ("/", 400, true),
        ("/elastauth", 400, true),
        ("/elastauth/forward-auth", 400, true),
        ("/elastauth/ext-authz", 400, true),
        ("/elastauth/ext-authz/elastauth/health", 400, true),
        ("/elastauth/auth-request", 403, false),
        ("/elastauth/auth-request?x=/elastauth/health", 403, false),
        ("/elastauth/health/", 400, true),
        ("/any/path?user=alice", 400, true),
    ] {
        let answer = server
            .ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n{twice}\r\n"))
            .await;
        assert_eq!(
            (answer.status, !answer.body.is_empty()),
            (status, has_body),
            "{path}"
        );
    }
    let nginx = server
        .ask("GET /elastauth/auth-request HTTP/1.0\r\nconnection: close\r\n\r\n")
        .await;
    assert_eq!(
        (
            nginx.status,
            nginx.header("www-authenticate"),
            nginx.header("content-length")
        ),
        (401, Some("sso realm=\"elastauth\""), Some("0"))
    );
}

#[tokio::test]
async fn a_refusal_repeats_the_gateways_request_id() {
    let server = Setup::default().start();
    let answer = server.ask("GET / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\nx-request-id: 0af7651916cd43dd\r\n\r\n").await;
    assert_eq!(
        (
            answer.status,
            answer.header("retry-after"),
            answer.header("cache-control")
        ),
        (503, Some("2"), Some("no-store"))
    );
    assert_eq!(
        (&answer.json()["code"], &answer.json()["request_id"]),
        (&"unavailable".into(), &"0af7651916cd43dd".into())
    );
    assert_eq!(answer.header("x-request-id"), Some("0af7651916cd43dd"));
    let nginx = server
        .ask("GET /elastauth/auth-request HTTP/1.1\r\nhost: a\r\nx-request-id: a b\r\n\r\n")
        .await;
    assert!(
        nginx
            .header("x-request-id")
            .is_some_and(|id| id.len() == 16 && !id.contains(' ')),
        "{nginx:?}"
    );
}

#[tokio::test]
async fn a_browser_gets_a_page() {
    let server = Setup::default().start();
    let answer = server
        .ask("GET / HTTP/1.1\r\nhost: a\r\naccept: text/html,*/*;q=0.8\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (401, Some("text/html; charset=utf-8"))
    );
    assert!(answer.body.starts_with("<!doctype html>"));
}

#[tokio::test]
async fn legacy_and_bare_requests_are_auth_requests_too() {
    let server = Setup::default().start();
    for request in [
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://other.example/elastauth HTTP/1.1\r\nhost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "CONNECT other.example:443 HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "DELETE //a/../b%2f%2e%2e HTTP/1.1\r\nhost: a\r\n\r\n",
        "FOO /x HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
    ] {
        assert_eq!(server.ask(request).await.status, 401, "{request}");
    }
}

#[tokio::test]
async fn head_is_answered_without_a_body() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    stream
        .write_all(b"HEAD / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    timeout(LONG, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    assert!(
        text.starts_with("HTTP/1.1 401") && text.ends_with("\r\n\r\n"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_not_http_is_refused_by_the_http_layer() {
    let server = Setup::default().start();
    for request in [
        "GET /\r\n\r\n",
        "GET / HTTP/1.1\r\nremote-user : alice\r\n\r\n",
        "GET / HTTP/1.1\r\nremote-user: al\x01ice\r\n\r\n",
    ] {
        assert_eq!(server.ask(request).await.status, 400, "{request}");
    }
}

#[tokio::test]
async fn many_headers_are_taken_and_too_many_are_not() {
    let server = Setup::default().start();
    for (count, status) in [(150, 503), (158, 503), (161, 431)] {
        let many = (0..count).fold(String::new(), |text, n| text + &format!("x-{n}: v\r\n"));
        let request = format!("GET / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\n{many}\r\n");
        assert_eq!(server.ask(&request).await.status, status, "{count}");
    }
}

#[tokio::test]
async fn long_headers_are_taken_and_too_long_ones_are_not() {
    let server = Setup::default().start();
    for (name, bytes, status) in [
        ("x-long", 8_192, 503),
        ("x-long", 60_000, 503),
        ("x-long", 70_000, 431),
        ("remote-user", 8_192, 403),
    ] {
        let user = if name == "remote-user" {
            ""
        } else {
            "remote-user: alice\r\n"
        };
        let request = format!(
            "GET / HTTP/1.1\r\nhost: a\r\n{user}{name}: {}\r\n\r\n",
            "x".repeat(bytes)
        );
        assert_eq!(server.ask(&request).await.status, status, "{name} {bytes}");
    }
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let server = Setup::default().start();
    for announced in ["content-length: 11\r\n", "transfer-encoding: chunked\r\n"] {
        let mut stream = server.connect().await;
        stream
            .write_all(
                format!("POST / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\n{announced}\r\n")
                    .as_bytes(),
            )
            .await
            .unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 503, "{announced}");
        assert!(
            closes(&mut stream).await,
            "such a connection cannot be used again"
        );
    }
}

#[tokio::test]
async fn a_body_that_came_along_leaves_the_connection_good() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\ncontent-length: 5\r\n\r\nhello").await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 503);
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    for _ in 0..100 {
        stream.write_all(ALICE.as_bytes()).await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 503);
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let server = Setup::default().start();
    let mut stream = server.connect().await;
    let two = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".to_owned() + ALICE;
    stream.write_all(two.repeat(20).as_bytes()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(
            (
                Answer::read(&mut stream).await.status,
                Answer::read(&mut stream).await.status
            ),
            (401, 503)
        );
    }
}

#[tokio::test]
async fn health_is_told_to_anybody_and_the_reason_only_to_gateways() {
    let down: ClusterCheck = Arc::new(|| {
        Box::pin(async {
            Err(NotReady {
                why: "the cluster is away".to_owned(),
                is_refusal: false,
            })
        })
    });
    let gateway = Setup {
        check: Arc::clone(&down),
        ..Setup::default()
    }
    .start();
    let untrusted = Setup {
        proxies: "10.0.0.0/8",
        check: down,
        ..Setup::default()
    }
    .start();
    let fine = Setup::default().start();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");

    assert_eq!(
        untrusted.ask(&get("/elastauth/health")).await.json(),
        serde_json::json!({"status": "OK", "mode": "auth-only"})
    );
    let live = untrusted.ask(&get("/elastauth/live?x=1")).await.json();
    assert_eq!(
        (&live["status"], &live["mode"], &live["uptime"]),
        (&"OK".into(), &"auth-only".into(), &"0s".into())
    );

    let ready = fine.ask(&get("/elastauth/ready")).await;
    assert_eq!(
        (
            ready.status,
            &ready.json()["status"],
            &ready.json()["version"]
        ),
        (200, &"OK".into(), &env!("CARGO_PKG_VERSION").into())
    );
    for (server, is_trusted) in [(&gateway, true), (&untrusted, false)] {
        let ready = server.ask(&get("/elastauth/ready")).await;
        let body = ready.json();
        assert_eq!(
            (
                ready.status,
                &body["status"],
                &body["checks"]["elasticsearch"]["status"]
            ),
            (200, &"DEGRADED".into(), &"ERROR".into())
        );
        assert_eq!(
            body["checks"]["elasticsearch"].get("error").is_some(),
            is_trusted
        );
    }

    let posted = fine
        .ask("POST /elastauth/live HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert_eq!(
        (posted.status, posted.header("allow")),
        (405, Some("get, head"))
    );
    assert!(
        ["message", "code", "timestamp"]
            .iter()
            .all(|name| posted.json()[name].is_string()),
        "{posted:?}"
    );
}
