//! A reload adds, changes and removes clusters under the running program.

use crate::support::{
    find,
    http::Answer,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    until,
};
use elastauth::internals::{
    demo::standin::{Endpoint, Fault, Misbehaviour, SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use http::{StatusCode, header};
use std::time::Duration;

/// A failure is remembered for a second, and a late write takes effect after some.
const WITHIN: Duration = Duration::from_secs(20);

const IN_FORCE: &str = "the configuration has changed and is in force";
const NOT_APPLIED: &str = "a change is not applied before a restart of elastauth";

fn section(name: &str, cluster: &StandIn, rules: &str) -> String {
    let (url, password) = (cluster.url(), cluster.service_password());
    format!(
        "  {name}: {{hosts: [\"{url}\"], username: {SERVICE_USER}, password: \"{password}\", \
         match: {{hosts: [{name}.example]}}, {rules}}}\n"
    )
}

async fn at(stage: &Stage, name: &str) -> Answer {
    let host = format!("{name}.example");
    let headers = [
        ("remote-user", &b"alice"[..]),
        ("remote-groups", b"dev"),
        ("x-forwarded-host", host.as_bytes()),
        ("x-forwarded-uri", b"/"),
    ];
    stage
        .send(stage.gateway(), question("/elastauth", &headers))
        .await
}

fn accepts(cluster: &StandIn, answer: &Answer) -> bool {
    let login = answer.headers.get(header::AUTHORIZATION);
    login.is_some_and(|login| cluster.accepts(login))
}

fn roles(cluster: &StandIn) -> Vec<String> {
    cluster
        .user("alice")
        .map(|user| user.roles)
        .unwrap_or_default()
}

/// Calls about users.
fn calls(cluster: &StandIn) -> usize {
    let calls = cluster.calls();
    calls.iter().filter(|call| !call.is_check()).count()
}

async fn says(stage: &Stage, text: &str, times: usize) {
    until(text, || {
        stage.elastauth.log().matches(text).count() >= times
    })
    .await;
}

#[tokio::test]
async fn clusters_come_change_and_go_while_another_one_stays_as_it_is() {
    let tasks = Tasks::default();
    let start = async || StandIn::start(&tasks).await.expect("a stand-in");
    let (cluster, one, two, third) = (start().await, start().await, start().await, start().await);
    let of_one = section("one", &one, "group_mappings: {dev: [editor]}");
    let more = format!("clusters:\n{of_one}");
    let plan = Plan {
        more: &more,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks.clone(), plan).await;
    assert!(accepts(&one, &at(&stage, "one").await));
    assert_eq!(at(&stage, "two").await.status, StatusCode::FORBIDDEN);
    let known = calls(&one);

    // One more.
    let of_two = section("two", &two, "group_mappings: {dev: [ingest_admin]}");
    stage
        .elastauth
        .edit(|config| config.replace(&of_one, &format!("{of_one}{of_two}")));
    says(&stage, IN_FORCE, 1).await;
    assert!(accepts(&two, &at(&stage, "two").await));
    assert!(roles(&two).contains(&"ingest_admin".to_owned()));

    // Other rules count for the next request of a known user.
    let other_rules = of_two.replace("ingest_admin", "reader");
    stage
        .elastauth
        .edit(|config| config.replace(&of_two, &other_rules));
    says(&stage, IN_FORCE, 2).await;
    assert!(accepts(&two, &at(&stage, "two").await));
    assert!(roles(&two).contains(&"reader".to_owned()));

    // What would make administrators waits for a restart.
    let widened = other_rules.replace("reader", "superuser");
    stage
        .elastauth
        .edit(|config| config.replace(&other_rules, &widened));
    says(&stage, NOT_APPLIED, 1).await;
    assert!(accepts(&two, &at(&stage, "two").await));
    assert!(!roles(&two).contains(&"superuser".to_owned()));

    // Other nodes are another cluster.
    let moved = section("two", &third, "group_mappings: {dev: [reader]}");
    stage
        .elastauth
        .edit(|config| config.replace(&widened, &moved));
    says(&stage, IN_FORCE, 3).await;
    assert!(accepts(&third, &at(&stage, "two").await));

    // All of this was nothing to the first one.
    assert!(accepts(&one, &at(&stage, "one").await));
    assert_eq!(calls(&one), known);

    stage.elastauth.edit(|config| config.replace(&of_one, ""));
    says(&stage, IN_FORCE, 4).await;
    assert_eq!(at(&stage, "one").await.status, StatusCode::FORBIDDEN);
    assert!(accepts(&third, &at(&stage, "two").await));
}

#[tokio::test]
async fn an_added_cluster_that_opens_a_way_in_waits_for_a_restart() {
    let tasks = Tasks::default();
    let start = async || StandIn::start(&tasks).await.expect("a stand-in");
    let (cluster, one, two) = (start().await, start().await, start().await);
    let of_one = section("one", &one, "group_mappings: {dev: [editor]}");
    let more = format!("clusters:\n{of_one}");
    let plan = Plan {
        more: &more,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks.clone(), plan).await;
    let open = section("two", &two, "default_roles: [superuser]");
    stage
        .elastauth
        .edit(|config| config.replace(&of_one, &format!("{of_one}{open}")));
    says(&stage, NOT_APPLIED, 1).await;
    assert_eq!(at(&stage, "two").await.status, StatusCode::FORBIDDEN);
    assert!(accepts(&one, &at(&stage, "one").await));
    assert_eq!(calls(&two), 0);
    let narrow = section("two", &two, "group_mappings: {dev: [superuser]}");
    stage
        .elastauth
        .edit(|config| config.replace(&open, &narrow));
    says(&stage, IN_FORCE, 1).await;
    assert!(accepts(&two, &at(&stage, "two").await));
}

#[tokio::test]
async fn the_cluster_that_tenants_share_gets_a_new_password_by_reload() {
    let tasks = Tasks::default();
    let start = async || StandIn::start(&tasks).await.expect("a stand-in");
    let (cluster, one) = (start().await, start().await);
    let of_one = section(
        "{tenant}",
        &one,
        "group_mappings: {dev: [\"{tenant}_reader\"]}",
    )
    .replace("  {tenant}: ", "  tenants: ")
    .replace("[{tenant}.example]", "[\"{tenant}.example\"]");
    let right = format!("clusters:\n{of_one}");
    let password = one.service_password();
    let wrong = right.replace(&format!("\"{password}\""), "\"not the password\"");
    assert_ne!(right, wrong);
    let plan = Plan {
        more: &wrong,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks.clone(), plan).await;
    stage
        .elastauth
        .edit(|config| config.replace(&wrong, &right));
    says(&stage, IN_FORCE, 1).await;
    let answer = at(&stage, "acme").await;
    assert!(accepts(&one, &answer), "{}", stage.elastauth.log());
    assert!(roles(&one).contains(&"acme_reader".to_owned()));
}

/// How long after it was sent a write takes effect: after the reload, and after the next answer.
const LATE: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_write_of_before_a_reload_is_noticed_by_the_cluster_that_takes_its_place() {
    let tasks = Tasks::default();
    let start = async || StandIn::start(&tasks).await.expect("a stand-in");
    let (cluster, one) = (start().await, start().await);
    let rules = "group_mappings: {dev: [reader], ops: [ingest_admin]}";
    let of_one = section("one", &one, rules);
    let home = tempfile::tempdir().expect("a folder");
    let more = format!(
        "cache: {{type: file, path: {:?}}}\nclusters:\n{of_one}",
        home.path().join("cache").display().to_string()
    );
    let plan = Plan {
        more: &more,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks.clone(), plan).await;
    let late = Fault::new(Endpoint::Write, Misbehaviour::LateWrite(LATE));
    one.fault(late.about("alice").times(1));
    let as_admin = [
        ("remote-user", &b"alice"[..]),
        ("remote-groups", b"ops"),
        ("x-forwarded-host", b"one.example"),
        ("x-forwarded-uri", b"/"),
    ];
    let answer = stage
        .send(stage.gateway(), question("/elastauth", &as_admin))
        .await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    // Another cluster to elastauth, and the same to everybody else.
    let again = of_one.replace(rules, &format!("{rules}, users: {{adopt: never}}"));
    stage
        .elastauth
        .edit(|config| config.replace(&of_one, &again));
    says(&stage, IN_FORCE, 1).await;
    assert!(stage.elastauth.log().contains("a cluster was added"));
    let first = find("alice is a reader", WITHIN, async || {
        let answer = at(&stage, "one").await;
        accepts(&one, &answer).then_some(answer)
    });
    first.await;
    let is_admin = || roles(&one).contains(&"ingest_admin".to_owned());
    assert!(!is_admin());
    until("the late write takes effect", is_admin).await;
    find("it is noticed", WITHIN, async || {
        let answer = at(&stage, "one").await;
        (accepts(&one, &answer) && !is_admin()).then_some(())
    })
    .await;
    // The file of the ledger has gone over to it.
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let ready = stage.gateway().get("/elastauth/ready", &key).await.json();
    assert_eq!(ready["checks"]["cache"]["status"], "OK", "{ready}");
    let log = stage.elastauth.log();
    assert!(!log.contains("another process has the folder"), "{log}");
}

#[tokio::test]
async fn limits_of_writes_are_applied_and_the_cluster_stays() {
    let tasks = Tasks::default();
    let start = async || StandIn::start(&tasks).await.expect("a stand-in");
    let (cluster, one) = (start().await, start().await);
    let rules = "group_mappings: {dev: [reader]}, users: {new_per_minute: 1}";
    let of_one = section("one", &one, rules);
    let more = format!("clusters:\n{of_one}");
    let plan = Plan {
        more: &more,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks.clone(), plan).await;
    assert!(accepts(&one, &at(&stage, "one").await));
    let ask = async |user: &str| {
        let headers = [
            ("remote-user", user.as_bytes()),
            ("remote-groups", b"dev"),
            ("x-forwarded-host", b"one.example"),
            ("x-forwarded-uri", b"/"),
        ];
        stage
            .send(stage.gateway(), question("/elastauth", &headers))
            .await
    };
    assert_eq!(ask("bob").await.status, StatusCode::SERVICE_UNAVAILABLE);
    let limits = "new_per_minute: 600, writes_per_minute: 20, writes_at_once: 2";
    stage
        .elastauth
        .edit(|config| config.replace("new_per_minute: 1", limits));
    says(&stage, IN_FORCE, 1).await;
    let known = calls(&one);
    assert!(accepts(&one, &at(&stage, "one").await));
    assert_eq!(calls(&one), known, "alice is known still");
    find("bob is written", WITHIN, async || {
        accepts(&one, &ask("bob").await).then_some(())
    })
    .await;
    let log = stage.elastauth.log();
    assert!(!log.contains("a cluster was added"), "{log}");
}
