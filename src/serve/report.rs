//! What operators learn of a request of proxy mode when it is over: the line of the access log, the
//! audit event and the numbers. `observe` writes what was decided about it.
//!
//! A [`Report`] goes with the request: it is in the body of the answer until the client has the
//! last byte, and it is written when it is dropped, whatever ended the request.

use super::{observe::DecisionSpan, operation::Operation, service::Service};
use crate::{
    clock::Timestamp,
    flow::Decision,
    model::Username,
    net::peer::Peer,
    outcome::Refusal,
    request::{id_of, random_id},
    telemetry::{
        access_log::{AccessRecord, RequestEnd},
        audit::{EventDetails, EventKind, Requests},
        metrics::{ClusterMetrics, Counted, MethodLabel, Proxied, ProxyError, StatusLabel},
    },
    upstream::Chosen,
};
use http::{Method, header::HOST, request::Parts};
use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::Instant;

/// Bounds on what a line repeats of a request.
const MAX_METHOD_BYTES: usize = 32;
const MAX_HOST_BYTES: usize = 255;
const MAX_PATH_BYTES: usize = 1_024;

/// A request of proxy mode that is not over.
pub(super) struct Report {
    service: Arc<Service>,
    begun: Instant,
    method: Method,
    _active: Counted,
    /// Of the cluster that the request is for, as far as that is known.
    metrics: Option<ClusterMetrics>,
    status: Option<u16>,
    answered_after: Option<Duration>,
    error: Option<ProxyError>,
    end: RequestEnd,
    /// The bytes of the request's body, which another task reads; `None` without a body.
    received: Option<Arc<AtomicU64>>,
    sent: u64,
    /// What only lines have; `None` where there are none.
    line: Option<Box<Line>>,
}

struct Line {
    at: Timestamp,
    peer: Peer,
    request_id: Box<str>,
    trace_id: Option<Box<str>>,
    host: Option<Box<str>>,
    path: Box<str>,
    /// Whether something that it repeats is cut.
    truncated: bool,
    /// What it does to the cluster, where the audit stream wants to know.
    operation: Option<Operation<'static>>,
    user: Option<Username>,
    provider: Option<&'static str>,
    cluster: Option<Box<str>>,
    upstream: Option<Box<str>>,
    node: Option<Box<str>>,
    outcome: Option<&'static str>,
    /// Whether it went on to the cluster.
    forwarded: bool,
}

impl Report {
    /// A request came. Its own id is read if `reads_id`; `span` is recorded.
    pub(super) fn begin(
        service: &Arc<Service>,
        peer: Peer,
        parts: &Parts,
        reads_id: bool,
        span: Option<&DecisionSpan>,
    ) -> Self {
        let telemetry = &service.telemetry;
        let has_lines = telemetry.access_log.is_on() || telemetry.audit.requests() != Requests::Off;
        let line = has_lines.then(|| {
            let (host, path) = (host(parts), parts.uri.path());
            let id = reads_id.then(|| id_of(&parts.headers)).flatten();
            // Judged by the whole path: behind what a line repeats a client could hide a write.
            let operation = (telemetry.audit.requests() != Requests::Off)
                .then(|| Operation::of_cluster(&parts.method, path).cut(MAX_PATH_BYTES));
            Box::new(Line {
                at: service.clock.now(),
                peer,
                request_id: id.map_or_else(|| random_id().into(), Box::from),
                truncated: path.len() > MAX_PATH_BYTES
                    || host.is_some_and(|host| host.len() > MAX_HOST_BYTES)
                    || parts.method.as_str().len() > MAX_METHOD_BYTES,
                host: host.map(|host| cut(host, MAX_HOST_BYTES).into()),
                path: cut(path.as_bytes(), MAX_PATH_BYTES).into(),
                operation,
                trace_id: span.map(|span| span.trace_id().into()),
                user: None,
                provider: None,
                cluster: None,
                upstream: None,
                node: None,
                outcome: None,
                forwarded: false,
            })
        });
        Self {
            begun: Instant::now(),
            method: parts.method.clone(),
            _active: telemetry.metrics.proxied_request(),
            metrics: None,
            status: None,
            answered_after: None,
            error: None,
            // Whatever ends a request without a word is the client's leaving.
            end: RequestEnd::ClientGone,
            received: None,
            sent: 0,
            line,
            service: Arc::clone(service),
        }
    }

    /// The id that the lines have.
    pub(super) fn request_id(&self) -> Option<&str> {
        self.line.as_ref().map(|line| &*line.request_id)
    }

    /// It was decided about.
    pub(super) fn decided(&mut self, decision: &Decision) {
        let cluster = decision.chosen.as_ref();
        let upstream = cluster.and_then(Chosen::upstream);
        self.metrics = upstream.map(|upstream| upstream.broker().metrics().clone());
        if let Some(line) = &mut self.line {
            line.user = decision.user().cloned();
            line.provider = decision.provider().name();
            line.cluster = cluster.map(|cluster| cluster.name().into());
        }
    }

    /// elastauth answers by itself: a refusal, or the cluster did not answer.
    pub(super) fn refused(&mut self, refusal: Refusal, status: u16) {
        self.status = Some(status);
        self.error = Some(error_of(refusal));
        self.end = RequestEnd::Refused;
        self.answered_after = Some(self.begun.elapsed());
        if let Some(line) = &mut self.line {
            line.outcome = Some(refusal.name());
        }
    }

