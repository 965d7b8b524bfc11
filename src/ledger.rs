//! What the cluster has agreed to: "this user stood there with this fingerprint, seen then". It holds no secret, and losing it costs a few
//! calls, never a login.
//!
//! Entries live in memory. A store that several replicas share has its place behind the same three verbs.

use crate::{
    clock::Timestamp,
    model::{Fingerprint, Username},
};
use quick_cache::sync::Cache;
use std::fmt;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many users are remembered; beyond it the least used are forgotten, which costs a call each and never a login.
    pub capacity: usize,
}

/// What is known of one user in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// The user stood there with this fingerprint.
    Stands {
        /// Of the document and the password.
        fingerprint: Fingerprint,
        /// When the cluster said so.
        seen: Timestamp,
    },
    /// A write has begun and its end is not known: nothing may be answered on the strength of what was known before.
    InFlux,
}

/// The memory of one cluster's users.
pub struct Ledger {
    entries: Cache<Username, Entry>,
}

impl Ledger {
    /// An empty ledger. Memory is taken as entries come, not in advance.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { entries: Cache::new(config.capacity) }
    }

    /// What is known of this user. How long that is believed is the caller's to judge.
    #[must_use]
    pub fn recall(&self, user: &Username) -> Option<Entry> {
        self.entries.get(user)
    }

    /// Notes what is known of this user from now on.
    pub fn record(&self, user: &Username, entry: Entry) {
        self.entries.insert(user.clone(), entry);
    }

    /// How many users are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("users", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: usize) -> Username {
        Username::parse(&format!("user-{n}")).unwrap()
    }

    #[test]
    fn the_last_word_counts() {
        let ledger = Ledger::new(&Config { capacity: 10 });
        let stands = Entry::Stands { fingerprint: Fingerprint([7; 16]), seen: Timestamp(1) };
        assert_eq!(ledger.recall(&user(1)), None);
        ledger.record(&user(1), stands);
        assert_eq!(ledger.recall(&user(1)), Some(stands));
        ledger.record(&user(1), Entry::InFlux);
        assert_eq!(ledger.recall(&user(1)), Some(Entry::InFlux));
    }

    #[test]
    fn a_flood_of_users_stays_within_the_bound() {
        let ledger = Ledger::new(&Config { capacity: 1_000 });
        for n in 0..50_000 {
            ledger.record(&user(n), Entry::InFlux);
        }
        assert!(ledger.len() <= 1_000, "{}", ledger.len());
    }
}
