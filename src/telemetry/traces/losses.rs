//! Spans that no collector receives.

use crate::{
    clock::Clock,
    telemetry::{
        losses::Losses,
        metrics::{Metrics, SpanEnd},
    },
};
use std::sync::Arc;

/// Counts lost spans, in the metrics and for the log. Clones count the same ones.
#[derive(Debug, Clone)]
pub(super) struct SpanLosses {
    losses: Arc<Losses>,
    pub(super) metrics: Metrics,
}

impl SpanLosses {
    pub(super) fn new(clock: Clock, metrics: Metrics) -> Self {
        Self {
            losses: Arc::new(Losses::new(clock)),
            metrics,
        }
    }

    /// A span did not fit into the queue.
    pub(super) fn queue_full(&self) {
        self.add(SpanEnd::QueueFull, 1, || {
            "the queue is full: the collector is too slow".to_owned()
        });
    }

    pub(super) fn add(&self, end: SpanEnd, spans: u64, why: impl FnOnce() -> String) {
        self.metrics.spans(end, spans);
        if self.losses.add(spans) {
            tracing::warn!(
                lost = self.losses.take(),
                error = why(),
                "spans are lost; decisions go on without them"
            );
        }
    }

    /// Logs what the log does not have yet. For the end of the program.
    pub(super) fn log_rest(&self) {
        let lost = self.losses.take();
        if lost > 0 {
            tracing::warn!(lost, "more spans were lost");
        }
    }
}
