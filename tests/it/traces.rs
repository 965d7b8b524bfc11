//! Traces of the running program: what a collector gets, on a real socket, and what becomes of
//! logins when it is in trouble.

use crate::support::{
    collector::{Collector, Mood},
    find,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    tls::Authority,
    until,
};
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use std::time::Duration;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
const MARK: &str = "MARKED-not-to-be-seen";

fn traceparent(flags: &str) -> String {
    format!("00-{TRACE}-{PARENT}-{flags}")
}

/// elastauth with traces to this collector, sent at once unless `more` says otherwise.
async fn stage(collector: &Collector, more: &[(&str, &str)]) -> Stage {
    let endpoint = collector.url();
    let headers = format!("authorization=Bearer%20{MARK}");
    let usual = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_EXPORTER_OTLP_HEADERS", &headers),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let environment: Vec<_> = usual
        .into_iter()
        .filter(|(name, _)| more.iter().all(|(own, _)| own != name))
        .chain(more.iter().copied())
        .collect();
    let plan = Plan {
        more: "enableOtel: true\nenable_metrics: true\n",
        environment: &environment,
        ..Plan::default()
    };
    Stage::planned(plan).await
}

/// Asks with these headers; the status.
async fn ask(stage: &Stage, headers: &[(&str, &str)]) -> u16 {
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    stage
        .send(
            stage.gateway(),
            question("/elastauth/forward-auth", &headers),
        )
        .await
        .status
        .as_u16()
}

/// A number that the program exposes.
async fn number(stage: &Stage, series: &str) -> u64 {
    let text = stage
        .gateway()
        .get("/elastauth/metrics", &[("x-elastauth-key", GATEWAY_KEY)])
        .await
        .text();
    let found = text
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    found
        .unwrap_or_else(|| panic!("{series} is not in {text}"))
        .parse()
        .unwrap()
}

/// Waits until a number has got there.
async fn reaches(stage: &Stage, series: &str, least: u64) {
    let there = async || (number(stage, series).await >= least).then_some(());
    find(series, Duration::from_secs(10), there).await;
}

/// The decision's span. There is one.
fn decision(spans: &[Span]) -> &Span {
    let mut found = spans
        .iter()
        .filter(|span| span.kind == SpanKind::Server as i32);
    let span = found.next().expect("a decision");
    assert!(found.next().is_none(), "{spans:#?}");
    span
}

fn text(span: &Span, key: &str) -> Option<String> {
    crate::support::collector::text(&span.attributes, key)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test]
async fn a_login_is_a_span_in_the_gateways_trace_with_the_calls_to_the_cluster_in_it() {
    let collector = Collector::start(Mood::Good).await;
    let stage = stage(
        &collector,
        &[
            ("OTEL_SERVICE_NAME", "sso"),
            ("OTEL_RESOURCE_ATTRIBUTES", "team=search"),
        ],
    )
    .await;
    assert_eq!(
        ask(
            &stage,
            &[
                ("remote-user", "alice"),
                ("remote-groups", "dev"),
                ("traceparent", &traceparent("01"))
            ]
        )
        .await,
        200
    );
    until("the login's spans", || collector.spans().len() >= 4).await;
    let spans = collector.spans();
    let span = decision(&spans);
    assert_eq!(
        (hex(&span.trace_id), hex(&span.parent_span_id)),
        (TRACE.to_owned(), PARENT.to_owned())
    );
    assert_eq!(
        (span.name.as_str(), span.flags),
        ("GET /elastauth/forward-auth", 0x301)
    );
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/elastauth/forward-auth"),
        ("http.response.status_code", "200"),
        ("network.peer.address", "127.0.0.1"),
        ("elastauth.outcome", "granted"),
        ("elastauth.provider", "authelia"),
        ("user.name", "alice"),
    ] {
        assert_eq!(text(span, key).as_deref(), Some(value), "{key}");
    }
    assert_eq!(
        (span.attributes.len(), &span.status),
        (7, &None),
        "{span:#?}"
    );
    let calls: Vec<_> = spans
        .iter()
        .filter(|span| span.kind == SpanKind::Client as i32)
        .collect();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (
                call.name.as_str(),
                text(call, "http.response.status_code").unwrap(),
            )
        })
        .collect();
    let expected = [
        ("security.authenticate", "401"),
        ("security.get_user", "404"),
        ("security.put_user", "200"),
        ("security.authenticate", "200"),
    ];
    assert_eq!(
        seen,
        expected.map(|(name, status)| (name, status.to_owned()))
    );
    for call in calls {
        assert_eq!(
            (&call.trace_id, &call.parent_span_id, call.flags),
            (&span.trace_id, &span.span_id, 0x101)
        );
        assert!(
            call.start_time_unix_nano >= span.start_time_unix_nano
                && call.end_time_unix_nano <= span.end_time_unix_nano,
            "{spans:#?}"
        );
        assert_eq!(
            (
                text(call, "db.system.name").as_deref(),
                text(call, "server.address").as_deref()
            ),
            (Some("elasticsearch"), Some("127.0.0.1"))
        );
    }
    let got = collector.got();
    assert!(
        got.iter().all(|got| got.path == "/v1/traces"
            && got.header("content-type") == "application/x-protobuf"),
        "{got:?}"
    );
    assert!(
        got.iter()
            .all(|got| got.header("authorization") == format!("Bearer {MARK}"))
    );
    let resource = got[0].resource();
    for (key, value) in [
        ("service.name", "sso"),
        ("team", "search"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(
            crate::support::collector::text(&resource, key).as_deref(),
            Some(value),
            "{key}"
        );
    }
    reaches(&stage, "elastauth_spans_total{result=\"exported\"}", 4).await;
    assert!(!stage.elastauth.log().contains(MARK));
}

