//! When a user may be parked. Every user has a slot of their own, again and again; it follows from
//! the name alone, so all replicas agree on it.
//!
//! Where the users of a cluster are one document, all of them have the same slots: each write there
//! makes the cluster check everybody's login again, so many users are parked by one.
//!
//! Slots spread the work. They also make it known at which times another replica may be parking a
//! user: a replica that hears nothing of the others asks about the user again until that is over.

use super::rotation::{Period, Rotation};
use crate::{
    clock::Timestamp,
    model::{Username, mixed},
};
use std::time::Duration;

/// How long a slot is open. Short against the quarter of an hour between two of them, so that few
/// users come back within theirs, and long enough for the pauses of a busy machine.
const OPEN: Duration = Duration::from_secs(2);
/// How long the read and the write of a parking may be apart: two or three round trips to a distant
/// cluster.
const READ_TO_WRITE: Duration = Duration::from_millis(250);
/// How long a slot is open that all users share. One write takes seconds for some hundreds of them.
const OPEN_TO_ALL: Duration = Duration::from_secs(30);
/// How long then the read and the write of one user may be apart: the others are read meanwhile.
const READ_TO_SHARED_WRITE: Duration = Duration::from_secs(5);
/// How long after its read a parking has usually changed the user. Whoever comes back during their
/// slot, at a replica that would not hear of it, waits so long, once.
pub(super) const PARKING_ENDS: Duration = Duration::from_millis(400);
/// The deadlines of a read and of a write.
const READ: Duration = Duration::from_secs(3);
const WRITE: Duration = Duration::from_secs(10);
/// How long after it has begun a parking may still change the user: a read and a write with their
/// whole deadlines. However long a write waits for others, it begins within the slot. One that takes
/// longer is not waited for.
const TAKES: Duration = READ.saturating_add(WRITE);
/// By how much another replica's clock may differ; a quarter of the time between slots at most.
const AHEAD: Duration = Duration::from_secs(1);

/// Another replica may have read this user before now, and park them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Overlap {
    /// When that has ended at the latest.
    pub(super) until: Timestamp,
    /// Whether a parking of usual length may be running. If not, only one whose write takes longer
    /// than most can be.
    pub(super) is_likely: bool,
}

/// The slots of all users. Times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slots {
    /// From one slot of a user to the next.
    every: u64,
    /// How long a slot is open.
    open: u64,
    /// Whether it is the same for all users.
    is_shared: bool,
}

impl Slots {
    /// Four in the time within which a user is to be parked: one passes until the user is looked
    /// for, one until the slot, and two are for failures.
    pub(super) fn new(within: Duration) -> Self {
        let every = millis(within / 4).max(1);
        Self {
            every,
            open: millis(OPEN).min(every),
            is_shared: false,
        }
    }

    /// The same slots for all users, for a cluster that writes many users as fast as one, and where
    /// each write costs all of them something.
    pub(super) fn shared(within: Duration) -> Self {
        let of_each = Self::new(within);
        Self {
            open: millis(OPEN_TO_ALL).min(of_each.every),
            is_shared: true,
            ..of_each
        }
    }

    /// Whether all users have the same slots.
    pub(super) fn is_shared(self) -> bool {
        self.is_shared
    }

    /// How long the read and the write of a parking may be apart.
    pub(super) fn read_to_write(self) -> Duration {
        if self.is_shared {
            READ_TO_SHARED_WRITE
        } else {
            READ_TO_WRITE
        }
    }

    /// From one slot of a user to the next.
    pub(super) fn every(self) -> Duration {
        Duration::from_millis(self.every)
    }

    /// How long a slot is open.
    pub(super) fn open(self) -> Duration {
        Duration::from_millis(self.open)
    }

    /// The last time in the user's slot that is open then, or else in the one before.
    pub(super) fn closes(self, user: &Username, now: Timestamp) -> Timestamp {
        let began = now.0.saturating_sub(self.into(user, now));
        Timestamp(began + self.open - 1)
    }

    /// When the user's slot begins that is open then, or else the next one.
    pub(super) fn current_or_next(self, user: &Username, now: Timestamp) -> Timestamp {
        let into = self.into(user, now);
        Timestamp(if into < self.open {
            now.0.saturating_sub(into)
        } else {
            now.0.saturating_sub(into) + self.every
        })
    }

