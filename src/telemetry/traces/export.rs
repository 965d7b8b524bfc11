//! Sends the queue to the collector in batches. Each has a deadline and is repeated where the
//! protocol says so; what does not arrive until then is lost.

use super::{
    losses::{log_rest, lost},
    span::FinishedSpan,
    wire,
};
use crate::{
    backoff::Backoff,
    net::client::{Client, HttpAnswer, HttpCall, HttpError},
    shutdown::Tasks,
    telemetry::{log::chain, losses::Losses, metrics::SpanEnd},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use opentelemetry_proto::tonic::resource::v1::Resource;
use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{Instant, sleep, sleep_until},
};

/// For all spans that still wait when the program ends. A collector that works takes milliseconds;
/// a restart must not wait for one that hangs.
pub(super) const LAST: Duration = Duration::from_secs(2);
/// Before the second attempt; then twice as long each time, as the protocol demands.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest body of a response. It holds a number and a sentence.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
const PROTOBUF: HeaderValue = HeaderValue::from_static("application/x-protobuf");

/// Why a batch did not arrive.
#[derive(Debug, thiserror::Error)]
enum ExportError {
    #[error("the collector answered {0}")]
    Refused(StatusCode),
    #[error("the collector cannot be reached")]
    Unreachable(#[source] HttpError),
    #[error("the collector did not answer before the end of the program")]
    OutOfTime,
}

impl ExportError {
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
            Self::Unreachable(HttpError::Connect(_) | HttpError::Cut(_)) => true,
            Self::Unreachable(_) | Self::OutOfTime => false,
        }
    }
}

/// The task that sends.
pub(super) struct Exporter {
    pub(super) client: Client,
    pub(super) endpoint: Uri,
    pub(super) resource: Resource,
    pub(super) spans: mpsc::Receiver<FinishedSpan>,
    pub(super) filled: Arc<Notify>,
    pub(super) batch: usize,
    pub(super) delay: Duration,
    pub(super) timeout: Duration,
    pub(super) losses: Arc<Losses>,
    pub(super) tasks: Tasks,
    /// The deadline for what still waits; set when the end of the program begins.
    pub(super) over: OnceLock<Instant>,
}

impl Exporter {
    /// Sends a batch when it is full, when it has waited long enough, and at the end of the program.
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
                log_rest(&self.losses);
                return;
            }
        }
    }

    fn next(&mut self) -> Option<Vec<FinishedSpan>> {
        let waiting = std::iter::from_fn(|| self.spans.try_recv().ok());
        let batch: Vec<_> = waiting.take(self.batch).collect();
        (!batch.is_empty()).then_some(batch)
    }

    async fn send(&self, batch: Vec<FinishedSpan>) {
        let count = batch.len() as u64;
        let body = Bytes::from(wire::request(&self.resource, batch));
        let sent = tokio::select! {
            biased;
            () = self.over() => Err(ExportError::OutOfTime),
            sent = self.deliver(&body) => sent,
        };
        match sent {
            Ok(rejected) => {
                let rejected = rejected.min(count);
                let metrics = &self.losses.metrics;
                metrics.spans(SpanEnd::Exported, count - rejected);
                if rejected > 0 {
                    let why = "the collector accepted only a part";
                    lost(&self.losses, SpanEnd::Refused, rejected, why);
                }
            }
            Err(error) => lost(&self.losses, error.end(), count, chain(&error)),
        }
    }

    /// Resolves when the time at the end of the program is over.
    async fn over(&self) {
        self.tasks.ending().await;
        sleep_until(*self.over.get_or_init(|| Instant::now() + LAST)).await;
    }

    /// Sends until the batch arrives or its deadline passes; returns how many spans the collector
    /// rejected.
    async fn deliver(&self, body: &Bytes) -> Result<u64, ExportError> {
        let deadline = Instant::now() + self.timeout;
        let mut backoff = Backoff::new(FIRST_PAUSE, self.timeout);
        loop {
            let (failure, wish) = match self.attempt(body, deadline).await {
                Ok(answer) if answer.status.is_success() => {
                    return Ok(wire::rejected(&answer.body));
                }
                Ok(answer) => (
                    ExportError::Refused(answer.status),
                    retry_after(&answer.headers),
                ),
                Err(error) => (ExportError::Unreachable(error), None),
            };
            let until = Instant::now().checked_add(wish.unwrap_or_else(|| backoff.failed()));
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
        }
    }

    async fn attempt(&self, body: &Bytes, deadline: Instant) -> Result<HttpAnswer, HttpError> {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, PROTOBUF), (header::ACCEPT, PROTOBUF)]);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let (uri, body) = (self.endpoint.clone(), body.clone());
        self.client
            .call(HttpCall {
                method: Method::POST,
                uri,
                headers,
                body,
                timeout,
                send_timeout: None,
                max_bytes: MAX_ANSWER_BYTES,
            })
            .await
    }
}

/// What the collector asks for, in seconds. A date would need the collector's clock; then our own
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
