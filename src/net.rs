//! Bytes and sockets: TLS, a careful HTTP client, the loopback interface, peers, and which of them
//! are trusted.

pub(crate) mod client;
#[cfg(test)]
mod fuzz;
mod keep_alive;
pub(crate) mod loopback;
pub(crate) mod peer;
pub(crate) mod proxy_protocol;
pub(crate) mod tls;
pub(crate) mod trust;

pub(crate) use keep_alive::keep_alive;
