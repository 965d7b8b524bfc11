//! How far our clock and those of others are apart.
//!
//! Replicas agree on passwords by the clock: at a boundary all of them hold their answers for
//! `credentials.grace`, and a clock that is off by more than that answers with a password that the
//! others have replaced. Nobody can tell whose clock is wrong, so the difference is told to people
//! and acts on nothing.

use super::metrics::Metrics;
use crate::clock::{Clock, Timestamp};
use http::HeaderValue;
use std::{
    fmt,
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

/// By whose clock ours is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Witness {
    /// The cluster, or what stands in front of it: Elasticsearch itself sends no `Date`, the
    /// proxies of hosted ones do.
    Cluster,
    /// Another replica, heard through Redis.
    Replica,
    /// An identity provider.
    IdentityProvider,
}

impl Witness {
    /// All of them, in the order of their declaration.
    pub(super) const ALL: [Self; 3] = [Self::Cluster, Self::Replica, Self::IdentityProvider];

    /// Its name as a label.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Replica => "replica",
            Self::IdentityProvider => "identity_provider",
        }
    }

    fn whose(self) -> &'static str {
        match self {
            Self::Cluster => "the cluster's",
            Self::Replica => "another replica's",
            Self::IdentityProvider => "an identity provider's",
        }
    }
}

/// Compares clocks. Clones share what they have seen; the default takes every difference for
/// harmless.
#[derive(Clone)]
pub struct Skew(Arc<Inner>);

struct Inner {
    clock: Clock,
    tolerance: Duration,
    metrics: Metrics,
    seen: Mutex<[Seen; Witness::ALL.len()]>,
}

/// What one witness says.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// The greatest difference of late, and when it was seen.
    worst: Option<(i64, Instant)>,
    /// Whether the log has said so.
    told: bool,
}

