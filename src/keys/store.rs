//! Keys of what a store holds and of what replicas tell each other through it.

use super::hkdf::{Hkdf, beginning};
use crate::{model::Username, secret::SecretKey};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    error::Unspecified,
    hmac,
};
use std::fmt;

const LABEL: &[u8] = b"elastauth/ledger/v1";
const NONCE: usize = 12;

/// Tells with which key a value was made. Not a secret.
pub(crate) type StoreKeyId = [u8; 6];
/// The name under which a user's value is stored: a keyed hash, so that a store learns no names.
pub(crate) type StoreName = [u8; 16];

pub(crate) struct StoreKeys {
    pub(crate) id: StoreKeyId,
    names: hmac::Key,
    facts: hmac::Key,
    messages: RandomizedNonceKey,
}

impl StoreKeys {
    pub(super) fn new(secret: &SecretKey, cluster: &str) -> Self {
        let hkdf = Hkdf::extract(LABEL, secret);
        // The purposes are constants and none is the beginning of another one: what follows is the
        // cluster.
        let info = |purpose: &[u8]| [purpose, b"/", cluster.as_bytes()].concat();
        Self {
            id: beginning(&*hkdf.expand(info(b"key id"))),
            names: hkdf.hmac_key(info(b"names")),
            facts: hkdf.hmac_key(info(b"facts")),
            messages: RandomizedNonceKey::new(&AES_256_GCM, &*hkdf.expand(info(b"letters")))
                .unwrap_or_else(|_| unreachable!("the key has the length of the algorithm's")),
        }
    }

    pub(crate) fn name(&self, user: &Username) -> StoreName {
        beginning(hmac::sign(&self.names, user.as_str().as_bytes()).as_ref())
    }

    pub(crate) fn sign_fact(&self, fact: &[u8]) -> hmac::Tag {
        hmac::sign(&self.facts, fact)
    }

    pub(crate) fn verify_fact(&self, fact: &[u8], tag: &[u8]) -> Result<(), Unspecified> {
        hmac::verify(&self.facts, fact, tag)
    }

    /// Key id, nonce, and the text under AES-256-GCM; `None` when the system has no randomness.
    pub(crate) fn seal_message(&self, mut text: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self
            .messages
            .seal_in_place_append_tag(Aad::empty(), &mut text)
            .ok()?;
        Some([&self.id, nonce.as_ref().as_slice(), &text].concat())
    }

    /// The text of a message, without the key id before it.
    pub(crate) fn open_message(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut bytes = sealed.to_vec();
        let text = self
            .messages
            .open_in_place(nonce, Aad::empty(), &mut bytes)
            .ok()?;
        let length = text.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreKeys")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
