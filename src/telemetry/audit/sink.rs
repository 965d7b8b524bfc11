//! Where audit lines go: standard output, or a file that others may move away.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Takes lines, one call a line.
#[derive(Debug)]
pub(super) enum Sink {
    Stdout,
    File {
        path: PathBuf,
        /// `None` where it could not be opened yet.
        open: Option<File>,
        /// The last write may have left the beginning of a line behind.
        torn: bool,
    },
}

impl Sink {
    pub(super) fn file(path: PathBuf) -> Self {
        Self::File {
            path,
            open: None,
            torn: false,
        }
    }

    /// Writes a whole line, including its end.
    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Self::File { path, open, torn } = self else {
            let mut stdout = io::stdout().lock();
            return stdout.write_all(line).and_then(|()| stdout.flush());
        };
        // Log rotation moves the file away and expects a new one under the old name.
        if open.as_ref().is_none_or(|file| !is_at(file, path)) {
            *open = None;
            // In append mode two replicas or a rotation that copies cannot overwrite each other's
            // lines.
            *open = Some(
                OpenOptions::new()
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(path)?,
            );
            *torn = false;
        }
        let Some(file) = open else {
            return Err(io::ErrorKind::NotFound.into());
        };
        if *torn {
            // The file ends with part of a line; ours begins on a new one.
            file.write_all(b"\n")?;
            *torn = false;
        }
        file.write_all(line).inspect_err(|_| *torn = true)
    }
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), path.metadata()) else {
        return false;
    };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}
