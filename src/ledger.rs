//! What the cluster has agreed to: "this user stood there with this fingerprint, seen then". It
//! holds no secret, and losing it costs a few calls, never a login.
//!
//! Entries live in memory, and a known user is answered from there alone. Behind the memory there
//! may be a store: Redis, which replicas share, or a file, which outlives the process. A store is
//! asked and told only within a flight, and it is never believed without its seal.
//!
//! (A long file: what is remembered, a flight's place in it and what others say meanwhile are one
//! set of rules under one lock, and are read together.)

mod file;
pub mod redis;
mod seal;

use crate::{
    clock::{Clock, Timestamp},
    keys::{Keyring, Slot},
    model::{Fingerprint, Username},
    shutdown::Tasks,
    telemetry::ClusterTelemetry,
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

/// How long an entry is believed at most while changes by other replicas may go unheard. Short
/// against the life of a group membership, and long enough to spare the cluster most calls. Each
/// user has a share of his own between half of it and all of it: when Redis goes, not everybody is
/// asked about at once.
const UNHEARD: Duration = Duration::from_secs(10);

/// How long a write that has begun counts as under way in a store: it has 10 s, and one that was
/// given up may be applied until the cluster's own time-outs have passed (90 s).
const FLUX: Duration = Duration::from_secs(100);
/// How long another replica's write is waited for. A cluster writes a user in tens of milliseconds;
/// of one that takes longer only its replica knows the end.
const UNDER_WAY: Duration = Duration::from_millis(500);

/// A fingerprint with which no user stands: told to other replicas, it contradicts whatever they
/// remember.
const NO_FINGERPRINT: Fingerprint = Fingerprint([0; 16]);

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// How many users are remembered; beyond it the least used are forgotten, which costs a call
    /// each and never a login.
    pub capacity: usize,
    /// What is behind the memory.
    pub store: StoreConfig,
}

/// What stands behind the memory.
#[derive(Debug, Clone, Default)]
pub enum StoreConfig {
    /// Nothing.
    #[default]
    Memory,
    /// Redis, shared by replicas.
    Redis(Box<redis::Config>),
    /// A file in this folder, of one process at a time.
    File(PathBuf),
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
    Present {
        /// Of the document and the password.
        fingerprint: Fingerprint,
        /// When the cluster said so.
        seen: Timestamp,
    },
    /// A write has begun and its end is not known: nothing may be answered on the strength of what
    /// was known before.
    WritePending,
}

/// What became of the wish to know nothing of a user any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forgotten {
    /// Whether this replica knew him.
    pub known: bool,
    /// What the other replicas hear of it.
    pub others: Others,
}

/// What other replicas hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Nothing: there is no Redis between them.
    NotShared,
    /// They are told at once.
    Reported,
    /// They are told when Redis is there again.
    ReportedLater,
}

