//! Everything that is derived from `secret_key`, and from the key before it during a key change.
//!
//! Each secret gives two families of keys, with a label of their own: what a store sees can never
//! coincide with a password. Every derived byte is fixed: an upgrade that changed one would rewrite
//! every user, or forget every stored fact (`fixed_vectors` in `broker::derive` and
//! `ledger::seal`).

mod credential;
mod hkdf;
mod store;

pub(crate) use credential::{CredentialKeys, Login, LoginKind, RolesDigest, key_id};
pub(crate) use store::{StoreKeyId, StoreKeys, StoreName};

use crate::secret::SecretKey;

/// One of the two keys of a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Slot {
    /// The present key.
    #[default]
    Current,
    /// The key that is being replaced.
    Previous,
}

/// The keys of one deployment, for one cluster.
#[derive(Debug)]
pub struct Keyring {
    pub(crate) cluster: Box<str>,
    current: Keys,
    previous: Option<Keys>,
}

/// What follows from one secret.
#[derive(Debug)]
pub(crate) struct Keys {
    pub(crate) credentials: CredentialKeys,
    pub(crate) store: StoreKeys,
}

impl Keyring {
    /// Derives all keys. `cluster` is part of every derivation, so that two clusters never share a
    /// password.
    #[must_use]
    pub fn new(current: &SecretKey, previous: Option<&SecretKey>, cluster: &str) -> Self {
        let keys = |secret| Keys {
            credentials: CredentialKeys::new(secret, cluster),
            store: StoreKeys::new(secret, cluster),
        };
        Self {
            cluster: cluster.into(),
            current: keys(current),
            previous: previous.map(keys),
        }
    }

    /// Without a previous key there is only the current one, and the rotation asks for no other.
    pub(crate) fn of(&self, slot: Slot) -> &Keys {
        match (slot, &self.previous) {
            (Slot::Previous, Some(previous)) => previous,
            (Slot::Previous, None) | (Slot::Current, _) => &self.current,
        }
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Keys> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
    }

    /// Whether a user that carries this key id was written by this deployment.
    pub(crate) fn knows(&self, key_id: &str) -> bool {
        self.all().any(|keys| *keys.credentials.id == *key_id)
    }

    /// The keys that made a stored value or a message, if they are this deployment's.
    pub(crate) fn store_keys(&self, id: StoreKeyId) -> Option<&StoreKeys> {
        let mut stores = self.all().map(|keys| &keys.store);
        stores.find(|store| store.id == id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(first: char) -> SecretKey {
        let rest = "3c9d1e07b8a64f52e1d0c3b4a59687786950413f2e1d0c9b8a7968574635241";
        SecretKey::parse(&format!("{first}{rest}")).unwrap()
    }

    #[test]
    fn a_ring_gives_the_key_of_a_slot_and_knows_both() {
        let (one, two) = (secret('1'), secret('2'));
        let both = Keyring::new(&one, Some(&two), "default");
        let [current, previous] =
            [Slot::Current, Slot::Previous].map(|slot| &*both.of(slot).credentials.id);
        assert_ne!(current, previous);
        assert!(both.knows(current) && both.knows(previous) && !both.knows("other"));
        let alone = Keyring::new(&one, None, "default");
        assert_eq!(&*alone.of(Slot::Previous).credentials.id, current);
        assert!(alone.knows(current) && !alone.knows(previous));
        let id = |slot| both.of(slot).store.id;
        assert!(alone.store_keys(id(Slot::Current)).is_some());
        assert!(alone.store_keys(id(Slot::Previous)).is_none());
        assert!(both.store_keys(id(Slot::Previous)).is_some());
    }
}
