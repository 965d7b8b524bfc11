//! Bounds of a listener. Where gateways ask they are not settings: each follows from how gateways
//! behave, and tests make them short. Clients differ more, so in proxy mode some have keys.

use std::time::Duration;

#[derive(Debug, Clone, Copy)]
pub(super) struct ListenerLimits {
    /// Open connections of peers in `trusted_proxies`. A busy gateway keeps hundreds; each costs
    /// some 10 KB here.
    pub(super) connections: usize,
    /// Those of them that still have to show a gateway key or a client certificate.
    pub(super) unproven: RoomLimits,
    /// Open connections of all other peers: probes and mistakes. They cannot take the gateways'
    /// places.
    pub(super) untrusted: RoomLimits,
    /// A TLS handshake: two round trips and a signature.
    pub(super) handshake: Duration,
    /// A connection without a request. Longer than gateways keep theirs (Envoy: one hour), because
    /// Envoy does not retry on another where one is cut.
    pub(super) idle: Duration,
    /// A decision. Gateways begin to give up after 2 s (`HAProxy`); Caddy never does.
    pub(super) decision: Duration,
    /// The rest of a connection that ends: a decision, and the time to write its
    /// answer.
    pub(super) drain: Duration,
    /// Gateways pass on what clients send, and hyper's own limit of 100 turns that into a 431 for
    /// the user. What gateways send fits in here; hyper fills a table of so many entries, twice,
    /// for every request.
    pub(super) headers: usize,
    /// How often HTTP/2 asks a silent peer whether it is there, and how long it waits for the
    /// answer: the connection of a gateway that lost power is closed.
    pub(super) ping: Duration,
    pub(super) pong: Duration,
    /// Requests of one connection; then it ends, and the client opens another one.
    pub(super) requests: u32,
    /// In each such time a client has to move so many bytes of a body, where only it can.
    pub(super) progress: Duration,
    pub(super) progress_bytes: u64,
    /// What a connection may use whose peer is in `trusted_proxies`.
    pub(super) of_trusted: PeerLimits,
    /// The same for any other peer. A health check needs little of it.
    pub(super) of_untrusted: PeerLimits,
}

/// Bounds of the places that connections take.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomLimits {
    /// All together.
    pub(super) total: usize,
    /// Those of one address; of one /64 for IPv6.
    pub(super) of_address: usize,
}

/// Bounds of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct PeerLimits {
    /// The first request of a connection, and the rest of any that has begun.
    pub(super) header: Duration,
    /// How long the peer may leave an answer unread.
    pub(super) write: Duration,
    /// All headers of a request together. Envoy takes 60 KB from a client, nginx 32 KB, `HAProxy`
    /// 15 KB.
    pub(super) header_bytes: u32,
    /// Requests at once on one HTTP/2 connection. Traefik has only one connection and queues what
    /// exceeds this.
    pub(super) streams: u32,
    /// Streams that we refuse or reset for faults of the peer before the connection ends. Until a
    /// client has read our settings, it may send some hundred requests at once.
    pub(super) resets: usize,
}

/// Settings of a listener in proxy mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table of keys says it")]
pub struct ClientLimits {
    pub header_bytes: u32,
    pub headers: usize,
    pub connections: usize,
    pub connections_per_address: usize,
    pub requests_per_connection: u32,
    pub streams: u32,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub progress_timeout: Duration,
    pub progress_bytes: u64,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            // Envoy takes 60 KB. What is forwarded to Elasticsearch fits into its 16 KB or gets its
            // 431.
            header_bytes: 64 * 1024,
            // As Envoy and Apache.
            headers: 100,
            connections: 10_000,
            // A host with many writers, or an office behind one address.
            connections_per_address: 1_000,
            requests_per_connection: 100_000,
            // RFC 9113 advises 100 at least.
            streams: 128,
            header_timeout: Duration::from_secs(30),
            // Longer than the clients of Elasticsearch and browsers leave one unused.
            idle_timeout: Duration::from_mins(2),
            // A socket takes more only when a third of its buffer is free: some 800 KB.
            progress_timeout: Duration::from_mins(1),
            progress_bytes: 1_024,
        }
    }
}

impl ListenerLimits {
    /// In proxy mode: clients are no gateways, and most of them are in no list.
    pub(super) fn of_clients(limits: &ClientLimits) -> Self {
        let usual = Self::default();
        let of_client = PeerLimits {
            header: limits.header_timeout,
            write: limits.progress_timeout,
            header_bytes: limits.header_bytes,
            streams: limits.streams,
            resets: usual.of_untrusted.resets,
        };
        Self {
            connections: limits.connections,
            untrusted: RoomLimits {
                total: limits.connections,
                of_address: limits.connections_per_address,
            },
            // Two round trips over the worst line.
            handshake: Duration::from_secs(10),
            idle: limits.idle_timeout,
            headers: limits.headers,
            requests: limits.requests_per_connection,
            progress: limits.progress_timeout,
            progress_bytes: limits.progress_bytes,
            of_trusted: of_client,
            of_untrusted: of_client,
            ..usual
        }
    }
}

impl Default for ListenerLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            // A gateway may open all its connections before it sends a request on any.
            unproven: RoomLimits {
                total: 5_000,
                of_address: 2_000,
            },
            // At 32 KB each these cost 32 MB. Probes and scrapers keep a few; a gateway that is
            // missing in `trusted_proxies` gets 401 on each anyway.
            untrusted: RoomLimits {
                total: 1_000,
                of_address: 64,
            },
            handshake: Duration::from_secs(5),
            idle: Duration::from_mins(75),
            decision: Duration::from_secs(2),
            drain: Duration::from_secs(5),
            headers: 160,
            ping: Duration::from_mins(1),
            pong: Duration::from_secs(20),
            // A gateway's connection lasts, and has no bodies.
            requests: u32::MAX,
            progress: Duration::MAX,
            progress_bytes: 0,
            of_trusted: PeerLimits {
                header: Duration::from_secs(10),
                // A gateway that has stopped reading for so long has given up on all of them.
                write: Duration::from_secs(30),
                header_bytes: 64 * 1024,
                streams: 1_000,
                resets: 1_024,
            },
            of_untrusted: PeerLimits {
                header: Duration::from_secs(5),
                write: Duration::from_secs(5),
                header_bytes: 16 * 1024,
                streams: 8,
                resets: 128,
            },
        }
    }
}
