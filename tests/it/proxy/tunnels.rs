//! `WebSocket` passes, with the login; nothing else changes the protocol.

use super::setup::{Connection, OK, Setup, header, read_answer, read_head, read_to_end, request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const ASKS: &str = "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: a2V5\r\n\
                    sec-websocket-version: 13\r\n";

#[tokio::test]
async fn a_websocket_is_a_tunnel_after_its_101() {
    let setup = Setup::with("", |mut connection| async move {
        let head = connection.head().await.unwrap();
        assert_eq!(header(&head, "upgrade"), Some("websocket"));
        assert_eq!(header(&head, "connection"), Some("upgrade"));
        assert!(
            header(&head, "authorization")
                .unwrap()
                .starts_with("Basic ")
        );
        let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                      connection: Upgrade\r\nsec-websocket-accept: YQ==\r\n\r\nhello";
        connection.say(answer.as_bytes()).await;
        let mut bytes = [0; 4];
        while connection.stream.read_exact(&mut bytes).await.is_ok() {
            connection.say(&bytes).await;
        }
    })
    .await;
    let mut stream = setup.connect().await;
    stream
        .write_all(request("GET /ws", "alice", ASKS).as_bytes())
        .await
        .unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert_eq!(header(&head, "upgrade"), Some("websocket"));
    assert_eq!(header(&head, "sec-websocket-accept"), Some("YQ=="));
    let mut hello = [0; 5];
    stream.read_exact(&mut hello).await.unwrap();
    assert_eq!(&hello, b"hello");
    // It is no request any more, whatever it looks like.
    for bytes in [b"GET ", b"\0\x01\r\n", b"ping"] {
        stream.write_all(bytes).await.unwrap();
        let mut echo = [0; 4];
        stream.read_exact(&mut echo).await.unwrap();
        assert_eq!(&echo, bytes);
    }
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.0, b"");
    assert_eq!(setup.upstream.heads().len(), 1);
}

#[tokio::test]
async fn a_websocket_that_is_refused_is_an_answer_like_any_other() {
    let setup = Setup::answering(OK).await;
    let mut stream = setup.connect().await;
    for _ in 0..2 {
        stream
            .write_all(request("GET /ws", "alice", ASKS).as_bytes())
            .await
            .unwrap();
        assert!(read_answer(&mut stream).await.ends_with("ok"));
    }
}

#[tokio::test]
async fn other_protocols_are_not_asked_for() {
    let setup = Setup::answering(OK).await;
    for more in [
        "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n",
        "connection: upgrade\r\nupgrade: TLS/1.2\r\n",
        "connection: upgrade\r\nupgrade: websocket, h2c\r\n",
        "upgrade: websocket\r\n",
    ] {
        let answer = setup.ask(&request("GET /", "alice", more)).await;
        assert!(answer.ends_with("ok"), "{more}: {answer}");
    }
    for head in setup.upstream.heads() {
        for gone in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(header(&head, gone), None, "{head}");
        }
    }
    for method in ["TRACE", "CONNECT"] {
        let line = if method == "CONNECT" {
            "CONNECT es:9200"
        } else {
            "TRACE /"
        };
        let mut stream = setup.connect().await;
        stream
            .write_all(request(line, "alice", "").as_bytes())
            .await
            .unwrap();
        let (bytes, _) = read_to_end(&mut stream).await;
        let answer = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{method}: {answer}");
    }
    assert_eq!(setup.upstream.heads().len(), 4);
}

/// A tunnel in which nothing moves; the cluster's side stays open.
async fn silent(more: &str) -> (Setup, TcpStream) {
    let setup = Setup::with(more, |mut connection: Connection| async move {
        connection.head().await.unwrap();
        let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                      connection: Upgrade\r\nsec-websocket-accept: YQ==\r\n\r\n";
        connection.say(answer.as_bytes()).await;
        read_to_end(&mut connection.stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let mut stream = setup.connect().await;
    let text = request("GET /ws", "alice", ASKS);
    stream.write_all(text.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    (setup, stream)
}

#[tokio::test]
async fn a_tunnel_that_carries_nothing_ends() {
    let (_setup, mut stream) = silent("  limits: {idle_timeout: 300ms}\n").await;
    assert_eq!(read_to_end(&mut stream).await.0, b"");
}

/// The cluster's side is told, and does not end.
#[tokio::test]
async fn a_tunnel_ends_with_a_client_that_sends_no_more() {
    let (_setup, mut stream) = silent("  limits: {idle_timeout: 300ms}\n").await;
    stream.shutdown().await.unwrap();
    assert_eq!(read_to_end(&mut stream).await.0, b"");
}

#[tokio::test]
async fn the_end_of_the_program_ends_a_tunnel() {
    let (mut setup, mut stream) = silent("shutdown: {timeout: 1h}\n").await;
    assert!(setup.stage.elastauth.terminate().await.success());
    assert_eq!(read_to_end(&mut stream).await.0, b"");
}
