//! One value a key, from the highest source that gives one, read by its value type.

use super::{
    dotenv, expand,
    finding::{Findings, Place},
    key::{Key, OTEL_PREFIX, Status},
    layers::{self, Given},
    load,
    raw::{Name, Node, Raw},
    section,
    sources::Sources,
    table,
    value::{self, Value},
    value_type::ValueType,
    yaml,
};
use std::{collections::HashMap, path::Path};

/// The values of all keys that have one.
#[derive(Clone)]
pub(super) struct Settings {
    found: HashMap<&'static str, Found>,
    /// `HTTPS_PROXY` and `NO_PROXY`, which belong to the machine and not to us.
    proxy: [Option<String>; 2],
    /// The variables of OpenTelemetry, which are the same for all programs that send traces.
    otel: HashMap<String, (String, Place)>,
    /// The sections of `oidc.providers`, each like a configuration of its own.
    providers: Vec<Self>,
    /// Where it begins, if it is one of those.
    home: Place,
    /// Whether a source could not be read: then what seems to be missing may stand in it.
    pub(super) unread: bool,
}

/// A value with its history.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) raw: Raw,
    /// Nothing where it was faulty; the fault was told.
    pub(super) value: Option<Value>,
}

impl Settings {
    /// Gathers from all sources.
    pub(super) fn gather(sources: &Sources, findings: &mut Findings) -> Self {
        for fault in &sources.unread {
            findings.fault(&fault.place, fault.text.clone());
        }
        let lines = sources
            .dot_env
            .as_deref()
            .map(|text| dotenv::read(text, findings))
            .unwrap_or_default();
        let variable = |name: &str| {
            let line = || {
                lines
                    .iter()
                    .rev()
                    .find(|line| line.name == name)
                    .map(|line| line.value.as_str())
            };
            sources
                .environment
                .get(name)
                .map(String::as_str)
                .or_else(line)
        };
        let root = sources
            .file
            .as_ref()
            .and_then(|(name, bytes)| yaml::read(name, bytes, findings));
        let unread = !sources.unread.is_empty() || (sources.file.is_some() && root.is_none());
        let file = root.map(|mut root| {
            expand::expand(&mut root, &variable, findings);
            layers::file(root, findings)
        });
        let layers = [
            layers::flags(sources),
            layers::environment(sources, findings),
            layers::dot_env(&lines, findings),
            file.unwrap_or_default(),
        ];
        // Small letters are as common; the large ones count first.
        let proxy = ["HTTPS_PROXY", "NO_PROXY"].map(|name| {
            let set = |name: &str| {
                sources
                    .environment
                    .get(name)
                    .filter(|text| !text.is_empty())
                    .cloned()
            };
            set(name).or_else(|| set(&name.to_ascii_lowercase()))
        });
        let otel = otel(sources, &lines);
        let mut settings = Self {
            found: HashMap::new(),
            proxy,
            otel,
            providers: Vec::new(),
            home: Place::Nowhere,
            unread,
        };
        for layer in layers {
            settings.add(layer, findings);
        }
        settings.read(table::ALL.iter().copied(), findings);
        settings.providers = settings.sections(findings);
        settings
    }

    fn sections(&self, findings: &mut Findings) -> Vec<Self> {
        let Some(Raw {
            node: Node::List(items),
            ..
        }) = self.raw(&table::OIDC_PROVIDERS)
        else {
            return Vec::new();
        };
        // What is no section was told by the key's value type.
        let sections = items
            .iter()
            .filter(|item| matches!(item.node, Node::Map(_)))
            .map(|item| {
                // The machine's proxy is no provider's own.
                let mut section = Self {
                    found: HashMap::new(),
                    proxy: [None, None],
                    otel: HashMap::new(),
                    providers: Vec::new(),
                    home: item.place.clone(),
                    unread: false,
                };
                section.add(layers::section(item.clone(), findings), findings);
                section.read(section::keys().map(|(_, key)| key), findings);
                section
            });
        sections.collect()
    }

