//! One request to one node, and what its outcome tells about the node.

use super::{
    nodes::{Lease, Node},
    types::{Answer, Ask, Unfit},
};
use crate::{
    cluster::error::{CallError, ResponseError, SendError},
    net::client::{self, Client, Limits},
    telemetry::{
        ClusterTelemetry,
        clocks::ClockCheck,
        metrics::{Call, CallEnd, ClockSource, ClusterMetrics},
        traces::{self, ActiveSpan},
    },
};
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue, header};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The largest answer that is read. A user's document has a few kilobytes; elastauth wrote none
/// that has 256.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// How long one attempt may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) whole: Duration,
    /// Until the body has left.
    pub(super) send: Option<Duration>,
}

/// The connections to all nodes.
#[derive(Debug)]
pub(super) struct Connections {
    client: ArcSwap<Client>,
    limits: Limits,
    metrics: ClusterMetrics,
    clocks: ClockCheck,
}

impl Connections {
    pub(super) fn new(
        tls: rustls::ClientConfig,
        limits: Limits,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            client: ArcSwap::from_pointee(Client::direct(tls, limits)),
            limits,
            metrics: telemetry.metrics.clone(),
            clocks: telemetry.clocks.clone(),
        }
    }

    pub(super) fn replace_tls(&self, tls: rustls::ClientConfig) {
        let client = Client::direct(tls, self.limits);
        self.client.store(Arc::new(client));
    }

    pub(super) async fn attempt<T>(
        &self,
        lease: Lease<'_>,
        ask: &Ask<'_>,
        patience: Patience,
        understand: impl Fn(&Answer) -> Result<T, Unfit>,
    ) -> Result<T, CallError> {
        let name = &lease.node.name;
        let begun = Instant::now();
        let span = traces::begin_call();
        let answer = self
            .exchange(lease.node, ask, patience, span.as_ref())
            .await;
        let end = end(&answer);
        self.metrics.called(ask.call, end, begun.elapsed());
        if let Some(span) = span {
            let status = match &answer {
                Ok(answer) if answer.body.is_ok() => Ok(answer.status.as_u16()),
                Ok(_) | Err(_) => Err(end),
            };
            span.called(ask.call, &ask.method, name, status);
        }
        let result = answer.and_then(|answer| {
            understand(&answer).map_err(|unfit| match unfit {
                Unfit::Status(error_type) => CallError::Status {
                    call: ask.call,
                    node: Arc::clone(name),
                    status: answer.status,
                    error_type,
                },
                Unfit::Incomplete(error) => failed(ask.call, name, error),
                Unfit::Body(why) => CallError::no_answer(ask.call, name, why, None),
            })
        });
        match &result {
            Err(error) if error.tells_against_node() => lease.failed(error),
            Ok(_) | Err(_) => lease.succeeded(),
        }
        result
    }

    async fn exchange(
        &self,
        node: &Node,
        ask: &Ask<'_>,
        patience: Patience,
        span: Option<&ActiveSpan>,
    ) -> Result<Answer, CallError> {
        let uri = node.uri(ask.path).map_err(|error| {
            let why = SendError::Unsendable;
            CallError::not_sent(ask.call, &node.name, why, Some(Arc::new(error)))
        })?;
        let call = client::Call {
            method: ask.method.clone(),
            uri,
            headers: headers(ask, span),
            body: ask.body.clone(),
            timeout: patience.whole,
            send_timeout: patience.send,
            max_bytes: MAX_BODY_BYTES,
        };
        let asked = self.clocks.now();
        let client = self.client.load_full();
        let answer = client
            .send(call)
            .await
            .map_err(|error| failed(ask.call, &node.name, error))?;
        if let Some(date) = answer.headers.get(header::DATE) {
            self.clocks.compare_date(ClockSource::Cluster, date, asked);
        }
        Ok(answer)
    }
}

fn headers(ask: &Ask<'_>, span: Option<&ActiveSpan>) -> HeaderMap {
    let mut authorization = ask.authorization.clone();
    authorization.set_sensitive(true);
    let mut headers = HeaderMap::from_iter([(header::AUTHORIZATION, authorization)]);
    if let Some(parent) = span.and_then(ActiveSpan::traceparent) {
        headers.insert(traces::TRACEPARENT, parent);
    }
    if !ask.body.is_empty() {
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
    }
    headers
}

fn failed(call: Call, node: &Arc<str>, error: client::CallError) -> CallError {
    use client::CallError as E;
    let not_sent = |why, source| CallError::not_sent(call, node, why, source);
    let no_answer = |why, source| CallError::no_answer(call, node, why, source);
    match error {
        E::Connect(source) => not_sent(SendError::Connect, Some(source)),
        E::ConnectTimeout => not_sent(SendError::ConnectTimeout, None),
        E::TimedOut => no_answer(ResponseError::TimedOut, None),
        E::Cut(source) => no_answer(ResponseError::Cut, Some(source)),
        E::TooBig => no_answer(ResponseError::TooBig, None),
        E::Encoded => no_answer(ResponseError::NotJson, None),
    }
}

/// How a call ended, for the metrics: what the node has answered, whatever is made of it.
fn end(answer: &Result<Answer, CallError>) -> CallEnd {
    match answer {
        Ok(answer) if answer.body.is_ok() => CallEnd::of_status(answer.status.as_u16()),
        Err(error) if error.is_not_sent() => CallEnd::NotSent,
        Ok(_) | Err(_) => CallEnd::Lost,
    }
}
