//! The JSON Schema of the file, from the table. Editors complete and check with it.
#![expect(
    clippy::indexing_slicing,
    reason = "every schema is a JSON object, and an assignment to a name of it inserts"
)]

use super::{
    key::{ConfigKey, Status},
    section, table,
    value_type::ValueType,
};
use serde_json::{Value, json};

/// The schema, draft 2020-12.
#[must_use]
pub(crate) fn schema() -> Value {
    let mut root = section();
    for key in table::ALL {
        insert_key(&mut root, key.path, key);
        for old in key.old {
            let mut value = of(&key.value_type);
            value["deprecated"] = true.into();
            value["description"] = format!("An old name of `{}`.", key.path).into();
            insert(&mut root, old, value);
        }
    }
    root["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    root["title"] = "elastauth configuration".into();
    root["$defs"] = json!({ "variable": {
        "type": "string",
        "pattern": "\\$\\{[A-Za-z_]",
        "description": "Taken from the environment.",
    } });
    root
}

fn insert_key(root: &mut Value, path: &str, key: &ConfigKey) {
    insert(root, path, described(key));
    if key.value_type.has_file_variant() {
        let description = format!("A file that holds `{path}`.");
        let file_variant = json!({ "type": "string", "description": description });
        insert(root, &format!("{path}_file"), file_variant);
    }
}

fn described(key: &ConfigKey) -> Value {
    let mut value = of(&key.value_type);
    let status = match key.status {
        Status::Current => String::new(),
        Status::Old(now) => {
            value["deprecated"] = true.into();
            format!(" Use `{now}`.")
        }
    };
    value["description"] = format!("{}{status}", key.doc()).into();
    if !key.default.is_empty() {
        value["default"] = if let ValueType::List(_) = key.value_type {
            key.default.split(',').collect()
        } else {
            // `true` and `10` are JSON already; anything else is a text.
            serde_json::from_str(key.default).unwrap_or_else(|_| key.default.into())
        };
    }
    value
}

/// The name of a section, as `ClusterName` checks it.
const NAME: &str = "^[a-z0-9_-]{1,63}$";

/// What a value type accepts. A variable may stand for any scalar, so no text has a pattern.
fn of(value_type: &ValueType) -> Value {
    let or_variable = |value: Value| json!({ "anyOf": [value, { "$ref": "#/$defs/variable" }] });
    match value_type {
        ValueType::Bool => or_variable(json!({ "type": "boolean" })),
        ValueType::Number(least, most) => {
            or_variable(json!({ "type": "integer", "minimum": least, "maximum": most }))
        }
        // A bare 0 is a number to YAML.
        ValueType::Duration(..) => json!({ "anyOf": [{ "type": "string" }, { "const": 0 }] }),
        ValueType::Timestamp => or_variable(json!({ "type": "string", "format": "date-time" })),
        ValueType::Choice(texts) => or_variable(json!({ "enum": texts() })),
        ValueType::List(of_item) => {
            let item = of(of_item);
            json!({ "anyOf": [{ "type": "array", "items": item }, item] })
        }
        ValueType::Mappings => {
            let roles = of(&ValueType::List(&ValueType::Role));
            json!({ "type": "object", "additionalProperties": roles })
        }
        ValueType::Pairs => {
            json!({ "type": "object", "additionalProperties": { "type": "string" } })
        }
        ValueType::Sections(kind) => {
            let mut one = section();
            for (name, key) in section::keys(*kind) {
                insert_key(&mut one, name, key);
            }
            if kind.are_named() {
                json!({
                    "type": ["object", "null"], "additionalProperties": false, "properties": {},
                    "patternProperties": { NAME: one },
                })
            } else {
                json!({ "type": "array", "items": one })
            }
        }
        // A name of digits only is a number to YAML.
        ValueType::Text | ValueType::Secret | ValueType::Role | ValueType::Group => {
            json!({ "type": ["string", "number"] })
        }
        ValueType::GatewayKey => {
            let text = json!({ "type": "string" });
            let names = of(&ValueType::List(&ValueType::Text));
            let properties = json!({ "key": text, "key_file": text, "providers": names });
            let bound = json!({
                "type": "object", "additionalProperties": false, "properties": properties,
            });
            json!({ "anyOf": [text, bound] })
        }
        ValueType::ClientName => {
            let text = json!({ "type": "string" });
            let names = of(&ValueType::List(&ValueType::Text));
            let bound = json!({
                "type": "object", "additionalProperties": false,
                "properties": { "name": text, "providers": names },
            });
            json!({ "anyOf": [text, bound] })
        }
        ValueType::SecretKey
        | ValueType::Url
        | ValueType::NodeUrl
        | ValueType::Address
        | ValueType::Path
        | ValueType::Header
        | ValueType::Listen
        | ValueType::Network => {
            json!({ "type": "string" })
        }
    }
}

fn section() -> Value {
    // A section whose keys are all commented out is null to YAML.
    json!({ "type": ["object", "null"], "additionalProperties": false, "properties": {} })
}

fn insert(root: &mut Value, path: &str, value: Value) {
    let (mut at, mut path) = (root, path);
    while let Some((parent, rest)) = path.split_once('.') {
        at = &mut at["properties"][parent];
        if at.is_null() {
            *at = section();
        }
        path = rest;
    }
    at["properties"][path] = value;
}
