//! Users who have stayed away are deleted: by `elastauth users prune`, and by `users.prune_after`.

use crate::support::{
    find,
    process::command,
    stage::{GATEWAY_KEY, Plan, Stage},
    until,
};
use elastauth::internals::{
    demo::standin::{Endpoint, Fault, InternalUser, Misbehaviour, StandIn, StoredUser},
    shutdown::Tasks,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{
    process::{Output, Stdio},
    time::Duration,
};

const AUDITED: &str = "enable_metrics: true\naudit: {path: /etc/elastauth/audit}";
const LONG_AGO: &str = "2026-01-01/2026-01-03";
/// Looks every half second.
const ROUNDS: &str = "enable_metrics: true\naudit: {path: /etc/elastauth/audit}\n\
                      credentials: {rotation: 6s, grace: 500ms, park: false}\n\
                      users: {prune_after: 12s}";

async fn stage(more: &str) -> Stage {
    let key = format!("{GATEWAY_KEY}\n");
    Stage::planned(Plan {
        files: &[("gateway.key", &key)],
        more,
        ..Plan::default()
    })
    .await
}

fn arguments(stage: &Stage, arguments: &[&str]) -> Vec<String> {
    let url = format!("http://127.0.0.1:{}", stage.elastauth.port());
    let where_to = ["--replica", &url, "--gateway-key-file", "gateway.key"];
    let all = [&["users", "prune", "--unseen", "30d"], arguments, &where_to].concat();
    all.into_iter().map(str::to_owned).collect()
}

async fn prune(stage: &Stage, more: &[&str]) -> Output {
    let arguments = arguments(stage, more);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    stage.elastauth.command(&arguments).await
}

async fn done(stage: &Stage, more: &[&str]) -> String {
    let output = prune(stage, more).await;
    assert!(output.status.success(), "{more:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn fails(stage: &Stage, more: &[&str]) -> String {
    let output = prune(stage, more).await;
    assert_eq!(output.status.code(), Some(1), "{more:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn login(stage: &Stage, user: &str) {
    let answer = stage.ask(user, "dev").await;
    assert!(stage.works(&answer), "{answer:?} {}", stage.elastauth.log());
}

/// A user of this deployment who was seen then; alice has to be there.
fn left_over(stage: &Stage, name: &str, seen: &str, change: impl FnOnce(&mut StoredUser)) {
    let key = stage.cluster.user("alice").unwrap().metadata["elastauth"]["key"].clone();
    let mut user = StoredUser::new(name, "of-long-ago").with_roles(&["viewer"]);
    let marker = json!({
        "epoch": 7, "key": key, "provider": "authelia", "last_seen": seen, "parked": true,
    });
    user.metadata.insert("groups".to_owned(), json!(["dev"]));
    user.metadata.insert("elastauth".to_owned(), marker);
    change(&mut user);
    stage.cluster.set_user(user);
}

fn mark(user: &mut StoredUser, name: &str, value: Value) {
    let marker = user.metadata["elastauth"].as_object_mut();
    marker.expect("a marker").insert(name.to_owned(), value);
}

fn away(stage: &Stage, users: std::ops::Range<usize>) -> Vec<String> {
    let names: Vec<String> = users.map(|n| format!("away-{n:03}")).collect();
    for name in &names {
        left_over(stage, name, LONG_AGO, |_| {});
    }
    names
}

fn left(stage: &Stage, names: &[String]) -> usize {
    let is_there = |name: &&String| stage.cluster.user(name).is_some();
    names.iter().filter(is_there).count()
}

async fn acted(stage: &Stage, action: &str, result: &str) -> u64 {
    let labels = format!("cluster=\"default\",action=\"{action}\",result=\"{result}\"");
    let series = format!("elastauth_user_actions_total{{{labels}}}");
    stage.number(&series).await
}

/// Users who must stay, whatever becomes of the others.
fn add_those_who_stay(stage: &Stage) -> Vec<&'static str> {
    left_over(stage, "disabled", LONG_AGO, |user| user.enabled = false);
    left_over(stage, "recent", "2999-01-01/2999-01-02", |_| {});
    left_over(stage, "unknown", LONG_AGO, |user| {
        mark(user, "last_seen", Value::Null);
    });
    left_over(stage, "odd", LONG_AGO, |user| {
        mark(user, "last_seen", json!("a while ago"));
    });
    left_over(stage, "neighbours", LONG_AGO, |user| {
        mark(user, "key", json!("AAAAAAAA"));
    });
    left_over(stage, "foreign", LONG_AGO, |user| {
        drop(user.metadata.remove("elastauth"));
    });
    left_over(stage, "built-in", LONG_AGO, |user| {
        user.metadata.insert("_reserved".to_owned(), json!(true));
    });
    vec![
        "alice",
        "disabled",
        "recent",
        "unknown",
        "odd",
        "neighbours",
        "foreign",
        "built-in",
    ]
}

#[tokio::test]
async fn those_who_stayed_away_are_deleted_and_nobody_else() {
    let stage = stage(AUDITED).await;
    login(&stage, "alice").await;
    let names = away(&stage, 0..30);
    let stay = add_those_who_stay(&stage);
    left_over(&stage, "active", LONG_AGO, |user| {
        mark(user, "parked", json!(false));
    });

    let text = done(&stage, &["--dry-run"]).await;
    assert!(
        text.contains("away-007  default\n")
            && text.contains("31 of 36 users have stayed away for so long")
            && text.contains("of 2 more it is not noted")
            && text.contains("Nobody is deleted."),
        "{text}"
    );
    let refused = fails(&stage, &[]).await;
    assert!(
        refused.contains("nobody is at a terminal") && refused.contains("--yes"),
        "{refused}"
    );
    assert_eq!((stage.called("DELETE"), left(&stage, &names)), (0, 30));

    let output = prune(&stage, &["--yes"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("31 of 31 users deleted, 0 kept, 0 failed."),
        "{text}"
    );
    assert_eq!((stage.called("DELETE"), left(&stage, &names)), (31, 0));
    for user in stay {
        assert!(stage.cluster.user(user).is_some(), "{user}");
    }
    assert_eq!(acted(&stage, "prune", "done").await, 31);
    let audit = stage.elastauth.file("audit");
    let event = "\"event\":\"user_pruned\",\"cluster\":\"default\",\"user\":\"away-007\",\
                 \"peer\":\"127.0.0.1\"";
    assert!(audit.contains(event), "{audit}");
    assert_eq!(audit.matches("user_pruned").count(), 31);

    let printed: Value = serde_json::from_str(&done(&stage, &["--json", "--yes"]).await).unwrap();
    assert_eq!(
        (&printed["ok"], &printed["due"], &printed["unknown"]),
        (&json!(true), &json!([]), &json!(2))
    );
    // Whoever comes back is made again.
    login(&stage, "away-007").await;
}

#[tokio::test]
async fn a_time_that_is_too_short_is_refused_with_the_shortest_one() {
    let stage = stage("").await;
    login(&stage, "alice").await;
    let names = away(&stage, 0..1);
    let url = format!("http://127.0.0.1:{}", stage.elastauth.port());
    let run = async |time: &str| {
        let arguments = ["users", "prune", "--yes", "--unseen", time];
        let where_to = ["--replica", &url, "--gateway-key-file", "gateway.key"];
        let all = [&arguments[..], &where_to].concat();
        stage.elastauth.command(&all).await
    };
    for time in ["0d", "47h", "172799s"] {
        let output = run(time).await;
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(
            text.contains("In the cluster `default`")
                && text.contains("known to within 24h there, so ask for 48h or more"),
            "{time}: {text}"
        );
    }
    for time in ["30", "1d12h", "-1d", "month"] {
        assert_eq!(run(time).await.status.code(), Some(2), "{time}");
    }
    assert_eq!((stage.called("DELETE"), left(&stage, &names)), (0, 1));
    assert!(run("2d").await.status.success());
    assert_eq!(left(&stage, &names), 0);
}

#[tokio::test]
async fn whoever_comes_back_while_it_runs_is_kept() {
    let stage = stage("").await;
    login(&stage, "alice").await;
    let names = away(&stage, 0..3);
    // The list is a second old when it is there.
    let late = Misbehaviour::AppliedThenDelay(Duration::from_secs(1));
    stage.cluster.fault(Fault::new(Endpoint::Query, late));
    let comes_back = async {
        until("the list", || {
            stage.called("POST /_security/_query/user") > 0
        })
        .await;
        login(&stage, "away-001").await;
        assert!(stage.cluster.set_enabled("away-002", false));
    };
    let (text, ()) = tokio::join!(done(&stage, &["--yes"]), comes_back);
    assert!(
        text.contains("1 of 3 users deleted, 2 kept, 0 failed.")
            && text.contains("kept: away-001 in default: Nothing is done: the user was seen")
            && text.contains("kept: away-002 in default: Nothing is done: the user is disabled"),
        "{text}"
    );
    assert_eq!(left(&stage, &names), 2);
    login(&stage, "away-001").await;
}

#[tokio::test]
async fn a_cluster_that_goes_away_in_the_middle_or_lacks_a_right_stops_it() {
    let stage = stage(AUDITED).await;
    login(&stage, "alice").await;
    let names = away(&stage, 0..60);
    let forbidden = Misbehaviour::Status(StatusCode::FORBIDDEN);
    stage.cluster.fault(Fault::new(Endpoint::Delete, forbidden));
    let text = fails(&stage, &["--yes"]).await;
    assert!(
        text.contains("grant it the cluster privilege `cluster:admin/xpack/security/user/delete`")
            && text.contains("stopped: too many failures"),
        "{text}"
    );
    stage.cluster.clear_faults();
    assert!(stage.called("DELETE") < 60);
    assert_eq!(left(&stage, &names), 60);

    let away = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    let goes_away = async {
        until("some are gone", || left(&stage, &names) <= 50).await;
        stage.cluster.fault(Fault::new(Endpoint::Any, away));
    };
    let (text, ()) = tokio::join!(fails(&stage, &["--yes"]), goes_away);
    assert!(
        text.contains("503") && text.contains("users are left as they were"),
        "{text}"
    );
    let text = fails(&stage, &["--yes"]).await;
    assert!(
        text.contains("failed: default: ") && text.contains("503"),
        "{text}"
    );
    stage.cluster.clear_faults();
    let still = left(&stage, &names);
    assert!((1..=50).contains(&still), "{still}");
    let text = done(&stage, &["--yes"]).await;
    assert!(
        text.contains(&format!("{still} of {still} users deleted")),
        "{text}"
    );
}

#[tokio::test]
async fn an_interrupted_command_ends_after_those_in_hand_and_says_how_far_it_got() {
    let stage = stage("").await;
    login(&stage, "alice").await;
    let names = away(&stage, 0..200);
    let mut program = tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
    let program = program
        .arg("--config")
        .arg(stage.elastauth.config())
        .current_dir(stage.elastauth.home())
        .args(arguments(&stage, &["--yes"]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let running = program.spawn().unwrap();
    let id = running.id().unwrap();
    until("some are gone", || left(&stage, &names) < 200).await;
    let interrupt = format!("kill -INT {id}");
    let sent = std::process::Command::new("sh")
        .args(["-c", &interrupt])
        .status();
    assert!(sent.unwrap().success());
    let output = running.wait_with_output().await.unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    let still = left(&stage, &names);
    assert!(still > 0 && text.contains("0 kept, 0 failed."), "{text}");
    let said = format!("interrupted; {still} users are left as they were");
    assert!(text.contains(&said), "{said}: {text}");
}

#[tokio::test]
async fn with_dry_run_in_the_configuration_nobody_is_deleted() {
    let stage = stage("").await;
    login(&stage, "alice").await;
    let names = away(&stage, 0..2);
    let key = format!("{GATEWAY_KEY}\n");
    let dry = stage
        .replica(Plan {
            files: &[("gateway.key", &key)],
            elasticsearch: "  dry_run: true",
            ..Plan::default()
        })
        .await;
    let text = fails(&dry, &["--yes"]).await;
    assert!(
        text.contains("with `dry_run` elastauth writes nothing"),
        "{text}"
    );
    assert_eq!(left(&stage, &names), 2);
}

#[tokio::test]
async fn on_opensearch_they_go_together_and_who_is_not_ours_stays() {
    let key = format!("{GATEWAY_KEY}\n");
    let tasks = Tasks::default();
    let cluster = StandIn::start_opensearch(&tasks).await.unwrap();
    let plan = Plan {
        files: &[("gateway.key", &key)],
        more: AUDITED,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    login(&stage, "alice").await;
    let alice = stage.cluster.internal_user("alice").unwrap();
    let key_id = alice.attributes["elastauth_key"].clone();
    let add = |name: &str, change: &dyn Fn(&mut InternalUser)| {
        let mut user = InternalUser::new(name, "of-long-ago").with_roles(&["viewer"]);
        for (name, value) in [
            ("epoch", "7"),
            ("key", &key_id),
            ("last_seen", LONG_AGO),
            ("parked", "true"),
        ] {
            let name = format!("elastauth_{name}");
            user.attributes.insert(name, value.to_owned());
        }
        change(&mut user);
        stage.cluster.set_internal_user(user);
    };
    let names: Vec<String> = (0..40).map(|n| format!("away-{n}")).collect();
    for name in &names {
        add(name, &|_| ());
    }
    add("locked", &|user| {
        let name = "elastauth_locked".to_owned();
        user.attributes.insert(name, "true".to_owned());
    });
    add("unknown", &|user| {
        drop(user.attributes.remove("elastauth_last_seen"));
    });
    add("foreign", &|user| user.attributes.clear());
    add("reserved", &|user| user.reserved = true);
    stage.cluster.forget_calls();
    let text = done(&stage, &["--yes"]).await;
    assert!(
        text.contains("40 of 40 users deleted, 0 kept, 0 failed."),
        "{text}"
    );
    for name in &names {
        assert!(stage.cluster.internal_user(name).is_none(), "{name}");
    }
    for name in ["alice", "locked", "unknown", "foreign", "reserved"] {
        assert!(stage.cluster.internal_user(name).is_some(), "{name}");
    }
    let writes = stage.called("PATCH");
    assert!(writes <= 20, "{writes} writes, and each empties the cache");
    login(&stage, "away-7").await;
}

#[tokio::test]
async fn a_login_that_the_cache_of_opensearch_keeps_ends_with_its_user() {
    let key = format!("{GATEWAY_KEY}\n");
    let tasks = Tasks::default();
    let cluster = StandIn::start_opensearch(&tasks).await.unwrap();
    let plan = Plan {
        files: &[("gateway.key", &key)],
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    let answer = stage.ask("alice", "dev").await;
    assert!(stage.works(&answer));
    let mut alice = stage.cluster.internal_user("alice").unwrap();
    let noted = ("elastauth_last_seen".to_owned(), LONG_AGO.to_owned());
    alice.attributes.extend([noted]);
    stage.cluster.set_internal_user(alice);
    let kept = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
    stage.cluster.fault(kept.times(1));
    let text = done(&stage, &["--yes"]).await;
    assert!(text.contains("1 of 1 users deleted"), "{text}");
    assert!(stage.cluster.internal_user("alice").is_none());
    assert!(!stage.works(&answer), "the cache does not keep it");
}

#[tokio::test]
async fn in_the_background_they_are_deleted_too() {
    let stage = stage(ROUNDS).await;
    login(&stage, "alice").await;
    let stay = add_those_who_stay(&stage);
    let names = away(&stage, 0..10);
    until("they are gone", || left(&stage, &names) == 0).await;
    for user in stay {
        assert!(stage.cluster.user(user).is_some(), "{user}");
    }
    let counted = async || (acted(&stage, "prune_after", "done").await == 10).then_some(());
    find("the number", Duration::from_secs(10), counted).await;
    let event = "\"event\":\"user_pruned\",\"cluster\":\"default\",\"user\":\"away-007\",\
                 \"reason\":\"users.prune_after\"";
    until("the event", || {
        stage.elastauth.file("audit").contains(event)
    })
    .await;
    until("the line", || {
        let log = stage.elastauth.log();
        log.contains("a round of `users.prune_after` ended") && log.contains("away-007")
    })
    .await;
}

#[tokio::test]
async fn more_than_half_at_once_are_not_deleted_in_the_background() {
    let stage = stage(ROUNDS).await;
    login(&stage, "alice").await;
    // Whoever is disabled stays, so no round in between finds few.
    let names: Vec<String> = (0..41).map(|n| format!("away-{n}")).collect();
    for name in &names {
        left_over(&stage, name, LONG_AGO, |user| user.enabled = false);
    }
    let hidden = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    stage.cluster.fault(Fault::new(Endpoint::Delete, hidden));
    for name in &names {
        assert!(stage.cluster.set_enabled(name, true));
    }
    stage.cluster.clear_faults();
    until("the line", || {
        stage
            .elastauth
            .log()
            .contains("would delete more than half of all users at once")
    })
    .await;
    assert!(stage.elastauth.log().contains("elastauth users prune"));
    let refused = async || (acted(&stage, "prune_after", "refused").await >= 2).then_some(());
    find("two rounds", Duration::from_secs(20), refused).await;
    let text = done(&stage, &["--yes"]).await;
    assert!(text.contains("users deleted, 0 kept, 0 failed."), "{text}");
    assert_eq!(left(&stage, &names), 0);
}

#[tokio::test]
async fn without_the_right_the_background_says_which_one() {
    let stage = stage(ROUNDS).await;
    login(&stage, "alice").await;
    let forbidden = Misbehaviour::Status(StatusCode::FORBIDDEN);
    stage.cluster.fault(Fault::new(Endpoint::Delete, forbidden));
    let names = away(&stage, 0..5);
    until("the line", || {
        let log = stage.elastauth.log();
        log.contains("`users.prune_after` cannot delete a user")
            && log.contains("cluster:admin/xpack/security/user/delete")
    })
    .await;
    assert_eq!(left(&stage, &names), 5);
    stage.cluster.clear_faults();
    until("they are gone", || left(&stage, &names) == 0).await;
}
