//! Bytes and sockets: TLS, a careful HTTP client, the loopback interface, and which peers are trusted.

pub(crate) mod client;
pub(crate) mod loopback;
pub(crate) mod tls;
pub(crate) mod trust;
