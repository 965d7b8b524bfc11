//! What parking costs: calls in a period, counted by `examples/parking_calls`, where time is set
//! and not waited for; and the waits of others while many users are parked, in real time.

use super::{
    clients::{at_once, identity, rest_until},
    millis, now, percentile,
    server::{Connection, Elastauth, built},
    standin::StandIn,
};
use crate::shell;
use anyhow::ensure;
use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Users whose calls are counted.
const COUNTED: &str = "1000";
/// Users who stay away while others wait.
const AWAY: usize = 3_000;
const CONNECTIONS: usize = 16;
/// All of them are parked within `credentials.park_within` after it. By default they would be
/// within an hour.
const ROTATION: Duration = Duration::from_secs(40);
const PARK_WITHIN: Duration = Duration::from_secs(10);
/// Between the requests of the users whose waits are measured. New users are few: each of them is a
/// write.
const PAUSE: Duration = Duration::from_millis(5);
const PAUSE_OF_NEW_USERS: Duration = Duration::from_millis(200);

/// The calls of periods with and without parking, and the waits of a known and of new users while
/// 3,000 users are parked and while nobody is.
pub(super) fn run() -> anyhow::Result<()> {
    shell::run(Command::new(built("examples/parking_calls")).arg(COUNTED))?;
    let [off, on] = [start(false)?, start(true)?];
    // Both at once, so that both have the same neighbours.
    let [off_waits, on_waits] = std::thread::scope(|scope| {
        let waiting = [&off, &on].map(|(_, elastauth)| scope.spawn(|| waits_of(elastauth)));
        waiting.map(|one| one.join().map_err(|_| anyhow::anyhow!("a client crashed")))
    });
    let (off_waits, on_waits) = (off_waits??, on_waits??);
    let [off_calls, on_calls] = [off, on].map(|(mut cluster, _)| cluster.calls());
    println!(
        "writes in {} s with {AWAY} users away: {} without parking, {} with it",
        (ROTATION + PARK_WITHIN).as_secs(),
        off_calls?.writes,
        on_calls?.writes
    );
    for ((whom, mut off), (_, mut on)) in off_waits.into_iter().zip(on_waits) {
        let answers = (off.len(), on.len());
        for share in [0.5, 0.99] {
            let (off, on) = (percentile(&mut off, share), percentile(&mut on, share));
            println!(
                "  {whom}, p{:.0} with parking against without: {:.2} ({on:.2} \
                 against {off:.2} ms, of {} and {})",
                share * 100.0,
                on / off,
                answers.1,
                answers.0
            );
        }
    }
    Ok(())
}

/// elastauth before a cluster of its own, with users who will not come back.
fn start(park: bool) -> anyhow::Result<(StandIn, Elastauth)> {
    let mut cluster = StandIn::start(2)?;
    let rotation = ROTATION.as_secs();
    let parking = if park {
        format!("park_within: {}s", PARK_WITHIN.as_secs())
    } else {
        "park: false".to_owned()
    };
    let more = format!(
        "credentials:\n  rotation: {rotation}s\n  {parking}\n\
         users:\n  new_per_minute: 1000000\n"
    );
    let elastauth = cluster.elastauth(&more)?;
    at_once(CONNECTIONS, |client| {
        let mut gate = Connection::open(elastauth.address)?;
        for user in (client..AWAY).step_by(CONNECTIONS) {
            let name = format!("away-{user}");
            let status = gate.ask("/elastauth/forward-auth", &identity(&name))?;
            ensure!(status == 200, "{name} got {status} at the first login");
        }
        Ok(())
    })?;
    cluster.calls()?;
    Ok((cluster, elastauth))
}

type Waits = [(&'static str, Vec<f64>); 2];

/// How long a known user and new users wait until all who are away must have been parked.
fn waits_of(elastauth: &Elastauth) -> anyhow::Result<Waits> {
    let (over, begun) = (AtomicBool::new(false), now());
    std::thread::scope(|scope| {
        let known = scope.spawn(|| waits(elastauth, &over, PAUSE, |_| "known".to_owned()));
        let new =
            scope.spawn(|| waits(elastauth, &over, PAUSE_OF_NEW_USERS, |n| format!("new-{n}")));
        rest_until(begun + ROTATION + PARK_WITHIN);
        over.store(true, Ordering::Relaxed);
        let crashed = |_| anyhow::anyhow!("a client crashed");
        let (known, new) = (known.join().map_err(crashed)?, new.join().map_err(crashed)?);
        Ok([("a known user", known?), ("new users", new?)])
    })
}

/// How long the answers to these users take, in milliseconds.
fn waits(
    elastauth: &Elastauth,
    over: &AtomicBool,
    pause: Duration,
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
        rest_until(asked + pause);
    }
    Ok(times)
}