    /// Takes one layer; what stands already is of a higher one.
    fn add(&mut self, layer: Vec<Given>, findings: &mut Findings) {
        let mut own: HashMap<&'static str, (Raw, Place)> = HashMap::new();
        for given in layer {
            let Given {
                key, place, old, ..
            } = &given;
            if let Some(old) = old {
                findings.warn(
                    place,
                    format!("`{old}` is an old name; it is `{}` now", key.path),
                );
            }
            let (path, place) = (key.path, place.clone());
            let Some(raw) = given.content(findings) else {
                continue;
            };
            if let Some((_, first)) = own.get(path) {
                findings.fault(
                    &place,
                    format!("`{path}` is given twice; the other one stands at {first}"),
                );
            } else {
                own.insert(path, (raw, place));
            }
        }
        for (path, (raw, _)) in own {
            match self.found.get_mut(path) {
                None => drop(self.found.insert(path, Found { raw, value: None })),
                Some(higher) => merge(&mut higher.raw, raw),
            }
        }
    }

    fn read(&mut self, keys: impl Iterator<Item = &'static Key>, findings: &mut Findings) {
        let carries = self
            .raw(&table::PROXY_ENABLED)
            .is_some_and(|raw| !is_harmless(&table::PROXY_ENABLED, raw));
        for key in keys {
            if !self.found.contains_key(key.path) && !key.default.is_empty() {
                self.found.insert(
                    key.path,
                    Found {
                        raw: Raw::text(key.default, Place::Default),
                        value: None,
                    },
                );
            }
            let Some(found) = self.found.get_mut(key.path) else {
                continue;
            };
            if key.status == Status::NotYet && !is_harmless(key, &found.raw) {
                // The examples of elastauth 2 have a whole section that is switched off.
                if key.path.starts_with("proxy.") && !carries {
                    findings.warn(
                        &found.raw.place,
                        format!("`{}` has no effect without `proxy.enabled: true`", key.path),
                    );
                    continue;
                }
                findings.fault(
                    &found.raw.place,
                    format!("`{}` is not available yet; take it out", key.path),
                );
                continue;
            }
            if let Status::Old(now) = key.status {
                findings.warn(
                    &found.raw.place,
                    format!("`{}` is an old key; use `{now}`", key.path),
                );
            }
            found.value = key.value_type.read(key.path, &found.raw, findings);
        }
    }

    /// The value of a key; `None` where there is none, or a faulty one, whose fault was told.
    pub(super) fn get<T: value::From>(&self, key: &Key) -> Option<T> {
        self.found
            .get(key.path)
            .and_then(|found| found.value.as_ref())
            .and_then(T::from)
    }

    /// What was given for a key, or its default.
    pub(super) fn raw(&self, key: &Key) -> Option<&Raw> {
        self.found.get(key.path).map(|found| &found.raw)
    }

    /// Whether somebody has given the key a value, right or wrong.
    pub(super) fn given(&self, key: &Key) -> bool {
        self.raw(key).is_some_and(|raw| raw.place != Place::Default)
    }

    /// Whether this word was given for the key, be it available or not.
    pub(super) fn says(&self, key: &Key, word: &str) -> bool {
        match self.raw(key).map(|raw| &raw.node) {
            Some(Node::Text(text)) => text
                .split(',')
                .any(|text| text.trim().eq_ignore_ascii_case(word)),
            Some(Node::List(items)) => items.iter().any(
                |item| matches!(&item.node, Node::Text(text) if text.eq_ignore_ascii_case(word)),
            ),
            _ => false,
        }
    }

    /// The sections of `oidc.providers`.
    pub(super) fn providers(&self) -> &[Self] {
        &self.providers
    }

    /// Where it begins, if it is a section.
    pub(super) fn home(&self) -> &Place {
        &self.home
    }

    /// The machine's proxy for `https`, and the hosts that are reached without it.
    pub(super) fn proxy(&self) -> (Option<&str>, &str) {
        let [proxy, except] = &self.proxy;
        (proxy.as_deref(), except.as_deref().unwrap_or_default())
    }

    /// A variable of OpenTelemetry, and where it is set. An empty one is as if unset, as the norm
    /// has it.
    pub(super) fn otel(&self, name: &str) -> Option<(&str, &Place)> {
        self.otel
            .get(name)
            .map(|(text, place)| (text.as_str(), place))
    }

    /// What was found for a key.
    pub(super) fn found(&self, key: &Key) -> Option<&Found> {
        self.found.get(key.path)
    }

    /// Gives a key the value that it has in other settings, or none.
    pub(super) fn put_back(&mut self, key: &Key, from: &Self) {
        match from.found.get(key.path) {
            Some(found) => drop(self.found.insert(key.path, found.clone())),
            None => drop(self.found.remove(key.path)),
        }
        if key.path == table::OIDC_PROVIDERS.path {
            self.providers.clone_from(&from.providers);
        }
    }

