//! The JSON Schema of the file, from the table. Editors complete and check with it.

use super::{
    key::{Key, Status},
    kind::Kind,
    section, table,
};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut root = section();
    for key in table::ALL {
        insert_key(&mut root, key.path, key);
        for old in key.old {
            let mut value = of(&key.kind);
            put(&mut value, "deprecated", json!(true));
            put(
                &mut value,
                "description",
                json!(format!("An old name of `{}`.", key.path)),
            );
            insert(&mut root, old, value);
        }
    }
    put(
        &mut root,
        "$schema",
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    put(&mut root, "title", json!("elastauth configuration"));
    put(
        &mut root,
        "$defs",
        json!({ "variable": { "type": "string", "pattern": "\\$\\{[A-Za-z_]", "description": "Taken from the environment." } }),
    );
    root
}

fn insert_key(root: &mut Value, path: &str, key: &Key) {
    insert(root, path, described(key, of(&key.kind)));
    if key.kind.has_twin() {
        let mut twin = json!({ "type": "string" });
        put(
            &mut twin,
            "description",
            json!(format!("A file that holds `{path}`.")),
        );
        insert(root, &format!("{path}_file"), twin);
    }
}

fn described(key: &Key, mut value: Value) -> Value {
    let (status, deprecated) = match key.status {
        Status::Available => (String::new(), false),
        Status::NotYet => (" Not available yet.".to_owned(), false),
        Status::Old(now) => (format!(" Use `{now}`."), true),
    };
    put(
        &mut value,
        "description",
        json!(format!("{}{status}", key.doc())),
    );
    if deprecated {
        put(&mut value, "deprecated", json!(true));
    }
    if key.default.is_empty() {
        return value;
    }
    let default = if let Kind::List(_) = key.kind {
        json!(key.default.split(',').collect::<Vec<_>>())
    } else {
        // `true` and `10` are JSON as they stand; whatever else is a text.
        serde_json::from_str(key.default).unwrap_or_else(|_| json!(key.default))
    };
    put(&mut value, "default", default);
    value
}

/// What a kind takes. A variable may stand for any scalar, so no text is held to a pattern.
fn of(kind: &Kind) -> Value {
    let or_variable = |value: Value| json!({ "anyOf": [value, { "$ref": "#/$defs/variable" }] });
    match kind {
        Kind::Bool => or_variable(json!({ "type": "boolean" })),
        Kind::Number(least, most) => {
            or_variable(json!({ "type": "integer", "minimum": least, "maximum": most }))
        }
        // A bare 0 is a number to YAML.
        Kind::Duration(..) => json!({ "anyOf": [{ "type": "string" }, { "const": 0 }] }),
        Kind::Moment => or_variable(json!({ "type": "string", "format": "date-time" })),
        Kind::OneOf(words) => {
            let words: Vec<&str> = words
                .iter()
                .filter(|word| word.available)
                .map(|word| word.text)
                .collect();
            or_variable(json!({ "enum": words }))
        }
        Kind::List(of_item) => {
            let item = of(of_item);
            json!({ "anyOf": [{ "type": "array", "items": item }, item] })
        }
        Kind::Mappings => {
            json!({ "type": "object", "additionalProperties": of(&Kind::List(&Kind::Role)) })
        }
        Kind::Pairs => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Kind::Sections => {
            let mut one = section();
            for (name, key) in section::keys() {
                insert_key(&mut one, name, key);
            }
            json!({ "type": "array", "items": one })
        }
        // A name of digits only is a number to YAML.
        Kind::Text | Kind::Secret | Kind::Role | Kind::Group => {
            json!({ "type": ["string", "number"] })
        }
        Kind::SecretKey
        | Kind::GatewayKey
        | Kind::Url
        | Kind::Path
        | Kind::Header
        | Kind::Listen
        | Kind::Network => {
            json!({ "type": "string" })
        }
    }
}

fn section() -> Value {
    // A section whose keys are all commented out is null to YAML.
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": {} })
}

fn insert(root: &mut Value, path: &str, value: Value) {
    let (parents, name) = path
        .rsplit_once('.')
        .map_or((None, path), |(parents, name)| (Some(parents), name));
    let mut at = root;
    for parent in parents.into_iter().flat_map(|parents| parents.split('.')) {
        let Some(properties) = properties(at) else {
            return;
        };
        at = properties.entry(parent).or_insert_with(section);
    }
    if let Some(properties) = properties(at) {
        properties.insert(name.to_owned(), value);
    }
}

fn properties(section: &mut Value) -> Option<&mut Map<String, Value>> {
    section.get_mut("properties").and_then(Value::as_object_mut)
}

fn put(object: &mut Value, name: &str, value: Value) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value);
    }
}
