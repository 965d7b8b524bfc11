//! From each source the keys that it gives: a flag, a variable, a line of `.env`, a node of the file.

use super::{
    dotenv,
    finding::{Findings, Place},
    key::{self, Key, PREFIX},
    kind::{Kind, nearest},
    raw::{Name, Node, Raw},
    sources::Sources,
    table,
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
    pub(super) twin: bool,
}

impl Given {
    fn new(key: &'static Key, text: &str, place: Place) -> Self {
        Self { key, raw: Raw::text(text, place.clone()), place, old: None, twin: false }
    }
}

/// What the command line gives.
pub(super) fn flags(sources: &Sources) -> Vec<Given> {
    let listen = sources.flags.listen.as_deref().map(|listen| Given::new(&table::LISTEN, listen, Place::Flag("--listen")));
    let otel = sources.flags.enable_otel.then(|| Given::new(&table::ENABLE_OTEL, "true", Place::Flag("--enableOtel")));
    listen.into_iter().chain(otel).collect()
}

/// What the process environment gives.
pub(super) fn environment(sources: &Sources, findings: &mut Findings) -> Vec<Given> {
    let variables = sources.environment.iter().map(|(name, value)| (name.as_str(), value.as_str(), Place::Variable(name.clone())));
    from_variables(variables, findings)
}

/// What `.env` gives.
pub(super) fn dot_env(lines: &[dotenv::Line<'_>], findings: &mut Findings) -> Vec<Given> {
    from_variables(lines.iter().map(|line| (line.name, line.value.as_str(), Place::DotEnv { line: line.number })), findings)
}

fn from_variables<'a>(variables: impl Iterator<Item = (&'a str, &'a str, Place)>, findings: &mut Findings) -> Vec<Given> {
    let names = Names::new();
    let mut given = Vec::new();
    // Items of one list and entries of one map come in several variables.
    let (mut items, mut entries) = (BTreeMap::<&str, Vec<(u32, Raw)>>::new(), BTreeMap::<&str, Vec<(Name, Raw)>>::new());
    // An empty variable is what compose files make of one that is not set.
    for (name, value, place) in variables.filter(|(name, value, _)| name.starts_with(PREFIX) && !value.is_empty()) {
        match names.meaning(name) {
            Some(Meaning::Value { key, old, twin }) => given.push(Given { old, twin, ..Given::new(key, value, place) }),
            Some(Meaning::Item(key, at)) => items.entry(key.path).or_default().push((at, Raw::text(value, place))),
            Some(Meaning::Entry(key, entry)) => {
                let name = Name { text: entry, place: place.clone() };
                entries.entry(key.path).or_default().push((name, Raw::text(value, place)));
            }
            None if name == "ELASTAUTH_CONFIG" || is_service_link(name, value) => {}
            None => {
                // Without what all of them have in common: it would make everything look near.
                let bare = name.strip_prefix(PREFIX).unwrap_or(name);
                let near = nearest(bare, names.known.keys().filter_map(|known| known.strip_prefix(PREFIX)));
                let near = near.map_or_else(String::new, |near| format!("; did you mean `{PREFIX}{near}`?"));
                findings.warn(&place, format!("no key has a variable of this name, so it has no effect{near}"));
            }
        }
    }
    for (path, mut list) in items {
        list.sort_by_key(|(at, _)| *at);
        push(&mut given, path, Node::List, list.into_iter().map(|(_, raw)| raw).collect(), |list| {
            list.first().map(|raw| raw.place.clone())
        });
    }
    for (path, map) in entries {
        push(&mut given, path, Node::Map, map, |map| map.first().map(|(_, raw)| raw.place.clone()));
    }
    given
}

fn push<T>(given: &mut Vec<Given>, path: &str, node: impl Fn(Vec<T>) -> Node, parts: Vec<T>, place: impl Fn(&[T]) -> Option<Place>) {
    let key = table::ALL.iter().find(|key| key.path == path);
    if let Some((key, place)) = key.zip(place(&parts)) {
        given.push(Given { key, raw: Raw { node: node(parts), place: place.clone() }, place, old: None, twin: false });
    }
}

