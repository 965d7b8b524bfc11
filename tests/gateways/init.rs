//! What `elastauth init` writes, on the real gateways: the program with its configuration, the
//! gateway with its files, and a cluster with TLS behind both. Only ports and `/etc/<gateway>/` are
//! replaced.

use crate::{
    application::Application,
    client::{Client, Reply},
    draft::Draft,
    gateway,
    message::Message,
    support::{
        authelia::Authelia,
        elastauth::Elastauth,
        free_port, part, ports,
        process::{NotReady, Process, command},
        tls::Authority,
    },
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

const HOST: &str = "es.example.org";
const KIBANA: &str = "kb.example.org";
const PORTAL: &str = "login.example.org";

/// A gateway with the files of a folder.
struct Started {
    client: Client,
    process: Process,
    _home: TempDir,
}

impl Started {
    async fn get(&self, host: &str, path: &str, cookie: &str) -> Message {
        let mut draft = Draft::get(host, path);
        draft.line("Accept: application/json");
        draft.line(&format!("Cookie: {cookie}"));
        self.client.send(&draft).await.answer()
    }
}

/// All files below a folder, with `/`.
fn files(folder: &Path, below: &str) -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of init") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let name = format!("{below}{name}");
        if path.is_dir() {
            found.extend(files(&path, &format!("{name}/")));
        } else {
            found.push((name, path));
        }
    }
    found
}

async fn start(name: &'static str, made: &Path) -> Result<Started, NotReady> {
    let (home, authority) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let (port, plain, inner) = (free_port(), free_port(), free_port());
    let here = |port: u16| format!("127.0.0.1:{port}");
    let of_envoy = |host: &str, port: u16| format!("address: {host}, port_value: {port}}}");
    let replace: Vec<(String, String)> = match name {
        "traefik" => vec![
            ("\":443\"".to_owned(), format!("\"{}\"", here(port))),
            ("\":80\"".to_owned(), format!("\"{}\"", here(plain))),
        ],
        "caddy" => vec![
            ("/var/lib/caddy/".to_owned(), etc.clone()),
            ("http_port 80".to_owned(), format!("http_port {plain}")),
            ("https_port 443".to_owned(), format!("https_port {port}")),
            (":443 {".to_owned(), format!(":{port} {{")),
            ("0.0.0.0 [::]".to_owned(), "127.0.0.1".to_owned()),
        ],
        "nginx" => vec![
            ("/run/nginx.pid".to_owned(), format!("{etc}nginx.pid")),
            ("/var/log/nginx/".to_owned(), etc.clone()),
            ("/var/cache/nginx/".to_owned(), etc.clone()),
            ("listen 443".to_owned(), format!("listen {}", here(port))),
            ("listen 80".to_owned(), format!("listen {}", here(plain))),
            ("127.0.0.1:8089".to_owned(), here(inner)),
        ],
        "haproxy" => vec![
            ("bind :443".to_owned(), format!("bind {}", here(port))),
            ("bind :80".to_owned(), format!("bind {}", here(plain))),
            (
                "abns@forward-auth".to_owned(),
                format!("abns@forward-auth-{port}"),
            ),
        ],
        "envoy" => vec![
            (of_envoy("0.0.0.0", 443), of_envoy("127.0.0.1", port)),
            (of_envoy("0.0.0.0", 80), of_envoy("127.0.0.1", plain)),
            // `localhost` may be `::1` as well, where nobody listens.
            (
                "type: STRICT_DNS".to_owned(),
                "type: STRICT_DNS\n      dns_lookup_family: V4_ONLY".to_owned(),
            ),
        ],
        _ => panic!("{name} is no gateway"),
    };
    for (file, path) in files(&made.join("gateway"), "") {
        let mut text = fs::read_to_string(path).expect("a file of init");
        text = text.replace(&format!("/etc/{name}/"), &etc);
        for (from, to) in &replace {
            text = text.replace(from, to);
        }
        let target = home.path().join(&file);
        fs::create_dir_all(target.parent().expect("a folder")).expect("a folder");
        fs::write(target, text).expect("a file of the gateway");
    }
    let mut program = program(name, &etc);
    if let Ok(variables) = fs::read_to_string(made.join("secrets/gateway.env")) {
        let (variable, key) = variables.trim().split_once('=').expect("a variable");
        program.env(variable, key);
    }
    let client = Client::new(port, authority.client());
    let mut process = Process::start(name, &mut program);
    let draft = Draft::get(HOST, "/ready");
    // 404 is Traefik's answer as long as it has not read its routers.
    let answers = async |_: &Process| match client.send(&draft).await {
        Reply::Answer(answer) if answer.status() != 404 => Some(()),
        Reply::Answer(_) | Reply::Closed | Reply::Silent => None,
    };
    process
        .ready("its first answer", Duration::from_secs(20), answers)
        .await?;
    Ok(Started {
        client,
        process,
        _home: home,
    })
}

