//! Logins that an operator ends, and what a login follows from: each test holds the old login
//! against the cluster, which has to refuse it from then on.

use crate::{
    support::{
        Why,
        http::Answer,
        pause,
        stage::{GATEWAY_KEY, Plan, Stage},
    },
    tokens::setup::Setup,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StoredUser};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use std::time::Duration;

const AUDITED: &str = "audit: {path: /etc/elastauth/audit}";

/// Asks as an operator on the same machine.
async fn operator(stage: &Stage, method: Method, user: &str, action: &str) -> Answer {
    let path = format!("/elastauth/admin/users/{user}/{action}");
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let answer = stage.gateway().ask(method, &path, &key, None).await;
    stage.hold_secrets("an answer for operators", &answer.text());
    answer
}

async fn revoke(stage: &Stage, user: &str) -> Answer {
    operator(stage, Method::POST, user, "revoke").await
}

async fn recheck(stage: &Stage, user: &str) {
    let answer = operator(stage, Method::POST, user, "recheck").await;
    assert_eq!(answer.status, StatusCode::OK);
}

/// Status, result and generation of the only cluster.
fn ended(answer: &Answer) -> (u16, String, Option<u64>) {
    let cluster = &answer.json()["clusters"][0];
    let result = cluster["result"].as_str().unwrap().to_owned();
    assert_eq!(answer.json()["result"], result, "there is one cluster");
    let generation = cluster["generation"].as_u64();
    (answer.status.as_u16(), result, generation)
}

fn revoked(generation: u64) -> (u16, String, Option<u64>) {
    (200, "revoked".to_owned(), Some(generation))
}

/// A login that works now.
async fn login(stage: &Stage, user: &str) -> HeaderValue {
    let answer = stage.ask(user, "dev").await;
    assert!(stage.works(&answer), "{answer:?} {}", stage.elastauth.log());
    answer.headers[header::AUTHORIZATION].clone()
}

fn generation_of(stage: &Stage, user: &str) -> serde_json::Value {
    stage.cluster.user(user).unwrap().metadata["elastauth"]["generation"].clone()
}

#[tokio::test]
async fn a_revoked_login_is_refused_at_once_and_the_next_request_gets_another() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true\naudit: {path: /etc/elastauth/audit}",
        ..Plan::default()
    })
    .await;
    let old = login(&stage, "alice").await;
    let bobs = login(&stage, "bob").await;
    let before = stage.cluster.user("alice").unwrap();
    stage.cluster.forget_calls();
    let answer = revoke(&stage, "alice").await;
    assert_eq!(ended(&answer), revoked(1));
    let shown = answer.json();
    assert_eq!(
        (&shown["user"], &shown["clusters"][0]["other_replicas"]),
        (&json!("alice"), &json!("not_told"))
    );
    assert!(!stage.cluster.accepts(&old) && stage.cluster.accepts(&bobs));
    let after = stage.cluster.user("alice").unwrap();
    assert_eq!(
        (after.roles, after.email, after.full_name, after.enabled),
        (before.roles, before.email, before.full_name, before.enabled)
    );
    assert_eq!(stage.called("PUT"), 1);
    // This replica knows what it has written.
    stage.cluster.forget_calls();
    let new = login(&stage, "alice").await;
    assert_eq!((stage.calls(), new == old), (Vec::new(), false));
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(2));
    assert!(!stage.cluster.accepts(&new));
    assert_eq!(generation_of(&stage, "alice"), 2);
    // Another one that has just started finds it in the cluster.
    let replica = stage.replica(Plan::default()).await;
    assert_eq!(login(&replica, "alice").await, login(&stage, "alice").await);
    let steps = "elastauth_ensure_steps_total{cluster=\"default\",step=\"revoked\"}";
    assert_eq!(stage.number(steps).await, 2);
    let audit = stage.elastauth.file("audit");
    for generation in [1, 2] {
        let event = format!(
            "\"event\":\"user_revoked\",\"cluster\":\"default\",\"user\":\"alice\",\
             \"generation\":{generation},\"peer\":\"127.0.0.1\""
        );
        assert!(audit.contains(&event), "{event} {audit}");
    }
}

