//! Users of whom nobody knows what stands in the cluster.
//!
//! A write that was given up may still be applied: a real cluster without a master applied one half a minute later. Until the cluster's own
//! time-outs have passed, every answer for such a user is checked first.

use crate::{clock::Timestamp, model::Username};
use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Elasticsearch gives up a write that waits for a master after 60 s; half of that again for queues and slow nodes.
const LASTS: Duration = Duration::from_secs(90);
/// Beyond this many doubtful users everybody is doubtful: that costs calls, where forgetting one would cost the truth.
const USERS: usize = 10_000;

/// The doubtful users, each with the end of the doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    users: Mutex<HashMap<Username, Timestamp>>,
    /// The end of the last doubt of all: one look at it answers the usual question, whether there is any doubt.
    last: AtomicU64,
    everybody: AtomicU64,
}

impl Doubts {
    /// Begins to doubt this user.
    pub(super) fn begin(&self, user: &Username, now: Timestamp) {
        let until = now.after(LASTS);
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS {
            users.retain(|_, end| *end > now);
        }
        if users.len() >= USERS {
            self.everybody.fetch_max(until.0, Ordering::Release);
            users.clear();
        } else {
            users.insert(user.clone(), until);
        }
        self.last.fetch_max(until.0, Ordering::Release);
    }

    /// Whether this user is doubtful now.
    pub(super) fn about(&self, user: &Username, now: Timestamp) -> bool {
        if now.0 >= self.last.load(Ordering::Acquire) {
            return false;
        }
        now.0 < self.everybody.load(Ordering::Acquire)
            || self.users.lock().unwrap_or_else(PoisonError::into_inner).get(user).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> Username {
        Username::parse(&format!("user-{n}")).unwrap()
    }

    #[test]
    fn a_doubt_lasts_ninety_seconds_and_concerns_one_user() {
        let doubts = Doubts::default();
        doubts.begin(&user(1), Timestamp(1_000));
        assert!(doubts.about(&user(1), Timestamp(1_000)));
        assert!(!doubts.about(&user(2), Timestamp(1_000)));
        assert!(doubts.about(&user(1), Timestamp(90_999)));
        assert!(!doubts.about(&user(1), Timestamp(91_000)));
    }

    #[test]
    fn with_too_many_doubts_everybody_is_doubted_rather_than_one_forgotten() {
        let doubts = Doubts::default();
        for n in 0..=USERS {
            doubts.begin(&user(n), Timestamp(1_000));
        }
        assert!(doubts.about(&user(0), Timestamp(2_000)));
        assert!(doubts.about(&user(USERS + 5), Timestamp(2_000)));
        assert!(!doubts.about(&user(0), Timestamp(91_000)));
    }
}
