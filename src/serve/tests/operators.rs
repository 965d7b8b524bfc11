//! Who gets a page, and that no auth request gets one.

use super::*;
use crate::serve::admin::{DOCS, OPENAPI};
use serde_json::json;

const PAGES: [&str; 5] = [
    "/elastauth/metrics",
    "/elastauth/config",
    "/elastauth/docs",
    "/elastauth/api/openapi.yaml",
    "/elastauth/openapi.yaml",
];
const OLD: [&str; 3] = ["/health", "/metrics", "/config"];

fn with_pages() -> Setup {
    Setup {
        admin: AdminConfig {
            listen: None,
            metrics: true,
            ..AdminConfig::default()
        },
        ..Setup::default()
    }
}

async fn get(server: &Running, path: &str, headers: &str) -> Answer {
    server
        .ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
        ))
        .await
}

/// Nobody asks, so a decision is a 401 with our challenge and no page is.
fn is_decision(answer: &Answer) -> bool {
    answer.status == 401 && answer.header("www-authenticate").is_some()
}

#[tokio::test]
async fn a_trusted_peer_sees_the_pages() {
    let server = with_pages().start();
    assert!(is_decision(&get(&server, "/", "").await));
    let metrics = get(&server, "/elastauth/metrics", "").await;
    assert_eq!(
        (metrics.status, metrics.header("content-type")),
        (200, Some("text/plain; version=0.0.4; charset=utf-8"))
    );
    assert!(
        metrics
            .body
            .contains("elastauth_decisions_total{cluster=\"default\",outcome=\"nobody_asks\",provider=\"none\"} 1\n"),
        "{}",
        metrics.body
    );
    assert!(
        metrics
            .body
            .contains("elastauth_decision_duration_seconds_count 1\n")
    );
    assert_eq!(
        get(&server, "/elastauth/config", "").await.json(),
        json!({"elasticsearch": {"password": "***"}, "requires_restart": []})
    );
    let docs = get(&server, "/elastauth/docs", "").await;
    assert_eq!(
        (docs.status, docs.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(
        docs.header("content-security-policy")
            .is_some_and(|policy| policy.starts_with("default-src 'none'"))
    );
    for path in [
        "/elastauth/api/openapi.yaml",
        "/elastauth/openapi.yaml",
        "/elastauth/openapi.yaml?x=1",
    ] {
        let answer = get(&server, path, "").await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some("application/yaml")),
            "{path}"
        );
    }
    let absolute = get(&server, "http://localhost/elastauth/docs", "").await;
    assert_eq!(
        absolute.status, 200,
        "the absolute form names the same page"
    );
    for (path, word) in [
        ("/health", "mode"),
        ("/metrics", "elastauth_decisions_total"),
        ("/config", "***"),
    ] {
        let answer = get(&server, path, "").await;
        assert!(answer.status == 200 && answer.body.contains(word), "{path}");
    }
}

#[tokio::test]
async fn an_untrusted_peer_learns_nothing() {
    let untrusted = Setup {
        proxies: "10.0.0.0/8",
        ..with_pages()
    }
    .start();
    let keyless = Setup {
        keys: &["correct-horse-battery"],
        ..with_pages()
    }
    .start();
    for server in [&untrusted, &keyless] {
        for path in PAGES {
            let answer = get(server, path, "").await;
            let body = answer.json();
            assert_eq!(
                (answer.status, &body["message"], &body["code"]),
                (404, &json!("There is nothing here."), &json!("not_found")),
                "{path}"
            );
            assert!(
                body["timestamp"]
                    .as_str()
                    .is_some_and(|at| at.ends_with('Z')),
                "{body}"
            );
        }
        for path in OLD {
            assert!(
                [401, 403].contains(&get(server, path, "").await.status),
                "{path}"
            );
        }
    }
    assert_eq!(
        get(
            &keyless,
            "/elastauth/metrics",
            "x-elastauth-key: correct-horse-battery\r\n"
        )
        .await
        .status,
        200
    );
}

