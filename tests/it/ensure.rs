//! The steps of one login, with the stand-in cluster: when it is asked, when it is written,
//! and when it is left alone. The clock is set by hand; sockets are real.

use crate::support::{
    Why,
    deployment::{
        Adopt, AuthError, BrokerError, Deployment, Endpoint, Fault, Misbehaviour, PasswordForm,
        StoredUser, ask, why,
    },
    pause,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn a_first_login_is_one_question_one_read_and_one_write_and_then_nothing() {
    let deployment = Deployment::new().await;
    let grant = deployment.ask("alice", "dev").await.unwrap();
    assert!(
        deployment
            .cluster
            .accepts(grant.credential().authorization())
    );
    assert_eq!(
        deployment.calls(),
        [
            "GET /_security/_authenticate 401 by nobody",
            "GET /_security/user/alice 404 by service",
            "PUT /_security/user/alice?refresh=false 200 by service",
            // The first login that was written since the start is tried.
            "GET /_security/_authenticate 200 by alice"
        ]
    );
    assert_eq!(deployment.roles("alice"), ["editor", "viewer"]);
    let user = deployment.cluster.user("alice").unwrap();
    assert_eq!(user.email.as_deref(), Some("alice@example.org"));
    assert_eq!(user.metadata.get("groups"), Some(&json!(["dev"])));
    for _ in 0..1_000 {
        let again = deployment.ask("alice", "dev").await.unwrap();
        assert_eq!(
            again.credential().authorization(),
            grant.credential().authorization()
        );
    }
    assert_eq!(
        deployment.calls(),
        Vec::<String>::new(),
        "inside cache.expiration nobody is asked"
    );
    deployment.pass(Duration::from_hours(1));
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(
        deployment.calls(),
        ["GET /_security/_authenticate 200 by alice"]
    );
}

#[tokio::test]
async fn a_changed_group_takes_effect_on_the_very_next_request() {
    let deployment = Deployment::new().await;
    deployment.ask("alice", "dev,admins").await.unwrap();
    assert_eq!(
        deployment.roles("alice"),
        ["editor", "kibana_admin", "superuser", "viewer"]
    );
    let grant = deployment.ask("alice", "").await.unwrap();
    assert_eq!(deployment.roles("alice"), ["viewer"]);
    assert!(
        deployment
            .cluster
            .accepts(grant.credential().authorization())
    );
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(deployment.roles("alice"), ["editor", "viewer"]);
}

#[tokio::test]
async fn two_replicas_agree_without_a_word() {
    let deployment = Deployment::new().await;
    let first = deployment.ask("alice", "dev").await.unwrap();
    deployment.calls();
    let second = ask(&deployment.replica(|_| {}), "alice", "dev")
        .await
        .unwrap();
    assert_eq!(
        first.credential().authorization(),
        second.credential().authorization()
    );
    assert_eq!(
        deployment.calls(),
        ["GET /_security/_authenticate 200 by alice"]
    );
}

#[tokio::test]
async fn whose_user_it_is_decides_whether_it_is_taken_over() {
    let stored = |metadata: Value| {
        let mut user = StoredUser::new("alice", "a-password-of-her-own");
        user.roles = vec!["monitoring_user".to_owned()];
        user.metadata = metadata.as_object().cloned().unwrap();
        user
    };
    let (go, hers) = (json!({ "groups": ["old"] }), json!({}));
    for (adopt, metadata, taken) in [
        (Adopt::Never, &go, false),
        (Adopt::ElastauthGo, &go, true),
        (Adopt::ElastauthGo, &hers, false),
        (Adopt::Any, &hers, true),
    ] {
        let deployment = Deployment::with(|config| config.adopt = adopt).await;
        deployment.cluster.set_user(stored(metadata.clone()));
        let answer = deployment.ask("alice", "dev").await;
        if taken {
            assert!(
                deployment
                    .cluster
                    .accepts(answer.unwrap().credential().authorization())
            );
            assert_eq!(deployment.roles("alice"), ["editor", "viewer"]);
        } else {
            assert_eq!(why(answer), BrokerError::Foreign);
            assert_eq!(deployment.roles("alice"), ["monitoring_user"]);
        }
    }
}

#[tokio::test]
async fn names_of_the_cluster_and_of_ourselves_are_refused_without_a_call() {
    let deployment = Deployment::with(|config| config.adopt = Adopt::Any).await;
    for name in [
        "elastic",
        "kibana_system",
        "_bulk",
        "_password",
        "elastauth",
    ] {
        assert!(
            matches!(
                why(deployment.ask(name, "admins").await),
                BrokerError::ReservedName(_)
            ),
            "{name}"
        );
    }
    assert_eq!(deployment.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn an_odd_name_is_one_segment_of_the_path() {
    let deployment = Deployment::new().await;
    for (name, segment) in [
        ("a/b", "a%2Fb"),
        ("%2e%2e", "%252e%252e"),
        ("a b?c#d", "a%20b%3Fc%23d"),
        ("..%2f_password", "..%252f_password"),
    ] {
        let grant = deployment.ask(name, "dev").await.unwrap();
        assert!(
            deployment
                .cluster
                .accepts(grant.credential().authorization()),
            "{name}"
        );
        let calls = deployment.calls();
        assert!(
            calls
                .iter()
                .any(|call| call.contains(&format!("PUT /_security/user/{segment}?refresh=false"))),
            "{calls:?}"
        );
        assert!(deployment.cluster.user(name).is_some());
    }
}

#[tokio::test]
async fn two_sessions_that_change_one_user_are_limited() {
    let deployment = Deployment::new().await;
    deployment.ask("alice", "dev").await.unwrap();
    let mut refused = 0;
    for round in 0..40 {
        let groups = if round % 2 == 0 { "admins" } else { "dev" };
        match deployment.ask("alice", groups).await {
            Ok(grant) => {
                assert!(
                    deployment
                        .cluster
                        .accepts(grant.credential().authorization())
                );
                assert_eq!(
                    deployment.roles("alice").contains(&"superuser".to_owned()),
                    groups == "admins"
                );
            }
            Err(error) => {
                assert_eq!(error, AuthError::Broker(BrokerError::WriteBudget));
                refused += 1;
            }
        }
    }
    let writes = deployment
        .calls()
        .iter()
        .filter(|call| call.starts_with("PUT"))
        .count();
    assert_eq!(writes, 11, "the first login and ten flips");
    assert!(refused > 0);
    // The session whose roles stand goes on, and after a while the other one may flip again.
    let stands = if deployment.roles("alice").contains(&"superuser".to_owned()) {
        "admins"
    } else {
        "dev"
    };
    assert!(deployment.ask("alice", stands).await.is_ok());
    deployment.pass(Duration::from_secs(7));
    assert!(
        deployment
            .ask("alice", if stands == "dev" { "admins" } else { "dev" })
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_cluster_that_refuses_hashes_gets_the_password_and_is_remembered() {
    let deployment = Deployment::new().await;
    deployment
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::HashRefused));
    assert!(
        deployment.cluster.accepts(
            deployment
                .ask("alice", "dev")
                .await
                .unwrap()
                .credential()
                .authorization()
        )
    );
    assert_eq!(deployment.calls().len(), 5, "the hash, then the password");
    assert!(
        deployment.cluster.accepts(
            deployment
                .ask("bob", "dev")
                .await
                .unwrap()
                .credential()
                .authorization()
        )
    );
    assert_eq!(deployment.calls().len(), 3, "the password at once");
}

#[tokio::test]
async fn with_hashes_off_the_password_is_sent() {
    let deployment = Deployment::sending(PasswordForm::Clear).await;
    deployment
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::HashRefused));
    deployment.ask("alice", "dev").await.unwrap();
    assert_eq!(deployment.calls().len(), 4);
}

#[tokio::test]
async fn a_refused_service_account_is_said_and_costs_one_question_a_second() {
    let deployment = Deployment::new().await;
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        deployment
            .cluster
            .fault(Fault::new(Endpoint::Read, Misbehaviour::Status(status)));
        deployment.pass(Duration::from_secs(2));
        for _ in 0..20 {
            assert!(matches!(
                why(deployment.ask("alice", "dev").await),
                BrokerError::ServiceAccount(_)
            ));
        }
        assert_eq!(deployment.calls().len(), 2);
        deployment.cluster.clear_faults();
    }
}

