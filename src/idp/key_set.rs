//! A key set, whose entries are judged one by one.

use super::key::{Algorithm, PublicKey, UnusableKey};
use serde_json::Value;

/// Entries that are read. Providers publish two to ten keys; Keycloak with every algorithm
/// switched on about twenty.
const MAX_ENTRIES: usize = 100;
/// Keys that are tried for one token. More than one is tried only if several keys of a set have the
/// same name, or a token names none.
const MAX_TRIES: usize = 4;

/// The usable keys of one set; at least one.
#[derive(Debug)]
pub(crate) struct KeySet {
    keys: Vec<PublicKey>,
}

/// Why a document is not a key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    #[error("it is not JSON with a list of `keys`")]
    Shape,
    #[error("none of its keys can be used")]
    NoKey,
}

impl KeySet {
    /// Reads a set. Entries that cannot be used are skipped, each with a line in the log.
    ///
    /// # Errors
    /// When it is not a set, or no key in it can be used.
    pub(crate) fn parse(bytes: &[u8], rsa_unnamed: Algorithm) -> Result<Self, InvalidKeySet> {
        let document: Value = serde_json::from_slice(bytes).map_err(|_| InvalidKeySet::Shape)?;
        let entries = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(InvalidKeySet::Shape)?;
        let mut keys: Vec<PublicKey> = Vec::new();
        for (index, entry) in entries.iter().take(MAX_ENTRIES).enumerate() {
            match PublicKey::parse(entry, rsa_unnamed) {
                Ok(key) => keys.push(key),
                // Keycloak always has one for encryption.
                Err(UnusableKey::NotForSignatures) => {}
                Err(why) => tracing::debug!(index, %why, "an entry of the key set is skipped"),
            }
        }
        if keys.is_empty() {
            Err(InvalidKeySet::NoKey)
        } else {
            Ok(Self { keys })
        }
    }

    /// The keys that may have made a signature: of that name where the token gives one, and of that
    /// algorithm.
    pub(crate) fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a PublicKey> {
        let fits = move |key: &&PublicKey| {
            key.algorithm() == algorithm && kid.is_none_or(|kid| key.kid() == Some(kid))
        };
        self.keys.iter().filter(fits).take(MAX_TRIES)
    }

    /// Whether a key of that name is here, whatever its algorithm.
    #[must_use]
    pub(crate) fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid() == Some(kid))
    }

    /// Whether every key of `older` is still here.
    #[must_use]
    pub(crate) fn keeps_all_of(&self, older: &Self) -> bool {
        older
            .keys
            .iter()
            .all(|old| self.keys.iter().any(|key| key.is(old)))
    }

    /// How many keys it has.
    pub(crate) fn count(&self) -> usize {
        self.keys.len()
    }
}
