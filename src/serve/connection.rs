//! What a request needs to know of its connection.

use super::{
    activity::Activity,
    limits::{ListenerLimits, PeerLimits},
    places::Place,
    service::Service,
};
use crate::{
    net::trust::{Distrust, TrustedPeer},
    shutdown::Tasks,
};
use http::HeaderMap;
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
};

/// For whom a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everything that is not an endpoint of its own is an auth request.
    Gateways,
    /// Nothing is an auth request. Everybody who can reach the address gets an answer.
    Operators,
}

/// A connection, as its requests see it.
pub(super) struct PeerConnection {
    /// The peer's address; an IPv4 address is never in its IPv6 form.
    pub(super) peer: IpAddr,
    /// Whether it is in `trusted_proxies`.
    pub(super) trusted: bool,
    /// For whom the listener is that took it.
    pub(super) audience: Audience,
    pub(super) limits: ListenerLimits,
    pub(super) service: Arc<Service>,
    pub(super) tasks: Tasks,
    pub(super) activity: Activity,
    pub(super) proof: Proof,
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
        self.service.trust.load().admit(self.peer, headers)
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

    /// A TLS handshake is done: where only gateways' certificates are taken, it was one of those.
    pub(super) fn handshake_done(&self) {
        if self.proof.is_missing() && !self.service.trust.load().asks_for_key() {
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