#[tokio::test]
async fn a_new_period_brings_a_new_password_after_the_grace() {
    let deployment = Deployment::with(|config| config.rotation = Duration::from_secs(10)).await;
    // Wherever in her period alice happens to stand: half of it later is not a boundary, or now is
    // not.
    let now =
        tokio::time::timeout(Duration::from_millis(200), deployment.ask("alice", "dev")).await;
    let first = if let Ok(grant) = now {
        grant.unwrap()
    } else {
        deployment.pass(Duration::from_secs(5));
        deployment.ask("alice", "dev").await.unwrap()
    };
    // The manual clock does not move by itself: a held request comes back at the same time and
    // gives up at its deadline.
    let mut held = 0;
    let mut last = None;
    for _ in 0..50 {
        deployment.pass(Duration::from_millis(200));
        match tokio::time::timeout(Duration::from_millis(50), deployment.ask("alice", "dev")).await
        {
            Ok(grant) => last = Some(grant.unwrap()),
            Err(_) => held += 1,
        }
    }
    assert!((2..=3).contains(&held), "{held}");
    let last = last.unwrap();
    assert_ne!(
        first.credential().authorization(),
        last.credential().authorization()
    );
    assert!(
        deployment
            .cluster
            .accepts(last.credential().authorization())
    );
    assert!(
        !deployment
            .cluster
            .accepts(first.credential().authorization())
    );
}

