//! A client that has gone is seen, also if it sent something behind its request.

use super::setup::{OK, Setup, header, read_answer, request};
use crate::support::until;
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_client_that_goes_behind_pipelined_bytes_cancels_its_request() {
    let next = request("GET /next", "alice", "");
    for behind in ["G", &next[..40], &next, &next.repeat(40)] {
        let ended = Arc::<AtomicUsize>::default();
        let seen = Arc::clone(&ended);
        let setup = Setup::with("", move |mut connection| {
            let seen = Arc::clone(&seen);
            async move {
                connection.head().await;
                assert_eq!(connection.stream.read(&mut [0]).await.unwrap_or(0), 0);
                seen.fetch_add(1, SeqCst);
            }
        })
        .await;
        // Once before the first request is there, and once while it runs.
        for is_late in [false, true] {
            let (heads, before) = (setup.upstream.heads().len(), ended.load(SeqCst));
            let mut stream = setup.connect().await;
            let first = request("GET /first", "alice", "");
            let now = if is_late { "" } else { behind };
            stream.write_all((first + now).as_bytes()).await.unwrap();
            until("the request", || setup.upstream.heads().len() > heads).await;
            if is_late {
                stream.write_all(behind.as_bytes()).await.unwrap();
            }
            drop(stream);
            until("the end", || ended.load(SeqCst) > before).await;
            assert_eq!(setup.upstream.heads().len(), heads + 1, "{behind}");
        }
    }
}

/// What waits behind a request goes on when that is answered, whoever answers it.
#[tokio::test]
async fn pipelined_requests_wait_for_those_before_them() {
    let at_once = Arc::<AtomicUsize>::default();
    let most = Arc::<AtomicUsize>::default();
    let (count, peak) = (Arc::clone(&at_once), Arc::clone(&most));
    let setup = Setup::with("", move |mut connection| {
        let (count, peak) = (Arc::clone(&count), Arc::clone(&peak));
        async move {
            while let Some(head) = connection.head().await {
                peak.fetch_max(count.fetch_add(1, SeqCst) + 1, SeqCst);
                let length = header(&head, "content-length").map_or(0, |own| own.parse().unwrap());
                connection.body(length).await;
                count.fetch_sub(1, SeqCst);
                connection.say(OK.as_bytes()).await;
            }
        }
    })
    .await;
    let key = format!(
        "x-elastauth-key: {}\r\n",
        crate::support::stage::GATEWAY_KEY
    );
    let round = [
        (request("GET /a", "alice", ""), "200"),
        (
            "GET /elastauth/live HTTP/1.1\r\nhost: es.example\r\n\r\n".to_owned(),
            "200",
        ),
        (
            request("POST /a", "alice", "content-length: 4\r\n") + "body",
            "200",
        ),
        // It has no user.
        (
            format!("GET /a HTTP/1.1\r\nhost: es.example\r\n{key}\r\n"),
            "401",
        ),
        (request("GET /elastauth/nothing", "alice", ""), "404"),
    ];
    let mut stream = setup.connect().await;
    let all: String = round.iter().map(|(text, _)| text.as_str()).collect();
    stream.write_all(all.repeat(5).as_bytes()).await.unwrap();
    for number in 0..5 {
        for (text, status) in &round {
            let answer = read_answer(&mut stream).await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(answer.starts_with(&expected), "{number} {text}: {answer}");
        }
    }
    assert_eq!(most.load(SeqCst), 1);
    assert_eq!(setup.upstream.heads().len(), 10);
}
