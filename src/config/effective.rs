//! What counts in the end, and where each value came from: for people who wonder why the program does what it does.

use super::{
    finding::{Findings, Place},
    key::Status,
    raw::{Node, Raw},
    settings::Settings,
    sources::Sources,
    table,
};

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Setting {
    /// The key.
    pub key: &'static str,
    /// What it holds: `***` for a secret, nothing where no value is set.
    pub value: Option<String>,
    /// Where the value came from.
    pub place: Place,
}

/// Every key that the program knows what to do with, and every other one that was given.
#[must_use]
pub fn effective(sources: &Sources) -> Vec<Setting> {
    let mut findings = Findings::default();
    let settings = Settings::gather(sources, &mut findings);
    let told = table::ALL.iter().filter(|key| key.status == Status::Available || settings.given(key));
    told.map(|key| {
        let found = settings.found(key);
        let value = found.map(|found| match &found.value {
            // What its kind did not take may be a secret that got into the wrong place.
            None => "(faulty)".to_owned(),
            Some(_) if key.kind.is_secret() => "***".to_owned(),
            Some(_) => shown(&found.raw),
        });
        Setting { key: key.path, value, place: found.map_or(Place::Default, |found| found.raw.place.clone()) }
    })
    .collect()
}

fn shown(raw: &Raw) -> String {
    match &raw.node {
        Node::Null | Node::Spoilt => String::new(),
        Node::Text(text) => text.escape_debug().to_string(),
        Node::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Node::Map(entries) => {
            let entries = entries.iter().map(|(name, raw)| format!("{}: {}", name.text.escape_debug(), shown(raw)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// The keys that differ between two readings and that a running program cannot change: it has to be started anew for them.
///
/// A secret in a file of its own is read when this is called, for both.
#[must_use]
pub fn needs_restart(before: &Sources, after: &Sources) -> Vec<&'static str> {
    let mut findings = Findings::default();
    let [before, after] = [before, after].map(|sources| Settings::gather(sources, &mut findings));
    let differs = |key: &&&super::key::Key| match (before.raw(key), after.raw(key)) {
        (None, None) => false,
        (Some(one), Some(other)) => !same(one, other),
        _ => true,
    };
    table::ALL.iter().filter(|key| !key.reload).filter(differs).map(|key| key.path).collect()
}

fn same(one: &Raw, other: &Raw) -> bool {
    match (&one.node, &other.node) {
        (Node::Text(one), Node::Text(other)) => one == other,
        (Node::List(one), Node::List(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        (Node::Map(one), Node::Map(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| one.0.text == other.0.text && same(&one.1, &other.1))
        }
        (Node::Null, Node::Null) | (Node::Spoilt, Node::Spoilt) => true,
        _ => false,
    }
}
