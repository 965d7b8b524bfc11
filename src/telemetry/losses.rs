//! Counts reports that are lost, and limits how often the log says so.

use super::metrics::Metrics;
use crate::{
    clock::Clock,
    rate::{Limiter, Rate},
};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// How often the log has a line about losses. The metrics count each.
const LINES: Rate = Rate::a_minute(1);

/// What is lost and not reported yet.
#[derive(Debug)]
pub(super) struct Losses {
    unreported: AtomicU64,
    lines: Limiter,
    clock: Clock,
    pub(super) metrics: Metrics,
}

impl Losses {
    pub(super) fn new(clock: Clock, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            unreported: AtomicU64::new(0),
            lines: Limiter::new(LINES),
            clock,
            metrics,
        })
    }

    /// So many more are lost; whether the log is to have a line now.
    pub(super) fn add(&self, lost: u64) -> bool {
        self.unreported.fetch_add(lost, Relaxed);
        self.lines.take(self.clock.now()).is_ok()
    }

    pub(super) fn unreported(&self) -> u64 {
        self.unreported.load(Relaxed)
    }

    /// So many are reported.
    pub(super) fn reported(&self, lost: u64) {
        self.unreported.fetch_sub(lost, Relaxed);
    }

    /// What is not reported yet; the caller reports it.
    pub(super) fn take(&self) -> u64 {
        self.unreported.swap(0, Relaxed)
    }
}
