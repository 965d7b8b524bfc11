//! How often something may be done: a bucket of permits that is filled again evenly.

use crate::clock::Timestamp;
use std::{
    num::NonZero,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How many permits a full bucket holds, and how long it takes to fill an empty one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    permits: u32,
    period_ms: u32,
}

/// What is left of one bucket. Counted in parts of a permit, as many as the period has
/// milliseconds, so that nothing is lost by rounding.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    left: u64,
    at: Timestamp,
}

impl Rate {
    pub(crate) const fn a_second(permits: u32) -> Self {
        let period_ms = 1_000;
        Self { permits, period_ms }
    }

    pub(crate) const fn a_minute(permits: u32) -> Self {
        let period_ms = 60_000;
        Self { permits, period_ms }
    }

    /// So many at once, and then one in each of these times.
    pub(crate) fn burst(permits: u32, each: Duration) -> Self {
        let each = u32::try_from(each.as_millis()).unwrap_or(u32::MAX);
        let period_ms = each.saturating_mul(permits);
        Self { permits, period_ms }
    }

    /// The bucket after one permit is taken; `None` where there is none to take. No bucket is a
    /// full one.
    pub(crate) fn after_taking_one(self, bucket: Option<Bucket>, now: Timestamp) -> Option<Bucket> {
        let (permits, period) = (u64::from(self.permits), u64::from(self.period_ms));
        let full = permits * period;
        let left = bucket.map_or(full, |bucket| {
            // A bucket from the future (a clock was set back) is a full one: it would otherwise
            // stay empty until the old time is reached again.
            now.0.checked_sub(bucket.at.0).map_or(full, |elapsed| {
                full.min(bucket.left + elapsed.min(period) * permits)
            })
        });
        let left = left.checked_sub(period)?;
        Some(Bucket { left, at: now })
    }
}

/// One bucket that many share. It counts what it refused.
#[derive(Debug)]
pub(crate) struct Limiter {
    rate: Rate,
    state: Mutex<LimiterState>,
}

/// The bucket is empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoPermit;

#[derive(Debug, Default)]
struct LimiterState {
    bucket: Option<Bucket>,
    refused: u64,
}

impl Limiter {
    pub(crate) fn new(rate: Rate) -> Self {
        Self {
            rate,
            state: Mutex::default(),
        }
    }

    /// Takes a permit; says how many were refused since the last one, if any.
    pub(crate) fn take(&self, now: Timestamp) -> Result<Option<NonZero<u64>>, NoPermit> {
        let mut state = self.state();
        if let Some(bucket) = self.rate.after_taking_one(state.bucket, now) {
            state.bucket = Some(bucket);
            return Ok(NonZero::new(std::mem::take(&mut state.refused)));
        }
        state.refused = state.refused.saturating_add(1);
        Err(NoPermit)
    }

    fn state(&self) -> MutexGuard<'_, LimiterState> {
        // Each change is one step: a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_at_once_and_then_one_every_six_seconds() {
        let (limiter, start) = (Limiter::new(Rate::a_minute(10)), 1_000_000);
        let take = |ms: u64| limiter.take(Timestamp(start + ms)).is_ok();
        assert!((0..10).all(|_| take(0)));
        assert!(!take(0));
        assert!(!take(5_999));
        assert!(take(6_000));
        assert!((6_001..12_000).all(|ms| !take(ms)), "refusals take none");
        assert!(take(12_000));
        assert_eq!((0..11).filter(|_| take(600_000)).count(), 10);
    }

    #[test]
    fn what_was_refused_is_counted_until_the_next_permit() {
        let limiter = Limiter::new(Rate::a_second(10));
        let after_taking_one: Vec<_> = (0..1_000)
            .filter_map(|_| limiter.take(Timestamp(5_000)).ok())
            .collect();
        assert_eq!(after_taking_one, [None; 10]);
        let later = Timestamp(6_000);
        assert_eq!(
            (limiter.take(later), limiter.take(later)),
            (Ok(NonZero::new(990)), Ok(None))
        );
    }

    #[test]
    fn a_clock_set_back_does_not_empty_a_bucket_for_good() {
        let limiter = Limiter::new(Rate::a_minute(2));
        let takes = |ms| {
            (0..3)
                .filter(|_| limiter.take(Timestamp(ms)).is_ok())
                .count()
        };
        assert_eq!(takes(3_600_000), 2);
        assert_eq!(takes(1_000), 2);
        assert_eq!(takes(31_000), 1);
    }

    #[test]
    fn a_burst_is_filled_again_one_by_one() {
        let limiter = Limiter::new(Rate::burst(3, Duration::from_secs(5)));
        let takes = |ms| {
            (0..4)
                .filter(|_| limiter.take(Timestamp(ms)).is_ok())
                .count()
        };
        let counts = [1_000, 5_999, 6_000, 16_000, 100_000].map(takes);
        assert_eq!(counts, [3, 0, 1, 2, 3]);
    }

    #[test]
    fn a_rate_of_none_allows_none() {
        assert!(
            Rate::a_minute(0)
                .after_taking_one(None, Timestamp(0))
                .is_none()
        );
    }
}