/// What a flight is to bring about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Whose flight it is.
    pub user: Username,
    /// With which fingerprint the user is to stand.
    pub fingerprint: Fingerprint,
    /// In which period of passwords.
    pub epoch: u64,
    /// Under which key.
    pub key: Slot,
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
    /// An empty ledger. Memory is taken as entries come, and nothing waits for the store, now or
    /// later. An entry is used for `expiration` at most.
    ///
    /// # Errors
    /// When a certificate file cannot be used.
    pub fn start(
        config: &Config,
        keys: &Arc<Keyring>,
        expiration: Duration,
        clock: &Clock,
        tasks: &Tasks,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, StartError> {
        // From Redis, nothing is heard yet.
        let phase = if matches!(config.store, StoreConfig::Redis(_)) {
            Front::NEVER_HEARD
        } else {
            Front::ALL_HEARD
        };
        let front = Arc::new(Front::new(config.capacity, phase));
        let store = match &config.store {
            StoreConfig::Memory => Store::Memory,
            StoreConfig::Redis(redis) => Store::Redis(
                redis::Redis::start(
                    redis,
                    Arc::clone(keys),
                    expiration,
                    Arc::clone(&front),
                    clock.clone(),
                    tasks,
                    &telemetry.clocks,
                )
                .map_err(StartError::Redis)?,
            ),
            StoreConfig::File(folder) => Store::File(file::File::start(
                folder,
                Arc::clone(keys),
                expiration,
                config.capacity,
                Arc::clone(&front),
                clock,
                tasks,
            )),
        };
        Ok(Self { front, store })
    }

    /// What is known of this user. How long that is believed is the caller's to judge, and ends
    /// sooner while other replicas go unheard.
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

    /// Shows Redis what a new configuration has for it, from the next connection on; the store
    /// itself stays the same.
    pub fn replace_access(&self, access: redis::Access) {
        if let Store::Redis(redis) = &self.store {
            redis.replace(access);
        }
    }

    /// Begins a flight, and asks the store for what it knows of the user, unless that is known: at
    /// most [`redis::DEADLINE`].
    pub async fn begin_update(&self, target: Target) -> Update {
        let mut update = self.front.begin_update(target);
        update.vouched = match &self.store {
            Store::Memory => None,
            // After a write of which we do not know the end, Redis may not have been told of its
            // beginning and still say what stood before.
            Store::Redis(_) if self.front.in_flux(&update.target.user) => None,
            Store::Redis(redis) => match redis.as_remembered(&update) {
                None => redis.look(&update.target).await,
                remembered => remembered,
            },
            Store::File(file) => file.look(&update.target),
        };
        update
    }

    /// Takes over what the store vouches for, with the time at which the cluster said so.
    pub fn use_stored(&self, update: &Update, seen: Timestamp, now: Timestamp) {
        self.front.keep(
            update,
            Entry::Present {
                fingerprint: update.target.fingerprint,
                seen,
            },
            now,
            false,
        );
    }

    /// A write is about to leave: nobody may be answered on the strength of what stood before, here
    /// or, as far as the store can be told in time, elsewhere.
    pub async fn begin_write(&self, update: &mut Update, now: Timestamp) {
        self.front.keep(update, Entry::WritePending, now, false);
        match &self.store {
            Store::Memory => {}
            Store::Redis(redis) => update.expected = redis.begin_write(&update.target, now).await,
            Store::File(file) => file.begin_write(&update.target, now).await,
        }
    }

    /// Whether another replica writes this user just now, as far as is known here: it was heard
    /// during this flight, or found in the store when the flight began.
    #[must_use]
    pub fn is_written_elsewhere(&self, update: &Update, now: Timestamp) -> bool {
        // A write that began longer ago hangs, or was lost with its replica. One that has begun in
        // the future comes from a clock that is ahead.
        let begun = update
            .others_began()
            .is_some_and(|at| now.since(at).is_none_or(|age| age < UNDER_WAY));
        begun
            || lock(&self.front.aloft)
                .get(&update.target.user)
                .is_some_and(|aloft| aloft.others_write)
    }

    /// The user stands as this flight wants it: what is remembered otherwise is over, even if the
    /// flight has still to wait.
    pub fn drop_outdated(&self, update: &Update) {
        let _known = self
            .front
            .contradict(&update.target.user, update.target.fingerprint);
    }

    /// The user was written.
    pub fn written(&self, update: &Update, now: Timestamp) {
        self.stands(update, now, true);
    }

    /// The cluster was asked, and the user stands as this flight wants it.
    pub fn confirmed(&self, update: &Update, now: Timestamp) {
        self.stands(update, now, false);
    }

    fn stands(&self, update: &Update, now: Timestamp, written: bool) {
        let target = &update.target;
        let brief = if written {
            matches!(update.expected, Expected::Others)
        } else {
            update.others_began().is_some()
        };
        let alone = self.front.keep(
            update,
            Entry::Present {
                fingerprint: target.fingerprint,
                seen: now,
            },
            now,
            brief,
        );
        if update.local_only {
            // What the store says of a write in the air stays there until it is too old.
            return;
        }
        match &self.store {
            Store::Memory => {}
            Store::Redis(redis) => redis.stands(update, now, written, alone),
            Store::File(file) => file.stands(update, now, written),
        }
    }

    /// Drops what is known of a user, here and in the store, and tells the other replicas: whoever
    /// asks next, the cluster is asked.
    #[must_use]
    pub fn forget(&self, user: &Username) -> Forgotten {
        let known = self.front.contradict(user, NO_FINGERPRINT);
        let others = match &self.store {
            Store::Memory => Others::NotShared,
            Store::Redis(redis) => redis.forget(user),
            Store::File(file) => {
                file.forget(user);
                Others::NotShared
            }
        };
        Forgotten { known, others }
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
        f.debug_struct("Ledger")
            .field("users", &self.len())
            .finish_non_exhaustive()
    }
}

