//! When a user was seen last, without a write for it at each request.
//!
//! It is noted with the writes that are made anyway: a login works in one password period, so an
//! account with a login of a period was used between its write and the end of that period. Where
//! passwords never change there are no such writes, and the check of an active user writes the
//! note, at most once a day. The note has days and no number of a period: such numbers mean other
//! times after a change of `credentials.rotation`, and days do not.
//!
//! Accounts without a note are of an older version. Nobody knows when they were used, so they are
//! kept by everything that asks how long somebody has stayed away.

use super::{periods::OpenSearchPeriods, product::Product, rotation::Period};
use crate::{
    clock::{Days, Timestamp},
    keys::LoginKind,
};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);

/// What is noted on one kind of cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastSeen {
    rotation: Duration,
    /// How long the cluster is not asked about a user who is active.
    expiration: Duration,
    /// From one note to the next where passwords never change. On OpenSearch each write makes the
    /// cluster check everybody's login again.
    apart: Duration,
}

impl LastSeen {
    pub(super) fn new(product: Product, rotation: Duration, expiration: Duration) -> Self {
        Self {
            rotation,
            expiration,
            apart: match product {
                Product::Elasticsearch => DAY,
                Product::OpenSearch => OpenSearchPeriods::ROTATION,
            },
        }
    }

    /// How much later than is noted a user may have been seen.
    pub(super) fn resolution(self) -> Duration {
        if self.rotation.is_zero() {
            self.apart.saturating_add(self.expiration)
        } else {
            self.rotation
        }
    }

    /// The shortest time for which it can be said who has stayed away.
    pub(super) fn shortest(self) -> Duration {
        self.resolution().saturating_mul(2)
    }

    /// For an account that is written for a request now, with the login of this period.
    pub(super) fn note(self, period: Period, now: Timestamp) -> Option<Days> {
        let ends = period.ends();
        let until = if self.rotation.is_zero() {
            ends.min(now.after(self.resolution()))
        } else {
            ends
        };
        Days::new(now, until)
    }

    /// For an account that is written without a request. Whoever has a login of the period may use
    /// it until the end; nobody uses a parked one, nor has used the one before it since.
    pub(super) fn note_of_rewrite(
        self,
        noted: Option<Days>,
        kind: LoginKind,
        period: Period,
        now: Timestamp,
    ) -> Option<Days> {
        if kind == LoginKind::Parked {
            let from = None;
            let before = || Some(Days::new(now, now)?.before);
            return noted.or_else(|| {
                Some(Days {
                    from,
                    before: before()?,
                })
            });
        }
        let noted = noted?;
        let before = self.note(period, now)?.before.max(noted.before);
        Some(Days { before, ..noted })
    }

    /// Whether the check of an active user is to write a note.
    pub(super) fn is_due(self, noted: Option<Days>, now: Timestamp) -> bool {
        let is_recent = |from: Timestamp| now.since(from).is_none_or(|age| age < self.apart);
        let from = noted.and_then(|days| days.from);
        self.rotation.is_zero() && !from.is_some_and(|from| is_recent(from.begins()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{broker::rotation::Rotation, model::Username};

    const HOUR: Duration = Duration::from_hours(1);
    /// 2026-11-30T10:00:00Z
    const NOW: Timestamp = Timestamp(1_796_032_800_000);

    fn last_seen(product: Product, rotation: Duration) -> LastSeen {
        LastSeen::new(product, rotation, HOUR)
    }

    /// Of a user with this rotation, at some time.
    fn period(rotation: Duration, now: Timestamp) -> Period {
        let rotation = Rotation::new(
            Product::Elasticsearch,
            rotation,
            None,
            Timestamp(0),
            Duration::ZERO,
            now,
        );
        rotation.period(&Username::parse("alice").unwrap(), now)
    }

    fn days(text: &str) -> Option<Days> {
        Days::parse(text)
    }

    #[test]
    fn a_note_reaches_to_the_end_of_the_period() {
        for rotation in [HOUR * 24, HOUR * 24 * 7, HOUR * 24 * 90] {
            let (seen, period) = (
                last_seen(Product::Elasticsearch, rotation),
                period(rotation, NOW),
            );
            let noted = seen.note(period, NOW).unwrap();
            let ends = period.ends();
            assert!(NOW < ends && ends <= noted.before.begins());
            assert!(noted.before.begins().since(ends).unwrap() < DAY);
            assert!(!seen.is_due(None, NOW), "there are other writes");
            assert_eq!(seen.resolution(), rotation);
        }
    }

    #[test]
    fn without_rotation_an_active_user_gets_a_note_a_day_and_seldom_on_opensearch() {
        let period = period(Duration::ZERO, NOW);
        for (product, before, due_from) in [
            (Product::Elasticsearch, "2026-12-02", 1),
            (Product::OpenSearch, "2026-12-08", 7),
        ] {
            let seen = last_seen(product, Duration::ZERO);
            let noted = seen.note(period, NOW);
            assert_eq!(noted, days(&format!("2026-11-30/{before}")));
            let due = |days: u64| {
                let midnight = noted.unwrap().from.unwrap().begins();
                seen.is_due(noted, midnight.after(DAY * u32::try_from(days).unwrap()))
            };
            assert!(!due(0) && !due(due_from - 1) && due(due_from));
            assert!(seen.is_due(None, NOW) && seen.is_due(days("../2026-12-01"), NOW));
            // The clock was set back.
            assert!(!seen.is_due(days("2026-12-05/2026-12-07"), NOW));
            assert!(seen.resolution() > DAY * u32::try_from(due_from).unwrap());
        }
    }

    #[test]
    fn a_rewrite_without_a_request_is_no_use_and_forgets_none() {
        let seen = last_seen(Product::Elasticsearch, HOUR * 24);
        let period = period(HOUR * 24, NOW);
        let noted = days("2026-10-01/2026-10-02");
        let rewrite = |noted, kind| seen.note_of_rewrite(noted, kind, period, NOW);
        assert_eq!(rewrite(noted, LoginKind::Parked), noted);
        assert_eq!(
            rewrite(None, LoginKind::Parked),
            days("../2026-12-01"),
            "it is over by then"
        );
        let revoked = rewrite(noted, LoginKind::Granted).unwrap();
        assert_eq!(revoked.from, noted.unwrap().from);
        assert!(revoked.before.begins() >= period.ends());
        assert_eq!(rewrite(None, LoginKind::Granted), None);
        let later = days("2026-11-30/2027-01-01");
        assert_eq!(rewrite(later, LoginKind::Granted), later);
    }
}
