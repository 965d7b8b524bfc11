//! Answers that come before the end of the upload. Nobody watches the rest of it any more, so it
//! ends, and so does the connection to the cluster.

use super::{
    floods::{ask, begin, next_of},
    setup::{Connection, OK, Setup, header, read_answer, request},
};
use crate::support::{
    frames::{DATA, END_STREAM, frame},
    until,
};
use elastauth::internals::demo::standin::StandIn;
use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// Reads until elastauth closes the connection.
async fn drained(mut connection: Connection, ended: &AtomicUsize) {
    let mut buffer = vec![0; 4_096];
    while let Ok(1..) = connection.stream.read(&mut buffer).await {}
    ended.fetch_add(1, SeqCst);
}

/// An upstream that answers an upload as soon as it has begun, and a request without a body.
async fn early() -> (Setup, Arc<AtomicUsize>) {
    let ended = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&ended);
    let setup = Setup::with("", move |mut connection| {
        let ended = Arc::clone(&count);
        async move {
            while let Some(head) = connection.head().await {
                let is_upload = head.starts_with("POST");
                if is_upload {
                    connection.body(1).await;
                }
                connection.say(OK.as_bytes()).await;
                if is_upload {
                    return drained(connection, &ended).await;
                }
            }
        }
    })
    .await;
    (setup, ended)
}

#[tokio::test]
async fn an_upload_of_http2_ends_with_its_answer() {
    let (setup, ended) = early().await;
    let mut stream = begin(&setup, &crate::support::frames::settings(&[])).await;
    for number in 0..3 {
        let id = 4 * number + 1;
        let post = ask(id, 0, "POST", &[]);
        let data = frame(DATA, 0, id, b"some of it");
        stream.write_all(&[post, data].concat()).await.unwrap();
        let answer = next_of(&mut stream, DATA).await.unwrap();
        assert_eq!((answer.stream, &answer.payload[..]), (id, &b"ok"[..]));
        let expected = usize::try_from(number).unwrap() + 1;
        until("the end of the connection", || {
            ended.load(SeqCst) == expected
        })
        .await;
        // The client's own connection stays.
        let get = ask(id + 2, END_STREAM, "GET", &[]);
        stream.write_all(&get).await.unwrap();
        let answer = next_of(&mut stream, DATA).await.unwrap();
        assert_eq!((answer.stream, &answer.payload[..]), (id + 2, &b"ok"[..]));
    }
}

#[tokio::test]
async fn an_upload_of_http1_ends_with_its_answer() {
    let (setup, ended) = early().await;
    for (framing, begun) in [
        (CHUNKED, "4\r\nhalf\r\n"),
        ("content-length: 9\r\n", "half"),
    ] {
        let before = ended.load(SeqCst);
        let mut stream = setup.connect().await;
        let text = request("POST /_bulk", "alice", framing) + begun;
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.ends_with("ok"), "{answer}");
        until("the end of the connection", || ended.load(SeqCst) > before).await;
    }
}

/// A connection is used again behind a whole upload, however the end of it is said.
#[tokio::test]
async fn a_whole_upload_costs_no_connection() {
    let connections = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&connections);
    let setup = Setup::with("", move |mut connection| {
        count.fetch_add(1, SeqCst);
        async move {
            while let Some(head) = connection.head().await {
                if header(&head, "content-length").is_some() {
                    connection.body(4).await;
                } else {
                    let mut body = Vec::new();
                    while !body.ends_with(b"0\r\n\r\n") {
                        body.push(connection.stream.read_u8().await.unwrap());
                    }
                }
                connection.say(OK.as_bytes()).await;
            }
        }
    })
    .await;
    let mut http1 = setup.connect().await;
    let mut http2 = begin(&setup, &crate::support::frames::settings(&[])).await;
    for number in 0..4 {
        for (framing, body) in [
            ("content-length: 4\r\n", "body"),
            (CHUNKED, "4\r\nbody\r\n0\r\n\r\n"),
        ] {
            let text = request("POST /_bulk", "alice", framing) + body;
            http1.write_all(text.as_bytes()).await.unwrap();
            let answer = read_answer(&mut http1).await;
            assert!(answer.ends_with("ok"), "{answer}");
        }
        for (way, length) in [&[("content-length", "4")][..], &[]]
            .into_iter()
            .enumerate()
        {
            let id = 4 * number + 2 * u32::try_from(way).unwrap() + 1;
            // The end is in a frame of its own.
            let all = [
                ask(id, 0, "POST", length),
                frame(DATA, 0, id, b"body"),
                frame(DATA, END_STREAM, id, b""),
            ];
            http2.write_all(&all.concat()).await.unwrap();
            let answer = next_of(&mut http2, DATA).await.unwrap();
            assert_eq!((answer.stream, &answer.payload[..]), (id, &b"ok"[..]));
        }
    }
    assert_eq!(connections.load(SeqCst), 1);
}

/// The first try had no body in its answer, which was over before anybody read it.
#[tokio::test]
async fn a_try_that_was_refused_early_ends_and_the_next_one_reads_on() {
    const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
    let cluster = Arc::new(OnceLock::<StandIn>::new());
    let ended = Arc::<AtomicUsize>::default();
    let (known, count) = (Arc::clone(&cluster), Arc::clone(&ended));
    let setup = Setup::with("", move |mut connection| {
        let (known, ended) = (Arc::clone(&known), Arc::clone(&count));
        async move {
            connection.head().await;
            if connection.number == 0 {
                assert!(known.get().unwrap().remove_user("alice"));
                connection.say(REFUSED.as_bytes()).await;
                drained(connection, &ended).await;
            } else {
                assert_eq!(connection.body(6).await, b"abcdef");
                connection.say(OK.as_bytes()).await;
            }
        }
    })
    .await;
    let _only_once = cluster.set(setup.stage.cluster.clone());
    let mut stream = setup.connect().await;
    let head = request("PUT /a", "alice", "content-length: 6\r\n");
    stream.write_all((head + "abc").as_bytes()).await.unwrap();
    until("the second try", || setup.upstream.heads().len() == 2).await;
    until("the end of the first", || ended.load(SeqCst) == 1).await;
    stream.write_all(b"def").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("ok"));
}
