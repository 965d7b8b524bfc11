//! The accept loop. Only the end of the program ends it, whatever a peer or the system does.

use super::{
    activity::Activity,
    connection::{Audience, PeerConnection, Proof, SharedTrust},
    framing::FramingSlot,
    http::{self, Shared},
    limits::{ListenerLimits, RoomLimits},
    listen::{Accepted, Listening, Queue},
    places::{Full, Room},
    service::Service,
};
use crate::{
    backoff::Backoff,
    net::{
        peer::Peer,
        proxy_protocol::{self, HeaderError, OnBehalfOf},
    },
    shutdown::Tasks,
    telemetry::{chain, metrics::Bound},
};
use ipnet::IpNet;
use std::{
    io,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

/// Waits between two tries when the system gives no connection (no file descriptors, no memory).
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long no connection has come when the end of a shared port's socket cuts none: more than the
/// round trip to a gateway.
const QUIET: Duration = Duration::from_millis(250);
/// How long that is waited for, where no other process takes the connections.
const LAST: Duration = Duration::from_secs(1);

/// How a connection speaks TLS.
pub(super) struct Handshake {
    pub(super) acceptor: TlsAcceptor,
    /// Whether only peers with a certificate of our CA get through it.
    pub(super) asks_for_certificate: bool,
}

/// Takes connections until the end begins. `handshake` is asked for each, as certificates change.
pub(super) async fn run(
    listening: Listening,
    handshake: impl Fn() -> Option<Handshake>,
    intake: Arc<Intake>,
) {
    let mut pauses = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
    loop {
        let accepted = tokio::select! {
            () = intake.tasks.ending() => break,
            accepted = listening.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pauses.reset();
                intake.take(stream, peer, handshake());
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
    if listening.queue() == Queue::SharedPort {
        // Another process gets the connections that begin now. Those whose handshake has begun
        // still come here, and the system would cut them together with the socket.
        let last = Instant::now() + LAST;
        while Instant::now() < last
            && let Ok(Ok((stream, peer))) = timeout(QUIET, listening.accept()).await
        {
            intake.take(stream, peer, handshake());
        }
    }
    listening.end(|stream, peer| intake.take(stream, peer, handshake()));
    // The listener is gone: new connections are refused and not queued.
    intake.shared.drain();
}

/// Turns streams into connections, within their bounds.
pub(super) struct Intake {
    service: Arc<Service>,
    trust: SharedTrust,
    limits: ListenerLimits,
    audience: Audience,
    balancers: Vec<IpNet>,
    tasks: Tasks,
    shared: Arc<Shared>,
    trusted: Room,
    unproven: Room,
    untrusted: Room,
    /// Connections of balancers that have not yet said for whom they are.
    unannounced: Room,
}

impl Intake {
    pub(super) fn new(
        service: Arc<Service>,
        trust: SharedTrust,
        limits: &ListenerLimits,
        audience: Audience,
        balancers: Vec<IpNet>,
        tasks: Tasks,
    ) -> Self {
        // A gateway opens as many as it needs, and so does a balancer.
        let of_one = |total| RoomLimits {
            total,
            of_address: total,
        };
        Self {
            shared: Arc::new(Shared::new()),
            trusted: Room::new(of_one(limits.connections), (Bound::Trusted, Bound::Trusted)),
            unproven: Room::new(limits.unproven, (Bound::Unproven, Bound::UnprovenOfAddress)),
            untrusted: Room::new(
                limits.untrusted,
                (Bound::Untrusted, Bound::UntrustedOfAddress),
            ),
            unannounced: Room::new(
                of_one(limits.unproven.total),
                (Bound::Unproven, Bound::Unproven),
            ),
            service,
            trust,
            limits: *limits,
            audience,
            balancers,
            tasks,
        }
    }

    fn take(self: &Arc<Self>, stream: Accepted, peer: Peer, handshake: Option<Handshake>) {
        let is_balancer = peer
            .ip()
            .is_some_and(|ip| self.balancers.iter().any(|network| network.contains(&ip)));
        if !is_balancer {
            self.admit(stream, peer, handshake);
            return;
        }
        let place = match self.unannounced.take(peer) {
            Ok(place) => place,
            Err(full) => return self.refused(peer, full, &self.unannounced),
        };
        let intake = Arc::clone(self);
        self.tasks.spawn(async move {
            intake.announced(stream, peer, handshake).await;
            drop(place);
        });
    }

    /// Takes the connection of a balancer once it has said for whom it is.
    async fn announced(
        self: &Arc<Self>,
        mut stream: Accepted,
        balancer: Peer,
        handshake: Option<Handshake>,
    ) {
        let header = proxy_protocol::read(&mut stream);
        let failed: Box<dyn std::error::Error + Send> =
            match timeout(self.limits.handshake, header).await {
                Ok(Ok(OnBehalfOf::Client(peer))) => return self.admit(stream, peer, handshake),
                Ok(Ok(OnBehalfOf::Balancer)) => return self.admit(stream, balancer, handshake),
                Ok(Err(HeaderError::Nothing)) => return,
                Ok(Err(why)) => Box::new(why),
                Err(late) => Box::new(late),
            };
        // Somebody who is listed by mistake, or a balancer that is not set up for the protocol.
        if let Ok(suppressed) = self.shared.headers.take(self.service.clock.now()) {
            tracing::warn!(
                peer = %balancer,
                error = chain(&*failed),
                suppressed,
                "closed a connection from `proxy_protocol.from`: it has no valid PROXY header"
            );
        }
    }

    fn admit(&self, stream: Accepted, peer: Peer, handshake: Option<Handshake>) {
        let Some(connection) = self.seated(peer, handshake.as_ref()) else {
            return;
        };
        if let Err(error) = stream.set_options() {
            tracing::debug!(%error, "cannot set options of a connection");
        }
        if connection.audience != Audience::Clients
            && let Err(error) = stream.bound_send_buffer()
        {
            tracing::debug!(%error, "cannot set SO_SNDBUF");
        }
        let tls = handshake.map(|handshake| handshake.acceptor);
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            http::serve(stream, tls, connection, &shared).await;
        });
    }

    /// The connection with its places, if there are any.
    fn seated(&self, peer: Peer, handshake: Option<&Handshake>) -> Option<Arc<PeerConnection>> {
        let trust = self.trust.load();
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
            Err(full) => {
                self.refused(peer, full, room);
                return None;
            }
        };
        let asks_for_certificate =
            handshake.is_some_and(|handshake| handshake.asks_for_certificate);
        let is_proof_required = trusted
            // Operators are answered whoever they are.
            && self.audience == Audience::Gateways
            && (asks_for_certificate || trust.asks_for_key());
        let proof = if is_proof_required {
            match self.unproven.take(peer) {
                Ok(place) => Proof::required(place, self.limits.of_untrusted),
                Err(full) => {
                    self.refused(peer, full, &self.unproven);
                    return None;
                }
            }
        } else {
            Proof::default()
        };
        let connection = PeerConnection {
            peer,
            address: OnceLock::new(),
            certificate: OnceLock::new(),
            trust: Arc::clone(&self.trust),
            trusted,
            secure: handshake.is_some(),
            audience: self.audience,
            limits: self.limits,
            service: Arc::clone(&self.service),
            tasks: self.tasks.clone(),
            place,
            activity: Activity::default(),
            proof,
            framing: FramingSlot::default(),
            progress: Mutex::default(),
        };
        Some(Arc::new(connection))
    }

    fn refused(&self, peer: Peer, full: Full, room: &Room) {
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
