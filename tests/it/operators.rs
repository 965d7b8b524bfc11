//! The files for operators are held against the program: dashboard, alert rules, the description of
//! the endpoints, and docs/METRICS.md.

use elastauth::internals::{
    clock::Timestamp,
    outcome::Refusal,
    respond::Row,
    telemetry::metrics::{Metrics, Proxied},
};
use saphyr_parser::{Event, Parser};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const DASHBOARD: &str = include_str!("../../deploy/grafana/elastauth.json");
const RULES: &str = include_str!("../../deploy/prometheus/elastauth.rules.yml");
const PAGE: &str = include_str!("../../docs/METRICS.md");
const OPENAPI: &str = include_str!("../../docs/api/openapi.yaml");

fn exposition() -> String {
    let metrics = Metrics::default();
    let cluster = metrics.cluster("default");
    let _node = cluster.node(0);
    cluster.parking_due(0, Timestamp(0));
    metrics.keys_fetched("oidc", Timestamp(0));
    for request in Proxied::all() {
        cluster.proxied(&request);
    }
    metrics.expose()
}

/// Name and type of each metric.
fn metrics(exposition: &str) -> BTreeMap<&str, &str> {
    exposition
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect()
}

/// The names of all series; of a histogram there are three.
fn series(exposition: &str) -> BTreeSet<&str> {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect()
}

/// The metrics of ours that an expression names.
fn named(expression: &str) -> BTreeSet<&str> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
    words
        .filter(|word| word.starts_with("elastauth_") || word.starts_with("process_"))
        .collect()
}

/// The values that an expression compares one of our labels with.
fn compared(expression: &str) -> Vec<(&str, &str)> {
    let ours = [
        "outcome",
        "provider",
        "step",
        "call",
        "status_class",
        "result",
        "error_type",
    ];
    let mut found = Vec::new();
    for label in ours {
        for (at, _) in expression.match_indices(label) {
            let rest = expression.get(at + label.len()..).unwrap_or_default();
            if let Some(values) = rest
                .strip_prefix("=~\"")
                .or_else(|| rest.strip_prefix("=\""))
            {
                found.extend(
                    values
                        .split('"')
                        .next()
                        .unwrap()
                        .split('|')
                        .map(|value| (label, value)),
                );
            }
        }
    }
    found
}

fn is_sound(expression: &str) {
    let exposition = exposition();
    let series = series(&exposition);
    for name in named(expression) {
        assert!(
            series.contains(name),
            "{name} is not exposed; in {expression}"
        );
    }
    for (label, value) in compared(expression) {
        assert!(
            exposition.contains(&format!("{label}=\"{value}\"")),
            "{label} is never {value}; in {expression}"
        );
    }
    for (open, close) in [('(', ')'), ('{', '}'), ('[', ']')] {
        assert_eq!(
            expression.matches(open).count(),
            expression.matches(close).count(),
            "{expression}"
        );
    }
}

/// Every value of `key` in a JSON document, wherever it stands.
fn values<'a>(document: &'a Value, key: &str, found: &mut Vec<&'a str>) {
    match document {
        Value::Object(object) => {
            found.extend(object.get(key).and_then(Value::as_str));
            object.values().for_each(|value| values(value, key, found));
        }
        Value::Array(array) => array.iter().for_each(|value| values(value, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The scalars of a YAML document in their order: a key stands before its value.
fn scalars(yaml: &str) -> Vec<String> {
    let events =
        Parser::new_from_str(yaml).map(|event| event.unwrap_or_else(|error| panic!("{error}")).0);
    events
        .filter_map(|event| {
            if let Event::Scalar(text, ..) = event {
                Some(text.into_owned())
            } else {
                None
            }
        })
        .collect()
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let (mut expressions, mut definitions) = (Vec::new(), Vec::new());
    values(&dashboard, "expr", &mut expressions);
    values(&dashboard, "definition", &mut definitions);
    assert!(expressions.len() >= 20, "{}", expressions.len());
    for expression in expressions.iter().chain(&definitions) {
        assert!(!named(expression).is_empty(), "{expression}");
        is_sound(expression);
    }
    let ids: Vec<_> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|panel| panel["id"].as_u64().unwrap())
        .collect();
    assert_eq!(
        ids.iter().collect::<BTreeSet<_>>().len(),
        ids.len(),
        "a panel's id is its own"
    );
    // The names for old dashboards are for old dashboards; everything else is shown.
    let shown: BTreeSet<_> = expressions
        .iter()
        .chain(&definitions)
        .flat_map(|expression| named(expression))
        .collect();
    for (metric, _) in metrics(&exposition()) {
        let is_shown = shown.iter().any(|name| {
            name.strip_prefix(metric)
                .is_some_and(|rest| rest.is_empty() || rest == "_bucket")
        });
        assert!(
            is_shown || metric.starts_with("elastauth_proxy_"),
            "no panel shows {metric}"
        );
    }
}

#[test]
fn each_alert_asks_for_what_there_is_and_tells_what_to_do() {
    let scalars = scalars(RULES);
    let after = |key: &str| {
        let pairs = scalars.iter().zip(scalars.iter().skip(1));
        pairs
            .filter(|(name, _)| *name == key)
            .map(|(_, value)| value.as_str())
            .collect::<Vec<_>>()
    };
    let (alerts, expressions) = (after("alert"), after("expr"));
    assert!(
        alerts.len() >= 10 && alerts.len() == alerts.iter().collect::<BTreeSet<_>>().len(),
        "{alerts:?}"
    );
    for key in ["expr", "severity", "summary", "description"] {
        assert_eq!(after(key).len(), alerts.len(), "{key}");
    }
    assert!(
        after("severity")
            .iter()
            .all(|severity| ["critical", "warning"].contains(severity))
    );
    for expression in expressions {
        assert!(
            !named(expression).is_empty() || expression == "up{job=\"elastauth\"} == 0",
            "{expression}"
        );
        is_sound(expression);
    }
}

#[test]
fn the_page_explains_every_metric_and_no_other() {
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `"));
    let explained: BTreeMap<_, _> = rows
        .map(|row| {
            let (name, rest) = row.split_once('`').unwrap();
            (name, rest.split('|').nth(1).unwrap().trim())
        })
        .collect();
    assert_eq!(explained, metrics(&exposition()));
}

#[test]
fn the_description_of_the_endpoints_is_yaml_and_its_references_lead_somewhere() {
    let scalars = scalars(OPENAPI);
    assert_eq!(scalars.first().map(String::as_str), Some("openapi"));
    let page = include_str!("../../src/serve/admin/docs.html");
    for refusal in Refusal::ALL {
        let code = Row::of(refusal).code;
        assert!(
            scalars.iter().any(|scalar| scalar == code)
                && page.contains(&format!("<code>{code}</code>")),
            "{code}"
        );
    }
    for (_, target) in scalars
        .iter()
        .zip(scalars.iter().skip(1))
        .filter(|(key, _)| *key == "$ref")
    {
        let name = target.rsplit('/').next().unwrap();
        assert!(OPENAPI.contains(&format!("\n    {name}:\n")), "{target}");
    }
}
