//! When passwords change. Every replica gives the same answer, for it follows from the clock, the
//! user's name and the configuration alone.

use crate::{clock::Timestamp, keys::Slot, model::Username};
use jiff::{
    ToSpan as _,
    civil::{Date, Time},
    tz::TimeZone,
};
use std::{fmt, time::Duration};

/// No write begins so shortly before a boundary. One that took longer than this and the grace would
/// undo what another replica has written for the next period, and with it logins that were already
/// handed out. A cluster writes a user in tens of milliseconds.
const LEAD: Duration = Duration::from_secs(1);
/// How long a request may wait for a boundary and through its grace, so that it is still answered
/// in time.
const LONGEST_WAIT: Duration = Duration::from_millis(1_500);
const DAY: Duration = Duration::from_hours(24);
/// Over how long a time users move to a new key where their passwords never change otherwise. All
/// at one moment would be more writes at once than a cluster takes before requests give up.
const KEY_SPREAD: Duration = Duration::from_hours(1);
/// Windows that are laid down at the start, in days. A process does not run for longer than that;
/// if it does, its windows follow each other at plain distances.
const DAYS_AHEAD: i64 = 20 * 365;

/// The part of a day in which passwords may change.
#[derive(Debug, Clone)]
pub struct Window {
    from: Time,
    to: Time,
    zone: TimeZone,
}

/// Why a text is not a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// Not `HH:MM-HH:MM`.
    #[error("a window is two times of the day, such as 02:00-05:00")]
    Form,
    /// Nothing lies between the two.
    #[error("the window has no length: its two times are the same")]
    Empty,
    /// The time zone is not in the database.
    #[error("no such time zone; take a name such as Europe/Berlin or UTC")]
    Zone,
}

impl Window {
    /// Takes `02:00-05:00`, which may reach over midnight, and the name of a time zone of the IANA
    /// database.
    ///
    /// # Errors
    /// Says which of them is no good.
    pub fn parse(text: &str, zone: &str) -> Result<Self, InvalidWindow> {
        let time = |text: &str| {
            let (hour, minute) = text.trim().split_once(':')?;
            let two_digits = |text: &str| {
                (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit()))
                    .then(|| text.parse().ok())
                    .flatten()
            };
            Time::new(two_digits(hour)?, two_digits(minute)?, 0, 0).ok()
        };
        let (from, to) = text.split_once('-').ok_or(InvalidWindow::Form)?;
        let (from, to) = (
            time(from).ok_or(InvalidWindow::Form)?,
            time(to).ok_or(InvalidWindow::Form)?,
        );
        if from == to {
            return Err(InvalidWindow::Empty);
        }
        Ok(Self {
            from,
            to,
            zone: TimeZone::get(zone).map_err(|_| InvalidWindow::Zone)?,
        })
    }

    /// The window that begins on this day, in milliseconds since 1970: when it begins, and how long
    /// it is. A night in which clocks are set has an hour more or less.
    fn on(&self, day: Date) -> Option<(u64, u64)> {
        let ends = if self.to > self.from {
            day
        } else {
            day.checked_add(1.day()).ok()?
        };
        let moment = |day: Date, time: Time| {
            u64::try_from(
                self.zone
                    .to_timestamp(day.to_datetime(time))
                    .ok()?
                    .as_millisecond(),
            )
            .ok()
        };
        let begins = moment(day, self.from)?;
        let length = moment(ends, self.to)?.saturating_sub(begins);
        // A window that lies in an hour which the clocks skip would have no length left, and
        // everybody the same moment: that night it ends later.
        let usual = self.length();
        Some((begins, if length < usual / 2 { usual } else { length }))
    }

    /// How long it is in a usual night, in milliseconds.
    fn length(&self) -> u64 {
        let minutes = |time: Time| {
            u64::try_from(i64::from(time.hour()) * 60 + i64::from(time.minute())).unwrap_or(0)
        };
        (minutes(self.to) + 24 * 60 - minutes(self.from)) % (24 * 60) * 60_000
    }
}

/// Where a user stands in the rotation at some moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// Counts the user's rotation periods since 1970.
    pub(super) epoch: u64,
    /// Under which key the user stands in this period.
    pub(super) key: Slot,
    /// How long nobody may be answered, because answers with the old password may still be on their
    /// way.
    pub(super) hold: Option<Duration>,
}

/// When passwords change.
pub(super) struct Rotation {
    boundaries: Boundaries,
    /// Users move to the present key at their first boundary from here on.
    key_since: Timestamp,
    grace: Duration,
    lead: Duration,
}