/// One flight's place in the ledger. While it lives, what other replicas say about the user is
/// noticed.
#[derive(Debug)]
pub struct Update {
    target: Target,
    vouched: Option<Found>,
    expected: Expected,
    /// What was known to lie in the store when this flight began.
    stored: Stored,
    /// What this flight learns is for this process alone.
    local_only: bool,
    /// In which phase of hearing it has begun: what it brings home may have missed a change of
    /// before.
    phase: u64,
    front: Arc<Front>,
}

impl Update {
    /// A write of unknown end may still undo what this flight brings about. Only this process
    /// knows, and only for its life: neither other replicas nor the next start may be told that the
    /// user stands.
    pub fn keep_local(&mut self) {
        self.local_only = true;
    }

    /// Whose flight it is.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.target.user
    }

    /// When the cluster said, to some replica, that the user stands as this flight wants it; as far
    /// as the store knows.
    #[must_use]
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        let fact = self.vouched.as_ref()?.fact?;
        (fact.kind == Kind::Present
            && fact.fingerprint == self.target.fingerprint
            && fact.epoch == self.target.epoch)
            .then_some(fact.at)
    }

    /// When another replica's write began that is on its way, or has been lost on it; as the store
    /// had it when this flight began.
    fn others_began(&self) -> Option<Timestamp> {
        let fact = self.vouched.as_ref()?.fact?;
        (fact.kind == Kind::WritePending).then_some(fact.at)
    }
}

impl Drop for Update {
    fn drop(&mut self) {
        lock(&self.front.aloft).remove(&self.target.user);
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
    /// Not known: the store could not be told in time.
    #[default]
    Unknown,
    /// Nothing that could be right: another write was under way when this one began, and may end
    /// after it.
    Others,
    /// This very value, or one about the same.
    Value(Vec<u8>),
}

/// The memory.
#[derive(Debug)]
struct Front {
    entries: Cache<Username, Kept>,
    /// Users of flights, and whether another replica has said something else about them meanwhile.
    /// Flights are bounded, and so is this.
    aloft: Mutex<HashMap<Username, Aloft>>,
    /// Counts the changes between hearing others and not hearing them: odd while every change is
    /// heard.
    phase: AtomicU64,
    /// Until when the latest phase of hearing that is over is known to have lasted, in
    /// milliseconds.
    heard_until: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Kept {
    entry: Entry,
    /// When it came here.
    at: Timestamp,
    /// The phase in which every change of it was heard; [`Front::NEVER_HEARD`] where none was, or
    /// where another replica's write is known to be under way.
    phase: u64,
    stored: Stored,
}

/// What is known to lie in the store about a user who stands with the fingerprint of his entry.
/// Where it is wrong nothing worse comes of it than a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stored {
    /// Nothing is known, as after another replica's word has been found there.
    Unknown,
    /// That he does, and that the cluster said so then: to this replica, or to one that has told
    /// us. The latter may be later than what the entry says.
    At(Timestamp),
    /// What the others say about him does not count: this process alone knows of a write that may
    /// still undo it.
    Apart,
}

impl Stored {
    /// Whether a word of that moment is later than what was known.
    fn may_become(self, seen: Timestamp) -> bool {
        match self {
            Self::Unknown => true,
            Self::At(known) => known < seen,
            Self::Apart => false,
        }
    }
}

impl Kept {
    /// What may be believed: a check by another replica counts from when our own clock has reached
    /// its moment.
    fn as_of(&self, now: Timestamp) -> Entry {
        match (self.entry, self.stored) {
            (Entry::Present { fingerprint, seen }, Stored::At(told))
                if told > seen && told <= now =>
            {
                Entry::Present {
                    fingerprint,
                    seen: told,
                }
            }
            (entry, _) => entry,
        }
    }

