//! Malformed HTTP on the running program, and the same grant over every
//! protocol.

use crate::support::{
    Why, find,
    http::Server,
    multiplexed::Multiplexed,
    pause,
    stage::{GATEWAY_KEY, Plan, Stage},
    tls::Authority,
};
use http::{Method, Request};
use std::{net::Ipv4Addr, ops::Range, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, tcp::OwnedReadHalf};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

/// The program waits ten seconds for the headers of a gateway's request and five for any other. Its
/// timer may take twice as long.
const SLOW_GATEWAYS_ARE_CUT: Range<Duration> = Duration::from_secs(9)..Duration::from_secs(22);
const SLOW_UNTRUSTED_PEERS_ARE_CUT: Range<Duration> =
    Duration::from_secs(4)..Duration::from_secs(12);

/// The headers of a question that is granted, after the request line.
fn headers() -> String {
    format!(
        "host: a\r\nx-elastauth-key: {GATEWAY_KEY}\r\nremote-user: alice\r\nremote-groups: dev\r\n"
    )
}

/// What comes back on a connection until the other side closes it.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset in place of an end is an end too.
    let _reset = timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes))
        .await
        .expect("the end of the connection");
    String::from_utf8_lossy(&bytes).to_lowercase()
}

async fn say(server: &Server, text: &str) -> TcpStream {
    let mut stream = server.connect().await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

/// The head of the first answer, on a connection that may stay open.
async fn first_head(stream: &mut TcpStream) -> String {
    let read = async {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            bytes.push(stream.read_u8().await.unwrap_or_else(|fault| {
                panic!("{fault} after {:?}", String::from_utf8_lossy(&bytes))
            }));
        }
        String::from_utf8(bytes).unwrap().to_lowercase()
    };
    timeout(Duration::from_secs(4), read)
        .await
        .expect("an answer in time")
}

