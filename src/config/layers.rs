//! From each source the keys that it gives: a flag, a variable, a line of `.env`, a node of the
//! file.

use super::{
    dotenv,
    finding::{Findings, Place},
    key::{self, Key, PREFIX},
    raw::{Name, Node, Raw},
    section,
    sources::Sources,
    table,
    value_type::{ValueType, nearest},
    yaml::shown,
};
use std::collections::{BTreeMap, HashMap};

/// A key as one source gives it.
pub(super) struct Given {
    pub(super) key: &'static Key,
    pub(super) raw: Raw,
    /// Where the name of the key stands.
    pub(super) place: Place,
    /// The old name that was used for it.
    pub(super) old: Option<&'static str>,
    /// The value is the name of a file that holds the value.
    pub(super) file_variant: bool,
}

impl Given {
    fn new(key: &'static Key, text: &str, place: Place) -> Self {
        Self {
            key,
            raw: Raw::text(text, place.clone()),
            place,
            old: None,
            file_variant: false,
        }
    }
}

/// What the command line gives.
pub(super) fn flags(sources: &Sources) -> Vec<Given> {
    let listen = sources
        .flags
        .listen
        .as_deref()
        .map(|listen| Given::new(&table::LISTEN, listen, Place::Flag("--listen")));
    let otel = sources
        .flags
        .enable_otel
        .then(|| Given::new(&table::ENABLE_OTEL, "true", Place::Flag("--enableOtel")));
    listen.into_iter().chain(otel).collect()
}

/// What the process environment gives.
pub(super) fn environment(sources: &Sources, findings: &mut Findings) -> Vec<Given> {
    let variables = sources
        .environment
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str(), Place::Variable(name.clone())));
    from_variables(variables, &Names::all(), findings)
}

/// What `.env` gives.
pub(super) fn dot_env(lines: &[dotenv::Line<'_>], findings: &mut Findings) -> Vec<Given> {
    let variables = lines.iter().map(|line| {
        (
            line.name,
            line.value.as_str(),
            Place::DotEnv { line: line.number },
        )
    });
    from_variables(variables, &Names::all(), findings)
}

/// A variable: its name, its value, and where it was found.
type Variable<'a> = (&'a str, &'a str, Place);

fn from_variables<'a>(
    variables: impl Iterator<Item = Variable<'a>>,
    names: &Names,
    findings: &mut Findings,
) -> Vec<Given> {
    let mut given = Vec::new();
    // Items of one list, entries of one map and keys of one section come in several variables.
    let (mut items, mut entries) = (
        BTreeMap::<&str, Parts<(u32, Raw)>>::new(),
        BTreeMap::<&str, Parts<(Name, Raw)>>::new(),
    );
    let mut sections = BTreeMap::<(&str, u32), Parts<Variable<'a>>>::new();
    // An empty variable is what compose files make of one that is not set.
    for (name, value, place) in
        variables.filter(|(name, value, _)| name.starts_with(PREFIX) && !value.is_empty())
    {
        match names.meaning(name) {
            Some(Meaning::Value {
                key,
                old,
                file_variant,
            }) => given.push(Given {
                old,
                file_variant,
                ..Given::new(key, value, place)
            }),
            Some(Meaning::Item(key, at)) => {
                part(&mut items, key.path, key, (at, Raw::text(value, place)));
            }
            Some(Meaning::Entry(key, entry)) => {
                let name = Name {
                    text: entry,
                    place: place.clone(),
                };
                part(&mut entries, key.path, key, (name, Raw::text(value, place)));
            }
            Some(Meaning::OfSection(key, at)) => {
                part(&mut sections, (key.path, at), key, (name, value, place));
            }
            None if name == "ELASTAUTH_CONFIG" || is_service_link(name, value) => {}
            None => {
                // Without what all of them have in common: it would make everything look near.
                let bare = name.strip_prefix(PREFIX).unwrap_or(name);
                let near = nearest(
                    bare,
                    names
                        .known
                        .keys()
                        .filter_map(|known| known.strip_prefix(PREFIX)),
                );
                let near = near.map_or_else(String::new, |near| {
                    format!("; did you mean `{PREFIX}{near}`?")
                });
                findings.warn(
                    &place,
                    format!("no key has a variable of this name, so it has no effect{near}"),
                );
            }
        }
    }
    let mut lists = BTreeMap::<&str, Parts<(u32, Raw)>>::new();
    for ((path, at), (key, own)) in sections {
        let place = own
            .first()
            .map_or(Place::Nowhere, |(_, _, place)| place.clone());
        let own = from_variables(own.into_iter(), &Names::of_section(key, at), findings);
        let entries = own.into_iter().map(
            |Given {
                 key,
                 raw,
                 place,
                 file_variant,
                 ..
             }| {
                let text = format!(
                    "{}{}",
                    section::name(key),
                    if file_variant { "_file" } else { "" }
                );
                (Name { text, place }, raw)
            },
        );
        part(
            &mut lists,
            path,
            key,
            (
                at,
                Raw {
                    node: Node::Map(entries.collect()),
                    place,
                },
            ),
        );
    }
    for (key, mut list) in items.into_values().chain(lists.into_values()) {
        list.sort_by_key(|(at, _)| *at);
        let list: Vec<Raw> = list.into_iter().map(|(_, raw)| raw).collect();
        let place = list.first().map_or(Place::Nowhere, |raw| raw.place.clone());
        given.push(Given {
            key,
            raw: Raw {
                node: Node::List(list),
                place: place.clone(),
            },
            place,
            old: None,
            file_variant: false,
        });
    }
    for (key, map) in entries.into_values() {
        let place = map
            .first()
            .map_or(Place::Nowhere, |(_, raw)| raw.place.clone());
        given.push(Given {
            key,
            raw: Raw {
                node: Node::Map(map),
                place: place.clone(),
            },
            place,
            old: None,
            file_variant: false,
        });
    }
    given
}