    fn stands_with(&self, wanted: Fingerprint) -> bool {
        matches!(self.entry, Entry::Present { fingerprint, .. } if fingerprint == wanted)
    }
}

#[derive(Debug)]
struct Aloft {
    fingerprint: Fingerprint,
    contradicted: bool,
    /// Another replica has begun or ended a write meanwhile, whatever it writes.
    others_write: bool,
}

impl Front {
    /// The phase of one who does not hear others, and never has.
    const NEVER_HEARD: u64 = 0;
    /// The phase of one who hears everything there is to hear.
    const ALL_HEARD: u64 = 1;

    fn new(capacity: usize, phase: u64) -> Self {
        Self {
            entries: Cache::new(capacity),
            aloft: Mutex::default(),
            phase: AtomicU64::new(phase),
            heard_until: AtomicU64::new(0),
        }
    }

    fn recall(&self, user: &Username, now: Timestamp) -> Option<Entry> {
        let kept = self.entries.get(user)?;
        let phase = self.phase.load(Ordering::Acquire);
        if kept.entry == Entry::WritePending || (kept.phase == phase && is_heard(phase)) {
            return Some(kept.as_of(now));
        }
        // The latest phase of hearing that is over: what was kept in it was right to its end.
        let latest = if is_heard(phase) {
            phase.checked_sub(2)
        } else {
            phase.checked_sub(1)
        };
        let since = if Some(kept.phase) == latest {
            kept.at.0.max(self.heard_until.load(Ordering::Acquire))
        } else {
            kept.at.0
        };
        now.since(Timestamp(since))
            .is_some_and(|age| age < unheard(user))
            .then(|| kept.as_of(now))
    }

    fn in_flux(&self, user: &Username) -> bool {
        self.entries
            .get(user)
            .is_some_and(|kept| kept.entry == Entry::WritePending)
    }

    fn begin_update(self: &Arc<Self>, target: Target) -> Update {
        lock(&self.aloft).insert(
            target.user.clone(),
            Aloft {
                fingerprint: target.fingerprint,
                contradicted: false,
                others_write: false,
            },
        );
        let phase = self.phase.load(Ordering::Acquire);
        let stored = self.stored(&target.user, target.fingerprint);
        Update {
            target,
            vouched: None,
            expected: Expected::Unknown,
            stored,
            local_only: false,
            phase,
            front: Arc::clone(self),
        }
    }

    /// What is known to lie in the store about this user, as long as every change is heard.
    fn stored(&self, user: &Username, fingerprint: Fingerprint) -> Stored {
        self.heard(user, fingerprint)
            .map_or(Stored::Unknown, |kept| kept.stored)
    }

    /// Another replica has asked the cluster at `seen`, and its answer lies in the store.
    fn told(&self, user: &Username, fingerprint: Fingerprint, seen: Timestamp) {
        self.note(user, fingerprint, Stored::At(seen), |kept| {
            kept.stored.may_become(seen)
        });
    }

    /// What this replica knows of the user since `seen` lies in the store.
    fn lies_there(&self, user: &Username, fingerprint: Fingerprint, seen: Timestamp) {
        let entry = Entry::Present { fingerprint, seen };
        self.note(user, fingerprint, Stored::At(seen), |kept| {
            kept.entry == entry && kept.stored.may_become(seen)
        });
    }

    /// What was to lie in the store does not.
    fn lies_there_no_more(&self, user: &Username, fingerprint: Fingerprint, seen: Timestamp) {
        self.note(user, fingerprint, Stored::Unknown, |kept| {
            kept.stored == Stored::At(seen)
        });
    }

