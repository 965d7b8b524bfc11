//! Reads the process environment and the files. The only place that does.

use super::{
    access, dotenv,
    finding::{Finding, Findings, Place},
    sources::{Flags, Sources},
    yaml,
};
use rustix::fs::{OFlags, fcntl_setfl};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "config.yml";
/// Variables in a file, from the folder that the program runs in.
pub(super) const DOT_ENV: &str = ".env";
/// A secret is a line or a key. A larger file is another one.
const MAX_SECRET: usize = 64 << 10;

/// Where systemd puts the credentials of a unit.
const CREDENTIALS: &str = "/run/credentials";

/// The variable that names the configuration.
const CONFIG: &str = "ELASTAUTH_CONFIG";

/// When `.env` is looked at: at the start, or by a running program that has read it or has not. One
/// that comes later does not count: a running service is nothing to put files beside.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum DotEnv {
    AtStart,
    Read,
    NotRead,
}

impl Sources {
    /// The sources of this process: its environment, `.env` and the configuration file.
    #[must_use]
    pub fn system(flags: Flags) -> Self {
        Self::read(flags, DotEnv::AtStart)
    }

    /// A file, these variables, and nothing of this process's environment.
    pub(crate) fn of_file(path: &Path, variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut sources = Self {
            flags: Flags {
                config: Some(path.to_owned()),
                ..Flags::default()
            },
            environment: variables.iter().map(owned).collect(),
            ..Self::default()
        };
        sources.find_file(true);
        sources
    }

