//! Known users: the hot path against a bare hyper server that returns a constant, and one user against a million.

use super::{
    median, mega, now,
    server::{Connection, Elastauth, Running, example},
};
use crate::shell;
use anyhow::{Context, ensure};
use std::{net::SocketAddr, process::Command, time::Duration};

const ROUNDS: usize = 5;
const USERS: usize = 1_000_000;

/// What a gateway sends along: the identity and the usual company.
const COMPANY: &[(&str, &str)] = &[
    ("Remote-Groups", "dev,ops"),
    ("Remote-Name", "User Zero"),
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Host", "kibana.example.org"),
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Uri", "/app/discover?_g=(filters:!())"),
    ("Accept-Encoding", "gzip"),
];

/// elastauth against bare hyper: requests a second and processor time a request.
pub(super) fn run() -> anyhow::Result<()> {
    let (cluster, bare) = (example("yes_cluster")?, example("bare_hyper")?);
    let elastauth = Elastauth::start(&format!("http://{}", cluster.address), "")?;
    fill(elastauth.address, 1)?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        // Each goes first in turn.
        let (ours, baseline) = if round % 2 == 0 {
            let first = load(&elastauth, 1)?;
            (first, load(&bare, 1)?)
        } else {
            let first = load(&bare, 1)?;
            (load(&elastauth, 1)?, first)
        };
        println!(
            "round {}: elastauth {:.0}/s {:.2} us, bare hyper {:.0}/s {:.2} us",
            round + 1,
            ours.rate,
            ours.cost_us,
            baseline.rate,
            baseline.cost_us
        );
        rates.push(ours.rate / baseline.rate);
        costs.push(ours.cost_us / baseline.cost_us);
    }
    println!("known user, requests/s against bare hyper: {} (aim: at least 0.95)", median(&mut rates).1);
    println!("known user, CPU a request against bare hyper: {} (aim: at most 1.05)", median(&mut costs).1);
    Ok(())
}

/// Decisions that are counted against decisions that are not, and then with traces on against off.
pub(super) fn watched() -> anyhow::Result<()> {
    let (cluster, collector) = (example("yes_cluster")?, example("bare_hyper")?);
    let cluster = format!("http://{}", cluster.address);
    let endpoint = format!("http://{}", collector.address);
    let elastauth = Elastauth::start(&cluster, "enable_metrics: true\n")?;
    let uncounted = Elastauth::start_uncounted(&cluster)?;
    let sampled = |share| {
        let environment =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", &*endpoint), ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", share)];
        Elastauth::start_in(&cluster, "enableOtel: true\n", &environment)
    };
    let (all, hundredth) = (sampled("1")?, sampled("0.01")?);
    compare("metrics counted against not counted", "at least 0.97", &elastauth, &uncounted)?;
    compare("one trace in a hundred recorded against none", "none set", &hundredth, &elastauth)?;
    compare("every trace recorded against none", "none set", &all, &elastauth)
}

/// The rate and the processor time of one against another, each going first in turn.
fn compare(what: &str, aim: &str, one: &Running, other: &Running) -> anyhow::Result<()> {
    fill(one.address, 1)?;
    fill(other.address, 1)?;
    let (mut rates, mut costs) = (Vec::new(), Vec::new());
    for round in 0..2 * ROUNDS {
        let (one, other) = if round % 2 == 0 {
            let first = load(one, 1)?;
            (first, load(other, 1)?)
        } else {
            let first = load(other, 1)?;
            (load(one, 1)?, first)
        };
        rates.push(one.rate / other.rate);
        costs.push(one.cost_us / other.cost_us);
    }
    println!("known user, requests/s, {what}: {} (aim: {aim})", median(&mut rates).1);
    println!("known user, CPU a request, {what}: {}", median(&mut costs).1);
    Ok(())
}

