//! OpenSearch: logins that are bound to their roles, rare rotation, locked users, and what its
//! cache may keep.

use crate::support::{
    deployment::{
        BrokerError, Deployment, Endpoint, Fault, Misbehaviour, ask, broker, upstream_of, why,
    },
    find,
    http::{Answer, Server, basic},
    stage::{GATEWAY_KEY, Plan, Stage},
    until,
};
use elastauth::internals::{
    broker::RevokeOrder,
    demo::standin::{InternalUser, StandIn},
    flow::Grant,
    model::Username,
    net::peer::Peer,
    shutdown::Tasks,
};
use futures_util::future::join_all;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;
use std::{collections::BTreeSet, process::Output, time::Duration};

const USERS: &str = "/_plugins/_security/api/internalusers";
const DAY: Duration = Duration::from_hours(24);

fn login(grant: &Grant) -> HeaderValue {
    grant.credential().authorization().clone()
}

/// What counts for a request with this login; the role that everybody has aside.
fn roles(deployment: &Deployment, login: &HeaderValue) -> Option<Vec<String>> {
    let mut roles = deployment.cluster.roles_with(login)?;
    roles.retain(|role| role != "own_index");
    Some(roles)
}

fn only(roles: &[&str]) -> Vec<String> {
    roles.iter().map(|role| (*role).to_owned()).collect()
}

async fn stage(more: &str) -> Stage {
    let tasks = Tasks::default();
    let cluster = StandIn::start_opensearch(&tasks).await.unwrap();
    let plan = Plan {
        more,
        ..Plan::default()
    };
    Stage::before(cluster, tasks, plan).await
}

#[tokio::test]
async fn a_change_of_roles_is_another_password_at_the_same_moment() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let editor = login(&deployment.ask("alice", "dev").await.unwrap());
    assert_eq!(
        roles(&deployment, &editor),
        Some(only(&["editor", "viewer"]))
    );
    let viewer = login(&deployment.ask("alice", "").await.unwrap());
    assert_ne!(editor, viewer);
    assert_eq!(roles(&deployment, &viewer), Some(only(&["viewer"])));
    assert_eq!(roles(&deployment, &editor), None);
    let again = login(&deployment.ask("alice", "dev").await.unwrap());
    assert_eq!(again, editor, "the same roles in the same period");
    let replica = deployment.replica(|_| ());
    let other = login(&ask(&replica, "alice", "dev").await.unwrap());
    assert_eq!(other, editor, "two replicas agree without a word");
}

#[tokio::test]
async fn a_login_that_the_cache_keeps_has_the_roles_of_its_time_and_is_given_to_nobody() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let editor = login(&deployment.ask("alice", "dev").await.unwrap());
    assert!(deployment.cluster.accepts(&editor));
    let kept = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
    deployment.cluster.fault(kept.times(1));
    let viewer = login(&deployment.ask("alice", "").await.unwrap());
    assert_eq!(
        roles(&deployment, &editor),
        Some(only(&["editor", "viewer"]))
    );
    for _ in 0..10 {
        let now = login(&deployment.ask("alice", "").await.unwrap());
        assert_eq!(now, viewer);
        assert_eq!(roles(&deployment, &now), Some(only(&["viewer"])));
    }
}