enum Boundaries {
    Never,
    /// Anywhere in the period, in milliseconds, at a place of the user's own.
    Spread {
        period: u64,
    },
    /// In windows, at a place of the user's own in each: begin and length of each window, and the
    /// number of the first.
    Windows {
        table: Box<[(u64, u64)]>,
        first: u64,
        period: u64,
    },
}

impl Rotation {
    /// `now` says from when on windows are laid down.
    pub(super) fn new(
        period: Duration,
        window: Option<&Window>,
        key_since: Timestamp,
        grace: Duration,
        now: Timestamp,
    ) -> Self {
        let boundaries = match (millis(period), window) {
            (0, _) => Boundaries::Never,
            (period, None) => Boundaries::Spread { period },
            (_, Some(window)) => windows(period, window, now),
        };
        // However short the periods are, most of each is free.
        let lead = LEAD
            .min(LONGEST_WAIT.saturating_sub(grace))
            .min(if period.is_zero() { LEAD } else { period / 4 });
        Self {
            boundaries,
            key_since,
            grace,
            lead,
        }
    }

    /// Whether a write for this turn may still begin: the period goes on for long enough that the
    /// write will have landed before another replica writes for the next one.
    pub(super) fn may_write(&self, user: &Username, turn: Turn, now: Timestamp) -> bool {
        self.is_same_period(user, turn, now)
            && self.is_same_period(user, turn, now.after(self.lead))
    }

    /// Whether the period of this turn is not over.
    pub(super) fn is_same_period(&self, user: &Username, turn: Turn, now: Timestamp) -> bool {
        let then = self.turn(user, now);
        (then.epoch, then.key) == (turn.epoch, turn.key)
    }

    /// How long the period of this turn still lasts, where its end is so near that no write may
    /// begin; the whole of that time at most.
    pub(super) fn rest(&self, user: &Username, turn: Turn, now: Timestamp) -> Duration {
        let is_over =
            |ms: &u64| !self.is_same_period(user, turn, now.after(Duration::from_millis(*ms)));
        let (mut open, mut over) = (0, millis(self.lead));
        if is_over(&open) {
            return Duration::ZERO;
        }
        while over - open > 1 {
            let middle = open.midpoint(over);
            if is_over(&middle) {
                over = middle;
            } else {
                open = middle;
            }
        }
        Duration::from_millis(over)
    }

    /// Where this user stands now.
    pub(super) fn turn(&self, user: &Username, now: Timestamp) -> Turn {
        let place = || user.place();
        let (epoch, began) = match &self.boundaries {
            // The change of key is the one boundary there is.
            Boundaries::Never => {
                let moves = self
                    .key_since
                    .0
                    .saturating_add(place() % millis(KEY_SPREAD));
                (
                    0,
                    if self.key_since.0 > 0 && now.0 >= moves {
                        moves
                    } else {
                        0
                    },
                )
            }
            Boundaries::Spread { period } => {
                let shifted = now.0.saturating_add(place() % period);
                (shifted / period, now.0.saturating_sub(shifted % period))
            }
            Boundaries::Windows {
                table,
                first,
                period,
            } => in_windows(table, *first, *period, place(), now.0),
        };
        let has_boundary = began > 0;
        let into = Duration::from_millis(now.0.saturating_sub(began));
        Turn {
            epoch,
            key: if began < self.key_since.0 {
                Slot::Previous
            } else {
                Slot::Current
            },
            hold: self
                .grace
                .checked_sub(into)
                .filter(|left| has_boundary && !left.is_zero()),
        }
    }
}

impl fmt::Debug for Rotation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotation")
            .field("grace", &self.grace)
            .finish_non_exhaustive()
    }
}

/// One window every so many days, counted from 1970, so that a start on another day lays down the
/// same ones.
fn windows(period: Duration, window: &Window, now: Timestamp) -> Boundaries {
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
    let table: Box<[(u64, u64)]> = (first..=last).map_while(at).collect();
    Boundaries::Windows {
        table,
        first: u64::try_from(first).unwrap_or(0),
        period: millis(DAY) * u64::try_from(days).unwrap_or(1),
    }
}

