//! Whether the changes by other replicas are received, and since when.

use crate::clock::Timestamp;
use std::sync::atomic::{AtomicU64, Ordering};

/// One stretch of time in which every change is received, or none is known to be. Counted up at
/// each transition: odd while every change is received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Phase(u64);

impl Phase {
    /// No change is received yet; of an entry, that a change of it may have been missed.
    pub(crate) const UNSUBSCRIBED: Self = Self(0);
    /// Every change is received from the start.
    pub(crate) const COMPLETE: Self = Self(1);

    pub(super) fn is_complete(self) -> bool {
        self.0 % 2 == 1
    }
}

#[derive(Debug)]
pub(crate) struct Subscription {
    phase: AtomicU64,
    /// Until when the latest complete phase is known to have lasted, in milliseconds.
    complete_until: AtomicU64,
}

impl Subscription {
    pub(super) fn new(phase: Phase) -> Self {
        Self {
            phase: AtomicU64::new(phase.0),
            complete_until: AtomicU64::new(0),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        Phase(self.phase.load(Ordering::Acquire))
    }

    /// From now on every change by other replicas is received.
    pub(crate) fn begin(&self) {
        if !self.phase().is_complete() {
            self.phase.fetch_add(1, Ordering::Release);
        }
    }

    /// Changes are not received any more; all of them were until then.
    pub(crate) fn lost(&self, complete_until: Timestamp) {
        if self.phase().is_complete() {
            self.complete_until
                .store(complete_until.0, Ordering::Release);
            self.phase.fetch_add(1, Ordering::Release);
        }
    }

    /// When what came `at` that time in the phase `of` was last known to be complete, seen from
    /// the phase `now`.
    pub(super) fn complete_at(&self, of: Phase, at: Timestamp, now: Phase) -> Timestamp {
        let latest = now.0.checked_sub(if now.is_complete() { 2 } else { 1 });
        if Some(of.0) == latest {
            at.max(Timestamp(self.complete_until.load(Ordering::Acquire)))
        } else {
            at
        }
    }
}
