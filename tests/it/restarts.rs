//! Ends and beginnings of the running program: asked to end with work in hand, killed in the middle
//! of it, and passwords that change under load.

use crate::support::{
    Why, find,
    http::Server,
    multiplexed::Multiplexed,
    pause,
    stage::{GATEWAY_KEY, Plan, Stage, for_user},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use http::{Request, StatusCode, header};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn asked_to_end_it_finishes_what_it_has_in_hand_and_takes_nothing_new() {
    let mut stage = Stage::usual().await;
    // Two connections that rest.
    let mut resting = stage.gateway().connect().await.unwrap();
    resting
        .write_all(
            format!("GET / HTTP/1.1\r\nhost: a\r\nx-elastauth-key: {GATEWAY_KEY}\r\n\r\n")
                .as_bytes(),
        )
        .await
        .unwrap();
    assert!(resting.read_u8().await.is_ok());
    let multiplexed = Multiplexed::in_clear(stage.gateway()).await;
    stage.cluster.fault(Fault::new(
        Endpoint::Write,
        Misbehaviour::Delay(Duration::from_secs(1)),
    ));
    // Three first logins in the air: over HTTP/1.1, over HTTP/2, and one whose client has gone.
    let (gateway, single) = (stage.gateway().clone(), for_user("alice"));
    let single = tokio::spawn(async move { gateway.send(single).await.unwrap() });
    let other = multiplexed.clone();
    let asked = Request::get("http://a/elastauth")
        .header("x-elastauth-key", GATEWAY_KEY)
        .header("remote-user", "bob");
    let asked = asked.header("remote-groups", "dev").body(()).unwrap();
    let streamed = tokio::spawn(async move { other.send(asked).await.unwrap() });
    let (gateway, gone) = (stage.gateway().clone(), for_user("carol"));
    let gone = tokio::spawn(async move { gateway.send(gone).await.map(drop) });
    until("three writes in the air", || stage.called("PUT") == 3).await;
    gone.abort();

    stage.elastauth.ask_to_end();
    let mut rest = Vec::new();
    let closed = timeout(Duration::from_secs(3), resting.read_to_end(&mut rest)).await;
    assert!(closed.is_ok(), "who rests is closed at once");
    until("the end of the listener", || {
        std::net::TcpStream::connect(stage.gateway().address()).is_err()
    })
    .await;
    for answer in [single.await.unwrap(), streamed.await.unwrap()] {
        stage.hold("a login at the end", &answer);
        assert!(stage.works(&answer), "{answer:?}");
    }
    let status = stage.elastauth.ended().await;
    assert!(
        status.success() && !stage.elastauth.log().contains("given up"),
        "{status}: {}",
        stage.elastauth.log()
    );
    assert_eq!(
        stage.cluster.user("carol").unwrap().roles,
        ["editor", "viewer"]
    );
    assert_eq!(
        stage
            .calls()
            .iter()
            .filter(|call| call.ends_with("refresh=false 200"))
            .count(),
        3
    );
}

#[tokio::test]
async fn for_the_delay_readiness_is_negative_and_everybody_is_answered() {
    let mut stage = Stage::planned(Plan {
        more: "shutdown: {delay: 5m}",
        ..Plan::default()
    })
    .await;
    let ready = async || {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let answer = stage.gateway().get("/elastauth/ready", &key).await;
        let (status, shown) = (answer.status.as_u16(), answer.json());
        (status, shown["status"].clone(), shown["checks"].clone())
    };
    let (status, shown, checks) = ready().await;
    assert_eq!((status, shown), (200, "OK".into()));
    assert!(checks["shutdown"].is_null(), "{checks}");
    stage.elastauth.ask_to_end();
    let began = "the end begins after `shutdown.delay`";
    until(began, || stage.elastauth.log().contains(began)).await;
    let (status, shown, checks) = ready().await;
    assert_eq!((status, shown), (503, "NOT_READY".into()));
    assert_eq!(checks["shutdown"]["status"], "ENDING");
    assert_eq!(checks["elasticsearch"]["status"], "OK");
    // On a connection of its own, and the first login of this user.
    assert!(stage.works(&stage.ask("alice", "dev").await));
    let live = stage.gateway().get("/elastauth/live", &[]).await;
    assert_eq!(live.status, StatusCode::OK);
    // A second signal does not wait for five minutes.
    assert!(stage.elastauth.terminate().await.success());
    assert!(
        stage
            .elastauth
            .log()
            .contains("a second signal ends the delay")
    );
}

#[tokio::test]
async fn after_the_delay_it_ends_by_itself() {
    let mut stage = Stage::planned(Plan {
        more: "shutdown: {delay: 50ms}",
        ..Plan::default()
    })
    .await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.elastauth.terminate().await.success());
    assert!(!stage.elastauth.log().contains("second signal"));
}

