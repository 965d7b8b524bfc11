//! The end of the program, and reloads: what runs may finish.

use super::setup::{OK, Setup, read_answer, request};
use crate::support::until;
use std::sync::Arc;
use tokio::{io::AsyncWriteExt as _, sync::Notify};

#[tokio::test]
async fn an_answer_that_has_begun_is_finished_after_sigterm() {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let mut setup = Setup::with("", move |mut connection| {
        let waits = Arc::clone(&waits);
        async move {
            connection.head().await;
            connection
                .say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab")
                .await;
            waits.notified().await;
            connection.say(b"cde").await;
        }
    })
    .await;
    let mut stream = setup.connect().await;
    stream
        .write_all(request("GET /a", "alice", "").as_bytes())
        .await
        .unwrap();
    until("the request", || setup.upstream.heads().len() == 1).await;
    setup.stage.elastauth.ask_to_end();
    until("the end", || {
        setup.stage.elastauth.log().contains("ending:")
    })
    .await;
    go.notify_one();
    let answer = read_answer(&mut stream).await;
    assert!(answer.ends_with("\r\n\r\nabcde"), "{answer}");
    drop(stream);
    assert!(setup.stage.elastauth.ended().await.success());
}

#[tokio::test]
async fn new_connections_are_answered_until_the_listener_closes() {
    let mut setup = Setup::with("shutdown: {delay: 1m}\n", |mut connection| async move {
        while connection.head().await.is_some() {
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let mut kept = setup.connect().await;
    setup.stage.elastauth.ask_to_end();
    until("the delay", || {
        setup.stage.elastauth.log().contains("shutdown.delay")
    })
    .await;
    let text = request("GET /a", "alice", "");
    assert!(setup.ask(&text).await.ends_with("\r\n\r\nok"));
    kept.write_all(text.as_bytes()).await.unwrap();
    assert!(read_answer(&mut kept).await.ends_with("\r\n\r\nok"));
    // The second signal ends the delay.
    assert!(setup.stage.elastauth.terminate().await.success());
}

#[tokio::test]
async fn a_reload_ends_no_request_and_no_connection() {
    let go = Arc::new(Notify::new());
    let waits = Arc::clone(&go);
    let setup = Setup::with("", move |mut connection| {
        let waits = Arc::clone(&waits);
        async move {
            while let Some(head) = connection.head().await {
                if head.starts_with("GET /slow ") {
                    let part = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsl";
                    connection.say(part).await;
                    waits.notified().await;
                    connection.say(b"ow").await;
                } else {
                    connection.say(OK.as_bytes()).await;
                }
            }
        }
    })
    .await;
    let (mut slow, mut kept) = (setup.connect().await, setup.connect().await);
    let text = request("GET /slow", "alice", "");
    slow.write_all(text.as_bytes()).await.unwrap();
    let text = request("GET /a", "alice", "");
    kept.write_all(text.as_bytes()).await.unwrap();
    assert!(read_answer(&mut kept).await.ends_with("\r\n\r\nok"));
    until("both requests", || setup.upstream.heads().len() == 2).await;
    let elastauth = &setup.stage.elastauth;
    elastauth.edit(|config| config.replace("default_roles: [viewer]", "default_roles: [other]"));
    elastauth.hang_up();
    until("the reload", || elastauth.log().contains("was read again")).await;
    kept.write_all(text.as_bytes()).await.unwrap();
    assert!(read_answer(&mut kept).await.ends_with("\r\n\r\nok"));
    go.notify_one();
    assert!(read_answer(&mut slow).await.ends_with("\r\n\r\nslow"));
    assert!(setup.ask(&text).await.ends_with("\r\n\r\nok"));
}