    /// Where a key's value stands.
    pub(super) fn place(&self, key: &Key) -> Place {
        self.raw(key)
            .map_or(Place::Nowhere, |raw| raw.place.clone())
    }
}

/// From `.env` and, before it, from the environment.
fn otel(sources: &Sources, lines: &[dotenv::Line<'_>]) -> HashMap<String, (String, Place)> {
    let written = lines.iter().map(|line| {
        (
            line.name,
            line.value.as_str(),
            Place::DotEnv { line: line.number },
        )
    });
    let set = sources
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str(), Place::Variable(name.clone())));
    let ours = written
        .chain(set)
        .filter(|(name, value, _)| name.starts_with(OTEL_PREFIX) && !value.trim().is_empty());
    ours.map(|(name, value, place)| (name.to_owned(), (value.trim().to_owned(), place)))
        .collect()
}

impl Given {
    /// What is given in the end: nothing where nothing is meant, the content of the file where one
    /// is named.
    fn content(self, findings: &mut Findings) -> Option<Raw> {
        let Self {
            key,
            mut raw,
            place,
            file_variant,
            ..
        } = self;
        // Whoever has taken every group out of this list does not mean "everybody".
        let meant_empty =
            key.path == table::ALLOWED_GROUPS.path || key.path == table::GROUP_WHITELIST.path;
        if raw.is_unset() {
            return meant_empty.then_some(Raw {
                node: Node::List(Vec::new()),
                place: raw.place,
            });
        }
        if !file_variant {
            return Some(raw);
        }
        let Node::Text(path) = &raw.node else {
            findings.fault(
                &raw.place,
                format!(
                    "`{}_file` holds {}; it must be the path of a file",
                    key.path,
                    raw.what()
                ),
            );
            raw.node = Node::Invalid;
            return Some(raw);
        };
        let place = Place::SecretFile {
            path: path.clone(),
            named: Box::new(place),
        };
        let node = match load::secret(Path::new(path)) {
            Ok(secret) => {
                if secret.open {
                    findings.warn(
                        &place,
                        format!(
                            "every user of the machine may read this file, which holds `{}`",
                            key.path
                        ),
                    );
                }
                if let ValueType::List(_) = key.value_type {
                    // One item a line: a gateway's key may have commas.
                    let lines = secret
                        .text
                        .lines()
                        .map(str::trim)
                        .filter(|line| !line.is_empty());
                    Node::List(lines.map(|line| Raw::text(line, place.clone())).collect())
                } else {
                    Node::Text(secret.text)
                }
            }
            Err(why) => {
                findings.fault(&place, why);
                Node::Invalid
            }
        };
        Some(Raw { node, place })
    }
}

/// Entries of a lower source join those of a higher one under names that it does not have. Anything
/// but a section is replaced as a whole.
fn merge(higher: &mut Raw, lower: Raw) {
    if let (Node::Map(entries), Node::Map(more)) = (&mut higher.node, lower.node) {
        let has = |entries: &[(Name, Raw)], name: &Name| {
            entries
                .iter()
                .any(|(own, _)| own.text.eq_ignore_ascii_case(&name.text))
        };
        let own = entries.len();
        for (name, raw) in more {
            if !has(entries.get(..own).unwrap_or_default(), &name) {
                entries.push((name, raw));
            }
        }
    }
}

/// Whether a key of a later capability says only what is the case without it.
fn is_harmless(key: &Key, raw: &Raw) -> bool {
    let given = match &raw.node {
        Node::Text(text) => text.clone(),
        Node::List(items) => {
            let texts = items.iter().map(|item| {
                if let Node::Text(text) = &item.node {
                    text.as_str()
                } else {
                    "?"
                }
            });
            texts.collect::<Vec<_>>().join(",")
        }
        Node::Map(entries) if entries.is_empty() => String::new(),
        Node::Map(_) | Node::Null | Node::Invalid => {
            return matches!(raw.node, Node::Null | Node::Invalid);
        }
    };
    let mut unheard = Findings::default();
    let mut read = |text: &str| {
        format!(
            "{:?}",
            key.value_type
                .read(key.path, &Raw::text(text, Place::Nowhere), &mut unheard)
        )
    };
    given == key.default
        || (!key.default.is_empty()
            && !key.value_type.is_secret()
            && read(&given) == read(key.default))
}
