//! What a request needs to know of its connection.

use super::{
    activity::Activity,
    framing::{FramingSlot, HeadLimits},
    limits::{ListenerLimits, PeerLimits},
    places::Place,
    progress::Progress,
    service::Service,
};
use crate::{
    net::{
        peer::Peer,
        tls::CertificateNames,
        trust::{Distrust, Trust, TrustedPeer},
    },
    shutdown::Tasks,
};
use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError,
    atomic::{AtomicU32, Ordering::Relaxed},
};

/// Which peers of a listener are gateways, as it is now.
pub(super) type SharedTrust = Arc<ArcSwap<Trust>>;

/// For whom a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everything that is not an endpoint of its own is an auth request.
    Gateways,
    /// Everything that is not an endpoint of its own is passed on to a cluster.
    Clients,
    /// Nothing is an auth request. Everybody who can reach the address gets an answer.
    Operators,
}

/// A connection, as its requests see it.
pub(super) struct PeerConnection {
    /// The peer. Behind a balancer that speaks the PROXY protocol, the one that it names.
    pub(super) peer: Peer,
    /// The address of the peer, as `X-Forwarded-For` has it.
    pub(super) address: OnceLock<Option<HeaderValue>>,
    /// The names of its client certificate, after a handshake with one.
    pub(super) certificate: OnceLock<CertificateNames>,
    pub(super) trust: SharedTrust,
    /// Whether it is in `trusted_proxies`, or came over a unix socket.
    pub(super) trusted: bool,
    /// Whether it speaks TLS.
    pub(super) secure: bool,
    /// For whom the listener is that took it.
    pub(super) audience: Audience,
    pub(super) limits: ListenerLimits,
    pub(super) service: Arc<Service>,
    pub(super) tasks: Tasks,
    /// Its own, for as long as anything of it is left: a tunnel goes on when HTTP has ended.
    #[expect(dead_code, reason = "held until it is dropped")]
    pub(super) place: Place,
    pub(super) activity: Activity,
    pub(super) proof: Proof,
    pub(super) framing: FramingSlot,
    /// Of the request that came last: HTTP/1 has one at a time, and the task of one of HTTP/2 takes
    /// it at once.
    pub(super) progress: Mutex<Option<Arc<Progress>>>,
}

/// What a peer in `trusted_proxies` still has to show. Until then it might be anybody in these
/// networks, so its connection gets little.
#[derive(Default)]
pub(super) struct Proof {
    /// The place among those who have shown nothing yet; `None` where nothing has to be shown.
    place: Mutex<Option<Place>>,
    /// Requests at once that it may have; 0 where nothing has to be shown. Read on the hot path.
    streams: AtomicU32,
    /// Requests that are not yet answered in full, as far as they were counted.
    open: AtomicU32,
}

/// A request that counts against the bound of its connection.
pub(super) struct OpenRequest(Option<Arc<PeerConnection>>);

impl Proof {
    /// Something has to be shown.
    pub(super) fn required(place: Place, limits: PeerLimits) -> Self {
        Self {
            place: Mutex::new(Some(place)),
            streams: AtomicU32::new(limits.streams),
            open: AtomicU32::new(0),
        }
    }

    fn is_missing(&self) -> bool {
        self.streams.load(Relaxed) != 0
    }

    fn shown(&self) {
        self.streams.store(0, Relaxed);
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl PeerConnection {
    /// Whether the headers of a request are trusted, by the trust that is in force now.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<TrustedPeer, Distrust> {
        let trust = self.trust.load();
        trust.admit(self.peer, self.certificate.get(), headers)
    }

    /// The same in proxy mode, where clients come without a gateway if they bring tokens.
    pub(super) fn admit_client(&self, headers: &HeaderMap) -> Result<TrustedPeer, Distrust> {
        let trust = self.trust.load();
        if self.service.flow.providers.oidc().is_none() {
            return trust.admit(self.peer, self.certificate.get(), headers);
        }
        trust.admit_client(self.peer, self.certificate.get(), headers)
    }

    /// The address of the peer, if it has one, as a request that is passed on names it.
    pub(super) fn peer_address(&self) -> Option<&HeaderValue> {
        let address = || HeaderValue::try_from(self.peer.ip()?.to_string()).ok();
        self.address.get_or_init(address).as_ref()
    }

    /// Whether the peer is trusted and has nothing more to show.
    pub(super) fn is_proven(&self) -> bool {
        self.trusted && !self.proof.is_missing()
    }

    /// What the connection may use. HTTP/2 agrees on it at the start, so it follows from the
    /// address alone.
    pub(super) fn peer_limits(&self) -> &PeerLimits {
        if self.trusted {
            &self.limits.of_trusted
        } else {
            &self.limits.of_untrusted
        }
    }

    pub(super) fn head_limits(&self) -> HeadLimits {
        HeadLimits {
            bytes: self.peer_limits().header_bytes as usize,
            fields: self.limits.headers,
        }
    }

    /// Whether the connection may stay open without a request.
    pub(super) fn may_be_idle(&self) -> bool {
        self.audience == Audience::Clients || self.is_proven()
    }

    /// A request comes in proxy mode.
    pub(super) fn exchange_begins(&self) -> Arc<Progress> {
        let mut last = self.last_progress();
        // That of a request of HTTP/1 that is over.
        if let Some(own) = &mut *last
            && let Some(progress) = Arc::get_mut(own)
        {
            *progress = Progress::default();
            return Arc::clone(own);
        }
        let progress = Arc::new(Progress::default());
        *last = Some(Arc::clone(&progress));
        progress
    }

    /// What [`Self::exchange_begins`] has made last.
    pub(super) fn last_progress(&self) -> MutexGuard<'_, Option<Arc<Progress>>> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A TLS handshake is done. Where certificates are asked for, the peer has one of our CA.
    pub(super) fn handshake_done(&self, certificate: Option<CertificateNames>) {
        if let Some(names) = certificate {
            let _set_once = self.certificate.set(names);
        }
        let trust = self.trust.load();
        if self.proof.is_missing()
            && !trust.asks_for_key()
            && trust.admits_certificate(self.certificate.get())
        {
            self.proof.shown();
        }
    }

    /// A request came.
    pub(super) fn seen(&self, headers: &HeaderMap) {
        if self.proof.is_missing() && self.admit(headers).is_ok() {
            self.proof.shown();
        }
    }

    /// Counts a request until it is answered; `None` if there are too many at once for a peer that
    /// has shown nothing.
    pub(super) fn open_request(self: &Arc<Self>) -> Option<OpenRequest> {
        let allowed = self.proof.streams.load(Relaxed);
        if allowed == 0 {
            return Some(OpenRequest(None));
        }
        let open = OpenRequest(Some(Arc::clone(self)));
        (self.proof.open.fetch_add(1, Relaxed) < allowed).then_some(open)
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        if let Some(connection) = &self.0 {
            connection.proof.open.fetch_sub(1, Relaxed);
        }
    }
}