#[tokio::test]
async fn another_spelling_is_an_auth_request() {
    let server = with_pages().start();
    for path in [
        "/elastauth/metrics/",
        "//elastauth/metrics",
        "/elastauth//metrics",
        "/elastauth/%6detrics",
        "/elastauth/metrics;x",
        "/elastauth/metrics%3fx",
        "/elastauth/Metrics",
        "/elastauth/./metrics",
        "/elastauth/x/../metrics",
        "/elastauth/ext-authz/elastauth/metrics",
        "/elastauth/ext-authz/metrics",
        "/elastauth/config.yml",
        "/elastauth/api",
        "/elastauth/api/openapi.yaml/",
        "/metrics/",
        "//metrics",
        "/metrics?x=1",
        "/metrics?",
        "/config?",
        "/health?",
        "/Health",
        "/%68ealth",
        "/health;x",
        "http://other.example/metrics/",
    ] {
        let answer = get(&server, path, "").await;
        assert!(is_decision(&answer), "{path}: {answer:?}");
    }
    let nginx = get(&server, "/elastauth/auth-request?/elastauth/metrics", "").await;
    assert_eq!((nginx.status, nginx.body.as_str()), (401, ""));
}

#[tokio::test]
async fn what_a_gateway_sends_is_an_auth_request_on_every_path() {
    let server = with_pages().start();
    for header in [
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-uri: /metrics",
        "X-Forwarded-Anything: ",
        "x-original-uri: /metrics",
        "x-original-url: /metrics",
        "x-real-ip: 192.0.2.1",
        "x-envoy-internal: true",
        "x-envoy-expected-rq-timeout-ms: 200",
        "x-auth-request-redirect: /",
        "forwarded: for=192.0.2.1",
        "via: 1.1 gateway",
        "remote-groups: dev",
    ] {
        for path in PAGES.into_iter().chain(OLD) {
            let answer = get(&server, path, &format!("{header}\r\n")).await;
            assert!(is_decision(&answer), "{path} {header}: {answer:?}");
        }
    }
    // An identity gets as far as the cluster, which is away.
    for path in PAGES.into_iter().chain(OLD) {
        assert_eq!(
            get(&server, path, "remote-user: alice\r\n").await.status,
            503,
            "{path}"
        );
    }
}

#[tokio::test]
async fn only_get_is_old_and_only_get_and_head_are_pages() {
    let server = with_pages().start();
    for path in OLD {
        for method in ["POST", "HEAD", "OPTIONS"] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            let mut stream = server.connect().await;
            tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
                .await
                .unwrap();
            let mut text = String::new();
            tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut text)
                .await
                .unwrap();
            assert!(text.starts_with("HTTP/1.1 401 "), "{method} {path}: {text}");
        }
    }
    for path in PAGES {
        let answer = server
            .ask(&format!("POST {path} HTTP/1.1\r\nhost: localhost\r\n\r\n"))
            .await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("get, head")),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_user_is_checked_again_when_an_operator_says_so() {
    let server = with_pages().start();
    let ask = async |method: &str, name: &str, headers: &str| {
        server.ask(&format!("{method} /elastauth/admin/users/{name}/recheck HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await
    };
    for (name, user) in [
        ("alice", "alice"),
        ("a%20b%2Fc", "a b/c"),
        ("%2e%2e%2F", "../"),
        ("a+b", "a+b"),
    ] {
        let answer = ask("POST", name, "").await;
        let body = json!({"user": user, "known": false, "other_replicas": "not_told", "message": "The next request of this user asks the cluster."});
        assert_eq!((answer.status, answer.json()), (200, body), "{name}");
    }
    for name in [
        "a%2",
        "%zz",
        "%",
        "%ff",
        "a%3Ab",
        "a%0Ab",
        "%20a",
        "%2e",
        &"x".repeat(508),
    ] {
        let answer = ask("POST", name, "").await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (400, &"malformed_user".into()),
            "{name}"
        );
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = ask(method, "alice", "").await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("post")),
            "{method}"
        );
    }
    // A gateway asks on behalf of a client, whatever the path says.
    for header in [
        "x-forwarded-uri: /x\r\n",
        "x-original-uri: /x\r\n",
        "via: 1.1 gateway\r\n",
        "remote-groups: dev\r\n",
    ] {
        assert!(is_decision(&ask("POST", "alice", header).await), "{header}");
    }
    for path in [
        "users//recheck",
        "users/a/b/recheck",
        "users/a/recheck/",
        "users/recheck",
        "users/a",
        "users/a/Recheck",
    ] {
        let answer = server
            .ask(&format!(
                "POST /elastauth/admin/{path} HTTP/1.1\r\nhost: localhost\r\n\r\n"
            ))
            .await;
        assert!(is_decision(&answer), "{path}: {answer:?}");
    }
    let untrusted = Setup {
        proxies: "10.0.0.0/8",
        ..with_pages()
    }
    .start();
    let answer = untrusted
        .ask("POST /elastauth/admin/users/alice/recheck HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (404, &"not_found".into())
    );
}

