//! How far our clock and other clocks are apart.
//!
//! Replicas agree on passwords by the clock: when a password changes, all of them hold their answers
//! for `credentials.grace`, and a clock that is off by more than that answers with a password that
//! the others have replaced. Nobody can know whose clock is wrong, so the difference is reported to
//! people and has no other effect.

use super::metrics::{ClockSource, Metrics};
use crate::clock::{Clock, Timestamp};
use http::HeaderValue;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{info, warn};

/// How long a difference is reported after it was last seen. Of several nodes one may be off, and
/// the others answer in between.
const REPORTED: Duration = Duration::from_mins(1);
/// `Date` counts whole seconds.
const DATE_STEP_MS: i64 = 1_000;

/// Compares clocks. Clones share what they have seen; the default accepts every difference.
#[derive(Debug, Clone)]
pub struct ClockCheck(Arc<Comparison>);

#[derive(Debug)]
struct Comparison {
    clock: Clock,
    tolerance: Duration,
    metrics: Metrics,
    seen: Mutex<BTreeMap<ClockSource, Difference>>,
}

/// What one source says.
#[derive(Debug, Clone, Copy, Default)]
struct Difference {
    /// The greatest difference of late, and when it was seen.
    worst: Option<(i64, Instant)>,
    /// Whether the log has a line about it.
    logged: bool,
}

impl ClockCheck {
    /// `tolerance` is the difference that does no harm: `credentials.grace`.
    #[must_use]
    pub fn new(clock: Clock, tolerance: Duration, metrics: Metrics) -> Self {
        Self(Arc::new(Comparison {
            clock,
            tolerance,
            metrics,
            seen: Mutex::default(),
        }))
    }

    /// The time by our own clock. Take it before a request is sent.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// Compares with the `Date` of the response to a request that was sent at `sent`. A malformed
    /// date is ignored.
    pub fn compare_date(&self, source: ClockSource, date: &HeaderValue, sent: Timestamp) {
        let Some(theirs) = Timestamp::of_http_date(date).map(millis) else {
            return;
        };
        // It was written between the request and now, somewhere in its second: only what lies
        // beyond that is a difference.
        let (sent, now) = (millis(sent), millis(self.now()));
        let ahead = theirs.saturating_sub(now).max(0);
        let behind = sent
            .saturating_sub(theirs.saturating_add(DATE_STEP_MS))
            .max(0);
        self.compared(source, ahead - behind);
    }

    /// Compares with a time that another replica sent, an unknown while ago. A clock that is behind
    /// looks the same as a slow message; the other replica receives our time and sees it.
    pub fn compare(&self, source: ClockSource, theirs: Timestamp) {
        self.compared(
            source,
            millis(theirs).saturating_sub(millis(self.now())).max(0),
        );
    }

    fn compared(&self, source: ClockSource, difference_ms: i64) {
        let inner = &self.0;
        let now = Instant::now();
        let mut all = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = all.entry(source).or_default();
        let lasts = seen.worst.is_some_and(|(worst, at)| {
            now.duration_since(at) < REPORTED && worst.abs() > difference_ms.abs()
        });
        if !lasts {
            seen.worst = Some((difference_ms, now));
        }
        let worst = seen.worst.map_or(0, |(worst, _)| worst);
        inner.metrics.clock_differs(source, worst);
        let harms = self.harms(worst);
        if harms == seen.logged {
            return;
        }
        seen.logged = harms;
        drop(all);
        if harms {
            warn!(
                difference_ms = worst,
                "this clock and {} differ by more than `credentials.grace`: when passwords change, \
                 requests may fail; set the clocks by NTP",
                whose(source)
            );
        } else {
            info!("this clock and {} agree again", whose(source));
        }
    }

    /// Whether the clocks agree, as far as is known.
    ///
    /// # Errors
    /// By how much they do not.
    pub fn state(&self) -> Result<(), String> {
        let now = Instant::now();
        let all = self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (source, seen) in &*all {
            if let Some((worst, at)) = seen.worst
                && now.duration_since(at) < REPORTED
                && self.harms(worst)
            {
                return Err(format!(
                    "this clock and {} differ by {} ms, more than `credentials.grace`",
                    whose(*source),
                    worst.abs()
                ));
            }
        }
        Ok(())
    }

