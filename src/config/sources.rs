//! Where values come from, as they were found: nothing here reads anything by itself.

use super::finding::{Fault, Place};
use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

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
    /// Where the file is, or would be if there were one.
    pub(super) looked_for: Option<PathBuf>,
    /// What could not even be read.
    pub(super) unread: Vec<Fault>,
}

impl Sources {
    /// Sources from values, for tests and tools.
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
    #[must_use]
    pub fn with_file(mut self, name: &str, content: &[u8]) -> Self {
        self.file = Some((name.into(), content.to_vec()));
        self
    }

    /// The same with a `.env` file of this content.
    #[must_use]
    pub fn with_dot_env(mut self, content: &str) -> Self {
        self.dot_env = Some(content.to_owned());
        self
    }

    /// The file that was read, if any.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_ref().map(|(name, _)| Path::new(&**name))
    }

    pub(super) fn unreadable(&mut self, place: Place, text: String) {
        self.unread.push(Fault { place, text });
    }
}

/// Names only: nearly every value may be a secret.
impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("flags", &self.flags)
            .field("file", &self.file().map(Path::to_owned))
            .finish_non_exhaustive()
    }
}
