//! Traces: a span for each decision and, within it, one for each call to the cluster, sent over
//! OTLP/HTTP. docs/TRACING.md is for operators.
//!
//! Off, it is one branch a decision. On, a finished span goes into a bounded queue, and a task of
//! its own sends what lies there: a collector that is slow or away costs spans, which are counted
//! and told, and never a login.
//!
//! What a span may carry is closed: words of this program, numbers, the user's name and the
//! cluster's host. No header and no path gets into one.

mod context;
mod export;
#[cfg(test)]
mod tests;
mod wire;

pub use context::{Choice, Sampler, Share};

use super::metrics::{Call, CallEnd, Metrics, Provider};
use crate::{
    clock::Clock,
    net::{client, tls::TlsError},
    outcome::Outcome,
    shutdown::Tasks,
};
use context::{Parent, SpanId, TraceId};
use export::Exporter;
use http::{HeaderMap, HeaderValue, Method, Uri};
use std::{fmt, future::Future, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::Instant,
};

/// The header that tells whoever is called to which trace the call belongs.
pub const TRACEPARENT: &str = context::TRACEPARENT;

/// Settings of the traces.
#[derive(Debug, Clone, Default)]
pub enum Config {
    /// None.
    #[default]
    Off,
    /// To a collector.
    Otlp(Box<Otlp>),
}

/// Where spans go, and which.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// The collector, with its whole path.
    pub endpoint: Uri,
    /// How it is spoken to. The headers may be secret.
    pub http: client::Config,
    /// For one batch, with all repetitions.
    pub timeout: Duration,
    /// What is said of this program beside each batch.
    pub resource: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// Whether the trace of the gateway goes on in ours.
    pub follows_gateway: bool,
    /// Finished spans that may wait. What comes on top is lost, and counted.
    pub queue: usize,
    /// Spans in one request at most.
    pub batch: usize,
    /// How long a span waits for others at most.
    pub delay: Duration,
}

/// The recorder of traces. Clones record into the same queue; the default records nothing.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Recorder>>);

struct Recorder {
    sampler: Sampler,
    follows_gateway: bool,
    queue: mpsc::Sender<Span>,
    batch: usize,
    /// Told when there is a whole batch.
    filled: Arc<Notify>,
    losses: export::Losses,
    clock: Clock,
    /// Apart from those of the program: it ends when all that could make spans has ended.
    tasks: Tasks,
}

impl Traces {
    /// Starts the task that sends. Nothing is connected yet.
    ///
    /// # Errors
    /// When a certificate or key file towards the collector cannot be used.
    pub fn start(config: Config, clock: Clock, metrics: Metrics) -> Result<Self, TlsError> {
        let Config::Otlp(config) = config else {
            return Ok(Self(None));
        };
        let losses = export::Losses::new(clock.clone(), metrics);
        let (queue, spans) = mpsc::channel(config.queue);
        let (filled, tasks) = (Arc::<Notify>::default(), Tasks::default());
        let (sampler, follows_gateway, batch) =
            (config.sampler, config.follows_gateway, config.batch);
        // Not the whole address: a query may hold a key.
        let to = config
            .endpoint
            .authority()
            .map_or("", http::uri::Authority::as_str);
        tracing::info!(collector = to, sampler = ?config.sampler, "traces are recorded");
        let exporter = Exporter::new(
            *config,
            spans,
            Arc::clone(&filled),
            losses.clone(),
            tasks.clone(),
        )?;
        tasks.spawn(exporter.run());
        Ok(Self(Some(Arc::new(Recorder {
            sampler,
            follows_gateway,
            queue,
            batch,
            filled,
            losses,
            clock,
            tasks,
        }))))
    }

    /// Begins the span of a decision; nothing where it is not to be recorded. `headers` are those
    /// of a gateway that is believed, and nobody else's.
    #[must_use]
    pub fn begin(&self, headers: Option<&HeaderMap>) -> Option<Active> {
        let recorder = self.0.as_ref()?;
        let parent = headers
            .filter(|_| recorder.follows_gateway)
            .and_then(Parent::of);
        let trace = recorder.sampler.sample(parent.as_ref())?;
        let parent = parent.map(|parent| parent.span);
        Some(Active::begin(
            Arc::clone(recorder),
            trace,
            parent,
            Kind::Server,
        ))
    }

    /// Sends what still waits, within a bound of some seconds. For the end of the program, when
    /// nothing makes spans any more.
    pub async fn finish(&self) {
        let Some(recorder) = &self.0 else { return };
        recorder.tasks.end();
        // Its own bound ends it before; this one is for a bug in it.
        let _given_up = recorder.tasks.drained(export::LAST * 2).await;
    }
}

