//! HTTP/2 in front: what its frames cannot say, and floods of them.

use super::setup::{Connection, OK, Setup, header, headers, read_chunked, read_to_end, request};
use crate::support::{
    Why,
    frames::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, Frame, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE,
        PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, block, frame, next_frame, settings,
    },
    multiplexed::Multiplexed,
    pause,
    stage::GATEWAY_KEY,
    until,
};
use http::Request;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const IN_TIME: Duration = Duration::from_secs(20);

/// A request of alice on a stream.
pub(super) fn ask(stream: u32, flags: u8, method: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let usual = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "es.example:9200"),
        (":path", "/a"),
        ("x-elastauth-key", GATEWAY_KEY),
        ("remote-user", "alice"),
        ("remote-groups", "dev"),
    ];
    frame(
        HEADERS,
        flags | END_HEADERS,
        stream,
        &block(&[&usual, more].concat()),
    )
}

pub(super) async fn begin(setup: &Setup, with: &[u8]) -> TcpStream {
    let mut stream = setup.connect().await;
    let begin = [PREFACE, with].concat();
    stream.write_all(&begin).await.unwrap();
    stream
}

/// The first frame of this kind.
pub(super) async fn next_of(stream: &mut TcpStream, kind: u8) -> Option<Frame> {
    let find = async {
        loop {
            let frame = next_frame(stream).await?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    };
    timeout(IN_TIME, find)
        .await
        .expect("a frame, or the end of the connection")
}

async fn answers(setup: &Setup) -> bool {
    let answer = setup.ask(&request("GET /good", "alice", "")).await;
    answer.ends_with("\r\n\r\nok")
}

async fn served(mut connection: Connection) {
    while connection.head().await.is_some() {
        connection.say(OK.as_bytes()).await;
    }
}

#[tokio::test]
async fn a_request_of_which_it_is_not_clear_where_it_goes_is_refused() {
    let setup = Setup::answering(OK).await;
    let client = Multiplexed::in_clear(setup.stage.gateway()).await;
    let send = async |method: &str, uri: &str, host: &[&str]| {
        let mut request = Request::builder()
            .method(method)
            .uri(uri)
            .header("x-elastauth-key", GATEWAY_KEY)
            .header("remote-user", "alice")
            .header("remote-groups", "dev");
        for host in host {
            request = request.header("host", *host);
        }
        client.send(request.body(()).unwrap()).await.unwrap()
    };
    for (method, uri, host, status) in [
        ("GET", "http://es.example/a", &["other.example"][..], 400),
        (
            "GET",
            "http://es.example/a",
            &["es.example", "es.example"],
            400,
        ),
        ("GET", "http://u@es.example/a", &[], 400),
        ("TRACE", "http://es.example/a", &[], 501),
    ] {
        let answer = send(method, uri, host).await;
        assert_eq!(answer.status, status, "{method} {uri} {host:?}");
        assert!(answer.json()["code"].is_string());
    }
    assert_eq!(setup.upstream.heads(), Vec::<String>::new());
    for host in [&[][..], &["es.example"]] {
        let answer = send("GET", "http://es.example/a", host).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &b"ok"[..])
        );
    }
    for head in setup.upstream.heads() {
        assert_eq!(headers(&head, "host"), ["es.example"], "{head}");
    }
}

