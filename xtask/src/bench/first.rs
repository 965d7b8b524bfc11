//! First logins: against a cluster that takes 2 ms for a call, how many a second; against a real Elasticsearch, with the cheap hash and with the password in clear.

use super::{
    clients::{at_once, identity, rest_until},
    median, millis, now, percentile,
    rounds::{Load, against},
    server::{Connection, Elastauth, Running, example_with, free_address},
};
use crate::{parts, shell};
use anyhow::{Context, ensure};
use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

const ROUNDS: usize = 3;
const LOGINS: usize = 100;
const AT_ONCE: usize = 16;
const PASSWORD: &str = "elastic-of-the-bench";

/// In front of a cluster of 2 ms a call.
const DELAY_MS: u32 = 2;
const BUDGET_ROUNDS: usize = 7;
const MANY: u32 = 8_000;
const CONNECTIONS: usize = 64;
/// As in `src/broker/ensure.rs`: how many strangers are read and written at once. Each has a place there for two calls, and those who only ask have places for more.
const WRITES_OF_STRANGERS: u32 = 12;

/// First logins a second over 64 connections, beside a bare server that makes the same calls with as many at once.
pub(super) fn budget() -> anyhow::Result<()> {
    let cluster = example_with("yes_cluster", &[&DELAY_MS.to_string()])?;
    let bare = example_with("bare_logins", &[&cluster.address.to_string()])?;
    let elastauth = Elastauth::start(&format!("http://{}", cluster.address), "users:\n  new_per_minute: 1000000\n")?;
    let (lap, waits) = (Cell::new(0), RefCell::new(Vec::new()));
    let before = cluster.cpu()?;
    let found = against(BUDGET_ROUNDS, ("elastauth", &elastauth), ("a bare server", &bare), |server| {
        // Names that nobody has seen.
        lap.set(lap.get() + 1);
        if server.address == bare.address {
            return newcomers(server, lap.get());
        }
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let known = scope.spawn(|| known_user(server, &over));
            let load = newcomers(server, lap.get());
            over.store(true, Ordering::Relaxed);
            waits.borrow_mut().extend(known.join().map_err(|_| anyhow::anyhow!("a client crashed"))??);
            load
        })
    })?;
    let of_cluster = (cluster.cpu()? - before).as_secs_f64() * 1e6 / f64::from(lap.get() * MANY);
    let allowed = f64::from(WRITES_OF_STRANGERS) / f64::from(2 * DELAY_MS) * 1e3;
    let (mut shares, mut costs): (Vec<_>, Vec<_>) = found.first().map(|ours| (ours.rate / allowed, ours.cost_us)).unzip();
    println!(
        "first logins a second, {DELAY_MS} ms a call, against the {allowed:.0} that {WRITES_OF_STRANGERS} places for a read and a write allow: {}",
        median(&mut shares).1
    );
    println!("first logins a second against a bare server with the same calls: {} (aim: at least 0.9)", median(&mut found.rates()).1);
    let mut waits = waits.into_inner();
    println!(
        "  somebody known in the midst of them waits p50 {:.2}, p99 {:.2} ms",
        percentile(&mut waits, 0.5),
        percentile(&mut waits, 0.99)
    );
    println!("  CPU a first login: elastauth {:.0} us, the stand-in {of_cluster:.0} us", median(&mut costs).0);
    Ok(())
}

/// How long somebody who is known waits for each answer, in milliseconds, in the midst of the others.
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
fn newcomers(server: &Running, lap: u32) -> anyhow::Result<Load> {
    let (cpu, begun) = (server.cpu()?, now());
    at_once(CONNECTIONS, |client| {
        let mut gate = Connection::open(server.address)?;
        for user in (0..MANY).skip(client).step_by(CONNECTIONS) {
            let status = gate.ask("/elastauth/forward-auth", &identity(&format!("new-{lap}-{user}")))?;
            ensure!(status == 200, "new-{lap}-{user} got {status}");
        }
        Ok(())
    })?;
    let (took, spent) = (begun.elapsed().as_secs_f64(), server.cpu()?.saturating_sub(cpu).as_secs_f64());
    Ok(Load { rate: f64::from(MANY) / took, cost_us: spent * 1e6 / f64::from(MANY) })
}

