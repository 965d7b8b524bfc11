//! A cluster that is away for a moment: somebody who logs in for the first time does not notice.
//! And one that takes writes and refuses the logins: nobody gets a login that does not work.

use crate::support::{
    Why, pause,
    stage::{Plan, Stage},
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use http::StatusCode;
use std::time::Duration;

#[tokio::test]
async fn a_first_login_survives_what_passes_within_a_second() {
    use Endpoint::{Any, Authenticate, Read, Write};
    use Misbehaviour as M;
    let unavailable = M::Status(StatusCode::SERVICE_UNAVAILABLE);
    for (at, what) in [
        // A fresh node makes its security index.
        (Write, unavailable),
        (Authenticate, unavailable),
        (Read, unavailable),
        (Any, unavailable),
        // A queue is full.
        (Write, M::Status(StatusCode::TOO_MANY_REQUESTS)),
        (Read, M::Status(StatusCode::TOO_MANY_REQUESTS)),
        // A node ends in the middle of an answer to a read.
        (Read, M::CloseBefore),
        (Read, M::CloseAfter),
        (Authenticate, M::CloseAfter),
        (Authenticate, M::Status(StatusCode::INTERNAL_SERVER_ERROR)),
    ] {
        let stage = Stage::usual().await;
        stage.cluster.fault(Fault::new(at, what).times(2));
        let answer = stage.ask("alice", "dev").await;
        assert_eq!(
            answer.status,
            200,
            "{at:?} {what:?}: {}",
            stage.elastauth.log()
        );
        assert!(stage.works(&answer), "{at:?} {what:?}");
    }
}

#[tokio::test]
async fn a_node_that_restarts_is_not_noticed_by_a_newcomer() {
    let stage = Stage::usual().await;
    assert_eq!(stage.ask("alice", "dev").await.status, 200);
    // The service account is a native user: without the security index it is refused like
    // everybody.
    stage
        .cluster
        .fault(Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable).times(4));
    let answer = stage.ask("bob", "dev").await;
    assert_eq!(answer.status, 200, "{}", stage.elastauth.log());
    assert!(stage.works(&answer));
}

/// What may have been carried out is not sent again: only its end is awaited.
#[tokio::test]
async fn a_write_of_unknown_end_is_not_repeated_at_once() {
    let stage = Stage::usual().await;
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::CloseAfter).times(1));
    assert_eq!(stage.ask("alice", "dev").await.status, 503);
    assert_eq!(stage.called("PUT"), 1);
}

/// Newcomers take one of `users.new_per_minute` each, however often their write is tried.
#[tokio::test]
async fn a_write_that_is_tried_again_is_counted_once() {
    let stage = Stage::planned(Plan {
        more: "users: {new_per_minute: 2}",
        ..Plan::default()
    })
    .await;
    let unavailable = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, unavailable).times(3));
    assert_eq!(stage.ask("alice", "dev").await.status, 200);
    assert_eq!(stage.ask("bob", "dev").await.status, 200);
    assert_eq!(stage.ask("carol", "dev").await.status, 503);
}

#[tokio::test]
async fn a_cluster_that_refuses_fresh_logins_gets_no_second_write_and_nobody_gets_in() {
    let stage = Stage::usual().await;
    // As where the native realm is not in the chain: users are written, and nobody can log in.
    stage.cluster.fault(Fault::new(
        Endpoint::Authenticate,
        Misbehaviour::Status(StatusCode::UNAUTHORIZED),
    ));
    for user in ["alice", "bob"] {
        for _ in 0..2 {
            assert_eq!(stage.ask(user, "dev").await.status, 503);
            pause(Why::Expires, Duration::from_millis(1_100)).await;
        }
    }
    assert_eq!(
        stage.called("PUT"),
        2,
        "each user once: {:?}",
        stage.calls()
    );
    let log = stage.elastauth.log();
    assert!(
        log.lines()
            .any(|line| line.contains("ERROR") && line.contains("native realm")),
        "{log}"
    );
    stage.cluster.clear_faults();
    for user in ["alice", "bob"] {
        let answer = stage.ask(user, "dev").await;
        assert!(stage.works(&answer), "{}", stage.elastauth.log());
    }
    assert_eq!(stage.called("PUT"), 2, "their logins work as they are");
}
