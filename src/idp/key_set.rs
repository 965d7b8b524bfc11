//! A key set, its entries judged one by one.

use super::key::{Algorithm, Key, OddKey};
use serde_json::Value;

/// Entries that are looked at. Providers publish two to ten keys; Keycloak with every algorithm
/// switched on about twenty.
const MAX_ENTRIES: usize = 100;
/// Keys that may be tried for one token. More than one is tried only where a set gives several keys
/// one name, or a token names none.
const MAX_TRIES: usize = 4;

/// The usable keys of one set; at least one.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why a document is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BadKeySet {
    #[error("it is not JSON with a list of `keys`")]
    Shape,
    #[error("none of its keys can be used")]
    NoKey,
}

impl KeySet {
    /// Reads a set. Odd entries are passed over, each with a line for those who look closely.
    ///
    /// # Errors
    /// When it is no set, or nothing in it can be used.
    pub fn parse(bytes: &[u8], rsa_unnamed: Algorithm) -> Result<Self, BadKeySet> {
        let document: Value = serde_json::from_slice(bytes).map_err(|_| BadKeySet::Shape)?;
        let entries = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(BadKeySet::Shape)?;
        let mut keys: Vec<Key> = Vec::new();
        for (place, entry) in entries.iter().take(MAX_ENTRIES).enumerate() {
            match Key::parse(entry, rsa_unnamed) {
                Ok(key) => keys.push(key),
                // Keycloak always has one for encryption.
                Err(OddKey::NotForSignatures) => {}
                Err(why) => tracing::debug!(place, %why, "an entry of the key set is passed over"),
            }
        }
        if keys.is_empty() {
            Err(BadKeySet::NoKey)
        } else {
            Ok(Self { keys })
        }
    }

    /// The keys that may have made a signature: of that name where the token gives one, and of that
    /// algorithm.
    pub fn candidates<'a>(
        &'a self,
        kid: Option<&'a str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &'a Key> {
        let fits = move |key: &&Key| {
            key.algorithm() == algorithm && kid.is_none_or(|kid| key.kid() == Some(kid))
        };
        self.keys.iter().filter(fits).take(MAX_TRIES)
    }

    /// Whether a key of that name is here, whatever its algorithm.
    #[must_use]
    pub fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid() == Some(kid))
    }

    /// Whether every key of `older` is still here.
    #[must_use]
    pub fn keeps_all_of(&self, older: &Self) -> bool {
        older
            .keys
            .iter()
            .all(|old| self.keys.iter().any(|key| key.is(old)))
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never: a set has at least one key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
