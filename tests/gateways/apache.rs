//! The Caddy of the guide for Apache. Apache itself is not run here; its file says in headers who
//! the user is, and so does this.

use crate::{
    caddy::CADDY,
    gateway::{self, Form, GATEWAY_KEY, KIBANA, Parties},
    stage::Stage,
    support::{
        free_port, guide,
        http::Server,
        part, ports,
        process::{NotReady, Process, command},
    },
};
use std::time::Duration;
use tempfile::TempDir;

const PORTAL_KEY: &str = "5f0c8d6b2e9a4471b3d7";

struct Behind {
    _process: Process,
    _home: TempDir,
    server: Server,
}

/// `portal_key` is what Caddy's environment has.
async fn start_once(stage: &Stage, portal_key: Option<&str>) -> Result<Behind, NotReady> {
    let (home, _) = gateway::home();
    let etc = format!("{}/", home.path().display());
    let port = free_port();
    let sites = guide::file(
        "apache/Caddyfile",
        &[
            ("/etc/caddy/", &etc),
            ("/var/lib/caddy/", &etc),
            (":8080", &format!(":{port}")),
        ],
    );
    let shared = guide::file("caddy/elastauth.caddy", &[("/etc/caddy/", &etc)]);
    let parties = Parties {
        authelia: stage.authelia.port,
        elastauth: stage.elastauth.port(),
        elasticsearch: stage.elasticsearch.port,
        kibana: stage.kibana.port,
        wiki: stage.wiki.port,
    };
    for (name, text) in [("Caddyfile", sites), ("elastauth.caddy", shared)] {
        gateway::write(home.path(), name, &parties.addresses(text));
    }
    let mut caddy = command(part("caddy"));
    caddy
        .args(["run", "--config", &format!("{etc}Caddyfile")])
        .env("GATEWAY_KEY", GATEWAY_KEY)
        .envs(portal_key.map(|key| ("PORTAL_KEY", key)))
        .envs(["HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"].map(|name| (name, &etc)));
    let mut process = Process::start("caddy-behind-apache", &mut caddy);
    let server = Server::plain(port).host(KIBANA);
    let answers = async |_: &Process| {
        let answer = server.try_ask(http::Method::GET, "/ready", &[], None).await;
        answer.ok().map(drop)
    };
    process
        .ready("its first answer", Duration::from_secs(20), answers)
        .await?;
    Ok(Behind {
        _process: process,
        _home: home,
        server,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_apache_says_who_a_user_is() {
    let stage = Stage::new(&CADDY, Form::Authelia).await;
    let is_alice = [
        ("x-portal-user", "alice"),
        ("x-portal-groups", "search-readers"),
        ("x-forwarded-proto", "https"),
    ];
    let key = ("x-portal-key", PORTAL_KEY);
    let with_key = [&is_alice[..], &[key]].concat();

    let behind = ports::started(async || start_once(&stage, Some(PORTAL_KEY)).await).await;
    let before = stage.arrived();
    for more in [
        &[][..],
        &[("x-portal-key", "guess")],
        &[("x-portal-key", "")],
    ] {
        let headers = [&is_alice[..], more].concat();
        let answer = behind.server.get("/app", &headers).await;
        assert_eq!(answer.status, 403, "{more:?}");
    }
    // Apache has signed nobody in.
    let nobody = behind.server.get("/app", &[key]).await;
    assert_eq!(nobody.status, 401);
    let claims = [
        key,
        ("remote-user", "mallory"),
        ("remote-groups", "search-admins"),
    ];
    assert_eq!(behind.server.get("/app", &claims).await.status, 401);
    assert_eq!(stage.arrived(), before);

    let answer = behind.server.get("/app", &with_key).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let record = stage.kibana.record(answer.header("x-record").unwrap());
    let record = record.unwrap();
    stage.judge(&record, "alice").unwrap();
    assert_eq!(record.header("x-portal-user"), None);
    assert_eq!(record.header("x-portal-key"), None);

    // Without the variable nobody is Apache.
    let behind = ports::started(async || start_once(&stage, None).await).await;
    for key in ["", PORTAL_KEY, "{env.PORTAL_KEY}"] {
        let headers = [&is_alice[..], &[("x-portal-key", key)]].concat();
        let answer = behind.server.get("/app", &headers).await;
        assert_eq!(answer.status, 403, "{key:?}");
    }
}