    /// The same, for a start or for a running program.
    pub(super) fn read(flags: Flags, dot_env: DotEnv) -> Self {
        let mut sources = Self {
            flags,
            ..Self::default()
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the place that reads the environment"
        )]
        for (name, value) in std::env::vars_os() {
            match (name.into_string(), value.into_string()) {
                (Ok(name), Ok(value)) => drop(sources.environment.insert(name, value)),
                (Ok(name), Err(_)) if name.starts_with(super::key::PREFIX) => {
                    sources.unreadable(Place::Variable(name), "the value is not UTF-8".to_owned());
                }
                // Made readable: where the value is used, it is checked like any other.
                (Ok(name), Err(value)) if name.starts_with(super::key::OTEL_PREFIX) => {
                    sources
                        .environment
                        .insert(name, value.to_string_lossy().into_owned());
                }
                _ => {}
            }
        }
        sources.read_dot_env(dot_env);
        sources.find_file(dot_env == DotEnv::AtStart);
        sources
    }

    /// Whoever names a configuration does not expect a file of the working directory to change it.
    fn read_dot_env(&mut self, when: DotEnv) {
        let path = Path::new(DOT_ENV);
        let named = match (&self.flags.config, self.environment.get(CONFIG)) {
            (Some(_), _) => Some("`--config`"),
            (None, Some(name)) if !name.is_empty() => Some("`ELASTAUTH_CONFIG`"),
            (None, _) => None,
        };
        let ignored = if let Some(named) = named {
            format!("{named} names the configuration; use the environment of the service instead")
        } else if when == DotEnv::NotRead {
            "it was not there, or did not count, when elastauth was started".to_owned()
        } else {
            return match access::open_private(path) {
                Ok(Ok(file)) => match usable(text_of(file, yaml::MAX_BYTES)) {
                    Ok(text) => {
                        self.dot_env = Some(text);
                        self.note_open(path);
                    }
                    Err(why) => self.unreadable(Place::DotEnv { line: 1 }, why),
                },
                // Without it the new configuration would be another one than anybody wrote.
                Ok(Err(why)) if when == DotEnv::Read => {
                    self.unreadable(
                        Place::DotEnv { line: 1 },
                        format!("the file does not count: {why}"),
                    );
                }
                Ok(Err(why)) => self.ignore_dot_env(&why),
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
                    ) => {}
                Err(error) => {
                    let why = format!("the file cannot be read: {error}");
                    self.unreadable(Place::DotEnv { line: 1 }, why);
                }
            };
        };
        // A folder of that name is a virtual environment of Python.
        if path.symlink_metadata().is_ok_and(|found| !found.is_dir()) {
            self.ignore_dot_env(&ignored);
        }
    }

    fn ignore_dot_env(&mut self, why: &str) {
        self.warn(Path::new(DOT_ENV), format!("the file is ignored: {why}"));
    }

    fn warn(&mut self, path: &Path, text: String) {
        self.warnings.push(Finding::new(&whole(path), text));
    }

    fn note_open(&mut self, path: &Path) {
        if access::all_may_read(path) {
            self.open.push(path.to_owned());
        }
    }

    /// The file or folder that `ELASTAUTH_CONFIG` names, in the environment or in `.env`.
    fn named_file(&self) -> Option<PathBuf> {
        // Faults of `.env` are reported when its keys are read.
        let lines = self.dot_env.as_deref().map_or_else(Vec::new, |text| {
            dotenv::read(text, &mut Findings::default())
        });
        let own = self.environment.get(CONFIG).map(String::as_str);
        let mut named = own.into_iter().chain(dotenv::value(&lines, CONFIG));
        named.find(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn find_file(&mut self, at_start: bool) {
        let named = self.flags.config.clone().or_else(|| self.named_file());
        let explicit = named.is_some();
        let mut path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        if explicit && path.is_dir() {
            path.push(DEFAULT_FILE);
        }
        self.looked_for = Some(path.clone());
        let shown = path.display().to_string();
        // One byte more than allowed: then a file that is too large is noticed.
        let content = open(&path).and_then(|file| {
            // What a shell pipes in can be read once. A pipe that was only found may be a trap.
            if file.metadata()?.file_type().is_fifo() && !(explicit && at_start) {
                return Err(io::Error::other("it is a pipe; use a regular file"));
            }
            bytes_of(file, yaml::MAX_BYTES + 1)
        });
        match content {
            Ok(content) => {
                self.file = Some((shown.into(), content));
                if let Some(warning) = access::warning(&path, explicit) {
                    self.warn(&path, warning);
                }
                self.note_open(&path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !explicit => {
                self.not_found = Some(std::path::absolute(&path).unwrap_or(path));
            }
            Err(error) => {
                let why = format!(
                    "the configuration cannot be read: {}",
                    reason(&path, &error)
                );
                self.unreadable(whole(&path), why);
            }
        }
    }
}

/// Why there is no file, and what helps in a container or under systemd.
fn reason(path: &Path, error: &io::Error) -> String {
    let of_mount = "a container engine makes a folder where the file to be mounted does not exist; \
                    remove the folder and mount a file";
    let is_missing = error.kind() == io::ErrorKind::NotFound;
    if error.kind() == io::ErrorKind::IsADirectory {
        format!("it is a folder: {of_mount}")
    } else if is_missing && path.ends_with("config.yml/config.yml") {
        format!("{error}: {of_mount}")
    } else if is_missing && path.starts_with(CREDENTIALS) {
        format!(
            "{error}: systemd passed no such credential; put the secret into the file that \
             `LoadCredential=` of the unit names, and restart the unit"
        )
    } else {
        error.to_string()
    }
}

fn whole(path: &Path) -> Place {
    Place::File {
        file: path.display().to_string().into(),
        line: 0,
        column: 0,
    }
}

/// A secret from its own file.
pub(super) struct Secret {
    pub(super) text: String,
    pub(super) world_readable: bool,
}

/// Reads a secret; one newline at its end belongs to the file, not to the secret.
pub(super) fn secret(path: &Path) -> Result<Secret, String> {
    let read = text(path, MAX_SECRET);
    let mut text = read.unwrap_or_else(|error| {
        Err(format!("the file cannot be read: {}", reason(path, &error)))
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    if text.is_empty() {
        Err("the file is empty".to_owned())
    } else {
        Ok(Secret {
            text,
            world_readable: access::all_may_read(path),
        })
    }
}

/// The text of a file; `Err` within for one that is no text of this size.
fn text(path: &Path, most: usize) -> io::Result<Result<String, String>> {
    text_of(open(path)?, most)
}

/// Opens a file. A named pipe that nobody writes is not waited for; it reads as empty.
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let file = options.read(true).open(path)?;
    // What somebody does write is waited for.
    fcntl_setfl(&file, OFlags::empty())?;
    Ok(file)
}

fn text_of(file: File, most: usize) -> io::Result<Result<String, String>> {
    // One byte more than allowed: then a file that is too large is noticed.
    let read = bytes_of(file, most + 1)?;
    Ok(if read.len() <= most {
        String::from_utf8(read).map_err(|_| "the file is not UTF-8".to_owned())
    } else if most < 1 << 20 {
        Err(format!("the file is larger than {} KiB", most >> 10))
    } else {
        Err(format!("the file is larger than {} MiB", most >> 20))
    })
}

fn usable(read: io::Result<Result<String, String>>) -> Result<String, String> {
    read.unwrap_or_else(|error| Err(format!("the file cannot be read: {error}")))
}

fn bytes_of(file: File, most: usize) -> io::Result<Vec<u8>> {
    // A buffer that grows leaves copies of its beginning in memory.
    let size = file.metadata().map_or(0, |found| found.len());
    let size = usize::try_from(size).unwrap_or(most).min(most);
    let mut read = Vec::with_capacity(size + 64);
    file.take(most as u64).read_to_end(&mut read)?;
    Ok(read)
}