#[tokio::test]
async fn what_http_2_forbids_resets_its_stream_and_nothing_is_passed_on() {
    let setup = Setup::answering(OK).await;
    for more in [
        ("connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "websocket"),
        ("keep-alive", "timeout=5"),
        ("te", "gzip"),
        ("Remote-User", "mallory"),
        ("content-length", "x"),
        ("x", "a\nb"),
    ] {
        let mut stream = begin(&setup, &settings(&[])).await;
        stream
            .write_all(&ask(1, END_STREAM, "GET", &[more]))
            .await
            .unwrap();
        let end = async {
            loop {
                match next_frame(&mut stream).await {
                    Some(frame) if [RST_STREAM, GOAWAY].contains(&frame.kind) => return true,
                    Some(frame) => assert_ne!(frame.kind, DATA, "{more:?}"),
                    None => return true,
                }
            }
        };
        assert!(timeout(IN_TIME, end).await.expect("an end"), "{more:?}");
    }
    assert_eq!(setup.upstream.heads(), Vec::<String>::new());
    assert!(answers(&setup).await);
}

#[tokio::test]
async fn a_body_that_differs_from_its_length_has_no_end_for_the_cluster() {
    let setup = Setup::with("", |mut connection: Connection| async move {
        connection.head().await;
        let (came, _) = read_to_end(&mut connection.stream).await;
        assert!(came.len() < 10, "{came:?}");
    })
    .await;
    for (body, flags) in [(&b"longer than ten"[..], 0), (b"short", END_STREAM)] {
        let mut stream = begin(&setup, &settings(&[])).await;
        let head = ask(1, 0, "POST", &[("content-length", "10")]);
        stream.write_all(&head).await.unwrap();
        stream.write_all(&frame(DATA, 0, 1, b"abc")).await.unwrap();
        stream
            .write_all(&frame(DATA, flags, 1, body))
            .await
            .unwrap();
        let reset = next_of(&mut stream, RST_STREAM).await;
        assert!(reset.is_some(), "{body:?}");
    }
}

#[tokio::test]
async fn a_stream_that_is_reset_without_an_error_gives_the_cluster_no_whole_request() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let setup = Setup::with("", move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            connection.head().await;
            let begin = connection.body(6).await;
            tell.send(begin).unwrap();
            let (rest, _) = read_to_end(&mut connection.stream).await;
            tell.send(rest).unwrap();
        }
    })
    .await;
    for code in [0_u32, 8] {
        let mut stream = begin(&setup, &settings(&[])).await;
        stream.write_all(&ask(1, 0, "POST", &[])).await.unwrap();
        stream.write_all(&frame(DATA, 0, 1, b"x")).await.unwrap();
        let came = timeout(IN_TIME, told.recv()).await.unwrap().unwrap();
        assert_eq!(came, b"1\r\nx\r\n", "{code}");
        let reset = frame(RST_STREAM, 0, 1, &code.to_be_bytes());
        stream.write_all(&reset).await.unwrap();
        let came = timeout(IN_TIME, told.recv()).await.unwrap().unwrap();
        assert_eq!(came, b"", "{code}");
    }
}

