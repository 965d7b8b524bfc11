//! Each gateway with the files of its guide: requests a second with elastauth against a server that
//! answers every request with the same grant, and against no check at all; and how many connections
//! the gateway opens to elastauth. tests/gateways/bench.rs starts the programs.
//!
//! The processor time of all programs for a request gives the same ratio as the rate on a machine
//! that is busy with this alone, and a steadier one where other work runs beside it.

use super::{
    median,
    rounds::{in_all_orders, of_wrk},
    server::{cpu_of, cpu_of_children},
};
use crate::shell;
use anyhow::{Context, ensure};
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

const ROUNDS: usize = 9;

const GATEWAYS: [&str; 8] = [
    "traefik",
    "traefik-tls",
    "caddy",
    "nginx-1.22",
    "nginx-1.31",
    "haproxy-2.6",
    "haproxy-2.8",
    "envoy",
];

pub(super) fn run() -> anyhow::Result<()> {
    for name in GATEWAYS {
        measure(name).with_context(|| format!("gateway `{name}`"))?;
    }
    Ok(())
}

fn measure(name: &str) -> anyhow::Result<()> {
    let mut stage = Stage::start(name)?;
    let counted = stage.targets.pop().context("the gateway that is counted")?;
    // The first round of each fills its connections and does not count.
    for target in stage.targets.iter().chain([&counted]) {
        stage.load(target, 1)?;
    }
    let [asked, answered, open] = &*stage.targets else {
        anyhow::bail!("three gateways are compared")
    };
    let (mut of_constant, mut of_open, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    let mut costs = Vec::new();
    for round in 0..ROUNDS {
        let [ours, constant, none] = in_all_orders(round, [asked, answered, open], |target| {
            stage.load(target, 2)
        })?;
        println!(
            "{name}, round {}: elastauth {:.0}/s {:.0} us, constant {:.0}/s {:.0} us, no check \
             {:.0}/s {:.0} us",
            round + 1,
            ours.rate,
            ours.cost_us,
            constant.rate,
            constant.cost_us,
            none.rate,
            none.cost_us
        );
        of_constant.push(ours.rate / constant.rate);
        of_open.push(none.cost_us / ours.cost_us);
        costs.push(constant.cost_us / ours.cost_us);
        rates.push(ours.rate);
    }
    let before = stage.connections()?;
    let load = stage.load(&counted, 3)?;
    let opened = stage.connections()? - before;
    println!(
        "{name}, requests/s with elastauth against a constant answer: {} (aim: at least 0.97)",
        median(&mut of_constant).1
    );
    println!(
        "{name}, the same by the processor time of all programs: {}",
        median(&mut costs).1
    );
    println!(
        "{name}, against no check at all, by processor time: {}; {:.0} requests/s",
        median(&mut of_open).1,
        median(&mut rates).0
    );
    println!(
        "{name}, connections opened at elastauth for each 1,000 requests: {:.2} (aim: at most 5)",
        opened / load.requests * 1_000.0
    );
    stage.end()
}

/// What a round has shown.
#[derive(Debug, Clone, Copy)]
struct Load {
    rate: f64,
    requests: f64,
    /// Processor time of all programs for one request.
    cost_us: f64,
}

/// A gateway.
#[derive(Debug)]
struct Target {
    port: String,
    /// It and the programs that it asks, by their process ids.
    programs: Vec<String>,
}

impl Target {
    fn cpu(&self) -> anyhow::Result<Duration> {
        let programs = self.programs.iter().map(|program| cpu_of(program));
        programs.chain([cpu_of_children()]).sum()
    }
}

/// The programs around one gateway.
struct Stage {
    child: Child,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
    targets: Vec<Target>,
    token: String,
}

impl Stage {
    fn start(name: &str) -> anyhow::Result<Self> {
        let mut child = shell::command("cargo", &["test", "--features", "real-parts"])
            .args(["--quiet", "--test", "gateways", "bench::serve", "--"])
            .args(["--ignored", "--exact", "--nocapture"])
            .env("ELASTAUTH_BENCH_GATEWAY", name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let questions = child.stdin.take().context("its input")?;
        let mut answers = BufReader::new(child.stdout.take().context("its output")?);
        let line = next(&mut answers)?;
        let (token, targets) = line.split_once(' ').context("a token")?;
        let targets = targets.split_whitespace().map(|target| {
            let mut words = target.split(',').map(str::to_owned);
            let port = words.next().unwrap_or_default();
            let programs = words.collect();
            Target { port, programs }
        });
        let (token, targets) = (token.to_owned(), targets.collect());
        Ok(Self {
            child,
            questions,
            answers,
            targets,
            token,
        })
    }

    fn load(&self, target: &Target, seconds: u32) -> anyhow::Result<Load> {
        let before = target.cpu()?;
        let output = Command::new("wrk")
            .args(["-t1", "-c32", "--timeout", "5s", &format!("-d{seconds}s")])
            .args(["-H", "Host: elasticsearch.example.org"])
            .args(["-H", &format!("Authorization: Bearer {}", self.token)])
            .arg(format!("https://localhost:{}/_search", target.port))
            .output()
            .context("wrk is missing: apt-get install wrk")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!text.contains("Socket errors"), "{text}");
        let (rate, requests) = of_wrk(&text)?;
        let refused = text.split_once("Non-2xx or 3xx responses: ");
        let refused = refused.and_then(|(_, rest)| rest.split_whitespace().next());
        let refused: f64 = refused.unwrap_or("0").parse()?;
        // A busy machine makes a gateway give up now and then. More would be another measurement.
        ensure!(refused < requests * 0.01, "port {}: {text}", target.port);
        if refused > 0.0 {
            println!(
                "port {}: {refused} of {requests} were not answered with 200",
                target.port
            );
        }
        let spent = target.cpu()?.saturating_sub(before);
        Ok(Load {
            rate,
            requests,
            cost_us: spent.as_secs_f64() / requests * 1e6,
        })
    }

    /// Connections that the gateway that is counted has opened so far.
    fn connections(&mut self) -> anyhow::Result<f64> {
        self.questions.write_all(b"\n")?;
        Ok(next(&mut self.answers)?.parse()?)
    }

    fn end(mut self) -> anyhow::Result<()> {
        drop(self.questions);
        ensure!(self.child.wait()?.success(), "the gateways ended badly");
        Ok(())
    }
}

/// The rest of the next line that is for us.
fn next(answers: &mut BufReader<ChildStdout>) -> anyhow::Result<String> {
    loop {
        let mut line = String::new();
        ensure!(answers.read_line(&mut line)? > 0, "the gateways are gone");
        if let Some((_, rest)) = line.split_once("BENCH ") {
            return Ok(rest.trim().to_owned());
        }
    }
}
