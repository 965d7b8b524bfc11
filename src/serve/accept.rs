//! The accept loop. Only the end of the program ends it, whatever a peer or the system does.

use super::{
    activity::Activity,
    connection::{Audience, PeerConnection, Proof},
    http::{self, Shared},
    limits::{ListenerLimits, RoomLimits},
    places::{Full, Room},
    service::Service,
};
use crate::{backoff::Backoff, shutdown::Tasks, telemetry::metrics::Bound};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
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
/// What the system keeps of answers that a peer does not read; it takes twice this for its own
/// records. Without a bound that grows to megabytes for each connection. An answer is a kilobyte.
const SEND_BUFFER: u32 = 32 * 1024;
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
    // Connections inherit it.
    socket.set_send_buffer_size(SEND_BUFFER)?;
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
    asks_for_certificate: bool,
    tasks: Tasks,
    shared: Arc<Shared>,
    trusted: Room,
    unproven: Room,
    untrusted: Room,
}

impl Intake {
    /// `asks_for_certificate`: only peers with a certificate of our CA get through the handshake.
    pub(super) fn new(
        service: Arc<Service>,
        limits: ListenerLimits,
        audience: Audience,
        asks_for_certificate: bool,
        tasks: Tasks,
    ) -> Self {
        // A gateway opens as many as it needs.
        let of_trusted = RoomLimits {
            total: limits.connections,
            of_address: limits.connections,
        };
        Self {
            shared: Arc::new(Shared::new()),
            trusted: Room::new(of_trusted, (Bound::Trusted, Bound::Trusted)),
            unproven: Room::new(limits.unproven, (Bound::Unproven, Bound::UnprovenOfAddress)),
            untrusted: Room::new(
                limits.untrusted,
                (Bound::Untrusted, Bound::UntrustedOfAddress),
            ),
            service,
            limits,
            audience,
            asks_for_certificate,
            tasks,
        }
    }

    fn take(&self, stream: TcpStream, peer: SocketAddr, tls: Option<TlsAcceptor>) {
        let peer = peer.ip().to_canonical();
        let trust = self.service.trust.load();
        let trusted = trust.knows(peer);
        let room = if trusted {
            &self.trusted
        } else {
            &self.untrusted
        };
        // Closed at once rather than left in the queue: a gateway that sees that can try elsewhere,
        // one that waits cannot.
        let place = match room.take(peer) {
            Ok(place) => place,
            Err(full) => return self.refused(peer, full, room),
        };
        let is_proof_required = trusted
            // Operators are answered whoever they are.
            && self.audience == Audience::Gateways
            && (self.asks_for_certificate || trust.asks_for_key());
        let proof = if is_proof_required {
            match self.unproven.take(peer) {
                Ok(place) => Proof::required(place, self.limits.of_untrusted),
                Err(full) => return self.refused(peer, full, &self.unproven),
            }
        } else {
            Proof::default()
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
            proof,
        });
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            http::serve(stream, tls, connection, &shared).await;
            drop(place);
        });
    }

    fn refused(&self, peer: IpAddr, full: Full, room: &Room) {
        let Full { bound, limit } = full;
        self.service.telemetry.metrics.connection_refused(bound);
        if let Ok(suppressed) = room.may_log(self.service.clock.now()) {
            let bound = bound.text();
            tracing::warn!(
                %peer,
                bound,
                limit,
                suppressed,
                "too many connections; closed a new one"
            );
        }
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
