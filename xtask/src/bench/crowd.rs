//! A replica that starts with ten thousand active users at its door.

use super::{
    clients::{at_once, identity, rest_until},
    mega, millis, now, percentile,
    server::{Connection, Elastauth, Running, built},
    standin::{Calls, StandIn},
};
use anyhow::{Context, bail};
use std::{process::Command, time::Duration};

const USERS: usize = 10_000;
const CONNECTIONS: usize = 64;
/// A gateway's client tries again after what `Retry-After` says.
const RETRY: Duration = Duration::from_secs(1);

/// 10,000 users over 64 connections, each until there is an answer, whose login is then used: first
/// where the cluster knows none of them, and then, at a replica that has just started, where it
/// knows all. At last at one more replica all of them at the same moment, over 64 connections of
/// HTTP/2.
pub(super) fn run() -> anyhow::Result<()> {
    let mut cluster = StandIn::start(2)?;
    for whom in ["unknown to the cluster", "known to the cluster"] {
        let elastauth = start(&mut cluster)?;
        let idle = elastauth.resident_kib()?;
        let begun = now();
        let found = at_once(CONNECTIONS, |client| {
            visit_all(client, &elastauth, &cluster)
        })?;
        let took = begun.elapsed();
        let (refused, rejected) = found.iter().fold((0, 0), |(refused, rejected), one| {
            (refused + one.refused, rejected + one.rejected)
        });
        let mut times: Vec<f64> = found.into_iter().flat_map(|one| one.times).collect();
        println!(
            "{USERS} users {whom}: all in after {:.1} s; an answer took p50 {:.1}, p99 {:.1}, at most {:.0} ms",
            took.as_secs_f64(),
            percentile(&mut times, 0.5),
            percentile(&mut times, 0.99),
            percentile(&mut times, 1.0)
        );
        println!("  answered with 503: {refused}; rejected logins: {rejected} (aim: 0)");
        tell_calls(&mut cluster)?;
        println!(
            "  resident: {:.1} MB, {:.1} MB before",
            mega(elastauth.resident_kib()?),
            mega(idle)
        );
    }
    let elastauth = start(&mut cluster)?;
    let mut crowd = Command::new(built("examples/crowd"));
    let output = crowd
        .args([
            elastauth.address.to_string(),
            USERS.to_string(),
            CONNECTIONS.to_string(),
        ])
        .output()?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let (seconds, refused) = told
        .trim()
        .split_once(' ')
        .with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    println!(
        "{USERS} users known to the cluster, all at the same moment: all in after {seconds} s; answered with 503, to come again after a second: {refused}"
    );
    tell_calls(&mut cluster)?;
    println!(
        "  resident: {:.1} MB, at most {:.1} MB",
        mega(elastauth.resident_kib()?),
        mega(elastauth.most_resident_kib()?)
    );
    Ok(())
}

fn start(cluster: &mut StandIn) -> anyhow::Result<Elastauth> {
    let elastauth =
        cluster.elastauth("credentials:\n  rotation: 0\nusers:\n  new_per_minute: 1000000\n")?;
    // What the start itself has asked does not count.
    let _start = cluster.calls()?;
    Ok(elastauth)
}

fn tell_calls(cluster: &mut StandIn) -> anyhow::Result<()> {
    let Calls {
        authenticate,
        reads,
        writes,
        lists: _,
        most,
    } = cluster.calls()?;
    println!(
        "  calls: {authenticate} questions, {reads} reads, {writes} writes; at most {most} at once (aim: at most 64)"
    );
    Ok(())
}

#[derive(Default)]
struct Found {
    /// Of the answers, in milliseconds.
    times: Vec<f64>,
    refused: u32,
    rejected: u32,
}

fn visit_all(client: usize, gate: &Running, cluster: &StandIn) -> anyhow::Result<Found> {
    let (mut gate, mut judge) = (Connection::open(gate.address)?, cluster.judge()?);
    let mut found = Found::default();
    for user in (client..USERS).step_by(CONNECTIONS) {
        let headers = identity(&format!("user-{user}"));
        let login = loop {
            let asked = now();
            match gate.ask_for("/elastauth/forward-auth", &headers)? {
                (200, login) => {
                    found.times.push(millis(asked.elapsed()));
                    break login.context("a grant without a login")?;
                }
                (503, _) => {
                    found.refused += 1;
                    rest_until(now() + RETRY);
                }
                (status, _) => bail!("user-{user} got {status}"),
            }
        };
        found.rejected += u32::from(!judge.takes(&login)?);
    }
    Ok(found)
}
