//! Users who have stayed away, in several clusters: each is pruned where they have stayed away, by
//! the rules of that cluster.

use super::asked;
use crate::support::{
    ports::Closed,
    process::command,
    stage::{GATEWAY_KEY, Plan, Stage},
    until,
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn, StoredUser},
    shutdown::Tasks,
};
use http::StatusCode;
use serde_json::json;
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

const LONG_AGO: &str = "2026-01-01/2026-01-03";

/// `default` and `other` are clusters, nobody listens for `dead`, and tenants have that of
/// `of_tenant`.
struct Scene {
    stage: Stage,
    other: StandIn,
    of_tenant: StandIn,
    dead: Closed,
}

impl Scene {
    /// With this in the section `other`, and with these general keys.
    async fn new(other_has: &str, general: &str) -> Self {
        let tasks = Tasks::default();
        let start = async || StandIn::start(&tasks).await.expect("a stand-in");
        let (cluster, other, of_tenant) = (start().await, start().await, start().await);
        let dead = Closed::new();
        let account = |cluster: &StandIn| {
            let password = cluster.service_password();
            format!("    username: {SERVICE_USER}\n    password: \"{password}\"\n")
        };
        let more = format!(
            "{general}clusters:\n  other:\n    hosts: [\"{}\"]\n{}    match: {{hosts: \
             [other.example.com]}}\n{other_has}  tenants:\n    hosts: \
             [\"http://127.0.0.{{tenant}}:{}\"]\n{}    match: {{hosts: \
             [\"{{tenant}}.es.example.com\"]}}\n  dead:\n    hosts: [\"{}\"]\n    username: a\n    \
             password: b\n    match: {{hosts: [dead.example.com]}}",
            other.url(),
            account(&other),
            of_tenant.addr().port(),
            account(&of_tenant),
            dead.url(),
        );
        let key = format!("{GATEWAY_KEY}\n");
        let plan = Plan {
            more: &more,
            files: &[("gateway.key", &key)],
            ..Plan::default()
        };
        Self {
            stage: Stage::before(cluster, tasks, plan).await,
            other,
            of_tenant,
            dead,
        }
    }

    /// Lets alice in, and adds users of this deployment there who have stayed away.
    async fn left_over(&self, host: &str, cluster: &StandIn, names: &[&str]) {
        let said = [("x-forwarded-host", host), ("x-forwarded-uri", "/")];
        let target = if host.is_empty() {
            "/elastauth/clusters/default"
        } else {
            "/elastauth"
        };
        let request = asked(target, if host.is_empty() { &[] } else { &said });
        let answer = self.stage.send(self.stage.gateway(), request).await;
        let log = self.stage.elastauth.log();
        assert_eq!(answer.status, StatusCode::OK, "{host}: {log}");
        let alice = cluster.user("alice").expect("alice");
        let key = &alice.metadata["elastauth"]["key"];
        for name in names {
            let mut user = StoredUser::new(name, "of-long-ago").with_roles(&["viewer"]);
            let marker = json!({
                "epoch": 7, "key": key, "provider": "authelia", "last_seen": LONG_AGO,
                "parked": true,
            });
            user.metadata.insert("elastauth".to_owned(), marker);
            cluster.set_user(user);
        }
    }

    fn arguments(&self, more: &[&str]) -> Vec<String> {
        let url = format!("http://127.0.0.1:{}", self.stage.elastauth.port());
        let where_to = ["--replica", &url, "--gateway-key-file", "gateway.key"];
        let all = [&["users", "prune", "--unseen", "30d"], more, &where_to].concat();
        all.into_iter().map(str::to_owned).collect()
    }

    async fn prune(&self, more: &[&str]) -> (Option<i32>, String) {
        let arguments = self.arguments(more);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = self.stage.elastauth.command(&arguments).await;
        let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
        self.stage.hold_secrets("a command", &said);
        (output.status.code(), said)
    }

    /// The same on a terminal, at which somebody types this.
    async fn typed(&self, text: &str) -> (Option<i32>, String) {
        let words = self.arguments(&["--cluster", "default"]);
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let program = format!(
            "'{}' --config '{}' {}",
            env!("CARGO_BIN_EXE_elastauth"),
            self.stage.elastauth.config().display(),
            words.join(" ")
        );
        let mut script = tokio::process::Command::from(command("script"));
        let mut child = script
            .current_dir(self.stage.elastauth.home())
            .args(["--quiet", "--return", "--command", &program, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("script");
        let mut keys = child.stdin.take().expect("keys");
        keys.write_all(text.as_bytes()).await.expect("typed");
        drop(keys);
        let output = child.wait_with_output().await.expect("an end");
        let said = String::from_utf8_lossy(&output.stdout).replace('\r', "\n");
        (output.status.code(), said)
    }
}

fn has(cluster: &StandIn, name: &str) -> bool {
    cluster.user(name).is_some()
}

#[tokio::test]
async fn users_are_pruned_where_they_have_stayed_away_and_a_dead_cluster_is_named() {
    let scene = Scene::new("", "").await;
    let (default, other) = (&scene.stage.cluster, &scene.other);
    scene.left_over("", default, &["ann", "both"]).await;
    let host = "other.example.com";
    scene.left_over(host, other, &["joe", "both"]).await;

    let (code, said) = scene.prune(&["--dry-run"]).await;
    for line in [
        "ann  default",
        "both  default",
        "both  other",
        "joe  other",
        "4 of 6 users have stayed away",
        "failed: dead: ",
    ] {
        assert!(said.contains(line), "no {line} in {said}");
    }
    assert_eq!(code, Some(1), "one cluster could not be asked: {said}");

    let (code, said) = scene.prune(&["--yes", "--cluster", "other"]).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("2 of 2 users deleted"), "{said}");
    assert!(!has(other, "joe") && !has(other, "both") && has(other, "alice"));
    assert!(has(default, "ann") && has(default, "both"));

    // The one that is away keeps nobody from the others.
    let (code, said) = scene.prune(&["--yes"]).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("2 of 2 users deleted") && said.contains("failed: dead: "),
        "{said}"
    );
    assert!(!has(default, "ann") && !has(default, "both") && has(default, "alice"));
    let (code, said) = scene.prune(&["--yes", "--cluster", "nowhere"]).await;
    assert_eq!(code, Some(1), "{said}");
    drop(scene.dead);
}

