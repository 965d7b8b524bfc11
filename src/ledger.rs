//! What the cluster has agreed to: "this user stood there with this fingerprint, seen then". It holds no secret, and losing it costs a few
//! calls, never a login.
//!
//! Entries live in memory, and a known user is answered from there alone. Behind the memory there may be a store: Redis, which replicas share, or a
//! file, which outlives the process. A store is asked and told only within a flight, and it is never believed without its seal.

mod file;
pub mod redis;
mod seal;

pub use seal::Under;

use crate::{
    clock::{Clock, Timestamp},
    model::{Fingerprint, Username},
    secret::SecretKey,
    shutdown::Tasks,
};
use quick_cache::sync::Cache;
use seal::{Fact, Kind};
use std::{
    collections::HashMap,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long an entry is believed while changes by other replicas may go unheard. Short against the life of a group membership, and long enough to spare the
/// cluster most calls.
const UNHEARD: Duration = Duration::from_secs(10);

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many users are remembered; beyond it the least used are forgotten, which costs a call each and never a login.
    pub capacity: usize,
}

/// What stands behind the memory.
#[derive(Debug, Clone, Default)]
pub enum StoreConfig {
    /// Nothing.
    #[default]
    Memory,
    /// Redis, shared by replicas.
    Redis(Box<redis::Config>, Box<Scope>),
    /// A file in this folder, of one process at a time.
    File(PathBuf, Box<Scope>),
}

/// Whose facts a store holds. It has to agree with what the broker is told, or nothing that is read will ever match.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The name of the cluster.
    pub cluster: String,
    /// The key of the deployment.
    pub key: SecretKey,
    /// The key before it, while it is being changed.
    pub previous: Option<SecretKey>,
    /// How long a fact is believed.
    pub expiration: Duration,
}

/// Why a ledger cannot be started. That a store is away is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The way to Redis cannot be set up.
    #[error("Redis cannot be set up")]
    Redis(#[source] redis::SetUpError),
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

/// What a flight is to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aim {
    /// Whose flight it is.
    pub user: Username,
    /// With which fingerprint the user is to stand.
    pub fingerprint: Fingerprint,
    /// In which period of passwords.
    pub epoch: u64,
    /// Under which key.
    pub under: Under,
}

/// The memory of one cluster's users, and what stands behind it.
pub struct Ledger {
    front: Arc<Front>,
    store: Store,
}

enum Store {
    Memory,
    Redis(redis::Redis),
    File(file::File),
}

