//! A cluster that fails, seen through the running program: each failure gets the documented answer
//! (docs/STATUS-CODES.md) in bounded time, and what was left half done is put right by the next
//! request.

use crate::support::{
    Why, find, pause,
    ports::Closed,
    relay::Relay,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    tls::{Authority, Signed},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StandIn};
use elastauth::internals::shutdown::Tasks;
use http::StatusCode;
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinSet;

/// A failure answers the same question for one second.
const FAILURE_LASTS: Duration = Duration::from_millis(1_100);

/// The outcome that the log gives to an answer.
fn outcome(log: &str) -> Option<String> {
    let line = log.lines().rfind(|line| line.contains(" refused "))?;
    Some(
        line.split_once("outcome=")?
            .1
            .split_whitespace()
            .next()?
            .to_owned(),
    )
}

#[tokio::test]
async fn whatever_the_cluster_does_the_answer_is_503_and_the_next_request_settles_it() {
    use Endpoint::{Authenticate, Read, Write};
    use Misbehaviour as M;
    let everywhere = [
        (M::Status(StatusCode::CONFLICT), "cluster"),
        (M::Status(StatusCode::TOO_MANY_REQUESTS), "cluster"),
        (M::Status(StatusCode::INTERNAL_SERVER_ERROR), "cluster"),
        (M::Status(StatusCode::SERVICE_UNAVAILABLE), "cluster"),
        (M::Status(StatusCode::FOUND), "cluster"),
        (M::CloseBefore, "cluster"),
        (M::CloseAfter, "cluster"),
        (M::Html, "cluster"),
        (M::HalfBody, "cluster"),
        (M::EndlessBody, "cluster"),
        (M::Hang, "late"),
    ];
    let mut cases: Vec<(Endpoint, Misbehaviour, &str)> = [Authenticate, Read, Write]
        .into_iter()
        .flat_map(|at| everywhere.map(|(what, outcome)| (at, what, outcome)))
        .collect();
    // The 401 to an unknown user is complete without its body.
    cases.retain(|(at, what, _)| {
        *at != Authenticate || ![M::HalfBody, M::EndlessBody].contains(what)
    });
    cases.extend([
        (Authenticate, M::Status(StatusCode::FORBIDDEN), "cluster"),
        (Read, M::Status(StatusCode::UNAUTHORIZED), "service_account"),
        (Read, M::Status(StatusCode::FORBIDDEN), "service_account"),
        (
            Write,
            M::Status(StatusCode::UNAUTHORIZED),
            "service_account",
        ),
        (Write, M::Status(StatusCode::FORBIDDEN), "service_account"),
        (Write, M::AppliedThen500, "cluster"),
    ]);
    let mut all = JoinSet::new();
    for (at, what, expected) in cases {
        all.spawn(async move {
            let stage = Stage::usual().await;
            stage.cluster.fault(Fault::new(at, what));
            let answer = stage.ask("alice", "dev").await;
            assert_eq!(
                answer.status,
                503,
                "{at:?} {what:?}: {:?} {}",
                stage.calls(),
                stage.elastauth.log()
            );
            stage.says(&answer, 503, "unavailable");
            assert_eq!(
                outcome(&stage.elastauth.log()).as_deref(),
                Some(expected),
                "{at:?} {what:?}: {}",
                stage.elastauth.log()
            );
            assert!(answer.headers.contains_key("retry-after"));
            let errors = stage
                .elastauth
                .log()
                .lines()
                .filter(|line| line.contains(" ERROR "))
                .count();
            assert!(
                errors <= 1,
                "a failure is logged once: {}",
                stage.elastauth.log()
            );
            // Somebody else asks at the same time, and the same one again: nobody is let in.
            let nginx = question(
                "/elastauth/auth-request",
                &[("remote-user", b"alice"), ("remote-groups", b"dev")],
            );
            assert_eq!(
                stage.send(stage.gateway(), nginx).await.status,
                503,
                "{at:?} {what:?}"
            );
            stage.cluster.clear_faults();
            // A hanging call has its own deadline, and one more request gets a 503.
            let mut settled = false;
            for _ in 0..12 {
                pause(Why::Expires, FAILURE_LASTS).await;
                let answer = stage.ask("alice", "dev").await;
                if answer.status == StatusCode::OK {
                    settled = stage.works(&answer)
                        && stage.cluster.user("alice").unwrap().roles == ["editor", "viewer"];
                    break;
                }
            }
            assert!(settled, "{at:?} {what:?}: {}", stage.elastauth.log());
        });
    }
    all.join_all().await;
}

