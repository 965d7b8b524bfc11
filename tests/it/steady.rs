//! What the running program promises about others: users whom somebody has changed in the cluster
//! are put right, and nobody suffers from a flood of strangers, from a start with everybody at the
//! door, or from a crash.
//!
//! (A long file: each test is one promise, and they share a handful of small helpers.)

use crate::support::{
    Why, find,
    multiplexed::Multiplexed,
    pause,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    until,
};
use elastauth::demo::standin::{Endpoint, Fault, Misbehaviour, StandIn, StoredUser};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

fn for_user(user: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    question(
        "/elastauth",
        &[("remote-user", user.as_bytes()), ("remote-groups", b"dev")],
    )
}

fn calls(stage: &Stage, start: &str) -> usize {
    stage
        .calls()
        .iter()
        .filter(|call| call.starts_with(start))
        .count()
}

#[tokio::test]
async fn writes_that_hang_do_not_keep_known_users_from_being_confirmed() {
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
        calls(&stage, "PUT") >= 13
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

/// Has a user checked again, as an operator on the same machine.
async fn recheck(stage: &Stage, user: &str) -> serde_json::Value {
    let path = format!("/elastauth/admin/users/{user}/recheck");
    let answer = stage
        .gateway()
        .ask(
            http::Method::POST,
            &path,
            &[("x-elastauth-key", GATEWAY_KEY)],
            None,
        )
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Something that somebody else does to a user of ours.
type Meddling = fn(&StandIn, StoredUser);

const MEDDLINGS: [(&str, Meddling); 6] = [
    ("deleted", |cluster, user| {
        assert!(cluster.remove_user(&user.username));
    }),
    ("re-roled", |cluster, user| {
        cluster.set_user(user.with_roles(&["superuser"]));
    }),
    ("renamed", |cluster, mut user| {
        user.full_name = Some("Somebody Else".to_owned());
        cluster.set_user(user);
    }),
    ("stripped of its mark", |cluster, mut user| {
        user.metadata = serde_json::Map::new();
        cluster.set_user(user);
    }),
    ("given another password", |cluster, user| {
        let metadata = user.metadata.clone();
        let mut other =
            StoredUser::new(&user.username, "another password").with_roles(&["editor", "viewer"]);
        other.metadata = metadata;
        cluster.set_user(other);
    }),
    ("emptied of roles", |cluster, user| {
        cluster.set_user(user.with_roles(&[]));
    }),
];

#[tokio::test]
async fn what_somebody_else_does_to_a_user_is_put_right_at_the_next_check() {
    for wait in [true, false] {
        let more = if wait {
            "cache: {expiration: 300ms}"
        } else {
            "audit: {path: /etc/elastauth/audit}"
        };
        let stage = Stage::planned(Plan {
            more,
            ..Plan::default()
        })
        .await;
        assert_eq!(recheck(&stage, "alice").await["known"], false);
        assert!(stage.works(&stage.ask("alice", "dev").await));
        let before = stage.cluster.user("alice").unwrap();
        for (what, meddle) in MEDDLINGS {
            meddle(&stage.cluster, before.clone());
            if wait {
                pause(Why::Expires, Duration::from_millis(310)).await;
            } else {
                assert!(
                    stage.ask("alice", "dev").await.status.is_success(),
                    "{what}: not noticed yet"
                );
                assert_eq!(recheck(&stage, "alice").await["known"], true, "{what}");
            }
            stage.cluster.forget_calls();
            assert!(stage.works(&stage.ask("alice", "dev").await), "{what}");
            let after = stage.cluster.user("alice").unwrap();
            assert_eq!(
                (&after.roles, &after.metadata, &after.full_name),
                (&before.roles, &before.metadata, &before.full_name),
                "{what}"
            );
            assert_eq!(calls(&stage, "PUT"), 1, "{what}: {:?}", stage.calls());
        }
        if !wait {
            let audit = stage.elastauth.file("audit");
            let told = audit
                .lines()
                .filter(|line| {
                    line.contains(r#""event":"user_recheck","user":"alice","peer":"127.0.0.1""#)
                })
                .count();
            assert_eq!(told, MEDDLINGS.len() + 1, "{audit}");
        }
    }
}

#[tokio::test]
async fn a_user_that_elastauth_has_not_made_is_refused_and_left_alone() {
    let stage = Stage::usual().await;
    stage
        .cluster
        .set_user(StoredUser::new("carol", "her own").with_roles(&["superuser"]));
    stage.says(&stage.ask("carol", "dev").await, 403, "user_not_allowed");
    assert_eq!(stage.cluster.user("carol").unwrap().roles, ["superuser"]);
}

#[tokio::test]
async fn a_disabled_user_stays_disabled_and_comes_back_when_enabled() {
    let stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.cluster.set_enabled("alice", false));
    recheck(&stage, "alice").await;
    for groups in ["dev", "ops", "dev"] {
        stage.says(&stage.ask("alice", groups).await, 403, "user_not_allowed");
        recheck(&stage, "alice").await;
    }
    assert!(!stage.cluster.user("alice").unwrap().enabled);
    assert_eq!(calls(&stage, "PUT"), 1);
    stage.says(&stage.ask("alice", "dev").await, 403, "user_not_allowed");
    assert!(stage.cluster.set_enabled("alice", true));
    // Not even the failure of a moment ago stands in the way.
    stage.says(&stage.ask("alice", "dev").await, 403, "user_not_allowed");
    recheck(&stage, "alice").await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn while_the_security_index_is_away_nobody_is_written_and_the_cluster_is_not_stormed() {
    let stage = Stage::planned(Plan {
        more: "cache: {expiration: 300ms}",
        ..Plan::default()
    })
    .await;
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    pause(Why::Expires, Duration::from_millis(310)).await;
    stage.cluster.forget_calls();
    stage
        .cluster
        .fault(Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable));
    let began = tokio::time::Instant::now();
    let mut clients = JoinSet::new();
    for client in 0..20 {
        let gateway = stage.gateway().clone();
        clients.spawn(async move {
            for _ in 0..40 {
                let answer = gateway
                    .send(for_user(["alice", "bob"][client % 2]))
                    .await
                    .unwrap();
                assert_eq!(
                    (
                        answer.status.as_u16(),
                        answer.header("retry-after").is_some()
                    ),
                    (503, true)
                );
                pause(Why::Pace, Duration::from_millis(25)).await;
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap() + 1;
    // A user is asked about once a second: as himself, then by the service account.
    assert!(
        stage.calls().len() <= 2 * 2 * (seconds + 1),
        "{seconds} s: {:?}",
        stage.calls()
    );
    assert_eq!(calls(&stage, "PUT"), 0);
    stage.cluster.clear_faults();
    pause(Why::Expires, Duration::from_millis(1_100)).await;
    stage.cluster.forget_calls();
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    assert_eq!(
        stage.calls(),
        ["GET /_security/_authenticate 200"; 2],
        "their logins are as they were"
    );
}

async fn number(stage: &Stage, name: &str) -> u64 {
    let answer = stage
        .gateway()
        .get("/elastauth/metrics", &[("x-elastauth-key", GATEWAY_KEY)])
        .await;
    let text = answer.text();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
        .parse()
        .unwrap()
}

#[tokio::test]
async fn whoever_makes_names_up_gets_a_bounded_number_of_users_and_keeps_nobody_out() {
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
    let outcome = r#"elastauth_decisions_total{outcome="new_users",provider="authelia"}"#;
    assert_eq!(
        number(&stage, outcome).await,
        u64::try_from(refused).unwrap()
    );
    assert_eq!(
        number(&stage, "elastauth_ledger_users{cluster=\"default\"}").await,
        u64::try_from(granted + 2).unwrap()
    );
    let lines = stage
        .elastauth
        .log()
        .lines()
        .filter(|line| line.contains("outcome=new_users"))
        .count();
    assert!(lines < refused, "the log is not flooded: {lines} lines");
    // A user whom the cluster has is no new one, whoever remembers him.
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
    assert_eq!(calls(&again, "PUT"), 0);
}

#[tokio::test]
async fn a_flood_of_strangers_at_a_slow_cluster_does_not_slow_those_who_are_known() {
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
                    .send(for_user(&format!("stranger-{client}-{n}")))
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
    // strangers he would wait until he is turned away.
    for groups in ["dev", "dev", "ops", "ops", "dev"] {
        assert!(stage.works(&stage.ask("alice", groups).await));
        pause(Why::Expires, Duration::from_millis(110)).await;
    }
    crowd.abort_all();
    while let Some(done) = crowd.join_next().await {
        assert!(
            done.is_err_and(|error| error.is_cancelled()),
            "every stranger was answered as he should be"
        );
    }
}

#[tokio::test]
async fn a_clock_that_differs_from_the_clusters_is_reported_and_refuses_nobody() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true",
        ..Plan::default()
    })
    .await;
    let ready = async || {
        stage
            .gateway()
            .get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)])
            .await
    };
    assert_eq!(
        ready().await.json()["checks"]["clock"],
        serde_json::json!({"status": "OK"})
    );
    stage.cluster.set_date(http::HeaderValue::from_static(
        "Tue, 14 Nov 2023 22:13:20 GMT",
    ));
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    let answer = ready().await;
    let (status, clock) = (answer.status, answer.json()["checks"]["clock"].clone());
    assert_eq!(
        (status.as_u16(), &clock["status"]),
        (200, &"DEGRADED".into())
    );
    assert!(
        clock["error"]
            .as_str()
            .unwrap()
            .contains("more than `credentials.grace`"),
        "{clock}"
    );
    // Whoever is not believed hears that something is wrong, and no more.
    let told = stage.stranger().get("/elastauth/ready", &[]).await.json();
    assert_eq!(
        told["checks"]["clock"],
        serde_json::json!({"status": "DEGRADED"})
    );
    let metrics = stage
        .gateway()
        .get("/elastauth/metrics", &[("x-elastauth-key", GATEWAY_KEY)])
        .await
        .text();
    assert!(
        metrics.contains("elastauth_clock_difference_seconds{source=\"cluster\"} -"),
        "{metrics}"
    );
    let log = stage.elastauth.log();
    assert_eq!(
        log.lines()
            .filter(|line| line.contains("differ by more than"))
            .count(),
        1,
        "{log}"
    );
}

