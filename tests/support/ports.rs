//! Ports of the loopback address. Whoever can, binds port 0 and keeps the listener; this is for the
//! others.
//!
//! A port may be lost between choosing it and binding it, in three ways. Another test process
//! chooses the same: each holds the UDP port of the same number until it ends, and nothing here
//! speaks UDP. The system gives it to an outgoing connection: the ports lie below those. A child
//! that was forked a moment ago still holds a copy of the socket that has tried the port: so it is
//! tried by connecting, not by binding. What is left is a program that is not of the tests; then
//! the one that lost its port is started once more with another ([`started`]).

use super::process::NotReady;
use std::{
    net::{Ipv4Addr, TcpStream, UdpSocket},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
};
use tokio::net::{TcpListener, TcpSocket};

/// Below 32768, where Linux begins with outgoing connections; other systems begin later.
const FIRST: u32 = 12_000;
const COUNT: u32 = 20_000;

/// How often a program is started that finds its port taken.
const STARTS: usize = 4;

/// The UDP ports that keep other test processes away.
static CLAIMED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());

/// A port for a program that cannot be asked to choose one itself. Nobody listens there, and no
/// test process gets it as long as this one runs.
pub(crate) fn free_port() -> u16 {
    claimed()
        .find(|port| TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).is_err())
        .expect("a free port")
}

/// A listener at a port that nobody else gets, even after the listener is gone.
pub(crate) async fn listener() -> TcpListener {
    for port in claimed() {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
            return listener;
        }
    }
    panic!("no port is free");
}

/// Ports that this process has claimed just now.
fn claimed() -> impl Iterator<Item = u16> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test processes that run side by side begin at different places.
    let begin = std::process::id().wrapping_mul(7_919);
    (0..COUNT).filter_map(move |_| {
        let port = FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let port = u16::try_from(port).ok()?;
        let claim = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).ok()?;
        CLAIMED.lock().expect("the claimed ports").push(claim);
        Some(port)
    })
}

/// Starts a program that gets its ports from [`free_port`]; again, where one of them was taken
/// before the program could bind it.
///
/// # Panics
/// When the program does not start for another reason, or finds its port taken each time.
pub(crate) async fn started<T>(mut start: impl AsyncFnMut() -> Result<T, NotReady>) -> T {
    let mut left = STARTS;
    loop {
        left -= 1;
        match start().await {
            Ok(started) => return started,
            Err(why) => assert!(why.port_was_taken() && left > 0, "{why}"),
        }
    }
}

/// A port that refuses connections, and that nobody else can bind, as long as this is held.
#[derive(Debug)]
pub(crate) struct Closed {
    socket: TcpSocket,
    pub(crate) port: u16,
}

impl Closed {
    pub(crate) fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind((Ipv4Addr::LOCALHOST, 0).into())
            .expect("a port");
        let port = socket.local_addr().expect("its address").port();
        Self { socket, port }
    }

    /// As a base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Takes connections from now on.
    pub(crate) fn open(self) -> TcpListener {
        self.socket.listen(1_024).expect("a listener")
    }
}