#[tokio::test]
async fn a_password_in_the_clear_and_a_cluster_that_quotes_it_stay_out_of_the_log() {
    let stage = Stage::planned(Plan {
        more: "credentials: {hash: off, park: false}\n",
        ..Plan::default()
    })
    .await;
    stage.cluster.fault(
        Fault::new(
            Endpoint::Write,
            Misbehaviour::Status(StatusCode::BAD_REQUEST),
        )
        .times(1),
    );
    stage.says(&stage.ask("alice", "dev").await, 503, "unavailable");
    pause(Why::Expires, FAILURE_LASTS).await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn fifty_first_requests_at_once_are_one_write_and_fifty_logins() {
    let stage = Stage::usual().await;
    stage.cluster.fault(Fault::new(
        Endpoint::Any,
        Misbehaviour::Delay(Duration::from_millis(50)),
    ));
    let asked = question(
        "/elastauth",
        &[("remote-user", b"alice"), ("remote-groups", b"dev")],
    );
    let mut asks = JoinSet::new();
    for _ in 0..50 {
        let (gateway, asked) = (stage.gateway().clone(), asked.clone());
        asks.spawn(async move { gateway.send(asked).await.unwrap() });
    }
    for answer in asks.join_all().await {
        stage.hold("one of fifty", &answer);
        assert!(stage.works(&answer), "{answer:?}");
    }
    assert_eq!(stage.calls().len(), 4, "{:?}", stage.calls());
}

#[tokio::test]
async fn a_hang_up_in_the_middle_of_a_first_login_does_not_cut_it() {
    let stage = Stage::usual().await;
    // Each call in turn is the one during which the client goes.
    for (n, at) in [Endpoint::Authenticate, Endpoint::Read, Endpoint::Write]
        .into_iter()
        .enumerate()
    {
        let user = format!("user-{n}");
        stage
            .cluster
            .fault(Fault::new(at, Misbehaviour::Delay(Duration::from_millis(400))).times(1));
        let before = stage.calls().len();
        let asked = question(
            "/elastauth",
            &[("remote-user", user.as_bytes()), ("remote-groups", b"dev")],
        );
        let gateway = stage.gateway().clone();
        let client = tokio::spawn(async move { gateway.send(asked).await.map(drop) });
        until("the call", || stage.calls().len() > before + n).await;
        client.abort();
        until("the finished write", || stage.cluster.user(&user).is_some()).await;
        until("its answer", || {
            stage
                .calls()
                .iter()
                .any(|call| call == &format!("PUT /_security/user/{user}?refresh=false 200"))
        })
        .await;
        assert!(stage.works(&stage.ask(&user, "dev").await));
        assert!(stage.calls().len() <= before + 4, "{:?}", stage.calls());
    }
}

#[tokio::test]
async fn one_of_three_hosts_that_is_gone_is_hardly_noticed() {
    let tasks = Tasks::default();
    let first = StandIn::start(&tasks).await.unwrap();
    let (second, third) = (
        first.start_node().await.unwrap(),
        first.start_node().await.unwrap(),
    );
    let hosts = Some(vec![first.url(), second.url(), third.url()]);
    let stage = Stage::before(
        first,
        tasks,
        Plan {
            hosts,
            ..Plan::default()
        },
    )
    .await;
    assert!(stage.works(&stage.ask("before", "dev").await));
    second.stop();
    for n in 0..30 {
        let answer = stage.ask(&format!("user-{n}"), "dev").await;
        assert!(stage.works(&answer), "user-{n}: {answer:?}");
    }
    let ready = stage.gateway().get("/elastauth/ready", &[]).await;
    assert_eq!(ready.status, 200, "{}", ready.text());
}

#[tokio::test]
async fn one_of_three_hosts_that_hangs_is_left_out_after_a_moment() {
    let tasks = Tasks::default();
    let first = StandIn::start(&tasks).await.unwrap();
    let (second, third) = (
        first.start_node().await.unwrap(),
        first.start_node().await.unwrap(),
    );
    let hosts = Some(vec![first.url(), second.url(), third.url()]);
    third.fault(Fault::new(Endpoint::Any, Misbehaviour::Hang));
    let stage = Stage::before(
        first,
        tasks,
        Plan {
            hosts,
            ..Plan::default()
        },
    )
    .await;
    let mut late = 0;
    for n in 0..30 {
        let user = format!("user-{n}");
        let answer = stage.ask(&user, "dev").await;
        if answer.status != StatusCode::OK {
            stage.says(&answer, 503, "unavailable");
            late += 1;
            continue;
        }
        assert!(stage.works(&answer), "{answer:?}");
    }
    assert!(late <= 3, "{late} of 30; {}", stage.elastauth.log());
    // No write has ever gone to two hosts.
    let mut written: Vec<String> = [&stage.cluster, &second, &third]
        .iter()
        .flat_map(|node| node.calls())
        .filter(|call| call.method == http::Method::PUT)
        .map(|call| call.path)
        .collect();
    let all = written.len();
    written.sort();
    written.dedup();
    assert_eq!(written.len(), all);
}

#[tokio::test]
async fn one_of_three_hosts_without_its_security_index_refuses_everybody_and_nobody_notices() {
    let tasks = Tasks::default();
    let first = StandIn::start(&tasks).await.unwrap();
    let (second, third) = (
        first.start_node().await.unwrap(),
        first.start_node().await.unwrap(),
    );
    let hosts = Some(vec![first.url(), second.url(), third.url()]);
    third.fault(Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable));
    let more = "cache: {expiration: 200ms}\nusers: {writes_per_minute: 1}";
    let stage = Stage::before(
        first,
        tasks,
        Plan {
            hosts,
            more,
            ..Plan::default()
        },
    )
    .await;
    for round in 0..3 {
        for n in 0..20 {
            let answer = stage.ask(&format!("user-{n}"), "dev").await;
            assert!(
                stage.works(&answer),
                "round {round}, user-{n}: {answer:?}; {}",
                stage.elastauth.log()
            );
        }
        pause(Why::Expires, Duration::from_millis(250)).await;
    }
    // Everybody was written once, when they came first. On the word of that node nobody was written
    // over.
    let done = |node: &StandIn| {
        node.calls()
            .iter()
            .filter(|call| call.method == http::Method::PUT && call.status == Some(StatusCode::OK))
            .count()
    };
    assert_eq!(
        [&stage.cluster, &second, &third]
            .map(done)
            .iter()
            .sum::<usize>(),
        20
    );
    assert!(third.calls().len() > 10, "it was asked all the time");
    let ready = stage.gateway().get("/elastauth/ready", &[]).await;
    assert_eq!(ready.status, 200, "{}", ready.text());
    // Only where every node refuses it is that the account's fault.
    for node in [&stage.cluster, &second] {
        node.fault(Fault::new(Endpoint::Any, Misbehaviour::SecurityUnavailable));
    }
    stage.says(&stage.ask("user-0", "dev").await, 503, "unavailable");
    stage.says(&stage.ask("user-20", "dev").await, 503, "unavailable");
    assert!(stage.cluster.user("user-20").is_none());
}

