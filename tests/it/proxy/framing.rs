//! Requests of which it is not clear where they end or where they go. Each is refused, its
//! connection ends, and nothing of it reaches the cluster.

use super::setup::{Connection, OK, Setup, header, read_answer, read_to_end, request};
use crate::support::{Why, pause, stage::GATEWAY_KEY};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CHUNKED: &str = "transfer-encoding: chunked\r\n";

/// With everything that a request of alice needs but for its line and its host.
fn login() -> String {
    format!("x-elastauth-key: {GATEWAY_KEY}\r\nremote-user: alice\r\nremote-groups: dev\r\n")
}

/// Requests that are refused before their body, and with which status.
pub(super) fn refused() -> Vec<(String, u16)> {
    let mut all = Vec::new();
    let login = login();
    let host = format!("host: es.example:9200\r\n{login}");
    for (line, status) in [
        ("GET /", 400),
        ("GET / HTTP/0.9", 505),
        ("GET / HTTP/1.2", 505),
        ("GET / HTTP/2.0", 505),
        ("GET  / HTTP/1.1", 400),
        ("GET / HTTP/1.1 ", 400),
        ("GET x HTTP/1.1", 400),
        ("GET ?x HTTP/1.1", 400),
        ("OPTIONS * HTTP/1.1", 400),
        ("GET /a#b HTTP/1.1", 400),
        ("GET /a\u{1}b HTTP/1.1", 400),
        ("GET http://other.example/ HTTP/1.1", 400),
        ("GET http://u@es.example:9200/ HTTP/1.1", 400),
        ("GET ftp://es.example:9200/ HTTP/1.1", 400),
        ("CONNECT es.example:9200 HTTP/1.1", 501),
        ("TRACE / HTTP/1.1", 501),
    ] {
        all.push((format!("{line}\r\n{host}\r\n"), status));
    }
    for (headers, status) in [
        ("", 400),
        ("host:\r\n", 400),
        ("host: a b\r\n", 400),
        ("host: a, b\r\n", 400),
        ("host: a/b\r\n", 400),
        ("host: a:port\r\n", 400),
        ("host: es.example:9200\r\nhost: es.example:9200\r\n", 400),
        ("host: es.example:9200\r\nHost: other\r\n", 400),
        ("host : es.example:9200\r\n", 400),
        ("host: es.example:9200\n", 400),
        ("host: es.example:9200\r", 400),
        ("host: es.example:9200\r\n folded: x\r\n", 400),
        ("host: es.example:9200\r\nx\r\n", 400),
        ("host: es.example:9200\r\nx : y\r\n", 400),
        ("host: es.example:9200\r\nx: y\0\r\n", 400),
        ("host: es.example:9200\r\nx: y\n\tz\r\n", 400),
    ] {
        all.push((format!("GET / HTTP/1.1\r\n{headers}{login}\r\n"), status));
    }
    for lengths in [
        "content-length: 5\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n",
        "content-length: 5, 5\r\n",
        "content-length: +5\r\n",
        "content-length: 0x5\r\n",
        "content-length: -1\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length:\r\n",
        "content-length : 5\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 5\r\n",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding:\u{b}chunked\r\n",
        "transfer-encoding\t: chunked\r\n",
    ] {
        let text = format!("POST / HTTP/1.1\r\n{host}{lengths}\r\n5\r\nhello\r\n0\r\n\r\n");
        all.push((text, 400));
    }
    let old = format!("POST / HTTP/1.0\r\n{host}{CHUNKED}\r\n0\r\n\r\n");
    all.push((old, 400));
    let many = "x: y\r\n".repeat(200);
    all.push((format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), 431));
    let long = "x".repeat(70_000);
    all.push((format!("GET / HTTP/1.1\r\n{host}x: {long}\r\n\r\n"), 431));
    all.push((format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 414));
    all
}

/// One answer with this status, in JSON, at the end of the connection.
pub(super) fn is_refusal(bytes: &[u8], status: u16) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    head.starts_with(&format!("HTTP/1.1 {status} "))
        && header(&format!("{head}\r\n"), "connection") == Some("close")
        && header(&format!("{head}\r\n"), "content-type") == Some("application/json")
        && body["message"].is_string()
        && body["code"].is_string()
}

#[tokio::test]
async fn an_ambiguous_request_is_refused_and_nothing_of_it_is_passed_on() {
    let setup = Setup::answering(OK).await;
    let log = setup.stage.elastauth.log().len();
    for (text, status) in refused() {
        let mut stream = setup.connect().await;
        let _refused_midway = stream.write_all(text.as_bytes()).await;
        let (bytes, was_reset) = read_to_end(&mut stream).await;
        let answer = String::from_utf8_lossy(&bytes);
        assert!(is_refusal(&bytes, status), "{status} {text:?}: {answer}");
        assert!(!was_reset, "{text:?}");
    }
    assert_eq!(setup.upstream.heads(), Vec::<String>::new());
    let log = setup.stage.elastauth.log().split_off(log);
    assert!(
        log.contains("host_missing") || log.contains("malformed"),
        "{log}"
    );
}

