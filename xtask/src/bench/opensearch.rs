//! First logins of many users at once on a real OpenSearch, by one replica and by two.

use super::{
    clients::{at_once, rest_until},
    median, millis, now, percentile,
    server::{Connection, Elastauth, free_address},
};
use crate::shell;
use anyhow::{Context, ensure};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

const LOGINS: usize = 1_000;
const AT_ONCE: usize = 64;
const ROUNDS: usize = 2;
/// The account that the kit makes for elastauth.
const ACCOUNT: (&str, &str) = ("elastauth", "elastauth-of-the-tests");
const MORE: &str = "users:\n  new_per_minute: 1000000\n  writes_at_once: 64\n";

/// Each round has a node of its own: the number of users there decides what a write takes.
pub(super) fn run() -> anyhow::Result<()> {
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        println!(
            "load of the machine: {}",
            std::fs::read_to_string("/proc/loadavg")?.trim()
        );
        for replicas in [1, 2] {
            let node = Node::start()?;
            let took = logins(&node, replicas)?;
            println!("round {}, {replicas} replica(s): {took:.1} s", round + 1);
            if replicas == 1 { &mut one } else { &mut two }.push(took);
        }
    }
    for (replicas, times) in [(1, &mut one), (2, &mut two)] {
        println!(
            "{LOGINS} first logins on OpenSearch, {AT_ONCE} at once, {replicas} replica(s): {} s \
             (aim: at most 20)",
            median(times).1
        );
    }
    Ok(())
}

/// The time until each user has a login, in seconds. Users are shared out among the replicas.
fn logins(node: &Node, replicas: usize) -> anyhow::Result<f64> {
    let url = format!("http://{}", node.address);
    let start = |_| Elastauth::start_as(&url, ACCOUNT.0, ACCOUNT.1, MORE);
    let replicas = (0..replicas).map(start).collect::<Result<Vec<_>, _>>()?;
    let (next, again) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let (begun, cpu) = (now(), node.cpu()?);
    let waits = at_once(AT_ONCE, |_| {
        let mut waits = Vec::new();
        loop {
            let user = next.fetch_add(1, Ordering::Relaxed);
            if user >= LOGINS {
                return Ok(waits);
            }
            let (asked, place) = (now(), user % replicas.len());
            let replica = replicas.get(place).context("a replica")?;
            // A connection that is kept for long is closed between two users.
            let mut gate = Connection::open(replica.address)?;
            let headers = format!("Remote-User: new-{user}\r\nRemote-Groups: dev\r\n");
            loop {
                match gate.ask("/elastauth/forward-auth", &headers)? {
                    200 => break,
                    // Where a request has no time left, the next one finds the work done.
                    503 => again.fetch_add(1, Ordering::Relaxed),
                    status => anyhow::bail!("new-{user} got {status}"),
                };
                rest_until(now() + Duration::from_millis(100));
            }
            waits.push(millis(asked.elapsed()));
        }
    })?;
    let took = begun.elapsed().as_secs_f64();
    let mut waits: Vec<f64> = waits.into_iter().flatten().collect();
    let ours: Result<Vec<_>, _> = replicas.iter().map(|replica| replica.cpu()).collect();
    println!(
        "  a login waits {:.0} ms in the median, {:.0} ms at p99; {} answers of 503 in between; \
         CPU: elastauth {:.1} s, OpenSearch {:.1} s",
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99),
        again.load(Ordering::Relaxed),
        ours?.iter().sum::<Duration>().as_secs_f64(),
        node.cpu()?.saturating_sub(cpu).as_secs_f64(),
    );
    Ok(took)
}

/// A real node, ended with us.
struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    fn start() -> anyhow::Result<Self> {
        let (root, address) = (shell::root(), free_address()?);
        let part = root.join("target/parts/opensearch");
        ensure!(
            part.exists(),
            "no OpenSearch: run `cargo xtask parts` first"
        );
        let child = Command::new(root.join("tests/kits/opensearch/run.sh"))
            .arg(part)
            .arg(root.join(format!(
                "target/bench-opensearch-{}-{}",
                std::process::id(),
                address.port()
            )))
            .arg(format!("http.port={}", address.port()))
            .env("KIT_EPHEMERAL", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the node does not start")?;
        let node = Self { child, address };
        let until = now() + Duration::from_mins(4);
        while !node.is_ready() {
            ensure!(now() < until, "the node is not ready in time");
            rest_until(now() + Duration::from_millis(200));
        }
        Ok(node)
    }

    fn is_ready(&self) -> bool {
        let mut command = Command::new("curl");
        command.args([
            "-sf",
            "-m",
            "30",
            "-o",
            "/dev/null",
            "-u",
            &format!("{}:{}", ACCOUNT.0, ACCOUNT.1),
            &format!("http://{}/_plugins/_security/authinfo", self.address),
        ]);
        shell::succeeds(&mut command)
    }

    fn cpu(&self) -> anyhow::Result<Duration> {
        super::server::cpu_of(&self.child.id().to_string())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The node ends with its stdin.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