fn is_grant(head: &str) -> bool {
    head.split(' ').nth(1) == Some("200") && head.matches("\r\nauthorization: basic ").count() == 1
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for() {
    let stage = Stage::usual().await;
    for announced in [
        "content-length: 11",
        "transfer-encoding: chunked",
        "content-length: 1000000000000",
        "content-length: 11\r\nexpect: 100-continue",
    ] {
        for method in ["GET", "POST", "PUT"] {
            let mut stream = say(
                stage.gateway(),
                &format!(
                    "{method} /elastauth HTTP/1.1\r\n{}{announced}\r\n\r\n",
                    headers()
                ),
            )
            .await;
            let head = first_head(&mut stream).await;
            assert!(
                is_grant(&head) && head.contains("content-length: 0\r\n"),
                "{method} {announced}: {head}"
            );
            // What comes next on it could be a body or a question, so no question is answered there
            // any more.
            let _refused = stream
                .write_all(format!("GET / HTTP/1.1\r\n{}\r\n", headers()).as_bytes())
                .await;
            let after = rest(&mut stream).await;
            let nothing = after.is_empty() || after.starts_with("http/1.1 400 ");
            assert!(
                nothing && !after.contains("authorization"),
                "{method} {announced}: {after}"
            );
        }
    }
    // A body that does come is passed over, and the connection kept.
    let mut stream = say(
        stage.gateway(),
        &format!(
            "POST /elastauth HTTP/1.1\r\n{}content-length: 5\r\n\r\nhello",
            headers()
        ),
    )
    .await;
    assert!(is_grant(&first_head(&mut stream).await));
    assert_eq!(stage.calls().len(), 4);
}

#[tokio::test]
async fn http_1_0_and_bare_requests_are_answered() {
    let stage = Stage::usual().await;
    for line in [
        "GET /elastauth HTTP/1.0",
        "POST / HTTP/1.0",
        "GET http://elsewhere.test/elastauth HTTP/1.1",
        "OPTIONS * HTTP/1.1",
    ] {
        let mut stream = say(
            stage.gateway(),
            &format!("{line}\r\n{}connection: close\r\n\r\n", headers()),
        )
        .await;
        let answer = rest(&mut stream).await;
        assert!(
            is_grant(&answer) && answer.ends_with("\r\n\r\n"),
            "{line}: {answer}"
        );
    }
    let answer = rest(&mut say(stage.gateway(), "GET /elastauth HTTP/1.0\r\n\r\n").await).await;
    assert!(
        answer.contains(" 403 ") && !answer.contains("authorization"),
        "{answer}"
    );
    // No tunnel is ever opened: the answer is that of a question.
    let mut stream = say(
        stage.gateway(),
        &format!("CONNECT elasticsearch:9200 HTTP/1.1\r\n{}\r\n", headers()),
    )
    .await;
    let head = first_head(&mut stream).await;
    assert!(is_grant(&head), "{head}");
    let _refused = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn what_is_not_http_is_turned_away_and_nobody_else_notices() {
    let stage = Stage::usual().await;
    let odd: [&[u8]; 9] = [
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nremote-user : alice\r\n\r\n",
        b"GET / HTTP/1.1\r\nremote-user: al\0ice\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: -1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting\r\n\r\n",
    ];
    for bytes in odd {
        let mut stream = stage.gateway().connect().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let answer = rest(&mut stream).await;
        let refused = answer.is_empty() || answer.starts_with("http/1.1 400 ");
        assert!(
            refused && !answer.contains("authorization"),
            "{:?}: {answer}",
            String::from_utf8_lossy(bytes)
        );
        assert!(stage.works(&stage.ask("alice", "dev").await));
    }
    // A preface of HTTP/2 and then noise.
    let mut stream = stage.gateway().connect().await.unwrap();
    stream
        .write_all(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is no frame at all, and long enough for one",
        )
        .await
        .unwrap();
    rest(&mut stream).await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn slow_peers_are_cut_and_slow_no_known_user() {
    let stage = Stage::usual().await;
    let mut slow = JoinSet::new();
    let is_cut = async |mut read: OwnedReadHalf, within: Range<Duration>| {
        let (began, mut nothing) = (Instant::now(), Vec::new());
        let ended = timeout(within.end, read.read_to_end(&mut nothing));
        ended.await.is_ok() && within.contains(&began.elapsed())
    };
    for (server, within) in [
        (stage.gateway().clone(), SLOW_GATEWAYS_ARE_CUT),
        (stage.untrusted(), SLOW_UNTRUSTED_PEERS_ARE_CUT),
    ] {
        for begun in [
            "",
            "GET",
            "GET / HTTP/1.1\r\nhost: a\r\nx: ",
            "PRI * HTTP/2.0\r\n",
            "POST / HTTP/1.1\r\ncontent-length: 5\r\n",
        ] {
            let (server, within) = (server.clone(), within.clone());
            slow.spawn(async move {
                let (read, _write) = say(&server, begun).await.into_split();
                is_cut(read, within).await
            });
        }
        // A header that comes byte by byte.
        slow.spawn(async move {
            let (read, mut write) = say(&server, "GET / HTTP/1.1\r\nx: ").await.into_split();
            let sending = async {
                while write.write_all(b"x").await.is_ok() {
                    pause(Why::Pace, Duration::from_millis(200)).await;
                }
            };
            tokio::join!(sending, is_cut(read, within)).1
        });
    }
    let busy = async {
        loop {
            assert!(stage.works(&stage.ask("alice", "dev").await));
            pause(Why::Pace, Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        () = busy => {}
        cut = slow.join_all() => assert_eq!(cut, [true; 12]),
    }
    assert_eq!(stage.calls().len(), 4);
}

#[tokio::test]
async fn a_grant_is_the_same_over_every_protocol() {
    let authority = Authority::new();
    let signed = authority.sign();
    let files = [
        ("tls.crt", signed.certificate.as_str()),
        ("tls.key", signed.key.as_str()),
    ];
    let more = "tls:\n  cert: /etc/elastauth/tls.crt\n  key: /etc/elastauth/tls.key\n";
    let (plain, tls) = (
        Stage::usual().await,
        Stage::planned(Plan {
            more,
            files: &files,
            ..Plan::default()
        })
        .await,
    );
    let client = authority.client();
    let both = [
        (
            &plain,
            Multiplexed::in_clear(plain.gateway()).await,
            plain.gateway().clone(),
        ),
        (
            &tls,
            Multiplexed::over_tls(tls.gateway(), &client).await,
            tls.gateway().clone().with_tls(client),
        ),
    ];
    for (stage, multiplexed, single) in &both {
        for path in [
            "/",
            "/elastauth",
            "/elastauth/forward-auth?user=mallory",
            "/elastauth/auth-request",
            "/elastauth/ext-authz/a/../b?x=%00",
        ] {
            for method in ["GET", "HEAD", "POST", "DELETE", "PURGE"] {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let asked = |target: String| {
                    Request::builder()
                        .method(&method)
                        .uri(target)
                        .header("x-elastauth-key", GATEWAY_KEY)
                        .header("remote-user", "alice")
                        .header("remote-groups", "dev")
                        .body(())
                        .unwrap()
                };
                let answer = timeout(
                    Duration::from_secs(4),
                    multiplexed.send(asked(format!("https://a{path}"))),
                )
                .await
                .unwrap()
                .unwrap();
                stage.hold(path, &answer);
                assert!(stage.works(&answer), "{method} {path}: {answer:?}");
                let answer = stage
                    .send(
                        single,
                        asked(path.to_owned()).map(|()| http_body_util::Full::default()),
                    )
                    .await;
                assert!(stage.works(&answer), "{method} {path}: {answer:?}");
            }
        }
        // Many at once on one connection, of untrusted peers too.
        let mut answers = JoinSet::new();
        for n in 0..200 {
            let multiplexed = multiplexed.clone();
            let asked = Request::get("https://a/elastauth")
                .header("x-elastauth-key", GATEWAY_KEY)
                .header("remote-user", format!("user-{}", n % 4));
            let asked = asked.header("remote-groups", "ops").body(()).unwrap();
            answers.spawn(async move { multiplexed.send(asked).await.unwrap() });
        }
        let answers = timeout(Duration::from_secs(8), answers.join_all())
            .await
            .unwrap();
        assert!(
            answers
                .iter()
                .all(|answer| answer.status == 200 && stage.works(answer))
        );
    }
    let untrusted = Multiplexed::in_clear(&plain.untrusted()).await;
    let asked = Request::get("http://a/elastauth")
        .header("x-elastauth-key", GATEWAY_KEY)
        .header("remote-user", "alice")
        .body(())
        .unwrap();
    plain.says(
        &untrusted.send(asked).await.unwrap(),
        401,
        "not_authenticated",
    );
}

#[tokio::test]
async fn a_flood_of_requests_that_are_taken_back_at_once_harms_nobody() {
    let stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    for server in [stage.gateway().clone(), stage.untrusted()] {
        for _ in 0..5 {
            let multiplexed = Multiplexed::in_clear(&server).await;
            let mut flood = JoinSet::new();
            for n in 0..2_000 {
                let multiplexed = multiplexed.clone();
                let asked = Request::get("http://a/elastauth")
                    .header("x-elastauth-key", GATEWAY_KEY)
                    .header("remote-user", format!("user-{n}"))
                    .body(())
                    .unwrap();
                // Dropped before the answer: the stream is reset.
                flood.spawn(async move {
                    drop(timeout(Duration::from_micros(200), multiplexed.send(asked)).await);
                });
            }
            flood.join_all().await;
            assert!(stage.works(&stage.ask("alice", "dev").await));
        }
    }
}

#[tokio::test]
async fn untrusted_peers_that_take_every_place_of_theirs_take_none_of_a_gateways() {
    let stage = Stage::usual().await;
    let untrusted = stage.untrusted();
    let mut held = Vec::new();
    // More than the 1,000 places that untrusted peers have together; the rest is closed at once.
    // One address gets 64 of them.
    for n in 0..1_100 {
        let address = Ipv4Addr::new(127, 0, 1, u8::try_from(n / 60).unwrap());
        held.push(stage.gateway().from(address).connect().await.unwrap());
    }
    assert!(stage.works(&stage.ask("alice", "dev").await));
    let last = held.last_mut().unwrap();
    assert_eq!(
        timeout(Duration::from_secs(5), last.read(&mut [0]))
            .await
            .unwrap()
            .unwrap_or(0),
        0,
        "one too many is closed"
    );
    drop(held);
    // Their places come free again.
    let free = async || {
        let answer = untrusted.try_ask(Method::GET, "/elastauth/live", &[], None);
        answer.await.ok()
    };
    find("a free place", Duration::from_secs(5), free).await;
}

#[tokio::test]
async fn gateways_that_come_back_all_at_once_find_room_while_it_is_busy() {
    let stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    // It takes no connection for a moment; the system does that for it.
    stage.elastauth.pause();
    let (mut connections, mut late) = (Vec::new(), 0);
    for n in 0..1_000 {
        // One that finds no room is tried again after a second, then after two more, and so on. A
        // slow machine may let a few wait.
        let began = Instant::now();
        let connected = timeout(Duration::from_secs(10), stage.gateway().connect()).await;
        connections.push(
            connected
                .unwrap_or_else(|_| panic!("no room for connection {n}"))
                .unwrap(),
        );
        late += usize::from(began.elapsed() > Duration::from_millis(900));
        assert!(late < 5, "no room for connection {n} at once");
    }
    stage.elastauth.go_on();
    for connection in &mut connections {
        connection
            .write_all(format!("GET / HTTP/1.1\r\n{}\r\n", headers()).as_bytes())
            .await
            .unwrap();
    }
    for connection in &mut connections {
        assert!(is_grant(&first_head(connection).await));
    }
}