/// Number and begin of the period in which `now` lies.
fn in_windows(table: &[(u64, u64)], first: u64, period: u64, place: u64, now: u64) -> (u64, u64) {
    let boundary = |index: usize| {
        table
            .get(index)
            .map(|(begins, length)| begins + place % length)
    };
    let opened = table.partition_point(|(begins, _)| *begins <= now);
    let Some(index) = opened.checked_sub(1) else {
        return (first.saturating_sub(1), 0);
    };
    let (present, began) = match (boundary(index), index.checked_sub(1)) {
        (Some(at), Some(before)) if at > now => (before, boundary(before).unwrap_or(0)),
        (Some(at), None) if at > now => return (first.saturating_sub(1), 0),
        (at, _) => (index, at.unwrap_or(0)),
    };
    // Only past the last window are there more than a few hours over.
    let beyond = if present + 1 == table.len() {
        (now - began) / period
    } else {
        0
    };
    (first + present as u64 + beyond, began + beyond * period)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeSet, HashSet};

    const GRACE: Duration = Duration::from_millis(500);
    const HOUR: u64 = 3_600_000;

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    fn plain(period: Duration) -> Rotation {
        Rotation::new(period, None, Timestamp(0), GRACE, Timestamp(0))
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap())
    }

    #[test]
    fn a_turn_holds_for_the_grace_and_then_no_more() {
        let rotation = plain(Duration::from_secs(10));
        let (mut holds, mut epochs) = (Vec::new(), BTreeSet::new());
        for ms in 0..20_000 {
            let turn = rotation.turn(&user("alice"), Timestamp(1_700_000_000_000 + ms));
            epochs.insert(turn.epoch);
            holds.extend(turn.hold);
        }
        assert_eq!(epochs.len(), 3, "two boundaries in twenty seconds");
        assert_eq!(holds.len(), 1_000);
        assert_eq!(
            (holds.iter().min(), holds.iter().max()),
            (Some(&Duration::from_millis(1)), Some(&GRACE))
        );
    }

    #[test]
    fn no_write_begins_shortly_before_a_boundary_or_after_it() {
        let (rotation, alice) = (plain(Duration::from_mins(1)), user("alice"));
        let start = Timestamp(1_700_000_000_000);
        let turn = rotation.turn(&alice, start);
        let may = |ms: u64| rotation.may_write(&alice, turn, Timestamp(start.0 + ms));
        let boundary = (0..60_001)
            .find(|ms| rotation.turn(&alice, Timestamp(start.0 + ms)).epoch != turn.epoch)
            .unwrap();
        for ms in 0..70_000 {
            assert_eq!(may(ms), ms + 1_000 < boundary, "{ms} of {boundary}");
        }
        let never = plain(Duration::ZERO);
        assert!(never.may_write(&alice, never.turn(&alice, start), start));
        // A short period is not taken up by it, and neither is a request's patience.
        assert_eq!(
            plain(Duration::from_secs(2)).lead,
            Duration::from_millis(500)
        );
        let long = Rotation::new(
            DAY,
            None,
            Timestamp(0),
            Duration::from_millis(1_500),
            Timestamp(0),
        );
        assert_eq!(long.lead, Duration::ZERO);
    }

    #[test]
    fn users_turn_at_different_times_and_never_where_rotation_is_off() {
        let rotation = plain(DAY);
        let offsets: HashSet<u64> = (0..100)
            .map(|n| {
                (0..24)
                    .find(|h| {
                        rotation
                            .turn(&user(&format!("u{n}")), Timestamp(h * HOUR))
                            .epoch
                            == 1
                    })
                    .unwrap_or(24)
            })
            .collect();
        assert!(offsets.len() > 10, "{offsets:?}");
        let never = plain(Duration::ZERO);
        assert_eq!(
            never.turn(&user("alice"), Timestamp(u64::MAX)),
            Turn {
                epoch: 0,
                key: Slot::Current,
                hold: None
            }
        );
    }

    #[test]
    fn the_rest_of_a_period_ends_at_the_boundary() {
        let rotation = Rotation::new(
            Duration::from_hours(1),
            None,
            Timestamp(0),
            Duration::from_millis(500),
            Timestamp(0),
        );
        let alice = user("alice");
        let begin = Timestamp(1_800_000_000_000);
        let then = rotation.turn(&alice, begin);
        let boundary = (0..3_600_000)
            .map(|ms| begin.after(Duration::from_millis(ms)))
            .find(|now| !rotation.is_same_period(&alice, then, *now));
        let boundary = boundary.unwrap();
        for before in [1, 2, 499, 500, 700] {
            let now = Timestamp(boundary.0 - before);
            assert!(!rotation.may_write(&alice, then, now));
            assert_eq!(
                rotation.rest(&alice, then, now),
                Duration::from_millis(before)
            );
        }
        assert_eq!(rotation.rest(&alice, then, boundary), Duration::ZERO);
        assert!(
            rotation.rest(&alice, then, begin) <= Duration::from_secs(1),
            "far from a boundary it is bounded"
        );
    }

    #[test]
    fn places_are_even_over_the_period() {
        let mut hours = [0_u32; 24];
        for n in 0..24_000 {
            let hour = usize::try_from(user(&format!("user-{n}")).place() % 24).unwrap();
            hours[hour] += 1;
        }
        assert!(
            hours.iter().all(|users| (850..1_150).contains(users)),
            "{hours:?}"
        );
    }

    /// Every boundary of a user, as the clock shows it in `zone`, over so many days of half
    /// minutes.
    fn boundaries(
        rotation: &Rotation,
        name: &str,
        from: Timestamp,
        days: u64,
        zone: &str,
    ) -> Vec<jiff::civil::DateTime> {
        let zone = TimeZone::get(zone).unwrap();
        let (mut found, mut last) = (Vec::new(), rotation.turn(&user(name), from).epoch);
        for half_minute in 0..days * 2_880 {
            let now = Timestamp(from.0 + half_minute * 30_000);
            let epoch = rotation.turn(&user(name), now).epoch;
            assert!(epoch == last || epoch == last + 1, "{name}: {last} {epoch}");
            if epoch != last {
                found.push(zone.to_datetime(
                    jiff::Timestamp::from_millisecond(i64::try_from(now.0).unwrap()).unwrap(),
                ));
            }
            last = epoch;
        }
        found
    }

    #[test]
    fn in_a_window_nobodys_working_day_has_a_boundary() {
        let window = Window::parse("02:00-05:00", "Europe/Berlin").unwrap();
        // Both nights of the year in which clocks are set lie within.
        for begins in ["2026-03-25T12:00:00Z", "2026-10-21T12:00:00Z"] {
            let rotation = Rotation::new(DAY, Some(&window), Timestamp(0), GRACE, at(begins));
            let mut minutes = HashSet::new();
            for name in ["alice", "bob", "carol", "dave"] {
                let found = boundaries(&rotation, name, at(begins), 7, "Europe/Berlin");
                assert_eq!(found.len(), 7, "one a day");
                assert!(
                    found.iter().all(|moment| (2..5).contains(&moment.hour())),
                    "{found:?}"
                );
                minutes.extend(found.iter().map(|moment| moment.time()));
            }
            assert!(minutes.len() > 3, "spread over the window");
        }
    }

    #[test]
    fn a_window_may_reach_over_midnight_and_come_once_a_week() {
        let window = Window::parse("22:30-01:30", "America/New_York").unwrap();
        let start = at("2026-11-24T12:00:00Z");
        let rotation = Rotation::new(7 * DAY, Some(&window), Timestamp(0), GRACE, start);
        let found = boundaries(&rotation, "alice", start, 21, "America/New_York");
        assert_eq!(found.len(), 3);
        assert!(
            found
                .iter()
                .all(|moment| [22, 23, 0, 1].contains(&moment.hour())),
            "{found:?}"
        );
    }

    #[test]
    fn a_window_in_the_hour_that_clocks_skip_gives_nobody_the_same_moment() {
        for text in ["02:00-03:00", "02:10-02:50", "01:59-03:00"] {
            let window = Window::parse(text, "Europe/Berlin").unwrap();
            let rotation = Rotation::new(
                DAY,
                Some(&window),
                Timestamp(0),
                GRACE,
                at("2026-03-20T12:00:00Z"),
            );
            let moments: HashSet<_> = (0..20)
                .map(|n| {
                    boundaries(
                        &rotation,
                        &format!("user-{n}"),
                        at("2026-03-28T20:00:00Z"),
                        1,
                        "Europe/Berlin",
                    )
                })
                .map(|found| {
                    (
                        found.len(),
                        found[0].date(),
                        found[0].hour(),
                        found[0].minute(),
                    )
                })
                .collect();
            assert!(moments.len() > 8, "{text}: {moments:?}");
            let that_night = jiff::civil::date(2026, 3, 29);
            assert!(
                moments.iter().all(|(found, date, hour, _)| *found == 1
                    && *date == that_night
                    && (1..5).contains(hour)),
                "{moments:?}"
            );
        }
        // The other way round the hour that comes twice is one long window, or its first half.
        let window = Window::parse("02:00-03:00", "Europe/Berlin").unwrap();
        assert_eq!(window.on(Date::constant(2026, 10, 25)).unwrap().1, 2 * HOUR);
        assert_eq!(window.on(Date::constant(2026, 10, 24)).unwrap().1, HOUR);
    }

    #[test]
    fn replicas_that_started_on_different_days_agree() {
        let window = Window::parse("02:00-05:00", "Asia/Kolkata").unwrap();
        let of = |started| Rotation::new(2 * DAY, Some(&window), Timestamp(0), GRACE, at(started));
        let (old, new) = (of("2026-01-01T00:00:00Z"), of("2026-11-24T00:00:00Z"));
        for hour in 0..500 {
            let now = Timestamp(at("2026-11-24T00:00:00Z").0 + hour * HOUR + 1);
            assert_eq!(old.turn(&user("alice"), now), new.turn(&user("alice"), now));
        }
    }

    #[test]
    fn past_the_last_window_time_goes_on() {
        let window = Window::parse("02:00-05:00", "UTC").unwrap();
        let rotation = Rotation::new(
            DAY,
            Some(&window),
            Timestamp(0),
            GRACE,
            at("2026-01-01T00:00:00Z"),
        );
        let epoch = |text| rotation.turn(&user("alice"), at(text)).epoch;
        assert_eq!(
            epoch("2060-01-10T12:00:00Z") - epoch("2060-01-01T12:00:00Z"),
            9
        );
        assert!(epoch("2060-01-01T12:00:00Z") > epoch("2040-01-01T12:00:00Z"));
        // A clock that was set far back finds no window, and no boundary either.
        assert_eq!(rotation.turn(&user("alice"), Timestamp(5)).hold, None);
    }

    #[test]
    fn a_text_that_is_no_window_says_why() {
        for (text, zone, why) in [
            ("2-5", "UTC", InvalidWindow::Form),
            ("02:00", "UTC", InvalidWindow::Form),
            ("25:00-26:00", "UTC", InvalidWindow::Form),
            ("02:00-02:00", "UTC", InvalidWindow::Empty),
            ("02:00-05:00", "Mars/Olympus", InvalidWindow::Zone),
        ] {
            assert_eq!(Window::parse(text, zone).err(), Some(why), "{text} {zone}");
        }
    }

    #[test]
    fn users_move_to_a_new_key_at_their_own_boundary() {
        let since = at("2026-11-24T12:00:00Z");
        let rotation = Rotation::new(DAY, None, since, GRACE, since);
        let key = |name: &str, hours: u64| {
            rotation
                .turn(&user(name), Timestamp(since.0 + hours * HOUR))
                .key
        };
        for name in ["alice", "bob", "carol", "dave", "erin"] {
            let moved = (0..24)
                .find(|hours| key(name, *hours) == Slot::Current)
                .unwrap_or(24);
            assert!(
                moved > 0 && (moved..48).all(|hours| key(name, hours) == Slot::Current),
                "{name} {moved}"
            );
            let (before, after) = (
                rotation.turn(&user(name), Timestamp(since.0 + (moved - 1) * HOUR)),
                rotation.turn(&user(name), Timestamp(since.0 + moved * HOUR)),
            );
            assert_eq!(
                after.epoch,
                before.epoch + 1,
                "the key changes with the period, never within one"
            );
        }
    }

    #[test]
    fn without_rotation_the_change_of_key_is_the_one_boundary_and_comes_to_each_within_the_hour() {
        let since = at("2026-11-24T12:00:00Z");
        let rotation = Rotation::new(Duration::ZERO, None, since, GRACE, since);
        let mut minutes = [0; 60];
        for n in 0..6_000 {
            let moves = user(&format!("user-{n}")).place() % (60 * 60_000);
            minutes[usize::try_from(moves / 60_000).unwrap()] += 1;
            let turn =
                |ms: u64| rotation.turn(&user(&format!("user-{n}")), Timestamp(since.0 + ms));
            assert_eq!(
                (turn(moves).key, turn(moves).hold),
                (Slot::Current, Some(GRACE))
            );
            assert!(moves == 0 || turn(moves - 1).key == Slot::Previous);
        }
        assert!(
            minutes.iter().all(|users| (50..150).contains(users)),
            "{minutes:?}"
        );
        let moves = i64::try_from(user("alice").place() % (60 * 60_000)).unwrap();
        let turn = |ms: i64| {
            rotation.turn(
                &user("alice"),
                Timestamp(since.0.checked_add_signed(moves + ms).unwrap()),
            )
        };
        assert_eq!(
            turn(-1),
            Turn {
                epoch: 0,
                key: Slot::Previous,
                hold: None
            }
        );
        assert_eq!(
            turn(0),
            Turn {
                epoch: 0,
                key: Slot::Current,
                hold: Some(GRACE)
            }
        );
        assert_eq!(
            turn(500),
            Turn {
                epoch: 0,
                key: Slot::Current,
                hold: None
            }
        );
    }
}