    /// Whether the user may be parked now, as far as the time goes. Not soon after the beginning of
    /// a period: whoever is at work comes back then, and would be written twice. Not shortly before
    /// its end either: the write could end after another replica's for the next period.
    pub(super) fn may_park(
        self,
        rotation: &Rotation,
        user: &Username,
        period: Period,
        now: Timestamp,
    ) -> bool {
        let age = period.age(now);
        self.is_open(user, now)
            && age.is_some_and(|age| age >= self.earliest(rotation, period))
            && rotation.may_write(period, now)
    }

    /// How long after its beginning somebody may be parked in a period: the grace, and the time
    /// between two slots or an eighth of a period that is short.
    pub(super) fn earliest(self, rotation: &Rotation, period: Period) -> Duration {
        rotation.grace() + self.every().min(period.length() / 8)
    }

    /// What another replica may be doing to this user, as far as the time goes.
    pub(super) fn overlap(
        self,
        rotation: &Rotation,
        user: &Username,
        period: Period,
        now: Timestamp,
    ) -> Option<Overlap> {
        let differ = AHEAD.min(self.every() / 4);
        let age = period.age(now)?;
        if age + differ < self.earliest(rotation, period) {
            return None;
        }
        let into = self.into(user, now);
        let began = now.0.saturating_sub(into);
        let lasts = self.open + millis(TAKES);
        let is_next_near = into + millis(differ) >= self.every;
        let until = if is_next_near {
            Timestamp(began + self.every + lasts)
        } else {
            Timestamp(began + lasts)
        };
        let usually_ends = self.open + millis(differ + PARKING_ENDS);
        (now < until).then_some(Overlap {
            until,
            is_likely: is_next_near || into < usually_ends,
        })
    }

    /// Whether the user's slot is open.
    fn is_open(self, user: &Username, now: Timestamp) -> bool {
        self.into(user, now) < self.open
    }

