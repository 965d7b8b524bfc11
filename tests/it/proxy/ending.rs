//! The end of the program, and reloads: what runs may finish.

use super::setup::{Setup, read_answer, request};
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