#[tokio::test]
async fn a_refusal_is_a_span_and_its_line_in_the_log_names_the_trace() {
    let collector = Collector::start(Mood::Good).await;
    let stage = stage(&collector, &[]).await;
    assert_eq!(
        ask(
            &stage,
            &[
                ("remote-user", "elastic"),
                ("traceparent", &traceparent("01"))
            ]
        )
        .await,
        403
    );
    until("the refusal's span", || !collector.spans().is_empty()).await;
    let spans = collector.spans();
    let span = decision(&spans);
    for (key, value) in [
        ("http.response.status_code", Some("403")),
        ("elastauth.outcome", Some("reserved_name")),
        ("elastauth.code", Some("user_not_allowed")),
        ("user.name", Some("elastic")),
        ("error.type", None),
    ] {
        assert_eq!(text(span, key).as_deref(), value, "{key}");
    }
    assert_eq!(
        (hex(&span.trace_id), &span.status),
        (TRACE.to_owned(), &None),
        "a refusal is no fault of the server"
    );
    let log = stage.elastauth.log();
    assert!(log.lines().any(|line| line.contains("refused") && line.contains(&format!("trace_id=\"{TRACE}\""))), "{log}");
}

#[tokio::test]
async fn a_cluster_that_fails_is_a_failed_span() {
    let collector = Collector::start(Mood::Good).await;
    let endpoint = collector.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "20"),
    ];
    let nobody = crate::support::ports::Closed::new();
    let plan = Plan {
        hosts: Some(vec![nobody.url()]),
        more: "enableOtel: true\n",
        environment: &environment,
        ..Plan::default()
    };
    let stage = Stage::planned(plan).await;
    assert_eq!(ask(&stage, &[("remote-user", "alice")]).await, 503);
    until("the failure's spans", || {
        collector
            .spans()
            .iter()
            .any(|span| span.kind == SpanKind::Server as i32)
    })
    .await;
    let spans = collector.spans();
    let span = decision(&spans);
    assert_eq!(
        (
            text(span, "elastauth.outcome").as_deref(),
            text(span, "error.type").as_deref()
        ),
        (Some("cluster"), Some("unavailable"))
    );
    assert!(
        span.parent_span_id.is_empty(),
        "no gateway has said anything"
    );
    let call = spans
        .iter()
        .find(|span| span.kind == SpanKind::Client as i32)
        .expect("a call");
    assert_eq!(text(call, "error.type").as_deref(), Some("not_sent"));
    for span in [span, call] {
        assert_eq!(
            span.status.as_ref().map(|status| status.code),
            Some(StatusCode::Error as i32),
            "{span:#?}"
        );
    }
}

