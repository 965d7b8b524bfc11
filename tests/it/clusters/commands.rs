//! `explain` and `check --online` with several clusters: each is named with what was found there.

use crate::support::{
    ports::Closed,
    stage::{GATEWAY_KEY, Plan, Stage},
    until,
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use http::StatusCode;
use serde_json::{Value, json};

/// `default` is Elasticsearch, `search` OpenSearch, and nobody listens for `dead`.
struct Scene {
    stage: Stage,
    search: StandIn,
    dead: Closed,
}

impl Scene {
    /// With this in the section `search`.
    async fn new(search_has: &str) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.expect("a stand-in");
        let search = StandIn::start_opensearch(&tasks).await;
        let (search, dead) = (search.expect("a stand-in"), Closed::new());
        let (url, password) = (search.url(), search.service_password());
        let more = format!(
            "enable_metrics: true\nclusters:\n  search:\n    hosts: [\"{url}\"]\n    username: \
             {SERVICE_USER}\n    password: \"{password}\"\n    match: {{hosts: \
             [search.example.com], paths: [/s]}}\n{search_has}\n  dead:\n    hosts: [\"{}\"]\n    \
             username: a\n    password: b\n    match: {{hosts: [dead.example.com]}}",
            dead.url()
        );
        let plan = Plan {
            more: &more,
            ..Plan::default()
        };
        let stage = Stage::before(cluster, tasks, plan).await;
        Self {
            stage,
            search,
            dead,
        }
    }

    /// Whether the command succeeds, and what it prints.
    async fn run(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.stage.elastauth.command(arguments).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        self.stage.hold_secrets("a command", &text);
        (output.status.success(), text)
    }

    async fn explain(&self, target: &[&str]) -> (bool, String) {
        let who = ["explain", "--user", "alice", "--groups", "dev", "--online"];
        self.run(&[&who[..], target].concat()).await
    }

    async fn checked(&self) -> (bool, Value) {
        let (ok, text) = self.run(&["check", "--online", "--json"]).await;
        // It asks more than the program does.
        self.stage.cluster.forget_calls();
        (ok, serde_json::from_str(&text).expect(&text))
    }
}

/// What was found about `what`, and whether that is good.
fn tried<'a>(report: &'a Value, what: &str) -> (bool, &'a str) {
    let all = report["tried"].as_array().expect("what was tried");
    let found = all
        .iter()
        .find(|it| it["what"].as_str().is_some_and(|it| it.contains(what)));
    let found = found.unwrap_or_else(|| panic!("no {what} in {report:#}"));
    let text = found["found"].as_str().expect("a text");
    (found["ok"] == true, text)
}

#[tokio::test]
async fn explain_chooses_as_a_request_does_and_says_which_it_is() {
    let scene = Scene::new("    group_mappings: {dev: [viewer]}\n    default_roles: []").await;
    for (target, cluster, roles) in [
        (
            &["--host", "search.example.com", "--path", "/s/x"][..],
            "search",
            json!(["viewer"]),
        ),
        (&["--cluster", "search"], "search", json!(["viewer"])),
        (
            &["--cluster", "default"],
            "default",
            json!(["editor", "viewer"]),
        ),
    ] {
        let (ok, text) = scene.explain(&[target, &["--json"]].concat()).await;
        assert!(ok, "{target:?}: {text}");
        let explained: Value = serde_json::from_str(&text).expect(&text);
        assert_eq!(explained["cluster_name"], cluster, "{explained:#}");
        let given = explained["roles"].as_array().expect("roles").iter();
        let mut given: Vec<&Value> = given.map(|it| it.get("role").unwrap_or(it)).collect();
        given.sort_by_key(ToString::to_string);
        assert_eq!(json!(given), roles, "{explained:#}");
        let (ok, text) = scene.explain(target).await;
        assert!(ok && text.contains(cluster), "{text}");
    }
    for target in [
        &["--host", "search.example.com", "--path", "/other"][..],
        &["--host", "search.example.com", "--path", "/s/../x"],
        &["--host", "other.example.com"],
        &["--cluster", "Search"],
    ] {
        let (ok, text) = scene.explain(target).await;
        let named = ["default", "search", "dead"];
        assert!(
            !ok && named.iter().all(|name| text.contains(name)),
            "{target:?}: {text}"
        );
    }
    // That one is away is said, and the explanation does not depend on it.
    let (_, text) = scene.explain(&["--cluster", "dead"]).await;
    assert!(text.contains("dead") && text.contains("refused"), "{text}");
    assert!(scene.search.user("alice").is_none(), "nothing is written");
}

