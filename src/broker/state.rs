//! What the hot path (answer from memory) and the cold path (make the cluster agree) share: the
//! keys, the password periods and what is remembered of each user.

use super::{
    derive::{self, Password},
    details::Details,
    document::Document,
    last_seen::LastSeen,
    order::Order,
    product::{PerProduct, Product},
    recheck_times,
    rotation::{Period, Rotation},
    slots::{Overlap, Slots},
    uncertain::UncertainWrites,
};
use crate::{
    clock::{Clock, Timestamp},
    cluster::{Account, Marker, SecurityApi},
    keys::{CredentialKeys, Keyring, Login, Slot},
    ledger::{Entry, Ledger},
    model::{Fingerprint, Generation, Role, Username},
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
    pub(super) cluster: SecurityApi,
    pub(super) rotations: PerProduct<Rotation>,
    pub(super) last_seen: PerProduct<LastSeen>,
    pub(super) ledger: Ledger,
    pub(super) uncertain: UncertainWrites,
    pub(super) order: Order,
    pub(super) details: Details,
    pub(super) expiration: Duration,
    /// When users who stay away are parked, where they are.
    pub(super) parking: Option<PerProduct<Slots>>,
}

impl State {
    pub(super) fn period(&self, user: &Username) -> Period {
        self.period_at(user, self.clock.now())
    }

    /// Whatever is computed for a period is computed for its kind of cluster.
    pub(super) fn period_at(&self, user: &Username, now: Timestamp) -> Period {
        self.rotations.of(self.product()).period(user, now)
    }

    pub(super) fn product(&self) -> Product {
        Product::of(&self.cluster)
    }

    /// Whether a write for this period may still begin. One that was computed before the cluster
    /// had said what it is may not.
    pub(super) fn may_write(&self, period: Period) -> bool {
        let rotation = self.rotations.of(period.product);
        period.product == self.product() && rotation.may_write(period, self.clock.now())
    }

    /// When a write for this period may begin at the latest.
    pub(super) fn latest_write(&self, period: Period) -> Timestamp {
        self.rotations.of(period.product).latest_write(period)
    }

    /// How long to wait where no write for this period may begin.
    pub(super) fn rest(&self, period: Period) -> Duration {
        if period.product == self.product() {
            let rotation = self.rotations.of(period.product);
            rotation.rest(period, self.clock.now())
        } else {
            Duration::ZERO
        }
    }

    /// When users are parked, on this kind of cluster.
    pub(super) fn slots(&self, product: Product) -> Option<Slots> {
        self.parking.as_ref().map(|slots| *slots.of(product))
    }

    /// The generation of the user's login, as far as this process knows. `entry` is what it
    /// remembers of the user.
    pub(super) fn generation(&self, user: &Username, entry: Option<&Entry>) -> Generation {
        match entry {
            Some(Entry::Present { generation, .. }) => *generation,
            Some(Entry::WritePending) | None => self.ledger.generation(user),
        }
    }

    /// The generation of an account that this deployment has written. What another one has noted
    /// says nothing about ours.
    pub(super) fn generation_in(&self, found: &Account) -> Generation {
        let marker = self.our_marker(found);
        marker.map_or_else(Generation::default, |marker| marker.generation)
    }

    /// What this deployment has noted in an account, if it wrote it.
    pub(super) fn our_marker<'a>(&self, found: &'a Account) -> Option<&'a Marker> {
        found.origin.marker().filter(|marker| {
            let key_id = marker.key_id.as_deref();
            key_id.is_none_or(|id| self.keys.knows(id))
        })
    }

    pub(super) fn credential_keys(&self, key: Slot) -> &CredentialKeys {
        &self.keys.of(key).credentials
    }

    pub(super) fn password(&self, login: &Login<'_>, key: Slot) -> Password {
        Password::derive(self.credential_keys(key), login)
    }

    /// Of the user as an entitled identity's requests need it.
    pub(super) fn fingerprint(
        &self,
        entitled: &Entitled,
        generation: Generation,
        period: Period,
    ) -> Fingerprint {
        let login = derive::granted(entitled, generation, period);
        let roles = entitled.roles().iter().map(Role::as_str);
        derive::fingerprint(self.credential_keys(period.key), &login, roles)
    }

    /// What the user should be in this period.
    pub(super) fn document(
        &self,
        entitled: &Entitled,
        generation: Generation,
        period: Period,
    ) -> Document {
        let fingerprint = self.fingerprint(entitled, generation, period);
        let key_id = &self.credential_keys(period.key).id;
        let seen = self.last_seen.of(period.product);
        let seen = seen.note(period, self.clock.now());
        Document::new(entitled, fingerprint, generation, period, key_id, seen)
    }

    /// Whether this process has seen the user in this period.
    pub(super) fn is_known(&self, user: &Username, period: Period) -> bool {
        match self.ledger.recall(user, self.clock.now()) {
            Some(Entry::Present { seen, .. }) => period.has_begun_at(seen),
            Some(Entry::WritePending) | None => false,
        }
    }

    /// The user has come back. Another replica may have read them before, and park them now, and
    /// nobody would report it. Then the cluster is asked about them again until that is over.
    pub(super) fn beware_of_parking(&self, user: &Username, period: Period) -> Option<Overlap> {
        let slots = self.slots(period.product);
        let slots = slots.filter(|_| !self.ledger.hears_others())?;
        let (rotation, now) = (self.rotations.of(period.product), self.clock.now());
        let overlap = slots.overlap(rotation, user, period, now)?;
        self.uncertain.record_until(user, overlap.until, now);
        Some(overlap)
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
