//! What a request needs to know of its connection.

use super::{activity::Activity, limits::ListenerLimits, service::Service};
use crate::{
    net::trust::{Distrust, TrustedPeer},
    shutdown::Tasks,
};
use http::HeaderMap;
use std::{net::IpAddr, sync::Arc};

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
}

impl PeerConnection {
    /// Whether the headers of a request are trusted, by the trust that is in force now.
    pub(super) fn admit(&self, headers: &HeaderMap) -> Result<TrustedPeer, Distrust> {
        self.service.trust.load().admit(self.peer, headers)
    }
}
