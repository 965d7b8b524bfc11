//! Users who stay away are parked: a login of a period that is over works for nobody.

use crate::support::{
    Why, find,
    http::Answer,
    pause,
    stage::{Plan, Stage},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StoredUser};
use http::StatusCode;
use serde_json::{Value, json};
use std::time::Duration;

/// A period of six seconds, with a look through the users every half second.
const SHORT: &str = "credentials: {rotation: 6s, grace: 500ms, park_within: 2s}\n\
                     enable_metrics: true\n\
                     audit: {path: /etc/elastauth/audit.jsonl}\n";
const PARKED: &str = "elastauth_parked_users_total{cluster=\"default\"}";
const SCANS: &str = "elastauth_parking_scans_total{cluster=\"default\",result=\"complete\"}";

fn planned(more: &str) -> Plan<'_> {
    Plan {
        more,
        ..Plan::default()
    }
}

fn marker(stage: &Stage, user: &str) -> Value {
    let user = stage.cluster.user(user).expect("a user");
    user.metadata["elastauth"].clone()
}

fn is_parked(stage: &Stage, user: &str) -> bool {
    marker(stage, user)["parked"] == true
}

fn written(stage: &Stage, user: &str) -> usize {
    stage.called(&format!("PUT /_security/user/{user}?"))
}

/// Waits until the replica has looked through all users so often.
async fn looked(stage: &Stage, more: u64) {
    let end = stage.number(SCANS).await + more;
    let seen = async || (stage.number(SCANS).await >= end).then_some(());
    find("looks through the users", Duration::from_secs(20), seen).await;
}

/// A user with a login of a period that was over long ago, under the key of this deployment.
fn left_over(stage: &Stage, name: &str, change: impl FnOnce(&mut StoredUser)) {
    let key = marker(stage, "alice")["key"].clone();
    let mut user = StoredUser::new(name, "of-a-period-that-is-over").with_roles(&["viewer"]);
    let marker = json!({ "epoch": 7, "key": key, "provider": "authelia" });
    user.metadata.insert("groups".to_owned(), json!(["dev"]));
    user.metadata.insert("elastauth".to_owned(), marker);
    change(&mut user);
    stage.cluster.set_user(user);
}

fn mark(user: &mut StoredUser, name: &str, value: Value) {
    let marker = user.metadata["elastauth"].as_object_mut();
    marker.expect("a marker").insert(name.to_owned(), value);
}

#[tokio::test]
async fn whoever_stays_away_is_parked_after_the_period_and_gets_in_again() {
    let stage = Stage::planned(planned(SHORT)).await;
    let first = stage.ask("alice", "dev").await;
    assert!(stage.works(&first));
    until("alice is parked", || is_parked(&stage, "alice")).await;
    assert!(!stage.works(&first), "the login of the last period is dead");
    let alice = stage.cluster.user("alice").unwrap();
    assert_eq!(alice.roles, ["editor", "viewer"]);
    assert_eq!(alice.metadata["groups"], json!(["dev"]));
    assert!(alice.enabled);
    assert_eq!(written(&stage, "alice"), 2);
    // The event is written after the cluster's answer.
    until("the audit stream has it", || {
        let audit = stage.elastauth.file("audit.jsonl");
        audit.contains("user_parked")
    })
    .await;
    let audit = stage.elastauth.file("audit.jsonl");
    let lines = audit.lines().filter(|line| line.contains("user_parked"));
    let lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 1, "{audit}");
    assert_eq!(
        (&lines[0]["user"], &lines[0]["provider"], &lines[0]["roles"]),
        (
            &json!("alice"),
            &json!("authelia"),
            &json!(["editor", "viewer"])
        )
    );
    assert_eq!(stage.number(PARKED).await, 1);
    until("the log has it", || {
        stage
            .elastauth
            .log()
            .contains("users who stayed away were parked")
    })
    .await;

    // Parked once: neither the looks that follow nor the next period change anything.
    let epoch = marker(&stage, "alice")["epoch"].clone();
    looked(&stage, 14).await;
    assert_eq!(
        (written(&stage, "alice"), &marker(&stage, "alice")["epoch"]),
        (2, &epoch)
    );

    let again = stage.ask("alice", "dev").await;
    assert!(stage.works(&again), "{}", stage.elastauth.log());
    assert!(!is_parked(&stage, "alice"));
    assert_ne!(again.header("authorization"), first.header("authorization"));
    until("alice is parked again", || is_parked(&stage, "alice")).await;
    assert!(!stage.works(&again));
    assert_eq!(written(&stage, "alice"), 4);
}

