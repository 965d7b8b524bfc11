//! Slow peers, too many peers, and the end.

use super::*;
use tokio::sync::Semaphore;

const ALICE: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\n\r\n";
const READY: &[u8] = b"GET /elastauth/ready HTTP/1.1\r\nhost: a\r\n\r\n";
/// Whether the other side keeps the connection for several times the short limit.
async fn stays(stream: &mut TcpStream) -> bool {
    timeout(SHORT * 5, stream.read_u8()).await.is_err()
}

#[tokio::test]
async fn a_connection_that_sends_no_request_is_closed() {
    let server = Setup {
        limits: short_headers(),
        ..Setup::default()
    }
    .start();
    for begun in [
        "",
        "GET",
        "GET / HTTP/1.1\r\nhost: a\r\nx: ",
        "PRI * HTTP/2.0\r\n",
        "POST / HTTP/1.1\r\ncontent-length: 5\r\n",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert!(closes(&mut stream).await, "{begun:?}");
    }
}

#[tokio::test]
async fn drops_of_a_header_do_not_win_time() {
    let server = Setup {
        limits: short_headers(),
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    let (mut read, mut write) = stream.split();
    let dripping = async {
        write.write_all(b"GET / HTTP/1.1\r\nx: ").await.unwrap();
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    };
    let closed = async {
        timeout(LONG, read.read_to_end(&mut Vec::new()))
            .await
            .is_ok()
    };
    tokio::select! {
        () = dripping => {}
        closed = closed => assert!(closed),
    }
}

#[tokio::test]
async fn an_idle_connection_stays_open_but_a_slow_request_does_not() {
    let server = Setup {
        limits: short_headers(),
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    for _ in 0..2 {
        stream.write_all(ALICE).await.unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 503);
        assert!(stays(&mut stream).await);
    }
    stream.write_all(b"GET / HT").await.unwrap();
    assert!(closes(&mut stream).await);
}

#[tokio::test]
async fn a_late_body_is_not_taken_for_a_slow_header() {
    let server = Setup {
        limits: short_headers(),
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    stream
        .write_all(
            b"POST / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\ncontent-length: 5\r\n\r\nhello",
        )
        .await
        .unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 503);
    assert!(stays(&mut stream).await);
}

#[tokio::test]
async fn a_rested_connection_is_closed_in_the_end() {
    let server = Setup {
        limits: ListenerLimits {
            idle: SHORT,
            ..ListenerLimits::default()
        },
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    stream.write_all(ALICE).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 503);
    assert!(closes(&mut stream).await);
}

#[tokio::test]
async fn an_untrusted_peer_has_no_idle_connection() {
    let server = Setup {
        proxies: "10.0.0.0/8",
        limits: short_headers(),
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    stream.write_all(ALICE).await.unwrap();
    assert_eq!(Answer::read(&mut stream).await.status, 401);
    assert!(closes(&mut stream).await);
}

#[tokio::test]
async fn a_gateway_that_reads_no_answer_is_closed() {
    let usual = ListenerLimits::default();
    let server = Setup {
        limits: ListenerLimits {
            of_trusted: PeerLimits {
                write: SHORT,
                ..usual.of_trusted
            },
            ..usual
        },
        ..Setup::default()
    }
    .start();
    let mut stream = server.connect().await;
    let many = ALICE.repeat(1_000);
    let closed = async { while stream.write_all(&many).await.is_ok() {} };
    assert!(timeout(LONG, closed).await.is_ok());
}

#[tokio::test]
async fn a_connection_too_many_is_closed_and_the_others_go_on() {
    let server = Setup {
        limits: ListenerLimits {
            connections: 2,
            untrusted: RoomLimits {
                total: 0,
                of_address: 0,
            },
            ..ListenerLimits::default()
        },
        ..Setup::default()
    }
    .start();
    let (mut one, mut other) = (server.connect().await, server.connect().await);
    for stream in [&mut one, &mut other] {
        stream.write_all(ALICE).await.unwrap();
        assert_eq!(Answer::read(stream).await.status, 503);
    }
    assert!(closes(&mut server.connect().await).await);
    one.write_all(ALICE).await.unwrap();
    assert_eq!(Answer::read(&mut one).await.status, 503);
    drop(other);
    // The place comes free when the server has seen the other go.
    let freed = async {
        loop {
            let mut stream = server.connect().await;
            let written = stream.write_all(ALICE).await;
            if written.is_ok() && stream.read_u8().await.is_ok() {
                break;
            }
        }
    };
    assert!(timeout(LONG, freed).await.is_ok());
}

#[tokio::test]
async fn the_end_waits_for_the_request_in_hand() {
    let gate = Arc::new(Semaphore::new(0));
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let check: ClusterCheck = {
        let gate = Arc::clone(&gate);
        Arc::new(move || {
            let (gate, asked) = (Arc::clone(&gate), asked.clone());
            Box::pin(async move {
                asked.send(()).unwrap();
                let _opened = gate.acquire().await.unwrap();
                Ok(())
            })
        })
    };
    let server = Setup {
        check,
        ..Setup::default()
    }
    .start();
    let (mut resting, mut busy) = (server.connect().await, server.connect().await);
    resting.write_all(ALICE).await.unwrap();
    assert_eq!(Answer::read(&mut resting).await.status, 503);
    busy.write_all(READY).await.unwrap();
    is_asked.recv().await.unwrap();

    server.tasks.end();
    assert!(closes(&mut resting).await, "who rests is closed at once");
    assert!(
        TcpStream::connect(server.addr).await.is_err(),
        "nobody new gets in"
    );
    assert!(!server.tasks.drained(SHORT).await, "the end waits");
    gate.add_permits(1);
    let answer = Answer::read(&mut busy).await;
    assert_eq!(
        (answer.status, answer.header("connection")),
        (200, Some("close"))
    );
    assert!(closes(&mut busy).await);
    assert!(server.tasks.drained(LONG).await);
}

#[tokio::test]
async fn who_has_connected_before_the_end_is_answered_once() {
    let server = Setup::default().start();
    // One that the server has taken, and some that it has not yet: nothing else runs until the next
    // await.
    let mut connections = vec![server.connect().await];
    tokio::time::sleep(SHORT).await;
    for _ in 0..5 {
        let queued = std::net::TcpStream::connect(server.addr).unwrap();
        queued.set_nonblocking(true).unwrap();
        connections.push(TcpStream::from_std(queued).unwrap());
    }
    server.tasks.end();
    tokio::time::sleep(SHORT).await;
    assert!(
        TcpStream::connect(server.addr).await.is_err(),
        "nobody new gets in"
    );
    // An answer takes longer than a connection without a request has left.
    for connection in &mut connections {
        connection.write_all(ALICE).await.unwrap();
    }
    for connection in &mut connections {
        let answer = Answer::read(connection).await;
        assert_eq!(
            (answer.status, answer.header("connection")),
            (503, Some("close"))
        );
        assert!(closes(connection).await);
    }
    assert!(server.tasks.drained(LONG).await);
}

#[tokio::test]
async fn who_has_nothing_to_ask_does_not_hold_up_the_end() {
    let server = Setup::default().start();
    let mut silent = server.connect().await;
    tokio::time::sleep(SHORT).await;
    server.tasks.end();
    assert!(closes(&mut silent).await);
    assert!(server.tasks.drained(LONG).await);
}
