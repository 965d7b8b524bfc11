//! Bad weather: nodes that are slow, gone, wrong, or somebody else.

use super::*;
use tokio::time::Instant;

/// What became of a call, in short.
fn told<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    match result.unwrap_err() {
        CallError::NotSent { why, .. } => format!("{why:?}"),
        CallError::NoAnswer { why, .. } => format!("{why:?}"),
        CallError::Status {
            status, error_type, ..
        } => format!(
            "{} {}",
            status.as_u16(),
            error_type.as_deref().unwrap_or("-")
        ),
    }
}

#[tokio::test]
async fn each_wrong_answer_has_its_name_and_none_is_taken_for_success() {
    let node = Stub::start(Manner::Hang).await;
    let (cluster, _) = client_with(&[node.addr], short());
    let exception =
        r#"{"error":{"root_cause":[],"type":"some_exception","reason":"r"},"status":1}"#;
    for (manner, name) in [
        (Manner::answer(200, "<html>please log in</html>"), "NotJson"),
        (Manner::answer(200, r#"{"created":"#), "NotJson"),
        (Manner::answer(200, ""), "NotJson"),
        (Manner::answer(200, r#"{"ok":true}"#), "Unexpected"),
        (
            Manner::SayAndClose("HTTP/1.1 200 X\r\nContent-Length: 100\r\n\r\n{\"cre".to_owned()),
            "Cut",
        ),
        (Manner::SayAndClose("SSH-2.0-x\r\n".to_owned()), "Cut"),
        (Manner::HangUp, "Cut"),
        (Manner::Endless, "TooBig"),
        (
            Manner::Say(format!("HTTP/1.1 200 X\r\nX: {}", "x".repeat(100_000))),
            "Cut",
        ),
        (
            Manner::Say(
                "HTTP/1.1 302 X\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n".to_owned(),
            ),
            "302 -",
        ),
        (Manner::answer(401, "Unauthorized"), "401 -"),
        (Manner::answer(403, exception), "403 some_exception"),
        (Manner::answer(404, "<html>no such page</html>"), "404 -"),
        (Manner::answer(409, exception), "409 some_exception"),
        (Manner::answer(429, exception), "429 some_exception"),
        (Manner::answer(500, exception), "500 some_exception"),
        (Manner::answer(503, exception), "503 some_exception"),
        (Manner::answer(503, "<html>down</html>"), "503 -"),
        (
            Manner::answer(
                400,
                r#"{"error":"no handler found for uri [x]","status":400}"#,
            ),
            "400 -",
        ),
        (
            Manner::SayAndClose("HTTP/1.1 403 X\r\nContent-Length: 100\r\n\r\n{\"err".to_owned()),
            "403 -",
        ),
    ] {
        node.behave(manner);
        let before = node.requests().len();
        assert_eq!(told(write(&cluster, "joe").await), name);
        assert_eq!(told(cluster.read_user(&joe()).await), name);
        assert_eq!(
            node.requests().len(),
            before + 2,
            "{name}: each call is made once"
        );
    }
}

#[tokio::test]
async fn a_login_is_refused_by_401_and_by_nothing_else() {
    let node = Stub::start(Manner::answer(401, "Unauthorized")).await;
    let cluster = client(&[node.addr]);
    let credential = HeaderValue::from_static("Basic x");
    assert_eq!(
        cluster.authenticate(&credential).await.unwrap(),
        Whoami::Refused
    );
    assert_eq!(
        told(cluster.check().await),
        "401 -",
        "for the service account it is a fault"
    );
    for status in [400, 403, 404, 429, 500, 503] {
        node.behave(Manner::answer(status, "{}"));
        assert_eq!(
            told(cluster.authenticate(&credential).await),
            format!("{status} -")
        );
    }
}

#[tokio::test]
async fn a_node_that_hangs_costs_its_deadline_and_no_more() {
    let node = Stub::start(Manner::Hang).await;
    let (cluster, _) = client_with(&[node.addr], short());
    for manner in [
        Manner::Hang,
        Manner::Say("HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\n{".to_owned()),
    ] {
        node.behave(manner);
        let begin = Instant::now();
        assert_eq!(told(cluster.read_user(&joe()).await), "TimedOut");
        assert_eq!(told(write(&cluster, "joe").await), "TimedOut");
        assert!(
            begin.elapsed() >= Duration::from_millis(1_950)
                && begin.elapsed() < Duration::from_secs(4),
            "{:?}",
            begin.elapsed()
        );
    }
}

#[tokio::test]
async fn one_dead_host_of_three_is_not_felt() {
    let (one, two, dead) = (
        Stub::start(Manner::answer(200, JOE)).await,
        Stub::start(Manner::answer(200, JOE)).await,
        nobody().await,
    );
    let cluster = client(&[one.addr, dead, two.addr]);
    for _ in 0..6 {
        assert!(cluster.read_user(&joe()).await.unwrap().is_some());
    }
    assert_eq!(one.requests().len() + two.requests().len(), 6);
    for stub in [&one, &two] {
        stub.behave(Manner::answer(200, CREATED));
    }
    for _ in 0..6 {
        write(&cluster, "joe").await.unwrap();
    }
    assert_eq!(one.requests().len() + two.requests().len(), 12);
}

#[tokio::test]
async fn a_write_goes_on_to_the_next_host_where_the_first_refused_the_connection() {
    let (node, dead) = (
        Stub::start(Manner::answer(200, CREATED)).await,
        nobody().await,
    );
    for _ in 0..4 {
        // A new client each time: its first write meets either host.
        write(&client(&[dead, node.addr]), "joe").await.unwrap();
    }
    assert_eq!(node.requests().len(), 4);
}

#[tokio::test]
async fn a_write_that_was_sent_is_never_sent_to_another_host() {
    for manner in [
        Manner::HangUp,
        Manner::Hang,
        Manner::answer(502, "{}"),
        Manner::answer(503, "{}"),
        Manner::answer(200, "<html>"),
    ] {
        let (one, two) = (
            Stub::start(manner.clone()).await,
            Stub::start(manner.clone()).await,
        );
        let (cluster, _) = client_with(&[one.addr, two.addr], short());
        let error = write(&cluster, "joe").await.unwrap_err();
        assert_eq!(error.write_outcome(), WriteOutcome::Unknown, "{manner:?}");
        assert_eq!(one.requests().len() + two.requests().len(), 1, "{manner:?}");
    }
}

/// A node that is frozen still takes connections: the kernel does. Only TLS shows that nobody is at
/// home.
#[tokio::test]
async fn a_write_that_waits_for_tls_in_vain_was_not_sent_and_goes_elsewhere() {
    let frozen = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let node = Stub::start(Manner::answer(200, CREATED)).await;
    let mut config = config(&[
        format!("https://{}", frozen.local_addr().unwrap()),
        format!("http://{}", node.addr),
    ]);
    config.tls.danger_skip_verify = true;
    for _ in 0..3 {
        let cluster = with(&config, Clock::System, short());
        write(&cluster, "joe").await.unwrap();
    }
    assert_eq!(node.requests().len(), 3);

    config.hosts.truncate(1);
    let error = write(&with(&config, Clock::System, short()), "joe")
        .await
        .unwrap_err();
    assert!(
        matches!(
            error,
            CallError::NotSent {
                why: SendError::ConnectTimeout,
                ..
            }
        ) && error.write_outcome() == WriteOutcome::NotApplied,
        "{error:?}"
    );
}

#[tokio::test]
async fn reads_go_on_from_node_to_node_until_one_can_tell() {
    for manner in [
        Manner::HangUp,
        Manner::Hang,
        Manner::Endless,
        Manner::answer(200, "<html>"),
        Manner::answer(502, ""),
        Manner::answer(503, "{}"),
        Manner::answer(504, ""),
        // Without its security index a node knows neither the account nor its rights.
        Manner::answer(401, "{}"),
        Manner::answer(403, "{}"),
    ] {
        let (bad, good) = (
            Stub::start(manner.clone()).await,
            Stub::start(Manner::answer(200, JOE)).await,
        );
        let (cluster, _) = client_with(&[bad.addr, good.addr], short());
        for _ in 0..2 {
            assert!(
                cluster.read_user(&joe()).await.unwrap().is_some(),
                "{manner:?}"
            );
        }
        assert_eq!(
            (bad.requests().len(), good.requests().len()),
            (1, 2),
            "{manner:?}"
        );
    }
    // An answer of the cluster itself is final: asking on would only repeat it.
    for (status, requests) in [(400, 1), (429, 1), (500, 1), (401, 2), (403, 2)] {
        let (one, two) = (
            Stub::start(Manner::answer(status, "{}")).await,
            Stub::start(Manner::answer(status, "{}")).await,
        );
        assert_eq!(
            told(client(&[one.addr, two.addr]).read_user(&joe()).await),
            format!("{status} -")
        );
        assert_eq!(
            one.requests().len() + two.requests().len(),
            requests,
            "{status}"
        );
    }
}

#[tokio::test]
async fn a_write_that_one_node_has_refused_is_carried_out_by_another() {
    for status in [401, 403] {
        let (bad, good) = (
            Stub::start(Manner::answer(status, "{}")).await,
            Stub::start(Manner::answer(200, CREATED)).await,
        );
        for _ in 0..4 {
            // A new client each time: its first write meets either host.
            write(&client(&[bad.addr, good.addr]), "joe").await.unwrap();
        }
        assert_eq!(good.requests().len(), 4, "{status}");
    }
}

#[tokio::test]
async fn a_login_that_is_asked_about_anywhere_is_refused_where_all_refuse_it() {
    let (one, two) = (
        Stub::start(Manner::answer(401, "{}")).await,
        Stub::start(Manner::answer(200, JOE_IS)).await,
    );
    let cluster = client(&[one.addr, two.addr]);
    let credential = HeaderValue::from_static("Basic x");
    for _ in 0..4 {
        assert!(
            matches!(cluster.authenticate_anywhere(&credential).await.unwrap(), Whoami::User(user) if user.account.name == "joe")
        );
    }
    two.behave(Manner::answer(401, "{}"));
    assert_eq!(
        cluster.authenticate_anywhere(&credential).await.unwrap(),
        Whoami::Refused
    );
    // A node that is gone says nothing, and the refusal stands: whoever could read the user is
    // among those who were asked.
    let beside_a_dead_one = client(&[nobody().await, one.addr]);
    for _ in 0..4 {
        assert_eq!(
            beside_a_dead_one
                .authenticate_anywhere(&credential)
                .await
                .unwrap(),
            Whoami::Refused
        );
    }
    one.behave(Manner::answer(503, "{}"));
    assert!(
        beside_a_dead_one
            .authenticate_anywhere(&credential)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_account_is_at_fault_only_where_no_node_has_another_trouble() {
    let (one, two) = (
        Stub::start(Manner::answer(401, "{}")).await,
        Stub::start(Manner::answer(503, "{}")).await,
    );
    let cluster = client(&[one.addr, two.addr]);
    // Whichever of them is asked first.
    for _ in 0..4 {
        assert_eq!(told(cluster.read_user(&joe()).await), "503 -");
    }
}

#[tokio::test]
async fn three_hanging_hosts_cost_one_deadline() {
    let stubs = [
        Stub::start(Manner::Hang).await,
        Stub::start(Manner::Hang).await,
        Stub::start(Manner::Hang).await,
    ];
    let timeouts = Timeouts {
        read: Duration::from_millis(600),
        ..short()
    };
    let (cluster, _) = client_with(&stubs.each_ref().map(|stub| stub.addr), timeouts);
    let begin = Instant::now();
    assert_eq!(told(cluster.read_user(&joe()).await), "TimedOut");
    assert!(
        begin.elapsed() < Duration::from_millis(1_500),
        "{:?}",
        begin.elapsed()
    );
}

#[tokio::test]
async fn an_ejected_node_is_left_alone_until_its_time_and_then_tried_once() {
    let (bad, good) = (
        Stub::start(Manner::answer(502, "")).await,
        Stub::start(Manner::answer(200, JOE)).await,
    );
    let (cluster, time) = client_with(&[bad.addr, good.addr], Timeouts::default());
    let read_ten = async || {
        for _ in 0..10 {
            cluster.read_user(&joe()).await.unwrap();
        }
    };
    read_ten().await;
    assert_eq!(bad.requests().len(), 1, "ejected at its first failure");

    time.fetch_add(1_201, Ordering::SeqCst);
    read_ten().await;
    assert_eq!(bad.requests().len(), 2, "one probe, and out again");
    time.fetch_add(1_500, Ordering::SeqCst);
    read_ten().await;
    assert_eq!(bad.requests().len(), 2, "this time for longer");

    bad.behave(Manner::answer(200, JOE));
    time.fetch_add(1_000, Ordering::SeqCst);
    read_ten().await;
    assert!(
        bad.requests().len() > 5,
        "it is back: {}",
        bad.requests().len()
    );
}

#[tokio::test]
async fn a_single_host_is_always_tried() {
    let node = Stub::start(Manner::HangUp).await;
    let (cluster, _) = client_with(&[node.addr], short());
    for _ in 0..3 {
        assert_eq!(told(cluster.read_user(&joe()).await), "Cut");
    }
    node.behave(Manner::answer(200, JOE));
    assert!(cluster.read_user(&joe()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_kept_connection_that_the_node_has_closed_is_not_felt() {
    let answer = format!(
        "HTTP/1.1 200 X\r\nContent-Length: {}\r\n\r\n{CREATED}",
        CREATED.len()
    );
    let node = Stub::start(Manner::SayAndClose(answer)).await;
    let cluster = client(&[node.addr]);
    for _ in 0..5 {
        write(&cluster, "joe").await.unwrap();
        // Until the end of the connection has arrived.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((node.requests().len(), node.connections()), (5, 5));
}

#[tokio::test]
async fn more_calls_than_there_is_room_for_are_shed() {
    let node = Stub::start(Manner::Hang).await;
    let (cluster, _) = client_with(
        &[node.addr],
        Timeouts {
            write: Duration::from_millis(600),
            ..short()
        },
    );
    let tasks = crate::shutdown::Tasks::default();
    let (tell, mut hear) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..80 {
        let (cluster, tell) = (cluster.clone(), tell.clone());
        tasks.spawn(async move {
            tell.send(told(write(&cluster, "joe").await)).unwrap();
        });
    }
    drop(tell);
    let mut shed = 0;
    while let Some(outcome) = hear.recv().await {
        shed += usize::from(outcome == "Busy");
    }
    assert_eq!(shed, 16, "64 have room");
}
