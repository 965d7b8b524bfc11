//! Users whom somebody else changes in the cluster, and a cluster whose users are out of reach.

use crate::support::{
    Why, pause,
    stage::{GATEWAY_KEY, Plan, Stage, for_user},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StandIn, StoredUser};
use std::time::Duration;
use tokio::task::JoinSet;

/// Has a user checked again, as an operator on the same machine.
async fn recheck(stage: &Stage, user: &str) -> serde_json::Value {
    let path = format!("/elastauth/admin/users/{user}/recheck");
    let answer = stage
        .gateway()
        .ask(
            http::Method::POST,
            &path,
            &[("x-elastauth-key", GATEWAY_KEY)],
            None,
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Something that somebody else does to a user of ours.
type Edit = fn(&StandIn, StoredUser);

const EDITS: [(&str, Edit); 6] = [
    ("deleted", |cluster, user| {
        assert!(cluster.remove_user(&user.username));
    }),
    ("re-roled", |cluster, user| {
        cluster.set_user(user.with_roles(&["superuser"]));
    }),
    ("renamed", |cluster, mut user| {
        user.full_name = Some("Somebody Else".to_owned());
        cluster.set_user(user);
    }),
    ("stripped of its mark", |cluster, mut user| {
        user.metadata = serde_json::Map::new();
        cluster.set_user(user);
    }),
    ("given another password", |cluster, user| {
        let metadata = user.metadata.clone();
        let mut other =
            StoredUser::new(&user.username, "another password").with_roles(&["editor", "viewer"]);
        other.metadata = metadata;
        cluster.set_user(other);
    }),
    ("emptied of roles", |cluster, user| {
        cluster.set_user(user.with_roles(&[]));
    }),
];

#[tokio::test]
async fn an_edit_by_somebody_else_is_corrected_at_the_next_check() {
    for wait in [true, false] {
        let more = if wait {
            "cache: {expiration: 300ms}"
        } else {
            "audit: {path: /etc/elastauth/audit}"
        };
        let stage = Stage::planned(Plan {
            more,
            ..Plan::default()
        })
        .await;
        assert_eq!(recheck(&stage, "alice").await["known"], false);
        assert!(stage.works(&stage.ask("alice", "dev").await));
        let before = stage.cluster.user("alice").unwrap();
        for (what, edit) in EDITS {
            edit(&stage.cluster, before.clone());
            if wait {
                pause(Why::Expires, Duration::from_millis(310)).await;
            } else {
                assert!(
                    stage.ask("alice", "dev").await.status.is_success(),
                    "{what}: not noticed yet"
                );
                assert_eq!(recheck(&stage, "alice").await["known"], true, "{what}");
            }
            stage.cluster.forget_calls();
            assert!(stage.works(&stage.ask("alice", "dev").await), "{what}");
            // A name decides nothing, so nobody waits for it.
            until(what, || {
                let after = stage.cluster.user("alice").unwrap();
                (&after.roles, &after.metadata, &after.full_name)
                    == (&before.roles, &before.metadata, &before.full_name)
            })
            .await;
            assert_eq!(stage.called("PUT"), 1, "{what}: {:?}", stage.calls());
        }
        if !wait {
            let audit = stage.elastauth.file("audit");
            let audited = audit
                .lines()
                .filter(|line| {
                    line.contains(r#""event":"user_recheck","user":"alice","peer":"127.0.0.1""#)
                })
                .count();
            assert_eq!(audited, EDITS.len() + 1, "{audit}");
        }
    }
}

#[tokio::test]
async fn a_user_of_somebody_else_is_refused_and_left_alone() {
    let stage = Stage::usual().await;
    stage
        .cluster
        .set_user(StoredUser::new("carol", "her own").with_roles(&["superuser"]));
    stage.says(&stage.ask("carol", "dev").await, 403, "user_not_allowed");
    assert_eq!(stage.cluster.user("carol").unwrap().roles, ["superuser"]);
}

#[tokio::test]
async fn a_user_whose_first_login_names_no_groups_can_be_disabled() {
    let stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "").await));
    assert_eq!(stage.cluster.user("alice").unwrap().roles, ["viewer"]);
    assert!(stage.cluster.set_enabled("alice", false));
    // Other groups need a write, and the write finds the user disabled.
    stage.says(&stage.ask("alice", "dev").await, 403, "user_not_allowed");
    assert!(!stage.cluster.user("alice").unwrap().enabled);
}

#[tokio::test]
async fn a_disabled_user_stays_disabled_and_comes_back_when_enabled() {
    let stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.cluster.set_enabled("alice", false));
    recheck(&stage, "alice").await;
    for groups in ["dev", "ops", "dev"] {
        stage.says(&stage.ask("alice", groups).await, 403, "user_not_allowed");
        recheck(&stage, "alice").await;
    }
    assert!(!stage.cluster.user("alice").unwrap().enabled);
    assert_eq!(stage.called("PUT"), 1);
    stage.says(&stage.ask("alice", "dev").await, 403, "user_not_allowed");
    assert!(stage.cluster.set_enabled("alice", true));
    // Not even the failure of a moment ago stands in the way.
    stage.says(&stage.ask("alice", "dev").await, 403, "user_not_allowed");
    recheck(&stage, "alice").await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn without_its_security_index_the_cluster_gets_no_write_and_few_calls() {
    let stage = Stage::planned(Plan {
        more: "cache: {expiration: 300ms}",
        ..Plan::default()
    })
    .await;
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    pause(Why::Expires, Duration::from_millis(310)).await;
    stage.cluster.forget_calls();
    stage
        .cluster
        .fault(Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable));
    let began = tokio::time::Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..20 {
        let gateway = stage.gateway().clone();
        clients.spawn(async move {
            for _ in 0..40 {
                let answer = gateway
                    .send(for_user(["alice", "bob"][client % 2]))
                    .await
                    .unwrap();
                assert_eq!(
                    (
                        answer.status.as_u16(),
                        answer.header("retry-after").is_some()
                    ),
                    (503, true)
                );
                pause(Why::Pace, Duration::from_millis(25)).await;
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    // An update asks twice at each of five attempts within 1.5 s: as the user, then by the service
    // account. Its failure answers for one more second.
    assert!(
        stage.calls().len() <= 2 * 2 * 5 * (seconds / 2 + 1),
        "{seconds} s: {:?}",
        stage.calls()
    );
    assert_eq!(stage.called("PUT"), 0);
    stage.cluster.clear_faults();
    pause(Why::Expires, Duration::from_millis(1_100)).await;
    stage.cluster.forget_calls();
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    assert_eq!(
        stage.calls(),
        ["GET /_security/_authenticate 200"; 2],
        "their logins are as they were"
    );
}
