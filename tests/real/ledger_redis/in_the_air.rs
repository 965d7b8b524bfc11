//! One replica asks about a user whom another one is writing.

use super::{House, Redis, ask, two};
use crate::support::until;
use elastauth::demo::standin::{Endpoint, Fault, Misbehaviour};
use std::{sync::Arc, time::Duration};

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_answered_by_what_another_replica_is_writing_just_then() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    // Applied at the copy of the index that is asked, and on its way to the others.
    house.cluster.fault(
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
        house.cluster.user("alice").is_some()
    })
    .await;
    let grant = ask(&other.flow, "alice", "dev").await.unwrap();
    let landed = house
        .cluster
        .calls()
        .iter()
        .any(|call| call.method == http::Method::PUT && call.status.is_some());
    assert!(landed, "answered before the write was");
    assert!(house.cluster.accepts(grant.credential().authorization()));
    writes.await.unwrap().unwrap();
    assert_eq!(
        house
            .cluster
            .calls()
            .iter()
            .filter(|call| call.method == http::Method::PUT)
            .count(),
        1
    );
    // A replica that ends in the middle of a write keeps nobody waiting for longer than that: what
    // it began is believed for a moment at a time.
    house
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::LateWrite(Duration::ZERO)).times(1));
    let lost = tokio::spawn({
        let flow = Arc::clone(&one.flow);
        async move { ask(&flow, "bob", "dev").await.map(drop) }
    });
    until("what is being written", || {
        house.cluster.user("bob").is_some()
    })
    .await;
    assert!(
        house.cluster.accepts(
            ask(&other.flow, "bob", "dev")
                .await
                .unwrap()
                .credential()
                .authorization()
        )
    );
    lost.abort();
}
