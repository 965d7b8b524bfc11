//! Certificates and keys from PEM files. The parser's message about a damaged file quotes lines of
//! it, so it is dropped.

use super::error::TlsError;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};
use std::path::Path;
use zeroize::Zeroizing;

/// All certificates of a file, in its order; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(path)?;
    let certificates = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(none) if none.is_empty() => Err(TlsError::NoCertificate {
            path: path.to_owned(),
        }),
        Ok(certificates) => Ok(certificates),
        Err(_quotes_the_file) => Err(TlsError::Damaged {
            path: path.to_owned(),
        }),
    }
}

/// The first private key of a file. Certificates in it are skipped, so that one file may hold both.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = read(path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let path = path.to_owned();
        if matches!(error, pem::Error::NoItemsFound) {
            TlsError::NoKey { path }
        } else {
            TlsError::Damaged { path }
        }
    })
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(path)
        .map(Zeroizing::new)
        .map_err(|source| TlsError::Read {
            path: path.to_owned(),
            source,
        })
}
