//! Bodies of any size pass in constant memory, and who does not read stalls who writes.

use super::setup::{OK, Setup, header, read_answer, read_head, request};
use crate::support::until;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    time::timeout,
};

const MB: usize = 1024 * 1024;
const SIZE: usize = 64 * MB;

/// How far one side may be ahead of the other: buffers of two sockets and of hyper.
const AHEAD: usize = 16 * MB;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_waits_for_its_reader_and_takes_no_memory() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let setup = Setup::with("enable_metrics: true\n", move |mut connection| {
        let count = Arc::clone(&count);
        async move {
            connection.head().await;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {SIZE}\r\n\r\n");
            connection.say(head.as_bytes()).await;
            let chunk = vec![b'x'; 64 * 1024];
            for _ in 0..SIZE / chunk.len() {
                connection.say(&chunk).await;
                count.fetch_add(chunk.len(), SeqCst);
            }
        }
    })
    .await;
    let mut stream = setup.connect().await;
    stream
        .write_all(request("GET /a", "alice", "").as_bytes())
        .await
        .unwrap();
    read_head(&mut stream).await.unwrap();
    let before = setup.resident().await;
    stalled(&written).await;
    assert!(written.load(SeqCst) < AHEAD, "{}", written.load(SeqCst));
    let mut rest = vec![0; MB];
    let mut left = SIZE;
    while left > 0 {
        left -= stream.read(&mut rest).await.unwrap();
    }
    let grown = setup.resident().await.saturating_sub(before);
    assert!(grown < 8 * MB, "{grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_waits_for_the_cluster_and_takes_no_memory() {
    let go = Arc::new(tokio::sync::Notify::new());
    let waits = Arc::clone(&go);
    let setup = Setup::with("enable_metrics: true\n", move |mut connection| {
        let waits = Arc::clone(&waits);
        async move {
            let head = connection.head().await.unwrap();
            let length: usize = header(&head, "content-length").unwrap().parse().unwrap();
            waits.notified().await;
            let (mut left, mut chunk) = (length, vec![0; MB]);
            while left > 0 {
                left -= connection.stream.read(&mut chunk).await.unwrap();
            }
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let stream = setup.connect().await;
    let (mut reads, mut writes) = stream.into_split();
    let head = request(
        "POST /_bulk",
        "alice",
        &format!("content-length: {SIZE}\r\n"),
    );
    writes.write_all(head.as_bytes()).await.unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    until("the request", || setup.upstream.heads().len() == 1).await;
    let before = setup.resident().await;
    let sending = tokio::spawn(async move {
        let chunk = vec![b'x'; 64 * 1024];
        for _ in 0..SIZE / chunk.len() {
            writes.write_all(&chunk).await.unwrap();
            count.fetch_add(chunk.len(), SeqCst);
        }
        writes
    });
    stalled(&written).await;
    assert!(written.load(SeqCst) < AHEAD, "{}", written.load(SeqCst));
    go.notify_one();
    let _open = timeout(Duration::from_secs(30), sending)
        .await
        .unwrap()
        .unwrap();
    assert!(read_answer(&mut reads).await.ends_with("ok"));
    let grown = setup.resident().await.saturating_sub(before);
    assert!(grown < 8 * MB, "{grown}");
}

/// Waits until a count grows no more.
async fn stalled(count: &AtomicUsize) {
    let (mut last, mut same) = (0, 0);
    until("a side that is stalled", || {
        let now = count.load(SeqCst);
        same = if now == last && now > 0 { same + 1 } else { 0 };
        last = now;
        same > 20
    })
    .await;
}
