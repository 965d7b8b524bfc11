//! A key as one source gives it, before its value is read.

use super::{
    finding::{Findings, Place},
    key::ConfigKey,
    load,
    raw::{Raw, RawNode},
    sources::Flags,
    table,
    value_type::ValueType,
};
use std::path::Path;

/// What a name in a source refers to.
#[derive(Clone, Copy)]
pub(super) struct Reference {
    pub(super) key: &'static ConfigKey,
    /// The old name that was used.
    pub(super) old: Option<&'static str>,
    /// The `*_file` variant: the value is the path of a file that holds the value.
    pub(super) file: bool,
}

impl Reference {
    pub(super) const fn to(key: &'static ConfigKey) -> Self {
        Self {
            key,
            old: None,
            file: false,
        }
    }

    /// A key by its name and by that of its `*_file` variant, if it has one.
    pub(super) fn names(
        name: String,
        suffix: &str,
        key: &'static ConfigKey,
    ) -> impl Iterator<Item = (String, Self)> {
        let file = key.value_type.has_file_variant().then(|| {
            let file = Self {
                file: true,
                ..Self::to(key)
            };
            (format!("{name}{suffix}"), file)
        });
        file.into_iter().chain([(name, Self::to(key))])
    }
}

/// A key as one source gives it.
pub(super) struct GivenKey {
    pub(super) reference: Reference,
    pub(super) raw: Raw,
    /// The place of the key's name.
    pub(super) place: Place,
}

impl GivenKey {
    pub(super) fn node(key: &'static ConfigKey, node: RawNode, place: Place) -> Self {
        let raw = Raw {
            node,
            place: place.clone(),
        };
        Self {
            reference: Reference::to(key),
            raw,
            place,
        }
    }

    /// The value: none for an empty text (but for the two group lists), the content of the file for
    /// a `*_file` variant.
    pub(super) fn value(self, findings: &mut Findings) -> Option<Raw> {
        let Reference { key, file, .. } = self.reference;
        if self.raw.is_unset() {
            // An empty list of allowed groups allows no user, so it is kept.
            let is_meant = [&table::ALLOWED_GROUPS, &table::GROUP_WHITELIST].contains(&key);
            return is_meant.then_some(Raw {
                node: RawNode::List(Vec::new()),
                place: self.raw.place,
            });
        }
        if file {
            let whole = |text, place: &Place| content(text, key, place);
            return Some(from_file(&self.raw, self.place, key, whole, findings));
        }
        let mut raw = self.raw;
        if key == &table::GATEWAY_KEYS {
            read_key_files(&mut raw, findings);
        }
        Some(raw)
    }
}

/// The content of the file that `named` names.
fn from_file(
    named: &Raw,
    at: Place,
    key: &ConfigKey,
    node: impl FnOnce(String, &Place) -> RawNode,
    findings: &mut Findings,
) -> Raw {
    let RawNode::Text(path) = &named.node else {
        let found = named.what();
        let fault = format!(
            "`{}_file` holds {found}; it must be the path of a file",
            key.path
        );
        findings.fault(&named.place, fault);
        return Raw {
            node: RawNode::Invalid,
            place: named.place.clone(),
        };
    };
    let place = Place::SecretFile {
        path: path.clone(),
        named: Box::new(at),
    };
    let node = match load::secret(Path::new(path)) {
        Ok(secret) => {
            if secret.world_readable {
                findings.warn(
                    &place,
                    format!(
                        "every user of this machine can read this file, which holds `{}`",
                        key.path
                    ),
                );
            }
            node(secret.text, &place)
        }
        Err(why) => {
            findings.fault(&place, why);
            RawNode::Invalid
        }
    };
    Raw { node, place }
}

/// Puts the content of a `key_file` in an entry of `gateway_keys` instead of its path.
fn read_key_files(raw: &mut Raw, findings: &mut Findings) {
    let RawNode::List(items) = &mut raw.node else {
        return;
    };
    for item in items {
        let RawNode::Map(entries) = &mut item.node else {
            continue;
        };
        for (name, value) in entries {
            if name.text.eq_ignore_ascii_case("key_file") {
                let text = |text, _: &Place| RawNode::Text(text);
                let at = name.place.clone();
                *value = from_file(value, at, &table::GATEWAY_KEYS, text, findings);
                "key".clone_into(&mut name.text);
            }
        }
    }
}

fn content(text: String, key: &ConfigKey, place: &Place) -> RawNode {
    if !matches!(key.value_type, ValueType::List(_)) {
        return RawNode::Text(text);
    }
    // One item a line: the key of a gateway may contain commas.
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    RawNode::List(lines.map(|line| Raw::text(line, place.clone())).collect())
}

/// What the command line gives.
pub(super) fn from_flags(flags: &Flags) -> Vec<GivenKey> {
    let given = |key, text: &str, flag| {
        GivenKey::node(key, RawNode::Text(text.to_owned()), Place::Flag(flag))
    };
    let listen = flags.listen.as_deref();
    let listen = listen.map(|listen| given(&table::LISTEN, listen, "--listen"));
    let otel = flags.enable_otel;
    let otel = otel.then(|| given(&table::ENABLE_OTEL, "true", "--enableOtel"));
    listen.into_iter().chain(otel).collect()
}