#[tokio::test]
async fn an_untrusted_peer_cannot_join_a_trace() {
    let collector = Collector::start(Mood::Good).await;
    let stage = stage(&collector, &[]).await;
    let parent = traceparent("01");
    let asked = question(
        "/elastauth/forward-auth",
        &[
            ("remote-user", b"alice"),
            ("traceparent", parent.as_bytes()),
        ],
    );
    assert_eq!(stage.send(&stage.untrusted(), asked).await.status, 401);
    until("the untrusted peer's span", || {
        !collector.spans().is_empty()
    })
    .await;
    let spans = collector.spans();
    let span = decision(&spans);
    assert!(
        span.parent_span_id.is_empty() && hex(&span.trace_id) != TRACE,
        "{span:#?}"
    );
    assert_eq!(
        (
            text(span, "elastauth.outcome").as_deref(),
            text(span, "user.name")
        ),
        (Some("untrusted_peer"), None)
    );
}

#[tokio::test]
async fn what_the_gateway_does_not_record_is_not_recorded() {
    let collector = Collector::start(Mood::Good).await;
    let stage = stage(&collector, &[]).await;
    assert_eq!(
        ask(
            &stage,
            &[
                ("remote-user", "alice"),
                ("traceparent", &traceparent("00"))
            ]
        )
        .await,
        200
    );
    assert_eq!(
        ask(
            &stage,
            &[("remote-user", "bob"), ("traceparent", &traceparent("01"))]
        )
        .await,
        200
    );
    until("the second login's span", || {
        collector
            .spans()
            .iter()
            .any(|span| text(span, "user.name").is_some())
    })
    .await;
    assert_eq!(
        text(decision(&collector.spans()), "user.name").as_deref(),
        Some("bob")
    );
}

