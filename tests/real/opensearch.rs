//! elastauth as it is shipped against a real OpenSearch with its security plugin: what it writes,
//! what it refuses to touch, and what many first logins at once take.

use crate::support::{
    all_at_once,
    elastauth::Elastauth,
    http::Answer,
    opensearch::{ACCOUNT, Opensearch},
    until,
    wait::{Why, pause},
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::Instant;

const SECRET_KEY: &str = "5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847";

/// A password of nobody's, with the lowest cost.
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuY6FuFvtuFfUdzV6WsjkV6uoUKyCbX0O";

/// First logins that are made at once.
const AT_ONCE: usize = 64;

/// elastauth in front of a node. It is not told of which kind that is.
async fn elastauth(cluster: &Opensearch) -> Elastauth {
    let (name, password) = ACCOUNT;
    let config = format!(
        "listen: 127.0.0.1:0
trusted_proxies: [127.0.0.1/32]
secret_key: {SECRET_KEY}
group_mappings:
  readers: [viewer]
  editors: [editor]
  lost: [no-such-role]
users: {{new_per_minute: 1000000, writes_at_once: 64}}
elasticsearch:
  hosts: [\"{}\"]
  username: {name}
  password: {password}
",
        cluster.url()
    );
    Elastauth::start_anywhere(&config, &[]).await
}

async fn ask(elastauth: &Elastauth, user: &str, groups: &str) -> Answer {
    let headers = [
        ("remote-user", user),
        ("remote-groups", groups),
        ("remote-email", "x@example.org"),
        ("remote-name", "X Y"),
    ];
    elastauth.server().get("/elastauth", &headers).await
}

/// Asks until there is a grant: where a request has no time left it gets a 503, and the next one
/// finds the work done.
async fn granted(elastauth: &Elastauth, user: &str, groups: &str) -> String {
    let end = Instant::now() + Duration::from_mins(2);
    loop {
        let answer = ask(elastauth, user, groups).await;
        if answer.status == StatusCode::OK {
            return answer.header("authorization").unwrap().to_owned();
        }
        assert!(
            answer.status == StatusCode::SERVICE_UNAVAILABLE && Instant::now() < end,
            "{user}: {} {}\n{}",
            answer.status,
            answer.text(),
            elastauth.log()
        );
        pause(Why::Again, Duration::from_millis(100)).await;
    }
}

/// The same, and what the cluster says about the login.
async fn login(cluster: &Opensearch, elastauth: &Elastauth, user: &str, groups: &str) -> Value {
    let authorization = granted(elastauth, user, groups).await;
    let whoami = cluster.authenticate(&authorization).await;
    assert_eq!(whoami.status, StatusCode::OK, "{}", whoami.text());
    whoami.json()
}

#[tokio::test]
async fn a_first_login_makes_a_user_that_works_and_the_kind_is_found() {
    let cluster = Opensearch::shared().await;
    let elastauth = elastauth(cluster).await;
    let whoami = login(cluster, &elastauth, "first-alice", "readers, unmapped").await;
    assert_eq!(whoami["user_name"], "first-alice");
    assert_eq!(whoami["roles"], json!(["viewer"]));
    let user = cluster.user("first-alice").await.unwrap();
    assert_eq!(user["backend_roles"], json!([]), "a group is no role");
    assert_eq!(
        user["attributes"]["elastauth_groups"],
        r#"["readers","unmapped"]"#
    );
    let log = elastauth.log();
    let found = log
        .lines()
        .filter(|line| line.contains("the kind of the cluster is known"));
    assert_eq!(found.clone().count(), 1, "{log}");
    assert!(
        found.clone().all(|line| line.contains("opensearch")),
        "{log}"
    );

    let checked = elastauth.command(&["check", "--online"]).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{checked:?}");
    for expected in ["opensearch", "may read and write users", "cannot tell"] {
        assert!(said.contains(expected), "{expected}: {said}");
    }
    // The fresh user has no marker that a login could show, and is gone again.
    let trial = ["check", "--online", "--try-login"];
    let checked = elastauth.command(&trial).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.status.success() && said.contains("accepts a login that was just written"),
        "{checked:?}"
    );
    assert_eq!(cluster.users("elastauth-check-").await, 0);
    // Who is not there is removed without a word.
    cluster
        .patch(&json!([{ "op": "remove", "path": "/first-nobody" }]))
        .await;
}

#[tokio::test]
async fn changed_groups_count_at_the_very_next_request() {
    let cluster = Opensearch::shared().await;
    let elastauth = elastauth(cluster).await;
    for (groups, roles) in [
        ("readers", json!(["viewer"])),
        ("editors", json!(["editor"])),
        ("readers", json!(["viewer"])),
    ] {
        let whoami = login(cluster, &elastauth, "change-alice", groups).await;
        assert_eq!(whoami["roles"], roles);
    }
}

#[tokio::test]
async fn a_locked_user_is_refused_and_stays_locked() {
    let cluster = Opensearch::shared().await;
    let elastauth = elastauth(cluster).await;
    login(cluster, &elastauth, "locked-alice", "readers").await;
    let lock = json!([
        { "op": "add", "path": "/locked-alice/attributes/elastauth_locked", "value": "true" },
        { "op": "add", "path": "/locked-alice/hash", "value": "!" },
    ]);
    cluster.patch(&lock).await;
    // Other groups make elastauth look at the user again; so does a start.
    let refused = ask(&elastauth, "locked-alice", "editors").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    let again = self::elastauth(cluster).await;
    let refused = ask(&again, "locked-alice", "readers").await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text());
    let user = cluster.user("locked-alice").await.unwrap();
    assert_eq!(user["attributes"]["elastauth_locked"], "true");
    // Without the lock the next request writes a login that works. It goes to a replica that has
    // refused nobody: a refusal is remembered for a second.
    let unlock = json!([{ "op": "remove", "path": "/locked-alice/attributes/elastauth_locked" }]);
    cluster.patch(&unlock).await;
    let third = self::elastauth(cluster).await;
    login(cluster, &third, "locked-alice", "readers").await;
}

