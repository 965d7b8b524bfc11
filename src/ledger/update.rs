//! The record of an update in flight. While it lives, what other replicas report about the user is
//! noted.

use super::{
    memory::{Begun, Learnt, Memory},
    types::{Entry, Expected, Found, Kind, StoreState, Target},
};
use crate::{
    clock::Timestamp,
    model::{Generation, Username},
};
use std::sync::Arc;

/// One update of one user, from its beginning to its drop.
#[derive(Debug)]
pub struct Update {
    pub(super) target: Target,
    pub(super) begun: Begun,
    /// What was stored when it began. `None`: the store was not asked, or did not answer. Nothing
    /// stored is a [`Found`] without a value.
    pub(super) found: Option<Found>,
    pub(super) expected: Expected,
    /// What it learns is for this process alone.
    pub(super) local_only: bool,
    memory: Arc<Memory>,
}

impl Update {
    pub(super) fn begin(memory: &Arc<Memory>, target: Target) -> Self {
        Self {
            begun: memory.begin(&target),
            target,
            found: None,
            expected: Expected::Unknown,
            local_only: false,
            memory: Arc::clone(memory),
        }
    }

    /// A write of unknown result may still undo what this update brings about. Only this process
    /// knows of it: neither other replicas nor the next start may learn that the user is present.
    pub fn keep_local(&mut self) {
        self.local_only = true;
    }

    /// Whose update it is.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.target.user
    }

    /// When the cluster confirmed, to some replica, that the user is as this update wants it; as
    /// far as the store knows.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        let fact = self.found.as_ref()?.fact?;
        (fact.kind == Kind::Present
            && fact.fingerprint == self.target.fingerprint
            && fact.epoch == self.target.epoch)
            .then_some(fact.at)
    }

    /// The generation of the user's login, where another replica has stored a higher one than this
    /// update was begun with.
    #[must_use]
    pub fn higher_generation(&self) -> Option<Generation> {
        self.stored_generation()
            .filter(|stored| *stored > self.target.generation)
    }

    /// The generation of the user's login that is stored.
    #[must_use]
    pub fn stored_generation(&self) -> Option<Generation> {
        Some(self.found.as_ref()?.fact?.generation)
    }

    /// The same at the beginning of a write, which must not be sent then.
    #[must_use]
    pub fn later_login(&self) -> Option<Generation> {
        match self.expected {
            Expected::LaterLogin(generation) => Some(generation),
            Expected::Value(_) | Expected::OtherWrite | Expected::Unknown => None,
        }
    }

    /// Whether another replica's write is pending, as far as the store knows, that may still undo
    /// this one.
    #[must_use]
    pub fn may_be_undone(&self) -> bool {
        self.other_write_began().is_some() || matches!(self.expected, Expected::OtherWrite)
    }

    /// Whether some replica has confirmed or written the user in this period, or was about to; as
    /// far as the store knows.
    #[must_use]
    pub fn is_known_in_period(&self) -> bool {
        let fact = self.found.as_ref().and_then(|found| found.fact);
        fact.is_some_and(|fact| fact.epoch == self.target.epoch)
    }

    /// When another replica's write began that is pending, or was lost; as it was stored when this
    /// update began.
    pub(super) fn other_write_began(&self) -> Option<Timestamp> {
        let fact = self.found.as_ref()?.fact?;
        fact.is_pending().then_some(fact.at)
    }

    /// Takes over what the store has confirmed, with the time at which the cluster said so.
    pub fn use_stored(&self, seen: Timestamp, now: Timestamp) {
        self.keep(self.present(seen), now, false);
    }

    /// The user as this update wants it.
    pub(super) fn present(&self, seen: Timestamp) -> Entry {
        Entry::Present {
            fingerprint: self.target.fingerprint,
            generation: self.target.generation,
            seen,
        }
    }

    /// Remembers what it has learnt; says whether no other replica has contradicted. With
    /// `may_be_undone`, another write is pending that may undo it.
    pub(super) fn keep(&self, entry: Entry, at: Timestamp, may_be_undone: bool) -> bool {
        let stored = match entry {
            Entry::WritePending => Some(StoreState::Unknown),
            Entry::Present { .. } if self.local_only => Some(StoreState::Ignored),
            Entry::Present { seen, .. } if self.confirmed_at() == Some(seen) => {
                Some(StoreState::At(seen))
            }
            // The store is updated later.
            Entry::Present { .. } => None,
        };
        let learnt = Learnt {
            entry,
            at,
            may_be_undone,
            stored,
        };
        self.memory.keep(&self.target.user, &self.begun, &learnt)
    }
}

impl Drop for Update {
    fn drop(&mut self) {
        self.memory.end(&self.target.user, &self.begun);
    }
}
