//! A change of keys with replicas of both kinds side by side, with the stand-in cluster.

use crate::support::deployment::{Deployment, ask};
use elastauth::internals::{
    broker::{self, PreviousKey},
    clock::Timestamp,
    secret::SecretKey,
};
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
