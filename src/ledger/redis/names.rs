//! Under which names this deployment stores values, and how it seals values and messages.

use super::outbox::{Action, OutboxEntry};
use crate::{
    clock::Timestamp,
    keys::{Keyring, StoreKeys},
    ledger::{
        message::{Event, Message, ReplicaId},
        seal::{self, InvalidSeal},
        types::{Fact, Kind, NO_FINGERPRINT, Target},
    },
    model::Username,
    secret::NoRandomness,
};
use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::sync::Arc;

pub(super) struct Names {
    keys: Arc<Keyring>,
    prefix: String,
    channel: String,
    replica: ReplicaId,
}

impl Names {
    pub(super) fn new(keys: Arc<Keyring>) -> Result<Self, NoRandomness> {
        let mut replica = ReplicaId::default();
        rand::fill(&mut replica).map_err(|_| NoRandomness)?;
        Ok(Self {
            prefix: format!("elastauth:{}:", keys.cluster()),
            channel: format!("elastauth:{}", keys.cluster()),
            keys,
            replica,
        })
    }

    pub(super) fn channel(&self) -> &str {
        &self.channel
    }

    pub(super) fn keyring(&self) -> &Keyring {
        &self.keys
    }

    pub(super) fn keys_of(&self, target: &Target) -> &StoreKeys {
        &self.keys.of(target.key).store
    }

    pub(super) fn all_keys(&self) -> impl Iterator<Item = &StoreKeys> {
        self.keys.all().map(|keys| &keys.store)
    }

    pub(super) fn of(&self, target: &Target) -> String {
        self.of_user(self.keys_of(target), &target.user)
    }

    fn of_user(&self, keys: &StoreKeys, user: &Username) -> String {
        let name = BASE64_URL_SAFE_NO_PAD.encode(keys.name(user));
        format!("{}{name}", self.prefix)
    }

    pub(super) fn value(&self, target: &Target, kind: Kind, at: Timestamp) -> Vec<u8> {
        seal::close_target(&self.keys, target, kind, at)
    }

    pub(super) fn open(&self, target: &Target, value: &[u8]) -> Result<Fact, InvalidSeal> {
        let keys = self.keys_of(target);
        seal::open(keys, &keys.name(&target.user), value).map_err(|invalid| {
            // Under the other key of this deployment, it should not be at this name.
            let is_own = seal::claimed_key(value).and_then(|id| self.keys.store_keys(id));
            if is_own.is_some() {
                InvalidSeal::Damaged
            } else {
                invalid
            }
        })
    }

    pub(super) fn is_own(&self, message: &Message) -> bool {
        message.from == self.replica
    }

    /// `None` when the system has no randomness.
    pub(super) fn message(&self, keys: &StoreKeys, event: Event) -> Option<Vec<u8>> {
        let from = self.replica;
        Message { from, event }.close(keys)
    }

    pub(super) fn entry(
        &self,
        target: &Target,
        action: Action,
        event: Event,
    ) -> Option<OutboxEntry> {
        Some(OutboxEntry {
            key: self.of(target),
            user: target.user.clone(),
            action,
            message: self.message(self.keys_of(target), event)?,
        })
    }

    /// Removes what is stored about the user, and contradicts whatever is remembered: it is
    /// reported late, perhaps instead of an older change, and a replica that remembers the latest
    /// fingerprint may have missed one in between.
    pub(super) fn forgetting(&self, keys: &StoreKeys, user: &Username) -> Option<OutboxEntry> {
        let changed = Event::Changed(user.clone(), NO_FINGERPRINT);
        Some(OutboxEntry {
            key: self.of_user(keys, user),
            user: user.clone(),
            action: Action::Forget,
            message: self.message(keys, changed)?,
        })
    }
}