#[tokio::test]
async fn a_first_login_is_one_read_and_one_write() {
    let deployment = Deployment::opensearch(|_| ()).await;
    deployment.ask("bob", "dev").await.unwrap();
    deployment.calls();
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(
        deployment.calls(),
        [
            format!("GET {USERS}/alice 404 by service"),
            format!("PATCH {USERS} 200 by service"),
        ]
    );
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(deployment.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn passwords_live_for_seven_days_unless_the_configuration_says_otherwise() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let first = login(&deployment.ask("alice", "dev").await.unwrap());
    let mut logins = vec![first];
    for _ in 0..28 {
        deployment.pass(DAY);
        let now = login(&deployment.ask("alice", "dev").await.unwrap());
        assert!(deployment.cluster.accepts(&now));
        if logins.last() != Some(&now) {
            logins.push(now);
        }
    }
    assert_eq!(logins.len(), 5, "four changes in four weeks");

    let daily = |config: &mut broker::Config| {
        config.opensearch.rotation = DAY;
    };
    let deployment = Deployment::opensearch(daily).await;
    let first = login(&deployment.ask("alice", "dev").await.unwrap());
    deployment.pass(DAY);
    let next = login(&deployment.ask("alice", "dev").await.unwrap());
    assert_ne!(first, next);
}

#[tokio::test]
async fn many_first_logins_at_once_are_few_writes_and_no_conflict_is_seen() {
    let deployment = Deployment::opensearch(|_| ()).await;
    deployment.ask("first", "dev").await.unwrap();
    deployment.calls();
    deployment
        .cluster
        .set_write_takes(Duration::from_millis(20));
    let names: Vec<String> = (0..64).map(|n| format!("user-{n}")).collect();
    let grants = join_all(names.iter().map(|name| deployment.ask(name, "dev"))).await;
    for grant in grants {
        assert!(deployment.cluster.accepts(&login(&grant.unwrap())));
    }
    let calls = deployment.calls();
    let writes = calls
        .iter()
        .filter(|call| call.starts_with("PATCH"))
        .count();
    assert!(writes <= 16, "{writes} writes for 64 users");
}

#[tokio::test]
async fn users_who_are_locked_foreign_or_reserved_are_left_alone() {
    let deployment = Deployment::opensearch(|_| ()).await;
    deployment.ask("alice", "dev").await.unwrap();
    assert!(deployment.cluster.set_enabled("alice", false));
    deployment.pass(DAY);
    assert_eq!(
        why(deployment.ask("alice", "dev").await),
        BrokerError::Disabled
    );
    let alice = deployment.cluster.internal_user("alice").unwrap();
    assert_eq!(alice.hash, "!");
    assert!(deployment.cluster.set_enabled("alice", true));
    deployment.pass(Duration::from_secs(2));
    let grant = deployment.ask("alice", "dev").await.unwrap();
    assert!(deployment.cluster.accepts(&login(&grant)));

    let theirs = InternalUser::new("bob", "a password of bob's own").with_roles(&["auditor"]);
    deployment.cluster.set_internal_user(theirs.clone());
    assert_eq!(
        why(deployment.ask("bob", "dev").await),
        BrokerError::Foreign
    );
    assert_eq!(deployment.cluster.internal_user("bob"), Some(theirs));
    let reserved = InternalUser {
        reserved: true,
        ..InternalUser::new("carol", "a password of carol's own")
    };
    deployment.cluster.set_internal_user(reserved.clone());
    let refused = why(deployment.ask("carol", "dev").await);
    assert!(
        matches!(refused, BrokerError::ReservedName(_)),
        "{refused:?}"
    );
    assert_eq!(deployment.cluster.internal_user("carol"), Some(reserved));
    let admin = why(deployment.ask("admin", "dev").await);
    assert!(matches!(admin, BrokerError::ReservedName(_)), "{admin:?}");
}

/// An administrator locks the user, or makes them anew, while a write of elastauth is
/// under way that is going to meet a conflict.
#[tokio::test]
async fn a_write_that_meets_a_conflict_undoes_nothing_that_others_have_done() {
    let theirs = InternalUser::new("alice", "a password of alice's own").with_roles(&["auditor"]);
    let patient = |config: &mut broker::Config| config.tries_for = Duration::from_mins(1);
    for (locked, expected) in [(true, BrokerError::Disabled), (false, BrokerError::Foreign)] {
        let deployment = Deployment::opensearch(patient).await;
        let cluster = &deployment.cluster;
        deployment.ask("alice", "dev").await.unwrap();
        deployment.calls();
        let slow = Misbehaviour::Delay(Duration::from_millis(500));
        let conflict = Misbehaviour::Status(StatusCode::CONFLICT);
        for what in [slow, conflict] {
            cluster.fault(Fault::new(Endpoint::Write, what).times(1));
        }
        let other = async {
            let patched = || cluster.calls().iter().any(|call| call.method == "PATCH");
            until("a write is under way", patched).await;
            if locked {
                assert!(cluster.set_enabled("alice", false));
            } else {
                cluster.set_internal_user(theirs.clone());
            }
        };
        let (asked, ()) = tokio::join!(deployment.ask("alice", ""), other);
        assert_eq!(why(asked), expected);
        let alice = cluster.internal_user("alice").unwrap();
        if locked {
            assert_eq!(alice.hash, "!");
            assert_eq!(alice.roles, ["editor", "viewer"]);
        } else {
            assert_eq!(alice, theirs);
        }
    }
}

#[tokio::test]
async fn of_two_replicas_that_meet_a_newcomer_at_once_one_writes_and_the_other_finds_them() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let replica = deployment.replica(|_| ());
    for flow in [&deployment.flow, &replica] {
        ask(flow, "bob", "dev").await.unwrap();
    }
    deployment.calls();
    let takes = Duration::from_millis(400);
    deployment.cluster.set_write_takes(takes);
    let (one, other) = tokio::join!(
        ask(&deployment.flow, "alice", "dev"),
        ask(&replica, "alice", "dev")
    );
    let (one, other) = (login(&one.unwrap()), login(&other.unwrap()));
    assert_eq!(one, other);
    assert!(deployment.cluster.accepts(&one));
    let calls = deployment.calls();
    let written = format!("PATCH {USERS} 200 by service");
    let writes = calls.iter().filter(|call| **call == written).count();
    assert_eq!(writes, 1, "{calls:?}");
}

