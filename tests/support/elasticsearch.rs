//! A real Elasticsearch node, one for all tests of a binary where possible.

use super::{
    http::{Answer, Server, basic},
    part,
    process::{NotReady, Process, command, folder, java_options},
    tls::Authority,
    wait::{Why, pause},
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// The password of `elastic`.
pub(crate) const PASSWORD: &str = "elastic-of-the-tests";

/// What a service account needs and no more, as the guide says.
const MINIMAL: [&str; 2] = [
    "cluster:admin/xpack/security/user/put",
    "cluster:admin/xpack/security/user/get",
];

/// The heap of a node that only has users.
const HEAP: &str = "384m";

#[derive(Debug)]
pub(crate) struct Elasticsearch {
    server: Server,
    port: u16,
    scheme: &'static str,
    home: PathBuf,
    settings: Vec<String>,
    heap: &'static str,
    /// The node ends with its stdin, so it ends with us even when nobody drops this: a static is
    /// never dropped.
    process: Process,
}

impl Elasticsearch {
    /// The node that the tests of this binary share. Each test uses names of its own.
    pub(crate) async fn shared() -> &'static Self {
        static NODE: OnceCell<Elasticsearch> = OnceCell::const_new();
        NODE.get_or_init(|| Self::start(None)).await
    }

    /// A node of its own, with TLS where a CA is given.
    pub(crate) async fn start(authority: Option<&Authority>) -> Self {
        let home = fresh_home();
        let mut settings = Vec::new();
        if let Some(authority) = authority {
            let signed = authority.sign();
            std::fs::create_dir_all(home.join("config")).expect("the node's config folder");
            std::fs::write(home.join("config/http.crt"), signed.certificate)
                .expect("the node's certificate");
            std::fs::write(home.join("config/http.key"), signed.key).expect("the node's key");
            settings.extend(
                ["enabled=true", "certificate=http.crt", "key=http.key"]
                    .map(|setting| format!("xpack.security.http.ssl.{setting}")),
            );
        }
        Self::start_at(home, settings, HEAP, authority)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// A node of its own with these settings.
    pub(crate) async fn start_with(settings: Vec<String>) -> Result<Self, NotReady> {
        Self::start_at(fresh_home(), settings, HEAP, None).await
    }

    /// A node of its own that takes documents of 100 MB.
    pub(crate) async fn start_large() -> Self {
        // The document is held some four times while it is indexed.
        let settings = vec!["indexing_pressure.memory.limit=2g".to_owned()];
        Self::start_at(fresh_home(), settings, "2500m", None)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    }

    async fn start_at(
        home: PathBuf,
        settings: Vec<String>,
        heap: &'static str,
        authority: Option<&Authority>,
    ) -> Result<Self, NotReady> {
        let mut process = spawn(&home, &settings, heap);
        let port = port_of(&mut process).await?;
        let server = Server::plain(port);
        let server = if let Some(authority) = authority {
            server.with_tls(authority.client())
        } else {
            server
        };
        secured(&mut process, &server).await?;
        Ok(Self {
            server,
            port,
            scheme: if authority.is_some() { "https" } else { "http" },
            home,
            settings,
            heap,
            process,
        })
    }

    /// Ends it as a power cut would. What it has stored stays.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again with what it had stored, at the address that its settings fix.
    pub(crate) async fn start_again(&mut self) {
        self.start_again_with(&[]).await;
    }

    /// The same with further settings for this time.
    pub(crate) async fn start_again_with(&mut self, further: &[&str]) {
        let settings: Vec<String> = self
            .settings
            .iter()
            .cloned()
            .chain(further.iter().map(|one| (*one).to_owned()))
            .collect();
        self.process = spawn(&self.home, &settings, self.heap);
        let port = port_of(&mut self.process).await;
        assert_eq!(port.unwrap_or_else(|why| panic!("{why}")), self.port);
    }

    /// Stops it without closing anything (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// How to ask it.
    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// A table for people, without its last line end.
    pub(crate) async fn cat(&self, path: &str) -> String {
        let answer = self.server.get(path, &[("authorization", &admin())]).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.text().trim().to_owned()
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its base URL.
    pub(crate) fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// Does something as the administrator and expects it to work.
    pub(crate) async fn put(&self, path: &str, body: &Value) -> Value {
        self.put_body(path, Some(body)).await
    }

    /// Deletes something as the administrator.
    pub(crate) async fn delete(&self, path: &str) {
        let answer = self
            .server
            .ask(Method::DELETE, path, &[("authorization", &admin())], None)
            .await;
        assert!(
            answer.status.is_success(),
            "DELETE {path}: {} {}",
            answer.status,
            answer.text()
        );
    }

    async fn put_body(&self, path: &str, body: Option<&Value>) -> Value {
        let answer = self
            .server
            .ask(Method::PUT, path, &[("authorization", &admin())], body)
            .await;
        assert!(
            answer.status.is_success(),
            "PUT {path}: {} {}",
            answer.status,
            answer.text()
        );
        answer.json()
    }

    /// A native user as the administrator sees it; `path_name` is percent-encoded by the caller.
    pub(crate) async fn user(&self, path_name: &str) -> Option<Value> {
        let answer = self
            .server
            .get(
                &format!("/_security/user/{path_name}"),
                &[("authorization", &admin())],
            )
            .await;
        match answer.status {
            StatusCode::OK => answer
                .json()
                .as_object()
                .and_then(|users| users.values().next().cloned()),
            StatusCode::NOT_FOUND => None,
            status => panic!("reading {path_name}: {status} {}", answer.text()),
        }
    }

    /// A document of the security index as it is stored, hash included.
    pub(crate) async fn document(&self, id: &str) -> Value {
        let ask = async || {
            self.server
                .get(
                    &format!("/.security/_doc/{id}"),
                    &[("authorization", &admin())],
                )
                .await
        };
        let (mut answer, end) = (ask().await, Instant::now() + Duration::from_secs(20));
        // A cluster that has just lost its master asks it for a moment longer (502), and one that
        // has it back has its shards a moment later (503).
        while answer.status.is_server_error() && Instant::now() < end {
            pause(Why::Again, Duration::from_millis(200)).await;
            answer = ask().await;
        }
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
        answer.json()
    }

    /// Switches a user off, as an administrator does.
    pub(crate) async fn disable(&self, path_name: &str) {
        self.put_body(&format!("/_security/user/{path_name}/_disable"), None)
            .await;
    }

    /// Who a login is.
    pub(crate) async fn authenticate(&self, authorization: &str) -> Answer {
        self.server
            .get(
                "/_security/_authenticate",
                &[("authorization", authorization)],
            )
            .await
    }

    /// Makes a service account with the minimal role; returns its password.
    pub(crate) async fn service_account(&self, name: &str) -> String {
        let password = format!("password-of-{name}");
        self.service_account_with(name, &password).await;
        password
    }

    /// The same with this password.
    pub(crate) async fn service_account_with(&self, name: &str, password: &str) {
        self.put("/_security/role/elastauth", &json!({ "cluster": MINIMAL }))
            .await;
        self.put(
            &format!("/_security/user/{name}"),
            &json!({ "password": password, "roles": ["elastauth"] }),
        )
        .await;
    }

    /// Also lets this service account manage API keys.
    pub(crate) async fn may_manage_api_keys(&self, name: &str) {
        let cluster = json!({ "cluster": ["manage_api_key"] });
        self.put("/_security/role/elastauth-keys", &cluster).await;
        self.put(
            &format!("/_security/user/{name}"),
            &json!({ "roles": ["elastauth", "elastauth-keys"] }),
        )
        .await;
    }

    /// Makes an API key for the user of this login; returns its `Authorization`.
    pub(crate) async fn api_key_of(&self, login: &str) -> String {
        let (user, password) = super::http::pair(login);
        let body = json!({
            "grant_type": "password", "username": user, "password": password,
            "api_key": { "name": "theirs" },
        });
        let (path, admin) = ("/_security/api_key/grant", admin());
        let headers = [("authorization", &*admin)];
        let answer = self
            .server
            .ask(Method::POST, path, &headers, Some(&body))
            .await;
        let encoded = answer.json()["encoded"].as_str().map(str::to_owned);
        let encoded = encoded.unwrap_or_else(|| panic!("no key: {}", answer.text()));
        format!("ApiKey {encoded}")
    }

    /// Makes an API key with the minimal rights; returns its encoded form.
    pub(crate) async fn api_key(&self, name: &str) -> String {
        let body =
            json!({ "name": name, "role_descriptors": { "elastauth": { "cluster": MINIMAL } } });
        self.put("/_security/api_key", &body).await["encoded"]
            .as_str()
            .expect("an encoded key")
            .to_owned()
    }
}

fn fresh_home() -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    folder().join(format!(
        "node-{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    ))
}

fn spawn(home: &Path, settings: &[String], heap: &str) -> Process {
    let mut run =
        command(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kits/elasticsearch/run.sh"));
    run.arg(part("elasticsearch"))
        .arg(home)
        .args(settings)
        .stdin(Stdio::piped());
    run.env("JAVA", part("java/bin/java"))
        .env("JDK_JAVA_OPTIONS", java_options())
        .env("ELASTIC_PASSWORD", PASSWORD)
        .env("KIT_EPHEMERAL", "1")
        .env("KIT_HEAP", heap)
        .env("ES_JIT_LEVEL", "1");
    Process::start("elasticsearch", &mut run)
}

async fn port_of(process: &mut Process) -> Result<u16, NotReady> {
    let listening = async |process: &Process| {
        let log = process.log();
        log.lines()
            .find_map(|line| line.strip_prefix("node started, http on port "))?
            .parse()
            .ok()
    };
    process
        .ready("its port", Duration::from_mins(2), listening)
        .await
}

async fn secured(process: &mut Process, server: &Server) -> Result<(), NotReady> {
    let ready = async |_: &Process| {
        let path = "/_cluster/health/.security?wait_for_status=yellow&timeout=3s";
        let answer = server
            .try_ask(Method::GET, path, &[("authorization", &admin())], None)
            .await
            .ok()?;
        (answer.status == StatusCode::OK).then_some(())
    };
    process
        .ready("its security index", Duration::from_mins(1), ready)
        .await
}

/// `Authorization` of the administrator.
pub(crate) fn admin() -> String {
    basic("elastic", PASSWORD)
}
