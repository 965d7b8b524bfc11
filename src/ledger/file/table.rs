//! What the file should have: the table in memory, from which it can be written again as a whole.

use super::disk::{Disk, Record};
use crate::{
    clock::Timestamp,
    keys::StoreName,
    ledger::{
        context::LedgerContext,
        memory::Memory,
        seal::{self, InvalidSeal},
        types::{Fact, Kind, PENDING_FOR, lock},
    },
    shutdown::Tasks,
};
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};
use tracing::{error, info, warn};

/// How often a full table is rid of what is too old.
const PRUNE: Duration = Duration::from_mins(1);

/// A ledger that has this table.
#[derive(Debug, Clone)]
pub(super) struct OpenLedger {
    pub(super) tasks: Tasks,
    pub(super) memory: Arc<Memory>,
}

pub(super) struct Table {
    pub(super) context: LedgerContext,
    values: Mutex<HashMap<StoreName, Vec<u8>>>,
    /// The ledger that is in use, and those that it has replaced, while something holds them.
    /// `None` when nothing is written any more.
    ledgers: Mutex<Option<Vec<OpenLedger>>>,
    capacity: AtomicUsize,
    expiration_ms: AtomicU64,
    /// Something is missing in the file, or is wrong in it.
    rewrite: AtomicBool,
    /// When the full table was last rid of what is too old.
    pruned: AtomicU64,
    trouble: Mutex<Option<&'static str>>,
}

