//! Many users at once: the cluster gets a bounded number of calls, and known users are not held up.

use crate::support::{
    Why,
    multiplexed::Multiplexed,
    pause,
    stage::{GATEWAY_KEY, Plan, Stage, for_user, question},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

#[tokio::test]
async fn writes_that_hang_do_not_hold_up_known_users() {
    let stage = Stage::planned(Plan {
        more: "cache: {expiration: 100ms}",
        ..Plan::default()
    })
    .await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::Hang));
    let mut crowd = JoinSet::new();
    for client in 0..300 {
        let gateway = stage.gateway().clone();
        crowd.spawn(async move {
            for n in 0.. {
                drop(gateway.send(for_user(&format!("new-{client}-{n}"))).await);
            }
        });
    }
    until("as many writes as there may be", || {
        stage.called("PUT") >= 13
    })
    .await;
    // By now those who queue for a write have queued for as long as they may.
    pause(Why::Expires, Duration::from_millis(2_500)).await;
    for _ in 0..5 {
        assert!(stage.works(&stage.ask("alice", "dev").await));
        pause(Why::Expires, Duration::from_millis(110)).await;
    }
    crowd.abort_all();
}

#[tokio::test]
async fn made_up_names_become_a_bounded_number_of_users_and_keep_nobody_out() {
    let more = "users: {new_per_minute: 20}\ncache: {expiration: 200ms}\nenable_metrics: true";
    let stage = Stage::planned(Plan {
        more,
        ..Plan::default()
    })
    .await;
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    // Two seconds refill two thirds of one.
    let (mut granted, mut refused) = (0, 0);
    for n in 0..200 {
        let answer = stage.ask(&format!("made-up-{n}"), "dev").await;
        if answer.status == 200 {
            granted += 1;
        } else {
            stage.says(&answer, 503, "unavailable");
            assert_eq!(answer.header("retry-after"), Some("5"));
            refused += 1;
        }
        if n % 20 == 0 {
            // Who is known is answered, checked and changed as ever.
            assert!(
                stage.works(
                    &stage
                        .ask("alice", if n % 40 == 0 { "dev" } else { "ops" })
                        .await
                )
            );
        }
    }
    assert!((18..=19).contains(&granted), "{granted}");
    let made = stage
        .calls()
        .iter()
        .filter(|call| call.starts_with("PUT /_security/user/made-up"))
        .count();
    assert_eq!((made, granted + refused), (granted, 200));
    let outcome = "elastauth_decisions_total{cluster=\"default\",outcome=\"new_users\",\
                   provider=\"authelia\"}";
    assert_eq!(stage.number(outcome).await, u64::try_from(refused).unwrap());
    assert_eq!(
        stage
            .number("elastauth_ledger_users{cluster=\"default\"}")
            .await,
        u64::try_from(granted + 2).unwrap()
    );
    let lines = stage
        .elastauth
        .log()
        .lines()
        .filter(|line| line.contains("outcome=new_users"))
        .count();
    assert!(lines < refused, "the log is not flooded: {lines} lines");
    // A user whom the cluster has is no new one, whoever remembers them.
    let again = stage
        .replica(Plan {
            more,
            ..Plan::default()
        })
        .await;
    stage.cluster.forget_calls();
    for n in 0..granted {
        assert!(again.works(&again.ask(&format!("made-up-{n}"), "dev").await));
    }
    assert_eq!(again.called("PUT"), 0);
}

#[tokio::test]
async fn a_flood_of_new_users_at_a_slow_cluster_does_not_slow_known_users() {
    let more = "users: {new_per_minute: 1000000}\ncache: {expiration: 100ms}";
    let stage = Stage::planned(Plan {
        more,
        ..Plan::default()
    })
    .await;
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    stage.cluster.fault(Fault::new(
        Endpoint::Any,
        Misbehaviour::Delay(Duration::from_millis(200)),
    ));
    let mut crowd = JoinSet::new();
    for client in 0..300 {
        let gateway = stage.gateway().clone();
        crowd.spawn(async move {
            for n in 0.. {
                let answer = gateway
                    .send(for_user(&format!("new-{client}-{n}")))
                    .await
                    .unwrap();
                assert!(
                    answer.status == 200
                        || (answer.status == 503 && answer.header("retry-after").is_some()),
                    "{answer:?}"
                );
            }
        });
    }
    pause(Why::Pace, Duration::from_secs(2)).await;
    // Whoever is checked, and whoever is changed, finds a place at once. In one queue with the
    // new users they would wait until they are turned away.
    for groups in ["dev", "dev", "ops", "ops", "dev"] {
        assert!(stage.works(&stage.ask("alice", groups).await));
        pause(Why::Expires, Duration::from_millis(110)).await;
    }
    crowd.abort_all();
    while let Some(done) = crowd.join_next().await {
        assert!(
            done.is_err_and(|error| error.is_cancelled()),
            "every new user was answered as they should be"
        );
    }
}

