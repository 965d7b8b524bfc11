//! Checks of ten thousand users who are active all the time: do they spread?

use super::{
    clients::{at_once, identity, rest_until},
    now,
    server::{Connection, Running},
    standin::StandIn,
};
use anyhow::ensure;
use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const USERS: u32 = 10_000;
const CONNECTIONS: usize = 32;
/// `cache.expiration`.
const EXPIRATION: Duration = Duration::from_secs(24);
/// All came within a few seconds. What follows is looked at from their first checks on.
const SETTLE: Duration = Duration::from_secs(24);
const SECONDS: u32 = 96;

/// 10,000 users, each of whom asks once a second, and the calls to the cluster in each second of
/// four times `cache.expiration`.
pub(super) fn run() -> anyhow::Result<()> {
    let mut cluster = StandIn::start(2)?;
    let more = format!(
        "cache:\n  expiration: {}s\ncredentials:\n  rotation: 0\nusers:\n  new_per_minute: 1000000\n",
        EXPIRATION.as_secs()
    );
    let elastauth = cluster.elastauth(&more)?;
    let over = AtomicBool::new(false);
    let begun = now();
    let (seconds, rounds) = std::thread::scope(|scope| {
        let clients =
            scope.spawn(|| at_once(CONNECTIONS, |client| stay_active(client, &elastauth, &over)));
        let counted = count(&mut cluster);
        over.store(true, Ordering::Relaxed);
        let rounds = clients
            .join()
            .map_err(|_| anyhow::anyhow!("a client crashed"))??;
        anyhow::Ok((counted?, rounds))
    })?;
    let asked =
        f64::from(rounds.iter().sum::<u32>()) / f64::from(USERS) / begun.elapsed().as_secs_f64();
    let (peak, sum) = (
        seconds.iter().max().copied().unwrap_or(0),
        seconds.iter().sum::<u32>(),
    );
    let (peak, mean) = (f64::from(peak), f64::from(sum) / f64::from(SECONDS));
    println!(
        "calls in each second: {}",
        seconds
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    );
    println!(
        "checks of {USERS} users, each asking {asked:.1} times a second, with cache.expiration {} s: {mean:.0} calls a second in the mean, {peak} at most: {:.2} (aim: at most 2)",
        EXPIRATION.as_secs(),
        peak / mean
    );
    println!(
        "  a user was checked every {:.1} s in the mean",
        f64::from(USERS) / mean
    );
    Ok(())
}

/// The calls in each second.
fn count(cluster: &mut StandIn) -> anyhow::Result<Vec<u32>> {
    rest_until(now() + SETTLE);
    let begun = now();
    let settled = cluster.calls()?;
    println!(
        "until then: {} questions, {} reads, {} writes",
        settled.authenticate, settled.reads, settled.writes
    );
    let mut seconds = Vec::new();
    let (mut reads, mut writes) = (0, 0);
    for second in 1..=SECONDS {
        rest_until(begun + Duration::from_secs(second.into()));
        let calls = cluster.calls()?;
        (reads, writes) = (reads + calls.reads, writes + calls.writes);
        seconds.push(u32::try_from(calls.all())?);
    }
    ensure!(
        reads + writes == 0,
        "{reads} reads and {writes} writes for users who stand as they should"
    );
    Ok(seconds)
}

/// Asks for a share of the users once a second; how many questions that were.
fn stay_active(client: usize, elastauth: &Running, over: &AtomicBool) -> anyhow::Result<u32> {
    let mut gate = Connection::open(elastauth.address)?;
    let heads: Vec<String> = (0..USERS)
        .skip(client)
        .step_by(CONNECTIONS)
        .map(|user| identity(&format!("user-{user}")))
        .collect();
    let step = Duration::from_secs(1) / u32::try_from(heads.len())?;
    let (mut next, mut asked) = (now(), 0);
    while !over.load(Ordering::Relaxed) {
        for head in &heads {
            let status = gate.ask("/elastauth/forward-auth", head)?;
            ensure!(status == 200, "a known user got {status}");
            asked += 1;
            // Never faster than that; whoever is late does not hurry either.
            next = (next + step).max(now());
            rest_until(next);
        }
    }
    Ok(asked)
}
