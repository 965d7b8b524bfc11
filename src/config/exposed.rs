//! Warns of secrets that every user of this machine can read: written out in the configuration or
//! `.env`, and private keys in files of their own. Secrets of `*_file` keys are judged where they
//! are read.

use super::{
    access,
    finding::{Findings, Place},
    key::ConfigKey,
    load,
    raw::{Raw, RawNode},
    section,
    settings::Settings,
    sources::Sources,
    table,
};
use std::path::{Path, PathBuf};

/// A shorter text may be in a file by chance.
const SHORTEST: usize = 8;

static PRIVATE_KEYS: [&ConfigKey; 6] = [
    &table::TLS_KEY,
    &table::ES_TLS_KEY,
    &table::REDIS_TLS_KEY,
    &table::OIDC_TLS_KEY,
    &table::PROXY_TLS_KEY,
    &section::UPSTREAM_TLS_KEY,
];

pub(super) fn warn(settings: &Settings, sources: &Sources, findings: &mut Findings) {
    for path in &sources.open {
        let content = if path == Path::new(load::DOT_ENV) {
            sources.dot_env.as_deref().map(str::as_bytes)
        } else {
            sources.file.as_ref().map(|(_, content)| content.as_slice())
        };
        let content = String::from_utf8_lossy(content.unwrap_or_default());
        let general = table::ALL.iter().map(|key| (settings, *key));
        let sections = settings.all_sections().into_iter();
        let sections =
            sections.flat_map(|(of, own)| section::keys(of).map(move |(_, key)| (own, key)));
        let mut written: Vec<&str> = general
            .chain(sections)
            .filter(|(_, key)| key.value_type.is_secret())
            .filter(|(settings, key)| {
                let raw = settings.raw(key);
                raw.is_some_and(|raw| is_written_out(raw, &content))
            })
            .map(|(_, key)| key.path)
            .collect();
        written.dedup();
        if !written.is_empty() {
            let place = Place::File {
                file: path.display().to_string().into(),
                line: 0,
                column: 0,
            };
            let warning = format!(
                "every user of this machine can read this file, which holds `{}`; `chmod o-r` it",
                written.join("`, `")
            );
            findings.warn(&place, warning);
        }
    }
    let sections = settings.all_sections().into_iter().map(|(_, own)| own);
    for settings in sections.chain([settings]) {
        for key in PRIVATE_KEYS {
            let path: Option<PathBuf> = settings.get(key);
            if path.is_some_and(|path| access::all_may_read(&path)) {
                let warning = format!(
                    "every user of this machine can read the private key of `{}`; `chmod o-r` it",
                    key.path
                );
                findings.warn(&settings.place(key), warning);
            }
        }
    }
}

/// Whether the file has the secret itself, and not the name of a variable that holds it.
fn is_written_out(raw: &Raw, content: &str) -> bool {
    if !matches!(raw.place, Place::File { .. } | Place::DotEnv { .. }) {
        return false;
    }
    match &raw.node {
        RawNode::Text(text) => text.len() >= SHORTEST && content.contains(text.as_str()),
        RawNode::List(items) => items.iter().any(|item| is_written_out(item, content)),
        RawNode::Map(entries) => entries.iter().any(|(_, raw)| is_written_out(raw, content)),
        RawNode::Null | RawNode::Invalid => false,
    }
}
