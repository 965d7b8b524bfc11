//! What the tasks of the store share.

use super::{
    health::{Health, Part},
    link::{AskError, Link},
    namespace::Namespace,
    numbers::{Number, Numbers},
    outbox::{Outbox, OutboxEntry},
};
use crate::{
    clock::Timestamp,
    keys::{Slot, StoreKeys},
    ledger::{
        context::LedgerContext,
        memory::Memory,
        message::{Event, Message},
        seal::{self, InvalidSeal},
        types::{Fact, Kind, StoreState, Target},
        update::Update,
    },
    model::{Fingerprint, Username},
    rate::Limiter,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;
use tracing::warn;

/// By how much another replica's clock may be ahead for its report to count: the most that
/// `credentials.grace` can be. Beyond it something is wrong, and is reported as that.
const AHEAD: Duration = Duration::from_millis(1_500);
/// For how long a replica with another key is reported after its last sign: its heartbeats come
/// every two seconds.
const FOREIGN_REPORTED_FOR: Duration = Duration::from_secs(30);

/// The store.
pub(crate) struct Redis {
    pub(super) context: LedgerContext,
    pub(super) link: Link,
    pub(super) health: Arc<Health>,
    pub(super) namespace: Namespace,
    pub(super) memory: Arc<Memory>,
    pub(super) outbox: Outbox,
    pub(super) numbers: Numbers,
    /// How often a message that came again, and a lost one, are logged.
    pub(super) replays: Limiter,
    pub(super) losses: Limiter,
    /// How long Redis keeps a fact: twice as long as it is used, so that it is still stored when
    /// the next one replaces it. Whether it is used, our own clock decides.
    pub(super) kept_for: Duration,
    /// The subscription has begun: a heartbeat proves it.
    pub(super) heartbeat_due: Notify,
    /// What was stored before may have missed a change.
    pub(super) outage_ended: AtomicU64,
    /// When something made with another key was last seen.
    pub(super) foreign_at: AtomicU64,
    pub(super) has_logged_damage: AtomicBool,
}

impl Redis {
    fn is_before_outage(&self, at: Timestamp) -> bool {
        at.0 < self.outage_ended.load(Ordering::Acquire)
    }

    pub(super) fn keys(&self, target: &Target) -> &StoreKeys {
        &self.context.keys.of(target.key).store
    }

    pub(super) fn value(&self, target: &Target, kind: Kind, at: Timestamp) -> Vec<u8> {
        seal::seal_target(&self.context.keys, target, kind, at)
    }

    /// A message with its number, closed. It is sent once: each try is a message of its own, so
    /// that one that comes again is a copy that somebody made.
    pub(super) fn message(
        &self,
        keys: &StoreKeys,
        event: Event,
    ) -> Result<(Vec<u8>, Number<'_>), AskError> {
        let number = self.numbers.next(event.is_change());
        let message = Message {
            from: self.namespace.replica,
            number: number.value(),
            event,
        };
        let closed = message.close(keys);
        let closed = closed.ok_or(AskError::Refused("the system has no randomness"))?;
        Ok((closed, number))
    }

    pub(super) fn entry_message(
        &self,
        entry: &OutboxEntry,
    ) -> Result<(Vec<u8>, Number<'_>), AskError> {
        let ring = &self.context.keys;
        let keys = ring.store_keys(entry.keys);
        let keys = keys.unwrap_or(&ring.of(Slot::Current).store);
        self.message(keys, entry.event.clone())
    }

    /// What a stored value says, if it can be used. An invalid one is reported.
    pub(super) fn open(&self, target: &Target, value: &[u8]) -> Option<Fact> {
        let name = self.keys(target).name(&target.user);
        match seal::open(&self.context.keys, &name, value) {
            // One of before an outage may have missed its end.
            Ok(fact) if fact.kind == Kind::Present && self.is_before_outage(fact.at) => None,
            Ok(fact) => Some(fact),
            Err(invalid) => {
                self.found_invalid(invalid);
                None
            }
        }
    }

    /// A value or a message has an invalid seal: logged once. A replica with another key is
    /// reported in readiness for as long as it gives signs.
    pub(super) fn found_invalid(&self, invalid: InvalidSeal) {
        match invalid {
            InvalidSeal::ForeignKey => {
                let now = self.context.clock.now();
                let last = self.foreign_at.swap(now.0, Ordering::Relaxed);
                self.health.set(
                    Part::Keys,
                    Some("replicas with another `secret_key` use the same cluster name"),
                );
                if last == 0 {
                    warn!(
                        "Redis holds facts of an elastauth with another `secret_key` for the same \
                         cluster name; they are ignored. Replicas of one cluster need one key, two \
                         clusters need two names (`elasticsearch.cluster_name`)"
                    );
                }
            }
            InvalidSeal::Damaged => {
                if !self.has_logged_damage.swap(true, Ordering::Relaxed) {
                    warn!(
                        "Redis holds a value that no elastauth has written, or that was changed; \
                         it is ignored"
                    );
                }
            }
        }
    }

    /// A replica with another key that is gone is reported no more.
    pub(super) fn expire_foreign(&self) {
        let last = Timestamp(self.foreign_at.load(Ordering::Relaxed));
        let age = self.context.clock.now().since(last);
        if age.is_none_or(|age| age > FOREIGN_REPORTED_FOR) {
            self.health.set(Part::Keys, None);
        }
    }

    /// Another replica has stored what the cluster has just confirmed.
    pub(super) fn confirmed_elsewhere(
        &self,
        user: &Username,
        fingerprint: Fingerprint,
        seen: Timestamp,
    ) {
        if !self.is_before_outage(seen) && seen <= self.context.clock.now().after(AHEAD) {
            self.memory.confirmed_elsewhere(user, fingerprint, seen);
        }
    }

    /// Whether another replica has stored the same since this update began.
    pub(super) fn was_confirmed_meanwhile(&self, update: &Update) -> bool {
        let target = &update.target;
        let now = self.memory.stored(&target.user, target.fingerprint);
        matches!(now, StoreState::At(_)) && now != update.begun.stored
    }

    /// Redis has answered whether the value is stored. Both values are our own, or were proven when
    /// they were read.
    pub(super) fn stored(&self, user: &Username, instead_of: &[u8], value: &[u8], is_stored: bool) {
        match (seal::claimed(value), seal::claimed(instead_of)) {
            (Some(fact), _) if is_stored => {
                self.memory.note_stored(user, fact.fingerprint, fact.at);
            }
            (_, Some(fact)) => self.memory.note_not_stored(user, fact.fingerprint, fact.at),
            _ => {}
        }
    }

    pub(super) fn failed(&self, part: Part, error: &AskError) {
        // The link reports itself that it is down.
        if let AskError::Refused(why) = error {
            self.health.set(part, Some(why));
        }
    }

    pub(super) fn put(&self, entry: OutboxEntry) {
        if !self.outbox.put(entry) {
            self.health.set(
                Part::Outbox,
                Some("changes were lost while they could not be reported"),
            );
        }
    }

    pub(super) fn forget_under(&self, keys: &StoreKeys, user: &Username) {
        self.put(self.namespace.forgetting(keys, user));
    }
}