#[tokio::test]
async fn the_login_of_a_fresh_user_is_tried_and_the_user_is_gone_again() {
    let stage = stage("").await;
    let trial = ["check", "--online", "--try-login"];
    let output = stage.elastauth.command(&trial).await;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(
        said.contains("the cluster accepts a login that was just written"),
        "{said}"
    );
    let written = format!("PATCH {USERS} 200");
    let calls = stage.calls();
    assert!(
        calls.last().is_some_and(|call| call.starts_with(&written)),
        "{calls:?}"
    );
    // The check asks for the roles too, as the service never does.
    stage.cluster.forget_calls();
}

/// The login of before works on while a node has it in its cache. That does not make the new user
/// one of ours.
#[tokio::test]
async fn a_user_whom_an_administrator_made_anew_is_theirs_whatever_the_cache_keeps() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let cluster = &deployment.cluster;
    let editor = login(&deployment.ask("alice", "dev").await.unwrap());
    assert!(cluster.accepts(&editor));
    let kept = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
    cluster.fault(kept.times(1));
    let admin = basic("elastauth", cluster.service_password());
    let body = json!({
        "password": "Correct-Horse-7-Battery",
        "opendistro_security_roles": ["editor", "viewer"],
    });
    let written = Server::plain(cluster.addr().port())
        .ask(
            Method::PUT,
            &format!("{USERS}/alice"),
            &[("authorization", &admin)],
            Some(&body),
        )
        .await;
    assert_eq!(written.status, StatusCode::OK, "{}", written.text());
    let theirs = cluster.internal_user("alice");
    assert!(cluster.accepts(&editor), "the cache keeps it");
    deployment.calls();
    deployment.pass(Duration::from_hours(1));
    assert_eq!(
        why(deployment.ask("alice", "dev").await),
        BrokerError::Foreign
    );
    let calls = deployment.calls();
    let logged_in = "GET /_plugins/_security/authinfo 200 by alice".to_owned();
    assert!(calls.contains(&logged_in), "{calls:?}");
    assert_eq!(cluster.internal_user("alice"), theirs);
}

#[tokio::test]
async fn a_revoked_login_ends_and_a_changed_password_is_put_right() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let first = login(&deployment.ask("alice", "dev").await.unwrap());
    let order = RevokeOrder {
        peer: Peer::Unix,
        api_keys: true,
    };
    let user = Username::parse("alice").unwrap();
    let revoked = upstream_of(&deployment.flow)
        .broker()
        .revoke(&user, order)
        .await;
    assert_eq!(revoked.login.unwrap().generation.0, 1);
    assert!(!deployment.cluster.accepts(&first));
    let next = login(&deployment.ask("alice", "dev").await.unwrap());
    assert!(next != first && deployment.cluster.accepts(&next));

    let mut alice = deployment.cluster.internal_user("alice").unwrap();
    alice.hash = InternalUser::new("alice", "chosen by alice").hash;
    deployment.cluster.set_internal_user(alice);
    deployment.pass(Duration::from_hours(1));
    let again = login(&deployment.ask("alice", "dev").await.unwrap());
    assert!(deployment.cluster.accepts(&again));
}

