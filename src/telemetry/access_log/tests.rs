use super::*;
use crate::{clock::Timestamp, net::peer::Peer};
use serde_json::{Value, json};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{Condvar, Mutex},
};

const PEER: Peer = Peer::Ip(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5)));

fn record<'a>(user: &'a str, path: &'a str) -> AccessRecord<'a> {
    AccessRecord {
        at: Timestamp(1_700_000_000_123),
        request_id: "0af7651916cd43dd",
        trace_id: None,
        peer: PEER,
        user: Some(user),
        cluster: Some("default"),
        upstream: None,
        method: "GET",
        host: Some("es.example.org"),
        path,
        truncated: false,
        status: Some(200),
        outcome: None,
        bytes_in: 2,
        bytes_out: 3,
        took: Duration::from_micros(4_567),
        answered_after: Some(Duration::from_micros(4_001)),
        node: Some("http://es:9200/"),
        end: RequestEnd::Complete,
    }
}

fn line(format: Format, record: &AccessRecord<'_>) -> String {
    String::from_utf8(format::line(format, record).into()).unwrap()
}

#[test]
fn a_text_line_has_its_columns_whatever_is_in_them() {
    assert_eq!(
        line(Format::Text, &record("alice", "/logs/_search")),
        "2023-11-14T22:13:20.123Z 10.0.0.5 alice \"GET /logs/_search\" 200 complete in=2 out=3 \
         ms=4.567 answer_ms=4.001 cluster=default node=http://es:9200/ host=es.example.org \
         id=0af7651916cd43dd\n"
    );
    let hostile = line(
        Format::Text,
        &record("a\" b\n\u{1b}[31m", "/x\" 200\r\n'\u{7f}"),
    );
    assert!(
        hostile.contains(" a\\\"\\u{20}b\\n\\u{1b}[31m \"GET /x\\\"\\u{20}200\\r\\n'\\u{7f}\" "),
        "{hostile}"
    );
    assert_eq!(hostile.matches('\n').count(), 1);
}

#[test]
fn a_json_line_has_the_names_of_the_log() {
    let refused = AccessRecord {
        user: None,
        status: Some(401),
        outcome: Some("nobody_asks"),
        node: None,
        answered_after: None,
        end: RequestEnd::Refused,
        ..record("", "/a\nb")
    };
    let text = line(Format::Json, &refused);
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    assert_eq!(
        serde_json::from_str::<Value>(&text).unwrap(),
        json!({
            "@timestamp": "2023-11-14T22:13:20.123Z", "event": "access", "peer": "10.0.0.5",
            "method": "GET", "host": "es.example.org", "uri": "/a\nb", "status": 401,
            "outcome": "nobody_asks", "end": "refused", "bytes_in": 2, "bytes_out": 3,
            "duration_ms": 4.567, "cluster": "default", "request_id": "0af7651916cd43dd",
        })
    );
}

#[test]
fn a_line_in_the_common_schema() {
    let over_a_socket = AccessRecord {
        peer: Peer::Unix,
        ..record("alice", "/")
    };
    let text = line(Format::Ecs, &over_a_socket);
    let line: Value = serde_json::from_str(&text).unwrap();
    for (field, value) in [
        ("event.dataset", json!("elastauth.access")),
        ("event.duration", json!(4_567_000)),
        ("user.name", json!("alice")),
        ("source.address", json!("unix")),
        ("http.request.method", json!("GET")),
        ("url.domain", json!("es.example.org")),
        ("url.path", json!("/")),
        ("http.response.status_code", json!(200)),
        ("http.request.body.bytes", json!(2)),
        ("http.response.body.bytes", json!(3)),
        ("http.request.id", json!("0af7651916cd43dd")),
        ("server.address", json!("http://es:9200/")),
        ("elastauth.cluster", json!("default")),
        ("elastauth.end", json!("complete")),
    ] {
        assert_eq!(line[field], value, "{field} in {text}");
    }
    assert!(line.get("source.ip").is_none());
}

/// Standard output that takes nothing until it is opened.
#[derive(Clone, Default)]
struct Gate(Arc<GateState>);

#[derive(Default)]
struct GateState {
    /// Whether it is open, and what came through.
    held: Mutex<(bool, Vec<u8>)>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        self.0.held.lock().unwrap().0 = true;
        self.0.opened.notify_all();
    }

    fn lines(&self) -> usize {
        let written = self.0.held.lock().unwrap();
        written.1.split(|byte| *byte == b'\n').count() - 1
    }
}

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let held = self.0.held.lock().unwrap();
        let mut open = self.0.opened.wait_while(held, |(open, _)| !*open).unwrap();
        open.1.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_reader_that_stops_fills_the_queue_and_no_more() {
    let (gate, metrics) = (Gate::default(), Metrics::default());
    let log = AccessLog::start_on(
        Format::Json,
        Clock::default(),
        metrics.clone(),
        gate.clone(),
    );
    let log = log.unwrap();
    let all = 2 * QUEUE;
    for _ in 0..all {
        log.write(&record("alice", "/"));
    }
    gate.open();
    log.flush(LONG).await;
    let count = |result: &str| -> usize {
        let start = format!("elastauth_access_log_lines_total{{result=\"{result}\"}} ");
        let text = metrics.expose();
        let mut lines = text.lines();
        let found = lines.find_map(|line| line.strip_prefix(&start)?.parse().ok());
        found.unwrap_or_else(|| panic!("{start} in {text}"))
    };
    assert_eq!(count("written"), gate.lines());
    assert!(gate.lines() >= QUEUE && count("lost") > 0);
    assert_eq!(count("written") + count("lost"), all);
}

#[tokio::test]
async fn without_a_format_nothing_is_done() {
    let log = AccessLog::start(Format::Off, Clock::default(), Metrics::default()).unwrap();
    log.write(&record("alice", "/"));
    log.flush(LONG).await;
    assert!(!log.is_on());
}
