//! TLS from PEM files, as a client and as a server.
//!
//! The crypto provider (aws-lc-rs) is passed to rustls each time: nothing depends on a process-wide
//! default that a library could set.

pub(crate) mod config;
mod danger;
mod error;
mod files;
mod known;
mod names;
mod pem;
mod trusted;

pub(crate) use config::{ClientConfig, IdentityFiles, ServerConfig};
pub(crate) use error::TlsError;
pub(crate) use files::FilesDigest;
pub(crate) use names::{CertificateName, CertificateNames};
pub(crate) use pem::read_file;
pub(crate) use trusted::TrustedCas;

use rustls::{
    ConfigBuilder, RootCertStore, WantsVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use std::sync::Arc;

/// TLS as a client: which servers are trusted, and which certificate is sent. The caller sets ALPN.
///
/// # Errors
/// Names the step and the file. Without `ca_cert` an empty system store is an error: every handshake
/// would fail later, without a clear reason.
pub(crate) fn client(config: &ClientConfig) -> Result<rustls::ClientConfig, TlsError> {
    let builder = client_builder()?;
    let builder = if config.danger_skip_verify {
        let verifier = danger::AcceptAny::new(builder.crypto_provider());
        let builder = builder.dangerous();
        builder.with_custom_certificate_verifier(Arc::new(verifier))
    } else {
        match config.ca_cert.as_deref() {
            None => builder.with_root_certificates(config.cas.of_system()?),
            Some(path) => {
                let verifier = config.cas.of_file(path, builder.crypto_provider())?;
                let builder = builder.dangerous();
                builder.with_custom_certificate_verifier(verifier)
            }
        }
    };
    let Some(identity) = &config.identity else {
        return Ok(builder.with_no_client_auth());
    };
    let (certificates, key) = identity.read()?;
    let client = builder.with_client_auth_cert(certificates, key);
    client.map_err(|source| identity.unusable(source))
}

/// A client that trusts no server: every handshake fails. For a connector that is used for plain
/// `http` only, and so must not fail at start because there are no certificates.
pub(crate) fn client_without_trust() -> Result<rustls::ClientConfig, TlsError> {
    let builder = client_builder()?.with_root_certificates(RootCertStore::empty());
    Ok(builder.with_no_client_auth())
}

fn client_builder() -> Result<ConfigBuilder<rustls::ClientConfig, WantsVerifier>, TlsError> {
    rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)
}