#[tokio::test]
async fn no_more_users_are_written_at_once_than_may_be_and_some_places_are_for_those_who_are_known()
{
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
    until("the writes of strangers", || calls(&stage, "PUT") == 2).await;
    pause(Why::NothingHappens, Duration::from_millis(300)).await;
    assert_eq!(calls(&stage, "PUT"), 2);
    for user in ["alice", "bob"] {
        ask(user.to_owned(), b"ops");
    }
    until("the write of one who is known", || {
        calls(&stage, "PUT") == 3
    })
    .await;
    pause(Why::NothingHappens, Duration::from_millis(300)).await;
    assert_eq!(calls(&stage, "PUT"), 3);
    crowd.abort_all();
}

/// Asks for all these users over 64 connections, four at a time on each, and again for whoever is
/// told to come later, until everybody has got in.
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
async fn a_start_with_everybody_at_the_door_is_no_stampede() {
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
        calls(&first, "GET /_security/_authenticate 200"),
        USERS,
        "each is asked about once"
    );
    assert_eq!(
        first.cluster.calls().len(),
        USERS,
        "and nothing else is asked"
    );
}

fn file_ledger(folder: &std::path::Path) -> String {
    format!(
        "cache: {{type: file, path: '{}'}}\nusers: {{new_per_minute: 1000000, writes_per_minute: 1000}}\nenable_metrics: true",
        folder.display()
    )
}