impl Ledger {
    /// An empty ledger with nothing behind it. Memory is taken as entries come, not in advance.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        Self { front: Arc::new(Front::new(config, Timestamp(0))), store: Store::Memory }
    }

    /// A ledger in front of a store. Nothing waits for the store, now or later.
    ///
    /// # Errors
    /// When a certificate file cannot be used.
    pub fn start(config: &Config, store: StoreConfig, clock: &Clock, tasks: &Tasks) -> Result<Self, StartError> {
        Ok(match store {
            StoreConfig::Memory => Self::new(config),
            StoreConfig::Redis(redis, scope) => {
                // Nothing is heard yet.
                let front = Arc::new(Front::new(config, Front::UNHEARD));
                let store = redis::Redis::start(&redis, &scope, Arc::clone(&front), clock.clone(), tasks).map_err(StartError::Redis)?;
                Self { front, store: Store::Redis(store) }
            }
            StoreConfig::File(folder, scope) => {
                let front = Arc::new(Front::new(config, Timestamp(0)));
                let store = file::File::start(&folder, &scope, config.capacity, Arc::clone(&front), clock, tasks);
                Self { front, store: Store::File(store) }
            }
        })
    }

    /// What is known of this user. How long that is believed is the caller's to judge, and ends sooner while other replicas go unheard.
    #[must_use]
    pub fn recall(&self, user: &Username, now: Timestamp) -> Option<Entry> {
        self.front.recall(user, now)
    }

    /// Whether the store is there. Logins do not depend on it.
    ///
    /// # Errors
    /// What is wrong with it, without an address.
    pub fn store_state(&self) -> Result<&'static str, String> {
        match &self.store {
            Store::Memory => Ok("memory"),
            Store::Redis(redis) => redis.state().map(|()| "redis"),
            Store::File(file) => file.state().map(|()| "file"),
        }
    }

    /// Begins a flight, and asks the store for what it knows of the user: at most [`redis::DEADLINE`].
    pub async fn board(&self, aim: Aim) -> Boarding {
        let mut boarding = self.front.board(aim);
        // After a write of which we do not know the end, the store may still say what stood before.
        boarding.vouched = match &self.store {
            Store::Memory => None,
            _ if self.front.in_flux(&boarding.aim.user) => None,
            Store::Redis(redis) => redis.look(&boarding.aim).await,
            Store::File(file) => file.look(&boarding.aim),
        };
        boarding
    }

    /// Takes over what the store vouches for, with the time at which the cluster said so.
    pub fn adopt(&self, boarding: &Boarding, seen: Timestamp, now: Timestamp) {
        self.front.keep(boarding, Entry::Stands { fingerprint: boarding.aim.fingerprint, seen }, now, false);
    }

    /// A write is about to leave: nobody may be answered on the strength of what stood before, here or, as far as the store can be told in time, elsewhere.
    pub async fn begin_write(&self, boarding: &mut Boarding, now: Timestamp) {
        self.front.keep(boarding, Entry::InFlux, now, false);
        match &self.store {
            Store::Memory => {}
            Store::Redis(redis) => boarding.expected = redis.begin_write(&boarding.aim, now).await,
            Store::File(file) => file.begin_write(&boarding.aim, now).await,
        }
    }

    /// The user was written.
    pub fn written(&self, boarding: &Boarding, now: Timestamp) {
        self.stands(boarding, now, true);
    }

    /// The cluster was asked, and the user stands as this flight wants it.
    pub fn confirmed(&self, boarding: &Boarding, now: Timestamp) {
        self.stands(boarding, now, false);
    }

    fn stands(&self, boarding: &Boarding, now: Timestamp, written: bool) {
        let aim = &boarding.aim;
        let brief = !written && boarding.others_write();
        let alone = self.front.keep(boarding, Entry::Stands { fingerprint: aim.fingerprint, seen: now }, now, brief);
        if boarding.unsure {
            // What the store says of a write in the air stays there until it is too old.
            return;
        }
        match &self.store {
            Store::Memory => {}
            Store::Redis(redis) => redis.stands(boarding, now, written, alone),
            Store::File(file) => file.stands(aim, now),
        }
    }

    /// How many users are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.front.entries.len()
    }

    /// Whether nobody is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.front.entries.is_empty()
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger").field("users", &self.len()).finish_non_exhaustive()
    }
}

/// One flight's place in the ledger. While it lives, what other replicas say about the user is noticed.
#[derive(Debug)]
pub struct Boarding {
    aim: Aim,
    vouched: Option<Found>,
    expected: Expected,
    /// What this flight learns is for this process alone.
    unsure: bool,
    front: Arc<Front>,
}

impl Boarding {
    /// A write of unknown end may still undo what this flight brings about. Only this process knows, and only for its life: neither other replicas nor the next
    /// start may be told that the user stands.
    pub fn keep_to_ourselves(&mut self) {
        self.unsure = true;
    }

    /// Whose flight it is.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.aim.user
    }

    /// When the cluster said, to some replica, that the user stands as this flight wants it; as far as the store knows.
    #[must_use]
    pub fn vouched(&self) -> Option<Timestamp> {
        let fact = self.vouched.as_ref()?.fact?;
        (fact.kind == Kind::Stands && fact.fingerprint == self.aim.fingerprint && fact.epoch == self.aim.epoch).then_some(fact.at)
    }

    /// Whether another replica's write is on its way, or has been lost on it.
    fn others_write(&self) -> bool {
        self.vouched.as_ref().and_then(|found| found.fact).is_some_and(|fact| fact.kind == Kind::InFlux)
    }
}

