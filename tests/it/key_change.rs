//! A change of keys with replicas of both kinds side by side, with the stand-in cluster.

use crate::support::{
    deployment::{Deployment, ask},
    stage::{GATEWAY_KEY, Plan, Stage},
};
use elastauth::internals::{
    broker::{self, PreviousKey},
    clock::Timestamp,
    secret::SecretKey,
};
use serde_json::Value;
use std::{sync::atomic::Ordering, time::Duration};

#[tokio::test]
async fn a_new_key_comes_to_each_user_at_its_own_boundary_and_replicas_never_contradict_each_other()
{
    // The clock stands still during a request, so nobody is held at a boundary here.
    let short = |config: &mut broker::Config| {
        (config.rotation, config.grace) = (Duration::from_mins(1), Duration::ZERO);
    };
    let deployment = Deployment::with(short).await;
    let since = Timestamp(deployment.ms.load(Ordering::SeqCst) + 60_000);
    let new_key = "3e5a77c1d09b4f2286e4b1a9c05d7f13a86c2e94b7d05f31c92e6a40d8b17f5c";
    let next = || {
        deployment.replica(|config| {
            short(config);
            config.previous_key = config
                .secret_key
                .take()
                .map(|key| PreviousKey { key, until: since });
            config.secret_key = Some(SecretKey::parse(new_key).unwrap());
            config.writes_per_minute = 1;
        })
    };
    // The rolling restart: replicas with the old key alone and replicas with both answer side by
    // side.
    let (one, two) = (next(), next());
    for user in ["alice", "bob", "carol"] {
        let old = deployment.ask(user, "dev").await.unwrap();
        for flow in [&one, &two] {
            assert_eq!(
                ask(flow, user, "dev")
                    .await
                    .unwrap()
                    .credential()
                    .authorization(),
                old.credential().authorization()
            );
        }
        assert_eq!(
            deployment.cluster.user(user).unwrap().metadata["elastauth"]["key"]
                .as_str()
                .map(str::len),
            Some(8)
        );
    }
    deployment.calls();
    // From here on every replica knows both keys. Each user moves once, and both replicas move
    // together.
    let mut moved = Vec::new();
    for second in 0..125 {
        deployment.pass(Duration::from_secs(1));
        for user in ["alice", "bob", "carol"] {
            let (first, second_replica) = (
                ask(&one, user, "dev").await.unwrap(),
                ask(&two, user, "dev").await.unwrap(),
            );
            assert_eq!(
                first.credential().authorization(),
                second_replica.credential().authorization(),
                "{user} at {second}"
            );
            assert!(
                deployment
                    .cluster
                    .accepts(first.credential().authorization()),
                "{user} at {second}"
            );
        }
        moved.extend(
            deployment
                .calls()
                .into_iter()
                .filter(|call| call.starts_with("PUT")),
        );
    }
    // Two boundaries a user in two minutes, some perhaps three; one write each, whatever the number
    // of replicas.
    assert!((6..=9).contains(&moved.len()), "{moved:?}");
    let after = deployment.replica(|config| {
        short(config);
        config.secret_key = Some(SecretKey::parse(new_key).unwrap());
    });
    let of_one = ask(&one, "alice", "dev").await.unwrap();
    assert_eq!(
        ask(&after, "alice", "dev")
            .await
            .unwrap()
            .credential()
            .authorization(),
        of_one.credential().authorization()
    );
}

/// Two deployments with different keys on one cluster undo each other's work. Both say so.
#[tokio::test]
async fn a_user_that_was_written_with_another_key_is_reported_with_both_keys() {
    let ours = Stage::usual().await;
    let theirs = ours
        .replica(Plan {
            environment: &[(
                "ELASTAUTH_SECRET_KEY",
                "8d21f0c7b3a94e6580df1b27c6e93a04f5b8712d60e9c34a7f1d85b2e60c937a",
            )],
            ..Plan::default()
        })
        .await;
    let ready = async |stage: &Stage| {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let answer = stage.gateway().get("/elastauth/ready", &key).await;
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        answer["key_id"].as_str().unwrap().to_owned()
    };
    let (our_id, their_id) = (ready(&ours).await, ready(&theirs).await);
    assert_ne!(our_id, their_id);
    let untrusted = ours.untrusted().get("/elastauth/ready", &[]).await;
    assert!(!untrusted.text().contains("key_id"), "{}", untrusted.text());
    let shown = ours.elastauth.command(&["config"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains(&format!("*** (key id {our_id})")), "{shown}");

    assert_eq!(theirs.ask("alice", "dev").await.status, 200);
    assert!(ours.works(&ours.ask("alice", "dev").await));
    let log = ours.elastauth.log();
    let line = log
        .lines()
        .find(|line| line.contains("written with another key"))
        .unwrap_or_else(|| panic!("{log}"));
    assert!(
        line.contains("WARN") && line.contains(&our_id) && line.contains(&their_id),
        "{line}"
    );
}
