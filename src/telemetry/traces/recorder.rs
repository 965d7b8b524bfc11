//! Takes finished spans into the queue.

use super::{config::Otlp, context::Sampler, losses::SpanLosses, span::Span};
use crate::{clock::Clock, shutdown::Tasks};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) sampler: Sampler,
    queue: mpsc::Sender<Span>,
    batch: usize,
    /// Notified when there is a whole batch.
    filled: Arc<Notify>,
    losses: SpanLosses,
    pub(super) clock: Clock,
    /// Separate from those of the program: it ends when everything that makes spans has ended.
    pub(super) tasks: Tasks,
}

impl Recorder {
    pub(super) fn new(
        config: &Otlp,
        queue: mpsc::Sender<Span>,
        filled: Arc<Notify>,
        losses: SpanLosses,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        Self {
            sampler: config.sampler,
            batch: config.batch,
            queue,
            filled,
            losses,
            clock,
            tasks,
        }
    }

    /// Puts a finished span into the queue. It never waits, and wakes the exporter only for a whole
    /// batch.
    pub(super) fn take(&self, span: Span) {
        if self.queue.try_send(span).is_err() {
            self.losses.queue_full();
        }
        if self.queue.max_capacity() - self.queue.capacity() >= self.batch {
            self.filled.notify_one();
        }
    }
}
