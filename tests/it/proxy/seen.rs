//! What operators see of requests that are passed on: the access log, the audit stream, the metrics
//! and the spans.

use super::setup::{Connection, OK, Setup, header, read_head, request};
use crate::support::{
    collector::{Collector, Mood, text},
    stage::{GATEWAY_KEY, Stage},
    until,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

const LINES: &str = "access_log: json\naudit: {path: /etc/elastauth/audit.jsonl, requests: all}\n\
                     enable_metrics: true\n";

/// The lines of the access log, which is on standard output.
fn lines(stage: &Stage) -> Vec<Value> {
    let log = stage.elastauth.log();
    let lines = log.lines().filter(|line| line.starts_with("{\"@timestamp"));
    lines
        .map(|line| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}")))
        .collect()
}

async fn first_lines(stage: &Stage, count: usize) -> Vec<Value> {
    until("the access log", || lines(stage).len() >= count).await;
    let lines = lines(stage);
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

/// The events about requests in the audit stream.
async fn audited(stage: &Stage, count: usize) -> Vec<Value> {
    let events = || {
        let text = stage.elastauth.file("audit.jsonl");
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let events = events.filter(|event: &Value| event["event"] == "request");
        events.collect::<Vec<Value>>()
    };
    until("the audit stream", || events().len() >= count).await;
    let events = events();
    assert_eq!(events.len(), count, "{events:#?}");
    events
}

/// Reads each body by its length, and answers.
async fn reads_bodies(mut connection: Connection) {
    while let Some(head) = connection.head().await {
        let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        connection.body(length).await;
        connection.say(OK.as_bytes()).await;
    }
}

#[tokio::test]
async fn each_request_has_a_line_an_audit_event_and_numbers() {
    let setup = Setup::with(LINES, reads_bodies).await;
    let stage = &setup.stage;
    setup
        .ask(&request(
            "GET /logs-*,old/_search?q=secret-word",
            "alice",
            "x-request-id: one\r\nx-opaque-id: secret-word\r\n",
        ))
        .await;
    let put = request("PUT /orders/_doc/%3C1%3E", "alice", "REST");
    let put = put.replace("REST\r\n", "content-length: 11\r\n\r\nsecret-word");
    setup.ask(&put).await;
    setup
        .ask(&request("POST /_bulk", "alice", "content-length: 0\r\n"))
        .await;
    let nobody = format!("GET /a HTTP/1.1\r\nhost: es\r\nx-elastauth-key: {GATEWAY_KEY}\r\n\r\n");
    let refused = setup.ask(&nobody).await;
    let lines = first_lines(stage, 4).await;
    let node = format!("http://127.0.0.1:{}", setup.upstream.port);
    for (line, method, uri, bytes_in) in [
        (&lines[0], "GET", "/logs-*,old/_search", 0),
        (&lines[1], "PUT", "/orders/_doc/%3C1%3E", 11),
        (&lines[2], "POST", "/_bulk", 0),
    ] {
        for (field, value) in [
            ("event", json!("access")),
            ("user", json!("alice")),
            ("peer", json!("127.0.0.1")),
            ("method", json!(method)),
            ("host", json!("es.example:9200")),
            ("uri", json!(uri)),
            ("status", json!(200)),
            ("end", json!("complete")),
            ("bytes_in", json!(bytes_in)),
            ("bytes_out", json!(2)),
            ("cluster", json!("default")),
            ("node", json!(node)),
            ("outcome", Value::Null),
        ] {
            assert_eq!(line[field], value, "{field}: {line:#}");
        }
        assert!(line["duration_ms"].as_f64() >= line["answer_ms"].as_f64());
    }
    assert_eq!(lines[0]["request_id"], "one");
    let refusal = &lines[3];
    assert_eq!(
        (&refusal["status"], &refusal["end"], &refusal["outcome"]),
        (&json!(401), &json!("refused"), &json!("nobody_asks"))
    );
    // The same id is in the answer, and in the line of the log.
    let id = refusal["request_id"].as_str().unwrap();
    assert_eq!(header(&refused, "x-request-id"), Some(id));
    assert!(
        stage
            .elastauth
            .log()
            .contains(&format!("request_id=\"{id}\""))
    );
    let events = audited(stage, 3).await;
    for (event, method, index, writes) in [
        (&events[0], "GET", json!("logs-*,old"), false),
        (&events[1], "PUT", json!("orders"), true),
        (&events[2], "POST", Value::Null, true),
    ] {
        for (field, value) in [
            ("cluster", json!("default")),
            ("user", json!("alice")),
            ("provider", json!("authelia")),
            ("method", json!(method)),
            ("index", index.clone()),
            ("writes", json!(writes)),
            ("status", json!(200)),
        ] {
            assert_eq!(event[field], value, "{field}: {event:#}");
        }
    }
    let (log, audit) = (stage.elastauth.log(), stage.elastauth.file("audit.jsonl"));
    assert!(!log.contains("secret-word") && !audit.contains("secret-word"));
    for (series, count) in [
        (
            "requests_total{cluster=\"default\",method=\"GET\",status=\"2xx\"}",
            1,
        ),
        (
            "requests_total{cluster=\"default\",method=\"PUT\",status=\"2xx\"}",
            1,
        ),
        (
            "requests_total{cluster=\"default\",method=\"GET\",status=\"4xx\"}",
            1,
        ),
        (
            "request_duration_seconds_count{cluster=\"default\",method=\"POST\",status=\"2xx\"}",
            1,
        ),
        (
            "errors_total{cluster=\"default\",error_type=\"auth_failed\"}",
            1,
        ),
        ("active_requests", 0),
        ("authentication_total{result=\"success\"}", 3),
        ("authentication_total{result=\"failure\"}", 1),
    ] {
        let series = format!("elastauth_proxy_{series}");
        assert_eq!(stage.number(&series).await, count, "{series}");
    }
}

#[tokio::test]
async fn of_writes_alone_searches_are_left_out() {
    let audit = "audit: {path: /etc/elastauth/audit.jsonl, requests: writes}\n";
    let setup = Setup::with(audit, reads_bodies).await;
    for line in [
        "GET /a/_doc/1",
        "POST /a/_search",
        "DELETE /a",
        "DELETE /_pit",
    ] {
        setup
            .ask(&request(line, "alice", "content-length: 0\r\n"))
            .await;
    }
    let events = audited(&setup.stage, 1).await;
    assert_eq!(
        (&events[0]["method"], &events[0]["index"]),
        (&json!("DELETE"), &json!("a"))
    );
    // Without `access_log` there is none.
    assert!(lines(&setup.stage).is_empty());
}

/// A client could hide what it does behind what a line repeats of its path.
#[tokio::test]
async fn a_path_that_is_cut_is_judged_whole_and_always_recorded() {
    let lines_of_writes = LINES.replace("requests: all", "requests: writes");
    let setup = Setup::with(&lines_of_writes, reads_bodies).await;
    let long = "a,".repeat(1_000);
    for line in [
        format!("POST /{long}/_search"),
        format!("POST /{long}/_doc"),
        // Its first 1,024 bytes are a search.
        format!("POST /_search/scroll/{}/x", "a".repeat(2_000)),
        "POST /a/_search".to_owned(),
    ] {
        setup
            .ask(&request(&line, "alice", "content-length: 0\r\n"))
            .await;
    }
    let accessed = first_lines(&setup.stage, 4).await;
    let events = audited(&setup.stage, 3).await;
    for (at, writes) in [false, true, true].into_iter().enumerate() {
        let event = &events[at];
        assert_eq!(event["writes"], json!(writes), "{event}");
        for line in [event, &accessed[at]] {
            assert_eq!(line["truncated"], json!(true), "{line}");
            assert_eq!(line["uri"].as_str().unwrap().len(), 1_024, "{line}");
        }
    }
    assert_eq!(events[1]["index"].as_str().unwrap().len(), 1_024);
    assert_eq!(accessed[3]["truncated"], Value::Null);
}

#[tokio::test]
async fn a_line_says_who_ended_an_answer_too_early() {
    let setup = Setup::with(LINES, |mut connection| async move {
        let Some(head) = connection.head().await else {
            return;
        };
        if head.starts_with("GET /cut ") {
            connection
                .say(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc")
                .await;
        } else {
            // Until the client has left.
            while connection.head().await.is_some() {}
        }
    })
    .await;
    let stage = &setup.stage;
    let mut cut = setup.connect().await;
    cut.write_all(request("GET /cut", "alice", "").as_bytes())
        .await
        .unwrap();
    read_head(&mut cut).await.unwrap();
    let line = &first_lines(stage, 1).await[0];
    assert_eq!(
        (&line["end"], &line["status"], &line["bytes_out"]),
        (&json!("cut"), &json!(200), &json!(3))
    );
    let mut leaves = setup.connect().await;
    leaves
        .write_all(request("GET /slow", "alice", "").as_bytes())
        .await
        .unwrap();
    until("the request", || setup.upstream.heads().len() == 2).await;
    assert_eq!(stage.number("elastauth_proxy_active_requests").await, 1);
    drop(leaves);
    let line = &first_lines(stage, 2).await[1];
    assert_eq!(
        (&line["end"], &line["status"], &line["uri"]),
        (&json!("client_gone"), &Value::Null, &json!("/slow"))
    );
    assert_eq!(audited(stage, 2).await[1]["status"], Value::Null);
    for (error, count) in [("answer_cut", 1), ("client_gone", 1)] {
        let series =
            format!("elastauth_proxy_errors_total{{cluster=\"default\",error_type=\"{error}\"}}");
        assert_eq!(stage.number(&series).await, count, "{series}");
    }
    let unknown =
        "elastauth_proxy_requests_total{cluster=\"default\",method=\"GET\",status=\"unknown\"}";
    assert_eq!(stage.number(unknown).await, 1);
}

#[tokio::test]
async fn a_line_says_that_the_cluster_did_not_answer() {
    let setup = Setup::with(LINES, |mut connection| async move {
        connection.head().await;
    })
    .await;
    let answer = setup.ask(&request("GET /a", "alice", "")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    let line = &first_lines(&setup.stage, 1).await[0];
    assert_eq!(
        (&line["end"], &line["status"], &line["outcome"]),
        (&json!("refused"), &json!(502), &json!("bad_answer"))
    );
    let id = line["request_id"].as_str().unwrap();
    assert_eq!(header(&answer, "x-request-id"), Some(id));
    let event = &audited(&setup.stage, 1).await[0];
    assert_eq!(
        (&event["outcome"], &event["status"]),
        (&json!("bad_answer"), &json!(502))
    );
}

#[tokio::test]
async fn no_client_can_write_a_line_of_its_own() {
    let setup = Setup::with("access_log: text\n", reads_bodies).await;
    // Of such bytes hyper lets through these.
    let asked = request("GET /a\"b'{c}|d?secret", "alice", "x-request-id: a\"b\r\n");
    let answer = setup.ask(&asked).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let expected = " 127.0.0.1 alice \"GET /a\\\"b'{c}|d\" 200 complete in=0 out=2 ms=";
    until("the line", || {
        setup.stage.elastauth.log().contains(expected)
    })
    .await;
    assert!(setup.stage.elastauth.log().contains(" id=a\\\"b\n"));
}

#[tokio::test]
async fn the_call_is_a_span_in_the_trace_that_goes_on() {
    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    let collector = Collector::start(Mood::Good).await;
    let endpoint = collector.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let more = "enableOtel: true\naccess_log: json\n";
    let setup = Setup::with_environment(more, &environment, reads_bodies).await;
    let of_gateway = format!("traceparent: 00-{TRACE}-b7ad6b7169203331-01\r\n");
    setup.ask(&request("GET /a", "alice", &of_gateway)).await;
    until("the spans", || {
        let spans = collector.spans();
        spans.iter().any(|span| span.name == "GET") && spans.iter().any(|span| span.name == "GET /")
    })
    .await;
    let spans = collector.spans();
    let span = |name: &str| spans.iter().find(|span| span.name == name).unwrap();
    let (decision, call) = (span("GET /"), span("GET"));
    assert_eq!(call.parent_span_id, decision.span_id);
    assert_eq!(call.trace_id, decision.trace_id);
    assert_eq!(
        text(&call.attributes, "server.address").as_deref(),
        Some("127.0.0.1")
    );
    let span_id = u64::from_be_bytes(call.span_id.as_slice().try_into().unwrap());
    let head = setup.upstream.heads()[0].clone();
    assert_eq!(
        header(&head, "traceparent"),
        Some(&*format!("00-{TRACE}-{span_id:016x}-01"))
    );
    assert_eq!(first_lines(&setup.stage, 1).await[0]["trace_id"], TRACE);
    // A client's own trace is not ours to change.
    let mut stream = setup.stage.untrusted().connect().await.unwrap();
    let own = format!("00-{}-b7ad6b7169203331-01", TRACE.replace('0', "1"));
    let untrusted = request("GET /b", "alice", &format!("traceparent: {own}\r\n"));
    stream.write_all(untrusted.as_bytes()).await.unwrap();
    let refused = read_head(&mut stream).await.unwrap();
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
}
