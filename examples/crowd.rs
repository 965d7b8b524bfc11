//! For the benchmark: everybody at once. Each user asks over one of a few HTTP/2 connections, and
//! again after as long as a 503 says, until there is a login.
//!
//! `crowd GATE USERS CONNECTIONS` prints the seconds until the last one is in, and how often the
//! answer was 503.

#![expect(clippy::print_stdout, reason = "its output is its result")]
#![expect(
    clippy::disallowed_methods,
    reason = "a client of its own, by the real clock"
)]

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Empty;
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    error::Error,
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

type Failure = Box<dyn Error + Send + Sync>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [gate, users, connections] = arguments.as_slice() else {
        return Err("usage: crowd GATE USERS CONNECTIONS".into());
    };
    let (users, connections): (usize, usize) = (users.parse()?, connections.parse()?);
    let mut gates = Vec::new();
    for _ in 0..connections {
        let stream = TcpStream::connect(gate).await?;
        stream.set_nodelay(true)?;
        let (gate, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        gates.push(gate);
    }
    let (begun, mut crowd) = (Instant::now(), JoinSet::new());
    for (user, gate) in (0..users).zip(gates.iter().cycle()) {
        crowd.spawn(get_in(gate.clone(), format!("user-{user}")));
    }
    let mut refused = 0;
    for user in crowd.join_all().await {
        refused += user?;
    }
    println!("{:.2} {refused}", begun.elapsed().as_secs_f64());
    Ok(())
}

/// How often the answer was 503.
async fn get_in(mut gate: SendRequest<Empty<Bytes>>, user: String) -> Result<u32, Failure> {
    for refused in 0.. {
        let asked = Request::get("http://bench/elastauth/forward-auth")
            .header("remote-user", &user)
            .header("remote-groups", "dev")
            .header("remote-email", format!("{user}@example.org"));
        gate.ready().await?;
        let answer = gate.send_request(asked.body(Empty::new())?).await?;
        let wait = answer
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|wait| wait.to_str().ok()?.parse().ok());
        match (answer.status(), wait) {
            (StatusCode::OK, _) => return Ok(refused),
            (StatusCode::SERVICE_UNAVAILABLE, Some(wait)) => sleep(Duration::from_secs(wait)).await,
            (status, _) => return Err(format!("{user} got {status}").into()),
        }
    }
    Ok(0)
}
