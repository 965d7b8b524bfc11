//! Why TLS cannot be set up.

use rustls::server::VerifierBuilderError;
use std::{io, path::PathBuf};

/// One variant a failed step, with the file it failed on; never a line of the file, which may be a
/// key's.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file is missing, or this process may not read it.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The file has a `BEGIN` without its `END`, or the text between them is not Base64.
    #[error("{} is damaged: not well-formed PEM", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The file was read and holds no certificate.
    #[error("{} holds no PEM certificate", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// The file was read and holds no key that is not encrypted.
    #[error(
        "{} holds no unencrypted PEM private key (PKCS#8, PKCS#1 or SEC1)",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A certificate in the file cannot serve as a CA.
    #[error("a certificate in {} cannot be used as a CA", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// No `ca_cert` is set, and the system has no certificates that could be used instead.
    #[error("the system's certificate store is empty; set a CA file")]
    NoSystemCa {
        /// The first error while it was read, if there was one.
        source: Option<rustls_native_certs::Error>,
    },
    /// Certificate and key do not belong together, or the key is of a kind that is not supported.
    #[error(
        "the certificate {} and the key {} cannot be used together",
        cert.display(),
        key.display()
    )]
    Identity {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The error of rustls.
        source: rustls::Error,
    },
    /// The CA file cannot be used to check client certificates.
    #[error("clients cannot be checked with the CAs in {}", path.display())]
    ClientCa {
        /// The CA file.
        path: PathBuf,
        /// The error of rustls.
        source: VerifierBuilderError,
    },
    /// The CA file cannot be used to check servers.
    #[error("servers cannot be checked with the CAs in {}", path.display())]
    ServerCa {
        /// The CA file.
        path: PathBuf,
        /// The error of rustls.
        source: VerifierBuilderError,
    },
    /// The crypto provider does not support the protocol versions. A fault of the build.
    #[error("the crypto provider lacks TLS 1.2 and 1.3")]
    Versions(#[source] rustls::Error),
}
