//! Measures the figures of docs/PERFORMANCE.md again, on any machine. Ratios, from
//! interleaved rounds in one run: absolute figures of a noisy machine mean nothing.
//!
//! All traffic stays on 127.0.0.1, and every round ends by itself.

mod check;
mod clients;
mod clusters;
mod cores;
mod crowd;
mod decision;
mod first;
mod gateways;
mod known;
mod newcomers;
mod opensearch;
mod parking;
mod peers;
mod proxy;
mod recheck;
mod redis;
mod rotation;
mod rounds;
pub(crate) mod server;
mod standin;
mod tokens;

use crate::shell;
use anyhow::Context as _;
use std::time::{Duration, Instant};

/// What stands in for others.
const EXAMPLES: &[&str] = &[
    "bare_hyper",
    "bare_logins",
    "bare_proxy",
    "crowd",
    "floor",
    "parking_calls",
    "peers",
    "plain_upstream",
    "standin",
    "token_issuer",
    "yes_cluster",
];

type Measurement = fn() -> anyhow::Result<()>;

/// Runs the named measurements, or all.
pub(crate) fn run(names: &[&str]) -> anyhow::Result<()> {
    let all: &[(&str, Measurement)] = &[
        ("start", start),
        ("check", check::run),
        ("known", known::run),
        ("users", known::users),
        ("floor", known::floor),
        ("traces", known::traces),
        ("million", known::million),
        ("tokens", tokens::run),
        ("first", first::run),
        ("newcomers", newcomers::run),
        ("clusters", clusters::run),
        ("opensearch", opensearch::run),
        ("rotation", rotation::run),
        ("parking", parking::run),
        ("redis", redis::run),
        ("recheck", recheck::run),
        ("crowd", crowd::run),
        ("peers", peers::run),
        ("gateways", gateways::run),
        ("proxy", proxy::run),
        ("build", build),
    ];
    let chosen: Vec<_> = all
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name))
        .collect();
    anyhow::ensure!(
        names
            .iter()
            .all(|name| all.iter().any(|(known, _)| known == name)),
        "measurements: {}",
        all.iter()
            .map(|(name, _)| *name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    // Each by itself: beside the examples the program would be built with what the tests want of
    // its dependencies, and be another than the one that is shipped.
    shell::run(&mut shell::command(
        "cargo",
        &["build", "--release", "--bin", "elastauth"],
    ))?;
    let mut parts = shell::command("cargo", &["build", "--release"]);
    parts.args(EXAMPLES.iter().flat_map(|example| ["--example", example]));
    shell::run(&mut parts)?;
    for (name, measure) in chosen {
        println!("== {name}");
        measure().with_context(|| format!("measurement `{name}`"))?;
    }
    Ok(())
}

/// Start to first answer, and resident memory at rest.
fn start() -> anyhow::Result<()> {
    let (mut times, mut resident) = (Vec::new(), 0);
    for _ in 0..20 {
        let begun = now();
        let elastauth = server::Elastauth::start("http://127.0.0.1:9", "")?;
        times.push(begun.elapsed());
        resident = elastauth.resident_kib()?;
    }
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    println!(
        "start to first answer: median {:.1} ms of {} starts (aim: at most 50)",
        millis(median),
        times.len()
    );
    println!("idle: {:.1} MB resident (aim: at most 15)", mega(resident));
    Ok(())
}

/// A release build from nothing, in a folder of its own.
fn build() -> anyhow::Result<()> {
    let target = shell::root().join("target/bench-build");
    let _ = std::fs::remove_dir_all(&target);
    let begun = now();
    shell::run(
        shell::command("cargo", &["build", "--release", "--locked", "--quiet"])
            .env("CARGO_TARGET_DIR", &target),
    )?;
    println!(
        "release build from nothing: {:.0} s (aim: at most 300 on two cores)",
        begun.elapsed().as_secs_f64()
    );
    std::fs::remove_dir_all(&target).context("the build folder")
}

#[expect(
    clippy::disallowed_methods,
    reason = "a benchmark measures the real time"
)]
fn now() -> Instant {
    Instant::now()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mega(kib: u64) -> f64 {
    kib as f64 * 1_024.0 / 1e6
}

/// Median with the range, as `0.97 [0.95-1.01]`.
fn median(values: &mut [f64]) -> (f64, String) {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or(f64::NAN);
    let (low, high) = (
        values.first().copied().unwrap_or(f64::NAN),
        values.last().copied().unwrap_or(f64::NAN),
    );
    (middle, format!("{middle:.3} [{low:.3}-{high:.3}]"))
}

/// The value below which this share of all lies; the largest for a share of one.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in a list"
)]
fn percentile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let place = ((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1));
    values.get(place).copied().unwrap_or(f64::NAN)
}
