//! Which files TLS is made from.

use super::trusted::TrustedCas;
use std::path::PathBuf;

/// TLS as a client.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// A PEM file of CA certificates that are trusted instead of the system's.
    pub ca_cert: Option<PathBuf>,
    /// A PEM certificate chain and its key, shown to the server.
    pub identity: Option<IdentityFiles>,
    /// Accept any certificate. A warning at every start names it.
    pub danger_skip_verify: bool,
    /// Where parsed CA certificates are shared with other connections.
    pub cas: TrustedCas,
}

/// TLS as a server.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The certificate chain and its key.
    pub identity: IdentityFiles,
    /// A PEM file of CA certificates; if set, only clients with a certificate of one of them are
    /// accepted.
    pub client_ca: Option<PathBuf>,
}

/// A certificate chain and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The chain, leaf first.
    pub cert: PathBuf,
    /// The key: PKCS#8, PKCS#1 or SEC1.
    pub key: PathBuf,
}
