//! Spans that have begun: that of a decision, and those of the calls within it.

use super::{
    context::{self, SpanId, TraceId},
    recorder::Recorder,
    span::{Attributes, Kind, Span, Value},
};
use crate::{
    outcome::Outcome,
    telemetry::metrics::{Call, CallEnd, Provider},
};
use http::{HeaderValue, Method, Uri};
use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};
use tokio::time::Instant;

/// The span within which a task works.
#[derive(Debug, Clone)]
pub struct CurrentSpan {
    recorder: Arc<Recorder>,
    trace: TraceId,
    pub(super) span: SpanId,
}

impl CurrentSpan {
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
    kind: Kind,
    start: Duration,
    begun: Instant,
    user: Option<Box<str>>,
}

/// How a decision ended.
#[derive(Debug)]
pub struct Decided {
    /// The method of the request.
    pub method: Method,
    /// The endpoint of elastauth.
    pub route: &'static str,
    /// The gateway.
    pub peer: IpAddr,
    /// The status of the response.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// The code in the response to a refused client.
    pub code: Option<&'static str>,
    /// The provider that identified or refused the user.
    pub provider: Provider,
}

impl ActiveSpan {
    pub(super) fn begin(
        recorder: Arc<Recorder>,
        trace: TraceId,
        parent: Option<SpanId>,
        kind: Kind,
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
            user: None,
        }
    }

    /// The id of the trace, in the form that logs have.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.current.trace.to_string()
    }

    /// The user of the request, once they are known.
    pub fn set_user(&mut self, user: &str) {
        self.user = Some(user.into());
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
    pub fn decided(self, decided: &Decided) {
        let method = known(&decided.method);
        let mut attributes: Attributes = vec![
            (
                "http.request.method",
                Value::Word(method.unwrap_or("_OTHER")),
            ),
            ("http.route", Value::Word(decided.route)),
            (
                "http.response.status_code",
                Value::Number(decided.status.into()),
            ),
            (
                "network.peer.address",
                Value::Text(decided.peer.to_string().into()),
            ),
            ("elastauth.outcome", Value::Word(decided.outcome.name())),
        ];
        attributes.extend(
            self.user
                .as_deref()
                .map(|user| ("user.name", Value::Text(user.into()))),
        );
        attributes.extend(
            decided
                .provider
                .name()
                .map(|name| ("elastauth.provider", Value::Word(name))),
        );
        attributes.extend(
            decided
                .code
                .map(|code| ("elastauth.code", Value::Word(code))),
        );
        // By the conventions for servers a status from 500 on is an error; a refusal is not.
        let failed = decided.status >= 500;
        attributes.extend(
            decided
                .code
                .filter(|_| failed)
                .map(|code| ("error.type", Value::Word(code))),
        );
        let name = format!("{} {}", method.unwrap_or("HTTP"), decided.route);
        self.end(name.into(), attributes, failed);
    }

    /// The call to a node of the cluster ended, with a whole response of this status or without
    /// one. `node` is its base URL.
    pub fn called(self, call: Call, method: &Method, node: &str, end: Result<u16, CallEnd>) {
        let operation = call.operation();
        let mut attributes = vec![
            ("db.system.name", Value::Word("elasticsearch")),
            ("db.operation.name", Value::Word(operation)),
            (
                "http.request.method",
                Value::Word(known(method).unwrap_or("_OTHER")),
            ),
        ];
        let address = node.parse::<Uri>().ok();
        let host = address.as_ref().and_then(Uri::host);
        attributes.extend(host.map(|host| ("server.address", Value::Text(host.into()))));
        attributes.extend(
            address
                .as_ref()
                .and_then(Uri::port_u16)
                .map(|port| ("server.port", Value::Number(port.into()))),
        );
        let failed = match end {
            Ok(status) => {
                attributes.push(("http.response.status_code", Value::Number(status.into())));
                // 401 and 404 are the usual responses for a user that does not exist yet.
                status >= 500
            }
            Err(why) => {
                attributes.push(("error.type", Value::Word(why.name())));
                true
            }
        };
        self.end(operation.into(), attributes, failed);
    }

    fn end(self, name: Box<str>, attributes: Attributes, failed: bool) {
        let Self {
            current:
                CurrentSpan {
                    recorder,
                    trace,
                    span,
                },
            parent,
            kind,
            start,
            begun,
            ..
        } = self;
        let (start, end) = (nanos(start), nanos(start + begun.elapsed()));
        recorder.take(Span {
            trace,
            id: span,
            parent,
            kind,
            name,
            start,
            end,
            attributes,
            failed,
        });
    }
}

/// Begins the span of a call to the cluster, where this task works within a recorded span.
#[must_use]
pub fn begin_call() -> Option<ActiveSpan> {
    let CurrentSpan {
        recorder,
        trace,
        span,
    } = CURRENT.try_with(Clone::clone).ok()?;
    Some(ActiveSpan::begin(recorder, trace, Some(span), Kind::Client))
}

/// Lets `work` run within the span of this task, on whichever task it runs.
pub fn with_current_span<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
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
