//! Where the file is, and how it is taken.

use super::{
    disk::{Disk, TakeError},
    table::Table,
};
use std::path::PathBuf;
use tracing::warn;

/// The folder of a ledger.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    /// It is made with the first write, and removed at the end if nobody is in its file.
    pub(crate) is_transient: bool,
}

impl Place {
    pub(super) fn exists(&self) -> bool {
        self.folder.symlink_metadata().is_ok()
    }

    /// Takes the folder, and reads its file into the table. `None` where memory alone is used: the
    /// log says why.
    pub(super) fn take(&self, table: &Table) -> Option<Disk> {
        match Disk::take(&self.folder, table.capacity()) {
            Ok((disk, records)) => {
                table.read(&disk, records);
                Some(disk)
            }
            Err(TakeError::Taken) => {
                warn!(
                    "another process has the folder of `cache.path`; users are remembered in \
                     memory alone"
                );
                table.set_trouble(Some("another process has the folder"));
                None
            }
            Err(TakeError::Io(step, why)) => {
                warn!(
                    folder = %self.folder.display(),
                    error = %why,
                    "the folder of `cache.path` cannot be used ({step}); users are remembered in \
                     memory alone"
                );
                table.set_trouble(Some("the folder cannot be used"));
                None
            }
        }
    }

    /// Gives the folder back; a transient one is removed if nobody is in its file.
    pub(super) fn leave(&self, disk: Disk, table: &Table) {
        if self.is_transient && table.snapshot().is_empty() {
            disk.remove(&self.folder);
        }
    }
}
