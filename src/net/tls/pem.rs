//! Certificates and keys from PEM files. The parser's message about a damaged file quotes lines of
//! it, so it is dropped.

use super::error::TlsError;
use rustix::fs::OFlags;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject as _};
use std::{
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};
use zeroize::Zeroizing;

/// The CAs of a whole system have 250 KB.
const MAX_BYTES: u64 = 16 << 20;

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
    read_file(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

/// A whole regular file. A pipe would hold up whoever reads it, and a reload has to read it again.
///
/// # Errors
/// When it cannot be read, is no regular file, or is too large.
pub(crate) fn read_file(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    // Without `NONBLOCK` the opening of a pipe waits for somebody who writes.
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        let why = "it is not a regular file (a folder, a pipe or a device)";
        return Err(io::Error::other(why));
    }
    if found.len() > MAX_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    // A buffer that grows leaves copies of a key in memory.
    let size = usize::try_from(found.len()).unwrap_or_default();
    let mut text = Zeroizing::new(Vec::with_capacity(size + 64));
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(text)
}