/// The write stays pending in memory until the user's next request, and none comes.
#[tokio::test]
async fn whoever_leaves_after_a_write_that_failed_is_parked_too() {
    let stage = Stage::planned(planned(SHORT)).await;
    let first = stage.ask("alice", "dev").await;
    assert!(stage.works(&first));
    stage.cluster.fault(Fault::new(
        Endpoint::Write,
        Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE),
    ));
    assert_eq!(stage.ask("alice", "ops").await.status, 503);
    stage.cluster.clear_faults();
    until("alice is parked", || is_parked(&stage, "alice")).await;
    assert!(!stage.works(&first), "the login of the last period is dead");
}

#[tokio::test]
async fn users_who_are_not_ours_to_end_are_left_alone() {
    let stage = Stage::planned(planned(SHORT)).await;
    stage.ask("alice", "dev").await;
    left_over(&stage, "disabled", |user| user.enabled = false);
    left_over(&stage, "foreign", |user| {
        drop(user.metadata.remove("elastauth"));
    });
    left_over(&stage, "neighbours", |user| {
        mark(user, "key", json!("AAAAAAAA"));
    });
    left_over(&stage, "parked", |user| mark(user, "parked", json!(true)));
    left_over(&stage, "of-old", |user| mark(user, "epoch", Value::Null));
    left_over(&stage, "control", |_| {});
    until("the control is parked", || is_parked(&stage, "control")).await;
    looked(&stage, 4).await;
    for user in ["disabled", "foreign", "neighbours", "parked", "of-old"] {
        let calls = stage.calls();
        let theirs = calls
            .iter()
            .filter(|call| call.contains(&format!("/user/{user}")));
        assert_eq!(theirs.count(), 0, "{user}: {calls:?}");
    }
}

#[tokio::test]
async fn what_is_changed_between_the_look_and_the_write_counts() {
    let stage = Stage::planned(planned(SHORT)).await;
    stage.ask("alice", "dev").await;
    // Each look is a second old when it is there.
    let late = Misbehaviour::AppliedThenDelay(Duration::from_secs(1));
    stage.cluster.fault(Fault::new(Endpoint::Query, late));
    looked(&stage, 1).await;
    for name in ["edited", "disabled", "deleted", "adopted"] {
        left_over(&stage, name, |_| {});
    }
    stage.cluster.forget_calls();
    until("a look", || stage.called("POST /_security/_query/user") > 0).await;
    left_over(&stage, "edited", |user| {
        user.roles = vec!["editor".to_owned()];
        user.email = Some("e@example.org".to_owned());
    });
    assert!(stage.cluster.set_enabled("disabled", false));
    assert!(stage.cluster.remove_user("deleted"));
    left_over(&stage, "adopted", |user| {
        mark(user, "subject", json!("another"));
    });
    until("the edited one is parked", || is_parked(&stage, "edited")).await;
    let edited = stage.cluster.user("edited").unwrap();
    assert_eq!(
        (edited.roles, edited.email.as_deref()),
        (vec!["editor".to_owned()], Some("e@example.org"))
    );
    looked(&stage, 2).await;
    assert!(!stage.cluster.user("disabled").unwrap().enabled);
    assert_eq!(written(&stage, "disabled") + written(&stage, "deleted"), 0);
    assert!(stage.cluster.user("deleted").is_none());
    // The other user of that name is found by the next look.
    until("the new one is parked", || is_parked(&stage, "adopted")).await;
    assert_eq!(marker(&stage, "adopted")["subject"], "another");
}

#[tokio::test]
async fn nobody_is_parked_where_it_is_off_and_where_nothing_is_written() {
    for (more, elasticsearch) in [
        ("credentials: {rotation: 3s, grace: 500ms, park: false}", ""),
        ("credentials: {rotation: 0}", ""),
        (
            "credentials: {rotation: 3s, grace: 500ms, park_within: 2s}",
            "  dry_run: true",
        ),
    ] {
        let stage = Stage::planned(Plan {
            elasticsearch,
            more,
            ..Plan::default()
        })
        .await;
        let login = stage.ask("alice", "dev").await;
        assert_eq!(login.status, StatusCode::OK);
        pause(Why::NothingHappens, Duration::from_secs(6)).await;
        let calls = stage.calls();
        assert!(
            !calls
                .iter()
                .any(|call| call.contains("_query") || call.contains("/user?")),
            "{more}: {calls:?}"
        );
        assert_eq!(stage.works(&login), elasticsearch.is_empty(), "{more}");
    }
}

#[tokio::test]
async fn users_left_over_from_before_the_start_are_parked() {
    let mut before = Stage::planned(planned(SHORT)).await;
    let login = before.ask("alice", "dev").await;
    before.elastauth.kill();
    pause(Why::Expires, Duration::from_secs(6)).await;
    assert!(before.works(&login), "nobody has ended it");
    let stage = before.replica(planned(SHORT)).await;
    until("alice is parked", || is_parked(&stage, "alice")).await;
    assert!(!stage.works(&login));
}

