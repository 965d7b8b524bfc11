//! Rotation as the broker sees it, over days and years of a set clock.

use super::*;
use jiff::{civil::Date, tz::TimeZone};
use std::collections::{BTreeSet, HashSet};

const GRACE: Duration = Duration::from_millis(500);
const HOUR: u64 = 3_600_000;
const DAY: Duration = Duration::from_hours(24);

fn user(name: &str) -> Username {
    Username::parse(name).unwrap()
}

fn plain(period: Duration) -> Rotation {
    Rotation::new(
        Product::Elasticsearch,
        period,
        None,
        Timestamp(0),
        GRACE,
        Timestamp(0),
    )
}

fn shown(period: Period) -> (u64, Slot, Option<Duration>) {
    (period.epoch, period.key, period.grace_left)
}

fn at(text: &str) -> Timestamp {
    Timestamp(u64::try_from(text.parse::<jiff::Timestamp>().unwrap().as_millisecond()).unwrap())
}

#[test]
fn requests_are_held_for_the_grace_and_no_longer() {
    let rotation = plain(Duration::from_secs(10));
    let (mut holds, mut epochs) = (Vec::new(), BTreeSet::new());
    for ms in 0..20_000 {
        let period = rotation.period(&user("alice"), Timestamp(1_700_000_000_000 + ms));
        epochs.insert(period.epoch);
        holds.extend(period.grace_left);
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
    let period = rotation.period(&alice, start);
    let may = |ms: u64| rotation.may_write(period, Timestamp(start.0 + ms));
    let boundary = (0..60_001)
        .find(|ms| rotation.period(&alice, Timestamp(start.0 + ms)).epoch != period.epoch)
        .unwrap();
    for ms in 0..70_000 {
        assert_eq!(may(ms), ms + 1_000 < boundary, "{ms} of {boundary}");
    }
    let latest = rotation.latest_write(period).0 - start.0;
    assert!(may(latest) && !may(latest + 1));
    let never = plain(Duration::ZERO);
    assert!(never.may_write(never.period(&alice, start), start));
    // A short period is not taken up by it, and neither is a request's patience.
    assert_eq!(
        plain(Duration::from_secs(2)).lead,
        Duration::from_millis(500)
    );
    let long = Rotation::new(
        Product::Elasticsearch,
        DAY,
        None,
        Timestamp(0),
        Duration::from_millis(1_500),
        Timestamp(0),
    );
    assert_eq!(long.lead, Duration::ZERO);
}

#[test]
fn passwords_change_at_different_times_and_never_where_rotation_is_off() {
    let rotation = plain(DAY);
    let offsets: HashSet<u64> = (0..100)
        .map(|n| {
            (0..24)
                .find(|h| {
                    rotation
                        .period(&user(&format!("u{n}")), Timestamp(h * HOUR))
                        .epoch
                        == 1
                })
                .unwrap_or(24)
        })
        .collect();
    assert!(offsets.len() > 10, "{offsets:?}");
    let never = plain(Duration::ZERO);
    assert_eq!(
        shown(never.period(&user("alice"), Timestamp(u64::MAX))),
        (0, Slot::Current, None)
    );
}

/// With every kind of boundaries, before the first of them and past the last window too.
#[test]
fn a_period_knows_its_own_begin_and_end() {
    let window = Window::parse("22:30-01:30", "Europe/Berlin").unwrap();
    let start = at("2026-03-25T12:00:00Z");
    for (period, window, from) in [
        (DAY, None, Timestamp(0)),
        (DAY, None, start),
        (DAY, Some(&window), start),
        (2 * DAY, Some(&window), Timestamp(start.0 - 6 * 24 * HOUR)),
        (DAY, Some(&window), at("2046-03-18T12:00:00Z")),
        (Duration::ZERO, None, start),
    ] {
        let key_since = Timestamp(start.0 + HOUR);
        let rotation = Rotation::new(
            Product::Elasticsearch,
            period,
            window,
            key_since,
            GRACE,
            start,
        );
        for name in ["alice", "bob"] {
            let mut last = rotation.period(&user(name), from);
            for minute in 1..10_000 {
                let now = Timestamp(from.0 + minute * 60_000);
                let period = rotation.period(&user(name), now);
                assert!(period.contains(now));
                if period.is_same(last) {
                    assert_eq!((period.began, period.ends), (last.began, last.ends));
                } else {
                    assert_eq!(last.ends, period.began, "{name} at {now}");
                }
                last = period;
            }
        }
    }
}

#[test]
fn the_rest_of_a_period_ends_at_the_boundary() {
    let rotation = Rotation::new(
        Product::Elasticsearch,
        Duration::from_hours(1),
        None,
        Timestamp(0),
        Duration::from_millis(500),
        Timestamp(0),
    );
    let alice = user("alice");
    let begin = Timestamp(1_800_000_000_000);
    let then = rotation.period(&alice, begin);
    let boundary = (0..3_600_000)
        .map(|ms| begin.after(Duration::from_millis(ms)))
        .find(|now| !then.is_same(rotation.period(&alice, *now)));
    let boundary = boundary.unwrap();
    for before in [1, 2, 499, 500, 700] {
        let now = Timestamp(boundary.0 - before);
        assert!(!rotation.may_write(then, now));
        assert_eq!(rotation.rest(then, now), Duration::from_millis(before));
    }
    assert_eq!(rotation.rest(then, boundary), Duration::ZERO);
    assert!(
        rotation.rest(then, begin) <= Duration::from_secs(1),
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
    let (mut found, mut last) = (Vec::new(), rotation.period(&user(name), from).epoch);
    for half_minute in 0..days * 2_880 {
        let now = Timestamp(from.0 + half_minute * 30_000);
        let epoch = rotation.period(&user(name), now).epoch;
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
fn with_a_window_nobodys_working_day_has_a_boundary() {
    let window = Window::parse("02:00-05:00", "Europe/Berlin").unwrap();
    // Both nights of the year in which clocks are set lie within.
    for begins in ["2026-03-25T12:00:00Z", "2026-10-21T12:00:00Z"] {
        let rotation = Rotation::new(
            Product::Elasticsearch,
            DAY,
            Some(&window),
            Timestamp(0),
            GRACE,
            at(begins),
        );
        let mut minutes = HashSet::new();
        for name in ["alice", "bob", "carol", "dave"] {
            let found = boundaries(&rotation, name, at(begins), 7, "Europe/Berlin");
            assert_eq!(found.len(), 7, "one a day");
            assert!(
                found.iter().all(|time| (2..5).contains(&time.hour())),
                "{found:?}"
            );
            minutes.extend(found.iter().map(|time| time.time()));
        }
        assert!(minutes.len() > 3, "spread over the window");
    }
}

#[test]
fn a_window_may_reach_over_midnight_and_come_once_a_week() {
    let window = Window::parse("22:30-01:30", "America/New_York").unwrap();
    let start = at("2026-11-24T12:00:00Z");
    let rotation = Rotation::new(
        Product::Elasticsearch,
        7 * DAY,
        Some(&window),
        Timestamp(0),
        GRACE,
        start,
    );
    let found = boundaries(&rotation, "alice", start, 21, "America/New_York");
    assert_eq!(found.len(), 3);
    assert!(
        found
            .iter()
            .all(|time| [22, 23, 0, 1].contains(&time.hour())),
        "{found:?}"
    );
}

#[test]
fn a_window_in_the_hour_that_clocks_skip_spreads_the_boundaries_all_the_same() {
    for text in ["02:00-03:00", "02:10-02:50", "01:59-03:00"] {
        let window = Window::parse(text, "Europe/Berlin").unwrap();
        let rotation = Rotation::new(
            Product::Elasticsearch,
            DAY,
            Some(&window),
            Timestamp(0),
            GRACE,
            at("2026-03-20T12:00:00Z"),
        );
        let times: HashSet<_> = (0..20)
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
        assert!(times.len() > 8, "{text}: {times:?}");
        let that_night = jiff::civil::date(2026, 3, 29);
        assert!(
            times.iter().all(|(found, date, hour, _)| *found == 1
                && *date == that_night
                && (1..5).contains(hour)),
            "{times:?}"
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
    let of = |started| {
        Rotation::new(
            Product::Elasticsearch,
            2 * DAY,
            Some(&window),
            Timestamp(0),
            GRACE,
            at(started),
        )
    };
    let (old, new) = (of("2026-01-01T00:00:00Z"), of("2026-11-24T00:00:00Z"));
    for hour in 0..500 {
        let now = Timestamp(at("2026-11-24T00:00:00Z").0 + hour * HOUR + 1);
        assert_eq!(
            old.period(&user("alice"), now),
            new.period(&user("alice"), now)
        );
    }
}

#[test]
fn past_the_last_window_time_goes_on() {
    let window = Window::parse("02:00-05:00", "UTC").unwrap();
    let rotation = Rotation::new(
        Product::Elasticsearch,
        DAY,
        Some(&window),
        Timestamp(0),
        GRACE,
        at("2026-01-01T00:00:00Z"),
    );
    let epoch = |text| rotation.period(&user("alice"), at(text)).epoch;
    assert_eq!(
        epoch("2060-01-10T12:00:00Z") - epoch("2060-01-01T12:00:00Z"),
        9
    );
    assert!(epoch("2060-01-01T12:00:00Z") > epoch("2040-01-01T12:00:00Z"));
    // A clock that was set far back finds no window, and no boundary either.
    assert_eq!(
        rotation.period(&user("alice"), Timestamp(5)).grace_left,
        None
    );
}

#[test]
fn users_move_to_a_new_key_at_their_own_boundary() {
    let since = at("2026-11-24T12:00:00Z");
    let rotation = Rotation::new(Product::Elasticsearch, DAY, None, since, GRACE, since);
    let key = |name: &str, hours: u64| {
        rotation
            .period(&user(name), Timestamp(since.0 + hours * HOUR))
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
            rotation.period(&user(name), Timestamp(since.0 + (moved - 1) * HOUR)),
            rotation.period(&user(name), Timestamp(since.0 + moved * HOUR)),
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
    let rotation = Rotation::new(
        Product::Elasticsearch,
        Duration::ZERO,
        None,
        since,
        GRACE,
        since,
    );
    let mut minutes = [0; 60];
    for n in 0..6_000 {
        let moves = user(&format!("user-{n}")).place() % (60 * 60_000);
        minutes[usize::try_from(moves / 60_000).unwrap()] += 1;
        let period =
            |ms: u64| rotation.period(&user(&format!("user-{n}")), Timestamp(since.0 + ms));
        assert_eq!(
            (period(moves).key, period(moves).grace_left),
            (Slot::Current, Some(GRACE))
        );
        assert!(moves == 0 || period(moves - 1).key == Slot::Previous);
    }
    assert!(
        minutes.iter().all(|users| (50..150).contains(users)),
        "{minutes:?}"
    );
    let moves = i64::try_from(user("alice").place() % (60 * 60_000)).unwrap();
    let period = |ms: i64| {
        rotation.period(
            &user("alice"),
            Timestamp(since.0.checked_add_signed(moves + ms).unwrap()),
        )
    };
    assert_eq!(shown(period(-1)), (0, Slot::Previous, None));
    assert_eq!(shown(period(0)), (0, Slot::Current, Some(GRACE)));
    assert_eq!(shown(period(500)), (0, Slot::Current, None));
}
