//! Where a login could go wrong by a hair: the order of looking and writing, and who counts against
//! the limit of writes.

use crate::support::{
    Why,
    deployment::{
        Adopt, BrokerError, Deployment, Endpoint, Fault, Misbehaviour, StoreConfig, StoredUser,
        Tasks, ask, why,
    },
    pause, until,
};
use elastauth::internals::model::Username;
use http::StatusCode;
use serde_json::Map;
use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

#[tokio::test]
async fn a_user_disabled_while_its_write_waits_for_its_turn_stays_disabled() {
    let deployment = Deployment::new().await;
    deployment.ask("alice", "dev").await.unwrap();
    for n in 0..16 {
        deployment.ask(&format!("user-{n}"), "dev").await.unwrap();
    }
    deployment.calls();
    deployment.cluster.fault(Fault::new(
        Endpoint::Write,
        Misbehaviour::Delay(Duration::from_millis(800)),
    ));
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..16 {
        let flow = Arc::clone(&deployment.flow);
        crowd.spawn(async move { ask(&flow, &format!("user-{n}"), "admins").await.map(drop) });
    }
    let writing = || {
        deployment
            .cluster
            .calls()
            .iter()
            .filter(|call| call.line().starts_with("PUT"))
            .count()
            == 16
    };
    until("sixteen writes in the air", writing).await;
    let flow = Arc::clone(&deployment.flow);
    let changed = tokio::spawn(async move { ask(&flow, "alice", "admins").await });
    until("the question as alice", || {
        deployment
            .cluster
            .calls()
            .iter()
            .filter(|call| call.path.ends_with("_authenticate"))
            .count()
            == 17
    })
    .await;
    pause(Why::NothingHappens, Duration::from_millis(200)).await;
    assert!(deployment.cluster.set_enabled("alice", false));
    assert_eq!(why(changed.await.unwrap()), BrokerError::Disabled);
    assert!(!deployment.cluster.user("alice").unwrap().enabled);
    assert!(
        crowd
            .join_all()
            .await
            .into_iter()
            .all(|login| login.is_ok())
    );
}

#[tokio::test]
async fn a_program_that_changes_the_metadata_does_not_evade_the_limit_of_writes() {
    let deployment = Deployment::new().await;
    deployment.ask("alice", "dev").await.unwrap();
    let mut refused = 0;
    for _ in 0..20 {
        let mut user = deployment.cluster.user("alice").unwrap();
        user.metadata = Map::new();
        deployment.cluster.set_user(user);
        deployment.pass(Duration::from_millis(10));
        // The roles stand as they are: only who asks for others looks at the user again.
        refused += usize::from(
            deployment
                .ask("alice", if refused % 2 == 0 { "admins" } else { "dev" })
                .await
                .is_err(),
        );
        refused += usize::from(
            deployment
                .ask("alice", if refused % 2 == 0 { "dev" } else { "admins" })
                .await
                .is_err(),
        );
    }
    let writes = deployment
        .calls()
        .iter()
        .filter(|call| call.starts_with("PUT"))
        .count();
    assert_eq!(writes, 11, "the first login and ten flips");
    assert!(refused > 0);
}

#[tokio::test]
async fn replicas_of_different_clocks_do_not_write_a_user_without_limit() {
    // One replica is in an older period of the passwords than the other: a clock far off, or
    // another setting of the rotation.
    let deployment = Deployment::with(|config| config.rotation = Duration::ZERO).await;
    let ahead = deployment.replica(|config| {
        (config.rotation, config.grace) = (Duration::from_secs(1_000_000_000), Duration::ZERO);
    });
    for round in 0..40 {
        let groups = if round % 2 == 0 { "dev" } else { "admins" };
        let _bounded = deployment.ask("alice", groups).await;
        let _bounded = ask(&ahead, "alice", groups).await;
    }
    let writes = deployment
        .calls()
        .iter()
        .filter(|call| call.starts_with("PUT"))
        .count();
    // One first login, ten of each replica against the other, and what the one that is ahead
    // answers to those.
    assert!(writes <= 32, "{writes} writes");
}