#[tokio::test]
async fn what_is_switched_off_says_so_or_is_an_auth_request() {
    let server = Setup {
        admin: AdminConfig::default(),
        ..Setup::default()
    }
    .start();
    let metrics = get(&server, "/elastauth/metrics", "").await;
    assert_eq!(
        (metrics.status, &metrics.json()["code"]),
        (404, &"metrics_off".into())
    );
    assert!(is_decision(&get(&server, "/metrics", "").await));
    assert_eq!(get(&server, "/config", "").await.status, 200);
}

#[tokio::test]
async fn a_listener_of_their_own_has_all_pages_and_no_decision() {
    let setup = Setup {
        proxies: "10.0.0.0/8",
        admin: AdminConfig {
            listen: Some(([127, 0, 0, 1], 0).into()),
            metrics: true,
            ..AdminConfig::default()
        },
        ..with_pages()
    };
    let server = setup.start();
    let admin = server.admin.as_ref().unwrap();
    let ask = async |path: &str, headers: &str| {
        admin
            .ask(&format!(
                "GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n"
            ))
            .await
    };
    for path in
        PAGES
            .into_iter()
            .chain(OLD)
            .chain(["/elastauth/live", "/elastauth/ready", "/metrics?x"])
    {
        // A sidecar in front of a scraper may add what it likes: nothing is an auth request here.
        assert_eq!(
            ask(path, "x-forwarded-for: 192.0.2.1\r\n").await.status,
            200,
            "{path}"
        );
    }
    for path in [
        "/",
        "/elastauth",
        "/elastauth/auth-request",
        "/elastauth/ext-authz/x",
        "/elastauth/metrics/",
        "/elastauth/oidc/backchannel-logout",
    ] {
        let answer = ask(path, "remote-user: alice\r\nremote-groups: dev\r\n").await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (404, &"not_found".into()),
            "{path}"
        );
    }
    for path in PAGES {
        assert_eq!(get(&server, path, "").await.status, 404, "{path}");
    }
    for path in OLD {
        assert!(is_decision(&get(&server, path, "").await), "{path}");
    }
}

#[test]
fn the_page_names_every_path_of_the_description() {
    let paths = OPENAPI
        .lines()
        .filter_map(|line| line.strip_prefix("  /")?.strip_suffix(':'))
        .collect::<Vec<_>>();
    assert!(paths.len() >= 15, "{paths:?}");
    for path in paths {
        let named = [format!(">/{path}<"), format!("\"/{path}\"")];
        assert!(
            named.iter().any(|name| DOCS.contains(name)),
            "/{path} is not on the page"
        );
    }
    for foreign in [
        "http:", "https:", "<script", "<link", "<img", "@import", "url(",
    ] {
        assert!(
            !DOCS.contains(foreign),
            "the page loads or links something: {foreign}"
        );
    }
    assert!(OPENAPI.contains(&format!("  version: {}\n", env!("CARGO_PKG_VERSION"))));
}

#[tokio::test]
async fn readiness_names_listeners_without_a_barrier_to_trusted_peers() {
    let checks = async |setup: Setup| {
        let server = setup.start();
        let answer = get(&server, "/elastauth/ready", "").await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.json()["checks"]["trust"].clone()
    };
    let open = || Setup {
        unprotected: vec!["0.0.0.0:5000".to_owned()],
        ..Setup::default()
    };
    let trust = checks(open()).await;
    assert_eq!(trust["status"], "UNPROTECTED");
    let why = trust["error"].as_str().unwrap();
    assert!(
        why.contains("0.0.0.0:5000") && why.contains("`trusted_proxies`"),
        "{why}"
    );
    let untrusted = Setup {
        proxies: "127.0.0.2/32",
        ..open()
    };
    assert_eq!(checks(untrusted).await, json!(null));
    assert_eq!(checks(Setup::default()).await, json!(null));
}
