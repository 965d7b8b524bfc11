//! The story of one login, told against the stand-in cluster: when it is asked, when it is written,
//! and when it is left alone. The clock is set by hand; sockets are real.

use crate::support::{
    Why,
    house::{
        Adopt, AuthError, BrokerError, Endpoint, Fault, House, Misbehaviour, PasswordForm,
        StoredUser, ask, why,
    },
    pause,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

#[tokio::test]
async fn a_first_login_is_one_question_one_read_and_one_write_and_then_nothing() {
    let house = House::new().await;
    let grant = house.ask("alice", "dev").await.unwrap();
    assert!(house.cluster.accepts(grant.credential().authorization()));
    assert_eq!(
        house.calls(),
        [
            "GET /_security/_authenticate 401 by nobody",
            "GET /_security/user/alice 404 by service",
            "PUT /_security/user/alice?refresh=false 200 by service"
        ]
    );
    assert_eq!(house.roles("alice"), ["editor", "viewer"]);
    let user = house.cluster.user("alice").unwrap();
    assert_eq!(user.email.as_deref(), Some("alice@example.org"));
    assert_eq!(user.metadata.get("groups"), Some(&json!(["dev"])));
    for _ in 0..1_000 {
        let again = house.ask("alice", "dev").await.unwrap();
        assert_eq!(
            again.credential().authorization(),
            grant.credential().authorization()
        );
    }
    assert_eq!(
        house.calls(),
        Vec::<String>::new(),
        "inside cache.expiration nobody is asked"
    );
    house.pass(Duration::from_hours(1));
    house.ask("alice", "dev").await.unwrap();
    assert_eq!(house.calls(), ["GET /_security/_authenticate 200 by alice"]);
}

#[tokio::test]
async fn a_changed_group_takes_effect_on_the_very_next_request() {
    let house = House::new().await;
    house.ask("alice", "dev,admins").await.unwrap();
    assert_eq!(
        house.roles("alice"),
        ["editor", "kibana_admin", "superuser", "viewer"]
    );
    let grant = house.ask("alice", "").await.unwrap();
    assert_eq!(house.roles("alice"), ["viewer"]);
    assert!(house.cluster.accepts(grant.credential().authorization()));
    house.ask("alice", "dev").await.unwrap();
    assert_eq!(house.roles("alice"), ["editor", "viewer"]);
}

#[tokio::test]
async fn two_replicas_agree_without_a_word() {
    let house = House::new().await;
    let first = house.ask("alice", "dev").await.unwrap();
    house.calls();
    let second = ask(&house.replica(|_| {}), "alice", "dev").await.unwrap();
    assert_eq!(
        first.credential().authorization(),
        second.credential().authorization()
    );
    assert_eq!(house.calls(), ["GET /_security/_authenticate 200 by alice"]);
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
        let house = House::with(|config| config.adopt = adopt).await;
        house.cluster.set_user(stored(metadata.clone()));
        let answer = house.ask("alice", "dev").await;
        if taken {
            assert!(
                house
                    .cluster
                    .accepts(answer.unwrap().credential().authorization())
            );
            assert_eq!(house.roles("alice"), ["editor", "viewer"]);
        } else {
            assert_eq!(why(answer), BrokerError::Foreign);
            assert_eq!(house.roles("alice"), ["monitoring_user"]);
        }
    }
}

