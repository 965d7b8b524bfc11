//! The file itself: a line that names the layout, then records of one length, each sealed. The last
//! record of a name counts.

use super::folder::Folder;
use crate::{keys::StoreName, ledger::seal::VALUE};
use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::Path,
};
use tracing::warn;

const FIRST_LINE: &[u8] = b"elastauth ledger 1\n";
const LEDGER: &str = "ledger";
const LOCK: &str = "ledger.lock";
/// What is being written, until it takes the place of the ledger.
const NEW: &str = "ledger.new";
const RECORD: usize = 16 + VALUE;
/// A shorter file is never written again for its length.
const SHORT: u64 = 1 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) name: StoreName,
    pub(super) value: Vec<u8>,
}

/// The folder, taken.
#[derive(Debug)]
pub(super) struct Disk {
    folder: Folder,
    /// Held open: the lock is this process's for as long as it lives, however it ends.
    _lock: fs::File,
    file: Option<fs::File>,
    length: u64,
    /// How long it was when it was last written as a whole.
    whole: u64,
}

/// Why the folder is not ours.
#[derive(Debug)]
pub(super) enum TakeError {
    /// Another process has it.
    Taken,
    /// The system refuses a step.
    Io(&'static str, io::Error),
}

impl Disk {
    /// Takes the folder and reads the file.
    pub(super) fn take(folder: &Path, capacity: usize) -> Result<(Self, Vec<Record>), TakeError> {
        let folder = Folder::open(folder).map_err(|why| TakeError::Io("open it", why))?;
        let lock = folder.open_or_create(LOCK);
        let lock = lock.map_err(|why| TakeError::Io("open its lock", why))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(TakeError::Taken),
            Err(fs::TryLockError::Error(why)) => return Err(TakeError::Io("lock it", why)),
        }
        let disk = Self {
            folder,
            _lock: lock,
            file: None,
            length: 0,
            whole: 0,
        };
        let records = disk
            .read(capacity)
            .map_err(|why| TakeError::Io("read its file", why))?;
        Ok((disk, records))
    }

    fn read(&self, capacity: usize) -> io::Result<Vec<Record>> {
        let file = match self.folder.read(LEDGER) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // We never write more than this; a longer one is not ours and does not get our memory.
        let most = 2 * SHORT + 4 * (capacity as u64).saturating_mul(RECORD as u64);
        let mut bytes = Vec::new();
        file.take(most + 1).read_to_end(&mut bytes)?;
        let records = if bytes.len() as u64 > most {
            None
        } else {
            bytes.strip_prefix(FIRST_LINE)
        };
        let Some(records) = records else {
            if !bytes.is_empty() {
                warn!(
                    "the file in `cache.path` is not one of elastauth's, or far too long; it is set \
                     aside"
                );
                self.set_aside();
            }
            return Ok(Vec::new());
        };
        // What is left over is the beginning of a record that a crash has cut: its write to the
        // cluster had not begun.
        let whole = records.chunks_exact(RECORD).filter_map(|record| {
            let (name, value) = record.split_first_chunk()?;
            Some(Record {
                name: *name,
                value: value.to_vec(),
            })
        });
        Ok(whole.collect())
    }

    /// Keeps the file for a look, out of the way. One is kept.
    pub(super) fn set_aside(&self) {
        if let Err(why) = self.folder.rename(LEDGER, "ledger.damaged") {
            warn!(error = %why, "it cannot be set aside; it is written over");
        }
    }

    /// Whether most of its records are outdated.
    pub(super) fn is_long(&self) -> bool {
        self.length > SHORT + 2 * self.whole
    }

    /// The file, to be synchronized with the disk.
    pub(super) fn handle(&self) -> io::Result<fs::File> {
        self.file
            .as_ref()
            .ok_or_else(|| io::Error::other("the file was given up"))?
            .try_clone()
    }

    /// Removes the file and the folder. What else is in the folder stays, and then the folder does.
    pub(super) fn remove(self, path: &Path) {
        for name in [NEW, LEDGER, LOCK] {
            let _may_be_missing = self.folder.remove(name);
        }
        let _stays_unless_empty = fs::remove_dir(path);
    }

    /// Adds records. They outlive this process from now on, and the machine once the file is
    /// synchronized.
    pub(super) fn append(&mut self, records: &[Record]) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else {
            return Err(io::Error::other("the file was given up"));
        };
        let mut bytes = Vec::with_capacity(records.len() * RECORD);
        for record in records {
            add(&mut bytes, record);
        }
        match file.write_all(&bytes) {
            Ok(()) => {
                self.length += bytes.len() as u64;
                Ok(())
            }
            Err(why) => {
                self.give_up();
                Err(why)
            }
        }
    }

    /// Writes a new file instead of the old one: a reader sees the one or the other.
    pub(super) fn rewrite(&mut self, records: &[Record]) -> io::Result<()> {
        let written = self.write_new(records);
        if written.is_err() {
            self.give_up();
        }
        written
    }

    fn write_new(&mut self, records: &[Record]) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(FIRST_LINE.len() + records.len() * RECORD);
        bytes.extend_from_slice(FIRST_LINE);
        for record in records {
            add(&mut bytes, record);
        }
        let _gone_already = self.folder.remove(NEW);
        let mut file = self.folder.create(NEW)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        self.folder.rename(NEW, LEDGER)?;
        self.folder.sync()?;
        self.file = Some(file);
        self.length = bytes.len() as u64;
        self.whole = self.length;
        Ok(())
    }

    /// A file that cannot be written any more would be outdated. To remove it needs no room.
    pub(super) fn give_up(&mut self) {
        self.file = None;
        for name in [NEW, LEDGER] {
            match self.folder.remove(name) {
                Ok(()) => {}
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => {
                    warn!(
                        error = %why,
                        "an outdated file in `cache.path` cannot be removed; remove it before the \
                         next start"
                    );
                }
            }
        }
    }
}

fn add(bytes: &mut Vec<u8>, record: &Record) {
    bytes.extend_from_slice(&record.name);
    bytes.extend_from_slice(&record.value);
}
