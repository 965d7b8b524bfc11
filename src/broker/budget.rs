//! How often one user may be written.
//!
//! A native user has one set of roles. Two live sessions of one user with different groups would pull at it with every request; where no
//! order tells which is the newer, the pulling is bounded and the request that would flip it back is refused.

use crate::{clock::Timestamp, model::Username};
use quick_cache::sync::Cache;
use std::{fmt, sync::Mutex};

/// Users who were written lately. Far more than can be written within a minute, so that nobody's bucket is pushed out by others.
const USERS: usize = 50_000;
const MINUTE_MS: u64 = 60_000;

/// A bucket of writes a user, filled again evenly over a minute.
pub(super) struct Budget {
    a_minute: u32,
    /// Thousandths of a write that are left, and when that was.
    buckets: Mutex<Cache<Username, (u64, Timestamp)>>,
}

impl Budget {
    pub(super) fn new(a_minute: u32) -> Self {
        Self { a_minute, buckets: Mutex::new(Cache::new(USERS)) }
    }

    /// Takes one write; `false` when none is left.
    pub(super) fn take(&self, user: &Username, now: Timestamp) -> bool {
        let full = u64::from(self.a_minute) * 1_000;
        let Ok(buckets) = self.buckets.lock() else { return false };
        // A bucket from the future (a clock set back) is as good as none: it would else stay empty until the old time comes round again.
        let (left, then) = buckets.get(user).filter(|(_, then)| *then <= now).unwrap_or((full, now));
        let elapsed = now.0.saturating_sub(then.0).min(MINUTE_MS);
        // A refusal changes nothing: rounding at each of many would keep the bucket empty for ever.
        let Some(after) = full.min(left + elapsed * full / MINUTE_MS).checked_sub(1_000) else { return false };
        buckets.insert(user.clone(), (after, now));
        true
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget").field("a_minute", &self.a_minute).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_writes_and_then_one_every_six_seconds() {
        let (budget, user) = (Budget::new(10), Username::parse("alice").unwrap());
        let start = Timestamp(1_000_000);
        assert!((0..10).all(|_| budget.take(&user, start)));
        assert!(!budget.take(&user, start));
        assert!(!budget.take(&user, Timestamp(start.0 + 5_999)));
        assert!(budget.take(&user, Timestamp(start.0 + 6_001)));
        assert!((6_002..12_000).all(|ms| !budget.take(&user, Timestamp(start.0 + ms))));
        assert!(budget.take(&user, Timestamp(start.0 + 12_002)));
        assert!((0..10).all(|_| budget.take(&user, Timestamp(start.0 + 600_000))));
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
