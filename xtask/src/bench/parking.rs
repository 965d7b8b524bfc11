//! What parking costs: calls in a period, and the waits of those who are there.
//!
//! A day is four minutes here: rotation, `cache.expiration` and `credentials.park_within` are to
//! each other as by default (24 to 1 to 1).

use super::{
    clients::{at_once, identity, rest_until},
    millis, now, percentile,
    server::{Connection, Elastauth},
    standin::{Calls, StandIn},
};
use anyhow::ensure;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const USERS: usize = 10_000;
const CONNECTIONS: usize = 32;
const ROTATION: Duration = Duration::from_mins(4);
/// Of `cache.expiration` and `credentials.park_within`.
const HOUR: Duration = Duration::from_secs(10);
/// From one request of an active user to the next. Shorter than the time after a boundary in which
/// nobody is parked, as it is for people at work.
const OFTEN: Duration = Duration::from_millis(2_400);
/// Between the requests of the users whose waits are measured.
const PAUSE: Duration = Duration::from_millis(5);

/// A period of 10,000 active users without and with parking, then one in which all of them stay
/// away and are parked, and the waits of a known and of new users in each.
pub(super) fn run() -> anyhow::Result<()> {
    let mut totals = Vec::new();
    for park in [false, true] {
        let (mut cluster, elastauth) = start(park)?;
        let active = period(&mut cluster, &elastauth, true)?;
        tell("active", park, active);
        let away = period(&mut cluster, &elastauth, false)?;
        tell("away", park, away);
        totals.push((active.all(), away.all()));
    }
    let [(active_off, away_off), (active_on, away_on)] = *totals else {
        anyhow::bail!("two runs")
    };
    println!(
        "calls of a period of {USERS} active users, with parking against without: {:+.2} % (aim: at most 2)",
        percent(active_on, active_off) - 100.0
    );
    println!(
        "calls to park {USERS} users who all stay away: {}, {:.1} % of what a period of as many active users takes",
        away_on.saturating_sub(away_off),
        percent(away_on.saturating_sub(away_off), active_off)
    );
    Ok(())
}

fn start(park: bool) -> anyhow::Result<(StandIn, Elastauth)> {
    let mut cluster = StandIn::start(2)?;
    let more = format!(
        "cache:\n  expiration: {hour}s\ncredentials:\n  rotation: {}s\n  park: {park}\n{within}users:\n  new_per_minute: 1000000\n",
        ROTATION.as_secs(),
        hour = HOUR.as_secs(),
        within = if park {
            format!("  park_within: {}s\n", HOUR.as_secs())
        } else {
            String::new()
        },
    );
    let elastauth = cluster.elastauth(&more)?;
    at_once(CONNECTIONS, |client| {
        let mut gate = Connection::open(elastauth.address)?;
        for user in (client..USERS).step_by(CONNECTIONS) {
            let status = gate.ask(
                "/elastauth/forward-auth",
                &identity(&format!("user-{user}")),
            )?;
            ensure!(status == 200, "user-{user} got {status} at the first login");
        }
        Ok(())
    })?;
    cluster.calls()?;
    Ok((cluster, elastauth))
}

/// The calls of one period in which all users are active, or none is; and the waits of one known
/// user and of users who are new.
fn period(cluster: &mut StandIn, elastauth: &Elastauth, active: bool) -> anyhow::Result<Calls> {
    let (over, begun) = (AtomicBool::new(false), now());
    let (known, new) = std::thread::scope(|scope| {
        let known = scope.spawn(|| waits(elastauth, &over, |_| "known".to_owned()));
        let new = scope.spawn(|| waits(elastauth, &over, |n| format!("new-{active}-{n}")));
        let users = active
            .then(|| scope.spawn(|| at_once(CONNECTIONS, |client| work(client, elastauth, &over))));
        rest_until(begun + ROTATION);
        over.store(true, Ordering::Relaxed);
        if let Some(users) = users {
            users
                .join()
                .map_err(|_| anyhow::anyhow!("a client crashed"))??;
        }
        let crashed = |_| anyhow::anyhow!("a client crashed");
        anyhow::Ok((
            known.join().map_err(crashed)??,
            new.join().map_err(crashed)??,
        ))
    })?;
    for (whom, mut times) in [("a known user", known), ("new users", new)] {
        println!(
            "  {whom}: {} answers, p50 {:.2}, p99 {:.2}, at most {:.0} ms",
            times.len(),
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            percentile(&mut times, 1.0)
        );
    }
    cluster.calls()
}

/// Asks for a share of the users again and again.
fn work(client: usize, elastauth: &Elastauth, over: &AtomicBool) -> anyhow::Result<()> {
    let mut gate = Connection::open(elastauth.address)?;
    let heads: Vec<String> = (client..USERS)
        .step_by(CONNECTIONS)
        .map(|user| identity(&format!("user-{user}")))
        .collect();
    let step = OFTEN / u32::try_from(heads.len())?;
    let mut next = now();
    while !over.load(Ordering::Relaxed) {
        for head in &heads {
            let status = gate.ask("/elastauth/forward-auth", head)?;
            ensure!(status == 200, "an active user got {status}");
            next = (next + step).max(now());
            rest_until(next);
        }
    }
    Ok(())
}

/// How long the answers to these users take, in milliseconds. Not those over a boundary, which
/// waits for everybody.
fn waits(
    elastauth: &Elastauth,
    over: &AtomicBool,
    name: impl Fn(u32) -> String,
) -> anyhow::Result<Vec<f64>> {
    let (mut gate, mut times) = (Connection::open(elastauth.address)?, Vec::new());
    for n in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let asked = now();
        let status = gate.ask("/elastauth/forward-auth", &identity(&name(n)))?;
        ensure!(status == 200, "{} got {status}", name(n));
        times.push(millis(asked.elapsed()));
        // New users are few: each of them is a write, and is parked later.
        let pause = if name(0) == name(1) {
            PAUSE
        } else {
            PAUSE * 40
        };
        rest_until(asked + pause);
    }
    Ok(times)
}

fn tell(what: &str, park: bool, calls: Calls) {
    println!(
        "{what}, parking {}: {} calls: {} authenticate, {} reads, {} writes, {} lists",
        if park { "on" } else { "off" },
        calls.all(),
        calls.authenticate,
        calls.reads,
        calls.writes,
        calls.lists
    );
}

#[expect(clippy::cast_precision_loss, reason = "some ten thousands")]
fn percent(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64 * 100.0
}
