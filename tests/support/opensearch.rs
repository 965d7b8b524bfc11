//! A real OpenSearch node with its security plugin, one for all tests of a binary where possible.

use super::{
    http::{Answer, Server, basic},
    part,
    process::{NotReady, Process, command, folder},
    wait::{Why, pause},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use tokio::{sync::OnceCell, time::Instant};

const AUTHINFO: &str = "/_plugins/_security/authinfo";
const USERS: &str = "/_plugins/_security/api/internalusers";

/// It starts within 15 s on a machine at rest.
const STARTS: Duration = Duration::from_mins(3);

/// elastauth's account: it may call the API for users and nothing else.
pub(crate) const ACCOUNT: (&str, &str) = ("elastauth", "elastauth-of-the-tests");

/// The password of `admin`.
pub(crate) const PASSWORD: &str = "opensearch-of-the-tests";

#[derive(Debug)]
pub(crate) struct Opensearch {
    server: Server,
    port: u16,
    home: PathBuf,
    settings: Vec<String>,
    /// The node ends with its stdin, so it ends with us even when nobody drops this: a static is
    /// never dropped.
    process: Process,
}

impl Opensearch {
    /// The node that the tests of this binary share. Each test uses names of its own.
    pub(crate) async fn shared() -> &'static Self {
        static NODE: OnceCell<Opensearch> = OnceCell::const_new();
        NODE.get_or_init(|| Self::start(&[])).await
    }

    /// A node of its own with these settings.
    pub(crate) async fn start(settings: &[&str]) -> Self {
        let settings = settings.iter().map(|one| (*one).to_owned()).collect();
        let started = Self::start_with(settings).await;
        started.unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same.
    ///
    /// # Errors
    /// If it does not start.
    pub(crate) async fn start_with(settings: Vec<String>) -> Result<Self, NotReady> {
        let home = fresh_home();
        let mut process = spawn(&home, &settings);
        let (server, port) = listening(&mut process, &settings).await?;
        Ok(Self {
            server,
            port,
            home,
            settings,
            process,
        })
    }

    /// Ends it as a power cut would. What it has stored stays.
    pub(crate) fn kill(&mut self) {
        let keep = self.home.join(format!("keep.{}", self.process.id()));
        std::fs::write(keep, "").expect("a mark that it is started again");
        self.process.kill();
    }

    /// Starts it again with what it had stored, at the address that its settings fix.
    pub(crate) async fn start_again(&mut self) {
        self.process = spawn(&self.home, &self.settings);
        let listening = listening(&mut self.process, &self.settings).await;
        let (_, port) = listening.unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(port, self.port);
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Does something as the administrator and expects it to work.
    pub(crate) async fn put(&self, path: &str, body: &Value) {
        let admin = admin();
        let headers = [("authorization", &*admin)];
        let asked = self.server.ask(Method::PUT, path, &headers, Some(body));
        let answer = asked.await;
        let said = answer.text();
        assert!(
            answer.status.is_success(),
            "PUT {path}: {} {said}",
            answer.status
        );
    }

    /// Stops it without closing anything (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// An internal user as the administrator sees it.
    pub(crate) async fn user(&self, name: &str) -> Option<Value> {
        let path = format!("{USERS}/{name}");
        let answer = self.server.get(&path, &[("authorization", &admin())]).await;
        match answer.status {
            StatusCode::OK => Some(answer.json()[name].clone()),
            StatusCode::NOT_FOUND => None,
            status => panic!("reading {name}: {status} {}", answer.text()),
        }
    }

    /// How many internal users there are whose names begin so.
    pub(crate) async fn users(&self, prefix: &str) -> usize {
        let answer = self.server.get(USERS, &[("authorization", &admin())]).await;
        let all = answer.json();
        let names = all.as_object().expect("users").keys();
        names.filter(|name| name.starts_with(prefix)).count()
    }

    /// Writes an internal user as the administrator; tried again while others write.
    pub(crate) async fn put_user(&self, name: &str, user: &Value) {
        let operations = json!([{ "op": "add", "path": format!("/{name}"), "value": user }]);
        self.patch(&operations).await;
    }

    /// Changes internal users as the administrator; tried again while others write.
    pub(crate) async fn patch(&self, operations: &Value) {
        let (admin, end) = (admin(), Instant::now() + Duration::from_mins(1));
        let headers = [("authorization", &*admin)];
        loop {
            let body = Some(operations);
            let answer = self.server.ask(Method::PATCH, USERS, &headers, body).await;
            if answer.status.is_success() {
                return;
            }
            assert!(
                answer.status == StatusCode::CONFLICT && Instant::now() < end,
                "{operations}: {} {}",
                answer.status,
                answer.text()
            );
            pause(Why::Again, Duration::from_millis(50)).await;
        }
    }

    /// Who a login is.
    pub(crate) async fn authenticate(&self, authorization: &str) -> Answer {
        self.server
            .get(AUTHINFO, &[("authorization", authorization)])
            .await
    }
}

fn fresh_home() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    folder().join(format!(
        "opensearch-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ))
}

fn spawn(home: &Path, settings: &[String]) -> Process {
    let kit = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kits/opensearch/run.sh");
    let mut run = command(kit);
    run.arg(part("opensearch"))
        .arg(home)
        .args(settings)
        .env("KIT_EPHEMERAL", "1")
        .stdin(Stdio::piped());
    Process::start("opensearch", &mut run)
}

/// Waits until it answers as it should, and says where.
async fn listening(process: &mut Process, settings: &[String]) -> Result<(Server, u16), NotReady> {
    let address = async |process: &Process| {
        let log = process.log();
        let line = log
            .lines()
            .find(|line| line.contains("HttpServerTransport]") && line.contains("publish"))?;
        let (_, rest) = line.split_once("publish_address {127.0.0.1:")?;
        rest.split_once('}')?.0.parse().ok()
    };
    let port: u16 = process.ready("its port", STARTS, address).await?;
    let server = Server::plain(port);
    let without_index = settings.iter().any(|it| it.contains("allow_default_init"));
    let expected = if without_index {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::OK
    };
    let answers = async |_: &Process| {
        let admin = admin();
        let headers = [("authorization", &*admin)];
        let answer = server.try_ask(Method::GET, AUTHINFO, &headers, None).await;
        (answer.ok()?.status == expected).then_some(())
    };
    process.ready("its users", STARTS, answers).await?;
    Ok((server, port))
}

/// `Authorization` of the administrator.
fn admin() -> String {
    basic("admin", PASSWORD)
}
