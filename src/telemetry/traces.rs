//! Traces: a span for each decision and, within it, one for each call to the cluster, sent over
//! OTLP/HTTP. docs/TRACING.md is for operators.
//!
//! Switched off, they cost one branch a decision. Switched on, a finished span goes into a bounded
//! queue, and a task of its own sends the queue: a collector that is slow or away costs spans,
//! which are counted and logged, and never a login.
//!
//! What a span may carry is closed: words of this program, numbers, the name of the user and the
//! host of the cluster. No header and no path gets into one.

mod active;
mod config;
mod context;
mod export;
mod losses;
mod recorder;
mod span;
#[cfg(test)]
mod tests;
mod wire;

pub(crate) use active::{ActiveSpan, CurrentSpan, Decided, begin_call, with_current_span};
pub use config::Config;
pub(crate) use config::Otlp;
pub(crate) use context::{RootSampler, Sampler, Share, TRACEPARENT};

use super::{losses::Losses, metrics::Metrics};
use crate::{
    clock::Clock,
    net::{client::Client, tls::TlsError},
    shutdown::Tasks,
};
use context::Parent;
use export::Exporter;
use http::{HeaderMap, uri::Authority};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use recorder::Recorder;
use std::sync::{Arc, OnceLock};
use tokio::sync::{Notify, mpsc};

/// The recorder of traces. Clones record into the same queue; the default records nothing.
#[derive(Debug, Clone, Default)]
pub struct Traces(Option<Arc<Recorder>>);

impl Traces {
    /// Starts the task that sends. Nothing is connected yet.
    ///
    /// # Errors
    /// When a certificate or key file for the collector cannot be used.
    pub fn start(config: Config, clock: Clock, metrics: Metrics) -> Result<Self, TlsError> {
        let Config::Otlp(config) = config else {
            return Ok(Self(None));
        };
        // Not the whole address: a query may hold a key.
        let collector = config.endpoint.authority().map_or("", Authority::as_str);
        tracing::info!(collector, sampler = ?config.sampler, "traces are recorded");
        let losses = Losses::new(clock.clone(), metrics);
        let (queue, spans) = mpsc::channel(config.queue);
        let (filled, tasks) = (Arc::<Notify>::default(), Tasks::default());
        let recorder = Recorder {
            sampler: config.sampler,
            queue,
            batch: config.batch,
            filled: Arc::clone(&filled),
            losses: Arc::clone(&losses),
            clock,
            tasks: tasks.clone(),
        };
        let exporter = Exporter {
            client: Client::new(config.http)?,
            endpoint: config.endpoint,
            resource: wire::resource(&config.resource),
            spans,
            filled,
            batch: config.batch,
            delay: config.delay,
            timeout: config.timeout,
            losses,
            tasks: tasks.clone(),
            over: OnceLock::new(),
        };
        tasks.spawn(exporter.run());
        Ok(Self(Some(Arc::new(recorder))))
    }

    /// Begins the span of a decision; `None` where it is not recorded. `headers` are those of a
    /// trusted gateway only.
    #[must_use]
    pub fn begin(&self, headers: Option<&HeaderMap>) -> Option<ActiveSpan> {
        let recorder = self.0.as_ref()?;
        let parent = headers.and_then(Parent::of);
        let trace = recorder.sampler.sample(parent.as_ref())?;
        let parent = parent.map(|parent| parent.span);
        let recorder = Arc::clone(recorder);
        Some(ActiveSpan::begin(recorder, trace, parent, SpanKind::Server))
    }

    /// Sends what still waits, within some seconds. For the end of the program, when nothing makes
    /// spans any more.
    pub async fn finish(&self) {
        let Some(recorder) = &self.0 else { return };
        recorder.tasks.end();
        // The exporter has its own, shorter bound; this one is for a bug in it.
        let _in_time = recorder.tasks.drained(export::LAST * 2).await;
    }
}
