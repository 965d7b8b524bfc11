//! One request to one node, and what it tells about the node.

use super::{
    Pool,
    nodes::{Lease, Node},
    send_state::{Outgoing, SendState},
    types::{Answer, Ask, Unfit},
};
use crate::{
    cluster::error::{CallError, ResponseError, SendError, Source},
    net::client::{Incomplete, whole},
    telemetry::{
        metrics::{CallEnd, ClockSource},
        traces::{self, ActiveSpan},
    },
};
use http::{HeaderMap, HeaderValue, Request, header};
use std::{pin::pin, sync::Arc};
use tokio::time::{Instant, timeout_at};

/// The largest answer that is read. A user's document has a few kilobytes; elastauth wrote none
/// that has 256.
const MAX_BODY_BYTES: usize = 256 * 1024;

/// An answer, and what the network reports where its body is not whole.
type Exchanged = Result<(Answer, Option<Source>), CallError>;

impl Pool {
    pub(super) async fn attempt<T>(
        &self,
        lease: Lease<'_>,
        ask: &Ask<'_>,
        send_by: Instant,
        deadline: Instant,
        understand: impl Fn(&Answer) -> Result<T, Unfit>,
    ) -> Result<T, CallError> {
        let name = &lease.node.name;
        let begun = Instant::now();
        let span = traces::begin_call();
        let exchanged = self
            .exchange(lease.node, ask, span.as_ref(), send_by, deadline)
            .await;
        let end = end(&exchanged);
        self.metrics.called(ask.call, end, begun.elapsed());
        if let Some(span) = span {
            let status = match &exchanged {
                Ok((answer, _)) if answer.body.is_ok() => Ok(answer.status.as_u16()),
                Ok(_) | Err(_) => Err(end),
            };
            span.called(ask.call, &ask.method, name, status);
        }
        let result = exchanged.and_then(|(answer, source)| {
            understand(&answer).map_err(|unfit| match unfit {
                Unfit::Status(error_type) => CallError::Status {
                    call: ask.call,
                    node: Arc::clone(name),
                    status: answer.status,
                    error_type,
                },
                Unfit::Body(why) => CallError::no_answer(ask.call, name, why, source),
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
        span: Option<&ActiveSpan>,
        send_by: Instant,
        deadline: Instant,
    ) -> Exchanged {
        let not_sent = |why, source| CallError::not_sent(ask.call, &node.name, why, source);
        let no_answer = |why, source| CallError::no_answer(ask.call, &node.name, why, source);
        let (request, state) = request(node, ask, span)
            .map_err(|error| not_sent(SendError::Unsendable, Some(Arc::new(error))))?;
        let asked = self.clocks.now();
        let mut response = pin!(self.client.load().request(request));
        let response = match timeout_at(send_by, &mut response).await {
            Ok(response) => response,
            Err(_) if ask.has_left(&state) => timeout_at(deadline, response)
                .await
                .map_err(|_| no_answer(ResponseError::TimedOut, None))?,
            Err(_) => return Err(not_sent(SendError::ConnectTimeout, None)),
        };
        let response = response.map_err(|error| {
            if error.is_connect() || !ask.has_left(&state) {
                not_sent(SendError::Connect, Some(Arc::new(error)))
            } else {
                no_answer(ResponseError::Cut, Some(Arc::new(error)))
            }
        })?;
        let (head, body) = response.into_parts();
        if let Some(date) = head.headers.get(header::DATE) {
            self.clocks.compare_date(ClockSource::Cluster, date, asked);
        }
        let (body, source) = match whole(body, deadline, MAX_BODY_BYTES).await {
            Ok(body) => (Ok(body), None),
            Err(Incomplete::TimedOut) => (Err(ResponseError::TimedOut), None),
            Err(Incomplete::TooBig) => (Err(ResponseError::TooBig), None),
            Err(Incomplete::Cut(source)) => (Err(ResponseError::Cut), Some(source)),
        };
        let status = head.status;
        Ok((Answer { status, body }, source))
    }
}

/// How a call ended, for the metrics: what the node has answered, whatever is made of it.
fn end(exchanged: &Exchanged) -> CallEnd {
    match exchanged {
        Ok((answer, _)) if answer.body.is_ok() => CallEnd::of_status(answer.status.as_u16()),
        Err(error) if error.is_not_sent() => CallEnd::NotSent,
        Ok(_) | Err(_) => CallEnd::Lost,
    }
}

impl Ask<'_> {
    /// Whether the node may have the request. From this question on it either has, or never will.
    fn has_left(&self, state: &SendState) -> bool {
        // A read has no body to go by and may be repeated anyway.
        self.body.is_empty() || !state.recall()
    }
}

fn request(
    node: &Node,
    ask: &Ask<'_>,
    span: Option<&ActiveSpan>,
) -> Result<(Request<Outgoing>, SendState), http::Error> {
    let (body, state) = Outgoing::new(ask.body.clone());
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(node.uri(ask.path)?)
        .body(body)?;
    let headers: &mut HeaderMap = request.headers_mut();
    let mut authorization = ask.authorization.clone();
    authorization.set_sensitive(true);
    headers.insert(header::AUTHORIZATION, authorization);
    headers.insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("elastauth/", env!("CARGO_PKG_VERSION"))),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(parent) = span.and_then(ActiveSpan::traceparent) {
        headers.insert(traces::TRACEPARENT, parent);
    }
    if !ask.body.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    Ok((request, state))
}
