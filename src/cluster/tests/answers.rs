//! Wrong answers, answers that do not come, and calls that are too many.

use super::*;
use tokio::time::Instant;

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
        assert_eq!(failure(write(&cluster, "joe").await), name);
        assert_eq!(failure(cluster.read_user(&joe()).await), name);
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
        failure(cluster.check().await),
        "401 -",
        "for the service account it is a fault"
    );
    for status in [400, 403, 404, 429, 500, 503] {
        node.behave(Manner::answer(status, "{}"));
        assert_eq!(
            failure(cluster.authenticate(&credential).await),
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
        assert_eq!(failure(cluster.read_user(&joe()).await), "TimedOut");
        assert_eq!(failure(write(&cluster, "joe").await), "TimedOut");
        assert!(
            begin.elapsed() >= Duration::from_millis(1_950)
                && begin.elapsed() < Duration::from_secs(4),
            "{:?}",
            begin.elapsed()
        );
    }
}

#[tokio::test]
async fn a_single_host_is_always_tried() {
    let node = Stub::start(Manner::HangUp).await;
    let (cluster, _) = client_with(&[node.addr], short());
    for _ in 0..3 {
        assert_eq!(failure(cluster.read_user(&joe()).await), "Cut");
    }
    node.behave(Manner::answer(200, JOE));
    assert!(cluster.read_user(&joe()).await.unwrap().is_some());
}

#[tokio::test]
async fn a_kept_connection_that_the_node_has_closed_goes_unnoticed() {
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
    let (sender, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..80 {
        let (cluster, sender) = (cluster.clone(), sender.clone());
        tasks.spawn(async move {
            sender.send(failure(write(&cluster, "joe").await)).unwrap();
        });
    }
    drop(sender);
    let mut shed = 0;
    while let Some(outcome) = outcomes.recv().await {
        shed += usize::from(outcome == "Busy");
    }
    assert_eq!(shed, 16, "64 have room");
}