#[tokio::test]
async fn a_replica_that_shares_no_store_gives_the_new_login_after_a_recheck() {
    let stage = Stage::usual().await;
    let other = stage.replica(Plan::default()).await;
    let old = login(&stage, "alice").await;
    assert_eq!(login(&other, "alice").await, old);
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(1));
    let late = other.ask("alice", "dev").await;
    assert_eq!(late.headers[header::AUTHORIZATION], old, "it does not know");
    recheck(&other, "alice").await;
    stage.cluster.forget_calls();
    assert_eq!(login(&other, "alice").await, login(&stage, "alice").await);
    assert_eq!(
        (generation_of(&stage, "alice"), stage.called("PUT")),
        (json!(1), 0),
        "it has only to learn of it"
    );
}

#[tokio::test]
async fn nothing_brings_a_revoked_login_back() {
    let stage = Stage::usual().await;
    let old = login(&stage, "alice").await;
    let restored = stage.cluster.user("alice").unwrap();
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(1));
    let comebacks: [(&str, &dyn Fn()); 2] = [
        ("deleted", &|| assert!(stage.cluster.remove_user("alice"))),
        ("restored", &|| stage.cluster.set_user(restored.clone())),
    ];
    for (what, happens) in comebacks {
        happens();
        recheck(&stage, "alice").await;
        let new = login(&stage, "alice").await;
        assert!(!stage.cluster.accepts(&old) && new != old, "{what}");
        assert_eq!(generation_of(&stage, "alice"), 1, "{what}");
    }
}

#[tokio::test]
async fn a_disabled_user_stays_disabled_and_their_login_ends_all_the_same() {
    let stage = Stage::usual().await;
    let old = login(&stage, "alice").await;
    assert!(stage.cluster.set_enabled("alice", false));
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(1));
    assert!(!stage.cluster.user("alice").unwrap().enabled);
    stage.says(&stage.ask("alice", "dev").await, 403, "user_not_allowed");
    assert!(stage.cluster.set_enabled("alice", true));
    assert!(!stage.cluster.accepts(&old));
    recheck(&stage, "alice").await;
    assert_ne!(login(&stage, "alice").await, old);
}

#[tokio::test]
async fn only_a_user_of_ours_has_a_login_to_revoke() {
    let stage = Stage::planned(Plan {
        more: AUDITED,
        ..Plan::default()
    })
    .await;
    let mut theirs = StoredUser::new("dave", "theirs").with_roles(&["viewer"]);
    let marker = json!({ "fingerprint": "f", "epoch": 1, "key": "somebody" });
    theirs.metadata.insert("elastauth".to_owned(), marker);
    stage.cluster.set_user(theirs);
    stage.cluster.set_user(StoredUser::new("carol", "her own"));
    for (user, status, result) in [
        ("nobody", 404, "no_such_user"),
        ("carol", 409, "refused"),
        ("dave", 409, "refused"),
        ("elastic", 409, "refused"),
        ("elastauth", 409, "refused"),
        ("_system", 409, "refused"),
    ] {
        let answer = revoke(&stage, user).await;
        assert_eq!(ended(&answer), (status, result.to_owned(), None), "{user}");
    }
    assert_eq!(stage.called("PUT"), 0);
    let malformed = revoke(&stage, "a%3Ab").await;
    assert_eq!(malformed.json()["code"], "malformed_user");
    let asked = operator(&stage, Method::GET, "alice", "revoke").await;
    assert_eq!(asked.status, StatusCode::METHOD_NOT_ALLOWED);
    let audit = stage.elastauth.file("audit");
    for (user, why) in [
        ("nobody", "the cluster has no user of that name"),
        ("carol", "elastauth has not written this user"),
        ("dave", "another `secret_key` (key id \\\"somebody\\\")"),
        ("elastic", "a built-in user of the cluster"),
    ] {
        let lines = audit.lines();
        let mut of_user = lines.filter(|line| line.contains(&format!("\"user\":\"{user}\"")));
        let line = of_user.next().unwrap_or_else(|| panic!("{user}: {audit}"));
        assert!(
            line.contains("user_revoked") && line.contains(why),
            "{line}"
        );
    }
}

