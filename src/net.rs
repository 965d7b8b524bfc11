//! Bytes and sockets: TLS, a careful HTTP client, and the question which peers are believed.

pub mod client;
pub mod tls;
pub mod trust;
