//! A gateway's key, or a name in its certificate: a text, or a section that also names the
//! providers that it is for.

use crate::{
    config::{
        finding::Findings,
        raw::{Name, Raw, RawNode},
    },
    net::{
        tls::CertificateName,
        trust::{AllowedProviders, KnownKey, KnownName},
    },
    secret::GatewayKey,
};

pub(super) fn parse_key(text: &str) -> Option<KnownKey> {
    Some(KnownKey {
        key: GatewayKey::parse(text)?,
        providers: AllowedProviders::default(),
    })
}

pub(super) fn parse_name(text: &str) -> Option<KnownName> {
    Some(KnownName {
        name: CertificateName::parse(text)?,
        providers: AllowedProviders::default(),
    })
}

/// Reads the section of a key. Its `key_file` has been replaced by `key` before.
pub(super) fn key(
    key: &str,
    raw: &Raw,
    entries: &[(Name, Raw)],
    findings: &mut Findings,
) -> Option<KnownKey> {
    let (text, providers) = section(key, raw, entries, &KEY, findings)?;
    let known = parse_key(text);
    if known.is_none() {
        let least = GatewayKey::MIN_BYTES;
        let fault = format!("a `key` in `{key}` must be at least {least} visible ASCII characters");
        findings.fault(&raw.place, fault);
    }
    Some(KnownKey {
        providers,
        ..known?
    })
}

/// Reads the section of a name.
pub(super) fn name(
    key: &str,
    raw: &Raw,
    entries: &[(Name, Raw)],
    findings: &mut Findings,
) -> Option<KnownName> {
    let (text, providers) = section(key, raw, entries, &NAME, findings)?;
    let known = parse_name(text);
    if known.is_none() {
        let fault = format!(
            "a `name` in `{key}` must be a DNS name without wildcards, a URI or an address"
        );
        findings.fault(&raw.place, fault);
    }
    Some(KnownName {
        providers,
        ..known?
    })
}

/// What a section is called after, and what faults say of it.
struct Form {
    field: &'static str,
    fields: &'static [&'static str],
    none: &'static str,
    shape: &'static str,
    may_have: &'static str,
}

static KEY: Form = Form {
    field: "key",
    fields: &["key", "key_file", "providers"],
    none: "no `key` and no `key_file`",
    shape: "`key` must be one text (or in a `key_file`)",
    may_have: "`key` or `key_file`",
};
static NAME: Form = Form {
    field: "name",
    fields: &["name", "providers"],
    none: "no `name`",
    shape: "`name` must be one text",
    may_have: "`name`",
};

/// The text and the providers of a section.
fn section<'a>(
    key: &str,
    raw: &Raw,
    entries: &'a [(Name, Raw)],
    form: &Form,
    findings: &mut Findings,
) -> Option<(&'a str, AllowedProviders)> {
    let (mut text, mut providers, mut is_valid) = (None, None, true);
    for (name, value) in entries {
        let lower = name.text.to_ascii_lowercase();
        match (lower.as_str(), &value.node) {
            (_, RawNode::Invalid) => is_valid = false,
            (field, RawNode::Text(value)) if field == form.field && text.is_none() => {
                text = Some(value.as_str());
            }
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
            (field, _) if form.fields.contains(&field) => {
                let fault = format!(
                    "`{lower}` in `{key}` holds {}; {}, `providers` a list of names",
                    value.what(),
                    form.shape
                );
                findings.fault(&value.place, fault);
                is_valid = false;
            }
            _ => {
                let fault = format!(
                    "an entry of `{key}` has a key that it cannot have; it may have {}, and \
                     `providers`",
                    form.may_have
                );
                findings.fault(&name.place, fault);
                is_valid = false;
            }
        }
    }
    if text.is_none() && is_valid {
        let fault = format!("an entry of `{key}` has {}", form.none);
        findings.fault(&raw.place, fault);
    }
    let providers = providers.map_or_else(AllowedProviders::default, AllowedProviders::named);
    Some((text?, providers)).filter(|_| is_valid)
}
