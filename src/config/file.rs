//! From the tree of the configuration file to keys. Names compare without regard to ASCII case, as
//! in the Go program.

use super::{
    finding::Findings,
    given::{GivenKey, Reference},
    key::ConfigKey,
    nearest::did_you_mean,
    raw::{Name, Raw, RawNode},
    section, table,
    value_type::{SectionsOf, ValueType},
    yaml::shown,
};
use std::collections::HashMap;

/// What the file gives.
pub(super) fn read(root: Raw, findings: &mut Findings) -> Vec<GivenKey> {
    let mut walk = Walk::of(table::ALL.iter().map(|key| (key.path, *key)), findings);
    for key in table::ALL {
        for old in key.old {
            let reference = Reference {
                old: Some(old),
                ..Reference::to(key)
            };
            walk.paths.insert((*old).to_ascii_lowercase(), reference);
        }
    }
    walk.section("", root);
    walk.given
}

/// What one section of a list gives.
pub(super) fn read_section(of: SectionsOf, section: Raw, findings: &mut Findings) -> Vec<GivenKey> {
    let mut walk = Walk::of(section::keys(of), findings);
    walk.section("", section);
    walk.given
}

struct Walk<'f> {
    /// By paths in lower case.
    paths: HashMap<String, Reference>,
    /// The paths as the documentation writes them.
    written: Vec<&'static str>,
    given: Vec<GivenKey>,
    findings: &'f mut Findings,
}

impl<'f> Walk<'f> {
    fn of(
        keys: impl Iterator<Item = (&'static str, &'static ConfigKey)>,
        findings: &'f mut Findings,
    ) -> Self {
        let (mut paths, mut written) = (HashMap::new(), Vec::new());
        for (path, key) in keys {
            paths.extend(Reference::names(path.to_ascii_lowercase(), "_file", key));
            written.push(path);
        }
        Self {
            paths,
            written,
            given: Vec::new(),
            findings,
        }
    }

    fn section(&mut self, within: &str, raw: Raw) {
        let entries = match raw.node {
            RawNode::Map(entries) => entries,
            // A section whose keys are all commented out.
            RawNode::Null | RawNode::Invalid => return,
            RawNode::Text(_) | RawNode::List(_) => {
                let name = if within.is_empty() {
                    "the configuration".to_owned()
                } else {
                    format!("`{within}`")
                };
                let fault = format!("{name} must be a section of keys; it is {}", raw.what());
                return self.findings.fault(&raw.place, fault);
            }
        };
        for (name, value) in entries {
            let path = if within.is_empty() {
                name.text.clone()
            } else {
                format!("{within}.{}", name.text)
            };
            let lower = path.to_ascii_lowercase();
            let is_in = |known: &String| {
                let rest = known.strip_prefix(&lower);
                rest.is_some_and(|rest| rest.starts_with('.'))
            };
            if let Some(reference) = self.paths.get(&lower).copied() {
                let raw = self.without_keys(&lower, reference.key, value);
                self.given.extend(raw.map(|raw| GivenKey {
                    reference,
                    raw,
                    place: name.place,
                }));
            } else if self.paths.keys().any(is_in) {
                self.section(&lower, value);
            } else {
                self.unknown(&lower, &path, &name);
            }
        }
    }

    /// Among named sections there may be keys, such as `clusters.unmatched`: these are given for
    /// themselves. `None` where nothing else is there.
    fn without_keys(&mut self, lower: &str, key: &ConfigKey, mut raw: Raw) -> Option<Raw> {
        let (ValueType::Sections(_), RawNode::Map(entries)) = (&key.value_type, &mut raw.node)
        else {
            return Some(raw);
        };
        let key_of = |name: &Name| {
            let path = format!("{lower}.{}", name.text.to_ascii_lowercase());
            self.paths.get(&path).copied()
        };
        let keys = entries.extract_if(.., |(name, _)| key_of(name).is_some());
        let keys = keys
            .collect::<Vec<_>>()
            .into_iter()
            .filter_map(|(name, raw)| {
                Some(GivenKey {
                    reference: key_of(&name)?,
                    raw,
                    place: name.place,
                })
            });
        let before = self.given.len();
        self.given.extend(keys.collect::<Vec<_>>());
        (!entries.is_empty() || self.given.len() == before).then_some(raw)
    }

    fn unknown(&mut self, lower: &str, path: &str, name: &Name) {
        if self.findings.full() {
            return self.findings.fault(&name.place, "");
        }
        // The right key in the wrong section is nearer than a wrong key in the right one.
        let own = name.text.to_ascii_lowercase();
        let mut written = self.written.iter().copied();
        let elsewhere = written.find(|known| known.rsplit('.').next() == Some(&own));
        let near = elsewhere.map_or_else(
            || did_you_mean(lower, self.written.iter().copied(), ""),
            |known| format!("; did you mean `{known}`?"),
        );
        let fault = format!("`{}` is not a key{near}", shown(path));
        self.findings.fault(&name.place, fault);
    }
}
