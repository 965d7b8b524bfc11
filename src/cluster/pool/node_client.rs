//! One request to one node, and what its outcome tells about the node.

use super::nodes::{ClusterNode, Lease};
use crate::{
    cluster::error::{CallError, CallFailure},
    net::client::{Client, ConnectionLimits, HttpAnswer, HttpCall, HttpError},
    telemetry::{
        ClusterTelemetry,
        clocks::ClockCheck,
        metrics::{Call, CallEnd, ClockSource, ClusterMetrics},
        traces::{self, ActiveSpan},
    },
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, header};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// The largest answer that is read. A user's document has a few kilobytes; elastauth wrote none
/// that has 256.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// The same for a list of users: a page has half a megabyte. A cluster that gives no pages gives
/// all users at once, some 200 bytes each, and this is enough for 300,000 of them.
const MAX_LISTING_BYTES: usize = 64 * 1024 * 1024;

/// A request to any node.
pub(crate) struct Ask<'a> {
    pub(crate) call: Call,
    pub(crate) method: Method,
    /// Below the node's prefix, with the query.
    pub(crate) path: &'a str,
    pub(crate) authorization: &'a HeaderValue,
    /// JSON, or empty.
    pub(crate) body: Bytes,
}

/// An answer as it came: the body as far as it could be read.
pub(crate) type NodeAnswer = HttpAnswer<Result<Bytes, HttpError>>;

/// How long one attempt may take.
#[derive(Clone, Copy)]
pub(super) struct Patience {
    pub(super) whole: Duration,
    /// Until the body has left.
    pub(super) send: Option<Duration>,
}

/// The client of all nodes.
pub(super) struct NodeClient {
    http: ArcSwap<Client>,
    limits: ConnectionLimits,
    metrics: ClusterMetrics,
    clocks: ClockCheck,
}

impl NodeClient {
    pub(super) fn new(
        tls: rustls::ClientConfig,
        limits: ConnectionLimits,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            http: ArcSwap::from_pointee(Client::direct(tls, limits)),
            limits,
            metrics: telemetry.metrics.clone(),
            clocks: telemetry.clocks.clone(),
        }
    }

    pub(super) fn replace_tls(&self, tls: rustls::ClientConfig) {
        let client = Client::direct(tls, self.limits);
        self.http.store(Arc::new(client));
    }

    pub(super) async fn attempt<T>(
        &self,
        lease: Lease<'_>,
        ask: &Ask<'_>,
        patience: Patience,
        understand: impl Fn(&NodeAnswer) -> Result<T, CallFailure>,
    ) -> Result<T, CallError> {
        let call = ask.call;
        let failed = |why| CallError {
            call,
            node: Arc::clone(&lease.node.name),
            why,
        };
        let begun = Instant::now();
        let span = traces::begin_call();
        let answer = self
            .exchange(lease.node, ask, patience, span.as_ref())
            .await
            .map_err(failed);
        // What the node has answered, whatever is made of it.
        let (end, status) = match &answer {
            Ok(answer) if answer.body.is_ok() => {
                let status = answer.status.as_u16();
                (CallEnd::of_status(status), Some(status))
            }
            Err(error) if error.is_not_sent() => (CallEnd::NotSent, None),
            Ok(_) | Err(_) => (CallEnd::Lost, None),
        };
        self.metrics.called(call, end, begun.elapsed());
        if let Some(span) = span {
            span.called(call, &ask.method, &lease.node.name, status.ok_or(end));
        }
        let result = answer.and_then(|answer| understand(&answer).map_err(failed));
        match &result {
            Err(error) if error.tells_against_node() => lease.failed(error),
            Ok(_) | Err(_) => lease.succeeded(),
        }
        result
    }

    async fn exchange(
        &self,
        node: &ClusterNode,
        ask: &Ask<'_>,
        patience: Patience,
        span: Option<&ActiveSpan>,
    ) -> Result<NodeAnswer, CallFailure> {
        let call = HttpCall {
            method: ask.method.clone(),
            uri: node.uri(ask.path).map_err(|_| CallFailure::Unsendable)?,
            headers: headers(ask, span),
            body: ask.body.clone(),
            timeout: patience.whole,
            send_timeout: patience.send,
            max_bytes: if ask.call == Call::ListUsers {
                MAX_LISTING_BYTES
            } else {
                MAX_BODY_BYTES
            },
        };
        let asked = self.clocks.now();
        let client = self.http.load_full();
        let answer = client.send(call).await?;
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