/// Parts of one key's value.
type Parts<T> = (&'static Key, Vec<T>);

fn part<K: Ord, T>(all: &mut BTreeMap<K, Parts<T>>, of: K, key: &'static Key, part: T) {
    all.entry(of)
        .or_insert_with(|| (key, Vec::new()))
        .1
        .push(part);
}

/// What a variable means.
enum Meaning {
    Value {
        key: &'static Key,
        old: Option<&'static str>,
        file_variant: bool,
    },
    /// `ELASTAUTH_ELASTICSEARCH_HOSTS_0`.
    Item(&'static Key, u32),
    /// `ELASTAUTH_GROUP_MAPPINGS_ADMINS`.
    Entry(&'static Key, String),
    /// `ELASTAUTH_OIDC_PROVIDERS_0_ISSUER`.
    OfSection(&'static Key, u32),
}

/// All names of variables that follow from the table.
struct Names {
    known: HashMap<String, (&'static Key, Option<&'static str>, bool)>,
    keys: Vec<(String, &'static Key)>,
}

impl Names {
    fn all() -> Self {
        let mut known = HashMap::new();
        // Old names first: where an old and a present name make the same variable, the present one
        // counts.
        for key in table::ALL {
            for old in key.old {
                known.insert(key::variable(old), (*key, Some(*old), false));
            }
        }
        let further = table::ALL
            .iter()
            .flat_map(|key| key.variables.iter().map(|name| ((*name).to_owned(), *key)));
        Self::of(
            known,
            further
                .chain(table::ALL.iter().map(|key| (key.variable(), *key)))
                .collect(),
        )
    }

    /// Those of one section of a list.
    fn of_section(list: &Key, at: u32) -> Self {
        let before = format!("{}_{at}", list.variable());
        let name = |(name, key): (&str, _)| {
            (
                format!("{before}_{}", name.replace('.', "_").to_ascii_uppercase()),
                key,
            )
        };
        Self::of(HashMap::new(), section::keys().map(name).collect())
    }

    fn of(
        mut known: HashMap<String, (&'static Key, Option<&'static str>, bool)>,
        keys: Vec<(String, &'static Key)>,
    ) -> Self {
        for (name, key) in &keys {
            if key.value_type.has_file_variant() {
                known.insert(format!("{name}_FILE"), (*key, None, true));
            }
            known.insert(name.clone(), (*key, None, false));
        }
        Self { known, keys }
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        if let Some((key, old, file_variant)) = self.known.get(name) {
            return Some(Meaning::Value {
                key,
                old: *old,
                file_variant: *file_variant,
            });
        }
        for (variable, key) in &self.keys {
            let rest = name
                .strip_prefix(variable)
                .and_then(|rest| rest.strip_prefix('_'))
                .filter(|rest| !rest.is_empty());
            match (&key.value_type, rest) {
                (ValueType::List(_), Some(rest)) => {
                    if let Ok(at) = rest.parse() {
                        return Some(Meaning::Item(key, at));
                    }
                }
                (ValueType::Mappings, Some(group)) => {
                    return Some(Meaning::Entry(key, group.to_ascii_lowercase()));
                }
                (ValueType::Pairs, Some(header)) => {
                    return Some(Meaning::Entry(key, header.replace('_', "-")));
                }
                (ValueType::Sections, Some(rest)) => {
                    if let Some(Ok(at)) = rest.split_once('_').map(|(at, _)| at.parse()) {
                        return Some(Meaning::OfSection(key, at));
                    }
                }
                _ => {}
            }
        }
        None
    }
}

/// Kubernetes puts these into every pod beside a Service whose name begins with `elastauth`.
fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
    {
        return true;
    }
    let Some((_, port)) = name.split_once("_PORT") else {
        return false;
    };
    if port.is_empty() {
        return ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme));
    }
    let mut parts = port.split('_').skip(1);
    parts
        .next()
        .is_some_and(|number| number.parse::<u16>().is_ok())
        && parts
            .next()
            .is_some_and(|protocol| matches!(protocol, "TCP" | "UDP" | "SCTP"))
}

/// What the file gives. Keys compare without regard to ASCII case, as in the Go program.
pub(super) fn file(root: Raw, findings: &mut Findings) -> Vec<Given> {
    let mut walk = Walk::of(table::ALL.iter().map(|key| (key.path, *key)), findings);
    for key in table::ALL {
        for old in key.old {
            walk.paths
                .insert((*old).to_ascii_lowercase(), (*key, Some(*old), false));
        }
    }
    walk.section("", root);
    walk.given
}

/// What one section of a list gives.
pub(super) fn section(section: Raw, findings: &mut Findings) -> Vec<Given> {
    let mut walk = Walk::of(section::keys(), findings);
    walk.section("", section);
    walk.given
}

struct Walk<'f> {
    paths: HashMap<String, (&'static Key, Option<&'static str>, bool)>,
    /// The paths as they are written, for whoever has written another one.
    known: Vec<&'static str>,
    given: Vec<Given>,
    findings: &'f mut Findings,
}

impl<'f> Walk<'f> {
    fn of(
        keys: impl Iterator<Item = (&'static str, &'static Key)>,
        findings: &'f mut Findings,
    ) -> Self {
        let (mut paths, mut known) = (HashMap::new(), Vec::new());
        for (path, key) in keys {
            paths.insert(path.to_ascii_lowercase(), (key, None, false));
            if key.value_type.has_file_variant() {
                paths.insert(
                    format!("{}_file", path.to_ascii_lowercase()),
                    (key, None, true),
                );
            }
            known.push(path);
        }
        Self {
            paths,
            known,
            given: Vec::new(),
            findings,
        }
    }

    fn section(&mut self, within: &str, raw: Raw) {
        let entries = match raw.node {
            Node::Map(entries) => entries,
            // A section whose keys are all commented out.
            Node::Null | Node::Invalid => return,
            Node::Text(_) | Node::List(_) => {
                let name = if within.is_empty() {
                    "the configuration".to_owned()
                } else {
                    format!("`{within}`")
                };
                return self.findings.fault(
                    &raw.place,
                    format!(
                        "{name} must be a section of keys, and here stands {}",
                        raw.what()
                    ),
                );
            }
        };
        for (name, value) in entries {
            let path = if within.is_empty() {
                name.text.clone()
            } else {
                format!("{within}.{}", name.text)
            };
            let lower = path.to_ascii_lowercase();
            if let Some((key, old, file_variant)) = self.paths.get(&lower) {
                self.given.push(Given {
                    key,
                    raw: value,
                    place: name.place,
                    old: *old,
                    file_variant: *file_variant,
                });
            } else if self.paths.keys().any(|known| {
                known
                    .strip_prefix(&lower)
                    .is_some_and(|rest| rest.starts_with('.'))
            }) {
                self.section(&lower, value);
            } else {
                self.unknown(&lower, &path, &name);
            }
        }
    }

    fn unknown(&mut self, lower: &str, path: &str, name: &Name) {
        if self.findings.full() {
            return self.findings.fault(&name.place, "");
        }
        // The right key in the wrong section is nearer than a wrong key in the right one.
        let own = name.text.to_ascii_lowercase();
        let elsewhere = self
            .known
            .iter()
            .copied()
            .find(|known| known.rsplit('.').next() == Some(&own));
        let near = elsewhere.or_else(|| nearest(lower, self.known.iter().copied()));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.findings
            .fault(&name.place, format!("`{}` is not a key{near}", shown(path)));
    }
}
