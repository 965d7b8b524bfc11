//! From environment variables, and the lines of `.env`, to keys.
//!
//! A variable gives a whole value, one item of a list (`…_HOSTS_0`), one entry of a map
//! (`…_GROUP_MAPPINGS_ADMINS`), or one key of a section in a list (`…_OIDC_PROVIDERS_0_ISSUER`).

use super::{
    finding::{Findings, Place},
    given::{GivenKey, Reference},
    key::{self, ConfigKey, PREFIX},
    nearest::did_you_mean,
    raw::{Name, Raw, RawNode},
    section,
    sources::Variable,
    table,
    value_type::ValueType,
};
use std::collections::{BTreeMap, HashMap};

/// What these variables give.
pub(super) fn read<'a>(
    variables: impl Iterator<Item = Variable<'a>>,
    findings: &mut Findings,
) -> Vec<GivenKey> {
    let names = VariableNames::of_configuration();
    // A compose file sets a variable to the empty text where it is not set.
    let ours = variables.filter(|(name, value, _)| name.starts_with(PREFIX) && !value.is_empty());
    read_as(ours, &names, findings)
}

fn read_as<'a>(
    variables: impl Iterator<Item = Variable<'a>>,
    names: &VariableNames,
    findings: &mut Findings,
) -> Vec<GivenKey> {
    let mut given = Vec::new();
    let mut lists = PartsByKey::<&str, (u32, Raw)>::new();
    let mut maps = PartsByKey::<&str, (Name, Raw)>::new();
    let mut sections = PartsByKey::<(&str, u32), Variable<'a>>::new();
    for (name, value, place) in variables {
        match names.meaning(name) {
            Some(Meaning::Value(reference)) => given.push(GivenKey {
                reference,
                raw: Raw::text(value, place.clone()),
                place,
            }),
            Some(Meaning::Item(key, at)) => {
                add(&mut lists, key.path, key, (at, Raw::text(value, place)));
            }
            Some(Meaning::Entry(key, text)) => {
                let entry = Name {
                    text,
                    place: place.clone(),
                };
                add(&mut maps, key.path, key, (entry, Raw::text(value, place)));
            }
            Some(Meaning::OfSection(key, at)) => {
                add(&mut sections, (key.path, at), key, (name, value, place));
            }
            None if name == "ELASTAUTH_CONFIG" || is_service_link(name, value) => {}
            None => findings.warn(&place, names.unknown(name)),
        }
    }
    for ((path, at), (key, own)) in sections {
        let place = first(&own, |(_, _, place)| place);
        let own = read_as(
            own.into_iter(),
            &VariableNames::of_section(key, at),
            findings,
        );
        let entries = own.into_iter().map(|given| {
            let suffix = if given.reference.file { "_file" } else { "" };
            let text = format!("{}{suffix}", section::name(given.reference.key));
            let name = Name {
                text,
                place: given.place,
            };
            (name, given.raw)
        });
        let node = RawNode::Map(entries.collect());
        add(&mut lists, path, key, (at, Raw { node, place }));
    }
    for (key, mut items) in lists.into_values() {
        items.sort_by_key(|(at, _)| *at);
        let place = first(&items, |(_, raw)| &raw.place);
        let items = items.into_iter().map(|(_, raw)| raw).collect();
        given.push(GivenKey::node(key, RawNode::List(items), place));
    }
    for (key, entries) in maps.into_values() {
        let place = first(&entries, |(_, raw)| &raw.place);
        given.push(GivenKey::node(key, RawNode::Map(entries), place));
    }
    given
}

