//! The memory cache: what this process knows of each user, and which updates are in flight.
//!
//! The rules under its one lock:
//! - What another replica reports about a user removes an entry with another fingerprint, and is
//!   noted at the update in flight, so that the update does not bring it back.
//! - An update keeps its result only if nothing has contradicted it since it began.
//! - A report that a user is unchanged makes no entry, revives none and ends no pending write: it
//!   prolongs what is there.

mod subscription;

pub(super) use subscription::Phase;

use super::types::{Entry, StoreState, Target, lock};
use crate::{
    clock::Timestamp,
    model::{Fingerprint, Generation, Username},
};
use quick_cache::sync::Cache;
use std::{collections::HashMap, sync::Mutex, time::Duration};
use subscription::Subscription;

/// How long an entry is used at most while changes by other replicas may be missed. Short against
/// the life of a group membership, and long enough to spare the cluster most calls. Each user has a
/// share of their own between half of it and all of it: when Redis fails, not everybody is asked
/// about at once.
const USED_UNSUBSCRIBED: Duration = Duration::from_secs(10);
/// Users with a revoked login who are remembered as such. For others their metadata in the cluster
/// has to do.
const REVOKED: usize = 10_000;

#[derive(Debug)]
pub(super) struct Memory {
    entries: Cache<Username, Cached>,
    /// The generations above 0. They outlive the entries: a user who is deleted and comes back must
    /// not get a revoked login.
    generations: Cache<Username, Generation>,
    in_flight: Mutex<InFlight>,
    pub(super) subscription: Subscription,
}

#[derive(Debug, Clone, Copy)]
struct Cached {
    entry: Entry,
    /// When it came here.
    at: Timestamp,
    /// The phase in which every change of it was received; [`Phase::UNSUBSCRIBED`] where one may
    /// have been missed, or where another replica's write is known to be pending.
    phase: Phase,
    stored: StoreState,
}

/// The updates in flight. Their number is bounded by the broker, and so is this.
#[derive(Debug, Default)]
struct InFlight {
    generations: u64,
    updates: HashMap<Username, InFlightUpdate>,
}

/// What other replicas have reported about the user of an update since it began.
#[derive(Debug)]
struct InFlightUpdate {
    generation: u64,
    fingerprint: Fingerprint,
    contradicted: bool,
    /// Another replica has begun or ended a write, of whatever fingerprint.
    written_elsewhere: bool,
}

/// What was known when an update began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    generation: u64,
    /// A change may have been missed if it ends in another phase.
    phase: Phase,
    pub(super) stored: StoreState,
}

/// What an update has learnt.
#[derive(Debug)]
pub(super) struct Learnt {
    pub(super) entry: Entry,
    pub(super) at: Timestamp,
    pub(super) may_be_undone: bool,
    /// What is stored now; `None` where it stays as it is known.
    pub(super) stored: Option<StoreState>,
}

impl InFlight {
    fn of(&self, user: &Username, generation: u64) -> Option<&InFlightUpdate> {
        let record = self.updates.get(user)?;
        (record.generation == generation).then_some(record)
    }
}

impl Cached {
    /// What may be used: a check by another replica counts from when our own clock has reached its
    /// time.
    fn as_of(&self, now: Timestamp) -> Entry {
        match (self.entry, self.stored) {
            (
                Entry::Present {
                    fingerprint,
                    generation,
                    seen,
                },
                StoreState::At(reported),
            ) if reported > seen && reported <= now => Entry::Present {
                fingerprint,
                generation,
                seen: reported,
            },
            (entry, _) => entry,
        }
    }

    fn is_present_with(&self, wanted: Fingerprint) -> bool {
        matches!(self.entry, Entry::Present { fingerprint, .. } if fingerprint == wanted)
    }
}

impl Memory {
    /// Space is taken as entries come.
    pub(super) fn new(capacity: usize, phase: Phase) -> Self {
        Self {
            entries: Cache::new(capacity),
            generations: Cache::new(capacity.min(REVOKED)),
            in_flight: Mutex::default(),
            subscription: Subscription::new(phase),
        }
    }

