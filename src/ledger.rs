//! What the cluster has agreed to: "it had this user with this fingerprint, seen then". It holds no
//! secret, and losing it costs a few calls, never a login.
//!
//! Entries are in memory, and a known user is answered from there alone. Behind the memory there
//! may be a store: Redis, which replicas share, or a file, which outlives the process. A store is
//! read and written only within an update, and a value without a valid seal is not used.

mod config;
mod context;
mod file;
mod memory;
mod message;
pub(crate) mod redis;
mod seal;
mod store;
mod types;
mod update;

pub use config::{Config, StoreConfig};
pub use context::LedgerContext;
pub(crate) use types::{Entry, NO_FINGERPRINT, Target};
pub use types::{Forgotten, Others};
pub(crate) use update::Update;

use crate::{
    clock::Timestamp,
    model::{Generation, Username},
};
pub use file::Folders;
use file::{File, Place};
use memory::{Memory, Phase};
use redis::Redis;
use std::{fmt, sync::Arc, time::Duration};
use store::Store;
use types::{Expected, How};

/// How long another replica's write is waited for. A cluster writes a user in tens of milliseconds;
/// of a write that takes longer only its replica knows the result.
const OTHER_WRITE_WAIT: Duration = Duration::from_millis(500);

/// The memory of one cluster's users, and what is behind it.
pub struct Ledger {
    memory: Arc<Memory>,
    store: Store,
}

impl Ledger {
    /// An empty ledger. Nothing waits for the store, now or later. `folders` are those of the other
    /// ledgers of the program.
    ///
    /// # Errors
    /// When a certificate file for Redis cannot be used. That Redis is not available is never a
    /// reason.
    pub fn start(
        config: &Config,
        context: LedgerContext,
        folders: &Folders,
    ) -> Result<Self, redis::SetUpError> {
        let memory = |phase| Arc::new(Memory::new(config.capacity, phase));
        // Without Redis nobody else changes anything.
        let complete = || memory(Phase::COMPLETE);
        let (memory, store) = match &config.store {
            StoreConfig::Memory => (complete(), Store::Memory),
            StoreConfig::File(folder) | StoreConfig::TransientFile(folder) => {
                let memory = complete();
                let place = Place {
                    folder: folder.clone(),
                    is_transient: matches!(config.store, StoreConfig::TransientFile(_)),
                };
                let file = File::start(place, config.capacity, &memory, context, folders);
                (memory, Store::File(file))
            }
            StoreConfig::Redis(redis) => {
                let memory = memory(Phase::UNSUBSCRIBED);
                let redis = Redis::start(redis, &memory, context)?;
                (memory, Store::Redis(redis))
            }
        };
        Ok(Self { memory, store })
    }

    /// What is known of this user. How long that is used is the caller's decision, and ends sooner
    /// while changes by other replicas may be missed.
    #[must_use]
    pub fn recall(&self, user: &Username, now: Timestamp) -> Option<Entry> {
        self.memory.recall(user, now)
    }

    /// The highest generation of the user's login that this process has learnt. It outlives what is
    /// recalled.
    #[must_use]
    pub fn generation(&self, user: &Username) -> Generation {
        self.memory.generation(user)
    }

    /// The user's login of this generation may be in the cluster, and none before it may be brought
    /// back.
    pub fn learn_generation(&self, user: &Username, generation: Generation) {
        self.memory.learn_generation(user, generation);
    }

    /// What other replicas learn of a change.
    #[must_use]
    pub fn others(&self) -> Others {
        self.store.others()
    }

    /// Whether the store is available. Logins do not depend on it.
    ///
    /// # Errors
    /// What is wrong with it, without an address.
    pub fn store_state(&self) -> Result<&'static str, &'static str> {
        self.store.state()
    }

    /// Gives Redis the user, password and certificates of a new configuration, from the next
    /// connection on.
    pub fn replace_access(&self, access: redis::RedisAccess) {
        if let Store::Redis(redis) = &self.store {
            redis.replace(access);
        }
    }

    /// Begins an update, and reads what the store has about the user: at most
    /// [`redis::DEADLINE`].
    pub async fn begin_update(&self, target: Target) -> Update {
        let mut update = Update::begin(&self.memory, target);
        let is_write_pending = self.memory.is_write_pending(update.user());
        update.found = self.store.look(&update, is_write_pending).await;
        update
    }

    /// A write is about to be sent: nobody may be answered from what was known before, here or, as
    /// far as it can be reported in time, elsewhere.
    pub async fn begin_write(&self, update: &mut Update, now: Timestamp) {
        update.keep(Entry::WritePending, now, false);
        self.store.begin_write(update, now).await;
    }

    /// Whether another replica writes this user just now, as far as is known here: it was reported
    /// during this update, or stored when the update began.
    #[must_use]
    pub fn is_written_elsewhere(&self, update: &Update, now: Timestamp) -> bool {
        // A write that began longer ago hangs, or was lost with its replica. One that has begun in
        // the future comes from a clock that is ahead.
        let began = update
            .other_write_began()
            .is_some_and(|at| now.since(at).is_none_or(|age| age < OTHER_WRITE_WAIT));
        began
            || self
                .memory
                .is_written_elsewhere(update.user(), &update.begun)
    }

    /// The user is as this update wants it: what is remembered otherwise is outdated, even if the
    /// update has still to wait.
    pub fn drop_outdated(&self, update: &Update) {
        self.memory
            .contradict(update.user(), update.target.fingerprint);
    }

    /// The user was written.
    pub fn record_written(&self, update: &Update, now: Timestamp) {
        let may_be_undone = matches!(update.expected, Expected::OtherWrite);
        self.record_present(update, now, How::Written, may_be_undone);
    }

    /// The cluster was asked, and the user is as this update wants it.
    pub fn record_confirmed(&self, update: &Update, now: Timestamp) {
        let may_be_undone = update.other_write_began().is_some();
        self.record_present(update, now, How::Confirmed, may_be_undone);
    }

    fn record_present(&self, update: &Update, now: Timestamp, how: How, may_be_undone: bool) {
        let uncontradicted = update.keep(update.present(now), now, may_be_undone);
        // What is stored of a pending write stays there until it is too old.
        if !update.local_only {
            self.store.present(update, now, how, uncontradicted);
        }
    }

    /// Removes what is known of a user, here and in the store, and reports it to the other
    /// replicas: for the next request, the cluster is asked.
    #[must_use]
    pub fn forget(&self, user: &Username) -> Forgotten {
        Forgotten {
            known: self.memory.contradict(user, NO_FINGERPRINT),
            others: self.store.forget(user),
        }
    }

    /// Whether other replicas report what they change, and are heard now.
    #[must_use]
    pub fn hears_others(&self) -> bool {
        matches!(self.store, Store::Redis(_)) && self.memory.hears_others()
    }

    /// How many users are remembered.
    #[must_use]
    pub fn users(&self) -> usize {
        self.memory.users()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("users", &self.users())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
