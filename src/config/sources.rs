//! Where values come from, as they were found. Nothing here reads a file or the environment.

use super::finding::{Finding, Place};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use zeroize::Zeroize;

/// A variable: its name, its value, and its place.
pub(super) type Variable<'a> = (&'a str, &'a str, Place);

/// What the command line says about the configuration.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--config`: a file, or the folder of a `config.yml`.
    pub config: Option<PathBuf>,
    /// `--listen`.
    pub listen: Option<String>,
    /// `--enableOtel`.
    pub enable_otel: bool,
}

/// Everything that the configuration is made of.
#[derive(Clone, Default)]
pub struct Sources {
    pub(super) flags: Flags,
    pub(super) environment: BTreeMap<String, String>,
    /// The text of `.env` where there is one.
    pub(super) dot_env: Option<String>,
    pub(super) file: Option<(Arc<str>, Vec<u8>)>,
    /// Where the file is, or would be.
    pub(super) looked_for: Option<PathBuf>,
    /// No file was named, and none is here.
    pub not_found: Option<PathBuf>,
    /// What could not be read.
    pub(super) unread: Vec<Finding>,
    /// What was ignored, or may be written by others.
    pub(super) warnings: Vec<Finding>,
    /// Those of `.env` and the file that every user of this machine can read.
    pub(super) open: Vec<PathBuf>,
}

impl Sources {
    /// Sources from values, for tests.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn given(flags: Flags, environment: &[(&str, &str)]) -> Self {
        let environment = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Self {
            flags,
            environment,
            ..Self::default()
        }
    }

    /// The same with a configuration file of this name and content.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn with_file(mut self, name: &str, content: &[u8]) -> Self {
        self.file = Some((name.into(), content.to_vec()));
        self
    }

    /// The same with a `.env` file of this content.
    #[cfg(test)]
    pub(super) fn with_dot_env(mut self, content: &str) -> Self {
        self.dot_env = Some(content.to_owned());
        self
    }

    /// The file that was read, if any.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(name, _)| Path::new(&**name))
    }

    /// Overwrites what may be secrets, once it has been read.
    pub(crate) fn wipe(mut self) {
        self.environment.values_mut().for_each(Zeroize::zeroize);
        self.dot_env.zeroize();
        if let Some((_, content)) = &mut self.file {
            content.zeroize();
        }
    }

    /// The variables of the environment.
    pub(super) fn variables(&self) -> impl Iterator<Item = Variable<'_>> {
        let variables = self.environment.iter();
        variables
            .map(|(name, value)| (name.as_str(), value.as_str(), Place::Variable(name.clone())))
    }

    pub(super) fn unreadable(&mut self, place: Place, text: String) {
        self.unread.push(Finding { place, text });
    }
}

/// Names only: a value may be a secret.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("flags", &self.flags)
            .field("file", &self.file().map(Path::to_owned))
            .finish_non_exhaustive()
    }
}
