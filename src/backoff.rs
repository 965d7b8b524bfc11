//! How long to wait before the next attempt: doubled with each failure, and spread, so that
//! replicas do not come back in step.

use std::time::Duration;

/// By how much a wait is longer or shorter at most.
const SPREAD_PERCENT: u32 = 20;

/// The waits of one attempt after another.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Backoff {
    /// Both bounds are those before the spread.
    pub(crate) const fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// Counts one more failure; the wait after it.
    pub(crate) fn failed(&mut self) -> Duration {
        let doubled = self
            .first
            .saturating_mul(1 << self.failures.min(16))
            .min(self.longest);
        self.failures = self.failures.saturating_add(1);
        spread(doubled, SPREAD_PERCENT)
    }

    /// An attempt succeeded: the next wait is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How many attempts in a row have failed.
    #[cfg(test)]
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

/// So much less up to so much more.
pub(crate) fn spread(wait: Duration, percent: u32) -> Duration {
    spread_by(wait, percent, random_byte())
}

/// For spreading load. Nothing depends on it being hard to guess, so a system without randomness
/// only spreads less.
pub(crate) fn random_byte() -> u8 {
    let mut byte = [0];
    let _spreads_less = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

fn spread_by(wait: Duration, percent: u32, random: u8) -> Duration {
    wait * (1_000 - 10 * percent + u32::from(random) * 20 * percent / 255) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_doubles_up_to_the_longest_and_begins_again_after_a_success() {
        let near = |wait: Duration, seconds: f64| {
            (0.8 * seconds..=1.2 * seconds).contains(&wait.as_secs_f64())
        };
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_mins(1));
        for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0] {
            let wait = backoff.failed();
            assert!(near(wait, seconds), "{wait:?} is not near {seconds} s");
        }
        for _ in 0..1_000 {
            assert!(near(backoff.failed(), 60.0));
        }
        assert_eq!(backoff.failures(), 1_008);
        backoff.reset();
        assert_eq!(backoff.failures(), 0);
        assert!(near(backoff.failed(), 1.0));
    }

    #[test]
    fn a_wait_is_spread_evenly_to_both_sides() {
        let wait =
            |percent, random| spread_by(Duration::from_secs(10), percent, random).as_millis();
        assert_eq!([wait(20, 0), wait(20, 255)], [8_000, 12_000]);
        assert_eq!([wait(10, 0), wait(10, 255)], [9_000, 11_000]);
        assert!(wait(20, 127).abs_diff(10_000) < 20);
    }
}