#[tokio::test]
async fn a_cluster_with_the_certificate_of_another_gets_no_password() {
    let (authority, other) = (Authority::new(), Authority::new());
    // As `openssl req -x509` makes them: a CA and a server in one.
    let [own, next] = [["127.0.0.1"]; 2].map(|names| Signed::by_itself(&names));
    let elsewhere = Signed::by_itself(&["elsewhere.test"]);
    let [own_ca, elsewhere_ca] = [&own, &elsewhere].map(|signed| signed.certificate.clone());
    for (signed, believed, good) in [
        (own, own_ca.clone(), true),
        (next, own_ca, false),
        (elsewhere, elsewhere_ca, false),
        (authority.sign(), authority.pem(), true),
        (
            authority.sign_for(&["elsewhere.test"]),
            authority.pem(),
            false,
        ),
        (other.sign(), authority.pem(), false),
    ] {
        let tasks = Tasks::default();
        let cluster = StandIn::start_tls(&tasks, signed.server()).await.unwrap();
        let plan = Plan {
            elasticsearch: "  tls:\n    enabled: true\n    ca_cert: /etc/elastauth/ca.pem",
            files: &[("ca.pem", &believed)],
            ..Plan::default()
        };
        let stage = Stage::before(cluster, tasks, plan).await;
        let answer = stage.ask("alice", "dev").await;
        if good {
            assert!(stage.works(&answer), "{answer:?}");
        } else {
            stage.says(&answer, 503, "unavailable");
            assert_eq!(stage.calls(), Vec::<String>::new());
            assert!(
                stage.elastauth.log().contains("certificate"),
                "{}",
                stage.elastauth.log()
            );
        }
    }
    // Whoever asks for it gets it, and hears what it means.
    let tasks = Tasks::default();
    let cluster = StandIn::start_tls(&tasks, other.sign_for(&["elsewhere.test"]).server())
        .await
        .unwrap();
    let plan = Plan {
        elasticsearch: "  tls:\n    enabled: true\n    insecure_skip_verify: true",
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(
        stage.elastauth.log().contains("NOT verified"),
        "{}",
        stage.elastauth.log()
    );
}

#[tokio::test]
async fn a_cluster_that_is_down_at_the_start_is_waited_for_and_named_to_gateways_alone() {
    let nobody = Closed::new();
    let plan = Plan {
        hosts: Some(vec![nobody.url()]),
        ..Plan::default()
    };
    let stage = Stage::planned(plan).await;
    stage.says(&stage.ask("alice", "dev").await, 503, "unavailable");
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    for path in ["/elastauth/live", "/elastauth/health"] {
        assert_eq!(stage.untrusted().get(path, &[]).await.status, 200);
    }
    for (server, key, detailed) in [
        (stage.gateway().clone(), &key[..], true),
        (stage.gateway().clone(), &[], false),
        (stage.untrusted(), &key[..], false),
    ] {
        let ready = server.get("/elastauth/ready", key).await;
        assert_eq!(
            (
                ready.status.as_u16(),
                &ready.json()["checks"]["elasticsearch"]["status"]
            ),
            (200, &json!("ERROR"))
        );
        assert_eq!(ready.json()["status"], "DEGRADED");
        // The names of the clusters are for trusted peers, and no address is for anybody.
        let named = &ready.json()["checks"]["clusters"]["default"]["status"];
        assert_eq!(named == &json!("ERROR"), detailed, "{}", ready.text());
        assert_eq!(
            ready.json()["checks"]["elasticsearch"]["error"].is_string(),
            detailed,
            "{}",
            ready.text()
        );
        assert!(
            !ready.text().contains("127.0.0.1") && !ready.text().contains(&nobody.port.to_string()),
            "{}",
            ready.text()
        );
    }
    let _relay = Relay::at(nobody, stage.cluster.addr().port());
    let mut settled = false;
    for _ in 0..8 {
        pause(Why::Expires, FAILURE_LASTS).await;
        settled = stage.works(&stage.ask("alice", "dev").await);
        if settled {
            break;
        }
    }
    assert!(settled, "{}", stage.elastauth.log());
    assert_eq!(
        stage.gateway().get("/elastauth/ready", &[]).await.status,
        200
    );
}

#[tokio::test]
async fn a_refused_account_makes_a_replica_not_ready_until_it_was_accepted_once() {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.expect("a stand-in");
    let refused = Fault::new(
        Endpoint::Check,
        Misbehaviour::Status(StatusCode::UNAUTHORIZED),
    );
    cluster.fault(refused.clone());
    let stage = Stage::before(cluster, tasks, Plan::default()).await;
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let ready = async || stage.gateway().get("/elastauth/ready", &key).await;
    let answer = ready().await;
    assert_eq!(
        (answer.status.as_u16(), &answer.json()["status"]),
        (503, &json!("NOT_READY"))
    );
    assert!(
        answer.text().contains("account") && answer.text().contains("401"),
        "{}",
        answer.text()
    );
    // Another replica is asked, but who asks this one is answered.
    stage.cluster.clear_faults();
    let is_ok = async || {
        let answer = ready().await;
        (answer.status == 200 && answer.json()["status"] == "OK").then_some(())
    };
    find("readiness is OK", FAILURE_LASTS * 20, is_ok).await;
    // From now on it is the cluster's affair, or that of all replicas.
    stage.cluster.fault(refused);
    let is_degraded = async || {
        let answer = ready().await;
        assert_eq!(answer.status.as_u16(), 200, "{}", answer.text());
        (answer.json()["status"] == "DEGRADED").then_some(())
    };
    find("readiness is DEGRADED", FAILURE_LASTS * 20, is_degraded).await;
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
    // An untrusted peer reads that something is wrong, and no more.
    let body = stage.untrusted().get("/elastauth/ready", &[]).await.json();
    assert_eq!(
        body["checks"]["clock"],
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
async fn two_sessions_that_change_one_user_are_limited() {
    let stage = Stage::planned(Plan {
        more: "users:\n  writes_per_minute: 3\n",
        ..Plan::default()
    })
    .await;
    let mut answers = Vec::new();
    for round in 0..12 {
        let (groups, role) = [("dev", "editor"), ("ops", "monitoring_user")][round % 2];
        let answer = stage.ask("alice", groups).await;
        if answer.status == StatusCode::OK {
            let roles = stage.cluster.user("alice").unwrap().roles;
            assert!(roles.contains(&role.to_owned()), "{groups}: {roles:?}");
        } else {
            stage.says(&answer, 503, "unavailable");
            let log = stage.elastauth.log();
            assert_eq!(outcome(&log).as_deref(), Some("write_budget"), "{log}");
        }
        answers.push(answer.status.as_u16());
    }
    let writes = stage.called("PUT");
    assert!(
        (4..=5).contains(&writes),
        "a first login, three changes and what a second or two give back: {writes}"
    );
    assert!(
        answers.ends_with(&[200, 503]) || answers.ends_with(&[503, 200]),
        "{answers:?}"
    );
}
