//! Whether the files of a client's TLS have changed: connections that were made with the same ones
//! need not be made again.

use super::{config::ClientConfig, pem::read_file};
use aws_lc_rs::digest::{Context, SHA256};
use std::path::Path;

/// What the files of a client's TLS hold. A private key is one of them, so it is a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilesDigest([u8; 32]);

impl FilesDigest {
    /// For a client that never speaks TLS.
    pub(crate) const PLAIN: Self = Self([0; 32]);

    /// `None` where a file cannot be read. Make it before the files are read for use: then what
    /// changes in between differs the next time.
    pub(crate) fn of(config: &ClientConfig) -> Option<Self> {
        let mut digest = Context::new(&SHA256);
        let mut add = |content: &[u8]| {
            digest.update(&(content.len() as u64).to_be_bytes());
            digest.update(content);
        };
        match (&config.ca_cert, config.danger_skip_verify) {
            (_, true) => add(b"any"),
            (Some(path), false) => add(&read(path)?),
            (None, false) => {
                add(b"system");
                for certificate in rustls_native_certs::load_native_certs().certs {
                    add(&certificate);
                }
            }
        }
        if let Some(identity) = &config.identity {
            add(&read(&identity.cert)?);
            add(&read(&identity.key)?);
        }
        digest.finish().as_ref().try_into().ok().map(Self)
    }
}

fn read(path: &Path) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    read_file(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::IdentityFiles;

    #[test]
    fn it_differs_with_the_content_of_each_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["ca", "cert", "key"] {
            std::fs::write(path(name), name).unwrap();
        }
        let config = ClientConfig {
            ca_cert: Some(path("ca")),
            identity: Some(IdentityFiles {
                cert: path("cert"),
                key: path("key"),
            }),
            ..ClientConfig::default()
        };
        let first = FilesDigest::of(&config);
        assert!(first.is_some() && first == FilesDigest::of(&config));
        let mut seen = vec![first];
        for name in ["ca", "cert", "key"] {
            std::fs::write(path(name), "other").unwrap();
            let now = FilesDigest::of(&config);
            assert!(now.is_some() && !seen.contains(&now), "{name}");
            seen.push(now);
        }
        std::fs::remove_file(path("key")).unwrap();
        assert_eq!(FilesDigest::of(&config), None);
        let without = ClientConfig {
            identity: None,
            ..config
        };
        assert!(!seen.contains(&FilesDigest::of(&without)));
    }
}
