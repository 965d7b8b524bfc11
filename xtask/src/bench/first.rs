//! First logins against a real Elasticsearch: with the cheap hash and with the password in clear.

use super::{
    clients::at_once,
    median, millis, now,
    server::{Connection, Elastauth, free_address},
};
use crate::{parts, shell};
use anyhow::{Context, ensure};
use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

const ROUNDS: usize = 3;
const LOGINS: usize = 100;
const AT_ONCE: usize = 16;
const PASSWORD: &str = "elastic-of-the-bench";

/// 100 first logins, 16 at once; each login is used on the cluster at once.
pub(super) fn run() -> anyhow::Result<()> {
    parts::fetch()?;
    let node = Node::start()?;
    let url = format!("http://{}", node.address);
    // As a superuser: what the service account may do is not what is measured.
    node.account("svc-bench")?;
    let start = |hash: &str| {
        Elastauth::start_as(
            &url,
            "svc-bench",
            PASSWORD,
            &format!("credentials:\n  hash: {hash}\n"),
        )
    };
    let mut ratios = Vec::new();
    for round in 0..ROUNDS {
        let (hashed, plain) = (
            logins(start("auto")?.address, &node, &format!("h{round}"))?,
            logins(start("off")?.address, &node, &format!("p{round}"))?,
        );
        println!(
            "round {}: {LOGINS} first logins, hashed {:.0} ms, in clear {:.0} ms",
            round + 1,
            millis(hashed),
            millis(plain)
        );
        ratios.push(hashed.as_secs_f64() / plain.as_secs_f64());
    }
    println!(
        "first logins, hashed against in clear: {} (aim: at most 0.1)",
        median(&mut ratios).1
    );
    Ok(())
}

/// The time until the last of the logins works on the cluster.
fn logins(elastauth: SocketAddr, node: &Node, prefix: &str) -> anyhow::Result<Duration> {
    let begun = now();
    at_once(AT_ONCE, |client| {
        work(elastauth, node.address, prefix, client)
    })?;
    Ok(begun.elapsed())
}

fn work(
    elastauth: SocketAddr,
    node: SocketAddr,
    prefix: &str,
    client: usize,
) -> anyhow::Result<()> {
    let (mut gate, mut cluster) = (Connection::open(elastauth)?, Connection::open(node)?);
    for user in (client..LOGINS).step_by(AT_ONCE) {
        let headers = format!("Remote-User: {prefix}-{user}\r\nRemote-Groups: dev\r\n");
        // In clear a login takes longer than a gateway would wait: 503 and try again, as its client
        // would.
        let login = loop {
            match gate.ask_for("/elastauth/forward-auth", &headers)? {
                (200, login) => break login.context("a grant without a login")?,
                (503, _) => {}
                (status, _) => anyhow::bail!("{prefix}-{user} got {status}"),
            }
        };
        let status = cluster.ask(
            "/_security/_authenticate",
            &format!("Authorization: {login}\r\n"),
        )?;
        ensure!(
            status == 200,
            "the login of {prefix}-{user} got {status} from the cluster"
        );
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
        while node
            .curl(&["/_cluster/health/.security?wait_for_status=yellow&timeout=3s"])
            .is_err()
        {
            ensure!(now() < until, "the node is not ready in time");
            #[expect(clippy::disallowed_methods, reason = "nobody else runs on this thread")]
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(node)
    }

    fn account(&self, name: &str) -> anyhow::Result<()> {
        let body = format!(r#"{{"password":"{PASSWORD}","roles":["superuser"]}}"#);
        self.curl(&[
            &format!("/_security/user/{name}"),
            "-X",
            "PUT",
            "-H",
            "Content-Type: application/json",
            "-d",
            &body,
        ])
    }

    fn curl(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let (path, rest) = arguments.split_first().context("a path")?;
        let mut command = Command::new("curl");
        command
            .args([
                "-sf",
                "-m",
                "30",
                "-o",
                "/dev/null",
                "-u",
                &format!("elastic:{PASSWORD}"),
                &format!("http://{}{path}", self.address),
            ])
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
