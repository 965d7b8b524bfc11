//! Proxy mode with the clients that people have: the official ones in Python and JavaScript, a
//! writer like a Beat, and curl, against a real Elasticsearch and a real OpenSearch.

use crate::support::{
    elastauth::Elastauth,
    elasticsearch::Elasticsearch,
    find,
    idp::Idp,
    opensearch::{ACCOUNT, Opensearch},
    part,
    process::command,
};
use http::StatusCode;
use serde_json::json;
use std::{path::Path, process::Command, time::Duration};
use tempfile::TempDir;

const SECRET_KEY: &str = "7e9b3c15d2f84a60b1c7e5d9083f6a24c5e1b7d09a3f4c8e62d1b0a97f5e3c48";

/// The largest document that a node with default settings takes, less what is around it.
const LARGE_BYTES: usize = 100_000_000;

/// What a client sends along, as JSON: who may write, and who may only read.
struct People {
    editor: String,
    viewer: String,
}

impl People {
    /// By identity headers, as a gateway in front sends them.
    fn by_headers(prefix: &str) -> Self {
        let headers = |user: &str, group: &str| {
            let user = format!("{prefix}-{user}");
            json!({ "remote-user": user, "remote-groups": group }).to_string()
        };
        Self {
            editor: headers("alice", "editors"),
            viewer: headers("bob", "readers"),
        }
    }

    /// By tokens, as programs without a gateway in front have them.
    fn by_tokens(idp: &Idp) -> Self {
        let headers = |user: &str, group: &str| {
            let token = idp.token(|claims| {
                claims["preferred_username"] = json!(user);
                claims["sub"] = json!(user);
                claims["groups"] = json!([group]);
            });
            json!({ "authorization": format!("Bearer {token}") }).to_string()
        };
        Self {
            editor: headers("token-alice", "editors"),
            viewer: headers("token-bob", "readers"),
        }
    }
}

pub(super) async fn proxy(
    cluster: &str,
    (name, password): (&str, &str),
    roles: &str,
    more: &str,
) -> Elastauth {
    let config = format!(
        "listen: 127.0.0.1:0
trusted_proxies: [127.0.0.1/32]
secret_key: {SECRET_KEY}
proxy: {{enabled: true, timeout: 2m}}
{roles}
elasticsearch:
  hosts: [\"{cluster}\"]
  username: {name}
  password: {password}
{more}"
    );
    Elastauth::start_anywhere(&config, &[]).await
}

/// Elasticsearch, and a proxy in front of it that takes headers and tokens.
async fn before_elasticsearch(account: &str, idp: &Idp) -> (Elasticsearch, Elastauth) {
    let cluster = Elasticsearch::start_large().await;
    let password = cluster.service_account(account).await;
    let roles = [
        (
            "session_editor",
            json!({ "cluster": ["monitor"], "indices": [
            { "names": ["logs-*"], "privileges": ["all"] }] }),
        ),
        (
            "session_viewer",
            json!({ "indices": [
            { "names": ["logs-*"], "privileges": ["read"] }] }),
        ),
    ];
    for (name, role) in roles {
        cluster.put(&format!("/_security/role/{name}"), &role).await;
    }
    let roles = "group_mappings: {editors: [session_editor], readers: [session_viewer]}";
    let more = format!(
        "auth_provider: [oidc, authelia]\noidc: {{issuer: \"{}\", client_id: elastauth}}\n",
        idp.issuer
    );
    let elastauth = proxy(&cluster.url(), (account, &password), roles, &more).await;
    (cluster, elastauth)
}

pub(super) async fn before_opensearch() -> (&'static Opensearch, Elastauth) {
    let cluster = Opensearch::shared().await;
    let role = json!({
        "cluster_permissions": ["cluster_composite_ops", "cluster_monitor", "manage_point_in_time",
            "indices:data/read/scroll*"],
        "index_permissions": [
            { "index_patterns": ["logs-*"], "allowed_actions": ["indices_all"] }
        ],
    });
    cluster
        .put("/_plugins/_security/api/roles/session_editor", &role)
        .await;
    let roles = "group_mappings: {editors: [session_editor], readers: [viewer]}";
    let elastauth = proxy(&cluster.url(), ACCOUNT, roles, "").await;
    // The first write to a cold node may take longer than a request waits.
    for (user, groups) in [("clients-alice", "editors"), ("clients-bob", "readers")] {
        let headers = [("remote-user", user), ("remote-groups", groups)];
        find("a login", Duration::from_mins(1), async || {
            let answer = elastauth.server().get("/logs-none", &headers).await;
            (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(())
        })
        .await;
    }
    (cluster, elastauth)
}

fn kit(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/kits/clients")
        .join(file)
}

fn python(library: &str, client: &str) -> Command {
    let mut python = command(part("python/bin/python"));
    python
        .arg(kit("session.py"))
        .env("PYTHONPATH", part("clients").join(library))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("CLIENT", client);
    python
}

fn javascript(client: &str) -> Command {
    let mut node = command(part("node"));
    node.arg(kit("session.mjs"))
        .env("CLIENTS_PART", part("clients"))
        .env("CLIENT", client);
    node
}

/// Runs a session to its end; what it has printed.
async fn session(
    mut program: Command,
    elastauth: &Elastauth,
    people: &People,
    index: &str,
) -> String {
    program
        .env("URL", format!("http://127.0.0.1:{}", elastauth.port()))
        .env("INDEX", format!("logs-{index}"))
        .env("EDITOR", &people.editor)
        .env("VIEWER", &people.viewer);
    let output = tokio::process::Command::from(program)
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_mins(4), output)
        .await
        .expect("a session ends")
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{index}\n{said}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        elastauth.log()
    );
    assert!(said.contains("ok"), "{index}: {said}");
    said
}

