//! API keys of native users (`/_security/api_key`).
//!
//! A key keeps the roles of its making, whatever becomes of its user and their password.

use super::answer::ok;
use crate::cluster::{error::CallFailure, pool::NodeAnswer, security::types::ApiKeys};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

/// The name of the native realm where nobody has given it another one.
const DEFAULT_REALM: &str = "default_native";

/// The path that lists a user's keys; `name` is percent-encoded.
pub(super) fn list_path(name: &str) -> String {
    format!("/_security/api_key?username={name}")
}

pub(super) const PATH: &str = "/_security/api_key";

/// The ids of the valid keys of the native user. Users of other realms may have the same name.
pub(super) fn listed(answer: &NodeAnswer, name: &str) -> Result<Vec<String>, CallFailure> {
    let list: List = ok(answer)?;
    let is_theirs = |key: &Key| {
        // Only newer versions say of which type a realm is.
        let native = key.realm_type.as_deref().map_or_else(
            || key.realm.as_deref() == Some(DEFAULT_REALM),
            |kind| kind == "native",
        );
        native && !key.invalidated && key.username == name
    };
    let keys = list.api_keys.into_iter().filter(is_theirs);
    Ok(keys.map(|key| key.id).collect())
}

pub(super) fn invalidation(ids: &[String]) -> Bytes {
    json!({ "ids": ids }).to_string().into()
}

/// Of an invalidation.
pub(super) fn invalidated(answer: &NodeAnswer) -> Result<ApiKeys, CallFailure> {
    let done: Invalidated = ok(answer)?;
    Ok(ApiKeys {
        invalidated: done.now.len() + done.before.len(),
        failed: done.error_count,
    })
}

#[derive(Deserialize)]
struct List {
    api_keys: Vec<Key>,
}

#[derive(Deserialize)]
struct Key {
    id: String,
    username: String,
    #[serde(default)]
    invalidated: bool,
    realm: Option<String>,
    realm_type: Option<String>,
}

#[derive(Deserialize)]
struct Invalidated {
    #[serde(rename = "invalidated_api_keys")]
    now: Vec<String>,
    #[serde(rename = "previously_invalidated_api_keys")]
    before: Vec<String>,
    error_count: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;

    fn answer(body: &serde_json::Value) -> NodeAnswer {
        NodeAnswer {
            status: StatusCode::OK,
            headers: http::HeaderMap::new(),
            body: Ok(body.to_string().into()),
        }
    }

    #[test]
    fn the_valid_keys_of_the_native_user_are_theirs() {
        let key = |id: &str, more: serde_json::Value| {
            let mut key = json!({ "id": id, "name": "n", "username": "alice", "creation": 1 });
            for (name, value) in more.as_object().unwrap() {
                key[name] = value.clone();
            }
            key
        };
        let list = json!({ "api_keys": [
            key("new", json!({ "realm": "native1", "realm_type": "native", "invalidated": false })),
            key("old", json!({ "realm": "default_native" })),
            key("over", json!({ "realm": "default_native", "invalidated": true })),
            key("file", json!({ "realm": "default_native", "realm_type": "file" })),
            key("saml", json!({ "realm": "saml1" })),
            key("bob", json!({ "realm": "default_native", "username": "bob" })),
        ] });
        assert_eq!(
            listed(&answer(&list), "alice"),
            Ok(vec!["new".into(), "old".into()])
        );
        assert!(listed(&answer(&json!({})), "alice").is_err());
    }

    #[test]
    fn keys_that_the_cluster_could_not_invalidate_are_counted() {
        let done = json!({ "invalidated_api_keys": ["a"], "previously_invalidated_api_keys": ["b"],
            "error_count": 1, "error_details": [] });
        let expected = ApiKeys {
            invalidated: 2,
            failed: 1,
        };
        assert_eq!(invalidated(&answer(&done)), Ok(expected));
    }
}
