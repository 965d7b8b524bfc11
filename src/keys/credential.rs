//! Keys of the credentials: passwords, their salts and fingerprints.

use super::hkdf::{Hkdf, beginning};
use crate::{
    model::{Fingerprint, Generation, Username},
    secret::SecretKey,
};
use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

const LABEL: &[u8] = b"elastauth/v2";

/// What a derived login follows from, besides the key and the cluster.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Login<'a> {
    pub(crate) kind: LoginKind,
    pub(crate) user: &'a Username,
    /// The provider that vouched for the user. Empty where that is not known.
    pub(crate) provider: &'a str,
    /// The provider's own id of the user. Empty where it has none.
    pub(crate) subject: &'a str,
    pub(crate) generation: Generation,
    pub(crate) epoch: u64,
    /// Where the login is bound to its roles.
    pub(crate) roles: Option<RolesDigest>,
}

/// Stands for a set of roles in what a login follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RolesDigest([u8; 32]);

impl RolesDigest {
    /// Of roles in their order, each once.
    pub(crate) fn of<T: AsRef<str>>(roles: impl Iterator<Item = T>) -> Self {
        let mut pieces = Pieces::with_capacity(128);
        for role in roles {
            pieces.add(role.as_ref().as_bytes());
        }
        let digest = digest::digest(&digest::SHA256, &pieces.0);
        Self(beginning(digest.as_ref()))
    }
}

/// Who gets a derived login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoginKind {
    /// The requests of its user.
    Granted,
    /// Nobody: a user who stays away has it in the cluster.
    Parked,
}

impl LoginKind {
    fn password(self, is_bound: bool) -> &'static [u8] {
        match (self, is_bound) {
            (Self::Granted, false) => b"password",
            (Self::Granted, true) => b"password of roles",
            (Self::Parked, false) => b"parked",
            (Self::Parked, true) => b"parked with roles",
        }
    }

    fn salt(self, is_bound: bool) -> &'static [u8] {
        match (self, is_bound) {
            (Self::Granted, false) => b"salt",
            (Self::Granted, true) => b"salt of roles",
            (Self::Parked, false) => b"parked salt",
            (Self::Parked, true) => b"parked salt with roles",
        }
    }
}

impl Login<'_> {
    /// The beginning of what its fingerprint covers.
    pub(crate) fn pieces(&self) -> Pieces {
        let mut pieces = Pieces::with_capacity(384);
        pieces.add(self.kind.password(self.roles.is_some()));
        self.add_to(&mut pieces);
        pieces
    }

    fn add_to(&self, pieces: &mut Pieces) {
        pieces.add(self.provider.as_bytes());
        pieces.add(self.subject.as_bytes());
        pieces.add(self.user.as_str().as_bytes());
        pieces.add(&self.generation.0.to_be_bytes());
        pieces.add(&self.epoch.to_be_bytes());
        if let Some(RolesDigest(digest)) = &self.roles {
            pieces.add(digest);
        }
    }
}

/// Tells with which key a user was written. Not a secret: 48 bits tell the keys of one deployment
/// apart, and say nothing about any of them.
pub(crate) fn key_id(secret: &SecretKey) -> String {
    id(&Hkdf::extract(LABEL, secret))
}

fn id(hkdf: &Hkdf) -> String {
    let id = hkdf.expand(Pieces::of(&[b"key id"]).0);
    BASE64_URL_SAFE_NO_PAD.encode(beginning::<6>(&*id))
}

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
        let id = id(&hkdf);
        Self {
            fingerprints: hkdf.hmac_key(info.0),
            cluster: cluster.into(),
            id: id.into(),
            hkdf,
        }
    }

    /// The 256 bits of the password.
    pub(crate) fn password(&self, login: &Login<'_>) -> Zeroizing<[u8; 32]> {
        self.of_login(login.kind.password(login.roles.is_some()), login)
    }

    /// The salt of the password's hash. It is derived, so that a repeated write is the same write.
    pub(crate) fn salt(&self, login: &Login<'_>) -> Zeroizing<[u8; 32]> {
        self.of_login(login.kind.salt(login.roles.is_some()), login)
    }

    fn of_login(&self, purpose: &[u8], login: &Login<'_>) -> Zeroizing<[u8; 32]> {
        let mut info = Pieces::with_capacity(256);
        info.add(purpose);
        info.add(self.cluster.as_bytes());
        login.add_to(&mut info);
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