#[tokio::test]
async fn names_of_the_cluster_and_of_ourselves_are_refused_without_a_call() {
    let house = House::with(|config| config.adopt = Adopt::Any).await;
    for name in [
        "elastic",
        "kibana_system",
        "_bulk",
        "_password",
        "elastauth",
    ] {
        assert!(
            matches!(
                why(house.ask(name, "admins").await),
                BrokerError::ReservedName(_)
            ),
            "{name}"
        );
    }
    assert_eq!(house.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn an_odd_name_is_one_segment_of_the_path() {
    let house = House::new().await;
    for (name, segment) in [
        ("a/b", "a%2Fb"),
        ("%2e%2e", "%252e%252e"),
        ("a b?c#d", "a%20b%3Fc%23d"),
        ("..%2f_password", "..%252f_password"),
    ] {
        let grant = house.ask(name, "dev").await.unwrap();
        assert!(
            house.cluster.accepts(grant.credential().authorization()),
            "{name}"
        );
        let calls = house.calls();
        assert!(
            calls
                .iter()
                .any(|call| call.contains(&format!("PUT /_security/user/{segment}?refresh=false"))),
            "{calls:?}"
        );
        assert!(house.cluster.user(name).is_some());
    }
}

#[tokio::test]
async fn two_sessions_that_pull_at_one_user_are_bounded() {
    let house = House::new().await;
    house.ask("alice", "dev").await.unwrap();
    let mut refused = 0;
    for round in 0..40 {
        let groups = if round % 2 == 0 { "admins" } else { "dev" };
        match house.ask("alice", groups).await {
            Ok(grant) => {
                assert!(house.cluster.accepts(grant.credential().authorization()));
                assert_eq!(
                    house.roles("alice").contains(&"superuser".to_owned()),
                    groups == "admins"
                );
            }
            Err(error) => {
                assert_eq!(error, AuthError::Broker(BrokerError::WriteBudget));
                refused += 1;
            }
        }
    }
    let writes = house
        .calls()
        .iter()
        .filter(|call| call.starts_with("PUT"))
        .count();
    assert_eq!(writes, 11, "the first login and ten flips");
    assert!(refused > 0);
    // The session whose roles stand goes on, and after a while the other one may flip again.
    let stands = if house.roles("alice").contains(&"superuser".to_owned()) {
        "admins"
    } else {
        "dev"
    };
    assert!(house.ask("alice", stands).await.is_ok());
    house.pass(Duration::from_secs(7));
    assert!(
        house
            .ask("alice", if stands == "dev" { "admins" } else { "dev" })
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_cluster_that_refuses_hashes_gets_the_password_and_is_remembered() {
    let house = House::new().await;
    house
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::HashRefused));
    assert!(
        house.cluster.accepts(
            house
                .ask("alice", "dev")
                .await
                .unwrap()
                .credential()
                .authorization()
        )
    );
    assert_eq!(house.calls().len(), 4, "the hash, then the password");
    assert!(
        house.cluster.accepts(
            house
                .ask("bob", "dev")
                .await
                .unwrap()
                .credential()
                .authorization()
        )
    );
    assert_eq!(house.calls().len(), 3, "the password at once");
}

#[tokio::test]
async fn with_hashes_off_the_password_is_sent() {
    let house = House::sending(PasswordForm::Clear).await;
    house
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::HashRefused));
    house.ask("alice", "dev").await.unwrap();
    assert_eq!(house.calls().len(), 3);
}

#[tokio::test]
async fn a_refused_service_account_is_said_and_costs_one_question_a_second() {
    let house = House::new().await;
    for status in [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN] {
        house
            .cluster
            .fault(Fault::new(Endpoint::Read, Misbehaviour::Status(status)));
        house.pass(Duration::from_secs(2));
        for _ in 0..20 {
            assert!(matches!(
                why(house.ask("alice", "dev").await),
                BrokerError::ServiceAccount(_)
            ));
        }
        assert_eq!(house.calls().len(), 2);
        house.cluster.clear_faults();
    }
}

#[tokio::test]
async fn a_new_period_brings_a_new_password_after_the_grace() {
    let house = House::with(|config| config.rotation = Duration::from_secs(10)).await;
    // Wherever in her period alice happens to stand: half of it later is not a boundary, or now is
    // not.
    let now = tokio::time::timeout(Duration::from_millis(200), house.ask("alice", "dev")).await;
    let first = if let Ok(grant) = now {
        grant.unwrap()
    } else {
        house.pass(Duration::from_secs(5));
        house.ask("alice", "dev").await.unwrap()
    };
    // The manual clock does not move by itself: a held request comes back at the same time and
    // gives up at its deadline.
    let mut held = 0;
    let mut last = None;
    for _ in 0..50 {
        house.pass(Duration::from_millis(200));
        match tokio::time::timeout(Duration::from_millis(50), house.ask("alice", "dev")).await {
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
    assert!(house.cluster.accepts(last.credential().authorization()));
    assert!(!house.cluster.accepts(first.credential().authorization()));
}

#[tokio::test]
async fn a_dry_run_answers_and_never_calls() {
    let house = House::with(|config| config.dry_run = true).await;
    assert!(house.ask("alice", "dev").await.is_ok());
    assert!(matches!(
        why(house.ask("elastic", "dev").await),
        BrokerError::ReservedName(_)
    ));
    assert_eq!(house.calls(), Vec::<String>::new());
}

/// `cargo test --test it checks_spread -- --ignored --nocapture`, two minutes: everybody comes
/// once a minute for three hours.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn checks_spread() {
    let house = House::with(|config| {
        (config.rotation, config.new_per_minute) = (Duration::ZERO, 1_000_000);
    })
    .await;
    let everybody = async || {
        let mut asks = tokio::task::JoinSet::new();
        for part in 0..25 {
            let flow = Arc::clone(&house.flow);
            asks.spawn(async move {
                for n in 0..200 {
                    // A machine with other work may be late; he tries again, as anybody would.
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
    let (mut minutes, mut before) = (Vec::new(), house.cluster.count());
    for _ in 0..180 {
        house.pass(Duration::from_mins(1));
        everybody().await;
        let now = house.cluster.count();
        minutes.push(now - before);
        before = now;
    }
    let later = &minutes[30..];
    let (sum, peak) = (later.iter().sum::<u64>(), later.iter().max().unwrap());
    println!(
        "5,000 users checked in one minute; calls a minute later: mean {}, peak {peak}; {minutes:?}",
        sum / later.len() as u64
    );
}