#[tokio::test]
async fn an_older_cluster_and_an_account_without_the_right_to_pages_give_all_users_at_once() {
    let stage = Stage::planned(planned(SHORT)).await;
    stage.ask("alice", "dev").await;
    for status in [
        StatusCode::FORBIDDEN,
        StatusCode::BAD_REQUEST,
        StatusCode::METHOD_NOT_ALLOWED,
    ] {
        stage.cluster.clear_faults();
        stage
            .cluster
            .fault(Fault::new(Endpoint::Query, Misbehaviour::Status(status)));
        let name = format!("after-{}", status.as_u16());
        left_over(&stage, &name, |_| {});
        until("they are parked", || is_parked(&stage, &name)).await;
    }
    assert!(stage.called("GET /_security/user?") > 0);
    let log = stage.elastauth.log();
    assert!(
        !log.contains("list users") && !log.contains("parking"),
        "{log}"
    );
}

#[tokio::test]
async fn a_cluster_that_refuses_or_is_away_is_reported_and_asked_again() {
    let warned = |stage: &Stage, text: &str| {
        let log = stage.elastauth.log();
        let lines = log.lines().filter(|line| line.contains("WARN"));
        lines.filter(|line| line.contains(text)).count()
    };
    let stage = Stage::planned(planned(SHORT)).await;
    stage.ask("alice", "dev").await;
    for at in [Endpoint::Query, Endpoint::ReadAll] {
        stage
            .cluster
            .fault(Fault::new(at, Misbehaviour::Status(StatusCode::FORBIDDEN)));
    }
    left_over(&stage, "left-over", |_| {});
    until("a warning", || {
        warned(&stage, "does not let the service account list users") > 0
    })
    .await;
    let failed = "elastauth_parking_scans_total{cluster=\"default\",result=\"failed\"}";
    let often = async || (stage.number(failed).await >= 6).then_some(());
    find("further looks", Duration::from_secs(20), often).await;
    assert_eq!(warned(&stage, "list users"), 1, "once is enough");
    assert!(!is_parked(&stage, "left-over"));

    stage.cluster.clear_faults();
    for at in [Endpoint::Write, Endpoint::Read] {
        let away = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
        stage.cluster.fault(Fault::new(at, away));
    }
    until("a warning", || {
        warned(&stage, "a user cannot be parked") > 0
    })
    .await;
    looked(&stage, 3).await;
    assert_eq!(
        warned(&stage, "a user cannot be parked"),
        1,
        "once a minute"
    );
    stage.cluster.clear_faults();
    until("they are parked", || is_parked(&stage, "left-over")).await;
}

/// Whoever was not there before is parked by nobody: one look is enough, although with so little
/// time slots are always open.
#[tokio::test]
async fn new_users_are_not_looked_at_again() {
    const NEW: usize = 12;
    let stage = Stage::planned(planned(SHORT)).await;
    for n in 0..NEW {
        assert!(stage.works(&stage.ask(&format!("new-{n}"), "dev").await));
    }
    // One more is the proof after the first write of the process, and a boundary adds some on a
    // busy machine. A second look at each would be twice as many at least.
    let looks = stage.called("GET /_security/_authenticate");
    assert!((NEW..2 * NEW).contains(&looks), "{:?}", stage.calls());
}

/// Without a store between them, replicas do not hear of each other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_share_the_work_and_whoever_is_active_is_never_refused() {
    const AWAY: usize = 12;
    let first = Stage::planned(planned(SHORT)).await;
    let second = first.replica(planned(SHORT)).await;
    for n in 0..AWAY {
        assert!(first.works(&first.ask(&format!("away-{n}"), "dev").await));
    }
    let away = || (0..AWAY).map(|n| format!("away-{n}"));
    let mut used = 0;
    find("all are parked", Duration::from_secs(20), async || {
        for n in 0..4 {
            for replica in [&first, &second] {
                let answer: Answer = replica.ask(&format!("active-{n}"), "dev").await;
                assert!(
                    replica.works(&answer),
                    "active-{n}: {}",
                    replica.elastauth.log()
                );
                used += 1;
            }
        }
        away().all(|user| is_parked(&first, &user)).then_some(())
    })
    .await;
    assert!(used > 40, "{used}");
    for user in away() {
        let writes = written(&first, &user);
        assert!(
            (2..=3).contains(&writes),
            "{user} was written {writes} times"
        );
    }
    let parked = first.number(PARKED).await + second.number(PARKED).await;
    assert!((12..=24).contains(&parked), "{parked}");
}
