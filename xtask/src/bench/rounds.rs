//! Servers under the same load in turn, and how they compare within each round.

use super::{cores::Cores, now, server::Running};
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
    one: Named<'_>,
    other: Named<'_>,
    load: impl Fn(&Running) -> anyhow::Result<Load>,
) -> anyhow::Result<Rounds> {
    let found = among(rounds, &[one, other], load)?;
    let [ours, theirs] = &*found else {
        return Ok(Rounds(Vec::new()));
    };
    let pairs = ours.iter().copied().zip(theirs.iter().copied());
    Ok(Rounds(pairs.collect()))
}

/// Rounds of the same load on all, each round in another order: no server always finds the machine
/// as the same other one has left it. What each has shown, round by round.
pub(super) fn among(
    rounds: usize,
    servers: &[Named<'_>],
    load: impl Fn(&Running) -> anyhow::Result<Load>,
) -> anyhow::Result<Vec<Vec<Load>>> {
    let mut found = vec![Vec::new(); servers.len()];
    for round in 0..rounds {
        for place in 0..servers.len() {
            let index = (place + round) % servers.len();
            if let (Some((_, server)), Some(loads)) = (servers.get(index), found.get_mut(index)) {
                loads.push(load(server)?);
            }
        }
        let shown = servers.iter().zip(&found).filter_map(|((name, _), loads)| {
            let Load { rate, cost_us } = loads.last()?;
            let cores = rate * cost_us / 1e6;
            Some(format!(
                "{name} {rate:.0}/s {cost_us:.2} us {cores:.2} cores"
            ))
        });
        println!(
            "round {}: {}",
            round + 1,
            shown.collect::<Vec<_>>().join(", ")
        );
    }
    Ok(found)
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

/// What clients send.
#[derive(Debug, Clone, Copy)]
pub(super) enum Requests<'a> {
    /// One request with these header lines, which each end with CRLF: it costs the client least.
    Same(&'a str),
    /// What this script of wrk says.
    Drawn(&'a str),
}

/// 64 connections for 5 s that send what the script says.
pub(super) fn wrk(server: &Running, script: &str) -> anyhow::Result<Load> {
    wrk_with(
        Command::new("wrk").arg("-t2"),
        server,
        Requests::Drawn(script),
        Running::cpu,
    )
}

/// The same with processor time from the statistics of the scheduler, for what 10 ms are too coarse
/// for.
pub(super) fn wrk_exactly(server: &Running, script: &str) -> anyhow::Result<Load> {
    let requests = Requests::Drawn(script);
    wrk_with(
        Command::new("wrk").arg("-t2"),
        server,
        requests,
        Running::scheduled,
    )
}

/// The same from cores that are the client's own.
pub(super) fn wrk_apart(
    cores: &Cores,
    server: &Running,
    requests: Requests<'_>,
) -> anyhow::Result<Load> {
    let mut wrk = cores.client("wrk");
    wrk.arg(format!("-t{}", cores.clients()));
    wrk_with(&mut wrk, server, requests, Running::scheduled)
}

fn wrk_with(
    wrk: &mut Command,
    server: &Running,
    requests: Requests<'_>,
    spent: fn(&Running) -> anyhow::Result<Duration>,
) -> anyhow::Result<Load> {
    let file = shell::root().join(format!("target/bench-{}.lua", std::process::id()));
    wrk.args(["-c64", "-d5s", "--timeout", "5s"]);
    match requests {
        Requests::Same(headers) => {
            wrk.args(headers.lines().flat_map(|line| ["-H", line]));
        }
        Requests::Drawn(script) => {
            std::fs::write(&file, script)?;
            wrk.arg("-s").arg(&file);
        }
    }
    wrk.arg(format!("http://{}/elastauth/forward-auth", server.address));
    let (cpu, begun) = (spent(server)?, now());
    let output = wrk
        .output()
        .context("wrk is missing: apt-get install wrk")?;
    let (spent, elapsed) = (
        spent(server)?.saturating_sub(cpu).as_secs_f64(),
        begun.elapsed(),
    );
    let _only_where_there_is_a_script = std::fs::remove_file(&file);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        elapsed < Duration::from_mins(1)
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