/// TLS as a server, HTTP/2 before HTTP/1.1.
///
/// # Errors
/// Names the step and the file.
pub(crate) fn server(config: &ServerConfig) -> Result<rustls::ServerConfig, TlsError> {
    let builder = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Versions)?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            // This verifier requires a certificate of every client.
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(trusted::roots(path, pem::certificates(path)?)?),
                Arc::clone(builder.crypto_provider()),
            )
            .build()
            .map_err(|source| TlsError::ClientCa {
                path: path.clone(),
                source,
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let (certificates, key) = config.identity.read()?;
    let mut server = builder
        .with_single_cert(certificates, key)
        .map_err(|source| config.identity.unusable(source))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(server)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl IdentityFiles {
    fn read(&self) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), TlsError> {
        Ok((pem::certificates(&self.cert)?, pem::key(&self.key)?))
    }

    fn unusable(&self, source: rustls::Error) -> TlsError {
        TlsError::Identity {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        error::Error as _,
        path::{Path, PathBuf},
    };

    struct Files {
        folder: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            Self {
                folder: tempfile::tempdir().unwrap(),
            }
        }

        fn put(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        }

        fn identity(&self, name: &str) -> IdentityFiles {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            IdentityFiles {
                cert: self.put(&format!("{name}.crt"), &made.cert.pem()),
                key: self.put(&format!("{name}.key"), &made.signing_key.serialize_pem()),
            }
        }
    }

    #[test]
    fn a_server_offers_http_2_before_http_1() {
        let files = Files::new();
        let server = server(&ServerConfig {
            identity: files.identity("a.test"),
            client_ca: None,
        })
        .unwrap();
        assert_eq!(
            server.alpn_protocols,
            [b"h2".to_vec(), b"http/1.1".to_vec()]
        );
    }

    #[test]
    fn a_client_offers_no_protocol_of_its_own() {
        let files = Files::new();
        let identity = files.identity("a.test");
        let config = ClientConfig {
            ca_cert: Some(identity.cert.clone()),
            identity: Some(identity),
            ..ClientConfig::default()
        };
        assert!(client(&config).unwrap().alpn_protocols.is_empty());
    }

    #[test]
    fn each_failed_step_is_named_with_its_file() {
        let files = Files::new();
        let (one, other) = (files.identity("a.test"), files.identity("b.test"));
        let missing = files.folder.path().join("missing.pem");
        let with_ca = |path: &Path| {
            client(&ClientConfig {
                ca_cert: Some(path.to_owned()),
                ..ClientConfig::default()
            })
            .unwrap_err()
        };

        let error = with_ca(&missing);
        assert!(
            matches!(&error, TlsError::Read { path, .. } if *path == missing),
            "{error:?}"
        );
        assert!(error.to_string().contains("missing.pem") && error.source().is_some());

        let text = files.put("text.pem", "this is not PEM");
        assert!(matches!(with_ca(&text), TlsError::NoCertificate { path } if path == text));
        assert!(matches!(with_ca(&one.key), TlsError::NoCertificate { .. }));

        let cut = files.put("cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        assert!(matches!(with_ca(&cut), TlsError::Damaged { path } if path == cut));

        let junk = files.put(
            "junk.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        assert!(matches!(with_ca(&junk), TlsError::Ca { path, .. } if path == junk));

        let mixed = IdentityFiles {
            cert: one.cert.clone(),
            key: other.key.clone(),
        };
        let error = server(&ServerConfig {
            identity: mixed,
            client_ca: None,
        })
        .unwrap_err();
        assert!(matches!(error, TlsError::Identity { .. }), "{error:?}");

        let keyless = IdentityFiles {
            cert: one.cert.clone(),
            key: one.cert.clone(),
        };
        let error = server(&ServerConfig {
            identity: keyless,
            client_ca: None,
        })
        .unwrap_err();
        assert!(
            matches!(&error, TlsError::NoKey { path } if *path == one.cert),
            "{error:?}"
        );
    }

    #[test]
    fn no_error_repeats_the_content_of_a_key_file() {
        let files = Files::new();
        let one = files.identity("a.test");
        for (name, text) in [
            ("a", "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n"),
            ("b", "-----BEGIN PRIVATE KEY c2VjcmV0\n"),
            (
                "c",
                "-----BEGIN PRIVATE KEY-----\nc2VjcmV0!!\n-----END PRIVATE KEY-----\n",
            ),
            (
                "d",
                "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
            ),
        ] {
            let identity = IdentityFiles {
                cert: one.cert.clone(),
                key: files.put(name, text),
            };
            let error = server(&ServerConfig {
                identity,
                client_ca: None,
            })
            .unwrap_err();
            let mut shown = format!("{error} {error:?}");
            let mut next = error.source();
            while let Some(source) = next {
                shown.push_str(&source.to_string());
                next = source.source();
            }
            assert!(
                !shown.contains("c2VjcmV0")
                    && !shown.contains("secret")
                    && !shown.contains("99, 50, 86"),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_client_ca_without_certificates_is_refused() {
        let files = Files::new();
        let empty = files.put("empty.pem", "");
        let error = server(&ServerConfig {
            identity: files.identity("a.test"),
            client_ca: Some(empty),
        })
        .unwrap_err();
        assert!(matches!(error, TlsError::NoCertificate { .. }), "{error:?}");
    }
}
