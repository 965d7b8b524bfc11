//! `elastauth users list`, `show`, `disable`, `enable` and `delete` beside running replicas.

use crate::support::{
    Why,
    http::Answer,
    pause,
    stage::{GATEWAY_KEY, Plan, Stage},
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StoredUser};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::{process::Output, time::Duration};

const KEY_FILE: [&str; 2] = ["--gateway-key-file", "gateway.key"];
const AUDITED: &str = "enable_metrics: true\naudit: {path: /etc/elastauth/audit}";

async fn stage(more: &str) -> Stage {
    let key = format!("{GATEWAY_KEY}\n");
    Stage::planned(Plan {
        files: &[("gateway.key", &key)],
        more,
        ..Plan::default()
    })
    .await
}

/// Runs a command, with this replica named.
async fn users(stage: &Stage, arguments: &[&str]) -> Output {
    let url = format!("http://127.0.0.1:{}", stage.elastauth.port());
    let where_to = ["--replica", &url];
    let command = [&["users"][..], arguments, &where_to, &KEY_FILE].concat();
    let output = stage.elastauth.command(&command).await;
    for printed in [&output.stdout, &output.stderr] {
        stage.hold_secrets("a command", &String::from_utf8_lossy(printed));
    }
    output
}

async fn done(stage: &Stage, arguments: &[&str]) -> String {
    let output = users(stage, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn fails(stage: &Stage, arguments: &[&str]) -> String {
    let output = users(stage, arguments).await;
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap()
}

async fn login(stage: &Stage, user: &str) -> HeaderValue {
    let answer = stage.ask(user, "dev").await;
    assert!(stage.works(&answer), "{answer:?} {}", stage.elastauth.log());
    answer.headers[header::AUTHORIZATION].clone()
}

async fn kept_out(stage: &Stage, user: &str) {
    stage.says(&stage.ask(user, "dev").await, 403, "user_not_allowed");
}

/// What was sent to change users since the calls were forgotten.
fn changes(stage: &Stage) -> usize {
    stage.called("PUT") + stage.called("DELETE")
}

/// A user of another deployment, and one of nobody's.
fn add_others(stage: &Stage) {
    let mut dave = StoredUser::new("dave", "theirs").with_roles(&["viewer"]);
    let marker = json!({ "fingerprint": "f", "epoch": 1, "key": "somebody" });
    dave.metadata.insert("elastauth".to_owned(), marker);
    stage.cluster.set_user(dave);
    stage.cluster.set_user(StoredUser::new("carol", "her own"));
}

/// The marker of a user, changed.
fn mark(stage: &Stage, user: &str, change: impl FnOnce(&mut serde_json::Map<String, Value>)) {
    let mut stored = stage.cluster.user(user).unwrap();
    change(stored.metadata["elastauth"].as_object_mut().unwrap());
    stage.cluster.set_user(stored);
}

#[tokio::test]
async fn the_list_has_each_user_of_ours_with_state_and_days() {
    let stage = stage("").await;
    for user in ["alice", "bob", "erin", "frank"] {
        login(&stage, user).await;
    }
    add_others(&stage);
    mark(&stage, "bob", |marker| {
        marker.insert("parked".to_owned(), json!(true));
    });
    mark(&stage, "bob", |marker| {
        marker.insert("last_seen".to_owned(), json!("../2026-11-02"));
    });
    mark(&stage, "frank", |marker| {
        marker.insert("last_seen".to_owned(), json!("2026-11-01/2026-11-03"));
    });
    // As versions wrote users that noted no such days.
    mark(&stage, "erin", |marker| drop(marker.remove("last_seen")));
    assert!(stage.cluster.set_enabled("erin", false));
    stage.cluster.forget_calls();
    let text = done(&stage, &["list"]).await;
    let lines: Vec<Vec<&str>> = text
        .lines()
        .map(|line| {
            line.split("  ")
                .map(str::trim)
                .filter(|it| !it.is_empty())
                .collect()
        })
        .collect();
    let expected = [
        ["user", "state"],
        ["alice", "active"],
        ["bob", "parked"],
        ["dave", "other_key"],
        ["erin", "disabled"],
        ["frank", "active"],
    ];
    let found: Vec<[&str; 2]> = lines.iter().map(|line| [line[0], line[2]]).collect();
    assert_eq!(found, expected, "{text}");
    let seen = |row: usize| *lines[row].last().unwrap();
    assert!(
        seen(1).ends_with(" or later")
            && [seen(2), seen(3), seen(4)] == ["before 2026-11-02", "unknown", "unknown"]
            && seen(5) == "2026-11-01 to 2026-11-03",
        "{text}"
    );
    let printed: Value = serde_json::from_str(&done(&stage, &["list", "--json"]).await).unwrap();
    assert_eq!(printed["users"].as_array().unwrap().len(), 5);
    let alice = &printed["users"][0];
    assert_eq!(
        (&alice["user"], &alice["cluster"], &alice["seen_before"]),
        (&json!("alice"), &json!("default"), &Value::Null)
    );
    assert_eq!(printed["failed"], json!([]));
    assert_eq!(done(&stage, &["list", "--cluster", "default"]).await, text);
    let why = fails(&stage, &["list", "--cluster", "other"]).await;
    assert!(why.contains("There is no cluster of this name"), "{why}");
    assert_eq!(changes(&stage), 0);
}

#[tokio::test]
async fn one_user_is_shown_and_of_a_foreign_one_only_that_they_are() {
    let stage = stage("").await;
    login(&stage, "alice").await;
    add_others(&stage);
    let text = done(&stage, &["show", "alice"]).await;
    for part in [
        "alice in default\n",
        "  state       active\n",
        "  groups      dev\n",
        "  provider    authelia\n",
        "  generation  0",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let text = done(&stage, &["show", "carol"]).await;
    assert!(
        text.contains("state       foreign: elastauth has not written") && !text.contains("roles"),
        "{text}"
    );
    let text = fails(&stage, &["show", "nobody"]).await;
    assert!(
        text.contains("nobody in default: the cluster has no user"),
        "{text}"
    );
    let text = fails(&stage, &["show", "a:b"]).await;
    assert!(text.contains("That cannot be a user"), "{text}");
    let shown: Value =
        serde_json::from_str(&done(&stage, &["show", "alice", "--json"]).await).unwrap();
    assert_eq!(shown["clusters"][0]["groups"], json!(["dev"]));
}

#[tokio::test]
async fn a_disabled_user_is_kept_out_until_they_are_enabled() {
    let stage = stage(AUDITED).await;
    let other = stage.replica(Plan::default()).await;
    let old = login(&stage, "alice").await;
    let bobs = login(&stage, "bob").await;
    assert_eq!(login(&other, "alice").await, old);
    let would = done(&stage, &["disable", "alice", "--dry-run"]).await;
    assert!(would.contains("The user would be disabled."), "{would}");
    assert!(stage.cluster.accepts(&old));

    let two = format!("http://127.0.0.1:{}", other.elastauth.port());
    let text = done(&stage, &["disable", "alice"]).await;
    assert!(text.contains("ok: disable at"), "{text}");
    let late = other.ask("alice", "dev").await;
    assert_eq!(late.headers[header::AUTHORIZATION], old, "it does not know");
    // Here this replica comes second: the other one acts, and this one is told.
    let text = done(&stage, &["disable", "alice", "--replica", &two]).await;
    assert!(
        text.contains(&format!("ok: disable at {two}")) && text.contains("ok: recheck at"),
        "{text}"
    );
    assert!(!stage.cluster.accepts(&old) && stage.cluster.accepts(&bobs));
    kept_out(&stage, "alice").await;
    kept_out(&other, "alice").await;
    // With other groups, too.
    stage.says(&stage.ask("alice", "ops").await, 403, "user_not_allowed");
    stage.cluster.forget_calls();
    let again = done(&stage, &["disable", "alice"]).await;
    assert!(again.contains("was disabled already"), "{again}");
    assert_eq!(changes(&stage), 0);

    let text = done(&stage, &["enable", "alice", "--replica", &two]).await;
    assert!(text.contains("The user is enabled."), "{text}");
    assert_eq!(login(&stage, "alice").await, login(&other, "alice").await);
    let again = done(&stage, &["enable", "alice"]).await;
    assert!(again.contains("was enabled already"), "{again}");

    let series = |action: &str| {
        format!(
            "elastauth_user_actions_total{{cluster=\"default\",action=\"{action}\",result=\"done\"}}"
        )
    };
    assert_eq!(stage.number(&series("disable")).await, 2);
    assert_eq!(stage.number(&series("enable")).await, 1);
    let audit = stage.elastauth.file("audit");
    let event = "\"event\":\"user_disabled\",\"cluster\":\"default\",\"user\":\"alice\",\
                 \"peer\":\"127.0.0.1\"";
    assert!(
        audit.contains(event) && audit.contains("user_enabled"),
        "{audit}"
    );
}

#[tokio::test]
async fn a_deleted_user_is_made_again_by_their_next_request_without_an_old_login() {
    let stage = stage(AUDITED).await;
    let first = login(&stage, "alice").await;
    done(&stage, &["revoke", "alice"]).await;
    let second = login(&stage, "alice").await;
    stage.cluster.forget_calls();
    let would = done(&stage, &["delete", "alice", "--dry-run"]).await;
    assert!(would.contains("would be deleted"), "{would}");
    assert_eq!(changes(&stage), 0);
    let text = done(&stage, &["delete", "alice"]).await;
    assert!(
        text.contains("Their next request makes them again"),
        "{text}"
    );
    assert!(stage.cluster.user("alice").is_none() && !stage.cluster.accepts(&second));
    assert_eq!(
        login(&stage, "alice").await,
        second,
        "of the same generation"
    );
    assert!(!stage.cluster.accepts(&first), "that one was revoked");

    assert!(stage.cluster.set_enabled("alice", false));
    let text = done(&stage, &["delete", "alice"]).await;
    assert!(text.contains("nothing keeps them out any more"), "{text}");
    login(&stage, "alice").await;
    let audit = stage.elastauth.file("audit");
    assert_eq!(
        audit.matches("\"event\":\"user_deleted\"").count(),
        2,
        "{audit}"
    );
}

#[tokio::test]
async fn nobody_but_a_user_of_ours_is_changed_and_the_refusal_says_whose_they_are() {
    let stage = stage(AUDITED).await;
    add_others(&stage);
    for action in ["disable", "enable", "delete"] {
        for (user, why) in [
            ("nobody", "the cluster has no user of that name"),
            ("carol", "elastauth has not written this user"),
            ("dave", "another `secret_key` (key id \"somebody\")"),
            ("elastic", "a built-in user of the cluster"),
            ("elastauth", "elastauth's own account"),
            ("_system", "reserved"),
        ] {
            let text = fails(&stage, &[action, user]).await;
            assert!(
                text.contains(&format!("failed: {action} at")) && text.contains(why),
                "{user}: {text}"
            );
        }
    }
    assert_eq!(changes(&stage), 0);
    assert!(stage.cluster.user("carol").unwrap().enabled);
    let refused = "elastauth_user_actions_total{cluster=\"default\",action=\"delete\",\
                   result=\"refused\"}";
    assert_eq!(stage.number(refused).await, 6);
    let audit = stage.elastauth.file("audit");
    let lines = audit
        .lines()
        .filter(|line| line.contains("\"user\":\"carol\""));
    assert_eq!(
        lines.filter(|line| line.contains("\"reason\":")).count(),
        3,
        "{audit}"
    );
    // Each answer has its status for programs.
    let ask = async |method, path: &str| -> Answer {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let path = format!("/elastauth/admin/users{path}");
        stage.gateway().ask(method, &path, &key, None).await
    };
    for (method, path, status) in [
        (Method::POST, "/nobody/disable", 404),
        (Method::POST, "/carol/disable", 409),
        (Method::POST, "/carol/disable?x=1", 400),
        (Method::POST, "/a%3Ab/delete", 400),
        (Method::POST, "/alice/delete?cluster=none", 404),
        (Method::GET, "/carol/delete", 405),
        (Method::POST, "", 405),
        (Method::GET, "?after=x", 200),
    ] {
        let answer = ask(method, path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn with_dry_run_in_the_configuration_nothing_is_changed() {
    let key = format!("{GATEWAY_KEY}\n");
    let dry = Stage::planned(Plan {
        files: &[("gateway.key", &key)],
        elasticsearch: "  dry_run: true",
        ..Plan::default()
    })
    .await;
    let text = fails(&dry, &["disable", "alice"]).await;
    assert!(
        text.contains("with `dry_run` elastauth writes nothing"),
        "{text}"
    );
}

#[tokio::test]
async fn a_service_account_without_the_right_is_told_which_one_it_lacks() {
    let stage = stage("").await;
    let old = login(&stage, "alice").await;
    let forbidden = Misbehaviour::Status(StatusCode::FORBIDDEN);
    for (at, actions, right) in [
        (Endpoint::Switch, &["disable"][..], "set_enabled"),
        (Endpoint::Delete, &["delete"][..], "delete"),
    ] {
        stage.cluster.fault(Fault::new(at, forbidden));
        for action in actions {
            let text = fails(&stage, &[action, "alice"]).await;
            let right = format!("`cluster:admin/xpack/security/user/{right}`");
            assert!(text.contains(&right), "{text}");
        }
        stage.cluster.clear_faults();
    }
    assert_eq!(login(&stage, "alice").await, old);
}

#[tokio::test]
async fn a_cluster_that_is_away_is_told_of_and_an_unknown_outcome_is_found_by_the_next_request() {
    let stage = stage("").await;
    login(&stage, "alice").await;
    login(&stage, "bob").await;
    let away = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    stage.cluster.fault(Fault::new(Endpoint::Any, away));
    for arguments in [&["list"][..], &["show", "alice"], &["delete", "alice"]] {
        let text = fails(&stage, arguments).await;
        assert!(text.contains("default: ") && text.contains("503"), "{text}");
    }
    stage.cluster.clear_faults();
    assert!(stage.cluster.user("alice").is_some());
    for (user, what, applied) in [
        ("alice", Misbehaviour::CloseAfter, true),
        ("bob", Misbehaviour::CloseBefore, false),
    ] {
        stage
            .cluster
            .fault(Fault::new(Endpoint::Switch, what).times(1));
        let text = fails(&stage, &["disable", user]).await;
        assert!(text.contains("it is not certain that it is done"), "{text}");
        if applied {
            kept_out(&stage, user).await;
        } else {
            login(&stage, user).await;
        }
    }
}

#[tokio::test]
async fn a_write_that_another_replica_had_begun_does_not_enable_the_user() {
    let stage = stage("").await;
    let other = stage.replica(Plan::default()).await;
    login(&stage, "alice").await;
    // The other one has read the user, and its write takes a while.
    let slow = Misbehaviour::Delay(Duration::from_millis(300));
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, slow).times(1));
    let disabling = async {
        pause(Why::Pace, Duration::from_millis(150)).await;
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let path = "/elastauth/admin/users/alice/disable";
        stage.gateway().ask(Method::POST, path, &key, None).await
    };
    let (_changed, answer) = tokio::join!(other.ask("alice", "ops"), disabling);
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert!(!stage.cluster.user("alice").unwrap().enabled);
    kept_out(&stage, "alice").await;
}
