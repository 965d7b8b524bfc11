//! Reads the process environment and the files. The only place that does.

use super::{
    dotenv,
    finding::{Findings, Place},
    sources::{Flags, Sources},
    yaml,
};
use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "config.yml";
/// Variables in a file, from the folder that the program runs in.
pub(super) const DOT_ENV: &str = ".env";
/// A secret is a line or a key. A larger file is another one.
const MAX_SECRET: usize = 64 << 10;

impl Sources {
    /// The sources of this process: its environment, `.env` and the configuration file.
    #[must_use]
    pub fn system(flags: Flags) -> Self {
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
        let dot_env = match text(Path::new(DOT_ENV), yaml::MAX_BYTES) {
            // A folder of that name is a virtual environment of Python.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::IsADirectory
                ) =>
            {
                Ok(None)
            }
            read => usable(read).map(Some),
        };
        match dot_env {
            Ok(text) => sources.dot_env = text,
            Err(why) => sources.unreadable(Place::DotEnv { line: 1 }, why),
        }
        sources.find_file();
        sources
    }

    /// The file or folder that `ELASTAUTH_CONFIG` names, in the environment or in `.env`.
    fn named_file(&self) -> Option<PathBuf> {
        const NAME: &str = "ELASTAUTH_CONFIG";
        // Faults of `.env` are reported when its keys are read.
        let lines = self.dot_env.as_deref().map_or_else(Vec::new, |text| {
            dotenv::read(text, &mut Findings::default())
        });
        let own = self.environment.get(NAME).map(String::as_str);
        let mut named = own.into_iter().chain(dotenv::value(&lines, NAME));
        named.find(|path| !path.is_empty()).map(PathBuf::from)
    }

    fn find_file(&mut self) {
        let named = self.flags.config.clone().or_else(|| self.named_file());
        let explicit = named.is_some();
        let mut path = named.unwrap_or_else(|| PathBuf::from(DEFAULT_FILE));
        if explicit && path.is_dir() {
            path.push(DEFAULT_FILE);
        }
        self.looked_for = Some(path.clone());
        let shown = path.display().to_string();
        // One byte more than allowed: then a file that is too large is noticed.
        match bytes(&path, yaml::MAX_BYTES + 1) {
            Ok(content) => self.file = Some((shown.into(), content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !explicit => {}
            Err(error) => {
                let place = Place::File {
                    file: shown.into(),
                    line: 0,
                    column: 0,
                };
                self.unreadable(place, format!("the configuration cannot be read: {error}"));
            }
        }
    }
}

/// A secret from its own file.
pub(super) struct Secret {
    pub(super) text: String,
    pub(super) world_readable: bool,
}

/// Reads a secret; one newline at its end belongs to the file, not to the secret.
pub(super) fn secret(path: &Path) -> Result<Secret, String> {
    let mut text = usable(text(path, MAX_SECRET))?;
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
            world_readable: is_world_readable(path),
        })
    }
}

fn is_world_readable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata()
        .is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

/// The text of a file; `Err` within for one that is no text of this size.
fn text(path: &Path, most: usize) -> io::Result<Result<String, String>> {
    let read = bytes(path, most + 1)?;
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

fn bytes(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    File::open(path)?.take(most as u64).read_to_end(&mut read)?;
    Ok(read)
}
