//! Days in UTC, for what is noted where others can read it: a time to the millisecond would say
//! more about a person than anybody needs.

use super::timestamp::Timestamp;
use jiff::{ToSpan as _, civil::Date};
use std::{fmt, time::Duration};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const FIRST: Date = Date::constant(1970, 1, 1);

/// A day, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(u32);

impl Day {
    /// In which this time lies. `None` only after the year 9999, which no text could say.
    fn of(time: Timestamp) -> Option<Self> {
        let day = Self(u32::try_from(time.0 / DAY_MS).ok()?);
        day.date().map(|_| day)
    }

    /// When it begins.
    pub(crate) fn begins(self) -> Timestamp {
        Timestamp(u64::from(self.0) * DAY_MS)
    }

    fn date(self) -> Option<Date> {
        FIRST.checked_add(i64::from(self.0).days()).ok()
    }

    fn parse(text: &str) -> Option<Self> {
        let days = text.parse::<Date>().ok()?.since(FIRST).ok()?.get_days();
        let day = Self(u32::try_from(days).ok()?);
        // A date may be written in several ways, and only one of them is ours.
        (day.to_string() == text).then_some(day)
    }
}

/// `2026-11-30`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.date().unwrap_or(Date::MAX).fmt(f)
    }
}

/// Between which days something happened last: on the first one or later, and before the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Days {
    /// `None` where that is not known.
    pub(crate) from: Option<Day>,
    /// What has happened after it is noted in another place, or has not happened.
    pub(crate) before: Day,
}

impl Days {
    /// Of what happened now, and may happen again until `until`.
    pub(crate) fn new(now: Timestamp, until: Timestamp) -> Option<Self> {
        let before = Day::of(Timestamp(until.max(now).0.checked_add(DAY_MS - 1)?))?;
        Some(Self {
            from: Day::of(now),
            before,
        })
    }

    /// Whether it is certain that nothing has happened for so long.
    pub(crate) fn are_over_for(self, time: Duration, now: Timestamp) -> bool {
        let over_for = now.since(self.before.begins());
        over_for.is_some_and(|over_for| over_for >= time)
    }

    /// The form of ISO 8601, `2026-11-28/2026-12-05`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (from, before) = text.split_once('/')?;
        let from = match from {
            UNKNOWN => None,
            day => Some(Day::parse(day)?),
        };
        let before = Day::parse(before)?;
        Some(Self { from, before })
    }
}

/// Instead of a first day.
const UNKNOWN: &str = "..";

impl fmt::Display for Days {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            Some(from) => from.fmt(f)?,
            None => f.write_str(UNKNOWN)?,
        }
        write!(f, "/{}", self.before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3_600_000;
    /// 2026-11-30T00:00:00Z
    const MIDNIGHT: u64 = 1_795_996_800_000;

    fn days(text: &str) -> Days {
        Days::parse(text).unwrap()
    }

    #[test]
    fn a_time_is_noted_as_the_days_around_it() {
        for (now, until, noted) in [
            (0, 0, "2026-11-30/2026-11-30"),
            (0, 1, "2026-11-30/2026-12-01"),
            (23 * HOUR, 24 * HOUR, "2026-11-30/2026-12-01"),
            (23 * HOUR, 24 * HOUR + 1, "2026-11-30/2026-12-02"),
            (HOUR, 169 * HOUR, "2026-11-30/2026-12-08"),
            // Nothing ends before it begins.
            (30 * HOUR, HOUR, "2026-12-01/2026-12-02"),
        ] {
            let of = Days::new(Timestamp(MIDNIGHT + now), Timestamp(MIDNIGHT + until));
            assert_eq!(of.unwrap().to_string(), noted);
        }
        assert_eq!(Days::new(Timestamp(MIDNIGHT), Timestamp(u64::MAX)), None);
        assert_eq!(Days::new(Timestamp(MIDNIGHT), Timestamp(1 << 60)), None);
    }

    #[test]
    fn what_is_no_pair_of_days_is_no_note() {
        assert_eq!(days("../2026-12-01").from, None);
        for text in [
            "",
            "/",
            "2026-11-30",
            "2026-11-30/",
            "/2026-11-30",
            "2026-11-30/..",
            "2026-11-31/2026-12-01",
            "1969-12-31/2026-12-01",
            "2026-11-30/2026-12-01/2026-12-02",
            " 2026-11-30/2026-12-01",
            "20261130/20261201",
            "2026-11-30T00:00/2026-12-01",
            "-000001-01-01/2026-12-01",
        ] {
            assert_eq!(Days::parse(text), None, "{text}");
        }
    }

    #[test]
    fn they_are_over_from_the_beginning_of_the_second_day() {
        let over = |after: u64, hours| {
            let now = Timestamp(MIDNIGHT + after);
            days("2026-11-20/2026-11-30").are_over_for(Duration::from_hours(hours), now)
        };
        assert!(over(0, 0) && !over(0, 1) && !over(HOUR - 1, 1) && over(HOUR, 1));
        assert!(over(30 * 24 * HOUR, 720) && !over(30 * 24 * HOUR - 1, 720));
        // The clock was set back, or the days are still to come.
        let before = Timestamp(MIDNIGHT - 1);
        assert!(!days("2026-11-20/2026-11-30").are_over_for(Duration::ZERO, before));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(now in 0..200_000_000_000_000_u64, more: u32) {
            let until = Timestamp(now + u64::from(more));
            let of = Days::new(Timestamp(now), until).unwrap();
            prop_assert_eq!(Days::parse(&of.to_string()), Some(of));
            prop_assert!(of.from.unwrap().begins() <= Timestamp(now));
            prop_assert!(until <= of.before.begins());
        }
    }
}
