//! First logins a second in front of a cluster that takes 2 ms for a call, beside what its places
//! for strangers allow.

use super::{
    clients::{at_once, identity, rest_until},
    median, millis, now, percentile,
    rounds::{Load, against},
    server::{Connection, Elastauth, Running, example_with},
};
use anyhow::ensure;
use std::{
    cell::{Cell, RefCell},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How long the cluster takes for a call.
const DELAY_MS: u32 = 2;
const ROUNDS: usize = 7;
const MANY: u32 = 8_000;
const CONNECTIONS: usize = 64;
/// As in `src/broker/ensure.rs`: how many strangers are read and written at once. Each has a place
/// there for two calls, and those who only ask have places for more.
const WRITES_OF_STRANGERS: u32 = 12;

/// First logins a second over 64 connections, beside a bare server that makes the same calls with
/// as many at once.
pub(super) fn run() -> anyhow::Result<()> {
    let cluster = example_with("yes_cluster", &[&DELAY_MS.to_string()])?;
    let bare = example_with("bare_logins", &[&cluster.address.to_string()])?;
    let elastauth = Elastauth::start(
        &format!("http://{}", cluster.address),
        "users:\n  new_per_minute: 1000000\n",
    )?;
    let (lap, waits) = (Cell::new(0), RefCell::new(Vec::new()));
    let before = cluster.cpu()?;
    let found = against(
        ROUNDS,
        ("elastauth", &elastauth),
        ("a bare server", &bare),
        |server| {
            // Names that nobody has seen.
            lap.set(lap.get() + 1);
            if server.address == bare.address {
                return let_in(server, lap.get());
            }
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                let known = scope.spawn(|| known_user(server, &over));
                let load = let_in(server, lap.get());
                over.store(true, Ordering::Relaxed);
                waits.borrow_mut().extend(
                    known
                        .join()
                        .map_err(|_| anyhow::anyhow!("a client crashed"))??,
                );
                load
            })
        },
    )?;
    let of_cluster =
        cluster.cpu()?.saturating_sub(before).as_secs_f64() * 1e6 / f64::from(lap.get() * MANY);
    let allowed = f64::from(WRITES_OF_STRANGERS) / f64::from(2 * DELAY_MS) * 1e3;
    let (mut shares, mut costs): (Vec<_>, Vec<_>) = found
        .first()
        .map(|ours| (ours.rate / allowed, ours.cost_us))
        .unzip();
    println!(
        "first logins a second, {DELAY_MS} ms a call, against the {allowed:.0} that {WRITES_OF_STRANGERS} places for a read and a write allow: {}",
        median(&mut shares).1
    );
    println!(
        "first logins a second against a bare server with the same calls: {} (aim: at least 0.9)",
        median(&mut found.rates()).1
    );
    let mut waits = waits.into_inner();
    println!(
        "  somebody known in the midst of them waits p50 {:.2}, p99 {:.2} ms",
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99)
    );
    println!(
        "  CPU a first login: elastauth {:.0} us, the stand-in {of_cluster:.0} us",
        median(&mut costs).0
    );
    Ok(())
}

/// How long somebody who is known waits for each answer, in milliseconds, in the midst of the
/// others.
fn known_user(server: &Running, over: &AtomicBool) -> anyhow::Result<Vec<f64>> {
    let (mut gate, mut times) = (Connection::open(server.address)?, Vec::new());
    gate.ask("/elastauth/forward-auth", &identity("known"))?;
    while !over.load(Ordering::Relaxed) {
        rest_until(now() + Duration::from_millis(2));
        let asked = now();
        let status = gate.ask("/elastauth/forward-auth", &identity("known"))?;
        ensure!(status == 200, "a known user got {status}");
        times.push(millis(asked.elapsed()));
    }
    Ok(times)
}

/// The rate at which people whom nobody knows get in.
fn let_in(server: &Running, lap: u32) -> anyhow::Result<Load> {
    let (cpu, begun) = (server.cpu()?, now());
    at_once(CONNECTIONS, |client| {
        let mut gate = Connection::open(server.address)?;
        for user in (0..MANY).skip(client).step_by(CONNECTIONS) {
            let status = gate.ask(
                "/elastauth/forward-auth",
                &identity(&format!("new-{lap}-{user}")),
            )?;
            ensure!(status == 200, "new-{lap}-{user} got {status}");
        }
        Ok(())
    })?;
    let (took, spent) = (
        begun.elapsed().as_secs_f64(),
        server.cpu()?.saturating_sub(cpu).as_secs_f64(),
    );
    Ok(Load {
        rate: f64::from(MANY) / took,
        cost_us: spent * 1e6 / f64::from(MANY),
    })
}