    fn harms(&self, difference_ms: i64) -> bool {
        Duration::from_millis(difference_ms.unsigned_abs()) > self.0.tolerance
    }
}

impl Default for ClockCheck {
    fn default() -> Self {
        Self::new(Clock::default(), Duration::MAX, Metrics::default())
    }
}

fn whose(source: ClockSource) -> &'static str {
    match source {
        ClockSource::Cluster => "the cluster's",
        ClockSource::Replica => "another replica's",
        ClockSource::IdentityProvider => "an identity provider's",
    }
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// 2023-11-14T22:13:20Z.
    const NOW: u64 = 1_700_000_000_000;

    fn check() -> (ClockCheck, Arc<AtomicU64>, Metrics) {
        let (ms, metrics) = (Arc::new(AtomicU64::new(NOW)), Metrics::default());
        (
            ClockCheck::new(
                Clock::Manual(Arc::clone(&ms)),
                Duration::from_millis(500),
                metrics.clone(),
            ),
            ms,
            metrics,
        )
    }

    fn date(second: u8) -> HeaderValue {
        HeaderValue::from_str(&format!("Tue, 14 Nov 2023 22:13:{second:02} GMT")).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_date_is_exact_to_its_second_and_the_time_of_the_request() {
        let (check, ms, _) = check();
        let sent = check.now();
        // A second on the way, and the answer may have been written anywhere on it.
        ms.store(NOW + 1_000, Ordering::SeqCst);
        for second in [19, 20, 21] {
            check.compare_date(ClockSource::Cluster, &date(second), sent);
            assert_eq!(check.state(), Ok(()), "{second}");
        }
        check.compare_date(ClockSource::Cluster, &date(22), sent);
        assert!(
            check
                .state()
                .is_err_and(|why| why.contains("the cluster's differ by 1000 ms"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_difference_is_reported_for_a_minute_after_it_was_last_seen() {
        let (check, _, metrics) = check();
        check.compare_date(ClockSource::Cluster, &date(10), check.now());
        assert!(check.state().is_err_and(|why| why.contains("9000 ms")));
        assert!(
            metrics
                .expose()
                .contains("elastauth_clock_difference_seconds{source=\"cluster\"} -9.0\n"),
            "{}",
            metrics.expose()
        );
        // Another node of the cluster has the right time.
        tokio::time::advance(Duration::from_secs(59)).await;
        check.compare_date(ClockSource::Cluster, &date(20), check.now());
        assert!(check.state().is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        check.compare_date(ClockSource::Cluster, &date(20), check.now());
        assert_eq!(check.state(), Ok(()));
        assert!(
            metrics
                .expose()
                .contains("elastauth_clock_difference_seconds{source=\"cluster\"} 0.0\n")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_ahead_is_noticed_and_a_slow_message_is_not() {
        let (check, _, _) = check();
        check.compare(ClockSource::Replica, Timestamp(NOW - 60_000));
        check.compare(ClockSource::Replica, Timestamp(NOW + 500));
        assert_eq!(check.state(), Ok(()));
        check.compare(ClockSource::Replica, Timestamp(NOW + 501));
        assert!(
            check
                .state()
                .is_err_and(|why| why.contains("another replica's"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_malformed_date_is_ignored() {
        let (check, _, _) = check();
        for text in [
            "",
            "yesterday",
            "Tue, 14 Nov 2023",
            "Tue, 99 Nov 2023 22:13:20 GMT",
            "9999999999999999999999",
        ] {
            check.compare_date(
                ClockSource::Cluster,
                &HeaderValue::from_str(text).unwrap(),
                check.now(),
            );
        }
        check.compare(ClockSource::Replica, Timestamp(0));
        assert_eq!(check.state(), Ok(()));
        check.compare(ClockSource::Replica, Timestamp(u64::MAX));
        assert!(check.state().is_err());
    }
}
