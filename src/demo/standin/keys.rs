//! API keys of the stand-in's users, as far as they are listed and invalidated. Nobody logs in with
//! one.

use super::{answer::ApiAnswer, body};
use serde_json::{Value, json};

/// An API key as the cluster lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiKey {
    pub(super) id: String,
    pub(super) username: String,
    pub(super) realm: String,
    pub(super) invalidated: bool,
}

impl ApiKey {
    fn shown(&self) -> Value {
        let (name, kind) = match self.realm.as_str() {
            "native" => ("default_native", "native"),
            other => (other, other),
        };
        json!({
            "id": self.id, "name": "a key", "type": "rest", "creation": 1_700_000_000_000_u64,
            "invalidated": self.invalidated, "username": self.username, "realm": name,
            "realm_type": kind, "metadata": {},
        })
    }
}

pub(super) fn add(keys: &mut Vec<ApiKey>, username: &str, realm: &str) -> String {
    let id = format!("key-{}", keys.len());
    keys.push(ApiKey {
        id: id.clone(),
        username: username.to_owned(),
        realm: realm.to_owned(),
        invalidated: false,
    });
    id
}

pub(super) fn valid(keys: &[ApiKey]) -> Vec<String> {
    let valid = keys.iter().filter(|key| !key.invalidated);
    valid.map(|key| key.id.clone()).collect()
}

pub(super) fn list(keys: &[ApiKey], username: &str) -> ApiAnswer {
    let theirs = keys.iter().filter(|key| key.username == username);
    let shown: Vec<Value> = theirs.map(ApiKey::shown).collect();
    ApiAnswer::ok(&json!({ "api_keys": shown }))
}

pub(super) fn invalidate(keys: &mut [ApiKey], body: &[u8]) -> Result<ApiAnswer, ApiAnswer> {
    let mut fields = body::fields(body)?.into_iter();
    let Some((_, Value::Array(ids))) = fields.find(|(field, _)| field == "ids") else {
        return Err(body::invalid(
            "one of [api key id(s), ...] must be specified",
        ));
    };
    let (mut now, mut before) = (Vec::new(), Vec::new());
    let named = keys.iter_mut().filter(|key| ids.contains(&json!(key.id)));
    for key in named {
        let list = if key.invalidated {
            &mut before
        } else {
            &mut now
        };
        list.push(key.id.clone());
        key.invalidated = true;
    }
    Ok(ApiAnswer::ok(&json!({
        "invalidated_api_keys": now, "previously_invalidated_api_keys": before, "error_count": 0,
    })))
}