#[tokio::test]
async fn writes_at_once_are_bounded_and_some_are_reserved_for_known_users() {
    let stage = Stage::planned(Plan {
        more: "users: {writes_at_once: 3}",
        ..Plan::default()
    })
    .await;
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    stage.cluster.forget_calls();
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::Hang));
    let mut crowd = JoinSet::new();
    let mut ask = |user: String, groups: &'static [u8]| {
        let gateway = stage.gateway().clone();
        let asked = question(
            "/elastauth",
            &[("remote-user", user.as_bytes()), ("remote-groups", groups)],
        );
        crowd.spawn(async move { drop(gateway.send(asked).await) });
    };
    for n in 0..12 {
        ask(format!("new-{n}"), b"dev");
    }
    until("the writes of new users", || stage.called("PUT") == 2).await;
    pause(Why::NothingHappens, Duration::from_millis(300)).await;
    assert_eq!(stage.called("PUT"), 2);
    for user in ["alice", "bob"] {
        ask(user.to_owned(), b"ops");
    }
    until("the write of one who is known", || stage.called("PUT") == 3).await;
    pause(Why::NothingHappens, Duration::from_millis(300)).await;
    assert_eq!(stage.called("PUT"), 3);
    crowd.abort_all();
}

/// Asks for all these users over 64 connections, four at a time on each, and again for whoever is
/// answered 503, until everybody has got in.
async fn rush(stage: &Arc<Stage>, users: usize) {
    const AT_ONCE: usize = 256;
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE / 4 {
        connections.push(Multiplexed::in_clear(stage.gateway()).await);
    }
    let mut rush = JoinSet::new();
    for client in 0..AT_ONCE {
        let (stage, connection) = (
            Arc::clone(stage),
            connections[client % connections.len()].clone(),
        );
        rush.spawn(async move {
            for n in (client..users).step_by(AT_ONCE) {
                let asked = || {
                    let asked = http::Request::get("http://elastauth.test/elastauth")
                        .header("x-elastauth-key", GATEWAY_KEY);
                    asked
                        .header("remote-user", format!("user-{n}"))
                        .header("remote-groups", "dev")
                        .body(())
                        .unwrap()
                };
                let mut answer = connection.send(asked()).await.unwrap();
                while answer.status == 503 {
                    assert!(answer.header("retry-after").is_some(), "{answer:?}");
                    pause(Why::Pace, Duration::from_secs(1)).await;
                    answer = connection.send(asked()).await.unwrap();
                }
                assert!(stage.works(&answer), "{answer:?}");
            }
        });
    }
    rush.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_users_after_a_start_are_asked_about_once_each() {
    const USERS: usize = 10_000;
    // In clear: hashes alone would take many seconds.
    let more = "users: {new_per_minute: 1000000}\ncredentials: {hash: off, rotation: 0}";
    let first = Arc::new(
        Stage::planned(Plan {
            more,
            ..Plan::default()
        })
        .await,
    );
    first.cluster.fault(Fault::new(
        Endpoint::Any,
        Misbehaviour::Delay(Duration::from_millis(2)),
    ));
    rush(&first, USERS).await;
    assert!(first.cluster.busiest() <= 64, "bounded calls in flight");
    // Whoever starts next finds ten thousand users at its door.
    let second = Arc::new(
        first
            .replica(Plan {
                more,
                ..Plan::default()
            })
            .await,
    );
    first.cluster.forget_calls();
    let _earlier = first.cluster.busiest();
    rush(&second, USERS).await;
    assert!(first.cluster.busiest() <= 64, "bounded calls in flight");
    assert_eq!(
        first.called("GET /_security/_authenticate 200"),
        USERS,
        "each is asked about once"
    );
    assert_eq!(
        first.cluster.calls().len(),
        USERS,
        "and nothing else is asked"
    );
}
