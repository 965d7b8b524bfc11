//! Replicas and the writes of others: in the middle of one, and after one that came late.

use super::{at, ready, replica, stored, two};
use crate::support::{
    deployment::{Deployment, ask},
    redis::Redis,
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// What a test does meanwhile has to fit into it, on a busy machine too.
const LATE: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_by_what_another_replica_is_writing_just_then() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    // Applied at the copy of the index that is asked, and on its way to the others.
    deployment.cluster.fault(
        Fault::new(
            Endpoint::Write,
            Misbehaviour::AppliedThenDelay(Duration::from_millis(300)),
        )
        .times(1),
    );
    let writes = tokio::spawn({
        let flow = Arc::clone(&one.flow);
        async move { ask(&flow, "alice", "dev").await.map(drop) }
    });
    until("what is being written", || {
        deployment.cluster.user("alice").is_some()
    })
    .await;
    let grant = ask(&other.flow, "alice", "dev").await.unwrap();
    let landed = deployment
        .cluster
        .calls()
        .iter()
        .any(|call| call.method == http::Method::PUT && call.status.is_some());
    assert!(landed, "answered before the write was");
    assert!(
        deployment
            .cluster
            .accepts(grant.credential().authorization())
    );
    writes.await.unwrap().unwrap();
    assert_eq!(
        deployment
            .cluster
            .calls()
            .iter()
            .filter(|call| call.method == http::Method::PUT)
            .count(),
        1
    );
    // A replica that ends in the middle of a write keeps nobody waiting for longer than that: what
    // it began is believed for a moment at a time.
    deployment
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::LateWrite(Duration::ZERO)).times(1));
    let lost = tokio::spawn({
        let flow = Arc::clone(&one.flow);
        async move { ask(&flow, "bob", "dev").await.map(drop) }
    });
    until("what is being written", || {
        deployment.cluster.user("bob").is_some()
    })
    .await;
    assert!(
        deployment.cluster.accepts(
            ask(&other.flow, "bob", "dev")
                .await
                .unwrap()
                .credential()
                .authorization()
        )
    );
    lost.abort();
}

/// One replica's writes are given up by whoever asked for them, and it is asked no more; the others
/// go on with other groups. What comes late must not stand for longer than ten seconds with them,
/// although one of them has written the user itself, for bob even with the same groups before, and
/// another has had it confirmed since.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_lands_late_is_found_by_every_replica_within_ten_seconds() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    let third = replica(
        &deployment,
        at(&format!("redis://127.0.0.1:{}", redis.port)),
        |_| {},
    );
    ready(&third).await;
    for (user, known) in [("alice", 1), ("bob", 2)] {
        ask(&one.flow, user, "dev").await.unwrap();
        stored(&redis, known).await;
        deployment.cluster.fault(
            Fault::new(Endpoint::Write, Misbehaviour::LateWrite(LATE))
                .about(user)
                .times(1),
        );
    }
    let lands = Instant::now() + LATE;
    let (alice, bob) = tokio::join!(
        ask(&one.flow, "alice", "admins"),
        ask(&one.flow, "bob", "admins")
    );
    assert!(alice.is_err() && bob.is_err(), "their writes hang");
    ask(&other.flow, "bob", "admins").await.unwrap();
    for user in ["alice", "bob"] {
        for flow in [&other.flow, &third.flow, &other.flow] {
            ask(flow, user, "staff").await.unwrap();
        }
    }
    assert!(Instant::now() < lands, "too slow to see anything");
    let is_late = |user: &str| deployment.roles(user).contains(&"superuser".to_owned());
    until("the late writes", || is_late("alice") && is_late("bob")).await;
    deployment.pass(Duration::from_secs(10));
    for (flow, user) in [
        (&third.flow, "alice"),
        (&other.flow, "alice"),
        (&other.flow, "bob"),
        (&third.flow, "bob"),
    ] {
        deployment.calls();
        ask(flow, user, "staff").await.unwrap();
        assert!(
            !deployment.calls().is_empty(),
            "{user} is answered from memory"
        );
        assert!(!is_late(user));
    }
}
