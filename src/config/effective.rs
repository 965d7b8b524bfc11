//! The effective configuration, and where each value came from.

use super::{
    choice::{AuthProvider, ConfigChoice},
    finding::{Findings, Place},
    gather::gather,
    key::{ConfigKey, Status},
    raw::{Raw, RawNode},
    section,
    settings::Settings,
    sources::Sources,
    table,
    value::KeyValue,
    value_type::{ValueType, pieces},
};
use crate::secret::address;
use crate::{keys, secret::SecretKey};
use serde_json::{Map, Value as Json};

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Setting {
    /// The key.
    pub key: &'static str,
    /// What it holds: `***` for a secret, nothing where no value is set.
    pub value: Option<String>,
    /// Where the value came from.
    pub place: Place,
}

/// Every key that has an effect, and every other one that a source gives.
#[must_use]
pub(crate) fn effective(sources: &Sources) -> Vec<Setting> {
    let mut findings = Findings::default();
    let settings = gather(sources, &mut findings);
    let keys = table::ALL.iter();
    let keys = keys.filter(|key| key.status == Status::Current || settings.given(key));
    keys.map(|key| {
        let found = settings.found(key);
        let value = found.map(|found| match &found.value {
            // A value of another type may be a secret in the wrong place.
            None => "(faulty)".to_owned(),
            Some(_) if key.value_type.is_secret() => match key_id(&settings, key) {
                Some(id) => format!("*** (key id {id})"),
                None => "***".to_owned(),
            },
            Some(KeyValue::Sections) => sections(&settings, key).to_string(),
            Some(_) if key.value_type.is_address() => shown(&public(&found.raw, &key.value_type)),
            Some(_) => shown(&found.raw),
        });
        Setting {
            key: key.path,
            value,
            place: found.map_or(Place::Default, |found| found.raw.place.clone()),
        }
    })
    .collect()
}

/// The same as one JSON object, sections within sections as in the file, for `/elastauth/config`.
/// It has `mode` and `provider_config` as in elastauth 2, and a single provider is a text, not a
/// list, as scripts expect.
pub(super) fn tree(settings: &Settings) -> Json {
    let mut root = Map::new();
    for key in table::ALL
        .iter()
        .filter(|key| key.status == Status::Current)
    {
        if let Some(value) = value(settings, key) {
            put(&mut root, key.path, value);
        }
    }
    let providers = settings.get::<Vec<AuthProvider>>(&table::AUTH_PROVIDER);
    let providers = providers
        .unwrap_or_default()
        .into_iter()
        .map(ConfigChoice::text);
    let providers: Vec<&str> = providers.collect();
    let of_providers: Map<String, Json> = providers
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), root.get(*name)?.clone())))
        .collect();
    if let [only] = providers.as_slice() {
        root.insert("auth_provider".to_owned(), (*only).into());
    }
    root.insert("provider_config".to_owned(), of_providers.into());
    let is_proxy = settings.get(&table::PROXY_ENABLED) == Some(true);
    let mode = if is_proxy { "proxy" } else { "auth-only" };
    root.insert("mode".to_owned(), mode.into());
    if let Some(id) = key_id(settings, &table::SECRET_KEY) {
        root.insert("key_id".to_owned(), id.into());
    }
    root.into()
}

/// What users in the cluster carry of `secret_key` or `secret_key_previous`.
fn key_id(settings: &Settings, key: &ConfigKey) -> Option<String> {
    let is_key = [&table::SECRET_KEY, &table::SECRET_KEY_PREVIOUS].contains(&key);
    let secret = is_key.then(|| settings.get::<SecretKey>(key)).flatten();
    secret.map(|secret| keys::key_id(&secret))
}

/// What each section gives, secrets as `***`.
fn sections(settings: &Settings, list: &ConfigKey) -> Json {
    let ValueType::Sections(of) = list.value_type else {
        return Json::Null;
    };
    let section = |settings: &Settings| {
        let mut own = Map::new();
        for (name, key) in section::keys(of).filter(|(_, key)| settings.given(key)) {
            put(&mut own, name, value(settings, key).unwrap_or_default());
        }
        Json::from(own)
    };
    let sections = settings.sections(of).iter();
    if of.are_named() {
        let named = sections.map(|own| (own.name.to_string(), section(own)));
        return Json::Object(named.collect());
    }
    sections.map(section).collect()
}

