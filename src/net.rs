//! Bytes and sockets: TLS and the question which peers are believed.

pub mod tls;
pub mod trust;