#[tokio::test]
async fn a_403_to_the_users_own_question_says_nothing_about_the_service_account() {
    let deployment = Deployment::with(|config| config.adopt = Adopt::Never).await;
    deployment.cluster.set_user(StoredUser::new("bob", "x"));
    deployment.cluster.fault(Fault::new(
        Endpoint::Authenticate,
        Misbehaviour::Status(StatusCode::FORBIDDEN),
    ));
    assert!(matches!(
        why(deployment.ask("alice", "dev").await),
        BrokerError::Cluster(_)
    ));
}

#[tokio::test]
async fn an_update_that_reads_until_the_period_is_over_does_not_write_the_old_password() {
    let period = Duration::from_secs(1_000);
    let deployment = Deployment::with(|config| config.rotation = period).await;
    let other = deployment.replica(|config| config.rotation = period);
    deployment.cluster.fault(
        Fault::new(
            Endpoint::Read,
            Misbehaviour::Delay(Duration::from_millis(600)),
        )
        .times(1),
    );
    let flow = Arc::clone(&deployment.flow);
    let client = tokio::spawn(async move { ask(&flow, "alice", "dev").await });
    until("the slow look", || {
        deployment
            .cluster
            .calls()
            .iter()
            .any(|call| call.path.ends_with("/alice"))
    })
    .await;
    // The next period has come, and the other replica is the first to write in it.
    deployment.pass(period);
    let login = ask(&other, "alice", "dev")
        .await
        .unwrap()
        .credential()
        .authorization()
        .clone();
    while !client.is_finished() {
        assert!(
            deployment.cluster.accepts(&login),
            "what the other replica has handed out works all the while"
        );
        pause(Why::Again, Duration::from_millis(1)).await;
    }
    assert_eq!(
        client.await.unwrap().unwrap().credential().authorization(),
        login
    );
    assert_eq!(
        deployment
            .cluster
            .calls()
            .iter()
            .filter(|call| call.line().starts_with("PUT"))
            .count(),
        1
    );
}

#[tokio::test]
async fn a_write_that_crosses_the_boundary_of_two_passwords_does_not_undo_the_new_one() {
    let period = Duration::from_secs(1_000);
    let deployment = Deployment::with(|config| config.rotation = period).await;
    let other = deployment.replica(|config| config.rotation = period);
    deployment.cluster.fault(
        Fault::new(
            Endpoint::Write,
            Misbehaviour::Delay(Duration::from_millis(600)),
        )
        .times(1),
    );
    let flow = Arc::clone(&deployment.flow);
    let client = tokio::spawn(async move { ask(&flow, "alice", "dev").await.map(drop) });
    until("the slow write", || {
        deployment
            .cluster
            .calls()
            .iter()
            .any(|call| call.line().starts_with("PUT"))
    })
    .await;
    client.abort();
    // The next period has come, and the other replica is the first to write in it.
    deployment.pass(period);
    let login = ask(&other, "alice", "dev")
        .await
        .unwrap()
        .credential()
        .authorization()
        .clone();
    assert!(deployment.cluster.accepts(&login));
    let written = || {
        deployment
            .cluster
            .calls()
            .iter()
            .filter(|call| call.line().ends_with("refresh=false 200"))
            .count()
            >= 2
    };
    until("the end of the slow write", written).await;
    until("the new password", || deployment.cluster.accepts(&login)).await;
}

#[tokio::test]
async fn a_clock_set_back_while_a_write_waits_for_the_next_period_costs_no_answer() {
    let period = Duration::from_secs(1_000);
    let deployment = Deployment::with(|config| config.rotation = period).await;
    let (now, place) = (
        deployment.ms.load(Ordering::SeqCst),
        Username::parse("alice").unwrap().place(),
    );
    let until_the_boundary = 1_000_000 - (now + place % 1_000_000) % 1_000_000;
    deployment.pass(Duration::from_millis(until_the_boundary - 200));
    let flow = Arc::clone(&deployment.flow);
    let client = tokio::spawn(async move { ask(&flow, "alice", "dev").await });
    // It waits for two hundred milliseconds, and then the clock shows what it showed before.
    let looks = || {
        deployment
            .cluster
            .calls()
            .iter()
            .filter(|call| call.line().starts_with("GET /_security/_auth"))
            .count()
    };
    until("the second look", || looks() == 2).await;
    deployment.pass(Duration::from_millis(700));
    let login = client.await.unwrap().unwrap();
    assert!(
        deployment
            .cluster
            .accepts(login.credential().authorization())
    );
}