#[tokio::test]
async fn users_of_others_are_not_touched() {
    let cluster = Opensearch::shared().await;
    let elastauth = elastauth(cluster).await;
    let foreign = json!({ "hash": HASH, "opendistro_security_roles": ["editor"] });
    cluster.put_user("foreign-bob", &foreign).await;
    let before = cluster.user("foreign-bob").await;
    for name in [
        "foreign-bob",
        "kit-reserved",
        "kit-hidden",
        "admin",
        "50%",
        "_meta",
    ] {
        let refused = ask(&elastauth, name, "readers").await;
        assert_eq!(
            refused.status,
            StatusCode::FORBIDDEN,
            "{name}: {}",
            refused.text()
        );
        assert!(refused.header("authorization").is_none(), "{name}");
    }
    assert_eq!(cluster.user("foreign-bob").await, before);
}

#[tokio::test]
async fn a_role_that_the_cluster_does_not_have_is_named_and_holds_back_nobody() {
    let cluster = Opensearch::shared().await;
    let elastauth = elastauth(cluster).await;
    let logins = (0..20).map(async |n| {
        if n == 7 {
            let refused = ask(&elastauth, "lost-alice", "lost").await;
            assert!(refused.status.is_server_error(), "{}", refused.status);
        } else {
            login(cluster, &elastauth, &format!("lost-{n}"), "readers").await;
        }
    });
    all_at_once(logins).await;
    let named = || elastauth.log().contains("no role `no-such-role`");
    until("the role is named", named).await;
    assert!(cluster.user("lost-alice").await.is_none());
}

#[tokio::test]
async fn a_replica_that_starts_later_needs_no_write() {
    let cluster = Opensearch::shared().await;
    let first = elastauth(cluster).await;
    let authorization = granted(&first, "replica-alice", "readers").await;
    let second = elastauth(cluster).await;
    assert_eq!(
        granted(&second, "replica-alice", "readers").await,
        authorization
    );
}

#[tokio::test]
async fn without_its_security_index_the_cluster_is_down() {
    let settings = ["plugins.security.allow_default_init_securityindex=false"];
    let cluster = Opensearch::start(&settings).await;
    let elastauth = elastauth(&cluster).await;
    let answer = ask(&elastauth, "early-alice", "readers").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let named = || {
        elastauth
            .log()
            .contains("security index of this OpenSearch")
    };
    until("the log names it", named).await;
    let ready = elastauth.server().get("/elastauth/ready", &[]).await;
    // Known users are answered without the cluster, so the replica stays in service.
    assert_eq!(ready.status, StatusCode::OK, "{}", ready.text());
    let said = ready.json();
    assert_eq!(said["status"], "DEGRADED");
    let why = said["checks"]["elasticsearch"]["error"].as_str();
    assert!(
        why.is_some_and(|why| why.contains("security index")),
        "{said}"
    );
}

/// First logins of so many users, [`AT_ONCE`] at once, shared out among the replicas; prints how
/// long they take.
async fn first_logins(cluster: &Opensearch, replicas: &[Elastauth], prefix: &str, users: usize) {
    let (next, slowest) = (AtomicUsize::new(0), Mutex::new(Duration::ZERO));
    let begun = Instant::now();
    let clients = (0..AT_ONCE).map(async |_| {
        loop {
            let user = next.fetch_add(1, Ordering::Relaxed);
            if user >= users {
                return;
            }
            let asked = Instant::now();
            let elastauth = &replicas[user % replicas.len()];
            granted(elastauth, &format!("{prefix}-{user}"), "readers").await;
            let mut slowest = slowest.lock().unwrap();
            *slowest = (*slowest).max(asked.elapsed());
        }
    });
    all_at_once(clients).await;
    println!(
        "{users} first logins, {AT_ONCE} at once, {} replica(s): {:.1} s, the slowest {:.1} s",
        replicas.len(),
        begun.elapsed().as_secs_f64(),
        slowest.into_inner().unwrap().as_secs_f64()
    );
    for elastauth in replicas {
        let log = elastauth.log();
        assert!(!log.contains("answered 409"), "{log}");
    }
    assert_eq!(cluster.users(&format!("{prefix}-")).await, users);
}

// On a node of its own: each write makes all other writers of a node try again.
#[tokio::test]
async fn a_thousand_first_logins_at_once_succeed_and_nobody_sees_a_conflict() {
    let cluster = &Opensearch::start(&[]).await;
    let one = [elastauth(cluster).await];
    first_logins(cluster, &one, "many", 1_000).await;
    let two = [elastauth(cluster).await, elastauth(cluster).await];
    first_logins(cluster, &two, "both", 1_000).await;
    // One user of each, at both.
    for user in ["both-0", "both-1"] {
        let same = (
            granted(&two[0], user, "readers").await,
            granted(&two[1], user, "readers").await,
        );
        assert_eq!(same.0, same.1);
    }
}