#[tokio::test]
async fn with_nothing_in_hand_it_ends_at_once() {
    let mut stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.elastauth.terminate().await.success());
    assert!(!stage.elastauth.log().contains("given up"));
}

#[tokio::test]
async fn killed_in_the_middle_of_a_write_the_next_start_puts_it_right() {
    for (what, applied) in [
        (Misbehaviour::Delay(Duration::from_secs(5)), false),
        (Misbehaviour::CloseAfter, true),
    ] {
        let mut stage = Stage::usual().await;
        assert!(stage.works(&stage.ask("known", "ops").await));
        stage
            .cluster
            .fault(Fault::new(Endpoint::Write, what).times(1));
        let (gateway, asked) = (stage.gateway().clone(), for_user("alice"));
        let client = tokio::spawn(async move { gateway.send(asked).await.map(drop) });
        until("the write", || stage.called("PUT") == 2).await;
        stage.elastauth.kill();
        let _cut = client.await.unwrap();
        assert_eq!(stage.cluster.user("alice").is_some(), applied);

        let again = stage.replica(Plan::default()).await;
        stage.cluster.forget_calls();
        assert!(again.works(&again.ask("known", "ops").await));
        assert_eq!(
            again.calls(),
            ["GET /_security/_authenticate 200"],
            "what was there is taken up again"
        );
        assert!(again.works(&again.ask("alice", "dev").await));
        assert_eq!(
            stage.cluster.user("alice").unwrap().roles,
            ["editor", "viewer"]
        );
        assert_eq!(again.called("PUT"), usize::from(!applied));
    }
}

