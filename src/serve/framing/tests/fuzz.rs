//! Malformed requests by the thousand. What passes is what the grammar takes, and hyper reads the
//! same requests of it; where the bytes were cut makes no difference.
//!
//! `cargo xtask fuzz --seconds N` runs longer than the tests, from a new seed.

#![expect(
    clippy::print_stdout,
    reason = "the seed is for the person at the terminal"
)]

use super::{judged, reference};
use crate::model::mixed;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const CASES: u64 = 4_000;

/// Repeatable choices (`SplitMix64`).
struct Draw(u64);

impl Draw {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// Mostly good, and of parts that contradict each other when they meet.
    fn request(&mut self) -> Vec<u8> {
        let mut text = String::new();
        let method = self.one_of(&["GET", "POST", "PUT", "DELETE", "HEAD", "X"]);
        let target = self.one_of(&[
            "/",
            "/a?b",
            "/%2f//..;",
            "http://a/x",
            "http://a",
            "/\u{fc}",
        ]);
        let version = self.one_of(&["1.1", "1.1", "1.1", "1.0"]);
        write!(text, "{method} {target} HTTP/{version}\r\nHost: a\r\n").unwrap();
        for _ in 0..self.below(3) {
            text.push_str(self.one_of(&[
                "X: y\r\n",
                "Accept:\t*/* \r\n",
                "Connection: keep-alive\r\n",
                "Cookie: 0123456789012345678901234567890123456789\r\n",
                "Trailer: sum\r\n",
            ]));
        }
        match self.below(9) {
            0 | 1 => {
                let size = self.below(20);
                let body = "b\r\n".repeat(7);
                write!(text, "Content-Length: {size}\r\n\r\n{}", &body[..size]).unwrap();
            }
            2 | 3 => {
                text.push_str("Transfer-Encoding: chunked\r\n\r\n");
                for _ in 0..self.below(4) {
                    let size = 1 + self.below(20);
                    let extension = self.one_of(&["", "", ";a", ";a=\"b;c\""]);
                    let data = "c\r\n0".repeat(5);
                    write!(text, "{size:x}{extension}\r\n{}\r\n", &data[..size]).unwrap();
                }
                text.push_str(self.one_of(&["0\r\n\r\n", "0\r\nsum: 1\r\n\r\n", "000;x\r\n\r\n"]));
            }
            4 if self.below(4) == 0 => text.push_str("Upgrade: websocket\r\n\r\n"),
            _ => text.push_str("\r\n"),
        }
        text.into_bytes()
    }

    fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..self.below(3) {
            let at = self.below(bytes.len().max(1)).min(bytes.len());
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] = self.number().to_be_bytes()[0],
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 | 4 => bytes.insert(at, self.one_of(b" \t:\r\n\0;,0aF+/#?@")),
                5 => bytes.truncate(at),
                _ => {
                    let line = self.one_of(&[
                        &b"\r\n"[..],
                        b"Content-Length: 5\r\n",
                        b"Transfer-Encoding: chunked\r\n",
                        b"Host: b\r\n",
                        b" folded\r\n",
                        b"0\r\n\r\n",
                        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                    ]);
                    let at = line_start(&bytes, at);
                    bytes.splice(at..at, line.iter().copied()).for_each(drop);
                }
            }
        }
        bytes
    }
}

fn line_start(bytes: &[u8], at: usize) -> usize {
    let before = bytes[..at].iter().rposition(|byte| *byte == b'\n');
    before.map_or(0, |end| end + 1)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person at the terminal gives the seed and the time"
)]
#[tokio::test]
async fn what_passes_is_read_by_all_in_one_way() {
    let given = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = given("ELASTAUTH_FUZZ_SEED").unwrap_or(19);
    let until = given("ELASTAUTH_FUZZ_SECONDS");
    let until = until.map(|seconds| (Instant::now(), Duration::from_secs(seconds)));
    println!("framed requests from seed {seed}");
    let (mut draw, mut case, mut requests) = (Draw(seed), 0, 0);
    while until.map_or(case < CASES, |(begun, most)| begun.elapsed() < most) {
        case += 1;
        let draw = &mut Draw(draw.number());
        let mut bytes = Vec::new();
        for _ in 0..=draw.below(3) {
            let request = draw.request();
            bytes.extend(draw.mutate(request));
        }
        requests += agree(draw, &bytes).await;
    }
    assert!(requests > case / 2, "most cases have a good request");
    println!("{case} cases with {requests} requests");
}

/// How many requests of it pass.
async fn agree(draw: &mut Draw, bytes: &[u8]) -> u64 {
    let shown = String::from_utf8_lossy(bytes).into_owned();
    let (passed, fault) = judged([bytes]);
    assert!(bytes.starts_with(&passed));
    let size = 1 + draw.below(40);
    assert_eq!(
        judged(bytes.chunks(size)).0,
        passed,
        "in pieces of {size}: {shown:?}"
    );
    // What is wrong in a line is said at its end at the latest.
    let line = [bytes, b"\n"].concat();
    assert_eq!(
        judged(line.chunks(size)),
        judged([&line[..]]),
        "in pieces of {size}: {shown:?}"
    );

    let (mut at, mut expected) = (0, Vec::new());
    let mut ends_here = false;
    while let Some(message) = reference::message(&bytes[at..]) {
        at += message.length;
        ends_here = message.asks_for_upgrade;
        expected.push(message);
        if ends_here {
            break;
        }
    }
    // A part of the next message may pass, but never one that has an end.
    assert!(
        at <= passed.len(),
        "passed {} of {at}: {shown:?}",
        passed.len()
    );
    let has_more = at < passed.len();
    assert!(!(ends_here && has_more), "{shown:?}");
    if !has_more {
        // What comes next is a head that is not whole or not good.
        assert!(at == bytes.len() || fault.is_some() || ends_here || !ends(&bytes[at..]));
    }
    // One after the other: after some of them hyper closes the connection.
    let mut rest = &passed[..];
    for message in &expected {
        let (this, others) = rest.split_at(message.length);
        let read = hyper_reads(this).await;
        assert_eq!(read, [Some(message.body.clone())], "{shown:?}");
        rest = others;
    }
    if has_more {
        let read = hyper_reads(rest).await;
        assert_eq!(read, [None], "an end was made up: {shown:?}");
    }
    expected.len() as u64
}

fn ends(head: &[u8]) -> bool {
    let head = head.strip_prefix(b"\r\n").unwrap_or(head);
    head.windows(4).any(|end| end == b"\r\n\r\n")
}

/// The bodies of the requests that hyper reads; `None` for one without an end.
async fn hyper_reads(bytes: &[u8]) -> Vec<Option<Vec<u8>>> {
    let (mut client, server) = tokio::io::duplex(bytes.len().max(1));
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn(|request: Request<Incoming>| {
        let bodies = Arc::clone(&bodies);
        async move {
            let body = request.into_body().collect().await;
            let body = body.ok().map(|body| body.to_bytes().to_vec());
            bodies.lock().unwrap().push(body);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        }
    });
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut http1 = http1::Builder::new();
    let serving = http1
        .half_close(true)
        .serve_connection(TokioIo::new(server), service);
    let mut answers = Vec::new();
    let (_served, _read) = tokio::join!(serving, client.read_to_end(&mut answers));
    bodies.lock().unwrap().clone()
}
