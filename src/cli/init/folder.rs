//! Writes the folder as a whole: it is made beside its place, and renamed once everything is in it.
//! A failure leaves nothing.

use super::{
    file::{File, Mode},
    types::Failure,
};
use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown},
    path::{Path, PathBuf},
};

/// So many names of files in the way are shown.
const SHOWN: usize = 5;

/// Where the folder will be.
pub(super) struct Target {
    path: PathBuf,
    parent: PathBuf,
    name: String,
}

impl Target {
    /// # Errors
    /// Where the folder cannot be there: something is in the way, or its parent is missing.
    pub(super) fn new(folder: &Path) -> Result<Self, Failure> {
        let shown = folder.display();
        let path = std::path::absolute(folder)
            .map_err(|error| failed(format!("{shown} is not a folder: {error}")))?;
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(failed(format!("{shown} has no name; name a new folder")));
        };
        // The path is written into files of several languages.
        let is_plain =
            |text: &str| !text.contains(|c: char| c.is_control() || "\"'\\$`{}".contains(c));
        let (Some(text), Some(name)) = (path.to_str().filter(|text| is_plain(text)), name.to_str())
        else {
            return Err(failed(format!(
                "the path of {shown} has a quote, `$`, `{{`, `}}`, a backslash or bytes that are \
                 not UTF-8; choose another folder"
            )));
        };
        if std::env::current_dir().is_ok_and(|here| here == path) || text.contains("/..") {
            return Err(failed(format!(
                "{shown} is the folder you are in, or above it; name a new folder"
            )));
        }
        let (parent, name) = (parent.to_owned(), name.to_owned());
        let target = Self { path, parent, name };
        target.is_free()?;
        Ok(target)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn is_free(&self) -> Result<(), Failure> {
        let shown = self.path.display();
        let found = match fs::symlink_metadata(&self.path) {
            Ok(found) => found,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return if self.parent.is_dir() {
                    Ok(())
                } else {
                    Err(failed(format!(
                        "{shown} cannot be made: there is no folder {}; make it first",
                        self.parent.display()
                    )))
                };
            }
            Err(error) => return Err(failed(format!("{shown} cannot be looked at: {error}"))),
        };
        if !found.is_dir() {
            return Err(failed(format!(
                "{shown} is there already, and no folder; nothing is overwritten, so name another \
                 folder"
            )));
        }
        let entries = fs::read_dir(&self.path)
            .map_err(|error| failed(format!("{shown} cannot be looked at: {error}")))?;
        let mut names: Vec<String> = entries
            .map(|entry| match entry {
                Ok(entry) => entry
                    .file_name()
                    .to_string_lossy()
                    .escape_debug()
                    .to_string(),
                Err(_) => "(unreadable)".to_owned(),
            })
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        names.sort();
        let more = names.len().saturating_sub(SHOWN);
        names.truncate(SHOWN);
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        Err(failed(format!(
            "{shown} has files already: {}{more}; nothing is overwritten, so name another folder",
            names.join(", ")
        )))
    }
}

/// The folder beside its place. Dropped, it is removed.
pub(super) struct Staged {
    path: PathBuf,
}

impl Staged {
    /// Writes the files. `owner` is who shall own secrets, where it is not whoever writes it.
    ///
    /// # Errors
    /// Where one of them cannot be written.
    pub(super) fn write(
        target: &Target,
        files: &[File],
        owner: Option<u32>,
    ) -> Result<Self, Failure> {
        let name = format!(".{}.init-{}", target.name, std::process::id());
        let path = target.parent.join(name);
        folder(&path, false).map_err(|error| {
            failed(format!(
                "{} cannot be made: {error}; nothing is written",
                target.path.display()
            ))
        })?;
        let staged = Self { path };
        for file in files {
            staged.put(file, owner).map_err(|error| {
                failed(format!(
                    "{} cannot be written: {error}; nothing is written",
                    target.path.join(&file.path).display()
                ))
            })?;
        }
        Ok(staged)
    }

    fn put(&self, file: &File, owner: Option<u32>) -> io::Result<()> {
        let path = self.path.join(&file.path);
        let is_secret = Path::new(&file.path).starts_with("secrets");
        let is_of_gateway = Path::new(&file.path).starts_with("gateway");
        if let Some(parent) = path.parent().filter(|parent| !parent.is_dir()) {
            folder(parent, is_secret)?;
            if is_secret {
                chown(parent, owner, owner)?;
            }
        }
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(file.mode.bits());
        let mut open = options.open(&path)?;
        open.write_all(&file.content)?;
        // Some file systems say only now that there is no room.
        open.sync_all()?;
        if file.mode == Mode::Secret && !is_of_gateway {
            chown(&path, owner, owner)?;
        }
        Ok(())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// # Errors
    /// Where something else has come there since.
    pub(super) fn put_in_place(self, target: &Target) -> Result<(), Failure> {
        target.is_free()?;
        fs::rename(&self.path, &target.path).map_err(|error| {
            failed(format!(
                "{} cannot be put in place: {error}; nothing is written",
                target.path.display()
            ))
        })?;
        Ok(())
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Once it is in place, nothing has this name.
        let _nothing_more_to_do = fs::remove_dir_all(&self.path);
    }
}

fn folder(path: &Path, is_secret: bool) -> io::Result<()> {
    let mode = if is_secret { 0o700 } else { 0o755 };
    DirBuilder::new().recursive(false).mode(mode).create(path)
}

fn failed(why: String) -> Failure {
    Failure::Failed(why)
}
