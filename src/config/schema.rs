//! The JSON Schema of the file, from the table. Editors complete and check with it.

use super::{
    key::{ConfigKey, Status},
    section, table,
    value_type::ValueType,
};
use serde_json::{Map, Value, json};

/// The schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    let mut root = section();
    for key in table::ALL {
        insert_key(&mut root, key.path, key);
        for old in key.old {
            let mut value = of(&key.value_type);
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
        json!({ "variable": {
            "type": "string",
            "pattern": "\\$\\{[A-Za-z_]",
            "description": "Taken from the environment.",
        } }),
    );
    root
}

fn insert_key(root: &mut Value, path: &str, key: &ConfigKey) {
    insert(root, path, described(key, of(&key.value_type)));
    if key.value_type.has_file_variant() {
        let mut file_variant = json!({ "type": "string" });
        put(
            &mut file_variant,
            "description",
            json!(format!("A file that holds `{path}`.")),
        );
        insert(root, &format!("{path}_file"), file_variant);
    }
}

fn described(key: &ConfigKey, mut value: Value) -> Value {
    let (status, deprecated) = match key.status {
        Status::Current => (String::new(), false),
        Status::NoEffect(why) => (format!(" No effect {why}."), false),
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
    let default = if let ValueType::List(_) = key.value_type {
        json!(key.default.split(',').collect::<Vec<_>>())
    } else {
        // `true` and `10` are JSON already; anything else is a text.
        serde_json::from_str(key.default).unwrap_or_else(|_| json!(key.default))
    };
    put(&mut value, "default", default);
    value
}

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
        ValueType::Sections => {
            let mut one = section();
            for (name, key) in section::keys() {
                insert_key(&mut one, name, key);
            }
            json!({ "type": "array", "items": one })
        }
        // A name of digits only is a number to YAML.
        ValueType::Text | ValueType::Secret | ValueType::Role | ValueType::Group => {
            json!({ "type": ["string", "number"] })
        }
        ValueType::SecretKey
        | ValueType::GatewayKey
        | ValueType::Url
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
