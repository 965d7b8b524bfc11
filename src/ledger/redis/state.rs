//! What the tasks of the store share.

use super::{
    health::{Health, Part},
    invalid::InvalidSeals,
    link::{AskError, Link},
    names::Names,
    outbox::{Outbox, OutboxEntry},
    scripts::Scripts,
};
use crate::{
    clock::{Clock, Timestamp},
    keys::StoreKeys,
    ledger::{
        memory::Memory,
        seal::{self, InvalidSeal},
        types::{Fact, Kind, StoreState, Target},
        update::Update,
    },
    model::{Fingerprint, Username},
    telemetry::clocks::ClockCheck,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Notify;

/// By how much another replica's clock may be ahead for its report to count: the most that
/// `credentials.grace` can be. Beyond it something is wrong, and is reported as that.
const AHEAD: Duration = Duration::from_millis(1_500);

pub(super) struct State {
    pub(super) link: Link,
    pub(super) health: Arc<Health>,
    pub(super) names: Names,
    pub(super) scripts: Scripts,
    pub(super) memory: Arc<Memory>,
    pub(super) clock: Clock,
    pub(super) clocks: ClockCheck,
    pub(super) outbox: Outbox,
    pub(super) invalid: InvalidSeals,
    /// How long Redis keeps a fact: twice as long as it is used, so that it is still stored when
    /// the next one replaces it. Whether it is used, our own clock decides.
    pub(super) kept_for: Duration,
    /// The subscription has begun: a heartbeat proves it.
    pub(super) heartbeat_due: Notify,
    /// What was stored before may have missed a change.
    outage_ended: AtomicU64,
}

impl State {
    pub(super) fn new(
        link: Link,
        health: Arc<Health>,
        names: Names,
        expiration: Duration,
        memory: Arc<Memory>,
        clock: Clock,
        clocks: ClockCheck,
    ) -> Self {
        Self {
            link,
            health,
            names,
            scripts: Scripts::new(),
            memory,
            clock,
            clocks,
            outbox: Outbox::default(),
            invalid: InvalidSeals::default(),
            kept_for: expiration.saturating_mul(2),
            heartbeat_due: Notify::new(),
            outage_ended: AtomicU64::new(0),
        }
    }

    pub(super) fn outage_ended(&self, now: Timestamp) {
        self.outage_ended.store(now.0, Ordering::Release);
    }

    fn is_before_outage(&self, at: Timestamp) -> bool {
        at.0 < self.outage_ended.load(Ordering::Acquire)
    }

    /// What a stored value says, if it can be used. An invalid one is reported.
    pub(super) fn open(&self, target: &Target, value: &[u8]) -> Option<Fact> {
        match self.names.open(target, value) {
            // One of before an outage may have missed its end.
            Ok(fact) if fact.kind == Kind::Present && self.is_before_outage(fact.at) => None,
            Ok(fact) => Some(fact),
            Err(invalid) => {
                self.found_invalid(invalid);
                None
            }
        }
    }

    pub(super) fn found_invalid(&self, invalid: InvalidSeal) {
        self.invalid.found(invalid, self.clock.now(), &self.health);
    }

    /// Another replica has stored what the cluster has just confirmed.
    pub(super) fn confirmed_elsewhere(
        &self,
        user: &Username,
        fingerprint: Fingerprint,
        seen: Timestamp,
    ) {
        if !self.is_before_outage(seen) && seen <= self.clock.now().after(AHEAD) {
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
            (Some(fact), _) if is_stored => self.memory.is_stored(user, fact.fingerprint, fact.at),
            (_, Some(fact)) => self.memory.is_not_stored(user, fact.fingerprint, fact.at),
            _ => {}
        }
    }

    pub(super) fn failed(&self, part: Part, error: &AskError) {
        // The link reports itself that it is down.
        if let AskError::Refused(why) = error {
            self.health.set(part, Some(*why));
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

    pub(super) fn forget<'a>(&self, keys: impl Iterator<Item = &'a StoreKeys>, user: &Username) {
        for entry in keys.filter_map(|keys| self.names.forgetting(keys, user)) {
            self.put(entry);
        }
    }
}
