//! When passwords change. Every replica gives the same answer, because it follows only from the
//! clock, the user's name and the configuration.

mod boundaries;
mod window;

pub(crate) use window::{InvalidWindow, Window};

use super::product::Product;
use crate::{clock::Timestamp, keys::Slot, model::Username};
use boundaries::Boundaries;
use std::time::Duration;

/// No write begins within this time before a boundary. A write that took longer than this and the
/// grace would overwrite what another replica has written for the next period, and the cluster
/// would refuse logins that were already given out. It writes a user in tens of milliseconds.
const LEAD: Duration = Duration::from_secs(1);
/// The longest that a request waits for a boundary and its grace. Gateways wait two seconds for an
/// answer.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);

/// Added to each wait for a boundary: the clock that says when it comes and the clock that measures
/// the wait differ a little.
pub(super) const SLACK: Duration = Duration::from_millis(5);

/// The password period of a user at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    /// For which kind of cluster it was computed.
    pub(super) product: Product,
    /// Counts the user's periods since 1970.
    pub(super) epoch: u64,
    /// The key of the password in this period.
    pub(super) key: Slot,
    began: Timestamp,
    ends: Timestamp,
    /// How long requests of the user have to wait: answers with the old password may still be on
    /// their way.
    pub(super) grace_left: Option<Duration>,
}

impl Period {
    /// Whether the password is the same.
    pub(super) fn is_same(self, other: Self) -> bool {
        (self.product, self.epoch, self.key) == (other.product, other.epoch, other.key)
    }

    fn contains(self, time: Timestamp) -> bool {
        self.began <= time && time < self.ends
    }

    /// Whether a state that the cluster reported at `seen` is of this period.
    pub(super) fn has_begun_at(self, seen: Timestamp) -> bool {
        self.began <= seen
    }

    /// How long ago it began; `None` before the first boundary there is.
    pub(super) fn age(self, now: Timestamp) -> Option<Duration> {
        let is_after_a_boundary = self.began > Timestamp(0);
        now.since(self.began).filter(|_| is_after_a_boundary)
    }

    /// From boundary to boundary.
    pub(super) fn length(self) -> Duration {
        self.ends.since(self.began).unwrap_or_default()
    }

    /// The boundary at its end.
    pub(super) fn ends(self) -> Timestamp {
        self.ends
    }

    #[cfg(test)]
    pub(super) fn of_epoch(epoch: u64) -> Self {
        Self {
            product: Product::Elasticsearch,
            epoch,
            key: Slot::Current,
            began: Timestamp(0),
            ends: Timestamp(u64::MAX),
            grace_left: None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Rotation {
    product: Product,
    boundaries: Boundaries,
    /// Users move to the present key at their first boundary from here on.
    key_since: Timestamp,
    grace: Duration,
    lead: Duration,
}

impl Rotation {
    /// `now` says from when on windows are computed.
    pub(super) fn new(
        product: Product,
        period: Duration,
        window: Option<&Window>,
        key_since: Timestamp,
        grace: Duration,
        now: Timestamp,
    ) -> Self {
        // However short the periods are, most of each is free.
        let lead = LEAD
            .min(LONGEST_WAIT.saturating_sub(grace))
            .min(if period.is_zero() { LEAD } else { period / 4 });
        Self {
            product,
            boundaries: Boundaries::new(period, window, now),
            key_since,
            grace,
            lead,
        }
    }

    pub(super) fn period(&self, user: &Username, now: Timestamp) -> Period {
        let span = self.boundaries.span(user.place(), now, self.key_since);
        let into = Duration::from_millis(now.0.saturating_sub(span.began));
        let is_after_a_boundary = span.began > 0;
        Period {
            product: self.product,
            epoch: span.epoch,
            key: if span.began < self.key_since.0 {
                Slot::Previous
            } else {
                Slot::Current
            },
            began: Timestamp(span.began),
            ends: Timestamp(span.ends),
            grace_left: self
                .grace
                .checked_sub(into)
                .filter(|left| is_after_a_boundary && !left.is_zero()),
        }
    }

    /// How long requests of a user wait after a boundary.
    pub(super) fn grace(&self) -> Duration {
        self.grace
    }

    /// Whether a write for this period may still begin: the period goes on for long enough that the
    /// write will have ended before another replica writes for the next one.
    pub(super) fn may_write(&self, period: Period, now: Timestamp) -> bool {
        period.contains(now) && period.contains(now.after(self.lead))
    }

    /// The last time at which a write for this period may begin.
    pub(super) fn latest_write(&self, period: Period) -> Timestamp {
        let lead = u64::try_from(self.lead.as_millis()).unwrap_or(u64::MAX);
        Timestamp(period.ends.0.saturating_sub(lead).saturating_sub(1))
    }

    /// How long until this period ends, if that is so soon that no write may begin; otherwise the
    /// time in which no write may begin.
    pub(super) fn rest(&self, period: Period, now: Timestamp) -> Duration {
        if !period.contains(now) {
            return Duration::ZERO;
        }
        period.ends.since(now).unwrap_or_default().min(self.lead)
    }
}

#[cfg(test)]
mod tests;
