//! Spans that have begun: that of a decision, and those of the calls within it.

use super::{
    context::{self, Parent, SpanId, TRACEPARENT, TraceId},
    recorder::Recorder,
    span::{
        Attribute,
        AttributeValue::{Number, Text, Word},
        FinishedSpan,
    },
};
use crate::{
    net::peer::Peer,
    outcome::Outcome,
    telemetry::metrics::{Call, CallEnd, ProviderLabel},
};
use http::{HeaderMap, HeaderValue, Method, Uri};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The span within which a task works.
#[derive(Debug, Clone)]
pub struct CurrentSpan {
    recorder: Arc<Recorder>,
    trace: TraceId,
    pub(super) span: SpanId,
}

impl CurrentSpan {
    /// Begins a call to another server.
    pub(crate) fn begin_call(&self) -> ActiveSpan {
        ActiveSpan::begin(
            Arc::clone(&self.recorder),
            self.trace,
            Some(self.span),
            SpanKind::Client,
        )
    }

    /// Whether a request says that it belongs to another trace. Such a word of its client stays.
    pub(crate) fn is_of_another_trace(&self, headers: &HeaderMap) -> bool {
        let said = headers.contains_key(TRACEPARENT);
        said && Parent::of(headers).is_none_or(|parent| parent.trace != self.trace)
    }

    /// Makes the calls of `work` children of this span.
    pub async fn within<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }
}

tokio::task_local! {
    /// Only calls to other servers read it, and no decision depends on it.
    static CURRENT: CurrentSpan;
}

/// A span that has begun. One that is dropped without an end is not recorded.
#[derive(Debug)]
pub struct ActiveSpan {
    current: CurrentSpan,
    pub(super) parent: Option<SpanId>,
    kind: SpanKind,
    start: Duration,
    begun: Instant,
}

/// How a decision ended.
#[derive(Debug)]
pub struct Decided<'a> {
    /// The method of the request.
    pub method: Method,
    /// The user of the request, if they are known.
    pub user: Option<&'a str>,
    /// The endpoint of elastauth.
    pub route: &'static str,
    /// The gateway.
    pub peer: Peer,
    /// The status of the response.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The code in the response to a refused client.
    pub code: Option<&'static str>,
    /// The provider that identified or refused the user.
    pub provider: ProviderLabel,
}

impl ActiveSpan {
    pub(super) fn begin(
        recorder: Arc<Recorder>,
        trace: TraceId,
        parent: Option<SpanId>,
        kind: SpanKind,
    ) -> Self {
        let (start, begun) = (recorder.clock.exactly(), Instant::now());
        Self {
            current: CurrentSpan {
                recorder,
                trace,
                span: SpanId::random(),
            },
            parent,
            kind,
            start,
            begun,
        }
    }

    /// The id of the trace, in the form that logs have.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.current.trace.to_string()
    }

    /// The header for a call within this span.
    #[must_use]
    pub fn traceparent(&self) -> Option<HeaderValue> {
        context::traceparent(self.current.trace, self.current.span)
    }

    /// For work whose calls are children of this span.
    #[must_use]
    pub fn current(&self) -> CurrentSpan {
        self.current.clone()
    }

    /// The decision is made.
    pub fn decided(self, decided: &Decided<'_>) {
        let method = known(&decided.method);
        // By the conventions for servers a status from 500 on is an error; a refusal is not.
        let failed = decided.status >= 500;
        let attributes = [
            Some(("http.request.method", Word(method.unwrap_or("_OTHER")))),
            Some(("http.route", Word(decided.route))),
            Some(("http.response.status_code", Number(decided.status.into()))),
            Some((
                "network.peer.address",
                Text(decided.peer.to_string().into()),
            )),
            Some(("elastauth.outcome", Word(decided.outcome.name()))),
            decided.user.map(|user| ("user.name", Text(user.into()))),
            (decided.provider.name()).map(|name| ("elastauth.provider", Word(name))),
            decided.code.map(|code| ("elastauth.code", Word(code))),
            (decided.code.filter(|_| failed)).map(|code| ("error.type", Word(code))),
        ];
        let name = format!("{} {}", method.unwrap_or("HTTP"), decided.route);
        self.end(name.into(), attributes, failed);
    }

    /// The call to a node of the cluster ended, with a whole response of this status or without
    /// one. `node` is its base URL.
    pub fn called(self, call: Call, method: &Method, node: &str, end: Result<u16, CallEnd>) {
        let operation = call.operation();
        let address = node.parse::<Uri>().ok();
        let host = address.as_ref().and_then(Uri::host);
        let port = address.as_ref().and_then(Uri::port_u16);
        let (result, failed) = match end {
            // 401 and 404 are the usual responses for a user that does not exist yet.
            Ok(status) => (
                ("http.response.status_code", Number(status.into())),
                status >= 500,
            ),
            Err(why) => (("error.type", Word(why.text())), true),
        };
        let attributes = [
            Some(("db.system.name", Word("elasticsearch"))),
            Some(("db.operation.name", Word(operation))),
            Some((
                "http.request.method",
                Word(known(method).unwrap_or("_OTHER")),
            )),
            host.map(|host| ("server.address", Text(host.into()))),
            port.map(|port| ("server.port", Number(port.into()))),
            Some(result),
        ];
        self.end(operation.into(), attributes, failed);
    }

    /// A client's request was passed on to the server of this base URL, and its answer has begun
    /// with this status. Without a status there is the reason.
    pub fn passed_on(self, method: &Method, node: Option<&str>, end: Result<u16, CallEnd>) {
        let name = known(method);
        let address = node.and_then(|node| node.parse::<Uri>().ok());
        let host = address.as_ref().and_then(Uri::host);
        let port = address.as_ref().and_then(Uri::port_u16);
        let (result, failed) = match end {
            Ok(status) => (
                ("http.response.status_code", Number(status.into())),
                status >= 500,
            ),
            Err(why) => (("error.type", Word(why.text())), true),
        };
        let attributes = [
            Some(("http.request.method", Word(name.unwrap_or("_OTHER")))),
            host.map(|host| ("server.address", Text(host.into()))),
            port.map(|port| ("server.port", Number(port.into()))),
            Some(result),
        ];
        self.end(name.unwrap_or("HTTP").into(), attributes, failed);
    }

    fn end<const N: usize>(self, name: Box<str>, attributes: [Option<Attribute>; N], failed: bool) {
        let end = nanos(self.start + self.begun.elapsed());
        self.current.recorder.take(FinishedSpan {
            trace: self.current.trace,
            id: self.current.span,
            parent: self.parent,
            kind: self.kind,
            name,
            start: nanos(self.start),
            end,
            attributes: attributes.into_iter().flatten().collect(),
            failed,
        });
    }
}

/// Begins the span of a call to the cluster, where this task works within a recorded span.
#[must_use]
pub(crate) fn begin_call() -> Option<ActiveSpan> {
    CURRENT.try_with(CurrentSpan::begin_call).ok()
}

/// Lets `work` run within the span of this task, on whichever task it runs.
pub(crate) fn with_current_span<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    let current = CURRENT.try_with(Clone::clone).ok();
    async move {
        match current {
            Some(current) => CURRENT.scope(current, work).await,
            None => work.await,
        }
    }
}

fn known(method: &Method) -> Option<&'static str> {
    [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ]
    .into_iter()
    .find(|name| method.as_str() == *name)
}

fn nanos(since_1970: Duration) -> u64 {
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}
