//! Where the boundaries between password periods are: never, spread over the period, or in windows.
//! Each user has a place of their own, so that not everybody's password changes at once.

use super::window::Window;
use crate::clock::Timestamp;
use jiff::{ToSpan as _, civil::Date};
use std::time::Duration;

const DAY: Duration = Duration::from_hours(24);
/// Over how long a time users move to a new key where their passwords never change otherwise. All
/// at one time would be more writes at once than a cluster takes before requests give up.
const KEY_SPREAD: Duration = Duration::from_hours(1);
/// Windows that are computed at the start, in days. A process does not run for longer than that;
/// if it does, its windows follow each other at equal distances.
const DAYS_AHEAD: i64 = 20 * 365;

/// Times and lengths in milliseconds.
#[derive(Debug)]
pub(super) enum Boundaries {
    Never,
    /// Anywhere in the period.
    Spread {
        period: u64,
    },
    Windows(Windows),
}

/// The period in which a time lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Current {
    /// Counts the user's periods since 1970.
    pub(super) epoch: u64,
    /// When the period began; zero before the first boundary.
    pub(super) began: u64,
}

impl Boundaries {
    /// `now` says from when on windows are computed.
    pub(super) fn new(period: Duration, window: Option<&Window>, now: Timestamp) -> Self {
        match (millis(period), window) {
            (0, _) => Self::Never,
            (period, None) => Self::Spread { period },
            (_, Some(window)) => Self::Windows(Windows::new(period, window, now)),
        }
    }

    /// The period of the user with this place. Without rotation, the change of key is the one
    /// boundary there is.
    pub(super) fn current(&self, place: u64, now: Timestamp, key_since: Timestamp) -> Current {
        match self {
            Self::Never => {
                let moves = key_since.0.saturating_add(place % millis(KEY_SPREAD));
                let has_moved = key_since.0 > 0 && now.0 >= moves;
                Current {
                    epoch: 0,
                    began: if has_moved { moves } else { 0 },
                }
            }
            Self::Spread { period } => {
                let shifted = now.0.saturating_add(place % period);
                Current {
                    epoch: shifted / period,
                    began: now.0.saturating_sub(shifted % period),
                }
            }
            Self::Windows(windows) => windows.current(place, now.0),
        }
    }
}

/// One window every so many days.
#[derive(Debug)]
pub(super) struct Windows {
    /// Begin and length of each.
    table: Box<[(u64, u64)]>,
    /// The number of the first.
    first: u64,
    period: u64,
}

impl Windows {
    /// Days are counted from 1970, so that a start on another day gives the same windows.
    fn new(period: Duration, window: &Window, now: Timestamp) -> Self {
        let days = i64::try_from(period.as_secs() / DAY.as_secs())
            .unwrap_or(1)
            .max(1);
        let today = i64::try_from(now.0 / millis(DAY)).unwrap_or(0);
        // Two periods back: the present one has begun in one of them, in whatever zone.
        let first = (today / days - 2).max(0);
        let last = (today + DAYS_AHEAD) / days;
        let at = |number: i64| {
            window.on(Date::constant(1970, 1, 1)
                .checked_add((number * days).days())
                .ok()?)
        };
        Self {
            table: (first..=last).map_while(at).collect(),
            first: u64::try_from(first).unwrap_or(0),
            period: millis(DAY) * u64::try_from(days).unwrap_or(1),
        }
    }

    fn current(&self, place: u64, now: u64) -> Current {
        let boundary = |index: usize| {
            self.table
                .get(index)
                .map(|(begins, length)| begins + place % length)
        };
        let before_the_first = Current {
            epoch: self.first.saturating_sub(1),
            began: 0,
        };
        let opened = self.table.partition_point(|(begins, _)| *begins <= now);
        let Some(index) = opened.checked_sub(1) else {
            return before_the_first;
        };
        let (present, began) = match (boundary(index), index.checked_sub(1)) {
            (Some(at), Some(before)) if at > now => (before, boundary(before).unwrap_or(0)),
            (Some(at), None) if at > now => return before_the_first,
            (at, _) => (index, at.unwrap_or(0)),
        };
        // More than one period can only have passed since the last window.
        let beyond = if present + 1 == self.table.len() {
            (now - began) / self.period
        } else {
            0
        };
        Current {
            epoch: self.first + present as u64 + beyond,
            began: began + beyond * self.period,
        }
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
