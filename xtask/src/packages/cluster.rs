//! The stand-in of the demonstration as a cluster (`examples/standin.rs`), and a name for it in DNS.

use crate::{bench::server::Connection, shell};
use anyhow::{Context, ensure};
use std::{
    io::{BufRead as _, BufReader},
    net::{SocketAddr, UdpSocket},
    process::{Child, ChildStdin, Command, Stdio},
};

/// A name that only [`answer_names`] knows.
pub(super) const NAME: &str = "cluster.test";

/// What the gateway of the checks shows.
pub(super) const GATEWAY_KEY: &str = "gateway-key-of-the-checks-0123456789";

/// It ends with its value.
pub(super) struct Cluster {
    child: Child,
    /// It ends with its input.
    _input: Option<ChildStdin>,
    pub(super) address: SocketAddr,
    judge: SocketAddr,
    pub(super) password: String,
}

impl Cluster {
    /// The tests have built it.
    pub(super) fn start() -> anyhow::Result<Self> {
        let program = shell::root().join("target/debug/examples/standin");
        let mut child = Command::new(program)
            .arg("0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("the stand-in does not start")?;
        let mut line = String::new();
        let output = child.stdout.take().context("its output")?;
        BufReader::new(output).read_line(&mut line)?;
        let mut words = line.split_whitespace();
        let mut word = || words.next().context("the stand-in did not say where it is");
        Ok(Self {
            address: word()?.parse()?,
            judge: word()?.parse()?,
            password: word()?.to_owned(),
            _input: child.stdin.take(),
            child,
        })
    }

    /// Whether a user gets a login at `elastauth` that the cluster takes.
    pub(super) fn grants(&self, elastauth: SocketAddr) -> anyhow::Result<()> {
        let headers = format!(
            "Remote-User: alice\r\nRemote-Groups: dev\r\nX-Elastauth-Key: {GATEWAY_KEY}\r\n"
        );
        let (status, login) =
            Connection::open(elastauth)?.ask_for("/elastauth/forward-auth", &headers)?;
        let login = login.with_context(|| format!("no login, but {status}"))?;
        let judged = Connection::open(self.judge)?.ask(
            "/_security/_authenticate",
            &format!("Authorization: {login}\r\n"),
        )?;
        ensure!(
            (status, judged) == (200, 200),
            "the answer is {status}, and the cluster says {judged} to its login"
        );
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers each question for an address of [`NAME`] with 127.0.0.1, until the process ends. The
/// network is that of the check.
pub(super) fn answer_names() -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:53").context("no name server can be set up")?;
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let answer = packet.get(..length).and_then(answered);
            let _ = socket.send_to(&answer.unwrap_or_default(), from);
        }
    });
    Ok(())
}

/// The answer to a question (RFC 1035 §4).
fn answered(question: &[u8]) -> Option<Vec<u8>> {
    const HEADER: usize = 12;
    let name = question.get(HEADER..)?;
    let end = HEADER + name.iter().position(|byte| *byte == 0)? + 1;
    let asked = question.get(HEADER..end)?;
    let wanted: Vec<u8> = NAME
        .split('.')
        .flat_map(|label| u8::try_from(label.len()).into_iter().chain(label.bytes()))
        .chain([0])
        .collect();
    let is_address = question.get(end..end + 2)? == [0, 1];
    let known = asked.eq_ignore_ascii_case(&wanted);
    let mut answer = question.get(..2)?.to_vec();
    // An answer with authority; 3: there is no such name. One question, its answers.
    let (code, count) = if known {
        (0, u8::from(is_address))
    } else {
        (3, 0)
    };
    answer.extend([0x85, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend(question.get(HEADER..end + 4)?);
    if count > 0 {
        // The name of the question, an address of the Internet, for a minute, four bytes.
        answer.extend([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