impl Drop for Boarding {
    fn drop(&mut self) {
        lock(&self.front.aloft).remove(&self.aim.user);
    }
}

/// What a store had under the user's name.
#[derive(Debug, Clone, Default)]
struct Found {
    /// What it says, where that is worth anything.
    fact: Option<Fact>,
    /// As it lay there; `None` where there was nothing.
    raw: Option<Vec<u8>>,
}

/// What must still lie in the store when a write ends, for its end to be the last word.
#[derive(Debug, Clone, Default)]
enum Expected {
    /// Not known: the store could not be told in time, or somebody else was writing.
    #[default]
    Unknown,
    /// This very value, or one about the same.
    Value(Vec<u8>),
}

/// The memory.
#[derive(Debug)]
struct Front {
    entries: Cache<Username, Kept>,
    /// Users of flights, and whether another replica has said something else about them meanwhile. Flights are bounded, and so is this.
    aloft: Mutex<HashMap<Username, Aloft>>,
    /// Since when every change by others is heard, in milliseconds; entries kept before it may have missed one.
    heard_since: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    entry: Entry,
    /// When it came here.
    at: Timestamp,
    /// Whether another replica's write is known to be under way: then it is as good as unheard.
    brief: bool,
}

#[derive(Debug)]
struct Aloft {
    fingerprint: Fingerprint,
    contradicted: bool,
}

impl Front {
    /// Nothing is heard at present.
    const UNHEARD: Timestamp = Timestamp(u64::MAX);

    fn new(config: &Config, heard_since: Timestamp) -> Self {
        Self { entries: Cache::new(config.capacity), aloft: Mutex::default(), heard_since: AtomicU64::new(heard_since.0) }
    }

    fn recall(&self, user: &Username, now: Timestamp) -> Option<Entry> {
        let kept = self.entries.get(user)?;
        let heard = !kept.brief && kept.at.0 >= self.heard_since.load(Ordering::Acquire);
        let believed = heard || kept.entry == Entry::InFlux || now.since(kept.at).is_some_and(|age| age < UNHEARD);
        believed.then_some(kept.entry)
    }

    fn in_flux(&self, user: &Username) -> bool {
        self.entries.get(user).is_some_and(|kept| kept.entry == Entry::InFlux)
    }

    fn board(self: &Arc<Self>, aim: Aim) -> Boarding {
        lock(&self.aloft).insert(aim.user.clone(), Aloft { fingerprint: aim.fingerprint, contradicted: false });
        Boarding { aim, vouched: None, expected: Expected::Unknown, unsure: false, front: Arc::clone(self) }
    }

    /// Keeps what a flight has learnt, unless another replica has contradicted it meanwhile; says whether nobody has.
    fn keep(&self, boarding: &Boarding, entry: Entry, at: Timestamp, brief: bool) -> bool {
        let user = &boarding.aim.user;
        // Held over both steps: a contradiction comes before them and is seen, or after them and removes the entry.
        let aloft = lock(&self.aloft);
        let contradicted = aloft.get(user).is_some_and(|aloft| aloft.contradicted);
        if contradicted && entry != Entry::InFlux {
            self.entries.remove(user);
        } else {
            self.entries.insert(user.clone(), Kept { entry, at, brief });
        }
        !contradicted
    }

    /// Another replica writes this user, or has: what is remembered of him is believed no more, unless it is the same.
    fn contradict(&self, user: &Username, theirs: Fingerprint) {
        let mut aloft = lock(&self.aloft);
        if let Some(flight) = aloft.get_mut(user).filter(|flight| flight.fingerprint != theirs) {
            flight.contradicted = true;
        }
        let other = self.entries.get(user).is_some_and(|kept| match kept.entry {
            Entry::Stands { fingerprint, .. } => fingerprint != theirs,
            // Our own doubt stays.
            Entry::InFlux => false,
        });
        if other {
            self.entries.remove(user);
        }
    }

    /// From `since` on everything is heard; [`Self::UNHEARD`] where nothing is.
    fn hears_since(&self, since: Timestamp) {
        self.heard_since.store(since.0, Ordering::Release);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is one step: a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
