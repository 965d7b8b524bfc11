//! Failures of the cluster and of the client. What may have been processed is never sent twice.

use super::setup::{OK, Setup, header, read_answer, read_head, request, staged};
use crate::support::{
    multiplexed::Multiplexed,
    stage::{Plan, Stage},
    until,
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

#[tokio::test]
async fn no_answer_half_an_answer_and_none_that_is_http_are_told_apart() {
    for (answer, status, code, retry) in [
        ("", 502, "bad_answer", "1"),
        ("HTTP/1.1 200 OK\r\nx: ", 502, "bad_answer", "1"),
        ("SSH-2.0-OpenSSH\r\n\r\n", 502, "bad_answer", "1"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nok",
            502,
            "bad_answer",
            "1",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            502,
            "bad_answer",
            "1",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            502,
            "bad_answer",
            "1",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n",
            502,
            "bad_answer",
            "1",
        ),
    ] {
        let setup = Setup::with("", move |mut connection| async move {
            connection.head().await;
            connection.say(answer.as_bytes()).await;
        })
        .await;
        let text = setup.ask(&request("GET /a", "alice", "")).await;
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}: {text}"
        );
        assert!(
            text.contains(&format!("\"code\":\"{code}\"")),
            "{answer}: {text}"
        );
        assert_eq!(header(&text, "retry-after"), Some(retry), "{answer}");
        assert_eq!(setup.upstream.heads().len(), 1, "sent once: {answer}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_begin_in_time_is_504_and_its_request_is_cancelled() {
    let ended = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&ended);
    let setup = Setup::with("  timeout: 300ms\n", move |mut connection| {
        let seen = Arc::clone(&seen);
        async move {
            connection.head().await;
            connection.say(b"HTTP/1.1 200 OK\r\n").await;
            assert_eq!(connection.stream.read(&mut [0]).await.unwrap_or(0), 0);
            seen.fetch_add(1, SeqCst);
        }
    })
    .await;
    let text = setup
        .ask(&request("POST /a", "alice", "content-length: 0\r\n"))
        .await;
    assert!(text.starts_with("HTTP/1.1 504 "), "{text}");
    assert!(header(&text, "retry-after").is_some());
    until("the end of the connection", || ended.load(SeqCst) == 1).await;
    assert_eq!(setup.upstream.heads().len(), 1);
}

#[tokio::test]
async fn a_client_that_goes_cancels_its_request() {
    let ended = Arc::new(AtomicUsize::new(0));
    for (version, begun) in [(1, false), (1, true), (2, false)] {
        let seen = Arc::clone(&ended);
        let setup = Setup::with("", move |mut connection| {
            let seen = Arc::clone(&seen);
            async move {
                connection.head().await;
                if begun {
                    connection
                        .say(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                        .await;
                }
                assert_eq!(connection.stream.read(&mut [0]).await.unwrap_or(0), 0);
                seen.fetch_add(1, SeqCst);
            }
        })
        .await;
        let before = ended.load(SeqCst);
        if version == 2 {
            // The stream is reset, and the connection stays.
            let client = Multiplexed::in_clear(setup.stage.gateway()).await;
            let ask = http::Request::get("http://es.example/a")
                .header("x-elastauth-key", crate::support::stage::GATEWAY_KEY)
                .header("remote-user", "alice");
            let other = client.clone();
            let asking = tokio::spawn(async move { other.send(ask.body(()).unwrap()).await });
            until("the request", || setup.upstream.heads().len() == 1).await;
            asking.abort();
            until("the end", || ended.load(SeqCst) > before).await;
            drop(client);
        } else {
            let mut stream = setup.connect().await;
            let text = request("GET /a", "alice", "");
            stream.write_all(text.as_bytes()).await.unwrap();
            until("the request", || setup.upstream.heads().len() == 1).await;
            if begun {
                read_head(&mut stream).await.unwrap();
            }
            drop(stream);
            until("the end", || ended.load(SeqCst) > before).await;
        }
    }
}

#[tokio::test]
async fn an_upload_that_the_client_cuts_has_no_last_chunk() {
    let kept = Arc::<std::sync::Mutex<Vec<u8>>>::default();
    let seen = Arc::clone(&kept);
    let done = Arc::new(AtomicUsize::new(0));
    let over = Arc::clone(&done);
    let setup = Setup::with("", move |mut connection| {
        let (seen, over) = (Arc::clone(&seen), Arc::clone(&over));
        async move {
            connection.head().await;
            let mut bytes = Vec::new();
            let _reset = connection.stream.read_to_end(&mut bytes).await;
            *seen.lock().unwrap() = bytes;
            over.fetch_add(1, SeqCst);
        }
    })
    .await;
    let mut stream = setup.connect().await;
    let text = request("POST /_bulk", "alice", "transfer-encoding: chunked\r\n") + "4\r\nhalf\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    until("the request", || setup.upstream.heads().len() == 1).await;
    drop(stream);
    until("the end", || done.load(SeqCst) == 1).await;
    let bytes = String::from_utf8(kept.lock().unwrap().clone()).unwrap();
    assert!(!bytes.contains("0\r\n\r\n"), "{bytes}");
}

/// A node that refuses connections, and the stand-in.
#[tokio::test]
async fn a_request_goes_to_the_next_node_where_the_first_refuses_the_connection() {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    let plan = Plan {
        hosts: Some(vec![format!("http://{}", closed().await), cluster.url()]),
        more: "proxy: {enabled: true}\n",
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    for _ in 0..8 {
        let mut stream = stage.gateway().connect().await.unwrap();
        let text = request("GET /_security/_authenticate", "alice", "");
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\"alice\""), "{answer}");
    }
}

#[tokio::test]
async fn no_node_at_all_is_503() {
    let stage = staged(closed().await.port(), "").await;
    let mut stream = stage.gateway().connect().await.unwrap();
    stream
        .write_all(request("GET /a", "alice", "").as_bytes())
        .await
        .unwrap();
    let text = read_answer(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 503 "), "{text}");
    assert_eq!(header(&text, "retry-after"), Some("2"));
    assert!(stage.elastauth.log().contains("no_connection"));
}

/// Where nobody listens.
async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn a_kept_connection_that_the_cluster_has_closed_costs_no_request() {
    // One answer a connection, closed behind it without a word.
    let setup = Setup::with("", |mut connection| async move {
        connection.head().await;
        connection.body(4).await;
        connection.say(OK.as_bytes()).await;
    })
    .await;
    let mut stream = setup.connect().await;
    for _ in 0..20 {
        let text = request("POST /a", "alice", "content-length: 4\r\n") + "body";
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        // A connection that ends just as the request is on its way may have taken it.
        assert!(
            answer.ends_with("ok") || answer.starts_with("HTTP/1.1 502 "),
            "{answer}"
        );
    }
    assert!(setup.upstream.heads().len() <= 20);
}

#[tokio::test]
async fn bytes_that_nobody_has_asked_for_answer_no_request() {
    let setup = Setup::with("", |mut connection| async move {
        while connection.head().await.is_some() {
            let early = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
            connection.say(format!("{OK}{early}").as_bytes()).await;
        }
    })
    .await;
    let mut stream = setup.connect().await;
    for _ in 0..20 {
        let text = request("GET /a", "alice", "");
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.ends_with("ok"), "{answer}");
    }
}
