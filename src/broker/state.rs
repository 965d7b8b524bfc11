//! What the hot path (answer from memory) and the cold path (make the cluster agree) share: the
//! keys, the password periods and what is remembered of each user.

use super::{
    derive::{self, Password},
    document::Document,
    order::Order,
    recheck_times,
    rotation::{Period, Rotation},
    uncertain::UncertainWrites,
};
use crate::{
    clock::{Clock, Timestamp},
    keys::{CredentialKeys, Keyring},
    ledger::Ledger,
    model::{Fingerprint, Username},
    roles::Entitled,
};
use std::{sync::Arc, time::Duration};

/// How long a check is trusted that a late write may have undone: at most one call a second for
/// each user with an uncertain write.
const UNCERTAIN_VALID_FOR: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct State {
    pub(super) clock: Clock,
    pub(super) keys: Arc<Keyring>,
    pub(super) rotation: Rotation,
    pub(super) ledger: Ledger,
    pub(super) uncertain: UncertainWrites,
    pub(super) order: Order,
    pub(super) expiration: Duration,
}

impl State {
    pub(super) fn period(&self, user: &Username) -> Period {
        self.rotation.period(user, self.clock.now())
    }

    pub(super) fn credential_keys(&self, period: Period) -> &CredentialKeys {
        &self.keys.of(period.key).credentials
    }

    pub(super) fn password(&self, user: &Username, period: Period) -> Password {
        Password::derive(self.credential_keys(period), user, period.epoch)
    }

    pub(super) fn fingerprint(&self, entitled: &Entitled, period: Period) -> Fingerprint {
        derive::fingerprint(
            self.credential_keys(period),
            entitled.identity(),
            entitled.roles(),
            period.epoch,
        )
    }

    /// What the user should be in this period.
    pub(super) fn document(&self, entitled: &Entitled, period: Period) -> Document {
        Document::new(
            entitled,
            self.fingerprint(entitled, period),
            period,
            &self.credential_keys(period).id,
        )
    }

    /// Whether what the cluster said about the user at `seen` is still trusted.
    pub(super) fn is_fresh(&self, user: &Username, seen: Timestamp, now: Timestamp) -> bool {
        let valid_for = if self.uncertain.affects(user, seen) {
            UNCERTAIN_VALID_FOR
        } else {
            recheck_times::valid_for(user, seen, self.expiration)
        };
        // An entry from the future (a clock set back) has no age and is not trusted.
        now.since(seen).is_some_and(|age| age < valid_for)
    }
}
