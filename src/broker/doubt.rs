//! Users of whom nobody knows what stands in the cluster.
//!
//! A write that was given up may still be applied: a real cluster without a master applied one half
//! a minute later. Until the cluster's own time-outs have passed, every answer for such a user is
//! checked first; and what was checked in that time is not believed after it either, for the write
//! may have been applied between the check and the end of the doubt.

use crate::{clock::Timestamp, model::Username};
use std::{
    collections::HashMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Elasticsearch gives up a write that waits for a master after 60 s; half of that again for queues
/// and slow nodes.
const LASTS: Duration = Duration::from_secs(90);
/// Beyond this many doubtful users everybody is doubtful: that costs calls, where forgetting one
/// would cost the truth.
const USERS: usize = 10_000;

/// The doubtful users, each with the end of the doubt.
#[derive(Debug)]
pub(super) struct Doubts {
    /// How long a check is believed where there is no doubt: so long the end of a doubt has to be
    /// remembered.
    expiration: Duration,
    /// Looked at by every request of whoever was checked before the last doubt's end: side by side.
    users: RwLock<HashMap<Username, Timestamp>>,
    /// The end of the last doubt of all: one look at it answers the usual question, whether there
    /// is any doubt.
    last: AtomicU64,
    everybody: AtomicU64,
}

impl Doubts {
    pub(super) fn new(expiration: Duration) -> Self {
        Self {
            expiration,
            users: RwLock::default(),
            last: AtomicU64::new(0),
            everybody: AtomicU64::new(0),
        }
    }

    /// Begins to doubt this user.
    pub(super) fn begin(&self, user: &Username, now: Timestamp) {
        let until = now.after(LASTS);
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS {
            users.retain(|_, end| end.after(self.expiration) > now);
        }
        if users.len() >= USERS {
            self.everybody.fetch_max(until.0, Ordering::Release);
            users.clear();
        } else {
            users.insert(user.clone(), until);
        }
        self.last.fetch_max(until.0, Ordering::Release);
    }

    /// Whether what the cluster has said about this user at `seen` may have been undone since by a
    /// write that came late.
    pub(super) fn about(&self, user: &Username, seen: Timestamp) -> bool {
        if seen.0 >= self.last.load(Ordering::Acquire) {
            return false;
        }
        seen.0 < self.everybody.load(Ordering::Acquire)
            || self
                .users
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .get(user)
                .is_some_and(|until| seen < *until)
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
        let doubts = Doubts::new(Duration::from_hours(1));
        doubts.begin(&user(1), Timestamp(1_000));
        assert!(doubts.about(&user(1), Timestamp(1_000)));
        assert!(!doubts.about(&user(2), Timestamp(1_000)));
        assert!(doubts.about(&user(1), Timestamp(90_999)));
        assert!(!doubts.about(&user(1), Timestamp(91_000)));
    }

    #[test]
    fn the_end_of_a_doubt_is_remembered_for_as_long_as_a_check_within_it_could_be_believed() {
        let doubts = Doubts::new(Duration::from_mins(10));
        doubts.begin(&user(0), Timestamp(1_000));
        (1..USERS).for_each(|n| doubts.begin(&user(n), Timestamp(151_000)));
        assert!(doubts.about(&user(0), Timestamp(90_000)));
        // The table is full, and room is made.
        doubts.begin(&user(USERS), Timestamp(692_000));
        assert!(!doubts.about(&user(0), Timestamp(90_000)));
        assert!(doubts.about(&user(1), Timestamp(240_000)));
    }

    #[test]
    fn with_too_many_doubts_everybody_is_doubted_rather_than_one_forgotten() {
        let doubts = Doubts::new(Duration::from_hours(1));
        for n in 0..=USERS {
            doubts.begin(&user(n), Timestamp(1_000));
        }
        assert!(doubts.about(&user(0), Timestamp(2_000)));
        assert!(doubts.about(&user(USERS + 5), Timestamp(2_000)));
        assert!(!doubts.about(&user(0), Timestamp(91_000)));
    }
}
