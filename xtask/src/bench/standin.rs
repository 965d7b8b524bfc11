//! A cluster that judges every login (`examples/standin.rs`), and what was asked of it.

use super::server::{Connection, Elastauth, Running, built};
use anyhow::Context;
use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{ChildStdin, ChildStdout, Command, Stdio},
};

/// It ends with its value.
pub(super) struct StandIn {
    process: Running,
    /// Another node of it, for whoever tries logins.
    judge: SocketAddr,
    password: String,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// The calls of elastauth since they were last asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Calls {
    pub(super) authenticate: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    /// The most at once.
    pub(super) most: u64,
    pub(super) lists: u64,
}

impl Calls {
    pub(super) fn all(self) -> u64 {
        self.authenticate + self.reads + self.writes + self.lists
    }
}

impl StandIn {
    /// One that takes so many milliseconds for each call of elastauth.
    pub(super) fn start(delay_ms: u64) -> anyhow::Result<Self> {
        let mut child = Command::new(built("examples/standin"))
            .arg(delay_ms.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the stand-in does not start")?;
        let questions = child.stdin.take().context("its input")?;
        let mut answers = BufReader::new(child.stdout.take().context("its output")?);
        let mut line = String::new();
        answers.read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().context("the stand-in did not say where it is");
        let (address, judge, password) = (word()?.parse()?, word()?.parse()?, word()?.to_owned());
        Ok(Self {
            process: Running::of(child, address),
            judge,
            password,
            questions,
            answers,
        })
    }

    /// elastauth in front of it.
    pub(super) fn elastauth(&self, more: &str) -> anyhow::Result<Elastauth> {
        Elastauth::start_as(
            &format!("http://{}", self.process.address),
            "elastauth",
            &self.password,
            more,
        )
    }

    /// What was asked of it since the last time.
    pub(super) fn calls(&mut self) -> anyhow::Result<Calls> {
        self.questions.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let numbers: Vec<u64> = line
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let [authenticate, reads, writes, most, lists] = *numbers else {
            anyhow::bail!("the stand-in says `{line}`")
        };
        Ok(Calls {
            authenticate,
            reads,
            writes,
            most,
            lists,
        })
    }

    /// Whoever tries logins on it.
    pub(super) fn judge(&self) -> anyhow::Result<Judge> {
        Ok(Judge(Connection::open(self.judge)?))
    }
}

/// Tries logins on the cluster, as a gateway would use them.
pub(super) struct Judge(Connection);

impl Judge {
    /// Whether the cluster takes this `Authorization`.
    pub(super) fn takes(&mut self, login: &str) -> anyhow::Result<bool> {
        match self.0.ask(
            "/_security/_authenticate",
            &format!("Authorization: {login}\r\n"),
        )? {
            200 => Ok(true),
            401 => Ok(false),
            status => anyhow::bail!("the cluster answered a login with {status}"),
        }
    }
}