#[tokio::test]
async fn a_check_tells_of_each_cluster_what_it_is_and_what_it_lacks() {
    let scene = Scene::new("    group_mappings: {dev: [no-such-role]}").await;
    let (ok, report) = scene.checked().await;
    assert!(!ok && report["ok"] == false);
    let (good, version) = tried(&report, &format!("{} version", scene.stage.cluster.url()));
    assert!(good && version.starts_with("elasticsearch"), "{version}");
    let (good, version) = tried(&report, &format!("{} version", scene.search.url()));
    assert!(good && version.starts_with("opensearch"), "{version}");
    let (good, roles) = tried(&report, &format!("{} roles", scene.search.url()));
    assert!(!good && roles.contains("no-such-role"), "{roles}");
    let (good, dead) = tried(&report, "cluster dead:");
    assert!(!good && dead.contains("no connection"), "{dead}");
    let failed = |report: &Value| {
        let all = report["tried"].as_array().expect("what was tried");
        all.iter().filter(|it| it["ok"] == false).count()
    };
    assert_eq!(failed(&report), 2, "{report:#}");

    // The same for people.
    let text = scene.run(&["check", "--online"]).await.1;
    scene.stage.cluster.forget_calls();
    for line in [
        "ok: cluster default:",
        "ok: cluster search:",
        "failed: cluster search:",
        "failed: cluster dead:",
        "2 of",
    ] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains("failed: cluster default"), "{text}");
    assert!(text.contains(scene.dead.url().as_str()), "{text}");
}

#[tokio::test]
async fn a_kind_that_is_not_the_clusters_own_is_an_error_in_log_readiness_and_check() {
    let words = "this is OpenSearch, and `kind: elasticsearch` is configured";
    let scene = Scene::new("    kind: elasticsearch").await;
    until(words, || {
        let log = scene.stage.elastauth.log();
        let mut lines = log.lines();
        lines.any(|line| {
            line.contains("ERROR") && line.contains("cluster=\"search\"") && line.contains(words)
        })
    })
    .await;
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let ready = scene.stage.gateway().get("/elastauth/ready", &key).await;
    assert_eq!(ready.status, StatusCode::OK);
    let clusters = &ready.json()["checks"]["clusters"];
    assert_eq!(clusters["default"], json!({ "status": "OK" }));
    let why = clusters["search"]["error"].as_str();
    assert!(why.is_some_and(|why| why.contains(words)), "{clusters}");
    let (ok, report) = scene.checked().await;
    let (good, account) = tried(&report, &format!("{} service account", scene.search.url()));
    assert!(!ok && !good && account.contains(words), "{account}");
}

#[tokio::test]
async fn the_other_way_round_it_is_an_error_too() {
    let words = "this is Elasticsearch, and `kind: opensearch` is configured";
    let stage = Stage::planned(Plan {
        elasticsearch: "  kind: opensearch",
        ..Plan::default()
    })
    .await;
    until(words, || {
        let log = stage.elastauth.log();
        let mut lines = log.lines();
        lines.any(|line| line.contains("ERROR") && line.contains(words))
    })
    .await;
}

#[tokio::test]
async fn decisions_are_counted_by_cluster() {
    let scene = Scene::new("").await;
    let ask = async |host: &str, path: &str| {
        let said = [("x-forwarded-host", host), ("x-forwarded-uri", path)];
        let request = super::asked("/elastauth", &said);
        let answer = scene.stage.send(scene.stage.gateway(), request).await;
        answer.status.as_u16()
    };
    assert_eq!(ask("search.example.com", "/s").await, 200);
    assert_eq!(ask("search.example.com", "/s").await, 200);
    assert_eq!(ask("dead.example.com", "/").await, 503);
    assert_eq!(ask("other.example.com", "/").await, 403);
    for (cluster, outcome, provider, count) in [
        ("search", "granted", "authelia", 2),
        ("dead", "cluster", "authelia", 1),
        ("dead", "granted", "authelia", 0),
        ("default", "granted", "authelia", 0),
        ("", "no_cluster", "none", 1),
    ] {
        let series = format!(
            "elastauth_decisions_total{{cluster=\"{cluster}\",outcome=\"{outcome}\",\
             provider=\"{provider}\"}}"
        );
        assert_eq!(scene.stage.number(&series).await, count, "{series}");
    }
}