/// Values that several variables give together: the parts of each.
type PartsByKey<K, T> = BTreeMap<K, (&'static ConfigKey, Vec<T>)>;

fn add<K: Ord, T>(parts: &mut PartsByKey<K, T>, of: K, key: &'static ConfigKey, part: T) {
    parts.entry(of).or_insert((key, Vec::new())).1.push(part);
}

fn first<T>(parts: &[T], place: impl Fn(&T) -> &Place) -> Place {
    let first = parts.first();
    first.map_or(Place::Nowhere, |part| place(part).clone())
}

/// What a variable gives.
enum Meaning {
    Value(Reference),
    /// `ELASTAUTH_ELASTICSEARCH_HOSTS_0`.
    Item(&'static ConfigKey, u32),
    /// `ELASTAUTH_GROUP_MAPPINGS_ADMINS`.
    Entry(&'static ConfigKey, String),
    /// `ELASTAUTH_OIDC_PROVIDERS_0_ISSUER`.
    OfSection(&'static ConfigKey, u32),
}

/// The names of variables that follow from the keys.
struct VariableNames {
    exact: HashMap<String, Reference>,
    keys: Vec<(String, &'static ConfigKey)>,
}

impl VariableNames {
    fn of_configuration() -> Self {
        let keys = table::ALL.iter().flat_map(|key| {
            let further = key.variables.iter().map(|name| (*name).to_owned());
            further.chain([key.variable()]).map(|name| (name, *key))
        });
        let mut names = Self::of(keys.collect());
        for key in table::ALL {
            for old in key.old {
                let reference = Reference {
                    old: Some(old),
                    ..Reference::to(key)
                };
                // Where an old and a present name make the same variable, the present one counts.
                names.exact.entry(key::variable(old)).or_insert(reference);
            }
        }
        names
    }

    /// Those of one section of a list.
    fn of_section(list: &ConfigKey, at: u32) -> Self {
        let before = format!("{}_{at}", list.variable());
        let ValueType::Sections(of) = list.value_type else {
            return Self::of(Vec::new());
        };
        let names = section::keys(of).map(|(name, key)| {
            let name = name.replace('.', "_").to_ascii_uppercase();
            (format!("{before}_{name}"), key)
        });
        Self::of(names.collect())
    }

    fn of(keys: Vec<(String, &'static ConfigKey)>) -> Self {
        let names = keys.iter();
        let exact = names.flat_map(|(name, key)| Reference::names(name.clone(), "_FILE", key));
        Self {
            exact: exact.collect(),
            keys,
        }
    }

    fn meaning(&self, name: &str) -> Option<Meaning> {
        if let Some(reference) = self.exact.get(name) {
            return Some(Meaning::Value(*reference));
        }
        self.keys.iter().find_map(|(variable, key)| {
            let rest = name.strip_prefix(variable)?.strip_prefix('_')?;
            match (&key.value_type, rest) {
                (_, "") => None,
                (ValueType::List(_), at) => Some(Meaning::Item(key, at.parse().ok()?)),
                (ValueType::Mappings, group) => {
                    Some(Meaning::Entry(key, group.to_ascii_lowercase()))
                }
                (ValueType::Pairs, header) => Some(Meaning::Entry(key, header.replace('_', "-"))),
                (ValueType::Sections(of), rest) if !of.are_named() => {
                    let (at, _) = rest.split_once('_')?;
                    Some(Meaning::OfSection(key, at.parse().ok()?))
                }
                _ => None,
            }
        })
    }

    fn unknown(&self, name: &str) -> String {
        // Compared without the prefix that all of them share: it would make every name look near.
        let bare = |name| str::strip_prefix(name, PREFIX).unwrap_or(name);
        let known = self.exact.keys().map(|known| bare(known.as_str()));
        if name.starts_with(&format!("{}_", table::CLUSTERS.variable())) {
            return "the sections of `clusters` have no variables, so it has no effect; write \
                    `${NAME}` as a value in the file"
                .to_owned();
        }
        let near = did_you_mean(bare(name), known, PREFIX);
        format!("no key has a variable of this name, so it has no effect{near}")
    }
}

/// Kubernetes sets these in every pod beside a Service whose name begins with `elastauth`.
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
        let schemes = ["tcp://", "udp://", "sctp://"];
        return schemes.iter().any(|scheme| value.starts_with(scheme));
    }
    let mut parts = port.split('_').skip(1);
    parts.next().is_some_and(|port| port.parse::<u16>().is_ok())
        && matches!(parts.next(), Some("TCP" | "UDP" | "SCTP"))
}
