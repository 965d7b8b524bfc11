//! Facts that outlive the process, in a file of a folder that one process has at a time.
//!
//! The file is never on the way of a known user. An update asks the table that was read at the
//! start, and what it learns is written in the background. Only if the file still says that a user
//! is present, a write to the cluster waits until it no longer does, and no longer than [`WRITTEN`]
//! and [`DEADLINE`]. A disk that is full, slow or away costs calls to the cluster after the next
//! start, never a login.

mod disk;
mod folder;
mod place;
mod table;
mod writer;

pub(super) use place::Place;

use super::{
    context::LedgerContext,
    memory::Memory,
    redis::DEADLINE,
    seal,
    types::{Fact, Found, How, Kind, NO_FINGERPRINT, Target, lock},
    update::Update,
};
use crate::{
    clock::Timestamp,
    model::{Generation, Username},
};
use disk::Record;
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};
use table::{OpenLedger, Table};
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use writer::Line;

/// Records on their way to the disk, about 150 bytes each. One that finds no room is not lost: the
/// whole file is then written again from the table.
const QUEUE: usize = 8_192;
/// How long a write to the cluster waits until the system has what is written before it. It does
/// within a millisecond, but for a disk that hangs or a machine that is far too busy.
const WRITTEN: Duration = Duration::from_millis(500);

/// The store. Clones of one are of several ledgers, of which each but one has been replaced.
pub(super) struct File {
    table: Arc<Table>,
    lines: mpsc::Sender<Line>,
}

/// The files that this process has, by folder: a ledger that is made instead of another one goes
/// on with its file, and so learns of its pending writes.
#[derive(Debug, Clone, Default)]
pub struct Folders(Arc<Mutex<HashMap<PathBuf, Known>>>);

#[derive(Debug)]
struct Known {
    file: Weak<File>,
    /// Cancelled when nobody has the folder any more.
    released: CancellationToken,
}

impl File {
    /// Takes the folder and reads the file. Waits for the local disk and for nothing else; if
    /// anything is wrong, memory alone is used.
    pub(super) fn start(
        place: Place,
        capacity: usize,
        memory: &Arc<Memory>,
        context: LedgerContext,
        folders: &Folders,
    ) -> Arc<Self> {
        let ledger = OpenLedger {
            tasks: context.tasks.clone(),
            memory: Arc::clone(memory),
        };
        let mut all = lock(&folders.0);
        all.retain(|_, known| !known.released.is_cancelled());
        let known = all.get(&place.folder);
        let file = known.and_then(|known| known.file.upgrade());
        let file = file.filter(|file| file.table.has_keys_of(&context));
        let bounds = (capacity, context.expiration);
        if let Some(file) = file
            && file.table.share(&ledger, bounds)
        {
            return file;
        }
        let before = known.map(|known| known.released.clone());
        let released = CancellationToken::new();
        let (lines, coming) = mpsc::channel(QUEUE);
        let tasks = context.tasks.clone();
        let table = Arc::new(Table::new(context, capacity, ledger));
        let file = Arc::new(Self {
            table: Arc::clone(&table),
            lines,
        });
        let known = Known {
            file: Arc::downgrade(&file),
            released: released.clone(),
        };
        all.insert(place.folder.clone(), known);
        drop(all);
        let released = released.drop_guard();
        let is_now = before.is_none() && (!place.is_transient || place.exists());
        let disk = if is_now {
            let Some(disk) = place.take(&table) else {
                return file;
            };
            Some(disk)
        } else {
            None
        };
        tasks.spawn(async move {
            writer::run(table, place, disk, before, coming).await;
            drop(released);
        });
        file
    }

    pub(super) fn state(&self) -> Result<(), &'static str> {
        self.table.trouble().map_or(Ok(()), Err)
    }

    /// What the file has about the user.
    pub(super) fn look(&self, target: &Target) -> Option<Found> {
        let keys = &self.table.context.keys;
        let name = keys.of(target.key).store.name(&target.user);
        let value = self.table.get(&name)?;
        let fact = seal::open(keys, &name, &value)
            .ok()
            .filter(|fact| self.table.is_worth_keeping(fact));
        Some(Found {
            fact,
            value: Some(value),
        })
    }

    /// Stores "write pending" instead of what the file says, before a write makes that wrong. It
    /// outlives the process: a write that is lost on its way may take effect late, and the next
    /// process must know.
    pub(super) async fn begin_write(&self, target: &Target, now: Timestamp) {
        let record = self.record(target, Kind::WritePending, now);
        let ((outlives, written), (lasts, synced)) = (oneshot::channel(), oneshot::channel());
        let old = self.table.insert(&record);
        self.put(record, Some((outlives, lasts)));
        if old
            .as_deref()
            .and_then(seal::claimed)
            .is_some_and(|fact| fact.kind == Kind::Present)
        {
            // Late or never, the write goes on. Writing does not usually wait for the disk, and a
            // process may be killed at any time.
            let _best_effort = timeout(WRITTEN, written).await;
            let _best_effort = timeout(DEADLINE, synced).await;
        }
    }

    /// Removes what the file says about the user.
    pub(super) fn forget(&self, user: &Username) {
        for keys in self.table.context.keys.all().map(|keys| &keys.store) {
            let name = keys.name(user);
            if self.table.remove(&name) {
                // A write that began in 1970 has ended long ago: nobody is present, and nothing is
                // pending.
                let nothing = Fact {
                    kind: Kind::WritePending,
                    epoch: 0,
                    generation: Generation::default(),
                    fingerprint: NO_FINGERPRINT,
                    at: Timestamp(0),
                };
                let value = seal::close(keys, &name, &nothing);
                self.put(Record { name, value }, None);
            }
        }
    }

    /// The user is as the update wanted it.
    pub(super) fn present(&self, update: &Update, now: Timestamp, how: How) {
        if how == How::Confirmed && update.other_write_began().is_some() {
            // A write that was lost may yet undo it.
            return;
        }
        let record = self.record(&update.target, Kind::Present, now);
        self.table.insert(&record);
        self.put(record, None);
    }

    fn record(&self, target: &Target, kind: Kind, at: Timestamp) -> Record {
        let keys = &self.table.context.keys.of(target.key).store;
        let name = keys.name(&target.user);
        let value = seal::close(keys, &name, &Fact::about(target, kind, at));
        Record { name, value }
    }

    fn put(&self, record: Record, done: Option<(oneshot::Sender<()>, oneshot::Sender<()>)>) {
        if self.lines.try_send(Line { record, done }).is_err() {
            self.table.needs_rewrite();
        }
    }
}

#[cfg(test)]
mod tests;
