//! Two servers under the same load in turn, and how they compare within each round.

use super::{now, server::Running};
use crate::shell;
use anyhow::{Context, ensure};
use std::{process::Command, time::Duration};

/// What a round of load has shown of a server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Answers a second.
    pub(super) rate: f64,
    /// Its processor time for one, in microseconds.
    pub(super) cost_us: f64,
}

/// One against another, round by round.
pub(super) struct Rounds(Vec<(Load, Load)>);

impl Rounds {
    /// Ratios of the rates.
    pub(super) fn rates(&self) -> Vec<f64> {
        self.0
            .iter()
            .map(|(one, other)| one.rate / other.rate)
            .collect()
    }

    /// Ratios of the processor times.
    pub(super) fn costs(&self) -> Vec<f64> {
        self.0
            .iter()
            .map(|(one, other)| one.cost_us / other.cost_us)
            .collect()
    }

    /// What the first of the two has shown.
    pub(super) fn first(&self) -> impl Iterator<Item = Load> {
        self.0.iter().map(|(one, _)| *one)
    }
}

/// A server with its name in the lines of the rounds.
pub(super) type Named<'a> = (&'a str, &'a Running);

/// Rounds of the same load on both.
pub(super) fn against(
    rounds: usize,
    (name, one): Named<'_>,
    (other_name, other): Named<'_>,
    load: impl Fn(&Running) -> anyhow::Result<Load>,
) -> anyhow::Result<Rounds> {
    let mut found = Vec::new();
    for round in 0..rounds {
        let (ours, theirs) = in_turn(round, || load(one), || load(other))?;
        println!(
            "round {}: {name} {:.0}/s {:.2} us, {other_name} {:.0}/s {:.2} us",
            round + 1,
            ours.rate,
            ours.cost_us,
            theirs.rate,
            theirs.cost_us
        );
        found.push((ours, theirs));
    }
    Ok(Rounds(found))
}

/// Measures both; each goes first in turn, so that neither always finds the machine as the other
/// has left it.
pub(super) fn in_turn<T>(
    round: usize,
    one: impl FnOnce() -> anyhow::Result<T>,
    other: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, T)> {
    if round.is_multiple_of(2) {
        let first = one()?;
        Ok((first, other()?))
    } else {
        let first = other()?;
        Ok((one()?, first))
    }
}

/// 64 connections for 5 s that send what the script says.
pub(super) fn wrk(server: &Running, script: &str) -> anyhow::Result<Load> {
    wrk_with(server, script, Running::cpu)
}

/// The same with processor time from the statistics of the scheduler, for what 10 ms are too coarse
/// for.
pub(super) fn wrk_exactly(server: &Running, script: &str) -> anyhow::Result<Load> {
    wrk_with(server, script, Running::scheduled)
}

fn wrk_with(
    server: &Running,
    script: &str,
    spent: fn(&Running) -> anyhow::Result<Duration>,
) -> anyhow::Result<Load> {
    let file = shell::root().join(format!("target/bench-{}.lua", std::process::id()));
    std::fs::write(&file, script)?;
    let (cpu, begun) = (spent(server)?, now());
    let output = Command::new("wrk")
        .args(["-t2", "-c64", "-d5s", "--timeout", "5s", "-s"])
        .arg(&file)
        .arg(format!("http://{}/elastauth/forward-auth", server.address))
        .output()
        .context("wrk is missing: apt-get install wrk")?;
    let (spent, elapsed) = (
        spent(server)?.saturating_sub(cpu).as_secs_f64(),
        begun.elapsed(),
    );
    std::fs::remove_file(&file)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        elapsed < Duration::from_secs(30)
            && !text.contains("Non-2xx")
            && !text.contains("Socket errors"),
        "{text}"
    );
    let (rate, total) = of_wrk(&text)?;
    Ok(Load {
        rate,
        cost_us: spent / total * 1e6,
    })
}

/// Requests a second and requests in all, of what wrk prints.
pub(super) fn of_wrk(text: &str) -> anyhow::Result<(f64, f64)> {
    let mut lines = text.lines().map(str::trim);
    let rate = lines
        .clone()
        .find_map(|line| line.strip_prefix("Requests/sec:"))
        .context("requests a second")?;
    let total = lines
        .find_map(|line| line.split_once(" requests in "))
        .context("requests")?
        .0;
    Ok((rate.trim().parse()?, total.parse()?))
}

/// Measures three; each is first, second and third in turn.
pub(super) fn in_all_orders<T: Copy, L: Copy>(
    round: usize,
    [one, two, three]: [T; 3],
    load: impl Fn(T) -> anyhow::Result<L>,
) -> anyhow::Result<[L; 3]> {
    Ok(match round % 3 {
        0 => {
            let first = load(one)?;
            let second = load(two)?;
            [first, second, load(three)?]
        }
        1 => {
            let second = load(two)?;
            let third = load(three)?;
            [load(one)?, second, third]
        }
        _ => {
            let third = load(three)?;
            let first = load(one)?;
            [first, load(two)?, third]
        }
    })
}
