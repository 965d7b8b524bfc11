//! From the sources to settings: flags, then the environment, then `.env`, then the file, then
//! defaults. The first that gives a key counts.

use super::{
    dotenv::{self, DotEnvLine},
    environment, expand, exposed, file,
    finding::{Findings, Place},
    given::{self, GivenKey},
    key::{ConfigKey, Status},
    raw::{Name, Raw, RawNode},
    section,
    settings::{ReadValue, Settings},
    sources::Sources,
    standard::StandardVariables,
    table,
    value_type::{SectionsOf, ValueType},
    yaml,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};
use zeroize::Zeroize as _;

type Values = HashMap<&'static str, ReadValue>;

/// Gathers from all sources. Every fault is reported.
pub(super) fn gather(sources: &Sources, findings: &mut Findings) -> Settings {
    for fault in &sources.unread {
        findings.fault(&fault.place, fault.text.clone());
    }
    for warning in &sources.warnings {
        findings.warn(&warning.place, warning.text.clone());
    }
    let lines = sources.dot_env.as_deref();
    let mut lines = lines.map_or_else(Vec::new, |text| dotenv::read(text, findings));
    let root = sources.file.as_ref();
    let root = root.and_then(|(name, bytes)| yaml::read(name, bytes, findings));
    let unread = !sources.unread.is_empty() || (sources.file.is_some() && root.is_none());
    let file = root.map(|mut root| {
        let variable = |name: &str| {
            let line = || dotenv::value(&lines, name);
            let set = sources.environment.get(name);
            set.map(String::as_str).or_else(line)
        };
        expand::expand(&mut root, &variable, findings);
        file::read(root, findings)
    });
    let layers = [
        given::from_flags(&sources.flags),
        environment::read(sources.variables(), findings),
        environment::read(lines.iter().map(DotEnvLine::variable), findings),
        file.unwrap_or_default(),
    ];
    let mut values = Values::new();
    for layer in layers {
        add(&mut values, layer, findings);
    }
    read(&mut values, table::ALL.iter().copied(), "", findings);
    let settings = Settings {
        lists: lists(table::ALL.iter().copied(), &values, findings),
        values,
        standard: StandardVariables::read(sources, &lines),
        unread,
        ..Settings::default()
    };
    exposed::warn(&settings, sources, findings);
    for line in &mut lines {
        line.value.zeroize();
    }
    settings
}

fn lists(
    keys: impl Iterator<Item = &'static ConfigKey>,
    values: &Values,
    findings: &mut Findings,
) -> BTreeMap<SectionsOf, Vec<Settings>> {
    let mut lists = BTreeMap::new();
    for key in keys {
        if let ValueType::Sections(of) = key.value_type {
            lists.insert(of, sections(of, key, values, findings));
        }
    }
    lists
}

fn sections(
    of: SectionsOf,
    list: &ConfigKey,
    values: &Values,
    findings: &mut Findings,
) -> Vec<Settings> {
    let within = list.path;
    let list = values.get(list.path);
    let items: Vec<(&str, &Place, &Raw)> = match list.map(|found| &found.raw.node) {
        Some(RawNode::List(items)) if !of.are_named() => {
            items.iter().map(|item| ("", &item.place, item)).collect()
        }
        Some(RawNode::Map(entries)) if of.are_named() => entries
            .iter()
            .map(|(name, item)| (name.text.as_str(), &name.place, item))
            .collect(),
        _ => return Vec::new(),
    };
    // The type of the key has reported items that are no sections.
    let sections = items
        .into_iter()
        .filter(|(.., item)| matches!(item.node, RawNode::Map(_)));
    let settings = sections.map(|(name, place, item)| {
        let mut values = Values::new();
        let given = file::read_section(of, item.clone(), findings);
        add(&mut values, given, findings);
        let path = if name.is_empty() {
            String::new()
        } else {
            format!("{within}.{}.", yaml::shown(name))
        };
        read(
            &mut values,
            section::keys(of).map(|(_, key)| key),
            &path,
            findings,
        );
        Settings {
            lists: lists(section::keys(of).map(|(_, key)| key), &values, findings),
            values,
            name: name.into(),
            place: place.clone(),
            ..Settings::default()
        }
    });
    let mut settings: Vec<Settings> = settings.collect();
    // Named sections have no order; elsewhere all names are the same.
    settings.sort_by(|one, other| one.name.cmp(&other.name));
    settings
}

/// Adds one source. What is there already comes from a higher one.
fn add(values: &mut Values, layer: Vec<GivenKey>, findings: &mut Findings) {
    let mut own: HashMap<&'static str, (Raw, Place)> = HashMap::new();
    for given in layer {
        let (path, place) = (given.reference.key.path, given.place.clone());
        if let Some(old) = given.reference.old {
            findings.warn(&place, format!("`{old}` is an old name; use `{path}` now"));
        }
        let Some(raw) = given.value(findings) else {
            continue;
        };
        if let Some((_, first)) = own.get(path) {
            let fault = format!("`{path}` is given twice; the other value is at {first}");
            findings.fault(&place, fault);
        } else {
            own.insert(path, (raw, place));
        }
    }
    for (path, (raw, _)) in own {
        match values.get_mut(path) {
            None => drop(values.insert(path, ReadValue { raw, value: None })),
            Some(higher) => merge(&mut higher.raw, raw),
        }
    }
}

/// A map of a lower source adds its entries under names that the higher one does not have.
/// Anything else is replaced as a whole.
fn merge(higher: &mut Raw, lower: Raw) {
    if let (RawNode::Map(entries), RawNode::Map(mut more)) = (&mut higher.node, lower.node) {
        let has = |name: &Name| {
            let mut own = entries.iter();
            own.any(|(own, _)| own.text.eq_ignore_ascii_case(&name.text))
        };
        more.retain(|(name, _)| !has(name));
        entries.append(&mut more);
    }
}

/// Reads each value by the type of its key; faults name the key within its section.
fn read(
    values: &mut Values,
    keys: impl Iterator<Item = &'static ConfigKey>,
    within: &str,
    findings: &mut Findings,
) {
    for key in keys {
        if !key.default.is_empty() {
            values.entry(key.path).or_insert_with(|| ReadValue {
                raw: Raw::text(key.default, Place::Default),
                value: None,
            });
        }
        let Some(found) = values.get_mut(key.path) else {
            continue;
        };
        match key.status {
            Status::Current => {}
            Status::Old(now) => {
                let warning = format!("`{}` is an old key; use `{now}`", key.path);
                findings.warn(&found.raw.place, warning);
            }
        }
        let path = if within.is_empty() {
            Cow::Borrowed(key.path)
        } else {
            Cow::Owned(format!("{within}{}", section::name(key)))
        };
        found.value = key.value_type.read(&path, &found.raw, findings);
    }
}
