//! What connections of untrusted peers cost, whatever they do.

use super::{
    mega,
    server::{Elastauth, built},
};
use anyhow::ensure;
use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

/// What such peers do: how it is told, what the client calls it, connections, streams on each.
const KINDS: &[(&str, &str, u32, u32)] = &[
    ("silent", "silent", 1_000, 0),
    (
        "HTTP/1, a long head that does not end",
        "h1-slow-head",
        1_000,
        0,
    ),
    (
        "HTTP/1, 4,000 requests whose answers nobody reads",
        "h1-unread",
        1_000,
        0,
    ),
    ("HTTP/2, idle", "h2-idle", 1_000, 0),
    (
        "HTTP/2, 8 long requests with stalled answers",
        "h2-stalled",
        1_000,
        8,
    ),
    (
        "HTTP/2, a long head that does not end",
        "h2-half-head",
        1_000,
        0,
    ),
    (
        "HTTP/2, 1,000 stalled requests (a flood)",
        "h2-stalled",
        40,
        1_000,
    ),
];

/// The resident memory that each of them causes, and the most that it was.
pub(super) fn run() -> anyhow::Result<()> {
    for &(what, kind, connections, streams) in KINDS {
        // No address of this machine is a gateway's.
        let elastauth =
            Elastauth::start("http://127.0.0.1:9", "trusted_proxies: [192.0.2.0/24]\n")?;
        let before = elastauth.most_resident_kib()?;
        let mut peers = Command::new(built("examples/peers"))
            .arg(elastauth.address.to_string())
            .args([kind, &connections.to_string(), &streams.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut ready = String::new();
        if let Some(told) = peers.stdout.take() {
            BufReader::new(told).read_line(&mut ready)?;
        }
        let (most, held) = (elastauth.most_resident_kib()?, elastauth.resident_kib()?);
        // The end of its input ends it.
        drop(peers.stdin.take());
        ensure!(
            peers.wait()?.success() && ready == "ready\n",
            "the peers of kind {kind}"
        );
        let each = |kib: u64| mega(kib.saturating_sub(before)) * 1e3 / f64::from(connections);
        println!(
            "{connections} untrusted connections, {what}: {:.1} KB each, at most {:.1} KB for a \
             moment (aim: at most 32)",
            each(held),
            each(most),
        );
    }
    Ok(())
}