/// What a variable means.
enum Meaning {
    Value {
        key: &'static Key,
        old: Option<&'static str>,
        twin: bool,
    },
    /// `ELASTAUTH_ELASTICSEARCH_HOSTS_0`.
    Item(&'static Key, u32),
    /// `ELASTAUTH_GROUP_MAPPINGS_ADMINS`.
    Entry(&'static Key, String),
}

/// All names of variables that follow from the table.
struct Names {
    known: HashMap<String, (&'static Key, Option<&'static str>, bool)>,
}

impl Names {
    fn new() -> Self {
        let mut known = HashMap::new();
        // Old names first: where an old and a present name make the same variable, the present one counts.
        for key in table::ALL {
            for old in key.old {
                known.insert(key::variable(old), (*key, Some(*old), false));
            }
        }
        for key in table::ALL {
            let names = key.variables.iter().map(|name| (*name).to_owned()).chain([key.variable()]);
            for name in names {
                if key.kind.has_twin() {
                    known.insert(format!("{name}_FILE"), (*key, None, true));
                }
                known.insert(name, (*key, None, false));
            }
        }
        Self { known }
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        if let Some((key, old, twin)) = self.known.get(name) {
            return Some(Meaning::Value { key, old: *old, twin: *twin });
        }
        for key in table::ALL {
            let rest = name.strip_prefix(&key.variable()).and_then(|rest| rest.strip_prefix('_')).filter(|rest| !rest.is_empty());
            match (&key.kind, rest) {
                (Kind::List(_), Some(rest)) => {
                    if let Ok(at) = rest.parse() {
                        return Some(Meaning::Item(key, at));
                    }
                }
                (Kind::Mappings, Some(group)) => return Some(Meaning::Entry(key, group.to_ascii_lowercase())),
                (Kind::Pairs, Some(header)) => return Some(Meaning::Entry(key, header.replace('_', "-"))),
                _ => {}
            }
        }
        None
    }
}

/// Kubernetes puts these into every pod beside a Service whose name begins with `elastauth`.
fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    let Some((_, port)) = name.split_once("_PORT") else { return false };
    if port.is_empty() {
        return ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    }
    let mut parts = port.split('_').skip(1);
    parts.next().is_some_and(|number| number.parse::<u16>().is_ok())
        && parts.next().is_some_and(|kind| matches!(kind, "TCP" | "UDP" | "SCTP"))
}

/// What the file gives. Keys compare without regard to ASCII case, as in the Go program.
pub(super) fn file(root: Raw, findings: &mut Findings) -> Vec<Given> {
    let mut paths = HashMap::new();
    for key in table::ALL {
        paths.insert(key.path.to_ascii_lowercase(), (*key, None, false));
        if key.kind.has_twin() {
            paths.insert(format!("{}_file", key.path.to_ascii_lowercase()), (*key, None, true));
        }
        for old in key.old {
            paths.insert((*old).to_ascii_lowercase(), (*key, Some(*old), false));
        }
    }
    let mut walk = Walk { paths, given: Vec::new(), findings };
    walk.section("", root);
    walk.given
}

struct Walk<'f> {
    paths: HashMap<String, (&'static Key, Option<&'static str>, bool)>,
    given: Vec<Given>,
    findings: &'f mut Findings,
}

impl Walk<'_> {
    fn section(&mut self, within: &str, raw: Raw) {
        let entries = match raw.node {
            Node::Map(entries) => entries,
            // A section whose keys are all commented out.
            Node::Null | Node::Spoilt => return,
            Node::Text(_) | Node::List(_) => {
                let name = if within.is_empty() { "the configuration".to_owned() } else { format!("`{within}`") };
                return self.findings.fault(&raw.place, format!("{name} must be a section of keys, and here stands {}", raw.what()));
            }
        };
        for (name, value) in entries {
            let path = if within.is_empty() { name.text.clone() } else { format!("{within}.{}", name.text) };
            let lower = path.to_ascii_lowercase();
            if let Some((key, old, twin)) = self.paths.get(&lower) {
                self.given.push(Given { key, raw: value, place: name.place, old: *old, twin: *twin });
            } else if self.paths.keys().any(|known| known.strip_prefix(&lower).is_some_and(|rest| rest.starts_with('.'))) {
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
        let elsewhere = table::ALL.iter().map(|key| key.path).find(|known| known.rsplit('.').next() == Some(&own));
        let near = elsewhere.or_else(|| nearest(lower, table::ALL.iter().map(|key| key.path)));
        let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
        self.findings.fault(&name.place, format!("`{}` is not a key{near}", shown(path)));
    }
}
