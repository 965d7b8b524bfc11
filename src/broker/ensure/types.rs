//! What an attempt finds and does, as values.

use crate::{
    broker::{document::Differences, error::BrokerError},
    cluster::StoredAccount,
    model::Generation,
};

/// What it took to make the cluster agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AttemptResult {
    /// Nothing: the user was as it should be.
    Confirmed,
    /// A write, of what differed.
    Written(Reason, Differences),
    /// The user's login was revoked and has this generation now, which is higher than the
    /// document's.
    OtherGeneration(Generation),
    /// It would take a write, and the password period ends too soon to begin one.
    TooLate,
}

/// What asking the cluster as the user gave.
#[derive(Debug)]
pub(super) enum LoginResult {
    /// The login works and the user has the roles that it should have.
    Agrees(Box<StoredAccount>),
    /// The login works, and the user is different in something that counts.
    Differs,
    /// The login does not work: no such user, another password, disabled, or the security index is
    /// away. All look alike.
    Refused,
}

/// What was found in the cluster, and what follows from it.
#[derive(Debug)]
pub struct Plan {
    /// The user as it is now, if there is one.
    pub found: Option<StoredAccount>,
    /// Why the next request writes the user; `None` if it has nothing to write.
    pub write: Result<Option<Reason>, BrokerError>,
}

/// Why a user is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The cluster has no user of that name.
    Absent,
    /// The roles differ from this request, or the user was written by a replica with another key or
    /// a later period, or has lost its marker.
    Changed,
    /// Login and roles are right; names, mail or groups differ from a request that was answered.
    Described,
    /// All is right, and it is noted that the user was seen.
    Seen,
    /// The user has the password of another period or key.
    Rotated,
    /// elastauth has not written the user, and may take it over.
    Adopted,
}

impl Reason {
    /// A word for a log line.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Absent => "first login",
            Self::Changed => "changed",
            Self::Described => "names, mail or groups",
            Self::Seen => "last seen",
            Self::Rotated => "new password period",
            Self::Adopted => "taken over",
        }
    }
}