impl Skew {
    /// `tolerance` is the difference that does no harm: `credentials.grace`.
    #[must_use]
    pub fn new(clock: Clock, tolerance: Duration, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            clock,
            tolerance,
            metrics,
            seen: Mutex::default(),
        }))
    }

    /// The time by our own clock, to be taken before a question leaves.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The `Date` of an answer to a question that was sent at `sent`. What is no date says nothing.
    pub fn dated(&self, witness: Witness, date: &HeaderValue, sent: Timestamp) {
        let Some(theirs) = Timestamp::of_http_date(date).map(millis) else {
            return;
        };
        // It was written between the question and now, somewhere in its second: only what lies
        // beyond that is a difference.
        let (sent, now) = (millis(sent), millis(self.now()));
        let ahead = theirs.saturating_sub(now).max(0);
        let behind = sent
            .saturating_sub(theirs.saturating_add(DATE_STEP_MS))
            .max(0);
        self.compared(witness, ahead - behind);
    }

    /// Somebody's time as he has sent it, who knows how long ago. A clock that is behind cannot be
    /// told from a long way; its owner hears ours.
    pub fn heard(&self, witness: Witness, theirs: Timestamp) {
        self.compared(
            witness,
            millis(theirs).saturating_sub(millis(self.now())).max(0),
        );
    }

    fn compared(&self, witness: Witness, difference_ms: i64) {
        let inner = &self.0;
        let now = Instant::now();
        let mut all = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(seen) = all.get_mut(witness as usize) else {
            return;
        };
        let lasts = seen.worst.is_some_and(|(worst, at)| {
            now.duration_since(at) < REPORTED && worst.abs() > difference_ms.abs()
        });
        if !lasts {
            seen.worst = Some((difference_ms, now));
        }
        let worst = seen.worst.map_or(0, |(worst, _)| worst);
        inner.metrics.clock_differs(witness, worst);
        let harms = self.harms(worst);
        if harms == seen.told {
            return;
        }
        seen.told = harms;
        drop(all);
        if harms {
            warn!(
                difference_ms = worst,
                "this clock and {} differ by more than `credentials.grace`: when passwords change, requests may fail; set the clocks by NTP",
                witness.whose()
            );
        } else {
            info!("this clock and {} agree again", witness.whose());
        }
    }

    /// Whether the clocks agree, as far as anybody has said.
    ///
    /// # Errors
    /// By how much they do not.
    pub fn state(&self) -> Result<(), String> {
        let now = Instant::now();
        let all = *self.0.seen.lock().unwrap_or_else(PoisonError::into_inner);
        for (witness, seen) in Witness::ALL.into_iter().zip(all) {
            if let Some((worst, at)) = seen.worst
                && now.duration_since(at) < REPORTED
                && self.harms(worst)
            {
                return Err(format!(
                    "this clock and {} differ by {} ms, more than `credentials.grace`",
                    witness.whose(),
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

impl Default for Skew {
    fn default() -> Self {
        Self::new(Clock::default(), Duration::MAX, Metrics::default())
    }
}

impl fmt::Debug for Skew {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Skew")
            .field("tolerance", &self.0.tolerance)
            .finish_non_exhaustive()
    }
}

fn millis(moment: Timestamp) -> i64 {
    i64::try_from(moment.0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// 2023-11-14T22:13:20Z.
    const NOW: u64 = 1_700_000_000_000;

    fn skew() -> (Skew, Arc<AtomicU64>, Metrics) {
        let (ms, metrics) = (Arc::new(AtomicU64::new(NOW)), Metrics::default());
        (
            Skew::new(
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
    async fn a_date_says_no_more_than_its_second_and_the_way_there_allow() {
        let (skew, ms, _) = skew();
        let sent = skew.now();
        // A second on the way, and the answer may have been written anywhere on it.
        ms.store(NOW + 1_000, Ordering::SeqCst);
        for second in [19, 20, 21] {
            skew.dated(Witness::Cluster, &date(second), sent);
            assert_eq!(skew.state(), Ok(()), "{second}");
        }
        skew.dated(Witness::Cluster, &date(22), sent);
        assert!(
            skew.state()
                .is_err_and(|why| why.contains("the cluster's differ by 1000 ms"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_difference_is_reported_for_a_minute_after_it_was_last_seen() {
        let (skew, _, metrics) = skew();
        skew.dated(Witness::Cluster, &date(10), skew.now());
        assert!(skew.state().is_err_and(|why| why.contains("9000 ms")));
        assert!(
            metrics
                .expose()
                .contains("elastauth_clock_difference_seconds{witness=\"cluster\"} -9.0\n"),
            "{}",
            metrics.expose()
        );
        // Another node of the cluster has the right time.
        tokio::time::advance(Duration::from_secs(59)).await;
        skew.dated(Witness::Cluster, &date(20), skew.now());
        assert!(skew.state().is_err());
        tokio::time::advance(Duration::from_secs(2)).await;
        skew.dated(Witness::Cluster, &date(20), skew.now());
        assert_eq!(skew.state(), Ok(()));
        assert!(
            metrics
                .expose()
                .contains("elastauth_clock_difference_seconds{witness=\"cluster\"} 0.0\n")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_is_ahead_is_noticed_and_a_letter_that_was_long_on_its_way_is_not() {
        let (skew, _, _) = skew();
        skew.heard(Witness::Replica, Timestamp(NOW - 60_000));
        skew.heard(Witness::Replica, Timestamp(NOW + 500));
        assert_eq!(skew.state(), Ok(()));
        skew.heard(Witness::Replica, Timestamp(NOW + 501));
        assert!(
            skew.state()
                .is_err_and(|why| why.contains("another replica's"))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_date_says_nothing() {
        let (skew, _, _) = skew();
        for text in [
            "",
            "yesterday",
            "Tue, 14 Nov 2023",
            "Tue, 99 Nov 2023 22:13:20 GMT",
            "9999999999999999999999",
        ] {
            skew.dated(
                Witness::Cluster,
                &HeaderValue::from_str(text).unwrap(),
                skew.now(),
            );
        }
        skew.heard(Witness::Replica, Timestamp(0));
        assert_eq!(skew.state(), Ok(()));
        skew.heard(Witness::Replica, Timestamp(u64::MAX));
        assert!(skew.state().is_err());
    }
}
