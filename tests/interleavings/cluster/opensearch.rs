//! OpenSearch's security API: all users in one document, written whole or not at all.

use super::{
    State, login_of,
    types::{Reply, User, Wish, Written},
};
use http::{Method, StatusCode, request::Parts};
use serde_json::{Map, Value, json};

const AUTHINFO: &str = "_plugins/_security/authinfo";
const USERS: &str = "_plugins/_security/api/internalusers";
const LOCKED: &str = "elastauth_locked";
/// A change of this attribute alone empties the credential cache.
const CACHE_EMPTIED: &str = "elastauth_cache_emptied";
/// Fits no password.
const UNUSABLE: &str = "!";

pub(super) fn understand(head: &Parts, path: &str, body: &[u8]) -> Option<Wish> {
    if path == AUTHINFO {
        return Some(Wish::Ask {
            login: login_of(head),
        });
    }
    let name = path.strip_prefix(USERS)?;
    match (&head.method, name.strip_prefix('/')) {
        (&Method::GET, None) => Some(Wish::List),
        (&Method::GET, Some(name)) => Some(Wish::Read {
            name: name.to_owned(),
        }),
        (&Method::PATCH, None) => {
            let operations: Vec<Value> = serde_json::from_slice(body).ok()?;
            let entries: Option<Vec<Written>> = operations.iter().map(written).collect();
            entries.map(Wish::Write)
        }
        _ => None,
    }
}

fn written(operation: &Value) -> Option<Written> {
    assert_eq!(operation["op"], "add", "nobody is removed or let in again");
    let path = operation["path"].as_str()?.strip_prefix('/')?;
    let (name, user) = if let Some((name, attribute)) = path.split_once('/') {
        assert_eq!(attribute, format!("attributes/{CACHE_EMPTIED}"));
        (name, None)
    } else {
        (path, Some(Box::new(user(&operation["value"])?)))
    };
    Some(Written {
        name: name.to_owned(),
        user,
    })
}

fn user(value: &Value) -> Option<User> {
    let roles = value["opendistro_security_roles"].as_array()?.iter();
    let attributes = value["attributes"].as_object()?.clone();
    let password = value.get("password").or(value.get("hash"))?;
    Some(User {
        password: password.as_str()?.to_owned(),
        roles: roles.filter_map(Value::as_str).map(str::to_owned).collect(),
        enabled: !attributes.contains_key(LOCKED),
        metadata: mark_of(&attributes),
        attributes,
        ..User::default()
    })
}

/// What elastauth has noted in attributes, in the form of Elasticsearch's metadata.
pub(crate) fn mark_of(attributes: &Map<String, Value>) -> Map<String, Value> {
    let noted = |name: &str| attributes.get(&format!("elastauth_{name}"));
    let (Some(epoch), Some(key)) = (noted("epoch"), noted("key")) else {
        return Map::new();
    };
    let generation = noted("generation").and_then(|text| text.as_str()?.parse::<u64>().ok());
    let mark = json!({
        "epoch": epoch, "key": key, "parked": noted("parked").is_some(),
        "generation": generation.unwrap_or_default(),
    });
    Map::from_iter([("elastauth".to_owned(), mark)])
}

impl User {
    /// Locks the user as `elastauth users disable` does.
    pub(crate) fn lock(&mut self) {
        self.enabled = false;
        UNUSABLE.clone_into(&mut self.password);
        self.attributes.insert(LOCKED.to_owned(), "true".into());
    }

    /// Their next login comes with the next write.
    pub(crate) fn unlock(&mut self) {
        self.enabled = true;
        self.attributes.remove(LOCKED);
    }
}

/// What is answered once the call has been dealt with.
pub(super) fn reply(state: &State, wish: &Wish) -> Reply {
    match wish {
        Wish::Ask { login } => {
            let login = login.as_ref();
            let user = login.and_then(|(name, password)| state.of_login(name, password));
            let Some((user, (name, _))) = user.zip(login) else {
                return Reply::new(StatusCode::UNAUTHORIZED, json!("Unauthorized"));
            };
            let names = user.attributes.keys();
            let names: Vec<String> = names.map(|name| format!("attr.internal.{name}")).collect();
            Reply::new(
                StatusCode::OK,
                json!({ "user_name": name, "custom_attribute_names": names, "roles": user.roles }),
            )
        }
        Wish::Read { name } => match state.users.get(name) {
            Some(user) => Reply::new(StatusCode::OK, json!({ (name.clone()): as_json(user) })),
            None => said(
                StatusCode::NOT_FOUND,
                "NOT_FOUND",
                &format!("user '{name}' not found."),
            ),
        },
        Wish::List => {
            let users = state.users.iter();
            let users = users.map(|(name, user)| (name.clone(), as_json(user)));
            Reply::new(StatusCode::OK, Value::Object(users.collect()))
        }
        Wish::Write(_) => said(StatusCode::OK, "OK", "Resource updated."),
    }
}

/// Of a write that has found the users changed.
pub(super) fn conflict() -> Reply {
    let message = "[internalusers]: version conflict, required seqNo [7], primary term [1]";
    said(StatusCode::CONFLICT, "CONFLICT", message)
}

fn said(status: StatusCode, word: &str, message: &str) -> Reply {
    Reply::new(status, json!({ "status": word, "message": message }))
}

fn as_json(user: &User) -> Value {
    json!({ "hash": "", "reserved": false, "hidden": false, "static": false,
        "backend_roles": [], "attributes": user.attributes,
        "opendistro_security_roles": user.roles })
}
