//! Clients that are slow, idle, or many.

use super::setup::{Connection, OK, Setup, header, read_answer, read_head, read_to_end, request};
use crate::support::{Why, pause, stage::GATEWAY_KEY, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

/// Between two bytes of a drip: several in each interval.
const DRIP: Duration = Duration::from_millis(20);
const CHUNKED: &str = "transfer-encoding: chunked\r\n";

fn limits(more: &str) -> String {
    format!("  limits: {{{more}}}\n")
}

/// Reads the body of an upload until the connection ends, and says how much came.
async fn drained(mut connection: Connection, bytes: Arc<AtomicUsize>, ended: Arc<AtomicBool>) {
    connection.head().await;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = connection.stream.read(&mut buffer).await {
        bytes.fetch_add(read, SeqCst);
    }
    ended.store(true, SeqCst);
}

#[tokio::test]
async fn a_head_that_drips_ends_its_connection() {
    let setup = Setup::with(&limits("header_timeout: 300ms"), |_| async {}).await;
    let good = request("GET /", "alice", "");
    for start in [
        "",
        "\r\n",
        "G",
        "GET / HTTP/1.1\r\n",
        &good[..good.len() - 2],
    ] {
        let mut stream = setup.connect().await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        // A header that never ends, or nothing at all.
        let bytes = if start.len() < 2 { "" } else { "x: y" };
        let dripping = tokio::spawn(async move {
            for byte in bytes.bytes().chain(std::iter::repeat(b'y')) {
                pause(Why::Pace, DRIP).await;
                if !bytes.is_empty() && write.write_all(&[byte]).await.is_err() {
                    break;
                }
            }
        });
        let (bytes, _) = read_to_end(&mut read).await;
        assert_eq!(bytes, b"", "{start:?}");
        dripping.abort();
    }
    assert_eq!(setup.upstream.heads(), Vec::<String>::new());
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_used_one_stays() {
    let more = limits("idle_timeout: 400ms, header_timeout: 400ms");
    let setup = Setup::with(&more, |mut connection: Connection| async move {
        while connection.head().await.is_some() {
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let mut stream = setup.connect().await;
    for _ in 0..10 {
        let text = request("GET /", "alice", "");
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        pause(Why::Pace, Duration::from_millis(150)).await;
    }
    let (bytes, was_reset) = read_to_end(&mut stream).await;
    assert_eq!((&bytes[..], was_reset), (&b""[..], false));
}

#[tokio::test]
async fn an_upload_that_drips_is_cut_and_one_that_moves_is_left_alone() {
    for (least, body, is_cut) in [(1_000, "never", true), (1, "150", false)] {
        let (bytes, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, done) = (Arc::clone(&bytes), Arc::clone(&ended));
        let more = limits(&format!(
            "progress_timeout: 300ms, progress_bytes: {least}, header_timeout: 300ms, \
             idle_timeout: 300ms"
        ));
        let setup = Setup::with(&more, move |mut connection: Connection| {
            let (bytes, ended) = (Arc::clone(&count), Arc::clone(&done));
            async move {
                if is_cut {
                    return drained(connection, bytes, ended).await;
                }
                connection.head().await;
                let mut body = Vec::new();
                while !body.ends_with(b"0\r\n\r\n") {
                    body.push(connection.stream.read_u8().await.unwrap());
                }
                connection.say(OK.as_bytes()).await;
            }
        })
        .await;
        let mut stream = setup.connect().await;
        let text = request("POST /_bulk", "alice", CHUNKED);
        stream.write_all(text.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.into_split();
        let dripping = tokio::spawn(async move {
            let most = body.parse().unwrap_or(usize::MAX);
            for _ in 0..most {
                pause(Why::Pace, DRIP).await;
                if write.write_all(b"1\r\nx\r\n").await.is_err() {
                    return None;
                }
            }
            write.write_all(b"0\r\n\r\n").await.unwrap();
            Some(write)
        });
        if is_cut {
            let (answer, _) = read_to_end(&mut read).await;
            assert!(!answer.starts_with(b"HTTP/1.1 2"), "{answer:?}");
            until("the cluster sees the end", || ended.load(SeqCst)).await;
            assert!(bytes.load(SeqCst) > 0);
            dripping.abort();
        } else {
            let answer = read_answer(&mut read).await;
            assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
            let _open = dripping.await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_for_the_cluster_is_left_alone() {
    let more = limits("progress_timeout: 200ms, header_timeout: 200ms, idle_timeout: 200ms");
    let setup = Setup::with(&more, |mut connection: Connection| async move {
        let head = connection.head().await.unwrap();
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        // Before it reads, before it answers, and in the middle of the answer.
        pause(Why::Pace, Duration::from_millis(700)).await;
        let _body = connection.body(length).await;
        pause(Why::Pace, Duration::from_millis(700)).await;
        connection
            .say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no")
            .await;
        pause(Why::Pace, Duration::from_millis(700)).await;
        connection.say(b"k").await;
    })
    .await;
    for text in [
        request("GET /", "alice", ""),
        request("POST /", "alice", "content-length: 5\r\n") + "hello",
    ] {
        let answer = setup.ask(&text).await;
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    }
}

/// An upstream that sends without end, and how much it could send.
async fn endless(progress: &str) -> (Setup, Arc<AtomicUsize>, Arc<AtomicBool>) {
    let (sent, ended) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
    let (count, done) = (Arc::clone(&sent), Arc::clone(&ended));
    let setup = Setup::with(&limits(progress), move |mut connection: Connection| {
        let (sent, ended) = (Arc::clone(&count), Arc::clone(&done));
        async move {
            connection.head().await;
            let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n";
            connection.say(head).await;
            let part = vec![b'x'; 64 * 1024];
            while connection.stream.write_all(&part).await.is_ok() {
                sent.fetch_add(part.len(), SeqCst);
            }
            ended.store(true, SeqCst);
        }
    })
    .await;
    (setup, sent, ended)
}

#[tokio::test]
async fn a_client_that_does_not_read_stalls_the_cluster_and_is_cut_off() {
    let (setup, sent, ended) = endless("progress_timeout: 500ms").await;
    let mut stream = setup.connect().await;
    let text = request("GET /", "alice", "");
    stream.write_all(text.as_bytes()).await.unwrap();
    until("the cluster's connection ends", || ended.load(SeqCst)).await;
    // What the systems' buffers hold on two connections, and little more.
    let sent = sent.load(SeqCst);
    assert!(sent < 40_000_000, "{sent} bytes");
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_left_alone() {
    let (setup, _, ended) = endless("progress_timeout: 2s").await;
    let mut stream = setup.connect().await;
    let text = request("GET /", "alice", "");
    stream.write_all(text.as_bytes()).await.unwrap();
    assert!(read_head(&mut stream).await.is_some());
    let mut buffer = vec![0; 1024 * 1024];
    for _ in 0..60 {
        pause(Why::Pace, Duration::from_millis(100)).await;
        stream.read_exact(&mut buffer).await.unwrap();
    }
    assert!(!ended.load(SeqCst));
}

#[tokio::test]
async fn an_answer_whose_head_never_ends_is_given_up() {
    let ended = Arc::<AtomicBool>::default();
    let done = Arc::clone(&ended);
    let setup = Setup::with("", move |mut connection: Connection| {
        let ended = Arc::clone(&done);
        async move {
            connection.head().await;
            connection.say(b"HTTP/1.1 200 OK\r\n").await;
            let lines = b"x: y\r\n".repeat(1_000);
            while connection.stream.write_all(&lines).await.is_ok() {}
            ended.store(true, SeqCst);
        }
    })
    .await;
    let answer = setup.ask(&request("GET /", "alice", "")).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    until("the cluster sees the end", || ended.load(SeqCst)).await;
}

#[tokio::test]
async fn one_address_takes_no_more_than_its_share_of_connections() {
    let setup = Setup::with(&limits("connections_per_address: 3"), |_| async {}).await;
    let from = |host| setup.stage.gateway().from(Ipv4Addr::new(127, 0, 0, host));
    // Whoever has a place is answered: here that they have to sign in.
    let has_place = async |stream: &mut TcpStream| {
        let ask = b"GET / HTTP/1.1\r\nhost: es.example\r\n\r\n";
        stream.write_all(ask).await.is_ok() && read_head(stream).await.is_some()
    };
    let mut all = Vec::new();
    for _ in 0..3 {
        let mut stream = from(2).connect().await.unwrap();
        assert!(has_place(&mut stream).await);
        all.push(stream);
    }
    let mut fourth = from(2).connect().await.unwrap();
    assert!(!has_place(&mut fourth).await);
    let mut other = from(3).connect().await.unwrap();
    assert!(has_place(&mut other).await);
    // Gateways have places of their own.
    let mut gateway = setup.connect().await;
    assert!(has_place(&mut gateway).await);
    all.pop();
    let free = async || {
        let mut stream = from(2).connect().await.unwrap();
        has_place(&mut stream).await.then_some(())
    };
    crate::support::find("a place", Duration::from_secs(10), free).await;
    let log = setup.stage.elastauth.log();
    assert!(log.contains("too many connections"), "{log}");
}

#[tokio::test]
async fn a_connection_ends_after_its_last_request_and_says_so() {
    let more = limits("requests_per_connection: 3");
    let setup = Setup::with(&more, |mut connection: Connection| async move {
        while connection.head().await.is_some() {
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let mut stream = setup.connect().await;
    let five = request("GET /", "alice", "").repeat(5);
    stream.write_all(five.as_bytes()).await.unwrap();
    for n in 1..=3 {
        let answer = read_answer(&mut stream).await;
        assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
        let last = (n == 3).then_some("close");
        assert_eq!(header(&answer, "connection"), last, "{n}: {answer}");
    }
    let (bytes, _) = read_to_end(&mut stream).await;
    assert_eq!(bytes, b"");
    assert_eq!(setup.upstream.heads().len(), 3);
}

/// Resident memory of the program, in bytes.
pub(super) fn memory(setup: &Setup) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", setup.stage.elastauth.id()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kilobytes.unwrap().parse::<usize>().unwrap() * 1_024
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_idle_connections_cost_little_and_harm_nobody() {
    const MANY: usize = 10_000;
    /// Of one idle connection, in a build without optimization.
    const EACH: usize = 32 * 1024;
    // The program takes over how many files it may have.
    let files = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: files.maximum,
        ..files
    };
    setrlimit(Resource::Nofile, raised).unwrap();
    let may_be = files
        .maximum
        .map_or(MANY, |files| usize::try_from(files).unwrap());
    let many = MANY.min(may_be.saturating_sub(500));
    let more = limits("connections_per_address: 2000, idle_timeout: 1h");
    let setup = Setup::with(&more, |mut connection: Connection| async move {
        while connection.head().await.is_some() {
            connection.say(OK.as_bytes()).await;
        }
    })
    .await;
    let answer = setup.ask(&request("GET /", "alice", "")).await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let before = memory(&setup);
    let mut opening = JoinSet::new();
    for n in 0..20 {
        let server = setup.stage.gateway().from(Ipv4Addr::new(127, 0, 3, n));
        opening.spawn(async move {
            let mut all = Vec::new();
            for _ in 0..many / 20 {
                let mut stream = server.connect().await.unwrap();
                let ask = b"GET / HTTP/1.1\r\nhost: es.example\r\n\r\n";
                stream.write_all(ask).await.unwrap();
                let answer = read_answer(&mut stream).await;
                assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
                all.push(stream);
            }
            all
        });
    }
    let all = opening.join_all().await;
    let grown = memory(&setup).saturating_sub(before);
    assert!(grown < many * EACH, "{} bytes a connection", grown / many);
    println!("{many} idle connections, {} bytes each", grown / many);
    let answer = setup.ask(&request("GET /", "alice", "")).await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    drop(all);
    assert!(!setup.stage.elastauth.log().contains(GATEWAY_KEY));
}
