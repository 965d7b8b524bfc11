//! CA certificates that are parsed once for all connections that trust the same ones.
//!
//! Parsed, the certificates of a system take some 100 KB, and a program may have hundreds of
//! clusters that trust them. Files are read for each connection pool all the same: one that has
//! changed counts from the next reading on.

use super::{error::TlsError, known::KnownCertificates, pem};
use aws_lc_rs::digest::{Context, SHA256};
use rustls::{
    RootCertStore, client::WebPkiServerVerifier, crypto::CryptoProvider, pki_types::CertificateDer,
};
use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, Weak},
};

/// What was parsed and is in use. Clones are the same.
#[derive(Clone, Default)]
pub struct TrustedCas {
    of_system: Parsed<RootCertStore>,
    of_files: Parsed<KnownCertificates>,
}

/// By the certificates.
struct Parsed<T>(Arc<Mutex<HashMap<[u8; 32], Weak<T>>>>);

impl TrustedCas {
    /// The system's certificates. Those that cannot be parsed are skipped: the operator has not
    /// chosen them.
    pub(super) fn of_system(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let found = rustls_native_certs::load_native_certs();
        let (certificates, errors) = (found.certs, found.errors);
        self.of_system.or_parse(&certificates.clone(), || {
            let mut roots = RootCertStore::empty();
            let (_used, _passed_over) = roots.add_parsable_certificates(certificates);
            if roots.is_empty() {
                Err(TlsError::NoSystemCa {
                    source: errors.into_iter().next(),
                })
            } else {
                Ok(roots)
            }
        })
    }

    /// Trusts what the CAs of a file have signed, and the certificates of the file themselves.
    pub(super) fn of_file(
        &self,
        path: &Path,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<KnownCertificates>, TlsError> {
        let known = pem::certificates(path)?;
        self.of_files.or_parse(&known.clone(), || {
            let roots = Arc::new(roots(path, known.iter().cloned())?);
            let usual =
                WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(provider)).build();
            let usual = usual.map_err(|source| TlsError::ServerCa {
                path: path.to_owned(),
                source,
            })?;
            Ok(KnownCertificates { usual, known })
        })
    }

    /// Whether both share what they parse.
    #[cfg(test)]
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.of_system.0, &other.of_system.0)
    }
}

impl fmt::Debug for TrustedCas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TrustedCas")
    }
}

/// Certificates that a file has. One that cannot be used is an error: the operator has chosen the
/// file.
pub(super) fn roots(
    path: &Path,
    certificates: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(|source| TlsError::Ca {
            path: path.to_owned(),
            source,
        })?;
    }
    Ok(roots)
}

impl<T> Parsed<T> {
    fn or_parse(
        &self,
        certificates: &[CertificateDer<'_>],
        parse: impl FnOnce() -> Result<T, TlsError>,
    ) -> Result<Arc<T>, TlsError> {
        let digest = digest(certificates);
        // Each change of the table is one step: a panic elsewhere leaves it whole.
        let mut parsed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parsed.get(&digest).and_then(Weak::upgrade) {
            return Ok(known);
        }
        let new = Arc::new(parse()?);
        // As many stay as are in use.
        parsed.retain(|_, one| one.strong_count() > 0);
        parsed.insert(digest, Arc::downgrade(&new));
        Ok(new)
    }
}

impl<T> Clone for Parsed<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Parsed<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

fn digest(certificates: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    for certificate in certificates {
        digest.update(&(certificate.len() as u64).to_be_bytes());
        digest.update(certificate);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::crypto::aws_lc_rs;

    #[test]
    fn equal_certificates_are_parsed_once_as_long_as_somebody_uses_them() {
        let folder = tempfile::tempdir().unwrap();
        let [one, copy, other] = ["one", "copy", "other"].map(|name| folder.path().join(name));
        let pem = || {
            let made = rcgen::generate_simple_self_signed(["ca.test".to_owned()]);
            made.unwrap().cert.pem()
        };
        let text = pem();
        std::fs::write(&one, &text).unwrap();
        std::fs::write(&copy, &text).unwrap();
        std::fs::write(&other, pem()).unwrap();
        let (cas, provider) = (
            TrustedCas::default(),
            Arc::new(aws_lc_rs::default_provider()),
        );
        let of = |cas: &TrustedCas, path: &Path| cas.of_file(path, &provider).unwrap();

        let first = of(&cas, &one);
        assert!(Arc::ptr_eq(&first, &of(&cas.clone(), &copy)));
        let second = of(&cas, &other);
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(!Arc::ptr_eq(&first, &of(&TrustedCas::default(), &one)));

        // What is in the file counts, and not that it was read before.
        std::fs::write(&one, pem()).unwrap();
        let third = of(&cas, &one);
        assert!(!Arc::ptr_eq(&first, &third));
        drop((first, second));
        let _fourth = of(&cas, &copy);
        assert_eq!(cas.of_files.0.lock().unwrap().len(), 2);
    }

    #[test]
    fn the_certificates_of_the_system_are_parsed_once() {
        let cas = TrustedCas::default();
        // A machine may have none.
        if let Ok(first) = cas.of_system() {
            assert!(Arc::ptr_eq(&first, &cas.of_system().unwrap()));
        }
    }
}