/// A million known users: memory, and the rate against that with one.
pub(super) fn million() -> anyhow::Result<()> {
    let cluster = example("yes_cluster")?;
    // In clear: the hash that a real cluster would get costs us most of a millisecond a user and is not what is measured here.
    let more = "cache:\n  capacity: 1200000\n  expiration: 24h\ncredentials:\n  hash: off\n  rotation: 0\n";
    let elastauth = Elastauth::start(&format!("http://{}", cluster.address), more)?;
    let idle = elastauth.resident_kib()?;
    let begun = now();
    fill(elastauth.address, USERS)?;
    println!("{USERS} first logins against a cluster that takes everybody: {:.0} s", begun.elapsed().as_secs_f64());
    println!("resident: {:.1} MB with {USERS} users, {:.1} MB idle (aim: at most 300)", mega(elastauth.resident_kib()?), mega(idle));
    let mut rates = Vec::new();
    for _ in 0..ROUNDS {
        let (one, many) = (load(&elastauth, 1)?, load(&elastauth, USERS)?);
        println!("one user {:.0}/s, {USERS} users {:.0}/s", one.rate, many.rate);
        rates.push(many.rate / one.rate);
    }
    println!("rate with {USERS} users against one: {} (aim: at least 0.9)", median(&mut rates).1);
    Ok(())
}

/// Lets each user in once, from 32 connections.
fn fill(address: SocketAddr, users: usize) -> anyhow::Result<()> {
    const CONNECTIONS: usize = 32;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..CONNECTIONS)
            .map(|worker| {
                scope.spawn(move || {
                    let mut connection = Connection::open(address)?;
                    for user in (worker..users).step_by(CONNECTIONS) {
                        let status = connection.ask("/elastauth/forward-auth", &head(user))?;
                        ensure!(status == 200, "user-{user} got {status}");
                    }
                    anyhow::Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| anyhow::anyhow!("a worker crashed"))?)
    })
}

fn head(user: usize) -> String {
    use std::fmt::Write as _;
    let mut text = format!("Remote-User: user-{user}\r\nRemote-Email: user-{user}@example.org\r\n");
    for (name, value) in COMPANY {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    text
}

struct Load {
    rate: f64,
    cost_us: f64,
}

/// One round of wrk: 64 connections, 5 s, users drawn at random.
fn load(server: &Running, users: usize) -> anyhow::Result<Load> {
    let script = shell::root().join(format!("target/bench-{}.lua", std::process::id()));
    let company = COMPANY.iter().fold(String::new(), |text, (name, value)| text + name + ": " + value + "\\r\\n");
    std::fs::write(
        &script,
        format!(
            "local tail = '{company}\\r\\n'\nfunction init() math.randomseed(os.time()) end\n\
             function request()\n  local u = 'user-' .. math.random(0, {})\n\
             return 'GET /elastauth/forward-auth HTTP/1.1\\r\\nHost: bench\\r\\nRemote-User: ' .. u .. '\\r\\nRemote-Email: ' .. u .. '@example.org\\r\\n' .. tail\nend\n",
            users - 1
        ),
    )?;
    let (cpu, begun) = (server.cpu()?, now());
    let output = Command::new("wrk")
        .args(["-t2", "-c64", "-d5s", "--timeout", "5s", "-s"])
        .arg(&script)
        .arg(format!("http://{}/elastauth/forward-auth", server.address))
        .output()
        .context("wrk is missing: apt-get install wrk")?;
    let (spent, elapsed) = (server.cpu()?.saturating_sub(cpu).as_secs_f64(), begun.elapsed());
    std::fs::remove_file(&script)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(elapsed < Duration::from_secs(30) && !text.contains("Non-2xx") && !text.contains("Socket errors"), "{text}");
    let field = |name: &str| text.lines().find_map(|line| line.trim().strip_prefix(name)).map(str::trim).map(ToOwned::to_owned);
    let rate: f64 = field("Requests/sec:").context("requests a second")?.parse()?;
    let total: f64 = text.lines().find_map(|line| line.trim().split_once(" requests in ")).context("requests")?.0.parse()?;
    Ok(Load { rate, cost_us: spent / total * 1e6 })
}
