//! On the listener of clients, pages and actions of operators are for processes of this machine.

use super::setup::read_answer;
use crate::support::elastauth::Elastauth;
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use tokio::io::AsyncWriteExt as _;

const PAGES: [&str; 7] = [
    "GET /elastauth/metrics",
    "GET /elastauth/config",
    "GET /elastauth/docs",
    "GET /elastauth/api/openapi.yaml",
    "GET /elastauth/admin/users",
    "POST /elastauth/admin/users/alice/revoke",
    "POST /elastauth/admin/users/alice/disable",
];

/// What looks like a path that does not exist.
const HIDDEN: &str = "\"code\":\"not_found\"";

/// Behind a balancer that names the address of each client.
async fn behind_a_balancer(tasks: &Tasks) -> (StandIn, Elastauth) {
    let cluster = StandIn::start(tasks).await.unwrap();
    let config = format!(
        "listen: 127.0.0.1:0\nenable_metrics: true\nproxy: {{enabled: true}}\n\
         proxy_protocol: {{from: [127.0.0.1]}}\nauth_provider: authelia\n\
         secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
         elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n",
        cluster.url(),
        cluster.service_password(),
    );
    (cluster, Elastauth::start_anywhere(&config, &[]).await)
}

async fn ask(elastauth: &Elastauth, source: &str, line: &str, more: &str) -> String {
    let mut stream = elastauth.server().connect().await.unwrap();
    let text = format!(
        "PROXY TCP4 {source} 127.0.0.1 56324 443\r\n\
         {line} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n"
    );
    stream.write_all(text.as_bytes()).await.unwrap();
    read_answer(&mut stream).await
}

#[tokio::test]
async fn a_client_in_a_private_network_is_no_operator() {
    let tasks = Tasks::default();
    let (_cluster, elastauth) = behind_a_balancer(&tasks).await;
    for line in PAGES {
        for (source, more) in [
            ("10.1.2.3", ""),
            ("192.168.1.2", ""),
            ("203.0.113.7", ""),
            ("10.1.2.3", "remote-user: alice\r\n"),
            ("127.0.0.1", "x-forwarded-for: 10.1.2.3\r\n"),
            ("127.0.0.1", "via: 1.1 gateway\r\n"),
        ] {
            let answer = ask(&elastauth, source, line, more).await;
            assert!(
                answer.starts_with("HTTP/1.1 404 ") && answer.contains(HIDDEN),
                "{line} {source} {more}: {answer}"
            );
        }
        let own = ask(&elastauth, "127.0.0.1", line, "").await;
        assert!(!own.contains(HIDDEN), "{line}: {own}");
    }
    for path in ["health", "live", "ready"] {
        let line = format!("GET /elastauth/{path}");
        let answer = ask(&elastauth, "10.1.2.3", &line, "").await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
}
