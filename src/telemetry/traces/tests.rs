use super::*;
use crate::{net::client, outcome::Outcome, telemetry::metrics::ProviderLabel};
use http::{HeaderValue, Method, Uri};
use std::time::Duration;

const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// Of a collector that does not listen: nothing is sent here.
fn traces(change: impl FnOnce(&mut Otlp)) -> (Traces, Metrics) {
    let mut config = Otlp {
        endpoint: Uri::from_static("http://127.0.0.1:9/v1/traces"),
        http: client::Config::default(),
        timeout: Duration::from_secs(1),
        resource: Vec::new(),
        sampler: Sampler::default(),
        queue: 4,
        batch: 2,
        delay: Duration::from_hours(1),
    };
    change(&mut config);
    let metrics = Metrics::default();
    (
        Traces::start(
            Config::Otlp(Box::new(config)),
            Clock::System,
            metrics.clone(),
        )
        .unwrap(),
        metrics,
    )
}

fn headers() -> HeaderMap {
    HeaderMap::from_iter([(
        TRACEPARENT.parse().unwrap(),
        HeaderValue::from_static(PARENT),
    )])
}

fn decided() -> Decided<'static> {
    Decided {
        method: Method::GET,
        user: None,
        route: "/elastauth/forward-auth",
        peer: std::net::IpAddr::from([127, 0, 0, 1]).into(),
        status: 200,
        outcome: Outcome::Granted,
        code: None,
        provider: ProviderLabel::Authelia,
    }
}

#[tokio::test]
async fn switched_off_there_is_nothing() {
    assert!(Traces::default().begin(Some(&headers())).is_none());
    assert!(begin_call().is_none());
    Traces::default().finish().await;
}

#[tokio::test]
async fn a_decision_continues_the_gateways_trace() {
    let begun = traces(|_| {}).0.begin(Some(&headers())).unwrap();
    assert!(PARENT.contains(&begun.trace_id()));
    let (traces, _) = traces(|config| {
        config.sampler = Sampler {
            by_parent: true,
            root: RootSampler::Never,
        }
    });
    assert!(traces.begin(Some(&headers())).is_some() && traces.begin(None).is_none());
}

#[tokio::test]
async fn a_call_belongs_to_the_decision_that_made_it_on_whichever_task_it_runs() {
    let (traces, _) = traces(|_| {});
    let span = traces.begin(Some(&headers())).unwrap();
    let id = span.current().span;
    let elsewhere = span
        .current()
        .within(std::future::poll_fn(|_| {
            std::task::Poll::Ready(with_current_span(async { begin_call() }))
        }))
        .await;
    let tasks = Tasks::default();
    let (done, result) = tokio::sync::oneshot::channel();
    tasks.spawn(async move { drop(done.send(elsewhere.await)) });
    let call = result.await.unwrap().unwrap();
    assert_eq!((call.parent, call.trace_id()), (Some(id), span.trace_id()));
    assert!(
        with_current_span(async { begin_call() }).await.is_none(),
        "here is no decision"
    );
}

#[tokio::test]
async fn what_does_not_fit_the_queue_is_lost_and_counted() {
    let (traces, metrics) = traces(|config| config.batch = 4);
    for _ in 0..7 {
        traces.begin(None).unwrap().decided(&decided());
    }
    assert!(
        metrics
            .expose()
            .contains("elastauth_spans_total{result=\"queue_full\"} 3\n"),
        "{}",
        metrics.expose()
    );
}
