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
            // An empty list of allowed groups means nobody, so it is kept.
            let is_meant = [&table::ALLOWED_GROUPS, &table::GROUP_WHITELIST].contains(&key);
            return is_meant.then_some(Raw {
                node: RawNode::List(Vec::new()),
                place: self.raw.place,
            });
        }
        if !file {
            return Some(self.raw);
        }
        let RawNode::Text(path) = &self.raw.node else {
            let found = self.raw.what();
            let fault = format!(
                "`{}_file` holds {found}; it must be the path of a file",
                key.path
            );
            findings.fault(&self.raw.place, fault);
            return Some(Raw {
                node: RawNode::Invalid,
                place: self.raw.place,
            });
        };
        let place = Place::SecretFile {
            path: path.clone(),
            named: Box::new(self.place),
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
                content(secret.text, key, &place)
            }
            Err(why) => {
                findings.fault(&place, why);
                RawNode::Invalid
            }
        };
        Some(Raw { node, place })
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