    /// Notes what lies in the store about a user who stands with this fingerprint. Makes no entry,
    /// and leaves one alone of which a change may have gone unheard.
    fn note(
        &self,
        user: &Username,
        fingerprint: Fingerprint,
        stored: Stored,
        agrees: impl FnOnce(&Kept) -> bool,
    ) {
        // Between the look and the change nobody may contradict.
        let _aloft = lock(&self.aloft);
        if let Some(kept) = self.heard(user, fingerprint).filter(agrees) {
            self.entries.insert(user.clone(), Kept { stored, ..kept });
        }
    }

    /// What is kept of a user who stands with this fingerprint, if every change of it was heard.
    fn heard(&self, user: &Username, fingerprint: Fingerprint) -> Option<Kept> {
        let phase = self.phase.load(Ordering::Acquire);
        self.entries
            .peek(user)
            .filter(|kept| kept.stands_with(fingerprint) && kept.phase == phase && is_heard(phase))
    }

    /// Keeps what a flight has learnt, unless another replica has contradicted it meanwhile; says
    /// whether nobody has.
    fn keep(&self, update: &Update, entry: Entry, at: Timestamp, brief: bool) -> bool {
        let user = &update.target.user;
        // Held over both steps: a contradiction comes before them and is seen, or after them and
        // removes the entry.
        let aloft = lock(&self.aloft);
        let contradicted = aloft.get(user).is_some_and(|aloft| aloft.contradicted);
        if contradicted && entry != Entry::WritePending {
            self.entries.remove(user);
        } else {
            let phase = self.phase.load(Ordering::Acquire);
            let heard = !brief && phase == update.phase && is_heard(phase);
            let stored = match entry {
                Entry::WritePending => Stored::Unknown,
                Entry::Present { .. } if update.local_only => Stored::Apart,
                Entry::Present { seen, .. } if update.confirmed_at() == Some(seen) => {
                    Stored::At(seen)
                }
                // The store is told later.
                Entry::Present { fingerprint, .. } => match self.stored(user, fingerprint) {
                    Stored::Apart => Stored::Unknown,
                    known @ (Stored::Unknown | Stored::At(_)) => known,
                },
            };
            let phase = if heard { phase } else { Self::NEVER_HEARD };
            self.entries.insert(
                user.clone(),
                Kept {
                    entry,
                    at,
                    phase,
                    stored,
                },
            );
        }
        !contradicted
    }

    /// Another replica writes this user, or has: what is remembered of him is believed no more,
    /// unless it is the same. Says whether anything was remembered.
    fn contradict(&self, user: &Username, theirs: Fingerprint) -> bool {
        let mut aloft = lock(&self.aloft);
        if let Some(flight) = aloft.get_mut(user) {
            flight.others_write = true;
            flight.contradicted |= flight.fingerprint != theirs;
        }
        let kept = self.entries.get(user);
        match kept {
            Some(Kept {
                entry: Entry::Present { fingerprint, .. },
                ..
            }) if fingerprint != theirs => drop(self.entries.remove(user)),
            // The same: he stands, and something else lies in the store.
            Some(
                same @ Kept {
                    stored: Stored::At(_),
                    ..
                },
            ) => self.entries.insert(
                user.clone(),
                Kept {
                    stored: Stored::Unknown,
                    ..same
                },
            ),
            // Our own doubt stays.
            Some(_) | None => {}
        }
        kept.is_some()
    }

    /// From now on everything is heard.
    fn hears(&self) {
        if !is_heard(self.phase.load(Ordering::Acquire)) {
            self.phase.fetch_add(1, Ordering::Release);
        }
    }

    /// Nothing is heard any more; everything was until `until`.
    fn hears_no_more(&self, until: Timestamp) {
        if is_heard(self.phase.load(Ordering::Acquire)) {
            self.heard_until.store(until.0, Ordering::Release);
            self.phase.fetch_add(1, Ordering::Release);
        }
    }
}

fn is_heard(phase: u64) -> bool {
    phase % 2 == 1
}

/// This user's share of [`UNHEARD`].
fn unheard(user: &Username) -> Duration {
    let half = UNHEARD / 2;
    half + half * u32::from(user.place().to_be_bytes()[0]) / 255
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change under these locks is one step: a panic elsewhere leaves it whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