#[tokio::test]
async fn a_revocation_of_unknown_outcome_says_so_and_the_next_request_completes_it() {
    for (what, applied) in [
        (Misbehaviour::CloseAfter, true),
        (Misbehaviour::CloseBefore, false),
    ] {
        let stage = Stage::usual().await;
        let old = login(&stage, "alice").await;
        let fault = Fault::new(Endpoint::Write, what).times(1);
        stage.cluster.fault(fault);
        let answer = revoke(&stage, "alice").await;
        assert_eq!(ended(&answer), (503, "uncertain".to_owned(), None));
        assert_eq!(stage.cluster.accepts(&old), !applied);
        assert_ne!(login(&stage, "alice").await, old, "{what:?}");
        assert!(!stage.cluster.accepts(&old), "{what:?}");
        assert_eq!(generation_of(&stage, "alice"), 1);
        let again = revoke(&stage, "alice").await;
        assert_eq!(ended(&again), revoked(2));
        let message = again.json()["clusters"][0]["message"].to_string();
        assert!(message.contains("run it again in 90 seconds"), "{message}");
    }
}

#[tokio::test]
async fn a_write_that_another_replica_had_begun_does_not_bring_the_login_back() {
    let stage = Stage::usual().await;
    let other = stage.replica(Plan::default()).await;
    let old = login(&stage, "alice").await;
    // The other one has read the user, and its write takes a while.
    let slow = Misbehaviour::Delay(Duration::from_millis(300));
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, slow).times(1));
    let revoking = async {
        pause(Why::Pace, Duration::from_millis(150)).await;
        revoke(&stage, "alice").await
    };
    let (_changed, answer) = tokio::join!(other.ask("alice", "ops"), revoking);
    assert_eq!(ended(&answer), revoked(2), "the first one was undone");
    assert!(!stage.cluster.accepts(&old));
    recheck(&other, "alice").await;
    assert_ne!(login(&other, "alice").await, old);
    assert_eq!(generation_of(&stage, "alice"), 2);
}

#[tokio::test]
async fn revoked_at_two_replicas_at_once_both_give_the_login_that_is_left() {
    let stage = Stage::usual().await;
    let other = stage.replica(Plan::default()).await;
    let mut old = login(&stage, "alice").await;
    login(&other, "alice").await;
    for _ in 0..5 {
        let answers = tokio::join!(revoke(&stage, "alice"), revoke(&other, "alice"));
        for answer in [&answers.0, &answers.1] {
            assert_eq!(ended(answer).1, "revoked", "{}", answer.text());
        }
        assert!(!stage.cluster.accepts(&old));
        let new = login(&stage, "alice").await;
        assert_eq!(login(&other, "alice").await, new);
        assert_ne!(new, old);
        old = new;
    }
}

#[tokio::test]
async fn the_login_of_a_user_who_is_parked_is_revoked_and_given_to_nobody() {
    let stage = Stage::usual().await;
    let old = login(&stage, "alice").await;
    let mut parked = stage.cluster.user("alice").unwrap();
    let marker = parked.metadata["elastauth"].as_object_mut().unwrap();
    marker.insert("parked".to_owned(), json!(true));
    stage.cluster.set_user(parked);
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(1));
    let marker = stage.cluster.user("alice").unwrap().metadata["elastauth"].clone();
    assert_eq!(
        (&marker["parked"], &marker["generation"]),
        (&json!(true), &json!(1))
    );
    assert!(!stage.cluster.accepts(&old));
    // They come back, and get a login that no cluster had before.
    let new = login(&stage, "alice").await;
    assert_ne!(new, old);
    assert_eq!(generation_of(&stage, "alice"), 1);
}

#[tokio::test]
async fn a_user_of_elastauth_2_is_left_alone_until_they_are_adopted() {
    let stage = Stage::usual().await;
    let mut theirs = StoredUser::new("alice", "of elastauth 2").with_roles(&["viewer"]);
    theirs.metadata.insert("groups".to_owned(), json!(["dev"]));
    stage.cluster.set_user(theirs);
    let answer = revoke(&stage, "alice").await;
    assert_eq!(ended(&answer), (409, "refused".to_owned(), None));
    let message = answer.json()["clusters"][0]["message"].to_string();
    assert!(message.contains("elastauth 2"), "{message}");
    let adopted = login(&stage, "alice").await;
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(1));
    assert!(!stage.cluster.accepts(&adopted));
}

#[tokio::test]
async fn a_revocation_that_the_cluster_refuses_changes_nothing() {
    let stage = Stage::usual().await;
    let old = login(&stage, "alice").await;
    let status = Misbehaviour::Status(StatusCode::FORBIDDEN);
    stage.cluster.fault(Fault::new(Endpoint::Write, status));
    let answer = revoke(&stage, "alice").await;
    assert_eq!(ended(&answer), (503, "failed".to_owned(), None));
    assert_eq!(login(&stage, "alice").await, old);
    assert_eq!(generation_of(&stage, "alice"), serde_json::Value::Null);
}