#[tokio::test]
async fn what_is_pipelined_before_an_ambiguous_request_is_answered() {
    let setup = Setup::answering(OK).await;
    let good = request("GET /good", "alice", "");
    let body = request("POST /good", "alice", "content-length: 0\r\n");
    for (text, status) in refused() {
        let mut stream = setup.connect().await;
        let before = setup.upstream.heads().len();
        // The bad one ends in another packet than it begins.
        let all = [&good, &body, &text[..]].concat();
        let (first, rest) = all.split_at(good.len() + body.len() + text.len() / 2);
        stream.write_all(first.as_bytes()).await.unwrap();
        for _ in 0..2 {
            let answer = read_answer(&mut stream).await;
            assert!(answer.ends_with("\r\n\r\nok"), "{text:?}: {answer}");
        }
        let _refused_midway = stream.write_all(rest.as_bytes()).await;
        let (bytes, _) = read_to_end(&mut stream).await;
        let answer = String::from_utf8_lossy(&bytes);
        assert!(is_refusal(&bytes, status), "{status} {text:?}: {answer}");
        let heads = setup.upstream.heads().split_off(before);
        let both = heads.iter().filter(|head| head.contains(" /good ")).count();
        assert_eq!((both, heads.len()), (2, 2), "{text:?}: {heads:?}");
    }
}

#[tokio::test]
async fn good_requests_are_answered_in_order_however_they_are_cut() {
    let setup = Setup::with("", |mut connection: Connection| async move {
        while let Some(head) = connection.head().await {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let length =
                header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
            let _body = connection.body(length).await;
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{path}",
                path.len()
            );
            connection.say(answer.as_bytes()).await;
        }
    })
    .await;
    let mut all = String::new();
    for n in 0..12 {
        all += &match n % 3 {
            0 => request(&format!("GET /{n}"), "alice", ""),
            1 => request(&format!("POST /{n}"), "alice", "content-length: 3\r\n") + "a\r\n",
            _ => request(&format!("GET http://es.example:9200/{n}"), "alice", "") + "\r\n",
        };
    }
    for size in [1, 7, 100, 1_000, all.len()] {
        let (mut read, mut write) = setup.connect().await.into_split();
        let bytes = all.clone().into_bytes();
        let writing = tokio::spawn(async move {
            for piece in bytes.chunks(size) {
                write.write_all(piece).await.unwrap();
            }
            write
        });
        for n in 0..12 {
            let answer = read_answer(&mut read).await;
            assert!(
                answer.ends_with(&format!("\r\n\r\n/{n}")),
                "{size}: {answer}"
            );
        }
        let _open = writing.await.unwrap();
    }
}

/// What an upload was for the cluster, until its connection ended.
async fn upload(head: &str, body: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let came = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&came);
    let setup = Setup::with("", move |mut connection: Connection| {
        let kept = Arc::clone(&kept);
        async move {
            connection.head().await;
            let mut buffer = vec![0; 4_096];
            while let Ok(read @ 1..) = connection.stream.read(&mut buffer).await {
                kept.lock().unwrap().extend(&buffer[..read]);
            }
        }
    })
    .await;
    let mut stream = setup.connect().await;
    let text = request("POST /_bulk", "alice", head);
    stream.write_all(text.as_bytes()).await.unwrap();
    let (good, bad) = body.split_at(10);
    stream.write_all(good).await.unwrap();
    crate::support::until("the upload has begun", || !came.lock().unwrap().is_empty()).await;
    let _refused = stream.write_all(bad).await;
    let (answer, _) = read_to_end(&mut stream).await;
    let came = came.lock().unwrap().clone();
    (came, answer)
}

#[tokio::test]
async fn an_upload_with_a_malformed_chunk_is_cut_and_never_ended() {
    for bad in [
        "x\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello",
        "8000000000000000\r\nhello",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "3\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "0\n\r\n",
        "0\r\ncontent-length: 5\r\n\r\n",
        "0\r\nx : y\r\n\r\n",
        "0\r\n folded\r\n\r\n",
    ] {
        let body = ["5\r\nfirst\r\n", bad].concat();
        let (came, answer) = upload(CHUNKED, body.as_bytes()).await;
        let text = String::from_utf8_lossy(&came);
        assert!(text.starts_with("5\r\nfirst\r\n"), "{bad:?}: {text}");
        assert!(
            !text.contains("0\r\n\r\n"),
            "an end was made up for {bad:?}: {text}"
        );
        let seen = String::from_utf8_lossy(&answer);
        assert!(is_refusal(&answer, 400), "{bad:?}: {seen}");
    }
}

