//! The accept loop. Nothing that a peer or the system does ends it but the end of the program.

use super::{
    Certificates, Limits, Server,
    connection::{self, Connection, Drain, Pulse},
    throttle::Throttle,
};
use crate::shutdown::Tasks;
use hyper::rt::Executor;
use hyper_util::{rt::TokioTimer, server::conn::auto};
use std::{
    future::Future,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::sleep,
};

/// Waits between two tries when the system gives no connection (no file descriptors, no memory):
/// doubled up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connections that the system takes before we do. Gateways that come back all at once find room
/// there; whoever finds none tries again only after a second. The system may allow less
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;
/// Connections that are taken from the queue at the end: as many as it can have.
const QUEUED: usize = 4_096;

/// What all connections share.
pub(super) struct Shared {
    pub(super) http: auto::Builder<Spawner>,
    pub(super) drain: Drain,
    pub(super) handshakes: Throttle,
}

/// Binds, with the address that came of it.
pub(super) fn listen(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let bound = listener(addr);
    // `:5000` means every address. Where the system has no IPv6 at all, those are the IPv4 ones.
    let every_address = addr.ip() == Ipv6Addr::UNSPECIFIED;
    let listener = match bound {
        Err(error) if every_address && error.kind() != io::ErrorKind::AddrInUse => {
            listener((Ipv4Addr::UNSPECIFIED, addr.port()).into()).map_err(|_| error)?
        }
        bound => bound?,
    };
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn listener(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // The addresses of an end that was just now are free again.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the end begins.
pub(super) async fn run(server: Server, tasks: Tasks) {
    let Server {
        listener,
        tls,
        service,
        limits,
        audience,
        ..
    } = server;
    let shared = Arc::new(Shared {
        http: builder(&limits, &tasks),
        drain: Drain::default(),
        handshakes: Throttle::default(),
    });
    let gateways = Arc::new(Semaphore::new(limits.connections));
    let strangers = Arc::new(Semaphore::new(limits.strangers));
    let full = Throttle::default();
    let take = |stream: TcpStream, peer: SocketAddr| {
        let peer = peer.ip().to_canonical();
        let known = service.trust.load().knows(peer);
        // Closed at once rather than left in the queue: a gateway that sees that can try elsewhere,
        // one that waits cannot.
        let Ok(permit) = Arc::clone(if known { &gateways } else { &strangers }).try_acquire_owned()
        else {
            if let Some(suppressed) = full.admit() {
                tracing::warn!(%peer, known, suppressed = (suppressed > 0).then_some(suppressed), "too many connections; closed a new one");
            }
            return;
        };
        without_delay(&stream);
        let connection = Arc::new(Connection {
            peer,
            known,
            audience,
            limits,
            service: Arc::clone(&service),
            tasks: tasks.clone(),
            pulse: Pulse::default(),
        });
        let (shared, tls) = (
            Arc::clone(&shared),
            tls.as_ref().map(Certificates::acceptor),
        );
        tasks.spawn(async move {
            connection::serve(stream, tls, connection, &shared).await;
            drop(permit);
        });
    };
    let mut pause = SHORTEST_PAUSE;
    loop {
        let accepted = tokio::select! {
            () = tasks.ending() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = SHORTEST_PAUSE;
                take(stream, peer);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::error!(%error, pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX), "cannot accept connections");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    // Who stands in the queue has connected before the end: the system would cut those connections
    // together with the listener.
    if let Ok(listener) = listener.into_std() {
        let queued = std::iter::from_fn(|| listener.accept().ok()).take(QUEUED);
        for (stream, peer) in queued {
            if let Ok(stream) = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream))
            {
                take(stream, peer);
            }
        }
    }
    // The listener is gone: new connections are refused and not queued.
    shared.drain.begin();
}

/// Such an error says something about a connection that is gone, not about the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

/// An answer is one small packet; without this it may wait for the acknowledgement of the one
/// before.
fn without_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
}

fn builder(limits: &Limits, tasks: &Tasks) -> auto::Builder<Spawner> {
    let mut builder = auto::Builder::new(Spawner(tasks.clone()));
    builder
        .http1()
        // hyper's time for headers runs while a kept connection rests, and costs a timer a request.
        // `connection::Watch` stands in for it.
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(limits.header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(limits.header_bytes)
        .max_concurrent_streams(limits.streams)
        // No body is ever read: the smallest windows that need no negotiation.
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.pong);
    builder
}

/// Runs the requests of HTTP/2 connections as tracked tasks.
#[derive(Clone)]
pub(super) struct Spawner(Tasks);

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        self.0.spawn(work);
    }
}
