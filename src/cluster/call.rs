//! How a request gets to a node and an answer back: deadlines, bounds, failover.

use super::{
    departure::{Departure, Outgoing},
    error::{CallError, Loss, Source, Unsent},
    nodes::{Node, Nodes, Purpose, Turn},
    wire::{Answer, Unfit},
};
use crate::{
    net::client::{Incomplete, pool, tcp, whole},
    telemetry::{
        ClusterTelemetry,
        clocks::ClockCheck,
        metrics::{Call, CallEnd, ClockSource, ClusterMetrics},
        traces::{self, Active},
    },
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// The largest answer that is read. A user's document has a few kilobytes; whoever keeps 256 in its
/// metadata is not ours.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// Reads on their way at once. Elasticsearch checks one credential a thread and core, so more would
/// only wait over there.
const MAX_READS: usize = 128;
/// Writes on their way at once, apart from the reads: without a master each hangs for the whole of
/// its deadline.
const MAX_WRITES: usize = 64;
/// Connections kept to each node; beyond it they are closed after use.
const MAX_IDLE: usize = 32;

/// How long each thing may take.
#[derive(Debug, Clone)]
pub(super) struct Timeouts {
    /// TCP alone. In a data centre it takes a millisecond; one lost packet is repeated after 200 ms
    /// or, for the first, after a second.
    pub(super) connect: Duration,
    /// Until a write's body has left: TCP, TLS and a free connection. Then it may still go
    /// elsewhere.
    pub(super) departure: Duration,
    /// One attempt of a read where there is another node to ask. Requests wait at a gateway for it,
    /// and a healthy node takes 2 to 20 ms.
    pub(super) attempt: Duration,
    /// A read with all its attempts, and the one attempt of a single host.
    pub(super) read: Duration,
    /// A write from the first attempt to the whole answer. The first one on a fresh cluster creates
    /// the security index and takes seconds; and a write given up leaves its user doubtful, so
    /// patience is cheaper than a second try.
    pub(super) write: Duration,
    /// Until there is room for one more call. Beyond it the cluster is drowning, and shedding load
    /// is the kinder answer.
    pub(super) room: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(700),
            departure: Duration::from_millis(1_500),
            attempt: Duration::from_secs(1),
            read: Duration::from_secs(3),
            write: Duration::from_secs(10),
            room: Duration::from_secs(1),
        }
    }
}

type HttpClient = Client<HttpsConnector<HttpConnector>, Outgoing>;

/// The way to the nodes.
#[derive(Debug)]
pub(super) struct Caller {
    client: ArcSwap<HttpClient>,
    nodes: Nodes,
    timeouts: Timeouts,
    metrics: ClusterMetrics,
    clocks: ClockCheck,
    reads: Semaphore,
    writes: Semaphore,
}

/// What is asked of any node.
#[derive(Debug)]
pub(super) struct Ask<'a> {
    /// What it is, for whoever counts.
    pub(super) call: Call,
    pub(super) method: Method,
    /// Below the node's prefix, with the query.
    pub(super) path: &'a str,
    /// As whom.
    pub(super) authorization: &'a HeaderValue,
    /// JSON, or nothing.
    pub(super) body: Bytes,
}

impl Caller {
    pub(super) fn new(
        nodes: Nodes,
        tls: rustls::ClientConfig,
        timeouts: Timeouts,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        let client = ArcSwap::from_pointee(client(tls, timeouts.connect));
        Self {
            client,
            nodes,
            timeouts,
            metrics: telemetry.metrics.clone(),
            clocks: telemetry.clocks.clone(),
            reads: Semaphore::new(MAX_READS),
            writes: Semaphore::new(MAX_WRITES),
        }
    }

