//! When each user is checked again.
//!
//! Every user has a recheck time of their own in each period of `cache.expiration`. It follows from
//! the name alone, so all replicas agree on it, and an event that brings everybody at once (a
//! start, a busy morning) does not bring the checks together.

use crate::{
    clock::Timestamp,
    model::{Username, mixed},
};
use std::time::Duration;

/// How long what the cluster said at `seen` is valid: until the user's next recheck time, which is
/// `cache.expiration` away at most.
pub(super) fn valid_for(user: &Username, seen: Timestamp, expiration: Duration) -> Duration {
    let period = u64::try_from(expiration.as_millis()).unwrap_or(u64::MAX);
    // Mixed once more: the boundaries of passwords follow from the place itself, and must have
    // nothing to do with this.
    let (Some(offset), Some(place)) = (
        mixed(user.place()).checked_rem(period),
        seen.0.checked_rem(period),
    ) else {
        return Duration::ZERO;
    };
    let into = if place >= offset {
        place - offset
    } else {
        period - offset + place
    };
    Duration::from_millis(period - into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_hours(1);
    const START: u64 = 1_800_000_000_000;

    fn user(n: u64) -> Username {
        Username::parse(&format!("user-{n}")).unwrap()
    }

    /// Ten thousand users who are active all the time and came within one second; a check is due as
    /// soon as the last one is not valid any more.
    #[test]
    fn checks_of_ten_thousand_users_are_spread_from_the_first_round_on() {
        let mut checks = vec![0_u32; 10 * 60];
        for user in (0..10_000).map(user) {
            let mut seen = Timestamp(START + user.place() % 1_000);
            loop {
                seen = seen.after(valid_for(&user, seen, HOUR));
                let Some(minute) =
                    checks.get_mut(usize::try_from((seen.0 - START) / 60_000).unwrap())
                else {
                    break;
                };
                *minute += 1;
            }
        }
        let mean = 10_000.0 / 60.0;
        let peak = f64::from(*checks.iter().max().unwrap());
        assert!(
            peak <= 2.0 * mean,
            "{peak} in one minute, {mean} in the mean"
        );
        // A user costs one check a period, and the second in which they all came costs some of them
        // one more.
        assert!(
            (99_900..=100_100).contains(&checks.iter().sum::<u32>()),
            "{}",
            checks.iter().sum::<u32>()
        );
    }

    #[test]
    fn replicas_that_saw_a_user_at_different_times_check_them_at_the_same_time() {
        for user in (0..100).map(user) {
            let next = |seen: u64| Timestamp(seen).after(valid_for(&user, Timestamp(seen), HOUR));
            let time = next(START);
            assert_eq!(next(time.0 - 1), time);
            assert_eq!(next(time.0), time.after(HOUR));
        }
    }

    #[test]
    fn with_no_expiration_nothing_is_valid() {
        for expiration in [Duration::ZERO, Duration::from_micros(999)] {
            assert_eq!(
                valid_for(&user(1), Timestamp(START), expiration),
                Duration::ZERO
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_is_valid_for_longer_than_the_expiration(n: u64, seen: u64, expiration in 1_u64..) {
            let valid_for = valid_for(&user(n), Timestamp(seen), Duration::from_millis(expiration));
            prop_assert!(!valid_for.is_zero() && valid_for <= Duration::from_millis(expiration), "{valid_for:?}");
        }
    }
}
