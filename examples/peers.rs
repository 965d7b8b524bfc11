//! For the benchmark: many connections of peers that nobody knows, each doing the same. They come
//! from several loopback addresses, so that the bound for one address lets them in.
//!
//! `peers SERVER KIND CONNECTIONS STREAMS` prints `ready` when all is sent and whatever comes back
//! at once has come, and keeps the connections until its input ends.

#![expect(clippy::print_stdout, reason = "its output is its result")]

use std::{
    error::Error,
    io::Read as _,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    task::JoinSet,
    time::timeout,
};

type Failure = Box<dyn Error + Send + Sync>;

/// How many of these fit into what one address may have.
const OF_ADDRESS: usize = 50;
/// What is there at once is there after this.
const SOON: Duration = Duration::from_millis(500);
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [server, kind, connections, streams] = arguments.as_slice() else {
        return Err("usage: peers SERVER KIND CONNECTIONS STREAMS".into());
    };
    let (server, streams): (SocketAddr, u32) = (server.parse()?, streams.parse()?);
    let sent = match kind.as_str() {
        "silent" => Vec::new(),
        "h1-slow-head" => slow_head(),
        "h1-unread" => b"GET / HTTP/1.1\r\nhost: a\r\n\r\n".repeat(4_000),
        "h2-idle" => begin(),
        "h2-stalled" => [begin(), stalled(streams)].concat(),
        "h2-half-head" => [begin(), half_head()].concat(),
        _ => return Err(format!("no kind of peer: {kind}").into()),
    };
    let mut peers = JoinSet::new();
    for n in 0..connections.parse()? {
        let reads = kind != "h1-unread";
        peers.spawn(peer(server, n, sent.clone(), reads));
    }
    let mut held = Vec::new();
    for peer in peers.join_all().await {
        held.push(peer?);
    }
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    drop(held);
    Ok(())
}

/// Sends all that the other side takes, and reads what is there soon.
async fn peer(
    server: SocketAddr,
    n: usize,
    sent: Vec<u8>,
    reads: bool,
) -> Result<TcpStream, Failure> {
    let address = Ipv4Addr::new(127, 0, 3, u8::try_from(1 + n / OF_ADDRESS)?);
    let socket = TcpSocket::new_v4()?;
    socket.bind((address, 0).into())?;
    let mut stream = socket.connect(server).await?;
    // The other side may refuse to take more, or close.
    let _taken = timeout(SOON, stream.write_all(&sent)).await;
    let mut answers = [0; 4_096];
    let mut is_more = reads;
    while is_more {
        is_more = matches!(timeout(SOON, stream.read(&mut answers)).await, Ok(Ok(1..)));
    }
    Ok(stream)
}

/// A head that is as long as it may be, but for its end.
fn slow_head() -> Vec<u8> {
    let line = format!("x-long: {}\r\n", "x".repeat(1_000));
    ["GET / HTTP/1.1\r\nhost: a\r\n", &line.repeat(15)]
        .concat()
        .into()
}

/// The beginning of HTTP/2, with a window that lets no body through.
fn begin() -> Vec<u8> {
    let shut = [0, 4, 0, 0, 0, 0];
    [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        &frame(SETTINGS, 0, 0, &shut),
    ]
    .concat()
}

/// Whole requests with many headers; their answers have a body.
fn stalled(streams: u32) -> Vec<u8> {
    let ids = (0..streams).map(|n| 1 + 2 * n);
    ids.flat_map(|id| frame(HEADERS, 5, id, &head(14)))
        .collect()
}

/// A request whose headers do not end, with the beginning of a frame that does not end either.
fn half_head() -> Vec<u8> {
    let mut bytes = frame(HEADERS, 0, 1, &head(7));
    let mut rest = frame(CONTINUATION, 0, 1, &[0; 16_384]);
    rest.truncate(16_000);
    bytes.extend(rest);
    bytes
}

/// A header block with so many headers of a kilobyte. Each is a literal that is not indexed.
fn head(long: usize) -> Vec<u8> {
    let mut bytes = b"\0\x07:method\x03GET\0\x07:scheme\x04http\0\x0a:authority\x01a".to_vec();
    bytes.extend(b"\0\x05:path\x01/");
    for _ in 0..long {
        // A length of 1,000 in the form of HPACK: 127, and 873 in groups of seven bits.
        bytes.extend([0, 1, b'x', 127, 0xe9, 0x06]);
        bytes.extend([b'y'; 1_000]);
    }
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(0).to_be_bytes();
    let mut bytes = length.get(1..).unwrap_or_default().to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}
