//! `elasticsearch.hosts` names something else than an Elasticsearch cluster with its security: the
//! log says so within seconds of the start, before anybody has come, and so do readiness and
//! `check --online`.

use crate::support::{
    stage::{GATEWAY_KEY, Plan, Stage},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StandIn};
use elastauth::internals::shutdown::Tasks;
use http::StatusCode;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// Answers every connection with these bytes after the first that come, and closes it.
async fn answering(bytes: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _request = stream.read(&mut [0; 4096]).await;
                let _gone = stream.write_all(bytes).await;
                let _gone = stream.shutdown().await;
            });
        }
    });
    port
}

fn http(status: &str, headers: &str, body: &str) -> &'static [u8] {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\n{headers}content-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    Box::leak(text.into_boxed_str()).as_bytes()
}

const NO_HANDLER: &str = r#"{"error":"no handler found for uri [/_security/_authenticate] and method [GET]","status":400}"#;

#[tokio::test]
async fn what_answers_instead_of_a_cluster_is_named() {
    let cases: [(&str, &[u8], &str); 8] = [
        (
            "http",
            http(
                "400 Bad Request",
                "X-elastic-product: Elasticsearch\r\n",
                NO_HANDLER,
            ),
            "security is switched off",
        ),
        (
            "http",
            http(
                "302 Found",
                "osd-name: dashboards\r\nlocation: /app/login\r\n",
                "",
            ),
            "this is OpenSearch Dashboards",
        ),
        (
            "http",
            http("400 Bad Request", "", NO_HANDLER),
            "no security API",
        ),
        (
            "http",
            http("302 Found", "kbn-name: kibana\r\nlocation: /login\r\n", ""),
            "this is Kibana",
        ),
        (
            "http",
            http(
                "410 Gone",
                "",
                r#"{"error":{"type":"api_not_available_exception","reason":"x"},"status":410}"#,
            ),
            "Serverless",
        ),
        // A TLS alert, and a server that closes without a word.
        ("http", b"\x15\x03\x03\x00\x02\x02\x50", "write `https://`"),
        ("http", b"", "write `https://`"),
        (
            "https",
            http("400 Bad Request", "", "{}"),
            "write `http://`",
        ),
    ];
    for (scheme, bytes, expected) in cases {
        let port = answering(bytes).await;
        let stage = Stage::planned(Plan {
            hosts: Some(vec![format!("{scheme}://127.0.0.1:{port}")]),
            ..Plan::default()
        })
        .await;
        until(expected, || {
            let log = stage.elastauth.log();
            log.lines()
                .any(|line| line.contains("WARN") && line.contains(expected))
        })
        .await;
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let ready = stage.gateway().get("/elastauth/ready", &key).await;
        assert!(
            ready.text().contains(expected),
            "{expected}: {}",
            ready.text()
        );
        let checked = stage.elastauth.command(&["check", "--online"]).await;
        let said = format!("{checked:?}");
        assert!(
            !checked.status.success() && said.contains(expected),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_version_that_nobody_has_tried_is_a_warning_and_no_refusal() {
    let elastic = |number: &str| {
        format!(r#"{{"version":{{"number":"{number}"}},"tagline":"You Know, for Search"}}"#)
    };
    for (body, words) in [
        (elastic("10.1.0"), "made for Elasticsearch 7.17, 8 and 9"),
        (elastic("7.10.2"), "made for Elasticsearch 7.17, 8 and 9"),
        (
            r#"{"version":{"number":"1.3.20","distribution":"opensearch"}}"#.to_owned(),
            "made for OpenSearch 2 and 3",
        ),
    ] {
        let port = answering(http("200 OK", "", &body)).await;
        let stage = Stage::planned(Plan {
            hosts: Some(vec![format!("http://127.0.0.1:{port}")]),
            ..Plan::default()
        })
        .await;
        until(words, || {
            let log = stage.elastauth.log();
            let mut lines = log.lines();
            lines.any(|line| {
                line.contains("WARN")
                    && line.contains(words)
                    && line.contains("cluster=\"default\"")
            })
        })
        .await;
        let alive = stage.gateway().get("/elastauth/live", &[]).await;
        assert_eq!(alive.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_wrong_service_password_is_in_the_log_before_anybody_comes() {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    cluster.fault(Fault::new(
        Endpoint::Check,
        Misbehaviour::Status(StatusCode::UNAUTHORIZED),
    ));
    let stage = Stage::before(cluster, tasks, Plan::default()).await;
    let warned = || {
        let log = stage.elastauth.log();
        log.matches("the cluster refuses the service account")
            .count()
    };
    until("the warning", || warned() == 1).await;
    until("it asks again", || stage.cluster.checks() > 2).await;
    assert_eq!(warned(), 1, "one reason is reported once");
    stage.cluster.clear_faults();
    until("it works", || {
        stage
            .elastauth
            .log()
            .contains("accepts the service account now")
    })
    .await;
}

#[tokio::test]
async fn a_security_index_that_takes_no_write_is_named() {
    let named = "the security index is blocked for writing";
    let stage = Stage::usual().await;
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::WriteBlocked));
    stage.says(&stage.ask("alice", "dev").await, 503, "unavailable");
    until(named, || stage.elastauth.log().contains(named)).await;
}
