//! The chart's middlewares say what the files of the guide say, which the gateway tests run on a
//! real Traefik.

use super::tools;
use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeSet;

/// Compares the middlewares among `objects`, if there are any, with the guide's file for the same
/// providers.
pub(super) fn says_the_same(objects: &[Value]) -> anyhow::Result<()> {
    let middlewares: Vec<&Value> = objects
        .iter()
        .filter(|object| object["kind"] == "Middleware")
        .collect();
    if middlewares.is_empty() {
        return Ok(());
    }
    let ours = |end: &str| {
        let named = |one: &&&Value| {
            one["metadata"]["name"]
                .as_str()
                .unwrap_or("")
                .ends_with(end)
        };
        let found = middlewares.iter().find(named);
        found
            .map(|one| &one["spec"])
            .with_context(|| format!("no middleware `…{end}`"))
    };
    let asked = names(&ours("-auth")?["forwardAuth"]["authRequestHeaders"]);
    let has_headers = asked.contains("remote-user");
    let has_tokens = asked.contains("authorization");
    // With both kinds of providers each file has a part of the headers.
    let files: &[&str] = match (has_headers, has_tokens) {
        (true, false) => &["dynamic.yml"],
        (false, true) => &["oidc.yml"],
        _ => &["dynamic.yml", "oidc.yml"],
    };
    let mut expected = BTreeSet::new();
    for file in files {
        let path = shell::root().join("docs/gateways/traefik").join(file);
        let guide = tools::values(&std::fs::read_to_string(&path)?)?;
        let guide = &guide.first().context("an empty file")?["http"]["middlewares"];
        expected.extend(names(
            &guide["elastauth"]["forwardAuth"]["authRequestHeaders"],
        ));
        for key in [
            "trustForwardHeader",
            "authResponseHeaders",
            "maxResponseBodySize",
        ] {
            let (ours, guide) = (
                &ours("-auth")?["forwardAuth"][key],
                &guide["elastauth"]["forwardAuth"][key],
            );
            if ours != guide {
                bail!("{key} of the chart is {ours}, of {file} {guide}");
            }
        }
        for (end, name) in [("-clean", "clean"), ("-forget", "forget")] {
            let of = |spec: &Value| names(&spec["headers"]["customRequestHeaders"]);
            let (ours, guide) = (of(ours(end)?), of(&guide[name]));
            if !ours.is_superset(&guide) {
                bail!("the middleware `{name}` of {file} removes {guide:?}, the chart's {ours:?}");
            }
        }
    }
    if asked != expected {
        bail!("the chart's Traefik asks with {asked:?}, the guide's with {expected:?}");
    }
    Ok(())
}

/// The file for TLS, which the compose file uses, has all routes of the usual one.
pub(super) fn tls_has_every_route() -> anyhow::Result<()> {
    let routes = |file: &str| -> anyhow::Result<Value> {
        let path = shell::root().join("docs/gateways/traefik").join(file);
        let guide = tools::values(&std::fs::read_to_string(&path)?)?;
        Ok(guide.first().context("an empty file")?["http"]["routers"].clone())
    };
    let (usual, tls) = (routes("dynamic.yml")?, routes("tls.yml")?);
    if usual != tls {
        bail!("the routers of dynamic.yml are {usual:#}, of tls.yml {tls:#}");
    }
    Ok(())
}

/// The items of a list or the keys of a section, in lower case.
fn names(value: &Value) -> BTreeSet<String> {
    let items = value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let keys = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    items.chain(keys).map(str::to_ascii_lowercase).collect()
}