/// 100 first logins, 16 at once; each login is used on the cluster at once.
pub(super) fn run() -> anyhow::Result<()> {
    parts::fetch()?;
    let node = Node::start()?;
    let url = format!("http://{}", node.address);
    // As a superuser: what the service account may do is not what is measured.
    node.account("svc-bench")?;
    let start = |hash: &str| Elastauth::start_as(&url, "svc-bench", PASSWORD, &format!("credentials:\n  hash: {hash}\n"));
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (hashed, plain) =
            (logins(start("auto")?.address, &node, &format!("h{round}"))?, logins(start("off")?.address, &node, &format!("p{round}"))?);
        println!("round {}: {LOGINS} first logins, hashed {:.0} ms, in clear {:.0} ms", round + 1, millis(hashed), millis(plain));
        ratios.push(hashed.as_secs_f64() / plain.as_secs_f64());
    }
    println!("first logins, hashed against in clear: {} (aim: at most 0.1)", median(&mut ratios).1);
    Ok(())
}

/// The time until the last of the logins works on the cluster.
fn logins(elastauth: SocketAddr, node: &Node, prefix: &str) -> anyhow::Result<Duration> {
    let begun = now();
    at_once(AT_ONCE, |client| work(elastauth, node.address, prefix, client))?;
    Ok(begun.elapsed())
}

fn work(elastauth: SocketAddr, node: SocketAddr, prefix: &str, client: usize) -> anyhow::Result<()> {
    let (mut gate, mut cluster) = (Connection::open(elastauth)?, Connection::open(node)?);
    for user in (client..LOGINS).step_by(AT_ONCE) {
        let headers = format!("Remote-User: {prefix}-{user}\r\nRemote-Groups: dev\r\n");
        // In clear a login takes longer than a gateway would wait: 503 and try again, as its client would.
        let login = loop {
            match gate.ask_for("/elastauth/forward-auth", &headers)? {
                (200, login) => break login.context("a grant without a login")?,
                (503, _) => {}
                (status, _) => anyhow::bail!("{prefix}-{user} got {status}"),
            }
        };
        let status = cluster.ask("/_security/_authenticate", &format!("Authorization: {login}\r\n"))?;
        ensure!(status == 200, "the login of {prefix}-{user} got {status} from the cluster");
    }
    Ok(())
}

/// A real node, ended with us.
struct Node {
    child: Child,
    address: SocketAddr,
}

impl Node {
    fn start() -> anyhow::Result<Self> {
        let (root, address) = (shell::root(), free_address()?);
        let home = root.join(format!("target/bench-node-{}", std::process::id()));
        let child = Command::new(root.join("tests/kits/elasticsearch/run.sh"))
            .arg(root.join("target/parts/elasticsearch"))
            .arg(&home)
            .arg(format!("http.port={}", address.port()))
            .env("JAVA", root.join("target/parts/java/bin/java"))
            .env("ELASTIC_PASSWORD", PASSWORD)
            .env("KIT_EPHEMERAL", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the node does not start")?;
        let node = Self { child, address };
        let until = now() + Duration::from_mins(2);
        while node.curl(&["/_cluster/health/.security?wait_for_status=yellow&timeout=3s"]).is_err() {
            ensure!(now() < until, "the node is not ready in time");
            #[expect(clippy::disallowed_methods, reason = "nobody else runs on this thread")]
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(node)
    }

    fn account(&self, name: &str) -> anyhow::Result<()> {
        let body = format!(r#"{{"password":"{PASSWORD}","roles":["superuser"]}}"#);
        self.curl(&[&format!("/_security/user/{name}"), "-X", "PUT", "-H", "Content-Type: application/json", "-d", &body])
    }

    fn curl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let (path, rest) = arguments.split_first().context("a path")?;
        let mut command = Command::new("curl");
        command
            .args(["-sf", "-m", "30", "-o", "/dev/null", "-u", &format!("elastic:{PASSWORD}"), &format!("http://{}{path}", self.address)])
            .args(rest);
        ensure!(shell::succeeds(&mut command), "the node refused {path}");
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The node ends with its stdin.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