#[tokio::test]
async fn trailers_of_a_stream_do_not_bypass_the_dropped_headers() {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let setup = Setup::with("", move |mut connection: Connection| {
        let tell = tell.clone();
        async move {
            connection.head().await;
            let read = read_chunked(&mut connection.stream).await;
            tell.send(read).unwrap();
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let trailers = block(&[
        ("es-security-runas-user", "bob"),
        ("content-type", "a/b"),
        ("host", "b"),
        ("x-sum", "7"),
        ("x-forwarded-for", "1.2.3.4"),
    ]);
    let all = "x-sum, es-security-runas-user, content-type, host, x-forwarded-for";
    // Each of these requests has its end, and what no head names is not passed on.
    for (declared, passed) in [
        (all, "x-sum: 7\r\n"),
        ("es-security-runas-user", ""),
        ("x-a", ""),
    ] {
        let mut stream = begin(&setup, &settings(&[])).await;
        let head = ask(1, 0, "POST", &[("trailer", declared)]);
        stream.write_all(&head).await.unwrap();
        stream.write_all(&frame(DATA, 0, 1, b"x")).await.unwrap();
        let last = frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers);
        stream.write_all(&last).await.unwrap();
        let (body, came) = timeout(IN_TIME, told.recv()).await.unwrap().unwrap();
        assert_eq!((&*body, &*came), (&b"x"[..], passed), "{declared}");
    }
}

#[tokio::test]
async fn trailers_behind_a_body_of_a_known_length_are_not_passed_on() {
    let setup = Setup::with("", |mut connection: Connection| async move {
        connection.head().await;
        assert_eq!(connection.body(1).await, b"x");
        connection.say(OK.as_bytes()).await;
        connection.head().await;
    })
    .await;
    let mut stream = begin(&setup, &settings(&[])).await;
    let head = ask(
        1,
        0,
        "POST",
        &[("trailer", "x-sum"), ("content-length", "1")],
    );
    stream.write_all(&head).await.unwrap();
    stream.write_all(&frame(DATA, 0, 1, b"x")).await.unwrap();
    let last = block(&[("x-sum", "7")]);
    let last = frame(HEADERS, END_HEADERS | END_STREAM, 1, &last);
    stream.write_all(&last).await.unwrap();
    let answer = next_of(&mut stream, DATA).await.unwrap();
    assert_eq!(answer.payload, b"ok");
}

#[tokio::test]
async fn rapid_resets_end_their_connection() {
    let calls = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&calls);
    let setup = Setup::with("", move |connection: Connection| {
        count.fetch_add(1, SeqCst);
        served(connection)
    })
    .await;
    assert!(answers(&setup).await);
    let mut stream = begin(&setup, &settings(&[])).await;
    let flood = async {
        let mut id = 1;
        loop {
            let mut bytes = Vec::new();
            for _ in 0..50 {
                bytes.extend(ask(id, END_STREAM, "GET", &[]));
                bytes.extend(frame(RST_STREAM, 0, id, &8_u32.to_be_bytes()));
                id += 2;
            }
            if stream.write_all(&bytes).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    };
    timeout(IN_TIME, flood)
        .await
        .expect("the end of the connection");
    assert!(answers(&setup).await);
    let calls = calls.load(SeqCst);
    assert!(calls < 1_000, "{calls} connections to the cluster");
}

#[tokio::test]
async fn floods_of_small_frames_are_bounded() {
    let setup = Setup::answering(OK).await;
    let part = |bytes: Vec<u8>| bytes.repeat(1_000);
    for (what, start, flood) in [
        (
            "continuations",
            ask_open(),
            part(frame(CONTINUATION, 0, 1, &[0, 1, b'x', 0])),
        ),
        (
            "empty continuations",
            ask_open(),
            part(frame(CONTINUATION, 0, 1, &[])),
        ),
        (
            "settings",
            Vec::new(),
            part(settings(&[(INITIAL_WINDOW_SIZE, 1)])),
        ),
        ("pings", Vec::new(), part(frame(PING, 0, 0, &[0; 8]))),
        (
            "empty data",
            ask(1, 0, "POST", &[]),
            part(frame(DATA, 0, 1, &[])),
        ),
    ] {
        let before = super::limits::memory(&setup);
        let mut stream = begin(&setup, &settings(&[])).await;
        stream.write_all(&start).await.unwrap();
        // Nothing is read: the other side ends the connection, or takes no more.
        let writing = async {
            for _ in 0..500 {
                if stream.write_all(&flood).await.is_err() {
                    break;
                }
            }
        };
        let _stopped = timeout(Duration::from_secs(1), writing).await;
        assert!(answers(&setup).await, "{what}");
        let grown = super::limits::memory(&setup).saturating_sub(before);
        assert!(grown < 32_000_000, "{what}: {grown} bytes");
    }
}

/// A request whose headers go on.
fn ask_open() -> Vec<u8> {
    frame(HEADERS, 0, 1, &block(&[(":method", "GET")]))
}

/// 100 MB, until elastauth takes no more.
async fn answer_at_length(mut connection: Connection) {
    connection.head().await;
    connection
        .say(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        .await;
    let part = vec![b'x'; 64 * 1024];
    while connection.stream.write_all(&part).await.is_ok() {}
}

#[tokio::test]
async fn a_stream_whose_window_stays_shut_is_reset_and_the_cluster_let_go() {
    let ended = Arc::<AtomicUsize>::default();
    let done = Arc::clone(&ended);
    let more = "  limits: {progress_timeout: 400ms}\n";
    let setup = Setup::with(more, move |connection: Connection| {
        let ended = Arc::clone(&done);
        async move {
            answer_at_length(connection).await;
            ended.fetch_add(1, SeqCst);
        }
    })
    .await;
    let mut stream = begin(&setup, &settings(&[(INITIAL_WINDOW_SIZE, 0)])).await;
    for id in (1..20).step_by(2) {
        stream
            .write_all(&ask(id, END_STREAM, "GET", &[]))
            .await
            .unwrap();
    }
    let mut reset = 0;
    while reset < 10 {
        let frame = next_of(&mut stream, RST_STREAM)
            .await
            .expect("the connection stays");
        assert_eq!(frame.stream % 2, 1);
        reset += 1;
    }
    until("the cluster's connections end", || ended.load(SeqCst) == 10).await;
}

/// What counts is a whole piece of the answer, as it came from the cluster (up to 128 KB).
#[tokio::test]
async fn a_stream_that_is_read_slowly_is_left_alone() {
    const STEP: u32 = 32 * 1024;
    let more = "  limits: {progress_timeout: 2s}\n";
    let setup = Setup::with(more, answer_at_length).await;
    let mut stream = begin(&setup, &settings(&[(INITIAL_WINDOW_SIZE, STEP)])).await;
    let text = ask(1, END_STREAM, "GET", &[]);
    stream.write_all(&text).await.unwrap();
    let mut read = 0;
    // Longer than two looks at it.
    for _ in 0..50 {
        let end = read + STEP as usize;
        while read < end {
            let frame = timeout(IN_TIME, next_frame(&mut stream)).await.unwrap();
            let frame = frame.expect("the connection stays");
            assert_ne!(frame.kind, RST_STREAM, "after {read} bytes");
            if frame.kind == DATA {
                read += frame.payload.len();
            }
        }
        pause(Why::Pace, Duration::from_millis(100)).await;
        for id in [0, 1] {
            let more = frame(WINDOW_UPDATE, 0, id, &STEP.to_be_bytes());
            stream.write_all(&more).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_upload_that_stops_is_reset() {
    let more = "  limits: {progress_timeout: 400ms}\n";
    let setup = Setup::with(more, |mut connection: Connection| async move {
        connection.head().await;
        let mut buffer = [0; 4_096];
        while let Ok(1..) = connection.stream.read(&mut buffer).await {}
    })
    .await;
    let mut stream = begin(&setup, &settings(&[])).await;
    stream.write_all(&ask(1, 0, "POST", &[])).await.unwrap();
    stream
        .write_all(&frame(DATA, 0, 1, b"begun"))
        .await
        .unwrap();
    let ended = async {
        while let Some(frame) = next_frame(&mut stream).await {
            if frame.kind == RST_STREAM || frame.kind == HEADERS {
                return true;
            }
        }
        true
    };
    assert!(timeout(IN_TIME, ended).await.expect("an end"));
    assert_ne!(SETTINGS, DATA);
}

#[tokio::test]
async fn a_connection_with_all_its_requests_finishes_them() {
    let more = "  limits: {requests_per_connection: 3}\n";
    let setup = Setup::with(more, served).await;
    let mut stream = begin(&setup, &settings(&[])).await;
    for id in [1, 3, 5] {
        stream
            .write_all(&ask(id, END_STREAM, "GET", &[]))
            .await
            .unwrap();
    }
    let (mut data, mut said_goodbye) = (0, false);
    let reading = async {
        while let Some(frame) = next_frame(&mut stream).await {
            match frame.kind {
                DATA if !frame.payload.is_empty() => data += 1,
                GOAWAY => said_goodbye = true,
                _ => {}
            }
        }
    };
    let _open = timeout(Duration::from_secs(8), reading).await;
    assert_eq!((data, said_goodbye), (3, true));
}

/// The first GOAWAY names no last stream, so a client may still send until it has read it.
#[tokio::test]
async fn a_request_that_crosses_the_end_of_an_idle_connection_is_answered() {
    let more = "  limits: {idle_timeout: 200ms}\nshutdown: {timeout: 1s}\n";
    let setup = Setup::with(more, |mut connection: Connection| async move {
        while let Some(head) = connection.head().await {
            if header(&head, "x-slow").is_some() {
                // Longer than a connection has that is about to end, twice over.
                pause(Why::Pace, Duration::from_millis(2_500)).await;
            }
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let mut stream = begin(&setup, &settings(&[])).await;
    let first = ask(1, END_STREAM, "GET", &[]);
    stream.write_all(&first).await.unwrap();
    assert_eq!(next_of(&mut stream, HEADERS).await.unwrap().stream, 1);
    assert!(next_of(&mut stream, GOAWAY).await.is_some());
    let crossing = ask(3, END_STREAM, "GET", &[("x-slow", "1")]);
    stream.write_all(&crossing).await.unwrap();
    let answer = next_of(&mut stream, HEADERS).await;
    assert_eq!(answer.expect("an answer").stream, 3);
    // Then it ends.
    while timeout(IN_TIME, next_frame(&mut stream))
        .await
        .unwrap()
        .is_some()
    {}
}

#[tokio::test]
async fn answers_that_are_cancelled_in_the_middle_are_bounded() {
    let setup = Setup::with("", |mut connection: Connection| async move {
        while let Some(head) = connection.head().await {
            if head.starts_with("GET /good ") {
                connection.say(OK.as_bytes()).await;
                continue;
            }
            let part = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no";
            connection.say(part.as_bytes()).await;
        }
    })
    .await;
    let mut stream = begin(&setup, &settings(&[])).await;
    let mut answered = 0;
    for n in 0..1_000 {
        let id = 2 * n + 1;
        let sent = stream.write_all(&ask(id, END_STREAM, "GET", &[])).await;
        if sent.is_err() || next_of(&mut stream, HEADERS).await.is_none() {
            break;
        }
        answered += 1;
        let reset = frame(RST_STREAM, 0, id, &[0, 0, 0, 8]);
        if stream.write_all(&reset).await.is_err() {
            break;
        }
    }
    assert!((200..1_000).contains(&answered), "{answered}");
    assert!(answers(&setup).await);
}

#[tokio::test]
async fn one_user_does_not_take_all_places_of_a_cluster() {
    const SHARE: usize = 512;
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let setup = Setup::with("", |mut connection: Connection| async move {
        while let Some(head) = connection.head().await {
            if head.starts_with("GET /good ") {
                connection.say(OK.as_bytes()).await;
            }
        }
    })
    .await;
    assert!(answers(&setup).await);
    let mut all = Vec::new();
    for _ in 0..SHARE / 128 {
        let mut stream = begin(&setup, &settings(&[])).await;
        for n in 0..128 {
            let slow = ask(2 * n + 1, END_STREAM, "GET", &[]);
            stream.write_all(&slow).await.unwrap();
        }
        all.push(stream);
    }
    let slow = || {
        let heads = setup.upstream.heads();
        heads
            .iter()
            .filter(|head| head.starts_with("GET /a "))
            .count()
    };
    until("all are under way", || slow() == SHARE).await;
    let refused = setup.ask(&request("GET /good", "alice", "")).await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    let other = setup.ask(&request("GET /good", "bob", "")).await;
    assert!(other.ends_with("\r\n\r\nok"), "{other}");
    drop(all);
    let free = async || answers(&setup).await.then_some(());
    crate::support::find("a place", IN_TIME, free).await;
}