#[tokio::test]
async fn users_of_a_tenant_are_pruned_while_its_cluster_is_open() {
    let scene = Scene::new("", "").await;
    let of_tenant = ["--yes", "--cluster", "tenants/1"];
    let (code, said) = scene.prune(&of_tenant).await;
    assert!(
        code == Some(1) && said.contains("no tenant of this name is open"),
        "{said}"
    );
    let host = "1.es.example.com";
    scene.left_over(host, &scene.of_tenant, &["ann"]).await;
    scene.left_over("", &scene.stage.cluster, &["ann"]).await;
    let (_, said) = scene.prune(&["--dry-run"]).await;
    assert!(
        said.contains("ann  default") && said.contains("ann  tenants/1"),
        "{said}"
    );
    let (code, said) = scene.prune(&of_tenant).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 of 1 users deleted"), "{said}");
    assert!(!has(&scene.of_tenant, "ann") && has(&scene.of_tenant, "alice"));
    assert!(has(&scene.stage.cluster, "ann"));
}

#[tokio::test]
async fn on_a_terminal_it_asks_and_takes_nothing_but_yes() {
    let scene = Scene::new("", "").await;
    let default = &scene.stage.cluster;
    scene.left_over("", default, &["ann", "joe"]).await;
    let question = "2 of 3 users have stayed away for so long. Delete them? [y/N] ";
    for answer in ["n\n", "\n", "yes please\n", ""] {
        let (code, said) = scene.typed(answer).await;
        assert_eq!(code, Some(1), "{answer:?}: {said}");
        assert!(
            said.contains(question) && said.contains("Nobody is deleted."),
            "{answer:?}: {said}"
        );
        assert!(has(default, "ann") && has(default, "joe"), "{answer:?}");
    }
    let (code, said) = scene.typed("y\n").await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(question)
            && said.contains("2 of 2\n")
            && said.contains("2 of 2 users deleted, 0 kept, 0 failed."),
        "{said}"
    );
    assert!(!has(default, "ann") && !has(default, "joe") && has(default, "alice"));
}

#[tokio::test]
async fn prune_after_of_a_section_is_for_that_cluster_alone() {
    let rounds = "    credentials: {rotation: 6s, grace: 500ms, park: false}\n    users: \
                  {prune_after: 12s}\n";
    let scene = Scene::new(rounds, "enable_metrics: true\n").await;
    let default = &scene.stage.cluster;
    scene.left_over("", default, &["ann"]).await;
    let host = "other.example.com";
    scene.left_over(host, &scene.other, &["ann"]).await;
    until("ann is gone", || !has(&scene.other, "ann")).await;
    assert!(has(&scene.other, "alice"));
    let acted = async |cluster: &str| {
        let labels = format!("cluster=\"{cluster}\",action=\"prune_after\",result=\"done\"");
        let series = format!("elastauth_user_actions_total{{{labels}}}");
        scene.stage.number(&series).await
    };
    assert_eq!((acted("other").await, acted("default").await), (1, 0));
    assert!(has(default, "ann"));
    let log = scene.stage.elastauth.log();
    let line = "a user who stayed away was deleted cluster=\"other\"";
    assert!(log.contains(line), "{log}");
}

#[tokio::test]
async fn a_section_may_leave_out_what_the_others_do() {
    let general = "credentials: {rotation: 6s, grace: 500ms, park: false}\nusers: {prune_after: \
                   12s}\n";
    let scene = Scene::new("    users: {prune_after: 0}\n", general).await;
    let host = "other.example.com";
    scene.left_over(host, &scene.other, &["ann"]).await;
    let default = &scene.stage.cluster;
    scene.left_over("", default, &["ann"]).await;
    until("ann is gone", || !has(default, "ann")).await;
    // Another round of the one that makes them.
    scene.left_over("", default, &["joe"]).await;
    until("joe is gone", || !has(default, "joe")).await;
    assert!(has(&scene.other, "ann"));
    assert!(
        !scene
            .stage
            .elastauth
            .log()
            .contains("deleted cluster=\"other\"")
    );
}