    /// How long ago the user's last slot began. At most the time itself: there was none before
    /// 1970.
    fn into(self, user: &Username, now: Timestamp) -> u64 {
        // Mixed twice more: boundaries and rechecks follow from the same place, and slots must have
        // nothing to do with them.
        let phase = if self.is_shared {
            0
        } else {
            mixed(mixed(user.place())) % self.every
        };
        (now.0 % self.every + self.every - phase) % self.every
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::product::Product;

    const START: u64 = 1_800_000_000_000;
    const HOUR: Duration = Duration::from_hours(1);

    fn user(n: u64) -> Username {
        Username::parse(&format!("user-{n}")).unwrap()
    }

    #[test]
    fn a_slot_opens_every_quarter_of_the_time_for_two_seconds() {
        let slots = Slots::new(HOUR);
        for user in (0..100).map(user) {
            let slot = slots.current_or_next(&user, Timestamp(START));
            assert!(slot.0.abs_diff(START) <= 900_000);
            let open = |at: u64| slots.is_open(&user, Timestamp(at));
            assert!(open(slot.0) && open(slot.0 + 1_999) && !open(slot.0 + 2_000));
            assert!(!open(slot.0 - 1) && open(slot.0 + 900_000));
            let next = |at: u64| slots.current_or_next(&user, Timestamp(at));
            assert_eq!(next(slot.0 + 1_999), slot);
            for at in [0, 1_999, 2_000] {
                let closes = slots.closes(&user, Timestamp(slot.0 + at));
                assert_eq!(closes, Timestamp(slot.0 + 1_999));
            }
            assert_eq!(next(slot.0 + 2_000), Timestamp(slot.0 + 900_000));
        }
    }

    #[test]
    fn a_shared_slot_opens_for_all_users_at_once() {
        let slots = Slots::shared(HOUR);
        let begins: std::collections::BTreeSet<u64> = (0..100)
            .map(|n| slots.current_or_next(&user(n), Timestamp(START)).0)
            .collect();
        assert_eq!(begins.len(), 1);
        let slot = *begins.first().unwrap();
        let open = |at: u64| slots.is_open(&user(1), Timestamp(at));
        assert!(open(slot) && open(slot + 29_999) && !open(slot + 30_000));
        assert!(Slots::shared(Duration::from_secs(2)).is_open(&user(1), Timestamp(START)));
    }

    #[test]
    fn ten_thousand_users_are_spread_over_the_time_between_two_slots() {
        let slots = Slots::new(HOUR);
        let mut seconds = vec![0_u32; 903];
        for user in (0..10_000).map(user) {
            let slot = slots.current_or_next(&user, Timestamp(START)).0 + 2_000 - START;
            seconds[usize::try_from(slot / 1_000).unwrap()] += 1;
        }
        let most = seconds.iter().max().copied().unwrap();
        assert!(most <= 30, "{most} in one second, 11 in the mean");
    }

    /// A day's periods; the user's present one began some time ago.
    fn rotation() -> Rotation {
        let (day, grace) = (Duration::from_hours(24), Duration::from_millis(500));
        Rotation::new(
            Product::Elasticsearch,
            day,
            None,
            Timestamp(0),
            grace,
            Timestamp(START),
        )
    }

    #[test]
    fn another_replica_may_be_parking_from_just_before_a_slot_until_its_write_has_ended() {
        let (slots, user, rotation) = (Slots::new(HOUR), user(1), rotation());
        // In the middle of a period.
        let period = (0..24)
            .map(|hour| rotation.period(&user, Timestamp(START + hour * 3_600_000)))
            .find(|period| period.has_begun_at(Timestamp(START + 6 * 3_600_000)))
            .unwrap();
        let slot = slots
            .current_or_next(&user, Timestamp(START + 6 * 3_600_000))
            .0
            + 900_000;
        let overlap = |at: u64| slots.overlap(&rotation, &user, period, Timestamp(at));
        let until = Timestamp(slot + 15_000);
        let [likely, unlikely] = [true, false].map(|is_likely| Some(Overlap { until, is_likely }));
        assert_eq!(
            (overlap(slot - 1_001), overlap(slot - 1_000)),
            (None, likely)
        );
        assert_eq!((overlap(slot), overlap(slot + 3_399)), (likely, likely));
        assert_eq!(
            (overlap(slot + 3_400), overlap(slot + 14_999)),
            (unlikely, unlikely)
        );
        assert_eq!(overlap(slot + 15_000), None);
    }

    /// What parking costs those who come back: a share of those who do so later than a quarter of
    /// an hour after their boundary, and where replicas do not hear each other.
    #[test]
    fn few_users_come_back_while_another_replica_may_be_parking_them() {
        let (slots, rotation) = (Slots::new(HOUR), rotation());
        let (mut all, mut again, mut wait) = (0_u32, 0, 0);
        for user in (0..1_000).map(user) {
            for minute in 0..60 {
                let now = Timestamp(START + minute * 61_007);
                let period = rotation.period(&user, now);
                let overlap = slots.overlap(&rotation, &user, period, now);
                all += 1;
                again += u32::from(overlap.is_some());
                wait += u32::from(overlap.is_some_and(|overlap| overlap.is_likely));
            }
        }
        assert!(
            again * 1_000 < all * 20,
            "{again} of {all} are asked about again"
        );
        assert!(wait * 1_000 < all * 6, "{wait} of {all} wait");
    }

    #[test]
    fn nobody_is_parked_at_a_boundary_and_nobody_is_asked_about_again_there() {
        let (slots, user, rotation) = (Slots::new(Duration::from_secs(2)), user(1), rotation());
        let period = rotation.period(&user, Timestamp(START));
        let is_present = |ms: u64| rotation.period(&user, Timestamp(ms)).is_same(period);
        let second = (0..24 * 3_600).find(|second| !is_present(START + second * 1_000));
        let second = START + second.unwrap() * 1_000;
        let ends = (second - 1_000..=second)
            .find(|ms| !is_present(*ms))
            .unwrap();
        let at = |ms: u64| {
            let period = rotation.period(&user, Timestamp(ms));
            let may = slots.may_park(&rotation, &user, period, Timestamp(ms));
            let taken = slots.overlap(&rotation, &user, period, Timestamp(ms));
            (may, taken.is_some())
        };
        assert_eq!(at(ends - 5_000), (true, true));
        assert_eq!(at(ends - 1_000), (false, true), "too late for a write");
        assert!(!at(ends + 300).0, "the grace");
        assert_eq!(at(ends + 3_000), (true, true));
        let slow = Slots::new(HOUR);
        let period = rotation.period(&user, Timestamp(ends));
        let taken = |ms: u64| slow.overlap(&rotation, &user, period, Timestamp(ms));
        assert!((0..890).all(|second| taken(ends + second * 1_000).is_none()));
    }

    #[test]
    fn with_little_time_the_slots_are_always_open() {
        let slots = Slots::new(Duration::from_secs(2));
        for at in START..START + 500 {
            assert!(slots.is_open(&user(1), Timestamp(at)));
        }
    }
}
