//! The configuration read once more while the program runs: what it may take over, and what it has
//! to be started anew for.

use super::{
    Checked, Config, Warning, fill,
    finding::{Fault, Findings, Place},
    key::Key,
    raw::{Node, Raw},
    section,
    settings::Settings,
    sources::Sources,
    table,
};
use std::{
    collections::BTreeSet,
    fmt,
    path::{Path, PathBuf},
};

/// A configuration as it was read, kept so that a later one can be compared with it.
pub struct Loaded {
    settings: Settings,
    /// Where the file was, or would have been.
    file: Option<PathBuf>,
}

/// What came of loaded once more.
#[derive(Debug)]
pub struct Reloaded {
    /// What is to be in force from now on: the new values of the keys that a running program takes,
    /// the old ones of all others. Or everything that is wrong.
    pub outcome: Result<(Box<Config>, Loaded), Vec<Fault>>,
    /// What is legal, and weak or old, in the new configuration.
    pub warnings: Vec<Warning>,
    /// The keys whose new values are applied.
    pub applied: Vec<&'static str>,
    /// The keys that have new values, and keep their old ones until the program is started anew.
    pub requires_restart: Vec<&'static str>,
    /// The files that the new configuration is made of, be it good or not.
    pub files: BTreeSet<PathBuf>,
}

impl Loaded {
    pub(super) fn new(settings: Settings, sources: &Sources) -> Self {
        Self {
            settings,
            file: sources.looked_for.clone(),
        }
    }

    /// The files whose change means something to a running program: the configuration's own, those
    /// that hold secrets, certificates and keys. Some may not exist.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let own = self
            .file
            .iter()
            .cloned()
            .chain([PathBuf::from(super::load::DOT_ENV)]);
        let general = table::ALL
            .iter()
            .filter_map(|key| file_of(&self.settings, key));
        let of_providers = self
            .settings
            .providers()
            .iter()
            .flat_map(|own| section::keys().filter_map(|(_, key)| file_of(own, key)));
        own.chain(general).chain(of_providers).collect()
    }

    /// Compares with what the sources say now. Nothing changes by it.
    #[must_use]
    pub fn reload(&self, sources: &Sources) -> Reloaded {
        let (Checked { outcome, warnings }, fresh) = super::read(sources);
        let files = fresh.files();
        let (mut applied, mut requires_restart) = (Vec::new(), Vec::new());
        // A listener keeps speaking TLS, or plain HTTP, until its end.
        let speaks_tls = |settings: &Settings| settings.given(&table::TLS_CERT);
        let listener_stays = speaks_tls(&self.settings) == speaks_tls(&fresh.settings);
        if let Err(faults) = outcome {
            return Reloaded {
                outcome: Err(faults),
                warnings,
                applied,
                requires_restart,
                files,
            };
        }
        let Self { mut settings, file } = fresh;
        for key in table::ALL {
            let of_providers = key.path == table::OIDC_PROVIDERS.path;
            let may_change = match (of_providers, differs(key, &self.settings, &settings)) {
                (true, _) => match sections(self.settings.providers(), settings.providers()) {
                    Sections::Same => continue,
                    Sections::Taken => true,
                    Sections::Left => false,
                },
                (false, false) => continue,
                (false, true) => key.reload,
            };
            let of_listener = [&table::TLS_CERT, &table::TLS_KEY, &table::TLS_CLIENT_CA]
                .iter()
                .any(|tls| tls.path == key.path);
            if may_change && (listener_stays || !of_listener) {
                applied.push(key.path);
            } else {
                requires_restart.push(key.path);
                settings.put_back(key, &self.settings);
            }
        }
        let mut findings = Findings::default();
        let config = fill::fill(&settings, &mut findings);
        // The warnings were told above.
        let outcome = match Checked::new(config, findings).outcome {
            Ok(config) => Ok((Box::new(config), Self { settings, file })),
            Err(mut faults) => {
                let why = format!(
                    "this is good for a start and not for a change of the running program, which keeps its {}",
                    requires_restart.join(", ")
                );
                faults.push(Fault {
                    place: Place::Nowhere,
                    text: why,
                });
                Err(faults)
            }
        };
        Reloaded {
            outcome,
            warnings,
            applied,
            requires_restart,
            files,
        }
    }
}

/// Its values may be secrets.
impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded")
            .field(
                "file",
                &self
                    .file
                    .as_deref()
                    .map(Path::display)
                    .map(|path| path.to_string()),
            )
            .finish_non_exhaustive()
    }
}

/// The file that a key's value comes from, where it is one whose content is read.
fn file_of(settings: &Settings, key: &Key) -> Option<PathBuf> {
    if let Place::SecretFile { path, .. } = &settings.raw(key)?.place {
        return Some(PathBuf::from(path));
    }
    // A path that is applied while the program runs is one whose content is read once: a certificate,
    // a key.
    if key.reload {
        settings.get::<PathBuf>(key)
    } else {
        None
    }
}

/// What a new `oidc.providers` is to a running program.
enum Sections {
    Same,
    Taken,
    Left,
}

/// Compares the sections one by one: the providers have to be the same in the same order, and only
/// what each takes while the program runs may differ.
fn sections(before: &[Settings], after: &[Settings]) -> Sections {
    let pairs = || before.iter().zip(after);
    let changed = || {
        pairs().flat_map(|(before, after)| {
            section::keys().filter(|(_, key)| differs(key, before, after))
        })
    };
    match (before.len() == after.len(), changed().next()) {
        (true, None) => Sections::Same,
        (true, Some(_)) if changed().all(|(_, key)| key.reload) => Sections::Taken,
        _ => Sections::Left,
    }
}

fn differs(key: &Key, before: &Settings, after: &Settings) -> bool {
    match (before.raw(key), after.raw(key)) {
        (None, None) => false,
        (Some(one), Some(other)) => !same(one, other),
        _ => true,
    }
}

fn same(one: &Raw, other: &Raw) -> bool {
    match (&one.node, &other.node) {
        (Node::Text(one), Node::Text(other)) => one == other,
        (Node::List(one), Node::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Node::Map(one), Node::Map(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(one, other)| one.0.text == other.0.text && same(&one.1, &other.1))
        }
        (Node::Null, Node::Null) | (Node::Invalid, Node::Invalid) => true,
        _ => false,
    }
}
