//! What the running program promises about others: users whom somebody has changed in the cluster are put right, and nobody suffers from a flood of
//! strangers, from a start with everybody at the door, or from a crash.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]
#![allow(clippy::disallowed_methods, reason = "clients of the test's own run beside it")]

#[path = "support/program.rs"]
mod support;

use elastauth::demo::standin::{Endpoint, Fault, Misbehaviour};
use std::time::Duration;
use support::stage::{Plan, Stage, question};
use support::until;
use tokio::task::JoinSet;
use tokio::time::sleep;

fn for_user(user: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    question("/elastauth", &[("remote-user", user.as_bytes()), ("remote-groups", b"dev")])
}

fn calls(stage: &Stage, start: &str) -> usize {
    stage.calls().iter().filter(|call| call.starts_with(start)).count()
}

#[tokio::test]
async fn writes_that_hang_do_not_keep_known_users_from_being_confirmed() {
    let stage = Stage::planned(Plan { more: "cache: {expiration: 100ms}", ..Plan::default() }).await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    stage.cluster.fault(Fault::new(Endpoint::Write, Misbehaviour::Hang));
    let mut crowd = JoinSet::new();
    for client in 0..300 {
        let gateway = stage.gateway().clone();
        crowd.spawn(async move {
            for n in 0.. {
                drop(gateway.send(for_user(&format!("new-{client}-{n}"))).await);
            }
        });
    }
    until("as many writes as there may be", || calls(&stage, "PUT") >= 17).await;
    // By now those who queue for a write have queued for as long as they may.
    sleep(Duration::from_millis(2_500)).await;
    for _ in 0..5 {
        assert!(stage.works(&stage.ask("alice", "dev").await));
        sleep(Duration::from_millis(110)).await;
    }
    crowd.abort_all();
}
