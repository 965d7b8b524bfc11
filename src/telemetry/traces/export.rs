//! From the queue to the collector: batches, each with a deadline, repeated where the protocol says
//! so, and lost where nothing helps.

use super::{Otlp, Span, wire};
use crate::{
    clock::Clock,
    net::{
        client::{Answer, Call, CallError, Client},
        tls::TlsError,
    },
    shutdown::Tasks,
    telemetry::{
        chain,
        metrics::{Metrics, SpanEnd},
    },
};
use aws_lc_rs::rand;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};

/// For all that still waits when the program ends. A collector that works takes milliseconds;
/// whoever restarts a service does not wait for one that hangs.
pub(super) const LAST: Duration = Duration::from_secs(2);
/// How often the log says that spans are lost. The count goes on in the metrics.
const TOLD_EVERY_MS: u64 = 60_000;
/// Before the second attempt; then twice as long each time, as the protocol wants it.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest body of an answer. It holds a number and a sentence.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Spans that nobody will see.
#[derive(Clone)]
pub(super) struct Losses(Arc<Untold>);

struct Untold {
    /// Since the log has last said so.
    count: AtomicU64,
    /// When it has, in milliseconds; zero for never.
    told_at: AtomicU64,
    clock: Clock,
    metrics: Metrics,
}

impl Losses {
    pub(super) fn new(clock: Clock, metrics: Metrics) -> Self {
        Self(Arc::new(Untold {
            count: AtomicU64::new(0),
            told_at: AtomicU64::new(0),
            clock,
            metrics,
        }))
    }

    /// A span found no room.
    pub(super) fn overflow(&self) {
        self.add(SpanEnd::QueueFull, 1, || {
            "the queue is full: the collector does not keep up".to_owned()
        });
    }

    /// What the log has not been told yet.
    fn last_words(&self) {
        let lost = self.0.count.swap(0, Relaxed);
        if lost > 0 {
            tracing::warn!(lost, "more spans were lost");
        }
    }

    fn add(&self, end: SpanEnd, spans: u64, why: impl FnOnce() -> String) {
        let Untold {
            count,
            told_at,
            clock,
            metrics,
        } = &*self.0;
        metrics.spans(end, spans);
        count.fetch_add(spans, Relaxed);
        let (now, told) = (clock.now().0, told_at.load(Relaxed));
        // A clock that was set back says it once too often rather than never again.
        let due = told == 0 || now < told || now - told >= TOLD_EVERY_MS;
        if due
            && told_at
                .compare_exchange(told, now.max(1), Relaxed, Relaxed)
                .is_ok()
        {
            let lost = count.swap(0, Relaxed);
            tracing::warn!(
                lost,
                error = why(),
                "spans are lost; decisions go on without them"
            );
        }
    }
}

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the collector answers with {0}")]
    Refused(StatusCode),
    #[error("the collector cannot be asked")]
    Unreachable(#[source] CallError),
    #[error("the program ends, and the collector has not answered in time")]
    OutOfTime,
}

impl Failure {
    fn end(&self) -> SpanEnd {
        match self {
            Self::Refused(_) => SpanEnd::Refused,
            Self::Unreachable(_) | Self::OutOfTime => SpanEnd::Unreachable,
        }
    }

    /// Whether the protocol lets the same batch be sent again.
    fn is_passing(&self) -> bool {
        match self {
            Self::Refused(status) => [429, 502, 503, 504].contains(&status.as_u16()),
            Self::Unreachable(CallError::Connect(_) | CallError::Cut(_)) => true,
            Self::Unreachable(_) | Self::OutOfTime => false,
        }
    }
}

/// The task that sends.
pub(super) struct Exporter {
    client: Client,
    endpoint: Uri,
    resource: wire::Resource,
    spans: mpsc::Receiver<Span>,
    filled: Arc<Notify>,
    batch: usize,
    delay: Duration,
    timeout: Duration,
    losses: Losses,
    tasks: Tasks,
    /// When the last time is over; set when the end begins.
    over: OnceLock<Instant>,
}

