//! A configuration as it was read, kept so that a later one can be compared with it.

use super::{
    finding::Place,
    forget::forget_secrets,
    key::ConfigKey,
    load::{self, DotEnv},
    raw::{Raw, RawNode},
    section,
    settings::Settings,
    sources::{Flags, Sources},
    table,
};
use std::{collections::BTreeSet, fmt, path::PathBuf};

/// A configuration as it was read.
pub(crate) struct Loaded {
    pub(super) settings: Settings,
    /// The path of the file, whether it exists or not.
    pub(super) file: Option<PathBuf>,
    /// Whether `.env` is a part of it.
    dot_env: bool,
}

impl Loaded {
    pub(super) fn new(mut settings: Settings, sources: &Sources) -> Self {
        forget_secrets(&mut settings);
        Self {
            settings,
            file: sources.looked_for.clone(),
            dot_env: sources.dot_env.is_some(),
        }
    }

    /// The sources of this process as they are now, with `.env` only if it was read before.
    #[must_use]
    pub(crate) fn sources(&self, flags: Flags) -> Sources {
        let dot_env = if self.dot_env {
            DotEnv::Read
        } else {
            DotEnv::NotRead
        };
        Sources::read(flags, dot_env)
    }

    /// The files whose changes matter to a running program: the configuration's own, those that
    /// hold secrets, certificates and keys. Some may not exist.
    #[must_use]
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let own = self.file.clone().into_iter();
        let own = own.chain(self.dot_env.then(|| PathBuf::from(load::DOT_ENV)));
        let keys = table::ALL.iter();
        let general = keys.filter_map(|key| file_of(&self.settings, key));
        let all = self.settings.all_sections();
        let of_sections = all.iter().flat_map(|(of, own)| {
            let keys = section::keys(*of);
            keys.filter_map(|(_, key)| file_of(own, key))
        });
        let sections = all.iter().map(|(_, own)| *own);
        let gateway_keys = sections.chain([&self.settings]).flat_map(|settings| {
            let raw = settings.raw(&table::GATEWAY_KEYS);
            raw.map_or_else(Vec::new, secret_files)
        });
        own.chain(general)
            .chain(of_sections)
            .chain(gateway_keys)
            .collect()
    }
}

/// Its values may be secrets.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// The files of values within this one.
fn secret_files(raw: &Raw) -> Vec<PathBuf> {
    let own = match &raw.place {
        Place::SecretFile { path, .. } => Some(PathBuf::from(path)),
        Place::Nowhere
        | Place::Default
        | Place::Flag(_)
        | Place::Variable(_)
        | Place::DotEnv { .. }
        | Place::File { .. } => None,
    };
    let within: Vec<&Raw> = match &raw.node {
        RawNode::List(items) => items.iter().collect(),
        RawNode::Map(entries) => entries.iter().map(|(_, raw)| raw).collect(),
        RawNode::Null | RawNode::Text(_) | RawNode::Invalid => Vec::new(),
    };
    let within = within.into_iter().flat_map(secret_files);
    own.into_iter().chain(within).collect()
}

/// The file whose content is the value of this key, or is read once because of it.
fn file_of(settings: &Settings, key: &ConfigKey) -> Option<PathBuf> {
    if let Place::SecretFile { path, .. } = &settings.raw(key)?.place {
        return Some(PathBuf::from(path));
    }
    // A path that a running program applies is that of a certificate or a key.
    let is_read_again = key.reload || section::READ_AGAIN.contains(&key);
    is_read_again.then(|| settings.get(key)).flatten()
}