#[tokio::test]
async fn no_secret_reaches_the_collector() {
    let collector = Collector::start(Mood::Good).await;
    let stage = stage(&collector, &[]).await;
    let (token, cookie, uri) = (
        format!("Bearer {MARK}"),
        format!("access_token={MARK}"),
        format!("/app?token={MARK}"),
    );
    let headers = [
        ("authorization", &*token),
        ("cookie", &cookie),
        ("x-forwarded-uri", &uri),
        ("remote-groups", "dev"),
        ("tracestate", MARK),
    ];
    for (user, status) in [("alice", 200), ("elastic", 403), ("a,b", 400)] {
        assert_eq!(
            ask(&stage, &[&headers[..], &[("remote-user", user)]].concat()).await,
            status
        );
    }
    let path = format!("/elastauth/forward-auth/{MARK}?{MARK}");
    assert_eq!(
        stage
            .send(stage.gateway(), question(&path, &[]))
            .await
            .status,
        401
    );
    until("all spans", || {
        collector
            .spans()
            .iter()
            .filter(|span| span.kind == SpanKind::Server as i32)
            .count()
            == 4
    })
    .await;
    for got in collector.got() {
        let text = String::from_utf8_lossy(&got.body);
        stage.hold_secrets("the collector", &text);
        for secret in [MARK, "Basic ", "PBKDF2", "Bearer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn a_collector_in_trouble_costs_spans_and_no_login() {
    for (mood, lost) in [
        (Mood::Away, "unreachable"),
        (Mood::Hangs, "unreachable"),
        (Mood::Says(500), "refused"),
        (Mood::Says(429), "refused"),
        (Mood::Says(302), "refused"),
    ] {
        let collector = Collector::start(mood).await;
        let mut stage = stage(&collector, &[("OTEL_EXPORTER_OTLP_TIMEOUT", "300")]).await;
        for user in ["alice", "bob", "alice"] {
            assert_eq!(ask(&stage, &[("remote-user", user)]).await, 200, "{mood:?}");
        }
        reaches(
            &stage,
            &format!("elastauth_spans_total{{result=\"{lost}\"}}"),
            9,
        )
        .await;
        assert_eq!(
            number(&stage, "elastauth_spans_total{result=\"exported\"}").await,
            0,
            "{mood:?}"
        );
        let log = stage.elastauth.log();
        assert_eq!(
            log.matches("spans are lost; decisions go on without them")
                .count(),
            1,
            "{mood:?}: {log}"
        );
        assert!(stage.elastauth.terminate().await.success(), "{mood:?}");
    }
}

#[tokio::test]
async fn a_collector_that_hangs_does_not_hold_up_the_end() {
    let collector = Collector::start(Mood::Hangs).await;
    let mut stage = stage(&collector, &[]).await;
    assert_eq!(ask(&stage, &[("remote-user", "alice")]).await, 200);
    until("the first batch", || !collector.got().is_empty()).await;
    assert_eq!(ask(&stage, &[("remote-user", "bob")]).await, 200);
    // The collector would have ten seconds.
    let ended = tokio::time::timeout(Duration::from_secs(8), stage.elastauth.terminate()).await;
    assert!(ended.expect("the end").success());
    let log = stage.elastauth.log();
    assert!(
        log.contains("the collector did not answer before the end of the program")
            && !log.contains("some work did not finish"),
        "{log}"
    );
}

#[tokio::test]
async fn a_full_queue_loses_spans_and_no_login() {
    let collector = Collector::start(Mood::Hangs).await;
    let stage = stage(&collector, &[("OTEL_BSP_MAX_QUEUE_SIZE", "2")]).await;
    for at in 0..5 {
        assert_eq!(
            ask(&stage, &[("remote-user", &format!("user-{at}"))]).await,
            200
        );
    }
    reaches(&stage, "elastauth_spans_total{result=\"queue_full\"}", 1).await;
}

#[tokio::test]
async fn a_collector_that_asks_for_patience_gets_its_spans_later() {
    let collector = Collector::start(Mood::Once(429)).await;
    let stage = stage(&collector, &[]).await;
    assert_eq!(ask(&stage, &[("remote-user", "alice")]).await, 200);
    reaches(&stage, "elastauth_spans_total{result=\"exported\"}", 4).await;
    let got = collector.got();
    assert!(
        got.len() >= 2 && got[0].body == got[1].body,
        "the same batch again"
    );
}

#[tokio::test]
async fn what_a_collector_takes_only_in_part_is_counted() {
    let collector = Collector::start(Mood::Rejects(1)).await;
    let stage = stage(&collector, &[("OTEL_BSP_SCHEDULE_DELAY", "500")]).await;
    assert_eq!(ask(&stage, &[("remote-user", "alice")]).await, 200);
    reaches(&stage, "elastauth_spans_total{result=\"refused\"}", 1).await;
    reaches(&stage, "elastauth_spans_total{result=\"exported\"}", 1).await;
}

#[tokio::test]
async fn what_still_waits_is_sent_at_the_end() {
    let collector = Collector::start(Mood::Good).await;
    let mut stage = stage(&collector, &[("OTEL_BSP_SCHEDULE_DELAY", "600000")]).await;
    assert_eq!(ask(&stage, &[("remote-user", "alice")]).await, 200);
    assert!(collector.got().is_empty());
    assert!(stage.elastauth.terminate().await.success());
    assert_eq!(collector.spans().len(), 5);
}

#[tokio::test]
async fn a_collector_is_believed_by_the_certificate_that_is_named_for_it() {
    let (authority, other) = (Authority::new(), Authority::new());
    let collector = Collector::start_tls(authority.sign().server()).await;
    let folder = tempfile::tempdir().unwrap();
    for (name, ca, result) in [
        ("right.pem", authority.pem(), "exported"),
        ("wrong.pem", other.pem(), "unreachable"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, ca).unwrap();
        let path = path.display().to_string();
        let stage = stage(
            &collector,
            &[
                ("OTEL_EXPORTER_OTLP_CERTIFICATE", &path),
                ("OTEL_EXPORTER_OTLP_TIMEOUT", "300"),
            ],
        )
        .await;
        assert_eq!(ask(&stage, &[("remote-user", "alice")]).await, 200);
        reaches(
            &stage,
            &format!("elastauth_spans_total{{result=\"{result}\"}}"),
            4,
        )
        .await;
    }
}

#[tokio::test]
async fn switched_off_nothing_is_connected() {
    let collector = Collector::start(Mood::Good).await;
    let endpoint = collector.url();
    let environment = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint),
        ("OTEL_BSP_SCHEDULE_DELAY", "1"),
    ];
    let mut stage = Stage::planned(Plan {
        environment: &environment,
        ..Plan::default()
    })
    .await;
    assert_eq!(
        ask(
            &stage,
            &[
                ("remote-user", "alice"),
                ("traceparent", &traceparent("01"))
            ]
        )
        .await,
        200
    );
    assert!(stage.elastauth.terminate().await.success());
    assert_eq!(collector.connections(), 0);
    assert!(!stage.elastauth.log().contains(TRACE));
}