fn program(name: &str, etc: &str) -> Command {
    let mut program = command(part(name));
    match name {
        "traefik" => program.arg(format!("--configfile={etc}traefik.yml")),
        "caddy" => program
            .args(["run", "--config", &format!("{etc}Caddyfile")])
            .envs(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, etc))),
        "nginx" => program
            .args(["-p", etc, "-c", &format!("{etc}nginx.conf"), "-e", "stderr"])
            .args(["-g", "daemon off; master_process off;"]),
        "haproxy" => program.args(["-db", "-f", &format!("{etc}haproxy.cfg")]),
        _ => program
            .args(["-c", &format!("{etc}envoy.yaml"), "--use-dynamic-base-id"])
            .args(["--concurrency", "2", "-l", "warning"]),
    };
    program
}

async fn lets_a_user_in(name: &'static str, over_tls: bool) {
    let tasks = Tasks::default();
    let authority = Authority::new();
    let cluster = if over_tls {
        StandIn::start_tls(&tasks, authority.sign_for(&["localhost"]).server()).await
    } else {
        StandIn::start(&tasks).await
    };
    let cluster = cluster.expect("a stand-in");
    let (authelia, kibana) = (Authelia::start().await, Application::start().await);
    let desk = tempfile::tempdir().expect("a folder");
    fs::write(desk.path().join("ca.pem"), authority.pem()).expect("a CA");

    let port = free_port();
    let mut init = command(env!("CARGO_BIN_EXE_elastauth"));
    init.current_dir(desk.path())
        .args(["init", "made", "--gateway", name, "--run", "binary"])
        .args(["--provider", "authelia", "--host", HOST])
        .args(["--kibana-host", KIBANA, "--auth-host", PORTAL])
        .args(["--authelia", &format!("127.0.0.1:{}", authelia.port)])
        .args(["--kibana", &format!("127.0.0.1:{}", kibana.port)])
        .args(["--elastauth", &format!("127.0.0.1:{port}")]);
    if over_tls {
        let url = format!("https://localhost:{}", cluster.addr().port());
        init.args(["--cluster", &url])
            .args(["--cluster-ca", "ca.pem"]);
    } else {
        init.args(["--cluster", &cluster.url()]);
    }
    let output = init.output().expect("elastauth init");
    assert!(output.status.success(), "{output:?}");
    let made = desk.path().join("made");
    // The account that service-account.sh makes; the test `real` runs that.
    fs::write(
        made.join("secrets/elasticsearch_password"),
        cluster.service_password(),
    )
    .expect("the password");
    let config = fs::read_to_string(made.join("config.yml")).expect("the configuration");
    let _elastauth = Elastauth::start_anywhere(&config, &[]).await;
    let gateway = ports::started(async || start(name, &made).await).await;

    let cookie = authelia.sign_in("alice", "search-readers");
    let answer = gateway.get(HOST, "/_security/_authenticate", &cookie).await;
    let log = gateway.process.log();
    assert_eq!(answer.status(), 200, "{}: {log}", answer.text());
    assert!(answer.text().contains("\"alice\""), "{}", answer.text());
    let answer = gateway.get(KIBANA, "/app", &cookie).await;
    assert_eq!((answer.status(), kibana.count()), (200, 1), "{log}");
    let answer = gateway
        .get(HOST, "/_security/_authenticate", "none=1")
        .await;
    assert!([302, 401].contains(&answer.status()), "{}", answer.status());

    if over_tls {
        // Another CA: the gateway verifies the cluster.
        let other = Authority::new().pem();
        fs::write(made.join("gateway/elasticsearch-ca.pem"), other).expect("another CA");
        let gateway = ports::started(async || start(name, &made).await).await;
        let answer = gateway.get(HOST, "/_security/_authenticate", &cookie).await;
        let status = answer.status();
        assert!(
            [500, 502, 503].contains(&status),
            "{status}: {}",
            answer.text()
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_traefik_lets_a_user_in() {
    lets_a_user_in("traefik", false).await;
    lets_a_user_in("traefik", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_caddy_lets_a_user_in() {
    lets_a_user_in("caddy", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_nginx_lets_a_user_in() {
    lets_a_user_in("nginx", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_haproxy_lets_a_user_in() {
    lets_a_user_in("haproxy", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_for_envoy_lets_a_user_in() {
    lets_a_user_in("envoy", true).await;
}