#[tokio::test]
async fn api_keys_are_invalidated_where_the_operator_asks_for_it_and_the_account_may() {
    let stage = Stage::planned(Plan {
        more: AUDITED,
        ..Plan::default()
    })
    .await;
    login(&stage, "alice").await;
    let [one, two] = ["alice"; 2].map(|user| stage.cluster.add_api_key(user, "native"));
    let bobs = stage.cluster.add_api_key("bob", "native");
    let namesakes = stage.cluster.add_api_key("alice", "saml1");
    assert_eq!(ended(&revoke(&stage, "alice").await), revoked(1));
    let all = vec![one, two, bobs.clone(), namesakes.clone()];
    assert_eq!(stage.cluster.valid_api_keys(), all, "nobody asked for it");
    let with_keys = async || operator(&stage, Method::POST, "alice", "revoke?api_keys=true").await;

    let forbidden = Misbehaviour::Status(StatusCode::FORBIDDEN);
    stage
        .cluster
        .fault(Fault::new(Endpoint::ApiKeys, forbidden));
    let answer = with_keys().await;
    assert_eq!(
        ended(&answer),
        (503, "api_keys_remain".to_owned(), Some(2)),
        "the login is revoked all the same"
    );
    let error = answer.json()["clusters"][0]["api_keys"]["error"].to_string();
    assert!(error.contains("`manage_api_key`"), "{error}");
    stage.cluster.clear_faults();

    let answer = with_keys().await;
    assert_eq!(ended(&answer), revoked(3));
    assert_eq!(
        answer.json()["clusters"][0]["api_keys"],
        json!({ "invalidated": 2, "failed": 0 })
    );
    assert_eq!(
        stage.cluster.valid_api_keys(),
        [bobs.clone(), namesakes.clone()]
    );
    // Those of somebody who was deleted still work.
    let late = stage.cluster.add_api_key("alice", "native");
    assert!(stage.cluster.valid_api_keys().contains(&late));
    assert!(stage.cluster.remove_user("alice"));
    let absent = (404, "no_such_user".to_owned(), None);
    assert_eq!(ended(&with_keys().await), absent);
    assert_eq!(stage.cluster.valid_api_keys(), [bobs, namesakes]);
    let unknown = operator(&stage, Method::POST, "alice", "revoke?keys=true").await;
    assert_eq!(unknown.json()["code"], "malformed_query");
    let audit = stage.elastauth.file("audit");
    assert!(audit.contains("\"generation\":3,\"api_keys\":2"), "{audit}");
}

#[tokio::test]
async fn a_login_is_revoked_at_any_time_of_its_period() {
    let stage = Stage::planned(Plan {
        more: "credentials: {rotation: 3s, grace: 300ms}",
        ..Plan::default()
    })
    .await;
    let mut earlier = vec![login(&stage, "alice").await];
    for generation in 1..=16 {
        assert_eq!(ended(&revoke(&stage, "alice").await), revoked(generation));
        let new = login(&stage, "alice").await;
        let accepted = earlier.iter().filter(|old| stage.cluster.accepts(old));
        assert_eq!((accepted.count(), earlier.contains(&new)), (0, false));
        earlier.push(new);
        pause(Why::Pace, Duration::from_millis(230)).await;
    }
}

#[tokio::test]
async fn the_next_owner_of_a_name_gets_another_login_within_the_same_period() {
    let setup = Setup::new().await;
    let token = |subject: &str| {
        setup.idp.token(|claims| {
            claims["sub"] = json!(subject);
            claims["groups"] = json!(["dev"]);
        })
    };
    let login = async |subject: &str| {
        let granted = setup.bearer(&token(subject)).await;
        let login = granted.headers.get(header::AUTHORIZATION).cloned();
        login.unwrap_or_else(|| panic!("{subject}: {}", setup.elastauth.log()))
    };
    let first = login("first").await;
    assert!(setup.cluster.accepts(&first));
    assert!(setup.cluster.remove_user("alice"));
    let second = login("second").await;
    assert!(setup.cluster.accepts(&second) && !setup.cluster.accepts(&first));
    let marker = &setup.cluster.user("alice").unwrap().metadata["elastauth"];
    assert_eq!(marker["subject"], "second");
}