impl Table {
    pub(super) fn new(context: LedgerContext, capacity: usize, ledger: OpenLedger) -> Self {
        Self {
            values: Mutex::default(),
            ledgers: Mutex::new(Some(vec![ledger])),
            capacity: AtomicUsize::new(capacity),
            expiration_ms: AtomicU64::new(millis(context.expiration)),
            context,
            rewrite: AtomicBool::new(true),
            pruned: AtomicU64::new(0),
            trouble: Mutex::new(None),
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.capacity.load(Ordering::Relaxed)
    }

    /// Whether its values can be read with these keys.
    pub(super) fn has_keys_of(&self, context: &LedgerContext) -> bool {
        let own = self.context.keys.all().map(|keys| keys.store.id);
        own.eq(context.keys.all().map(|keys| keys.store.id))
    }

    /// One more ledger has this table, with these bounds. Not if it has ended meanwhile.
    pub(super) fn share(&self, ledger: &OpenLedger, bounds: (usize, Duration)) -> bool {
        let mut ledgers = lock(&self.ledgers);
        let Some(ledgers) = ledgers.as_mut() else {
            return false;
        };
        ledgers.retain(|ledger| !ledger.tasks.is_ending() || Arc::strong_count(&ledger.memory) > 1);
        ledgers.push(ledger.clone());
        let (capacity, expiration) = bounds;
        self.capacity.store(capacity, Ordering::Relaxed);
        self.expiration_ms
            .store(millis(expiration), Ordering::Relaxed);
        true
    }

    /// Resolves when the end of all ledgers has begun.
    pub(super) async fn ending(&self) {
        loop {
            let next = lock(&self.ledgers).as_ref().and_then(|ledgers| {
                let mut ledgers = ledgers.iter();
                let next = ledgers.find(|ledger| !ledger.tasks.is_ending())?;
                Some(next.tasks.clone())
            });
            match next {
                Some(tasks) => tasks.ending().await,
                None => return,
            }
        }
    }

    /// Ends if the end of all ledgers has begun and none has an update. Nobody shares it any more.
    pub(super) fn close_if_idle(&self) -> bool {
        let mut ledgers = lock(&self.ledgers);
        let mut all = ledgers.iter().flatten();
        let is_idle = all.all(|ledger| ledger.tasks.is_ending() && !ledger.memory.has_updates());
        if is_idle {
            *ledgers = None;
        }
        is_idle
    }

    /// Nobody shares it any more.
    pub(super) fn close(&self) {
        *lock(&self.ledgers) = None;
    }

    /// Takes over what is valid. One record that is damaged makes all of them unusable: it may have
    /// been the one that took another back.
    pub(super) fn read(&self, disk: &Disk, records: Vec<Record>) {
        let (mut foreign, mut values) = (0_usize, HashMap::new());
        for Record { name, value } in records {
            match seal::open(&self.context.keys, &name, &value) {
                Ok(fact) if self.is_worth_keeping(&fact) => drop(values.insert(name, value)),
                Ok(_) => drop(values.remove(&name)),
                Err(InvalidSeal::ForeignKey) => foreign += 1,
                Err(InvalidSeal::Damaged) => {
                    warn!(
                        "the file in `cache.path` is damaged; it is set aside beside it, and the \
                         cluster is asked again"
                    );
                    disk.set_aside();
                    return;
                }
            }
        }
        if foreign > 0 {
            warn!(
                records = foreign,
                "the file in `cache.path` has records made with another `secret_key`; they are \
                 ignored"
            );
        }
        let users = values
            .values()
            .filter(|value| seal::claimed(value).is_some_and(|fact| fact.kind == Kind::Present))
            .count();
        info!(users, "users remembered from the file in `cache.path`");
        // What is known already is newer.
        let mut own = lock(&self.values);
        values.extend(std::mem::take(&mut *own));
        *own = values;
    }

    pub(super) fn get(&self, name: &StoreName) -> Option<Vec<u8>> {
        lock(&self.values).get(name).cloned()
    }

    /// Puts a value into the table if it has room; returns what was there before.
    pub(super) fn insert(&self, record: &Record) -> Option<Vec<u8>> {
        let mut values = lock(&self.values);
        if values.len() < self.capacity() || values.contains_key(&record.name) {
            return values.insert(record.name, record.value.clone());
        }
        drop(values);
        // Whatever is too old goes when the file is written again. That looks at everything, so it
        // is not done for each value that finds no room.
        let (now, pruned) = (
            self.context.clock.now(),
            self.pruned.load(Ordering::Relaxed),
        );
        if now.since(Timestamp(pruned)).is_none_or(|age| age >= PRUNE) {
            self.pruned.store(now.0, Ordering::Relaxed);
            self.needs_rewrite();
        }
        None
    }

    pub(super) fn remove(&self, name: &StoreName) -> bool {
        lock(&self.values).remove(name).is_some()
    }

    pub(super) fn is_worth_keeping(&self, fact: &Fact) -> bool {
        let kept_for = match fact.kind {
            Kind::Present => Duration::from_millis(self.expiration_ms.load(Ordering::Relaxed)),
            Kind::WritePending => PENDING_FOR,
        };
        let age = self.context.clock.now().since(fact.at);
        age.is_none_or(|age| age < kept_for)
    }

    /// Everything that is still worth keeping. The seals were verified when the values came:
    /// updates wait for this lock.
    pub(super) fn snapshot(&self) -> Vec<Record> {
        let mut values = lock(&self.values);
        values.retain(|_, value| {
            seal::claimed(value).is_some_and(|fact| self.is_worth_keeping(&fact))
        });
        values
            .iter()
            .map(|(name, value)| Record {
                name: *name,
                value: value.clone(),
            })
            .collect()
    }

    pub(super) fn needs_rewrite(&self) {
        self.rewrite.store(true, Ordering::Release);
    }

    pub(super) fn take_rewrite(&self) -> bool {
        self.rewrite.swap(false, Ordering::AcqRel)
    }

    /// What the file has not taken is in the table, and comes when it is written again.
    pub(super) fn failed(&self, why: &io::Error) {
        self.needs_rewrite();
        if self.set_trouble(Some("it cannot be written")) {
            error!(
                error = %why,
                "the file in `cache.path` cannot be written; logins go on, and the next start asks \
                 the cluster again"
            );
        }
    }

    pub(super) fn trouble(&self) -> Option<&'static str> {
        *lock(&self.trouble)
    }

    /// Says whether that is new.
    pub(super) fn set_trouble(&self, why: Option<&'static str>) -> bool {
        std::mem::replace(&mut *lock(&self.trouble), why) != why
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
