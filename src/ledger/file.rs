//! Facts that outlive the process, in a file of a folder that one process has at a time.
//!
//! The file is never on the way of a known user. An update asks the table that was read at the
//! start, and what it learns is written in the background. Only if the file still says that a user
//! is present, a write to the cluster waits until it no longer does, and no longer than [`WRITTEN`]
//! and [`DEADLINE`]. A disk that is full, slow or away costs calls to the cluster after the next
//! start, never a login.

mod disk;
mod folder;
mod table;
mod writer;

use super::{
    context::LedgerContext,
    memory::Memory,
    redis::DEADLINE,
    seal,
    types::{Fact, Found, How, Kind, NO_FINGERPRINT, Target},
    update::Update,
};
use crate::{
    clock::Timestamp,
    model::{Generation, Username},
};
use disk::{Disk, Record, TakeError};
use std::{path::Path, sync::Arc, time::Duration};
use table::Table;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tracing::warn;
use writer::Line;

/// Records on their way to the disk, about 150 bytes each. One that finds no room is not lost: the
/// whole file is then written again from the table.
const QUEUE: usize = 8_192;
/// How long a write to the cluster waits until the system has what is written before it. It does
/// within a millisecond, but for a disk that hangs or a machine that is far too busy.
const WRITTEN: Duration = Duration::from_millis(500);

/// The store.
pub(super) struct File {
    table: Arc<Table>,
    lines: mpsc::Sender<Line>,
}

impl File {
    /// Takes the folder and reads the file. Waits for the local disk and for nothing else; if
    /// anything is wrong, memory alone is used.
    pub(super) fn start(
        folder: &Path,
        capacity: usize,
        memory: &Arc<Memory>,
        context: LedgerContext,
    ) -> Self {
        let (lines, coming) = mpsc::channel(QUEUE);
        let tasks = context.tasks.clone();
        let table = Arc::new(Table::new(context, capacity));
        match Disk::take(folder, capacity) {
            Ok((disk, records)) => {
                table.read(&disk, records);
                let (table, memory) = (Arc::clone(&table), Arc::clone(memory));
                tasks.spawn(writer::run(table, disk, coming, memory));
            }
            Err(TakeError::Taken) => {
                warn!(
                    "another process has the folder of `cache.path`; users are remembered in \
                     memory alone"
                );
                table.set_trouble(Some("another process has the folder"));
            }
            Err(TakeError::Io(step, why)) => {
                warn!(
                    folder = %folder.display(),
                    error = %why,
                    "the folder of `cache.path` cannot be used ({step}); users are remembered in \
                     memory alone"
                );
                table.set_trouble(Some("the folder cannot be used"));
            }
        }
        Self { table, lines }
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