#[tokio::test]
async fn extensions_and_trailers_of_chunks_are_no_part_of_the_body() {
    let setup = Setup::with("", |mut connection: Connection| async move {
        connection.head().await;
        let mut body = Vec::new();
        while !body.ends_with(b"\r\n\r\n") {
            body.push(connection.stream.read_u8().await.unwrap());
        }
        let body = String::from_utf8(body).unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        connection.say(answer.as_bytes()).await;
    })
    .await;
    let text = request("POST /", "alice", CHUNKED);
    let body = "005;a=\"b;c\"\r\nhello\r\n1;x\r\n!\r\n0;y\r\nremote-user: mallory\r\n\r\n";
    let answer = setup.ask(&(text + body)).await;
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    assert!(
        body.starts_with("5\r\nhello\r\n1\r\n!\r\n0\r\n"),
        "{answer}"
    );
    let head = setup.upstream.head();
    assert!(!head.contains("mallory"), "{head}");
}

#[tokio::test]
async fn an_upgrade_that_is_not_made_lets_nothing_pass_as_a_tunnel() {
    let setup = Setup::answering(OK).await;
    for protocol in ["websocket", "h2c", "anything"] {
        let before = setup.upstream.heads().len();
        let more = format!("connection: upgrade\r\nupgrade: {protocol}\r\n");
        let text = request("GET /socket", "alice", &more);
        let mut stream = setup.connect().await;
        // It does not wait for the answer.
        let behind = "POST /smuggled HTTP/1.1\r\n\r\n";
        stream.write_all((text + behind).as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        let (bytes, _) = read_to_end(&mut stream).await;
        let seen = String::from_utf8_lossy(&bytes);
        assert!(is_refusal(&bytes, 400), "{protocol}: {seen}");
        let heads = setup.upstream.heads().split_off(before);
        assert_eq!(heads.len(), 1, "{heads:?}");
        // And what is good behind it is answered.
        let more = format!("connection: upgrade\r\nupgrade: {protocol}\r\n");
        let text = request("GET /socket", "alice", &more) + &request("GET /next", "alice", "");
        let mut stream = setup.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        for _ in 0..2 {
            let answer = read_answer(&mut stream).await;
            assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        }
    }
}

#[tokio::test]
async fn http_1_0_is_answered_and_its_request_has_a_host_behind() {
    let setup = Setup::answering(OK).await;
    for (headers, host) in [
        ("", format!("127.0.0.1:{}", setup.upstream.port)),
        ("host: es.example\r\n", "es.example".to_owned()),
    ] {
        let before = setup.upstream.heads().len();
        let mut stream = setup.connect().await;
        let text = format!("GET /old HTTP/1.0\r\n{headers}{}\r\n", login());
        stream.write_all(text.as_bytes()).await.unwrap();
        let (bytes, was_reset) = read_to_end(&mut stream).await;
        let answer = String::from_utf8(bytes).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        assert!(answer.ends_with("\r\n\r\nok") && !was_reset, "{answer}");
        let heads = setup.upstream.heads().split_off(before);
        assert!(heads[0].starts_with("GET /old HTTP/1.1\r\n"), "{heads:?}");
        assert_eq!(header(&heads[0], "host"), Some(&host[..]), "{heads:?}");
    }
}

#[tokio::test]
async fn the_body_of_a_refused_request_is_never_the_next_request() {
    let setup = Setup::answering(OK).await;
    let inner = request("GET /smuggled", "alice", "");
    for framing in [
        format!("content-length: {}\r\n", inner.len()),
        format!(
            "content-length: {}\r\nexpect: 100-continue\r\n",
            inner.len()
        ),
        CHUNKED.to_owned(),
    ] {
        // It has no user.
        let key = format!("x-elastauth-key: {GATEWAY_KEY}\r\n");
        let text = format!("POST / HTTP/1.1\r\nhost: es.example\r\n{key}{framing}\r\n");
        let body = if framing == CHUNKED {
            format!("{:x}\r\n{inner}\r\n0\r\n\r\n", inner.len())
        } else {
            inner.clone()
        };
        let mut stream = setup.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        pause(Why::Pace, Duration::from_millis(50)).await;
        let _refused = stream.write_all(body.as_bytes()).await;
        let _refused = stream.shutdown().await;
        let (bytes, _) = read_to_end(&mut stream).await;
        let answer = String::from_utf8_lossy(&bytes);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{framing}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{framing}: {answer}"
        );
    }
    assert_eq!(setup.upstream.heads(), Vec::<String>::new());
}
