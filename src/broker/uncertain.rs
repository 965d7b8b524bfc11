//! Users with an uncertain write: it was sent, and nobody knows whether it was applied.
//!
//! A write that was given up may still be applied: a real cluster without a master applied one half
//! a minute later. Until the cluster's own timeouts have passed, every answer for such a user is
//! checked first. A check from that time is not trusted after it either, for the write may have
//! been applied between the check and the end.

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
pub(super) const LASTS: Duration = Duration::from_secs(90);
/// With more uncertain users than this, everybody is taken for uncertain: that costs calls, where
/// forgetting one user could give a wrong answer.
const USERS: usize = 10_000;

#[derive(Debug)]
pub(super) struct UncertainWrites {
    /// How long a check is trusted otherwise: for so long the end of an uncertain write has to be
    /// remembered.
    expiration: Duration,
    /// Until when each user is uncertain. Read by every request of a user who was checked before
    /// the last of these ends: a lock that readers share.
    users: RwLock<HashMap<Username, Timestamp>>,
    /// The last of all ends: one look at it answers the usual question, whether anything is
    /// uncertain at all.
    last: AtomicU64,
    everybody: AtomicU64,
}

impl UncertainWrites {
    pub(super) fn new(expiration: Duration) -> Self {
        Self {
            expiration,
            users: RwLock::default(),
            last: AtomicU64::new(0),
            everybody: AtomicU64::new(0),
        }
    }

    /// A write of this user has ended uncertain.
    pub(super) fn record(&self, user: &Username, now: Timestamp) {
        self.record_until(user, now.after(LASTS), now);
    }

    /// Until then another replica's write may change this user, and nobody will report it.
    pub(super) fn record_until(&self, user: &Username, until: Timestamp, now: Timestamp) {
        let mut users = self.users.write().unwrap_or_else(PoisonError::into_inner);
        if users.len() >= USERS {
            users.retain(|_, end| end.after(self.expiration) > now);
        }
        if users.len() >= USERS {
            self.everybody.fetch_max(until.0, Ordering::Release);
            users.clear();
        } else {
            let end = users.entry(user.clone()).or_insert(until);
            *end = until.max(*end);
        }
        self.last.fetch_max(until.0, Ordering::Release);
    }

    /// The same of every user: nobody knows which writes are uncertain.
    pub(super) fn record_everybody(&self, until: Timestamp) {
        self.everybody.fetch_max(until.0, Ordering::Release);
        self.last.fetch_max(until.0, Ordering::Release);
    }

    /// Whether an uncertain write may have changed since what the cluster said about this user at
    /// `seen`.
    pub(super) fn affects(&self, user: &Username, seen: Timestamp) -> bool {
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
    fn an_uncertain_write_affects_one_user_for_ninety_seconds() {
        let writes = UncertainWrites::new(Duration::from_hours(1));
        writes.record(&user(1), Timestamp(1_000));
        assert!(writes.affects(&user(1), Timestamp(1_000)));
        assert!(!writes.affects(&user(2), Timestamp(1_000)));
        assert!(writes.affects(&user(1), Timestamp(90_999)));
        assert!(!writes.affects(&user(1), Timestamp(91_000)));
    }

    #[test]
    fn the_end_is_remembered_for_as_long_as_a_check_before_it_could_be_trusted() {
        let writes = UncertainWrites::new(Duration::from_mins(10));
        writes.record(&user(0), Timestamp(1_000));
        (1..USERS).for_each(|n| writes.record(&user(n), Timestamp(151_000)));
        assert!(writes.affects(&user(0), Timestamp(90_000)));
        // The table is full, and room is made.
        writes.record(&user(USERS), Timestamp(692_000));
        assert!(!writes.affects(&user(0), Timestamp(90_000)));
        assert!(writes.affects(&user(1), Timestamp(240_000)));
    }

    #[test]
    fn with_too_many_users_everybody_is_uncertain_rather_than_one_forgotten() {
        let writes = UncertainWrites::new(Duration::from_hours(1));
        for n in 0..=USERS {
            writes.record(&user(n), Timestamp(1_000));
        }
        assert!(writes.affects(&user(0), Timestamp(2_000)));
        assert!(writes.affects(&user(USERS + 5), Timestamp(2_000)));
        assert!(!writes.affects(&user(0), Timestamp(91_000)));
    }
}
