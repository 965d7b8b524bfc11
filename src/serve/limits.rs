//! Bounds of a listener. They are not settings: each follows from how gateways behave, and tests
//! make them short.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(super) struct ListenerLimits {
    /// Open connections of peers in `trusted_proxies`. A busy gateway keeps hundreds; each costs
    /// some 10 KB here.
    pub(super) connections: usize,
    /// Open connections of all other peers together: probes and mistakes. They cannot take the
    /// gateways' places.
    pub(super) untrusted_connections: usize,
    /// A TLS handshake: two round trips and a signature.
    pub(super) handshake: Duration,
    /// The first request of a connection, and the rest of any that has begun.
    pub(super) header: Duration,
    /// A connection without a request. Longer than gateways keep theirs (Envoy: one hour), because
    /// Envoy does not retry on another where one is cut.
    pub(super) idle: Duration,
    /// A decision. Gateways begin to give up after 2 s (`HAProxy`); Caddy never does.
    pub(super) decision: Duration,
    /// The rest of a connection that ends: a decision, and the time to write its
    /// answer.
    pub(super) drain: Duration,
    /// Gateways pass on what clients send, and hyper's own limit of 100 turns that into a 431 for
    /// the user. nginx and Traefik take more than this from a client, but each slot costs every
    /// request a little.
    pub(super) headers: usize,
    /// All headers of a request together. Envoy takes 60 KB from a client, nginx 32 KB, `HAProxy`
    /// 15 KB.
    pub(super) header_bytes: u32,
    /// Requests at once on one HTTP/2 connection. Traefik has only one connection and queues what
    /// exceeds this.
    pub(super) streams: u32,
    /// How often HTTP/2 asks a silent peer whether it is there, and how long it waits for the
    /// answer: the connection of a gateway that lost power is closed.
    pub(super) ping: Duration,
    pub(super) pong: Duration,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            untrusted_connections: 500,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_mins(75),
            decision: Duration::from_secs(2),
            drain: Duration::from_secs(5),
            headers: 500,
            header_bytes: 64 * 1024,
            streams: 1_000,
            ping: Duration::from_mins(1),
            pong: Duration::from_secs(20),
        }
    }
}