/// What one client saw of a rotation.
#[derive(Default)]
struct Seen {
    used: usize,
    refused: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_change_under_load_and_no_login_is_refused() {
    const USERS: usize = 8;
    const GRACE: Duration = Duration::from_millis(500);
    let plan = || Plan {
        more: "credentials:\n  rotation: 3s\n  grace: 500ms\n",
        ..Plan::default()
    };
    let first = Stage::planned(plan()).await;
    let second = first.replica(plan()).await;
    let cluster = Server::plain(first.cluster.addr().port());
    let (end, latest) = (
        Instant::now() + Duration::from_secs(10),
        Instant::now() + Duration::from_mins(1),
    );
    // A busy machine takes longer until each user has had three logins.
    let logins = Arc::<Mutex<HashSet<String>>>::default();
    let is_enough = {
        let logins = Arc::clone(&logins);
        move || {
            let count = logins.lock().unwrap().len();
            Instant::now() > end && (count >= 3 * USERS || Instant::now() > latest)
        }
    };
    let mut clients = JoinSet::new();
    for client in 0..24 {
        let (replicas, cluster) = (
            [first.gateway().clone(), second.gateway().clone()],
            cluster.clone(),
        );
        let (logins, is_enough) = (Arc::clone(&logins), is_enough.clone());
        clients.spawn(async move {
            let mut seen = Seen::default();
            for turn in client.. {
                if is_enough() {
                    break;
                }
                let answer = replicas[turn % 2]
                    .send(for_user(&format!("user-{}", turn * 5 % USERS)))
                    .await
                    .unwrap();
                let answered = Instant::now();
                assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
                let login = answer.header("authorization").unwrap().to_owned();
                // On its way through the gateway and the network; without a grace period one in
                // fifty comes too late.
                pause(
                    Why::Pace,
                    Duration::from_millis(u64::try_from(turn * 37 % 300).unwrap()),
                )
                .await;
                let used = cluster
                    .get(
                        "/_security/_authenticate",
                        &[
                            ("authorization", &login),
                            (header::VIA.as_str(), "1.1 a-test"),
                        ],
                    )
                    .await;
                // A client that this machine has made to wait for longer than the grace proves
                // nothing.
                if used.status != StatusCode::OK && answered.elapsed() < GRACE {
                    seen.refused
                        .push(format!("{} after {:?}", used.status, answered.elapsed()));
                }
                seen.used += 1;
                logins.lock().unwrap().insert(login);
            }
            seen
        });
    }
    let mut all = Seen::default();
    for seen in clients.join_all().await {
        all.used += seen.used;
        all.refused.extend(seen.refused);
    }
    assert!(
        all.refused.is_empty(),
        "{} of {}: {:?}",
        all.refused.len(),
        all.used,
        all.refused
    );
    let count = logins.lock().unwrap().len();
    assert!(count >= 3 * USERS, "{count} logins of {USERS} users");
    assert!(all.used > 100, "{}", all.used);
}

#[tokio::test]
async fn a_write_that_hangs_is_waited_for_until_its_deadline_and_no_longer() {
    let mut stage = Stage::usual().await;
    stage
        .cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::Hang));
    let answer = stage.ask("alice", "dev").await;
    stage.says(&answer, 503, "unavailable");
    assert!(stage.elastauth.terminate().await.success());
    assert!(
        !stage.elastauth.log().contains("given up"),
        "{}",
        stage.elastauth.log()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_boundary_some_thousands_wait_and_whoever_comes_beyond_that_gets_a_503() {
    const HELD: usize = 4_096;
    const REQUESTS: usize = 4_800;
    let more = "credentials: {rotation: 6s, grace: 1500ms}\nenable_metrics: true";
    let stage = Stage::planned(Plan {
        more,
        ..Plan::default()
    })
    .await;
    let login = async || {
        stage
            .ask("alice", "dev")
            .await
            .header("authorization")
            .map(str::to_owned)
    };
    // Whoever asks all the time is answered with the next password when the grace is over.
    let first = login().await;
    find("the next password", Duration::from_secs(20), async || {
        login().await.filter(|next| Some(next) != first.as_ref())
    })
    .await;
    pause(Why::Expires, Duration::from_millis(6_000 - 1_500 - 300)).await;
    let mut connections = Vec::new();
    for _ in 0..6 {
        connections.push(Multiplexed::in_clear(stage.gateway()).await);
    }
    pause(Why::Expires, Duration::from_millis(400)).await;
    let mut requests = JoinSet::new();
    for n in 0..REQUESTS {
        let connection = connections[n % connections.len()].clone();
        let asked = Request::get("http://a/elastauth")
            .header("x-elastauth-key", GATEWAY_KEY)
            .header("remote-user", "alice");
        let asked = asked.header("remote-groups", "dev").body(()).unwrap();
        requests.spawn(async move { connection.send(asked).await.unwrap() });
    }
    let held = async || {
        let numbers = stage
            .gateway()
            .get("/elastauth/metrics", &[("x-elastauth-key", GATEWAY_KEY)])
            .await
            .text();
        let held = numbers.lines().find_map(|line| {
            line.strip_prefix("elastauth_held_requests{cluster=\"default\"} ")?
                .parse::<usize>()
                .ok()
        });
        held.unwrap_or_else(|| panic!("{numbers}"))
    };
    let mut most = 0;
    for _ in 0..10 {
        most = most.max(held().await);
    }
    assert!((1..=HELD).contains(&most), "{most}");
    let (mut granted, mut refused) = (0, 0);
    while let Some(answer) = requests.join_next().await {
        let answer = answer.unwrap();
        stage.hold("a request at the boundary", &answer);
        if answer.status == StatusCode::OK {
            assert!(stage.works(&answer));
            granted += 1;
        } else {
            assert_eq!(
                (answer.status.as_u16(), answer.header("retry-after")),
                (503, Some("1")),
                "{}",
                answer.text()
            );
            refused += 1;
        }
    }
    assert!(
        granted > 0 && refused > 0 && granted + refused == REQUESTS,
        "{granted} {refused}"
    );
    assert_eq!(held().await, 0);
}
