//! What a peer may use that has not shown that it is a gateway, and that a gateway loses nothing by
//! it.

use crate::support::{
    Why, find,
    frames::{
        Frame, GOAWAY, HEADERS, MAX_CONCURRENT_STREAMS, MAX_HEADER_LIST_SIZE, RST_STREAM, SETTINGS,
        begin_with_shut_window, next_frame, request,
    },
    http::Server,
    pause,
    stage::{GATEWAY_KEY, Plan, Stage},
};
use http::Method;
use std::{collections::BTreeSet, net::Ipv4Addr, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// Longer than each time that an untrusted peer has, twice over.
const LONG: Duration = Duration::from_secs(30);

/// What `RST_STREAM` says of a stream that was never looked at.
const REFUSED: u32 = 7;

/// A connection whose peer takes frames but lets no answer have a body.
async fn stalled(server: &Server) -> TcpStream {
    let mut stream = server.connect().await.unwrap();
    begin_with_shut_window(&mut stream).await.unwrap();
    stream
}

/// Sends so many requests, the first on this stream.
async fn ask(stream: &mut TcpStream, first: u32, count: u32, headers: &[(&str, &str)]) {
    let requests = (0..count).flat_map(|n| request(first + 2 * n, headers));
    let requests: Vec<u8> = requests.collect();
    stream.write_all(&requests).await.unwrap();
}

async fn frame(stream: &mut TcpStream) -> Option<Frame> {
    timeout(LONG, next_frame(stream))
        .await
        .expect("a frame or the end")
}

/// Streams that got the beginning of an answer, and streams that were reset, with the reason; read
/// until there are so many of both together.
async fn fates(stream: &mut TcpStream, count: usize) -> (BTreeSet<u32>, Vec<(u32, u32)>) {
    let (mut answered, mut reset) = (BTreeSet::new(), Vec::new());
    while answered.len() + reset.len() < count {
        match frame(stream).await.expect("more frames") {
            Frame {
                kind: HEADERS,
                stream,
                ..
            } => drop(answered.insert(stream)),
            Frame {
                kind: RST_STREAM,
                stream,
                payload,
                ..
            } => {
                reset.push((stream, u32::from_be_bytes(payload.try_into().unwrap())));
            }
            _ => {}
        }
    }
    (answered, reset)
}

#[tokio::test]
async fn http_2_offers_an_untrusted_peer_little_and_a_gateway_much() {
    let stage = Stage::usual().await;
    for (server, streams, header_bytes) in [
        (stage.untrusted(), 8, 16 * 1024),
        (stage.gateway().clone(), 1_000, 64 * 1024),
    ] {
        let first = frame(&mut stalled(&server).await).await.unwrap();
        assert_eq!(
            (
                first.kind,
                first.setting(MAX_CONCURRENT_STREAMS),
                first.setting(MAX_HEADER_LIST_SIZE)
            ),
            (SETTINGS, Some(streams), Some(header_bytes))
        );
    }
}

#[tokio::test]
async fn an_untrusted_peer_has_eight_requests_at_once_and_a_stalled_answer_ends() {
    let stage = Stage::usual().await;
    let mut stream = stalled(&stage.untrusted()).await;
    ask(&mut stream, 1, 20, &[]).await;
    let (answered, refused) = fates(&mut stream, 20).await;
    assert_eq!(answered, (0..8).map(|n| 1 + 2 * n).collect());
    assert_eq!(
        refused,
        (8..20).map(|n| (1 + 2 * n, REFUSED)).collect::<Vec<_>>()
    );
    // Nobody reads the eight answers: they end, and so does the connection.
    let mut ended = BTreeSet::new();
    while let Some(frame) = frame(&mut stream).await {
        if frame.kind == RST_STREAM {
            ended.insert(frame.stream);
        }
    }
    assert!(
        ended.is_empty() || ended == answered,
        "reset one by one, or closed as a whole: {ended:?}"
    );
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn stalled_answers_end_on_a_connection_that_goes_on_asking() {
    let stage = Stage::usual().await;
    let mut stream = stalled(&stage.untrusted()).await;
    ask(&mut stream, 1, 7, &[]).await;
    let (answered, _) = fates(&mut stream, 7).await;
    // One request a second keeps the connection alive.
    let mut ended = BTreeSet::new();
    for next in (101..).step_by(2) {
        ask(&mut stream, next, 1, &[]).await;
        let _second = timeout(Duration::from_secs(1), async {
            while let Some(frame) = frame(&mut stream).await {
                if frame.kind == RST_STREAM && answered.contains(&frame.stream) {
                    ended.insert(frame.stream);
                }
            }
        })
        .await;
        if ended == answered {
            break;
        }
        assert!(next < 161, "still open: {:?}", answered.difference(&ended));
    }
}

#[tokio::test]
async fn without_a_key_a_gateways_address_has_eight_requests_at_once_and_with_it_many() {
    let stage = Stage::usual().await;
    let mut stream = stalled(stage.gateway()).await;
    ask(&mut stream, 1, 20, &[]).await;
    let (answered, reset) = fates(&mut stream, 20).await;
    assert_eq!((answered.len(), reset.len()), (8, 12));

    let mut stream = stalled(stage.gateway()).await;
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    // Requests without a user: refusals, which have a body that stalls.
    ask(&mut stream, 1, 1, &key).await;
    ask(&mut stream, 3, 299, &[]).await;
    let (answered, reset) = fates(&mut stream, 300).await;
    assert_eq!((answered.len(), reset.len()), (300, 0));
}

#[tokio::test]
async fn one_untrusted_address_takes_64_connections_and_no_place_of_others() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true",
        ..Plan::default()
    })
    .await;
    let untrusted = stage.untrusted();
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(untrusted.connect().await.unwrap());
    }
    let last = held.last_mut().unwrap();
    let end = timeout(LONG, last.read(&mut [0])).await.expect("an end");
    assert_eq!(end.unwrap_or(0), 0, "one too many is closed");
    let other = stage.gateway().from(Ipv4Addr::new(127, 0, 0, 3));
    assert_eq!(other.get("/elastauth/live", &[]).await.status, 200);
    let series = "elastauth_connections_refused_total{bound=\"untrusted_of_address\"}";
    assert_eq!(stage.number(series).await, 36);
    let log = stage.elastauth.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("too many connections"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("peer=127.0.0.2")
            && lines[0].contains("untrusted_of_address")
            && lines[0].contains("limit=64"),
        "{lines:?}"
    );
    // The places come free when the peer goes.
    drop(held);
    let free = async || {
        let answer = untrusted.try_ask(Method::GET, "/elastauth/live", &[], None);
        answer.await.ok()
    };
    find("a free place", LONG, free).await;
}

