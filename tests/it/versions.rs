//! Versions of Elasticsearch that answer differently, as far as is known of them.

use crate::support::{
    find,
    http::Answer,
    stage::{Plan, Stage},
};
use elastauth::internals::{
    demo::standin::{StandIn, Version},
    shutdown::Tasks,
};
use http::{StatusCode, header};
use std::time::Duration;

const VERSIONS: [Version; 3] = [Version::V7_17, Version::V8_19, Version::V9_5];

async fn stage(version: Version, more: &str) -> Stage {
    let tasks = Tasks::default();
    let cluster = StandIn::start_version(&tasks, version).await.unwrap();
    let plan = Plan {
        more,
        ..Plan::default()
    };
    Stage::before(cluster, tasks, plan).await
}

fn roles(stage: &Stage, answer: &Answer) -> Vec<String> {
    let login = answer.headers.get(header::AUTHORIZATION);
    let roles = stage.cluster.roles_with(login.expect("a login"));
    roles.expect("a login that works")
}

#[tokio::test]
async fn a_user_gets_in_and_keeps_up_with_their_groups_on_every_version() {
    for version in VERSIONS {
        let stage = stage(version, "").await;
        let first = stage.ask("alice", "dev").await;
        assert_eq!(roles(&stage, &first), ["editor", "viewer"], "{version:?}");
        let next = stage.ask("alice", "").await;
        assert_eq!(roles(&stage, &next), ["viewer"], "{version:?}");
        let login = |answer: &Answer| answer.headers[header::AUTHORIZATION].clone();
        assert_eq!(
            login(&first),
            login(&next),
            "Elasticsearch keeps no replaced login, so the password stays"
        );
    }
}

#[tokio::test]
async fn a_disabled_user_stays_out_and_a_deleted_one_is_made_again_on_every_version() {
    for version in VERSIONS {
        let stage = stage(version, "cache: {expiration: 1s}").await;
        assert_eq!(stage.ask("alice", "dev").await.status, StatusCode::OK);
        assert!(stage.cluster.set_enabled("alice", false));
        let refused = async || {
            let answer = stage.ask("alice", "dev").await;
            (answer.status == StatusCode::FORBIDDEN).then_some(())
        };
        find("a refusal", Duration::from_secs(20), refused).await;
        let alice = stage.cluster.user("alice").unwrap();
        assert!(!alice.enabled, "{version:?}");
        assert!(stage.cluster.remove_user("alice"));
        let again = async || {
            let answer = stage.ask("alice", "dev").await;
            let is_there = stage.cluster.user("alice").is_some();
            (is_there && stage.works(&answer)).then_some(())
        };
        find("alice again", Duration::from_secs(20), again).await;
    }
}

#[tokio::test]
async fn users_who_stay_away_are_found_on_every_version() {
    for version in VERSIONS {
        let short = "credentials: {rotation: 6s, grace: 500ms, park_within: 2s}";
        let stage = stage(version, short).await;
        let first = stage.ask("alice", "dev").await;
        assert!(stage.works(&first));
        let parked = async || {
            let marker = stage
                .cluster
                .user("alice")?
                .metadata
                .get("elastauth")?
                .clone();
            (marker["parked"] == true).then_some(())
        };
        find("alice parked", Duration::from_secs(30), parked).await;
        assert!(!stage.works(&first), "{version:?}");
        let pages = stage.called("POST /_security/_query/user");
        let all = stage.called("GET /_security/user?");
        if version == Version::V7_17 {
            assert!(
                pages > 0 && all > 0,
                "it is asked for pages, and gives none"
            );
        } else {
            assert!(pages > 0 && all == 0, "{version:?}");
        }
    }
}

#[tokio::test]
async fn where_a_foreign_hash_is_refused_the_password_is_sent() {
    let stage = stage(Version::V7_17, "").await;
    assert_eq!(stage.ask("alice", "dev").await.status, StatusCode::OK);
    let writes = |stage: &Stage, status: u16| {
        let calls = stage.calls();
        let ended = format!(" {status}");
        let of = |call: &&String| call.starts_with("PUT ") && call.ends_with(&ended);
        calls.iter().filter(of).count()
    };
    assert_eq!((writes(&stage, 400), writes(&stage, 200)), (1, 1));
    assert_eq!(stage.ask("bob", "dev").await.status, StatusCode::OK);
    assert_eq!(
        (writes(&stage, 400), writes(&stage, 200)),
        (1, 2),
        "it is tried once"
    );
}
