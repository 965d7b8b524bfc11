//! Values and messages with an invalid seal: logged once, reported in readiness while they come.

use super::health::{Health, Part};
use crate::{clock::Timestamp, ledger::seal::InvalidSeal};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};
use tracing::warn;

/// For how long a replica with another key is reported after its last sign: its heartbeats come
/// every two seconds.
const FOREIGN_REPORTED_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Default)]
pub(super) struct InvalidSeals {
    foreign_logged: AtomicBool,
    /// When something made with another key was last seen.
    foreign_at: AtomicU64,
    damaged_logged: AtomicBool,
}

impl InvalidSeals {
    pub(super) fn found(&self, invalid: InvalidSeal, now: Timestamp, health: &Health) {
        match invalid {
            InvalidSeal::ForeignKey => {
                self.foreign_at.store(now.0, Ordering::Relaxed);
                health.set(
                    Part::Keys,
                    Some("replicas with another `secret_key` use the same cluster name"),
                );
                if !self.foreign_logged.swap(true, Ordering::Relaxed) {
                    warn!(
                        "Redis holds facts of an elastauth with another `secret_key` for the same \
                         cluster name; they are ignored. Replicas of one cluster need one key, two \
                         clusters need two names (`elasticsearch.cluster_name`)"
                    );
                }
            }
            InvalidSeal::Damaged => {
                if !self.damaged_logged.swap(true, Ordering::Relaxed) {
                    warn!(
                        "Redis holds a value that no elastauth has written, or that was changed; \
                         it is ignored"
                    );
                }
            }
        }
    }

    /// A replica with another key that is gone is reported no more.
    pub(super) fn expire(&self, now: Timestamp, health: &Health) {
        let last = Timestamp(self.foreign_at.load(Ordering::Relaxed));
        if now.since(last).is_none_or(|age| age > FOREIGN_REPORTED_FOR) {
            health.set(Part::Keys, None);
        }
    }
}