#[tokio::test]
async fn a_gateway_may_have_hundreds_of_connections() {
    let stage = Stage::usual().await;
    let mut held = Vec::new();
    for _ in 0..300 {
        held.push(stage.gateway().connect().await.unwrap());
    }
    for stream in &mut held {
        let asked = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(asked.as_bytes()).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'H');
    }
}

#[tokio::test]
async fn who_asks_and_reads_no_answer_is_closed() {
    let stage = Stage::usual().await;
    let mut stream = stage.untrusted().connect().await.unwrap();
    let many = "GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(1_000);
    let closed = async {
        while stream.write_all(many.as_bytes()).await.is_ok() {
            pause(Why::Again, Duration::from_millis(1)).await;
        }
    };
    timeout(LONG, closed)
        .await
        .expect("the end of the connection");
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn forty_connections_with_a_thousand_stalled_requests_cost_little() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true",
        ..Plan::default()
    })
    .await;
    let resident = "process_resident_memory_bytes";
    let before = stage.number(resident).await;
    let mut held = Vec::new();
    for _ in 0..40 {
        let mut stream = stalled(&stage.untrusted()).await;
        ask(&mut stream, 1, 1_000, &[("x-long", &"x".repeat(1_000))]).await;
        held.push(stream);
    }
    // Each gets the beginning of eight answers, and many refusals until that is too much.
    for stream in &mut held {
        while let Some(Frame { kind, .. }) = frame(stream).await {
            if kind == GOAWAY {
                break;
            }
        }
    }
    // Those that stay below that keep their eight stalled answers for a while.
    for _ in 0..20 {
        let mut stream = stalled(&stage.untrusted()).await;
        ask(&mut stream, 1, 100, &[("x-long", &"x".repeat(1_000))]).await;
        assert_eq!(fates(&mut stream, 100).await.0.len(), 8);
        held.push(stream);
    }
    let after = stage.number(resident).await;
    // 198 MB before untrusted peers had bounds of their own. This build checks more than the one
    // that is shipped, and is larger.
    let cost = after.saturating_sub(before);
    assert!(cost < 16_000_000, "{cost} bytes");
    println!("40 connections with 1,000 stalled requests each: {cost} bytes");
}
