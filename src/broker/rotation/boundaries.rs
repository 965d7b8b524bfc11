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

/// The period of one user in which a time lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// Counts the user's periods since 1970.
    pub(super) epoch: u64,
    /// The boundary at which the period began; zero before the first one.
    pub(super) began: u64,
    /// The next boundary.
    pub(super) ends: u64,
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

    /// The present period of the user with this place. Without rotation, the change of key is the
    /// one boundary there is.
    pub(super) fn span(&self, place: u64, now: Timestamp, key_since: Timestamp) -> Span {
        match self {
            Self::Never => {
                let moves = match key_since.0 {
                    0 => 0,
                    since => since.saturating_add(place % millis(KEY_SPREAD)),
                };
                let (began, ends) = if now.0 < moves {
                    (0, moves)
                } else {
                    (moves, u64::MAX)
                };
                Span {
                    epoch: 0,
                    began,
                    ends,
                }
            }
            Self::Spread { period } => {
                let shifted = now.0.saturating_add(place % period);
                let into = shifted % period;
                Span {
                    epoch: shifted / period,
                    began: now.0.saturating_sub(into),
                    ends: now.0.saturating_add(period - into),
                }
            }
            Self::Windows(windows) => windows.span(place, now.0),
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
        // Two periods back: the present one has opened in one of them, in whatever zone.
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

    /// In the window that has opened last, the user's own boundary may still be ahead.
    fn span(&self, place: u64, now: u64) -> Span {
        let boundary = |(begins, length): &(u64, u64)| begins + place % length;
        let opened = self.table.partition_point(|(begins, _)| *begins <= now);
        let passed = match self.table.get(..opened).and_then(<[_]>::last) {
            Some(window) if boundary(window) > now => opened - 1,
            Some(_) | None => opened,
        };
        let (before, after) = self.table.split_at(passed);
        let next = after.first().map(boundary);
        let Some(began) = before.last().map(boundary) else {
            return Span {
                epoch: self.first.saturating_sub(1),
                began: 0,
                ends: next.unwrap_or(u64::MAX),
            };
        };
        let beyond = if next.is_some() {
            0
        } else {
            (now - began) / self.period
        };
        let began = began + beyond * self.period;
        Span {
            epoch: self.first + passed as u64 - 1 + beyond,
            began,
            ends: next.unwrap_or(began + self.period),
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
