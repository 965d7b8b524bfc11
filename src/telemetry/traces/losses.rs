//! Spans that no collector receives, in the metrics and in the log.

use crate::telemetry::{losses::Losses, metrics::SpanEnd};
use std::fmt::Display;

pub(super) fn lost(losses: &Losses, end: SpanEnd, spans: u64, why: impl Display) {
    losses.metrics.spans(end, spans);
    if losses.add(spans) {
        tracing::warn!(
            lost = losses.take(),
            error = %why,
            "spans are lost; decisions go on without them"
        );
    }
}

/// Logs what the log does not have yet. For the end of the program.
pub(super) fn log_rest(losses: &Losses) {
    let lost = losses.take();
    if lost > 0 {
        tracing::warn!(lost, "more spans were lost");
    }
}