impl fmt::Debug for Traces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Traces")
            .field("on", &self.0.is_some())
            .finish_non_exhaustive()
    }
}

impl Recorder {
    /// Puts a finished span into the queue. It never waits, and wakes the sender only for a whole
    /// batch.
    fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.losses.overflow();
        }
        if self.queue.max_capacity() - self.queue.capacity() >= self.batch {
            self.filled.notify_one();
        }
    }
}

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Answering somebody.
    Server,
    /// Asking somebody.
    Client,
}

/// A value of a span. Texts are the exception: whoever puts one in answers for what is in it.
#[derive(Debug)]
enum Value {
    Word(&'static str),
    Text(Box<str>),
    Number(i64),
}

/// A finished span.
#[derive(Debug)]
struct Span {
    trace: TraceId,
    id: SpanId,
    parent: Option<SpanId>,
    kind: Kind,
    name: Box<str>,
    /// Nanoseconds since 1970.
    start: u64,
    end: u64,
    attributes: Vec<(&'static str, Value)>,
    failed: bool,
}

/// Where in which trace a task is.
#[derive(Clone)]
pub struct Here {
    recorder: Arc<Recorder>,
    trace: TraceId,
    span: SpanId,
}

impl Here {
    /// Lets calls that `work` makes become parts of this span.
    pub async fn within<F: Future>(self, work: F) -> F::Output {
        HERE.scope(self, work).await
    }
}

impl fmt::Debug for Here {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Here")
            .field("trace", &self.trace)
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

tokio::task_local! {
    /// The span within which this task works. Only calls to outside parties look at it, and nothing
    /// is decided by it.
    static HERE: Here;
}

/// A span that has begun. Dropped without an end it was never there.
pub struct Active {
    here: Here,
    parent: Option<SpanId>,
    kind: Kind,
    start: Duration,
    begun: Instant,
    user: Option<Box<str>>,
}

impl fmt::Debug for Active {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Active")
            .field("here", &self.here)
            .finish_non_exhaustive()
    }
}

/// How a decision ended.
#[derive(Debug)]
pub struct Decided {
    /// The question's method.
    pub method: Method,
    /// The endpoint that was asked.
    pub route: &'static str,
    /// The gateway.
    pub peer: IpAddr,
    /// The answer's status.
    pub status: u16,
    /// How it ended.
    pub outcome: Outcome,
    /// What a refused client was told.
    pub code: Option<&'static str>,
    /// Who knew, or refused, whoever asked.
    pub provider: Provider,
}

impl Active {
    fn begin(recorder: Arc<Recorder>, trace: TraceId, parent: Option<SpanId>, kind: Kind) -> Self {
        let (start, begun) = (recorder.clock.exactly(), Instant::now());
        Self {
            here: Here {
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

    /// The trace, in the form in which logs and other programs write it.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.here.trace.to_string()
    }

    /// Whose request it turned out to be.
    pub fn is_of(&mut self, user: &str) {
        self.user = Some(user.into());
    }

    /// The header for whoever is called within this span.
    #[must_use]
    pub fn traceparent(&self) -> Option<HeaderValue> {
        context::traceparent(self.here.trace, self.here.span)
    }

    /// The place of this span, for work whose calls are to be parts of it.
    #[must_use]
    pub fn here(&self) -> Here {
        self.here.clone()
    }

    /// The decision is made.
    pub fn decided(self, decided: &Decided) {
        let method = known(&decided.method);
        let mut attributes = vec![
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
        // A refusal is no fault of ours; what is, has a status of 500 and above, as the conventions
        // for servers have it.
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

    /// The call to a node of the cluster has ended: with a whole answer of this status, or without
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
                // 401 and 404 are the usual answers for a user who is not there yet.
                status >= 500
            }
            Err(why) => {
                attributes.push(("error.type", Value::Word(why.name())));
                true
            }
        };
        self.end(operation.into(), attributes, failed);
    }

    fn end(self, name: Box<str>, attributes: Vec<(&'static str, Value)>, failed: bool) {
        let Self {
            here:
                Here {
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
pub fn call() -> Option<Active> {
    let Here {
        recorder,
        trace,
        span,
    } = HERE.try_with(Clone::clone).ok()?;
    Some(Active::begin(recorder, trace, Some(span), Kind::Client))
}

/// Takes the span of this task along to whichever task runs `work`.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    let here = HERE.try_with(Clone::clone).ok();
    async move {
        match here {
            Some(here) => HERE.scope(here, work).await,
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