/// A login that was being checked during the write stays in the cache. The second write ends it.
#[tokio::test]
async fn a_login_that_the_cache_keeps_ends_with_its_revocation() {
    let deployment = Deployment::opensearch(|_| ()).await;
    let first = login(&deployment.ask("alice", "dev").await.unwrap());
    assert!(deployment.cluster.accepts(&first));
    let kept = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
    deployment.cluster.fault(kept.times(1));
    let order = RevokeOrder {
        peer: Peer::Unix,
        api_keys: false,
    };
    let user = Username::parse("alice").unwrap();
    let upstream = upstream_of(&deployment.flow);
    let revoked = upstream.broker().revoke(&user, order).await;
    assert!(!revoked.login.unwrap().may_be_undone);
    assert!(!deployment.cluster.accepts(&first));
    let next = login(&deployment.ask("alice", "dev").await.unwrap());
    assert!(next != first && deployment.cluster.accepts(&next));
    deployment.calls();
    deployment.pass(Duration::from_hours(1));
    assert_eq!(login(&deployment.ask("alice", "dev").await.unwrap()), next);
    let calls = deployment.calls();
    let written = calls.iter().any(|call| call.starts_with("PATCH"));
    assert!(
        !written,
        "the note of the time is no reason to write: {calls:?}"
    );
}

/// A stage whose program takes commands from this machine.
async fn stage_for_commands() -> Stage {
    let tasks = Tasks::default();
    let cluster = StandIn::start_opensearch(&tasks).await.unwrap();
    let key = format!("{GATEWAY_KEY}\n");
    let plan = Plan {
        files: &[("gateway.key", &key)],
        ..Plan::default()
    };
    Stage::before(cluster, tasks, plan).await
}

async fn users(stage: &Stage, action: &str) -> Output {
    let url = format!("http://127.0.0.1:{}", stage.elastauth.port());
    let how = ["--replica", &url, "--gateway-key-file", "gateway.key"];
    let command = [&["users", action, "alice"][..], &how].concat();
    stage.elastauth.command(&command).await
}

#[tokio::test]
async fn a_login_that_the_cache_keeps_ends_when_its_user_is_disabled_or_deleted() {
    for action in ["disable", "delete"] {
        let stage = stage_for_commands().await;
        let answer = stage.ask("alice", "dev").await;
        assert!(stage.works(&answer));
        let kept = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
        stage.cluster.fault(kept.times(1));
        let output = users(&stage, action).await;
        assert!(output.status.success(), "{output:?}");
        assert!(
            !stage.works(&answer),
            "{action}: the cache does not keep it"
        );
        let is_there = stage.cluster.internal_user("alice").is_some();
        assert_eq!(is_there, action == "disable");
    }
}

#[tokio::test]
async fn a_user_whose_deletion_fails_half_way_is_kept_out_until_it_is_run_again() {
    let stage = stage_for_commands().await;
    let answer = stage.ask("alice", "dev").await;
    let kept = Fault::new(Endpoint::Write, Misbehaviour::OldLoginKept);
    stage.cluster.fault(kept.times(1));
    let blocked = Fault::new(Endpoint::Write, Misbehaviour::WriteBlocked);
    stage.cluster.fault(blocked);
    let output = users(&stage, "delete").await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.code() == Some(1) && said.contains("disabled and not deleted yet"),
        "{output:?}"
    );
    let refused = stage.ask("alice", "dev").await;
    stage.says(&refused, 403, "user_not_allowed");
    stage.cluster.clear_faults();
    let output = users(&stage, "delete").await;
    assert!(output.status.success(), "{output:?}");
    assert!(stage.cluster.internal_user("alice").is_none() && !stage.works(&answer));
}

#[tokio::test]
async fn the_program_finds_out_what_it_is_and_parks_those_who_stay_away_together() {
    let stage = stage("credentials: {rotation: 6s, grace: 500ms, park_within: 2s}").await;
    let names: Vec<String> = (0..20).map(|n| format!("user-{n}")).collect();
    let answers: Vec<Answer> = join_all(names.iter().map(|name| stage.ask(name, "dev"))).await;
    for answer in &answers {
        assert_eq!(answer.status, StatusCode::OK);
    }
    let logins: BTreeSet<&[u8]> = answers
        .iter()
        .map(|answer| answer.headers[header::AUTHORIZATION].as_bytes())
        .collect();
    assert_eq!(logins.len(), 20);
    let parked = async || {
        let all = names.iter().all(|name| {
            let user = stage.cluster.internal_user(name);
            user.is_some_and(|user| user.attributes.contains_key("elastauth_parked"))
        });
        all.then_some(())
    };
    find("all parked", Duration::from_mins(1), parked).await;
    for answer in &answers {
        assert!(!stage.works(answer), "the login of the last period is dead");
    }
    let back = stage.ask("user-1", "").await;
    assert!(stage.works(&back));
    assert_eq!(
        stage.cluster.roles_of("user-1"),
        Some(vec!["viewer".to_owned()])
    );
}
