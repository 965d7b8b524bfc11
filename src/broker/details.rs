//! Users whose names, mail or groups in the cluster differ from what a request says.
//!
//! None of these decides anything: whoever has the right login and the right roles is answered.
//! They are written afterwards, and not often: two clients of one person may say different things
//! with every request.

use crate::{clock::Timestamp, model::Username};
use quick_cache::sync::Cache;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How often one user is written for it at most.
const APART: Duration = Duration::from_hours(1);
/// Users who are remembered. One who is forgotten is written once more.
const USERS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Details {
    /// The lock is held over look and change. Each change is one step: a panic leaves it whole.
    users: Mutex<Cache<Username, Noted>>,
}

#[derive(Debug, Clone, Copy)]
enum Noted {
    /// To be written.
    Due,
    /// A write was begun.
    Begun(Timestamp),
}

impl Details {
    pub(super) fn new() -> Self {
        Self {
            users: Mutex::new(Cache::new(USERS)),
        }
    }

    /// A check has found that they differ.
    pub(super) fn differ(&self, user: &Username, now: Timestamp) {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        // A time in the future (a clock was set back) is no reason to wait.
        let waits = match users.get(user) {
            None => false,
            Some(Noted::Due) => true,
            Some(Noted::Begun(at)) => now.since(at).is_some_and(|past| past < APART),
        };
        if !waits {
            users.insert(user.clone(), Noted::Due);
        }
    }

    /// Whether they are to be written now. The one caller who is told so writes them.
    pub(super) fn take(&self, user: &Username, now: Timestamp) -> bool {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let due = matches!(users.get(user), Some(Noted::Due));
        if due {
            users.insert(user.clone(), Noted::Begun(now));
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_writes_once_an_hour() {
        let (details, user) = (Details::new(), Username::parse("alice").unwrap());
        let at = |minutes: u64| Timestamp(1_000_000_000 + minutes * 60_000);
        assert!(!details.take(&user, at(0)), "nothing differs");
        details.differ(&user, at(0));
        details.differ(&user, at(0));
        assert!(details.take(&user, at(0)) && !details.take(&user, at(0)));
        details.differ(&user, at(59));
        assert!(!details.take(&user, at(59)));
        details.differ(&user, at(60));
        assert!(details.take(&user, at(60)));
        details.differ(&user, at(1));
        assert!(details.take(&user, at(1)), "the clock was set back");
    }
}
