//! A gateway's key: a text, or a section that also names the providers that the key is for.

use crate::{
    config::{
        finding::Findings,
        raw::{Name, Raw, RawNode},
    },
    net::trust::{AllowedProviders, KnownKey},
    secret::GatewayKey,
};

pub(super) fn parse(text: &str) -> Option<KnownKey> {
    Some(KnownKey {
        key: GatewayKey::parse(text)?,
        providers: AllowedProviders::default(),
    })
}

/// Reads a section. Its `key_file` has been replaced by `key` before.
pub(super) fn read(
    key: &str,
    raw: &Raw,
    entries: &[(Name, Raw)],
    findings: &mut Findings,
) -> Option<KnownKey> {
    let (mut text, mut providers, mut is_valid) = (None, None, true);
    for (name, value) in entries {
        let lower = name.text.to_ascii_lowercase();
        match (lower.as_str(), &value.node) {
            (_, RawNode::Invalid) => is_valid = false,
            ("key", RawNode::Text(value)) if text.is_none() => text = Some(value),
            ("providers", RawNode::Text(one)) => providers = Some(vec![one.clone()]),
            ("providers", RawNode::List(items)) if !items.is_empty() => {
                let names = items.iter().map(|item| match &item.node {
                    RawNode::Text(name) => Some(name.clone()),
                    RawNode::Null | RawNode::List(_) | RawNode::Map(_) | RawNode::Invalid => None,
                });
                providers = names.collect();
                is_valid &= providers.is_some();
                if providers.is_none() {
                    let fault = format!("`providers` in `{key}` must be a list of names");
                    findings.fault(&value.place, fault);
                }
            }
            ("key" | "key_file" | "providers", _) => {
                let found = value.what();
                let fault = format!(
                    "`{lower}` in `{key}` holds {found}; `key` must be one text (or in a \
                     `key_file`), `providers` a list of names"
                );
                findings.fault(&value.place, fault);
                is_valid = false;
            }
            _ => {
                let fault = format!(
                    "an entry of `{key}` has a key that it cannot have; it may have `key` or \
                     `key_file`, and `providers`"
                );
                findings.fault(&name.place, fault);
                is_valid = false;
            }
        }
    }
    if text.is_none() && is_valid {
        let fault = format!("an entry of `{key}` has no `key` and no `key_file`");
        findings.fault(&raw.place, fault);
    }
    let mut known = parse(text?);
    if known.is_none() {
        let least = GatewayKey::MIN_BYTES;
        let fault = format!("a `key` in `{key}` must be at least {least} visible ASCII characters");
        findings.fault(&raw.place, fault);
    }
    if let (Some(known), Some(names)) = (&mut known, providers) {
        known.providers = AllowedProviders::named(names);
    }
    known.filter(|_| is_valid)
}
