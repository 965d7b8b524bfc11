//! A change of keys with replicas of the running program, restarted one after another under load as
//! docs/replicas.md says.

use crate::support::{
    Why,
    http::Server,
    pause,
    stage::{Plan, Stage, for_user},
    until,
};
use elastauth::internals::{
    clock::Timestamp,
    demo::standin::{Endpoint, Fault, Misbehaviour},
};
use http::StatusCode;
use std::{
    sync::{Arc, RwLock},
    time::Duration,
};
use tokio::{task::JoinSet, time::Instant};

const OLD_KEY: &str = "9d27c4b1e86f03a5d4c9b8270e61fa3584d2b7c09e15f6a8734c0bd19e2a65f7";

fn in_the_future(by: Duration) -> Timestamp {
    Timestamp(u64::try_from((std::time::UNIX_EPOCH.elapsed().unwrap() + by).as_millis()).unwrap())
}

/// What the configuration says in each step of the procedure.
fn step(which: &str, rotation: &str, since: Timestamp) -> String {
    let keys = if which == "both" {
        format!("secret_key_previous: {OLD_KEY}\nsecret_key_since: {since}\n")
    } else {
        String::new()
    };
    format!(
        "{keys}credentials: {{rotation: {rotation}, grace: 500ms}}\n\
         users: {{writes_per_minute: 1, new_per_minute: 1000000}}"
    )
}

/// The new key stands in the file of every stage; a replica that does not know it yet has the old
/// one from its environment.
fn plan<'a>(which: &str, more: &'a str) -> Plan<'a> {
    Plan {
        more,
        environment: if which == "old" {
            &[("ELASTAUTH_SECRET_KEY", OLD_KEY)]
        } else {
            &[]
        },
        ..Plan::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_are_restarted_one_after_another_with_a_new_key_and_no_request_fails() {
    const USERS: usize = 8;
    const GRACE: Duration = Duration::from_millis(500);
    let since = in_the_future(Duration::from_secs(9));
    let old = step("old", "3s", since);
    let first = Stage::planned(plan("old", &old)).await;
    let mut replicas = [
        first.replica(plan("old", &old)).await,
        first.replica(plan("old", &old)).await,
    ];
    let cluster = Server::plain(first.cluster.addr().port());
    let gateways = Arc::new(RwLock::new(
        replicas
            .iter()
            .map(|replica| replica.gateway().clone())
            .collect::<Vec<_>>(),
    ));
    let end = Instant::now() + Duration::from_secs(20);
    let mut clients = JoinSet::new();
    for client in 0..12 {
        let (gateways, cluster) = (Arc::clone(&gateways), cluster.clone());
        clients.spawn(async move {
            let (mut used, mut rejected) = (0, Vec::new());
            for turn in client.. {
                if Instant::now() > end {
                    break;
                }
                let gateway = gateways.read().unwrap()[turn % 2].clone();
                // A replica that has gone is asked no more: a gateway takes the other one.
                let Ok(answer) = gateway
                    .send(for_user(&format!("user-{}", turn * 5 % USERS)))
                    .await
                else {
                    continue;
                };
                let answered = Instant::now();
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                let login = answer.header("authorization").unwrap().to_owned();
                pause(
                    Why::Pace,
                    Duration::from_millis(u64::try_from(turn * 37 % 300).unwrap()),
                )
                .await;
                let used_at = cluster
                    .get(
                        "/_security/_authenticate",
                        &[("authorization", &login), ("via", "1.1 a-test")],
                    )
                    .await;
                if used_at.status != StatusCode::OK && answered.elapsed() < GRACE {
                    rejected.push(format!("{} after {:?}", used_at.status, answered.elapsed()));
                }
                used += 1;
            }
            (used, rejected)
        });
    }
    for which in ["both", "new"] {
        // The new key alone comes when the last user has moved: the moment, one period, and the
        // grace.
        if which == "new" {
            let moved = since.after(Duration::from_millis(3_600));
            until("everybody has moved", || {
                in_the_future(Duration::ZERO) >= moved
            })
            .await;
        }
        let more = step(which, "3s", since);
        for (place, replica) in replicas.iter_mut().enumerate() {
            pause(Why::Pace, Duration::from_millis(700)).await;
            let next = first.replica(plan(which, &more)).await;
            gateways.write().unwrap()[place] = next.gateway().clone();
            let mut gone = std::mem::replace(replica, next);
            assert!(gone.elastauth.terminate().await.success());
        }
        assert!(
            which == "new" || in_the_future(Duration::ZERO) < since,
            "this machine is too slow to restart two replicas in time"
        );
    }
    let (mut used, mut rejected) = (0, Vec::new());
    for (of_one, theirs) in clients.join_all().await {
        used += of_one;
        rejected.extend(theirs);
    }
    assert!(
        rejected.is_empty() && used > 100,
        "{} of {used}: {rejected:?}",
        rejected.len()
    );
    let keys: Vec<_> = (0..USERS)
        .map(|n| {
            first.cluster.user(&format!("user-{n}")).unwrap().metadata["elastauth"]["key"].clone()
        })
        .collect();
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test]
async fn a_new_key_where_passwords_never_change_is_no_stampede() {
    let since = in_the_future(Duration::from_secs(12));
    let more = step("both", "0", since);
    let stage = Stage::planned(plan("both", &more)).await;
    let everybody = async || {
        let mut crowd = JoinSet::new();
        for n in 0..600 {
            let gateway = stage.gateway().clone();
            crowd.spawn(async move {
                gateway
                    .send(for_user(&format!("user-{n}")))
                    .await
                    .unwrap()
                    .status
            });
        }
        crowd
            .join_all()
            .await
            .into_iter()
            .filter(|status| *status != StatusCode::OK)
            .count()
    };
    while everybody().await > 0 {}
    assert!(
        in_the_future(Duration::ZERO) < since,
        "this machine is too slow to bring everybody in"
    );
    stage.cluster.fault(Fault::new(
        Endpoint::Write,
        Misbehaviour::Delay(Duration::from_millis(100)),
    ));
    let begun = since.after(Duration::from_millis(100));
    until("the change has begun", || {
        in_the_future(Duration::ZERO) >= begun
    })
    .await;
    for _ in 0..3 {
        assert_eq!(
            everybody().await,
            0,
            "{}",
            stage
                .elastauth
                .log()
                .lines()
                .rfind(|line| line.contains("refused"))
                .unwrap_or_default()
        );
    }
}