    /// From the next call on, over connections of its own. Calls under way finish as they began.
    pub(super) fn replace_tls(&self, tls: rustls::ClientConfig) {
        self.client
            .store(Arc::new(client(tls, self.timeouts.connect)));
    }

    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Asks one node after the other, each at most once, until one gives an answer that
    /// `understand` can use.
    pub(super) async fn read<T>(
        &self,
        ask: &Ask<'_>,
        understand: impl Fn(&Answer) -> Result<T, Unfit>,
    ) -> Result<T, CallError> {
        let end = Instant::now() + self.timeouts.read;
        let _room = self.room(&self.reads).await?;
        let attempt = if self.nodes.len() > 1 {
            self.timeouts.attempt
        } else {
            self.timeouts.read
        };
        let mut round = self.nodes.round();
        let mut last = None;
        while let Some(turn) = self.nodes.next(&mut round, Purpose::Read) {
            let deadline = end.min(Instant::now() + attempt);
            match self
                .attempt(turn, ask, deadline, deadline, &understand)
                .await
            {
                Err(error) if error.is_worth_another_node() && Instant::now() < end => {
                    last = Some(error.after(last));
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(unsendable))
    }

    /// Asks one node. Another one only where the first cannot have got the request, or has refused
    /// whoever asks: never do two hosts carry out a write.
    pub(super) async fn write<T>(
        &self,
        ask: &Ask<'_>,
        understand: impl Fn(&Answer) -> Result<T, Unfit>,
    ) -> Result<T, CallError> {
        let _room = self.room(&self.writes).await?;
        // Counted from here: a write that had to wait for room gets no less time to be answered.
        let deadline = Instant::now() + self.timeouts.write;
        let mut round = self.nodes.round();
        let mut last = None;
        while let Some(turn) = self.nodes.next(&mut round, Purpose::Write) {
            let departure = deadline.min(Instant::now() + self.timeouts.departure);
            match self
                .attempt(turn, ask, departure, deadline, &understand)
                .await
            {
                Err(error)
                    if (error.is_not_sent() || error.is_refusal()) && Instant::now() < deadline =>
                {
                    last = Some(error.after(last));
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(unsendable))
    }

    async fn room<'a>(&self, room: &'a Semaphore) -> Result<SemaphorePermit<'a>, CallError> {
        let permit = tokio::time::timeout(self.timeouts.room, room.acquire()).await;
        permit
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| CallError::not_sent(&"the cluster".into(), Unsent::Busy, None))
    }

    /// One request to one node, and what it tells about the node.
    async fn attempt<T>(
        &self,
        turn: Turn<'_>,
        ask: &Ask<'_>,
        departure: Instant,
        deadline: Instant,
        understand: impl Fn(&Answer) -> Result<T, Unfit>,
    ) -> Result<T, CallError> {
        let name = &turn.node.name;
        let begun = Instant::now();
        let span = traces::call();
        let exchanged = self
            .exchange(turn.node, ask, span.as_ref(), departure, deadline)
            .await;
        self.metrics
            .called(ask.call, end(&exchanged), begun.elapsed());
        if let Some(span) = span {
            let whole = match &exchanged {
                Ok((
                    Answer {
                        status,
                        body: Ok(_),
                    },
                    _,
                )) => Ok(status.as_u16()),
                lost => Err(end(lost)),
            };
            span.called(ask.call, &ask.method, name, whole);
        }
        let result = match exchanged {
            Err(error) => Err(error),
            Ok((answer, source)) => understand(&answer).map_err(|unfit| match unfit {
                Unfit::Status => CallError::answered(name, answer.status, answer.error_type()),
                Unfit::Lost(loss) => CallError::lost(name, loss, source),
            }),
        };
        match &result {
            Err(error) if error.tells_against_node() => turn.failed(error),
            Ok(_) | Err(_) => turn.went_well(),
        }
        result
    }

    async fn exchange(
        &self,
        node: &Node,
        ask: &Ask<'_>,
        span: Option<&Active>,
        departure: Instant,
        deadline: Instant,
    ) -> Result<(Answer, Option<Source>), CallError> {
        let name = &node.name;
        let (request, sent) = request(node, ask, span).map_err(|error| {
            CallError::not_sent(name, Unsent::Unsendable, Some(Arc::new(error)))
        })?;
        let asked = self.clocks.now();
        let mut response = pin!(self.client.load().request(request));
        let response = match timeout_at(departure, &mut response).await {
            Ok(response) => response,
            Err(_) if ask.has_left(&sent) => timeout_at(deadline, response)
                .await
                .map_err(|_| CallError::lost(name, Loss::TimedOut, None))?,
            Err(_) => return Err(CallError::not_sent(name, Unsent::ConnectTimeout, None)),
        };
        let response = response.map_err(|error| {
            if error.is_connect() || !ask.has_left(&sent) {
                CallError::not_sent(name, Unsent::Connect, Some(Arc::new(error)))
            } else {
                CallError::lost(name, Loss::Cut, Some(Arc::new(error)))
            }
        })?;
        let (head, body) = response.into_parts();
        if let Some(date) = head.headers.get(header::DATE) {
            self.clocks.compare_date(ClockSource::Cluster, date, asked);
        }
        let (body, source) = match whole(body, deadline, MAX_BODY_BYTES).await {
            Ok(body) => (Ok(body), None),
            Err(Incomplete::TimedOut) => (Err(Loss::TimedOut), None),
            Err(Incomplete::TooBig) => (Err(Loss::TooBig), None),
            Err(Incomplete::Cut(source)) => (Err(Loss::Cut), Some(source)),
        };
        Ok((
            Answer {
                status: head.status,
                body,
            },
            source,
        ))
    }
}

fn client(tls: rustls::ClientConfig, connect: Duration) -> HttpClient {
    pool(
        HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(connect)),
        MAX_IDLE,
    )
}

/// How a call ended, for whoever counts: what the node has said, whatever is made of it.
fn end(exchanged: &Result<(Answer, Option<Source>), CallError>) -> CallEnd {
    match exchanged {
        Ok((
            Answer {
                status,
                body: Ok(_),
            },
            _,
        )) => CallEnd::of_status(status.as_u16()),
        Err(error) if error.is_not_sent() => CallEnd::NotSent,
        Ok(_) | Err(_) => CallEnd::Lost,
    }
}

impl Ask<'_> {
    /// Whether the node may have the request. From this question on it either has, or never will.
    fn has_left(&self, sent: &Departure) -> bool {
        // A read has no body to go by and may be repeated anyway.
        self.body.is_empty() || !sent.recall()
    }
}

fn request(
    node: &Node,
    ask: &Ask<'_>,
    span: Option<&Active>,
) -> Result<(Request<Outgoing>, Departure), http::Error> {
    let (body, departure) = Outgoing::new(ask.body.clone());
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
    if let Some(place) = span.and_then(Active::traceparent) {
        headers.insert(traces::TRACEPARENT, place);
    }
    if !ask.body.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    Ok((request, departure))
}

/// No host is configured at all, or an account that no header can carry. Both are the
/// configuration's faults, and checked there first.
pub(super) fn unsendable() -> CallError {
    CallError::not_sent(&"the cluster".into(), Unsent::Unsendable, None)
}
