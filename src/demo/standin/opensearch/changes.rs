//! What a write makes of the users: who may be changed, and the users that it would write.

use super::{
    super::answer::ApiAnswer,
    password,
    patch::Patch,
    refusals::{error, fault},
    store::{ALL_ACCESS, Change, Document, OpenSearch},
    user::{InternalUser, hash_of},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

impl OpenSearch {
    /// The users that a list of operations changes: all of them, or a refusal.
    pub(super) fn patched(
        &self,
        document: &Document,
        patches: Vec<Patch>,
    ) -> Result<Vec<Change>, ApiAnswer> {
        let mut touched: HashMap<String, Option<Map<String, Value>>> = HashMap::new();
        let mut order = Vec::new();
        for patch in patches {
            let name = patch.user.clone();
            let old = changeable(document, &name)?;
            let fields = if let Some(fields) = touched.remove(&name) {
                fields
            } else {
                order.push(name.clone());
                old.map(|user| user.fields())
            };
            touched.insert(name, patch.apply(fields)?);
        }
        let mut changes = Vec::new();
        for name in order {
            let old = document.users.get(&name).cloned();
            let new = match touched.remove(&name).flatten() {
                Some(fields) => Some(self.checked(&name, fields, old.clone())?),
                None => None,
            };
            if new.as_ref() != old.as_deref() {
                changes.push((name, new));
            }
        }
        Ok(changes)
    }

    /// A whole user of these fields. Only the hash stays where none is sent.
    pub(super) fn checked(
        &self,
        name: &str,
        fields: Map<String, Value>,
        old: Option<Arc<InternalUser>>,
    ) -> Result<InternalUser, ApiAnswer> {
        let mut user = InternalUser {
            username: name.to_owned(),
            hash: String::new(),
            backend_roles: Vec::new(),
            roles: Vec::new(),
            attributes: BTreeMap::new(),
            description: None,
            reserved: false,
            hidden: false,
        };
        let mut clear = None;
        for (field, value) in fields {
            match (field.as_str(), value) {
                ("password", Value::String(text)) => clear = Some(text),
                ("hash", Value::String(text)) => user.hash = text,
                ("description", Value::String(text)) => user.description = Some(text),
                ("backend_roles", Value::Array(items)) => user.backend_roles = texts(items)?,
                ("opendistro_security_roles", Value::Array(items)) => user.roles = texts(items)?,
                ("attributes", Value::Object(map)) => {
                    for (name, value) in map {
                        user.attributes.insert(name, as_text(value)?);
                    }
                }
                ("password" | "hash" | "description", _) => {
                    return Err(wrong_type(&field, "String expected"));
                }
                ("backend_roles" | "opendistro_security_roles", _) => {
                    return Err(wrong_type(&field, "Array expected"));
                }
                ("attributes", _) => return Err(wrong_type(&field, "Object expected")),
                _ => {
                    let body = json!({
                        "status": "error", "reason": "Invalid configuration",
                        "invalid_keys": { "keys": field },
                    });
                    return Err(ApiAnswer::json(StatusCode::BAD_REQUEST, &body));
                }
            }
        }
        for role in &user.roles {
            if role == ALL_ACCESS {
                let message = format!("Resource '{role}' is reserved.");
                return Err(fault(StatusCode::FORBIDDEN, &message));
            }
            if !self.role_exists(role) {
                let message = format!("role '{role}' not found.");
                return Err(fault(StatusCode::NOT_FOUND, &message));
            }
        }
        // With both the password wins.
        if let Some(clear) = clear {
            password::check(name, &clear)?;
            user.hash = hash_of(&clear);
        }
        if user.hash.is_empty() {
            user.hash = match old {
                Some(old) => old.hash.clone(),
                None => {
                    return Err(fault(
                        StatusCode::BAD_REQUEST,
                        "Please specify either 'hash' or 'password' when creating a new internal \
                         user.",
                    ));
                }
            };
        }
        Ok(user)
    }
}

/// A user that is there for callers of the API.
pub(super) fn visible(document: &Document, name: &str) -> Result<Arc<InternalUser>, ApiAnswer> {
    match document.users.get(name) {
        Some(user) if user.hidden => Err(hidden(name)),
        Some(user) => Ok(Arc::clone(user)),
        None => {
            let message = format!("user '{name}' not found.");
            Err(fault(StatusCode::NOT_FOUND, &message))
        }
    }
}

/// The user that a write would replace, if there is one and it may be replaced.
pub(super) fn changeable(
    document: &Document,
    name: &str,
) -> Result<Option<Arc<InternalUser>>, ApiAnswer> {
    match document.users.get(name) {
        Some(user) if user.hidden => Err(hidden(name)),
        Some(user) if user.reserved => {
            let message = format!("Resource '{name}' is reserved.");
            Err(fault(StatusCode::FORBIDDEN, &message))
        }
        None if document.users.len() >= Document::MAX => Err(ApiAnswer::error(
            StatusCode::TOO_MANY_REQUESTS,
            "rejected_execution_exception",
            "too many users for a stand-in",
        )),
        user => Ok(user.cloned()),
    }
}

fn hidden(name: &str) -> ApiAnswer {
    let message = format!("Resource '{name}' is not available.");
    fault(StatusCode::NOT_FOUND, &message)
}

/// Whatever is no text becomes one; nothing can be nested.
fn as_text(value: Value) -> Result<String, ApiAnswer> {
    match value {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(fault(
            StatusCode::INTERNAL_SERVER_ERROR,
            "Cannot deserialize value of type `java.lang.String`",
        )),
    }
}

fn texts(items: Vec<Value>) -> Result<Vec<String>, ApiAnswer> {
    let texts = items.into_iter().map(|item| {
        let text = item.as_str().map(str::to_owned);
        text.ok_or_else(|| error("`null` is not allowed as json array element"))
    });
    texts.collect()
}

fn wrong_type(field: &str, expected: &str) -> ApiAnswer {
    let body = json!({ "status": "error", "reason": "Wrong datatype", field: expected });
    ApiAnswer::json(StatusCode::BAD_REQUEST, &body)
}
