//! How often one user may be written, and how many users may be created.
//!
//! A native user has one set of roles. Two live sessions of one user with different groups would
//! rewrite the user with every request. Where no order tells which session is the newer one, these
//! writes are bounded, and the request that would flip the roles back is refused.

use super::types::Reason;
use crate::{
    broker::{error::BrokerError, places::Class},
    clock::Timestamp,
    model::Username,
};
use quick_cache::sync::Cache;
use std::{fmt, sync::Mutex};

/// Users who were written lately. Far more than can be written within a minute, so that nobody's
/// bucket is evicted by others.
const USERS: usize = 50_000;
const MINUTE_MS: u64 = 60_000;

#[derive(Debug)]
pub(super) struct Limits {
    changes: Budget,
    new_users: Arrivals,
}

impl Limits {
    pub(super) fn new(writes_per_minute: u32, new_per_minute: u32) -> Self {
        Self {
            changes: Budget::new(writes_per_minute),
            new_users: Arrivals::new(new_per_minute),
        }
    }

    /// Whether a write for such a user is to be expected to pass.
    pub(super) fn allow(&self, user: &Username, class: Class, now: Timestamp) -> bool {
        match class {
            Class::Known => self.changes.has_one(user, now),
            Class::New => self.new_users.has_one(now),
        }
    }

    /// Takes one write. Rotation and take-over are bounded by nature: once a period, once a user.
    pub(super) fn take(
        &self,
        user: &Username,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        match reason {
            Reason::Changed if !self.changes.take(user, now) => Err(BrokerError::WriteBudget),
            Reason::Absent if !self.new_users.take(now) => Err(BrokerError::NewUsers),
            Reason::Absent | Reason::Changed | Reason::Rotated | Reason::Adopted => Ok(()),
        }
    }
}

/// A bucket of writes a user, filled again evenly over a minute.
struct Budget {
    a_minute: u32,
    /// Thousandths of a write that are left, and when that was.
    buckets: Mutex<Cache<Username, (u64, Timestamp)>>,
}

impl Budget {
    fn new(a_minute: u32) -> Self {
        Self {
            a_minute,
            buckets: Mutex::new(Cache::new(USERS)),
        }
    }

    /// Takes one write; `false` when none is left.
    fn take(&self, user: &Username, now: Timestamp) -> bool {
        let Ok(buckets) = self.buckets.lock() else {
            return false;
        };
        let Some(after) = self.drawn(buckets.get(user), now) else {
            return false;
        };
        buckets.insert(user.clone(), (after, now));
        true
    }

    /// Whether one could be taken now.
    fn has_one(&self, user: &Username, now: Timestamp) -> bool {
        self.buckets
            .lock()
            .is_ok_and(|buckets| self.drawn(buckets.get(user), now).is_some())
    }

    fn drawn(&self, bucket: Option<(u64, Timestamp)>, now: Timestamp) -> Option<u64> {
        drawn(u64::from(self.a_minute) * 1_000, bucket, now)
    }
}

/// One draw from a bucket that holds `full` thousandths and is filled again evenly over a minute:
/// what is left then, or nothing where it does not suffice.
fn drawn(full: u64, bucket: Option<(u64, Timestamp)>, now: Timestamp) -> Option<u64> {
    // A bucket from the future (a clock set back) does not count: it would else stay empty until
    // the old time is reached again.
    let (left, then) = bucket
        .filter(|(_, then)| *then <= now)
        .unwrap_or((full, now));
    let elapsed = now.0.saturating_sub(then.0).min(MINUTE_MS);
    // A refusal changes nothing: rounding at each of many would keep the bucket empty forever.
    full.min(left + elapsed * full / MINUTE_MS)
        .checked_sub(1_000)
}

/// The one bucket of users that are created. Somebody who makes names up behind a trusted gateway
/// could else fill the cluster, the store and the memory with them.
#[derive(Debug)]
struct Arrivals {
    a_minute: u32,
    bucket: Mutex<Option<(u64, Timestamp)>>,
}

impl Arrivals {
    fn new(a_minute: u32) -> Self {
        Self {
            a_minute,
            bucket: Mutex::default(),
        }
    }

    /// Takes one new user; `false` when none is left.
    fn take(&self, now: Timestamp) -> bool {
        let Ok(mut bucket) = self.bucket.lock() else {
            return false;
        };
        let Some(after) = self.drawn(*bucket, now) else {
            return false;
        };
        *bucket = Some((after, now));
        true
    }

    /// Whether one could be taken now.
    fn has_one(&self, now: Timestamp) -> bool {
        self.bucket
            .lock()
            .is_ok_and(|bucket| self.drawn(*bucket, now).is_some())
    }

    fn drawn(&self, bucket: Option<(u64, Timestamp)>, now: Timestamp) -> Option<u64> {
        drawn(u64::from(self.a_minute) * 1_000, bucket, now)
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("a_minute", &self.a_minute)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_writes_and_then_one_every_six_seconds() {
        let (budget, user) = (Budget::new(10), Username::parse("alice").unwrap());
        let start = Timestamp(1_000_000);
        assert!(
            (0..100).all(|_| budget.has_one(&user, start)),
            "looking takes none"
        );
        assert!((0..10).all(|_| budget.take(&user, start)));
        assert!(!budget.has_one(&user, start) && !budget.take(&user, start));
        assert!(!budget.take(&user, Timestamp(start.0 + 5_999)));
        assert!(budget.take(&user, Timestamp(start.0 + 6_001)));
        assert!((6_002..12_000).all(|ms| !budget.take(&user, Timestamp(start.0 + ms))));
        assert!(budget.take(&user, Timestamp(start.0 + 12_002)));
        assert!((0..10).all(|_| budget.take(&user, Timestamp(start.0 + 600_000))));
    }

    #[test]
    fn a_minutes_worth_of_new_users_and_then_as_they_come() {
        let arrivals = Arrivals::new(600);
        assert!(
            (0..10_000).all(|_| arrivals.has_one(Timestamp(5_000))),
            "looking takes none"
        );
        assert_eq!(
            (0..10_000)
                .filter(|_| arrivals.take(Timestamp(5_000)))
                .count(),
            600
        );
        assert!(!arrivals.has_one(Timestamp(5_000)));
        assert_eq!(
            (0..1_000)
                .filter(|ms| arrivals.take(Timestamp(5_001 + ms)))
                .count(),
            10
        );
    }

    #[test]
    fn one_user_does_not_spend_anothers() {
        let budget = Budget::new(1);
        assert!(budget.take(&Username::parse("alice").unwrap(), Timestamp(0)));
        assert!(budget.take(&Username::parse("bob").unwrap(), Timestamp(0)));
    }

    #[test]
    fn a_clock_set_back_does_not_empty_a_bucket_for_good() {
        let (budget, user) = (Budget::new(2), Username::parse("alice").unwrap());
        let hour = Timestamp(3_600_000);
        assert!((0..2).all(|_| budget.take(&user, hour)));
        assert!(!budget.take(&user, hour));
        assert!((0..2).all(|_| budget.take(&user, Timestamp(1_000))));
        assert!(!budget.take(&user, Timestamp(1_000)));
        assert!(budget.take(&user, Timestamp(31_000)));
    }
}
