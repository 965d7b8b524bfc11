//! Takes finished spans into the queue.

use super::{context::Sampler, losses::lost, span::FinishedSpan};
use crate::{
    clock::Clock,
    shutdown::Tasks,
    telemetry::{losses::Losses, metrics::SpanEnd},
};
use std::sync::Arc;
use tokio::sync::{Notify, mpsc};

#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) sampler: Sampler,
    pub(super) queue: mpsc::Sender<FinishedSpan>,
    pub(super) batch: usize,
    /// Notified when there is a whole batch.
    pub(super) filled: Arc<Notify>,
    pub(super) losses: Arc<Losses>,
    pub(super) clock: Clock,
    /// Separate from those of the program: it ends when everything that makes spans has ended.
    pub(super) tasks: Tasks,
}

impl Recorder {
    /// Puts a finished span into the queue. It never waits, and wakes the exporter only for a whole
    /// batch.
    pub(super) fn take(&self, span: FinishedSpan) {
        if self.queue.try_send(span).is_err() {
            let why = "the queue is full: the collector is too slow";
            lost(&self.losses, SpanEnd::QueueFull, 1, why);
        }
        if self.queue.max_capacity() - self.queue.capacity() >= self.batch {
            self.filled.notify_one();
        }
    }
}