#[tokio::test]
async fn official_clients_run_a_session_on_elasticsearch() {
    let idp = Idp::start().await;
    let (_cluster, elastauth) = before_elasticsearch("svc-clients", &idp).await;
    let large = LARGE_BYTES.to_string();
    let by_headers = People::by_headers("clients");
    let by_tokens = People::by_tokens(&idp);
    let mut eight = python("elasticsearch-8", "elasticsearch");
    eight.env("LARGE_BYTES", &large);
    let said = session(eight, &elastauth, &by_headers, "py8").await;
    assert!(
        said.contains(&format!("ok a document of {LARGE_BYTES} bytes")),
        "{said}"
    );
    let nine = python("elasticsearch-9", "elasticsearch");
    session(nine, &elastauth, &by_tokens, "py9").await;
    let javascript = javascript("elasticsearch");
    session(javascript, &elastauth, &by_tokens, "js").await;
    let mut beat = command(part("python/bin/python"));
    beat.arg(kit("bulk_writer.py"));
    session(beat, &elastauth, &by_headers, "beat").await;
    curl(&elastauth).await;
}

#[tokio::test]
async fn official_clients_run_a_session_on_opensearch() {
    let (_cluster, elastauth) = before_opensearch().await;
    let people = People::by_headers("clients");
    session(
        python("opensearch", "opensearch"),
        &elastauth,
        &people,
        "os-py",
    )
    .await;
    session(javascript("opensearch"), &elastauth, &people, "os-js").await;
    let mut beat = command(part("python/bin/python"));
    beat.arg(kit("bulk_writer.py"));
    session(beat, &elastauth, &people, "os-beat").await;
}

/// What people type, with a body that curl announces first (`Expect: 100-continue`).
async fn curl(elastauth: &Elastauth) {
    let folder = TempDir::new().unwrap();
    let body = folder.path().join("document.json");
    let text = json!({ "text": "x".repeat(3_000_000) }).to_string();
    std::fs::write(&body, &text).unwrap();
    let url = format!("http://127.0.0.1:{}", elastauth.port());
    let run = async |arguments: &[&str]| {
        let mut curl = command("curl");
        curl.args([
            "-sS",
            "--max-time",
            "60",
            "-H",
            "Remote-User: clients-carol",
        ]);
        curl.args(["-H", "Remote-Groups: editors", "-w", "\n%{http_code}"]);
        curl.args(arguments);
        let output = tokio::process::Command::from(curl).output().await.unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let (answer, status) = said.rsplit_once('\n').expect("a status");
        (answer.to_owned(), status.to_owned())
    };
    let document = format!("{url}/logs-curl/_doc/1");
    let file = format!("@{}", body.display());
    let json = "content-type: application/json";
    let sent = [
        "-XPUT",
        "-H",
        json,
        "-H",
        "expect: 100-continue",
        "--data-binary",
        &file,
        &document,
    ];
    assert_eq!(run(&sent).await.1, "201");
    let (found, status) = run(&["--compressed", &format!("{url}/logs-curl/_source/1")]).await;
    assert_eq!((found.as_str(), status.as_str()), (&*text, "200"));
    assert_eq!(run(&["-I", &document]).await.1, "200");
    assert_eq!(
        run(&[&format!("{url}/logs-curl/_doc/nobody")]).await.1,
        "404"
    );
    let from_stdin = [
        "-T",
        &body.to_string_lossy(),
        "-H",
        json,
        "-H",
        "transfer-encoding: chunked",
    ];
    let second = format!("{url}/logs-curl/_doc/2");
    assert_eq!(run(&[&from_stdin[..], &[&second]].concat()).await.1, "201");
    assert_eq!(
        run(&["-XDELETE", &format!("{url}/logs-curl")]).await.1,
        "200"
    );
}
