//! A real browser behind proxy mode, with no gateway at all: it is sent to sign in, comes back with
//! its token in a cookie, and loads a page like Kibana's, which fetches, uploads, reads a long
//! answer as it comes and opens a WebSocket.

pub(super) mod server;

use crate::support::{
    elastauth::Elastauth,
    idp::Idp,
    process::{Process, command},
    tls::Authority,
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use serde_json::{Value, json};
use server::{Application, SignIn};
use std::{path::Path, time::Duration};
use tempfile::TempDir;

/// A browser starts slowly beside other builds.
const LOADED: Duration = Duration::from_mins(2);

/// The program of Debian's package. What is in `PATH` is a shell around it, which would end alone.
const PROGRAM: &str = "/usr/lib/chromium/chromium-headless-shell";

struct Scene {
    application: Application,
    sign_in: SignIn,
    elastauth: Elastauth,
    cluster: StandIn,
    _idp: Idp,
    _tasks: Tasks,
}

impl Scene {
    /// elastauth speaks TLS to its clients if it has a certificate.
    async fn new(authority: Option<&Authority>) -> Self {
        let (tasks, idp) = (Tasks::default(), Idp::start().await);
        let cluster = StandIn::start(&tasks).await.unwrap();
        let application = Application::start().await;
        let sign_in = SignIn::start(idp.token(|_| {})).await;
        let own = authority.map(Authority::sign);
        let tls = match own {
            Some(_) => "tls: {cert: /etc/elastauth/tls.crt, key: /etc/elastauth/tls.key}\n",
            None => "",
        };
        let config = format!(
            "listen: 127.0.0.1:0\n{tls}proxy: {{enabled: true}}\ntrusted_proxies: []\n\
             secret_key: 4be1c07d5a9f4e2c8d36b1f0a7925ce86d3f1b4a90c7e25f8a61d3b09e74c5f2\n\
             auth_provider: oidc\nlogin_url: \"http://localhost:{}/?rd={{url}}\"\n\
             oidc: {{issuer: \"{}\", client_id: elastauth}}\n\
             group_mappings: {{dev: [editor]}}\n\
             elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n  \
             upstreams:\n    - {{name: kibana, url: \"http://127.0.0.1:{}\", match: {{hosts: \
             [localhost]}}}}\n",
            sign_in.port,
            idp.issuer,
            cluster.url(),
            cluster.service_password(),
            application.port,
        );
        let files = own.iter().flat_map(|own| {
            let files = [("tls.crt", &own.certificate), ("tls.key", &own.key)];
            files.map(|(name, text)| (name, text.as_str()))
        });
        let files: Vec<(&str, &str)> = files.collect();
        let elastauth = Elastauth::start_anywhere(&config, &files).await;
        Self {
            application,
            sign_in,
            elastauth,
            cluster,
            _idp: idp,
            _tasks: tasks,
        }
    }

    /// Opens the page and waits for what it says of itself.
    async fn opened(&self, scheme: &str) -> Value {
        let home = TempDir::new().unwrap();
        let url = format!(
            "{scheme}://localhost:{}/app/home?q=a%2Fb",
            self.elastauth.port()
        );
        let mut browser = chromium(home.path(), &url);
        let reported = async |_: &Process| self.application.report();
        let report = browser
            .wait_for("a report of the page", LOADED, reported)
            .await;
        browser.terminate(Duration::from_secs(20)).await;
        report
    }
}

/// A browser that opens this page, with a profile of its own.
fn chromium(home: &Path, url: &str) -> Process {
    let mut browser = command(PROGRAM);
    browser
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            // Of this machine alone: nothing is looked up elsewhere.
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1",
            "--ignore-certificate-errors",
            "--remote-debugging-port=0",
        ])
        .arg(format!("--user-data-dir={}", home.display()))
        .env("HOME", home)
        .arg(url);
    Process::start("chromium", &mut browser)
}

/// What the page has to see, however it is carried.
fn assert_all_works(scene: &Scene, report: &Value) {
    let log = scene.elastauth.log();
    assert_eq!(report["errors"], json!([]), "{report:#} {log}");
    for (what, expected) in [
        ("query", json!("?q=a%2Fb")),
        ("script", json!(true)),
        ("style", json!("rgb(1, 2, 3)")),
        ("user", json!("alice")),
        ("upload", json!(1_000_000)),
        ("stream", json!("0123456789")),
        ("missing", json!(404)),
        // It answers 401 with a challenge, which a browser would ask its user about.
        ("refused", json!([401, null])),
        ("websocket", json!("alice: hello from the page")),
        // The page's own script cannot see it.
        ("cookie", json!("theme=dark")),
    ] {
        assert_eq!(report[what], expected, "{what}: {report:#} {log}");
    }
    assert_eq!(scene.cluster.user("alice").unwrap().roles, ["editor"]);
    // Once to sign in, and never again.
    let asked = scene.sign_in.asked();
    assert_eq!(asked.len(), 1, "{asked:?}");
    for login in scene.application.logins() {
        assert!(scene.cluster.accepts(&login.parse().unwrap()), "{login}");
    }
    for head in scene.application.heads() {
        assert!(!head.contains("access_token"), "{head}");
        assert!(head.contains("cookie: theme=dark\r\n"), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_and_all_that_it_does_works_behind_proxy_mode() {
    let scene = Scene::new(None).await;
    let report = scene.opened("http").await;
    assert_all_works(&scene, &report);
}

/// Then the browser speaks HTTP/2, and its WebSocket HTTP/1.1.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_works_over_http_2_too() {
    let authority = Authority::new();
    let scene = Scene::new(Some(&authority)).await;
    let report = scene.opened("https").await;
    assert_all_works(&scene, &report);
    let heads = scene.application.heads();
    let of_2 = |head: &&String| head.contains("via: 2 elastauth");
    assert!(heads.iter().filter(of_2).count() > 5, "{heads:#?}");
    assert_eq!(report["protocol"], "h2", "{report:#}");
}
