//! The values of the ledger.

use crate::{
    clock::Timestamp,
    keys::Slot,
    model::{Fingerprint, Generation, Username},
};
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a stored write counts as pending: it has 10 s, and one that was given up may be applied
/// until the cluster's own time-outs have passed (90 s).
pub(super) const PENDING_FOR: Duration = Duration::from_secs(100);

/// A fingerprint that no user has: reported to other replicas, it contradicts whatever they
/// remember.
pub(crate) const NO_FINGERPRINT: Fingerprint = Fingerprint([0; 16]);

/// What is known of one user in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The cluster has the user with this fingerprint.
    Present {
        /// Of the document and the password.
        fingerprint: Fingerprint,
        /// Of the password.
        generation: Generation,
        /// When the cluster said so.
        seen: Timestamp,
    },
    /// A write has begun and its end is not known: nobody may be answered from what was known
    /// before.
    WritePending,
}

/// What an update is to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose update it is.
    pub user: Username,
    /// Of the document and the password that the user is to have.
    pub fingerprint: Fingerprint,
    /// How often the user's login was revoked, as far as the update knows.
    pub generation: Generation,
    /// In which password period.
    pub epoch: u64,
    /// Under which key.
    pub key: Slot,
}

/// The result of forgetting a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Whether this replica knew the user.
    pub known: bool,
    /// What the other replicas learn of it.
    pub others: Others,
}

/// What other replicas learn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nothing: there is no Redis between them.
    NotShared,
    /// It is reported to them at once.
    Reported,
    /// It is reported to them when Redis is available again.
    ReportedLater,
}

/// How an update found the user present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// The user was written.
    Written,
    /// The cluster was asked.
    Confirmed,
}

/// What a stored value says about a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) kind: Kind,
    pub(super) epoch: u64,
    pub(super) generation: Generation,
    /// That the user has, or gets by the write.
    pub(super) fingerprint: Fingerprint,
    /// When the cluster said so, or when the write began.
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Present,
    WritePending,
}

impl Fact {
    pub(super) fn about(target: &Target, kind: Kind, at: Timestamp) -> Self {
        Self {
            kind,
            epoch: target.epoch,
            generation: target.generation,
            fingerprint: target.fingerprint,
            at,
        }
    }

    pub(super) fn is_pending(&self) -> bool {
        self.kind == Kind::WritePending
    }
}

/// What a store had about a user.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// What the value says, if it is valid.
    pub(super) fact: Option<Fact>,
    /// The value itself; `None` where there was none.
    pub(super) value: Option<Vec<u8>>,
}

/// What must still be stored when a write ends, for the result to be stored instead.
#[derive(Debug, Clone, Default)]
pub(super) enum Expected {
    /// Not known: the beginning of the write could not be reported in time.
    #[default]
    Unknown,
    /// Nothing: another write was pending when this one began, and may end after it.
    OtherWrite,
    /// This write must not be sent: meanwhile another replica has written the user with a later
    /// login.
    LaterLogin(Generation),
    /// This very value, or one about the same.
    Value(Vec<u8>),
}

/// What is known to be stored about a user with the fingerprint of the entry. If it is wrong, the
/// cluster is asked once more, and nothing worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreState {
    /// Nothing is known, as after another replica has reported a change.
    Unknown,
    /// That the user is present, confirmed by the cluster at this time: to this replica, or to one
    /// that has reported it. Such a report may be later than the entry.
    At(Timestamp),
    /// What other replicas report does not count: this process alone knows of a write that may
    /// still undo it.
    Ignored,
}

impl StoreState {
    pub(super) fn is_before(self, seen: Timestamp) -> bool {
        match self {
            Self::Unknown => true,
            Self::At(known) => known < seen,
            Self::Ignored => false,
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is one step: a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
