//! What is asked for, and what becomes of it.

use crate::{
    broker::{change::ChangeError, error::BrokerError},
    ledger::Others,
    net::peer::Peer,
};
use jiff::SignedDuration;
use std::time::Duration;

/// Who wants users deleted who have stayed away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskedBy {
    /// The operator's address, or `unix`.
    Operator(Peer),
    /// `users.prune_after`.
    Configuration,
}

/// Who is to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PruneOrder {
    pub(crate) by: AskedBy,
    /// How long a user has to have stayed away.
    pub(crate) unseen: Duration,
}

/// What became of one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pruned {
    Deleted(Others),
    Kept(Kept),
}

/// Why a user is not deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They are gone already.
    Absent,
    /// They have come back, or not stayed away for so long.
    Seen,
    /// Another replica writes them, or has just written them.
    Busy,
    /// It is not noted when they were seen.
    Unknown,
    /// Without their account nothing would keep them out.
    Disabled,
}

impl Kept {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Absent => "the user is gone already",
            Self::Seen => "the user was seen within that time",
            Self::Busy => "another replica is at work on the user",
            Self::Unknown => "it is not noted when the user was seen",
            Self::Disabled => "the user is disabled, and stays so",
        }
    }
}

/// A time for which it cannot be said who has stayed away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is too short: when a user was seen is known to within {} there, so ask for {} or more",
    written(*asked),
    written(*resolution),
    written(*shortest)
)]
pub(crate) struct TooShort {
    pub(crate) asked: Duration,
    pub(crate) resolution: Duration,
    pub(crate) shortest: Duration,
}

/// As the configuration writes it.
fn written(time: Duration) -> String {
    format!(
        "{:#}",
        SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX)
    )
}

/// Why nobody is deleted, or not known to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PruneError {
    #[error(transparent)]
    TooShort(#[from] TooShort),
    #[error(transparent)]
    Change(#[from] ChangeError),
}

impl From<BrokerError> for PruneError {
    fn from(error: BrokerError) -> Self {
        ChangeError::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_short_says_how_long_it_has_to_be() {
        let day = Duration::from_hours(24);
        let why = |asked, resolution: Duration| {
            let shortest = resolution * 2;
            TooShort {
                asked,
                resolution,
                shortest,
            }
            .to_string()
        };
        assert_eq!(
            why(day, day),
            "24h is too short: when a user was seen is known to within 24h there, so ask for 48h \
             or more"
        );
        let why = why(Duration::from_secs(90), Duration::from_hours(25));
        assert!(
            why.starts_with("1m 30s") && why.contains("25h") && why.contains("50h"),
            "{why}"
        );
    }
}
