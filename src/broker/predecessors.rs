//! Brokers that have ended while the program goes on, as a reload or a full table of tenants ends
//! them. A write that one of them has sent may take effect after another broker for the same
//! cluster has asked about the user, and a request in hand may still begin one.

use super::{state::State, uncertain::LASTS};
use crate::clock::Timestamp;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Those whose writes may still take effect. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Predecessors(Arc<Mutex<Ended>>);

#[derive(Debug, Default)]
struct Ended {
    /// Something still holds these: a request in hand, or an update.
    held: Vec<Weak<State>>,
    /// Until when the writes of all others may take effect.
    until: Timestamp,
}

impl Predecessors {
    /// Nobody is sent to this broker any more.
    pub(super) fn add(&self, state: &Arc<State>) {
        let now = state.clock.now();
        let mut ended = self.lock();
        ended.held.push(Arc::downgrade(state));
        ended.look(now);
    }

    /// Takes over what others know.
    pub(crate) fn take_over(&self, others: &Self) {
        let theirs = std::mem::take(&mut *others.lock());
        let mut ended = self.lock();
        ended.held.extend(theirs.held);
        ended.until = ended.until.max(theirs.until);
    }

    /// Makes a broker check every user as long as these writes may take effect. Says whether that
    /// has to be said again, because some of them may still write.
    pub(super) fn warn(&self, state: &State) -> bool {
        let now = state.clock.now();
        let mut ended = self.lock();
        ended.look(now);
        if ended.until > now {
            state.uncertain.record_everybody(ended.until);
        }
        !ended.held.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Ended> {
        // Each change is one step: a panic leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ended {
    fn look(&mut self, now: Timestamp) {
        if !self.held.is_empty() {
            self.until = self.until.max(now.after(LASTS));
        }
        self.held.retain(|state| state.strong_count() > 0);
    }
}
