//! How often one user may be written, and how many users may be created.
//!
//! A native user has one set of roles. Two live sessions of one user with different groups would
//! rewrite the user with every request. Where no order tells which session is the newer one, these
//! writes are bounded, and the request that would flip the roles back is refused.

use super::types::Reason;
use crate::{
    broker::{error::BrokerError, places::Class},
    clock::Timestamp,
    identity::Identity,
    model::Username,
    rate::{Bucket, Rate},
};
use quick_cache::sync::Cache;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, RwLock},
};

/// Users who were written lately. Far more than can be written within a minute, so that nobody's
/// bucket is evicted by others.
const USERS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Limits {
    rates: RwLock<Rates>,
    /// The lock is held over look and change. Each change is one step: a panic leaves it whole.
    written: Mutex<Cache<Username, Bucket>>,
    /// By the name of the provider, as many as are configured. Somebody who makes names up behind a
    /// trusted gateway could otherwise fill the cluster, the store and the memory with them, and
    /// the users of one provider must not wait for those of another.
    created: Mutex<HashMap<Box<str>, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Rates {
    writes: Rate,
    new: Rate,
}

impl Rates {
    fn new(writes_per_minute: u32, new_per_minute: u32) -> Self {
        Self {
            writes: Rate::a_minute(writes_per_minute),
            new: Rate::a_minute(new_per_minute),
        }
    }
}

impl Limits {
    pub(super) fn new(writes_per_minute: u32, new_per_minute: u32) -> Self {
        Self {
            rates: RwLock::new(Rates::new(writes_per_minute, new_per_minute)),
            written: Mutex::new(Cache::new(USERS)),
            created: Mutex::default(),
        }
    }

    /// Counts by these from now on. What was taken stays taken.
    pub(super) fn replace(&self, writes_per_minute: u32, new_per_minute: u32) {
        let mut rates = self.rates.write().unwrap_or_else(PoisonError::into_inner);
        *rates = Rates::new(writes_per_minute, new_per_minute);
    }

    fn rates(&self) -> Rates {
        *self.rates.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a write for such a user is likely to be allowed. Takes nothing.
    pub(super) fn allow(&self, identity: &Identity, class: Class, now: Timestamp) -> bool {
        let (rate, bucket) = match class {
            Class::Known => (self.rates().writes, self.written().get(identity.user())),
            Class::New => {
                let created = self.created();
                (
                    self.rates().new,
                    created.get(identity.provider().name()).copied(),
                )
            }
        };
        rate.after_taking_one(bucket, now).is_some()
    }

    /// Takes one write. Rotation and adoption need no limit: they come once a period and once a
    /// user.
    pub(super) fn take(
        &self,
        identity: &Identity,
        reason: Reason,
        now: Timestamp,
    ) -> Result<(), BrokerError> {
        match reason {
            Reason::Changed => {
                let (user, written) = (identity.user(), self.written());
                let writes = self.rates().writes;
                let bucket = writes.after_taking_one(written.get(user), now);
                written.insert(user.clone(), bucket.ok_or(BrokerError::WriteBudget)?);
                Ok(())
            }
            Reason::Absent => {
                let (provider, mut created) = (identity.provider().name(), self.created());
                let bucket = created.get(provider).copied();
                let bucket = self.rates().new.after_taking_one(bucket, now);
                created.insert(provider.into(), bucket.ok_or(BrokerError::NewUsers)?);
                Ok(())
            }
            Reason::Described | Reason::Seen | Reason::Rotated | Reason::Adopted => Ok(()),
        }
    }

    fn written(&self) -> MutexGuard<'_, Cache<Username, Bucket>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn created(&self) -> MutexGuard<'_, HashMap<Box<str>, Bucket>> {
        self.created.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a bucket is filled again is tested in `rate`.
#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn user(name: &str) -> Identity {
        Identity::of_provider("sso", name, &[])
    }

    #[test]
    fn a_user_is_changed_ten_times_and_then_once_every_six_seconds() {
        let (limits, alice) = (Limits::new(10, 1), user("alice"));
        let take = |ms| limits.take(&alice, Reason::Changed, Timestamp(NOW.0 + ms));
        assert!((0..100).all(|_| limits.allow(&alice, Class::Known, NOW)));
        assert!((0..10).all(|_| take(0).is_ok()), "looking takes none");
        assert!(!limits.allow(&alice, Class::Known, NOW));
        assert_eq!(take(0), Err(BrokerError::WriteBudget));
        assert_eq!(take(5_999), Err(BrokerError::WriteBudget));
        assert_eq!(take(6_001), Ok(()));
        assert!((6_002..12_000).all(|ms| take(ms).is_err()));
        assert_eq!(take(12_002), Ok(()));
        assert!((0..10).all(|_| take(600_000).is_ok()));
    }

    #[test]
    fn one_user_does_not_spend_anothers_and_rotation_and_adoption_spend_none() {
        let (limits, alice) = (Limits::new(1, 1), user("alice"));
        for reason in [Reason::Rotated, Reason::Adopted] {
            assert!((0..10).all(|_| limits.take(&alice, reason, NOW).is_ok()));
        }
        assert!(limits.take(&alice, Reason::Changed, NOW).is_ok());
        assert!(limits.take(&user("bob"), Reason::Changed, NOW).is_ok());
        assert!(limits.take(&alice, Reason::Changed, NOW).is_err());
    }

    #[test]
    fn a_minutes_worth_of_new_users_and_then_as_they_come() {
        let limits = Limits::new(1, 600);
        let takes = |n: usize, ms| {
            let take = |_: &usize| limits.take(&user("new"), Reason::Absent, Timestamp(ms));
            (0..n).filter(|n| take(n).is_ok()).count()
        };
        let is_allowed = || limits.allow(&user("new"), Class::New, NOW);
        assert!((0..10_000).all(|_| is_allowed()), "looking takes none");
        assert_eq!(takes(10_000, NOW.0), 600);
        assert!(!is_allowed());
        assert_eq!(
            (1..=1_000).map(|ms| takes(1, NOW.0 + ms)).sum::<usize>(),
            10
        );
    }

    #[test]
    fn new_users_of_one_provider_take_nothing_from_another() {
        let limits = Limits::new(1, 10);
        let take = |provider: &str| {
            let new = Identity::of_provider(provider, "new", &[]);
            limits.take(&new, Reason::Absent, NOW)
        };
        assert_eq!((0..100).filter(|_| take("partner").is_ok()).count(), 10);
        assert_eq!(take("partner"), Err(BrokerError::NewUsers));
        assert_eq!((0..100).filter(|_| take("sso").is_ok()).count(), 10);
    }

    #[test]
    fn other_limits_count_from_then_on_and_what_was_taken_stays_taken() {
        let (limits, alice) = (Limits::new(1, 1), user("alice"));
        let take = |ms| {
            limits
                .take(&alice, Reason::Changed, Timestamp(NOW.0 + ms))
                .is_ok()
        };
        assert!(take(0) && !take(1));
        limits.replace(60, 1);
        assert!(take(1_001), "once a second now");
        limits.replace(1, 1);
        assert!(!take(2_002));
    }

    #[test]
    fn a_clock_set_back_does_not_empty_a_bucket_for_good() {
        let (limits, alice) = (Limits::new(2, 1), user("alice"));
        let take = |ms| limits.take(&alice, Reason::Changed, Timestamp(ms)).is_ok();
        assert_eq!([(); 3].map(|()| take(3_600_000)), [true, true, false]);
        assert_eq!([(); 3].map(|()| take(1_000)), [true, true, false]);
        assert!(take(31_000));
    }
}