    /// It goes on: to the cluster, or to the upstream of this name beside it. The bytes of its body
    /// are counted in `body`.
    pub(super) fn forwarded(&mut self, upstream: Option<&str>, body: Option<Arc<AtomicU64>>) {
        self.received = body;
        if let Some(line) = &mut self.line {
            line.forwarded = true;
            line.upstream = upstream.map(Box::from);
        }
    }

    /// The head of the answer of this node is there.
    pub(super) fn answered(&mut self, status: u16, node: &str) {
        self.status = Some(status);
        self.answered_after = Some(self.begun.elapsed());
        if let Some(line) = &mut self.line {
            line.node = Some(node.into());
        }
    }

    /// The client has everything.
    pub(super) fn complete(&mut self) {
        self.end = RequestEnd::Complete;
    }

    /// So many more bytes of the answer go to the client.
    pub(super) fn passed(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.sent = self.sent.saturating_add(bytes);
    }

    /// The cluster's answer ended too early.
    pub(super) fn cut(&mut self) {
        self.end = RequestEnd::Cut;
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let error = self.error.or(match self.end {
            RequestEnd::Complete | RequestEnd::Refused => None,
            RequestEnd::ClientGone => Some(ProxyError::ClientGone),
            RequestEnd::Cut => Some(ProxyError::Cut),
        });
        let proxied = Proxied {
            method: MethodLabel::of(&self.method),
            status: StatusLabel::of(self.status),
            answered_after: self.answered_after,
            error,
        };
        match &self.metrics {
            Some(metrics) => metrics.proxied(&proxied),
            None => self.service.telemetry.metrics.proxied_nowhere(&proxied),
        }
        if let Some(line) = &self.line {
            self.write(line);
        }
    }
}

impl Report {
    fn write(&self, line: &Line) {
        let telemetry = &self.service.telemetry;
        let method = cut(self.method.as_str().as_bytes(), MAX_METHOD_BYTES);
        let user = line.user.as_ref().map(Username::as_str);
        telemetry.access_log.write(&AccessRecord {
            at: line.at,
            request_id: &line.request_id,
            trace_id: line.trace_id.as_deref(),
            peer: line.peer,
            user,
            cluster: line.cluster.as_deref(),
            upstream: line.upstream.as_deref(),
            method: &method,
            host: line.host.as_deref(),
            path: &line.path,
            truncated: line.truncated,
            status: self.status,
            outcome: line.outcome,
            bytes_in: (self.received.as_ref()).map_or(0, |bytes| bytes.load(Relaxed)),
            bytes_out: self.sent,
            took: self.begun.elapsed(),
            answered_after: self.answered_after,
            node: line.node.as_deref(),
            end: self.end,
        });
        // A refused request has an event of its own.
        if !line.forwarded {
            return;
        }
        let of_cluster = line.operation.as_ref();
        let of_other = Operation::of_other(&self.method);
        let operation = of_cluster
            .filter(|_| line.upstream.is_none())
            .unwrap_or(&of_other);
        let is_wanted = match telemetry.audit.requests() {
            Requests::Off => false,
            // A line that does not show all of a request is for people to judge.
            Requests::Writes => operation.writes || line.truncated,
            Requests::All => true,
        };
        if is_wanted {
            let details = EventDetails {
                cluster: line.cluster.as_deref(),
                upstream: line.upstream.as_deref(),
                user,
                provider: line.provider,
                peer: Some(line.peer),
                host: line.host.as_deref(),
                uri: Some(&line.path),
                method: Some(&method),
                index: operation.index.as_deref(),
                writes: Some(operation.writes),
                truncated: line.truncated,
                status: self.status,
                outcome: line.outcome,
                request_id: Some(&line.request_id),
                ..EventDetails::default()
            };
            telemetry.audit.write(EventKind::Request, &details);
        }
    }
}

/// HTTP/2 has it in the target.
fn host(parts: &Parts) -> Option<&[u8]> {
    let own = parts.uri.authority();
    let named = || parts.headers.get(HOST).map(http::HeaderValue::as_bytes);
    own.map(|own| own.as_str().as_bytes()).or_else(named)
}

fn cut(bytes: &[u8], max: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes))
}

/// Under the names of elastauth 2, where those say it.
fn error_of(refusal: Refusal) -> ProxyError {
    match refusal {
        Refusal::UntrustedPeer
        | Refusal::GatewayKey
        | Refusal::NobodyAsks
        | Refusal::TokenRefused
        | Refusal::TokenOutdated
        | Refusal::TokenClaims => ProxyError::AuthFailed,
        Refusal::Malformed => ProxyError::InvalidRequest,
        Refusal::ImpossibleName => ProxyError::InvalidUsername,
        Refusal::NoCluster => ProxyError::NoCluster,
        Refusal::GroupNotAllowed
        | Refusal::NoRole
        | Refusal::ReservedName
        | Refusal::Disabled
        | Refusal::CrossOrigin
        | Refusal::ForeignUser => ProxyError::NotAllowed,
        Refusal::IdentityProvider
        | Refusal::UnknownKey
        | Refusal::WriteBudget
        | Refusal::NewUsers
        | Refusal::ServiceAccount
        | Refusal::Cluster
        | Refusal::Late
        | Refusal::Busy
        | Refusal::Overdue
        | Refusal::Bug => ProxyError::NoLogin,
        Refusal::LoginRejected => ProxyError::LoginRefused,
        Refusal::NoConnection => ProxyError::NotReached,
        Refusal::NoAnswer => ProxyError::Timeout,
        Refusal::BadAnswer => ProxyError::Invalid,
        Refusal::BadUpload => ProxyError::BodyCut,
    }
}