    pub(super) fn hears_others(&self) -> bool {
        self.subscription.phase().is_complete()
    }

    pub(super) fn users(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn recall(&self, user: &Username, now: Timestamp) -> Option<Entry> {
        let cached = self.entries.get(user)?;
        let phase = self.subscription.phase();
        let is_current = cached.phase == phase && phase.is_complete();
        if is_current || cached.entry == Entry::WritePending {
            return Some(cached.as_of(now));
        }
        let complete_at = self
            .subscription
            .complete_at(cached.phase, cached.at, phase);
        now.since(complete_at)
            .is_some_and(|age| age < used_unsubscribed(user))
            .then(|| cached.as_of(now))
    }

    /// The highest generation of the user's login that was learnt.
    pub(super) fn generation(&self, user: &Username) -> Generation {
        self.generations.get(user).unwrap_or_default()
    }

    /// A generation was learnt. It never falls, and no request is answered with an earlier login.
    pub(super) fn learn_generation(&self, user: &Username, learnt: Generation) {
        if learnt <= self.generation(user) {
            return;
        }
        self.generations.insert(user.clone(), learnt);
        let entry = self.entries.get(user).map(|cached| cached.entry);
        if matches!(entry, Some(Entry::Present { generation, .. }) if generation < learnt) {
            self.entries.remove(user);
        }
    }

    pub(super) fn is_write_pending(&self, user: &Username) -> bool {
        self.entries
            .get(user)
            .is_some_and(|cached| cached.entry == Entry::WritePending)
    }

    pub(super) fn begin(&self, target: &Target) -> Begun {
        let mut in_flight = lock(&self.in_flight);
        in_flight.generations += 1;
        let generation = in_flight.generations;
        let record = InFlightUpdate {
            generation,
            fingerprint: target.fingerprint,
            contradicted: false,
            written_elsewhere: false,
        };
        in_flight.updates.insert(target.user.clone(), record);
        drop(in_flight);
        Begun {
            generation,
            phase: self.subscription.phase(),
            stored: self.stored(&target.user, target.fingerprint),
        }
    }

    /// Ends this update's own record. A newer update of the user has its own.
    pub(super) fn end(&self, user: &Username, begun: &Begun) {
        let mut in_flight = lock(&self.in_flight);
        if in_flight.of(user, begun.generation).is_some() {
            in_flight.updates.remove(user);
        }
    }

    pub(super) fn has_updates(&self) -> bool {
        !lock(&self.in_flight).updates.is_empty()
    }

    pub(super) fn is_written_elsewhere(&self, user: &Username, begun: &Begun) -> bool {
        lock(&self.in_flight)
            .of(user, begun.generation)
            .is_some_and(|record| record.written_elsewhere)
    }

    /// Keeps what an update has learnt, unless another replica has contradicted it; says whether
    /// none has.
    pub(super) fn keep(&self, user: &Username, begun: &Begun, learnt: &Learnt) -> bool {
        // Held over both steps: a contradiction comes before them and is seen, or after them and
        // removes the entry.
        let in_flight = lock(&self.in_flight);
        // Without a record of its own, the update would have missed a contradiction.
        let contradicted = in_flight
            .of(user, begun.generation)
            .is_none_or(|record| record.contradicted);
        let entry = learnt.entry;
        if contradicted && entry != Entry::WritePending {
            self.entries.remove(user);
            return false;
        }
        let now = self.subscription.phase();
        let is_complete = !learnt.may_be_undone && now == begun.phase && now.is_complete();
        let known = |fingerprint| match self.stored(user, fingerprint) {
            StoreState::Ignored => StoreState::Unknown,
            known @ (StoreState::Unknown | StoreState::At(_)) => known,
        };
        let stored = match (learnt.stored, entry) {
            (Some(stored), _) => stored,
            (None, Entry::Present { fingerprint, .. }) => known(fingerprint),
            (None, Entry::WritePending) => StoreState::Unknown,
        };
        let cached = Cached {
            entry,
            at: learnt.at,
            phase: if is_complete {
                now
            } else {
                Phase::UNSUBSCRIBED
            },
            stored,
        };
        if let Entry::Present { generation, .. } = entry {
            self.learn_generation(user, generation);
        }
        self.entries.insert(user.clone(), cached);
        !contradicted
    }

    /// Another replica writes this user, or has: what is remembered is used no more, unless it is
    /// the same. Says whether anything was remembered.
    pub(super) fn contradict(&self, user: &Username, theirs: Fingerprint) -> bool {
        let mut in_flight = lock(&self.in_flight);
        if let Some(record) = in_flight.updates.get_mut(user) {
            record.written_elsewhere = true;
            record.contradicted |= record.fingerprint != theirs;
        }
        let Some(cached) = self.entries.get(user) else {
            return false;
        };
        match (cached.entry, cached.stored) {
            (Entry::Present { fingerprint, .. }, _) if fingerprint != theirs => {
                self.entries.remove(user);
            }
            // The same: the user is present, and something else is stored.
            (_, StoreState::At(_)) => self.insert_stored(user, StoreState::Unknown, cached),
            // An own pending write stays pending.
            (_, StoreState::Unknown | StoreState::Ignored) => {}
        }
        true
    }

    /// What is known to be stored about this user, as long as every change is received.
    pub(super) fn stored(&self, user: &Username, fingerprint: Fingerprint) -> StoreState {
        self.complete(user, fingerprint)
            .map_or(StoreState::Unknown, |cached| cached.stored)
    }

    /// Another replica has asked the cluster at `seen`, and has stored the answer.
    pub(super) fn confirmed_elsewhere(
        &self,
        user: &Username,
        fingerprint: Fingerprint,
        seen: Timestamp,
    ) {
        self.note(user, fingerprint, StoreState::At(seen), |cached| {
            cached.stored.is_before(seen)
        });
    }

    /// What this replica has known of the user since `seen` is stored.
    pub(super) fn note_stored(&self, user: &Username, fingerprint: Fingerprint, seen: Timestamp) {
        self.note(user, fingerprint, StoreState::At(seen), |cached| {
            let is_same = matches!(cached.entry, Entry::Present { seen: at, .. } if at == seen);
            is_same && cached.stored.is_before(seen)
        });
    }

    /// What was to be stored is not.
    pub(super) fn note_not_stored(
        &self,
        user: &Username,
        fingerprint: Fingerprint,
        seen: Timestamp,
    ) {
        self.note(user, fingerprint, StoreState::Unknown, |cached| {
            cached.stored == StoreState::At(seen)
        });
    }

    /// Notes what is stored about a user with this fingerprint. Makes no entry, and leaves one
    /// alone of which a change may have been missed.
    fn note(
        &self,
        user: &Username,
        fingerprint: Fingerprint,
        stored: StoreState,
        agrees: impl FnOnce(&Cached) -> bool,
    ) {
        // Between the look and the change nobody may contradict.
        let _in_flight = lock(&self.in_flight);
        if let Some(cached) = self.complete(user, fingerprint).filter(agrees) {
            self.insert_stored(user, stored, cached);
        }
    }

    fn insert_stored(&self, user: &Username, stored: StoreState, cached: Cached) {
        self.entries
            .insert(user.clone(), Cached { stored, ..cached });
    }

    /// The entry of a user with this fingerprint, if every change of it was received.
    fn complete(&self, user: &Username, fingerprint: Fingerprint) -> Option<Cached> {
        let phase = self.subscription.phase();
        self.entries.peek(user).filter(|cached| {
            cached.is_present_with(fingerprint) && cached.phase == phase && phase.is_complete()
        })
    }
}

/// This user's share of [`USED_UNSUBSCRIBED`].
fn used_unsubscribed(user: &Username) -> Duration {
    let half = USED_UNSUBSCRIBED / 2;
    half + half * u32::from(user.place().to_be_bytes()[0]) / 255
}
