//! What the file should have: the table in memory, from which it can be written again as a whole.

use super::disk::{Disk, Record};
use crate::{
    clock::Timestamp,
    keys::StoreName,
    ledger::{
        context::LedgerContext,
        seal::{self, InvalidSeal},
        types::{Fact, Kind, PENDING_FOR, lock},
    },
};
use std::{
    collections::HashMap,
    io,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tracing::{error, info, warn};

/// How often a full table is rid of what is too old.
const PRUNE: Duration = Duration::from_mins(1);

pub(super) struct Table {
    pub(super) context: LedgerContext,
    values: Mutex<HashMap<StoreName, Vec<u8>>>,
    capacity: usize,
    /// Something is missing in the file, or is wrong in it.
    rewrite: AtomicBool,
    /// When the full table was last rid of what is too old.
    pruned: AtomicU64,
    trouble: Mutex<Option<&'static str>>,
}

impl Table {
    pub(super) fn new(context: LedgerContext, capacity: usize) -> Self {
        Self {
            context,
            values: Mutex::default(),
            capacity,
            rewrite: AtomicBool::new(true),
            pruned: AtomicU64::new(0),
            trouble: Mutex::new(None),
        }
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
        *lock(&self.values) = values;
    }

    pub(super) fn get(&self, name: &StoreName) -> Option<Vec<u8>> {
        lock(&self.values).get(name).cloned()
    }

    /// Puts a value into the table if it has room; returns what was there before.
    pub(super) fn insert(&self, record: &Record) -> Option<Vec<u8>> {
        let mut values = lock(&self.values);
        if values.len() < self.capacity || values.contains_key(&record.name) {
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
            Kind::Present => self.context.expiration,
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
