//! Bytes and sockets: TLS, a careful HTTP client, the loopback interface, and which peers are trusted.

pub mod client;
pub(crate) mod loopback;
pub mod tls;
pub mod trust;
