//! The accept loop. Only the end of the program ends it, whatever a peer or the system does.

use super::{
    activity::Activity,
    connection::{Audience, PeerConnection},
    http::{self, Shared},
    limits::ListenerLimits,
    service::Service,
};
use crate::{
    backoff::Backoff,
    rate::{Limiter, Rate},
    shutdown::Tasks,
};
use std::{
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
use tokio_rustls::TlsAcceptor;

/// Waits between two tries when the system gives no connection (no file descriptors, no memory).
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connections that the system takes before we do. Gateways that come back all at once find room
/// there; whoever finds none tries again only after a second. The system may allow less
/// (`net.core.somaxconn`).
const BACKLOG: u32 = 4_096;
/// Connections that are taken from the queue at the end: as many as it can have.
const QUEUED: usize = 4_096;

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
    // A program that has just ended leaves connections behind that would keep the address in use.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

/// Takes connections until the end begins. `acceptor` is asked for each, as certificates change.
pub(super) async fn run(
    listener: TcpListener,
    acceptor: impl Fn() -> Option<TlsAcceptor>,
    intake: Intake,
) {
    let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let accepted = tokio::select! {
            () = intake.tasks.ending() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pauses.reset();
                intake.take(stream, peer, acceptor());
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                let pause = pauses.failed();
                tracing::error!(
                    %error,
                    pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "cannot accept connections"
                );
                sleep(pause).await;
            }
        }
    }
    // Whoever is in the queue has connected before the end: the system would cut those connections
    // together with the listener.
    if let Ok(listener) = listener.into_std() {
        let queued = std::iter::from_fn(|| listener.accept().ok()).take(QUEUED);
        for (stream, peer) in queued {
            if let Ok(stream) = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream))
            {
                intake.take(stream, peer, acceptor());
            }
        }
    }
    // The listener is gone: new connections are refused and not queued.
    intake.shared.drain();
}

/// Turns streams into connections, within their bounds.
pub(super) struct Intake {
    service: Arc<Service>,
    limits: ListenerLimits,
    audience: Audience,
    tasks: Tasks,
    shared: Arc<Shared>,
    trusted: Arc<Semaphore>,
    untrusted: Arc<Semaphore>,
    full: Limiter,
}

impl Intake {
    pub(super) fn new(
        service: Arc<Service>,
        limits: ListenerLimits,
        audience: Audience,
        tasks: Tasks,
    ) -> Self {
        Self {
            shared: Arc::new(Shared::new(&limits, &tasks)),
            trusted: Arc::new(Semaphore::new(limits.connections)),
            untrusted: Arc::new(Semaphore::new(limits.untrusted_connections)),
            full: Limiter::new(Rate::a_second(10)),
            service,
            limits,
            audience,
            tasks,
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        let peer = peer.ip().to_canonical();
        let trusted = self.service.trust.load().knows(peer);
        let places = if trusted {
            &self.trusted
        } else {
            &self.untrusted
        };
        // Closed at once rather than left in the queue: a gateway that sees that can try elsewhere,
        // one that waits cannot.
        let Ok(permit) = Arc::clone(places).try_acquire_owned() else {
            if let Ok(suppressed) = self.full.take(self.service.clock.now()) {
                tracing::warn!(
                    %peer,
                    known = trusted,
                    suppressed,
                    "too many connections; closed a new one"
                );
            }
            return;
        };
        // An answer is one small packet; without this it may wait for the acknowledgement of the
        // one before.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let connection = Arc::new(PeerConnection {
            peer,
            trusted,
            audience: self.audience,
            limits: self.limits,
            service: Arc::clone(&self.service),
            tasks: self.tasks.clone(),
            activity: Activity::default(),
        });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            http::serve(stream, tls, connection, &shared).await;
            drop(permit);
        });
    }
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
