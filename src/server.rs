//! placeholder
use crate::net::tls;
use std::net::SocketAddr;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS; plain HTTP where absent.
    pub tls: Option<tls::ServerConfig>,
}
