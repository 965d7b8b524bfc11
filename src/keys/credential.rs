//! Keys of the credentials: passwords, their salts and fingerprints.

use super::hkdf::{Hkdf, beginning};
use crate::{
    model::{Fingerprint, Username},
    secret::SecretKey,
};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

const LABEL: &[u8] = b"elastauth/v1";

pub(crate) struct CredentialKeys {
    hkdf: Hkdf,
    fingerprints: hmac::Key,
    cluster: Box<str>,
    /// Users in the cluster carry it. Not a secret.
    pub(crate) id: Box<str>,
}

impl CredentialKeys {
    pub(super) fn new(secret: &SecretKey, cluster: &str) -> Self {
        let hkdf = Hkdf::extract(LABEL, secret);
        let info = Pieces::of(&[b"fingerprint", cluster.as_bytes()]);
        let key_id = hkdf.expand(Pieces::of(&[b"key id"]).0);
        Self {
            fingerprints: hkdf.hmac_key(info.0),
            cluster: cluster.into(),
            // 48 bits tell the keys of one deployment apart, and say nothing about any of them.
            id: BASE64_URL_SAFE_NO_PAD
                .encode(beginning::<6>(&*key_id))
                .into(),
            hkdf,
        }
    }

    /// The 256 bits of this user's password in this period.
    pub(crate) fn password(&self, user: &Username, epoch: u64) -> Zeroizing<[u8; 32]> {
        self.of_period(b"password", user, epoch)
    }

    /// The salt of the password's hash. It is derived, so that a repeated write is the same write.
    pub(crate) fn salt(&self, user: &Username, epoch: u64) -> Zeroizing<[u8; 32]> {
        self.of_period(b"salt", user, epoch)
    }

    fn of_period(&self, purpose: &[u8], user: &Username, epoch: u64) -> Zeroizing<[u8; 32]> {
        let (cluster, user) = (self.cluster.as_bytes(), user.as_str().as_bytes());
        let info = Pieces::of(&[purpose, cluster, user, &epoch.to_be_bytes()]);
        self.hkdf.expand(info.0)
    }

    /// A keyed digest of these pieces.
    pub(crate) fn fingerprint(&self, pieces: &Pieces) -> Fingerprint {
        Fingerprint(beginning(
            hmac::sign(&self.fingerprints, &pieces.0).as_ref(),
        ))
    }
}

impl fmt::Debug for CredentialKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialKeys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Pieces with their lengths before them, so that no two lists give the same bytes.
pub(crate) struct Pieces(Vec<u8>);

impl Pieces {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    fn of(pieces: &[&[u8]]) -> Self {
        let mut all = Self::with_capacity(128);
        for bytes in pieces {
            all.add(bytes);
        }
        all
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        // Names and headers are far below 4 GiB.
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }
}