impl Exporter {
    pub(super) fn new(
        config: Otlp,
        spans: mpsc::Receiver<Span>,
        filled: Arc<Notify>,
        losses: Losses,
        tasks: Tasks,
    ) -> Result<Self, TlsError> {
        let Otlp {
            endpoint,
            http,
            timeout,
            resource,
            batch,
            delay,
            ..
        } = config;
        let (client, resource) = (Client::new(http)?, wire::Resource::new(&resource));
        Ok(Self {
            client,
            endpoint,
            resource,
            spans,
            filled,
            batch,
            delay,
            timeout,
            losses,
            tasks,
            over: OnceLock::new(),
        })
    }

    /// Sends a batch when it is full, and what there is when it has waited long enough or the end
    /// has come.
    pub(super) async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.tasks.ending() => {}
                () = self.filled.notified() => {}
                () = sleep(self.delay) => {}
            }
            let ending = self.tasks.is_ending();
            while let Some(batch) = self.next() {
                self.send(batch).await;
            }
            if ending {
                self.losses.last_words();
                return;
            }
        }
    }

    fn next(&mut self) -> Option<Vec<Span>> {
        let mut batch = Vec::new();
        while batch.len() < self.batch
            && let Ok(span) = self.spans.try_recv()
        {
            batch.push(span);
        }
        (!batch.is_empty()).then_some(batch)
    }

    async fn send(&self, batch: Vec<Span>) {
        let count = batch.len() as u64;
        let body = Bytes::from(wire::request(&self.resource, batch));
        let sent = tokio::select! {
            biased;
            () = self.over() => Err(Failure::OutOfTime),
            sent = self.deliver(&body) => sent,
        };
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                self.losses
                    .0
                    .metrics
                    .spans(SpanEnd::Exported, count - rejected);
                if rejected > 0 {
                    self.losses.add(SpanEnd::Refused, rejected, || {
                        "the collector took only a part".to_owned()
                    });
                }
            }
            Err(failure) => self.losses.add(failure.end(), count, || chain(&failure)),
        }
    }

    /// Resolves when the time for what is left at the end is over.
    async fn over(&self) {
        self.tasks.ending().await;
        sleep_until(*self.over.get_or_init(|| Instant::now() + LAST)).await;
    }

    /// Sends until it has arrived, or the deadline has; says how many spans the collector did not
    /// want.
    async fn deliver(&self, body: &Bytes) -> Result<u64, Failure> {
        let deadline = Instant::now() + self.timeout;
        let mut pause = FIRST_PAUSE;
        loop {
            let (failure, wish) = match self.attempt(body, deadline).await {
                Ok(answer) if answer.status.is_success() => {
                    return Ok(wire::Response::rejected(&answer.body));
                }
                Ok(answer) => (
                    Failure::Refused(answer.status),
                    retry_after(&answer.headers),
                ),
                Err(error) => (Failure::Unreachable(error), None),
            };
            let until = Instant::now().checked_add(wish.unwrap_or_else(|| jittered(pause)));
            let Some(until) = until.filter(|until| {
                failure.is_passing() && *until < deadline && !self.tasks.is_ending()
            }) else {
                return Err(failure);
            };
            // At the end there is one more attempt, at once.
            tokio::select! {
                () = sleep_until(until) => {}
                () = self.tasks.ending() => {}
            }
            pause *= 2;
        }
    }

    async fn attempt(&self, body: &Bytes, deadline: Instant) -> Result<Answer, CallError> {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, PROTOBUF), (header::ACCEPT, PROTOBUF)]);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let (uri, body) = (self.endpoint.clone(), body.clone());
        self.client
            .call(Call {
                method: Method::POST,
                uri,
                headers,
                body,
                timeout,
                max_bytes: MAX_ANSWER_BYTES,
            })
            .await
    }
}

/// The collector's wish in seconds. As a date it would need the collector's clock; then our own
/// pause counts.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get(header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()
        .map(Duration::from_secs)
}

/// From half the pause to all of it, so that replicas do not come back at once.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0_u8];
    let _the_shortest_is_good_enough = rand::fill(&mut byte);
    let [part] = byte;
    pause / 2 + pause / 2 * u32::from(part) / 256
}
