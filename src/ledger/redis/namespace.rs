//! Under which names this deployment stores values, and its messages on its own channel.

use super::outbox::{Action, OutboxEntry};
use crate::{
    keys::StoreKeys,
    ledger::{
        message::{Event, ReplicaId},
        types::NO_FINGERPRINT,
    },
    model::Username,
    secret::NoRandomness,
};
use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};

pub(super) struct Namespace {
    pub(super) channel: String,
    pub(super) replica: ReplicaId,
}

impl Namespace {
    pub(super) fn new(cluster: &str) -> Result<Self, NoRandomness> {
        let mut replica = ReplicaId::default();
        rand::fill(&mut replica).map_err(|_| NoRandomness)?;
        Ok(Self {
            channel: format!("elastauth:{cluster}"),
            replica,
        })
    }

    pub(super) fn name(&self, keys: &StoreKeys, user: &Username) -> String {
        let name = BASE64_URL_SAFE_NO_PAD.encode(keys.name(user));
        format!("{}:{name}", self.channel)
    }

    pub(super) fn entry(
        &self,
        keys: &StoreKeys,
        user: &Username,
        action: Action,
        event: Event,
    ) -> OutboxEntry {
        OutboxEntry {
            key: self.name(keys, user),
            user: user.clone(),
            action,
            keys: keys.id,
            event,
        }
    }

    /// Removes what is stored about the user, and contradicts whatever is remembered: it is
    /// reported late, perhaps instead of an older change, and a replica that remembers the latest
    /// fingerprint may have missed one in between.
    pub(super) fn forgetting(&self, keys: &StoreKeys, user: &Username) -> OutboxEntry {
        let changed = Event::Changed(user.clone(), NO_FINGERPRINT);
        self.entry(keys, user, Action::Forget, changed)
    }
}