#[tokio::test]
async fn a_dry_run_answers_and_never_calls() {
    let deployment = Deployment::with(|config| config.dry_run = true).await;
    assert!(deployment.ask("alice", "dev").await.is_ok());
    assert!(matches!(
        why(deployment.ask("elastic", "dev").await),
        BrokerError::ReservedName(_)
    ));
    assert_eq!(deployment.calls(), Vec::<String>::new());
}

/// `cargo test --test it checks_spread -- --ignored --nocapture`, two minutes: everybody comes
/// once a minute for three hours.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn checks_spread() {
    let deployment = Deployment::with(|config| {
        (config.rotation, config.new_per_minute) = (Duration::ZERO, 1_000_000);
    })
    .await;
    let everybody = async || {
        let mut asks = tokio::task::JoinSet::new();
        for part in 0..25 {
            let flow = Arc::clone(&deployment.flow);
            asks.spawn(async move {
                for n in 0..200 {
                    // A machine with other work may be late; they try again, as anybody would.
                    while ask(&flow, &format!("user-{part}-{n}"), "dev")
                        .await
                        .is_err()
                    {
                        pause(Why::Pace, Duration::from_millis(100)).await;
                    }
                }
            });
        }
        asks.join_all().await;
    };
    everybody().await;
    let (mut minutes, mut before) = (Vec::new(), deployment.cluster.count());
    for _ in 0..180 {
        deployment.pass(Duration::from_mins(1));
        everybody().await;
        let now = deployment.cluster.count();
        minutes.push(now - before);
        before = now;
    }
    let later = &minutes[30..];
    let (sum, peak) = (later.iter().sum::<u64>(), later.iter().max().unwrap());
    println!(
        "5,000 users checked in one minute; calls a minute later: mean {}, peak {peak}; \
         {minutes:?}",
        sum / later.len() as u64
    );
}