#[tokio::test]
async fn killed_at_any_moment_the_next_start_on_the_same_file_repairs_what_there_is_to_repair() {
    let folder = tempfile::tempdir().unwrap();
    let more = file_ledger(folder.path());
    let first = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    first.cluster.fault(Fault::new(
        Endpoint::Any,
        Misbehaviour::Delay(Duration::from_millis(5)),
    ));
    let cluster = first.cluster.clone();
    let mut running = first
        .replica(Plan {
            more: "",
            ..Plan::default()
        })
        .await;
    drop(first);
    for round in 0..5 {
        running.elastauth.kill();
        running = running
            .replica(Plan {
                more: &more,
                ..Plan::default()
            })
            .await;
        assert!(
            !running.elastauth.log().contains("another process"),
            "{}",
            running.elastauth.log()
        );
        // Users whose groups change all the time, and each login used as soon as it is there.
        let mut traffic = JoinSet::new();
        for client in 0..20 {
            let (gateway, cluster) = (running.gateway().clone(), cluster.clone());
            traffic.spawn(async move {
                for n in 0.. {
                    let (user, groups) = (
                        format!("user-{client}"),
                        if (n + round) % 3 == 0 { "ops" } else { "dev" },
                    );
                    let asked = question(
                        "/elastauth",
                        &[
                            ("remote-user", user.as_bytes()),
                            ("remote-groups", groups.as_bytes()),
                        ],
                    );
                    // The program may be killed under the question.
                    let Ok(answer) = gateway.send(asked).await else {
                        return;
                    };
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert!(
                        cluster.accepts(&answer.headers[http::header::AUTHORIZATION]),
                        "{user} with {groups} in round {round}"
                    );
                    let role = if groups == "ops" {
                        "monitoring_user"
                    } else {
                        "editor"
                    };
                    assert!(
                        cluster
                            .user(&user)
                            .unwrap()
                            .roles
                            .contains(&role.to_owned()),
                        "{user} with {groups} in round {round}"
                    );
                }
            });
        }
        pause(Why::Pace, Duration::from_millis(300 + 130 * round)).await;
        running.elastauth.kill();
        while let Some(done) = traffic.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_process_on_the_same_file_is_told_so_and_a_file_that_is_no_ledger_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ledger"), "something else").unwrap();
    let more = file_ledger(folder.path());
    let mut first = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    assert!(
        first.elastauth.log().contains("it is set aside"),
        "{}",
        first.elastauth.log()
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("ledger.damaged")).unwrap(),
        "something else"
    );
    let second = first
        .replica(Plan {
            more: &more,
            ..Plan::default()
        })
        .await;
    assert!(
        second
            .elastauth
            .log()
            .contains("another process has the folder"),
        "{}",
        second.elastauth.log()
    );
    let cache = async |stage: &Stage| {
        let answer = stage
            .gateway()
            .get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)])
            .await;
        assert_eq!(answer.status, 200);
        answer.json()["checks"]["cache"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (cache(&first).await, cache(&second).await),
        ("OK".to_owned(), "DEGRADED".to_owned())
    );
    assert_eq!(
        (
            number(&first, "elastauth_store_up{cluster=\"default\"}").await,
            number(&second, "elastauth_store_up{cluster=\"default\"}").await
        ),
        (1, 0)
    );
    for stage in [&first, &second] {
        assert!(stage.works(&stage.ask("alice", "dev").await));
    }
    // In order or not, whoever comes next finds what was learnt.
    assert!(first.elastauth.terminate().await.success());
    let third = second
        .replica(Plan {
            more: &more,
            ..Plan::default()
        })
        .await;
    second.cluster.forget_calls();
    assert!(third.works(&third.ask("alice", "dev").await));
    assert_eq!(third.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_nobody_a_login_and_is_left_alone_for_a_while() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("ledger.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let more = file_ledger(folder.path());
    let stage = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    let told = |text: &str| stage.elastauth.log().matches(text).count();
    let ask = async |n: u32| {
        assert!(
            stage.works(
                &stage
                    .ask(
                        &format!("user-{}", n % 20),
                        if n.is_multiple_of(3) { "ops" } else { "dev" }
                    )
                    .await
            )
        );
    };
    for n in 0..100 {
        ask(n).await;
    }
    assert!(!folder.path().join("ledger").exists());
    assert_eq!(
        (
            told("cannot be written; logins go on"),
            told("is written again")
        ),
        (1, 0)
    );
    let ready = stage
        .gateway()
        .get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)])
        .await;
    assert_eq!(
        (
            ready.status.as_u16(),
            &ready.json()["checks"]["cache"]["error"]
        ),
        (200, &"it cannot be written".into())
    );
    std::fs::remove_dir(&in_the_way).unwrap();
    // A full disk takes a little again as soon as our file is gone: tried at once, it would be
    // filled and given up many times a second.
    for n in 0..20 {
        ask(n).await;
    }
    pause(Why::NothingHappens, Duration::from_millis(300)).await;
    assert_eq!(told("is written again"), 0);
    let mut n = 0;
    find("a written file", Duration::from_secs(20), async || {
        ask(n).await;
        n += 1;
        (told("is written again") == 1).then_some(())
    })
    .await;
    assert!(folder.path().join("ledger").exists());
}