/// `None` for a key that has no value, or a faulty one.
fn value(settings: &Settings, key: &ConfigKey) -> Option<Json> {
    let found = settings.found(key)?;
    found.value.as_ref()?;
    Some(if key.value_type.is_secret() {
        "***".into()
    } else if matches!(key.value_type, ValueType::Sections(_)) {
        sections(settings, key)
    } else {
        let value = if key.value_type.is_address() {
            json(&public(&found.raw, &key.value_type), &key.value_type)
        } else {
            json(&found.raw, &key.value_type)
        };
        let only = match value.as_array().map(Vec::as_slice) {
            Some([only]) if ONCE_ONE.contains(&key) => Some(only.clone()),
            _ => None,
        };
        only.unwrap_or(value)
    })
}

/// Lists that were one text in elastauth 2: one item is shown as it was, for scripts.
static ONCE_ONE: [&ConfigKey; 2] = [&table::AUTHELIA_USERNAME, &table::OIDC_CLAIM_USERNAME];

/// Addresses without what may be secret in them.
fn public(raw: &Raw, value_type: &ValueType) -> Raw {
    let node = match (&raw.node, value_type) {
        (RawNode::Text(text), ValueType::List(_)) => {
            let items: Vec<String> = pieces(text).map(address::shown).collect();
            RawNode::Text(items.join(","))
        }
        (RawNode::Text(text), _) => RawNode::Text(address::shown(text)),
        (RawNode::List(items), _) => {
            let items = items.iter().map(|item| public(item, &ValueType::Address));
            RawNode::List(items.collect())
        }
        (RawNode::Null | RawNode::Map(_) | RawNode::Invalid, _) => raw.node.clone(),
    };
    Raw {
        node,
        place: raw.place.clone(),
    }
}

/// Puts a value at its path.
fn put(root: &mut Map<String, Json>, path: &str, value: Json) {
    let mut sections: Vec<&str> = path.split('.').collect();
    let Some(name) = sections.pop() else { return };
    let section = sections.into_iter().try_fold(root, |section, name| {
        section
            .entry(name)
            .or_insert_with(|| Map::new().into())
            .as_object_mut()
    });
    if let Some(section) = section {
        section.insert(name.to_owned(), value);
    }
}

fn json(raw: &Raw, value_type: &ValueType) -> Json {
    match (&raw.node, value_type) {
        (RawNode::Null | RawNode::Invalid, _) => Json::Null,
        (RawNode::Text(text), ValueType::Bool) => {
            matches!(text.as_str(), "true" | "True" | "TRUE" | "1").into()
        }
        (RawNode::Text(text), ValueType::Number(..)) => text
            .parse::<u64>()
            .map_or_else(|_| text.clone().into(), Json::from),
        (RawNode::Text(text), ValueType::List(of)) => pieces(text)
            .map(|piece| json(&Raw::text(piece, raw.place.clone()), of))
            .collect(),
        (RawNode::Text(text), _) => text.clone().into(),
        (RawNode::List(items), _) => items
            .iter()
            .map(|item| json(item, &ValueType::Text))
            .collect(),
        (RawNode::Map(entries), _) => entries
            .iter()
            .map(|(name, raw)| {
                (
                    name.text.clone(),
                    json(raw, &ValueType::List(&ValueType::Text)),
                )
            })
            .collect(),
    }
}

fn shown(raw: &Raw) -> String {
    match &raw.node {
        RawNode::Null | RawNode::Invalid => String::new(),
        RawNode::Text(text) => text.escape_debug().to_string(),
        RawNode::List(items) => format!(
            "[{}]",
            items.iter().map(shown).collect::<Vec<_>>().join(", ")
        ),
        RawNode::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(name, raw)| format!("{}: {}", name.text.escape_debug(), shown(raw)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}