#[tokio::test]
async fn while_a_write_may_still_come_the_next_start_checks_the_user() {
    let (deployment, folder) = (Deployment::new().await, tempfile::tempdir().unwrap());
    let start = |tasks: &Tasks| {
        deployment.replica_with(tasks, |_| {}, StoreConfig::File(folder.path().to_owned()))
    };
    let end = async |tasks: Tasks| {
        tasks.end();
        assert!(tasks.drained(Duration::from_secs(10)).await);
    };
    let tasks = Tasks::default();
    let flow = start(&tasks);
    ask(&flow, "alice", "dev").await.unwrap();
    deployment
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::AppliedThen500).times(1));
    assert!(matches!(
        why(ask(&flow, "alice", "admins").await),
        BrokerError::Cluster(_)
    ));
    let late = deployment.cluster.user("alice").unwrap();
    ask(&flow, "alice", "dev").await.unwrap();
    drop(flow);
    end(tasks).await;
    // The write of more roles comes after all, and the program has started again.
    deployment.cluster.set_user(late);
    let tasks = Tasks::default();
    ask(&start(&tasks), "alice", "dev").await.unwrap();
    assert_eq!(deployment.roles("alice"), ["editor", "viewer"]);
    end(tasks).await;
}

#[tokio::test]
async fn once_a_write_can_no_longer_arrive_the_user_is_not_checked_again() {
    let deployment = Deployment::new().await;
    deployment.ask("alice", "dev").await.unwrap();
    let before = deployment.cluster.user("alice").unwrap();
    deployment
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::AppliedThen500).times(1));
    assert!(matches!(
        why(deployment.ask("alice", "admins").await),
        BrokerError::Cluster(_)
    ));
    // The answer says that the write failed: it may have, and may be applied later.
    let late = deployment.cluster.user("alice").unwrap();
    deployment.cluster.set_user(before);
    deployment.ask("alice", "dev").await.unwrap();
    deployment.cluster.set_user(late);
    assert!(deployment.roles("alice").contains(&"superuser".to_owned()));
    deployment.pass(Duration::from_secs(1));
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(
        deployment.roles("alice"),
        ["editor", "viewer"],
        "the late write is corrected before the next answer"
    );
    // Within 90 s of the write each request checks the user, at most once a second.
    deployment.calls();
    deployment.pass(Duration::from_secs(10));
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(deployment.calls().len(), 1);
    deployment.pass(Duration::from_secs(90));
    deployment.ask("alice", "dev").await.unwrap();
    deployment.calls();
    deployment.pass(Duration::from_mins(1));
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(deployment.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn replicas_whose_clocks_differ_by_less_than_the_grace_grant_logins_that_work() {
    const STEP: Duration = Duration::from_millis(50);
    let period = Duration::from_secs(10);
    let deployment = Deployment::with(|config| config.rotation = period).await;
    let (ahead, clock) = deployment.replica_ahead(Duration::from_millis(400), |config| {
        config.rotation = period;
    });
    let (mut logins, mut held, mut all) = (Vec::new(), [0, 0], HashSet::new());
    for _ in 0..500 {
        // A login of the last step is used after the time that a fast network takes.
        for login in logins.drain(..) {
            assert!(deployment.cluster.accepts(&login));
        }
        for (place, flow) in [&deployment.flow, &ahead].into_iter().enumerate() {
            let granted =
                tokio::time::timeout(Duration::from_millis(40), ask(flow, "alice", "dev"));
            match granted.await {
                Ok(grant) => logins.push(grant.unwrap().credential().authorization().clone()),
                Err(_held) => held[place] += 1,
            }
        }
        // Both replicas grant the same logins.
        all.extend(logins.iter().cloned());
        deployment.pass(STEP);
        clock.fetch_add(50, Ordering::SeqCst);
    }
    assert!(
        (3..=5).contains(&all.len()),
        "twenty-five seconds have two or three boundaries: {} logins",
        all.len()
    );
    assert!(held.iter().all(|held| *held >= 15), "{held:?}");
}
