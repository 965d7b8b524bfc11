//! Elasticsearch's security API.

use super::{
    State, login_of,
    types::{Reply, User, Wish, Written},
};
use http::{Method, StatusCode, request::Parts};
use serde_json::{Value, json};

pub(super) fn understand(head: &Parts, path: &str, body: &[u8]) -> Option<Wish> {
    match (&head.method, path.strip_prefix("_security/user/")) {
        (&Method::GET, None) => Some(Wish::Ask {
            login: login_of(head),
        }),
        (&Method::GET, Some(name)) => Some(Wish::Read {
            name: name.to_owned(),
        }),
        (&Method::POST, None) if path == "_security/_query/user" => Some(Wish::List),
        (&Method::PUT, Some(name)) => {
            let body: Value = serde_json::from_slice(body).ok()?;
            let roles = body["roles"].as_array()?.iter();
            let user = User {
                password: body["password"].as_str()?.to_owned(),
                roles: roles.filter_map(Value::as_str).map(str::to_owned).collect(),
                // What is left out means true, as in a real cluster.
                enabled: body["enabled"].as_bool().unwrap_or(true),
                metadata: body["metadata"].as_object().cloned().unwrap_or_default(),
                full_name: body["full_name"].clone(),
                email: body["email"].clone(),
                ..User::default()
            };
            Some(Wish::Write(vec![Written {
                name: name.to_owned(),
                user: Some(Box::new(user)),
            }]))
        }
        _ => None,
    }
}

/// What is answered once the call has been dealt with.
pub(super) fn reply(state: &State, wish: &Wish) -> Reply {
    match wish {
        Wish::Ask { login } => {
            let login = login.as_ref();
            let user = login.and_then(|(name, password)| state.of_login(name, password));
            let Some((user, (name, _))) = user.zip(login) else {
                return Reply::new(StatusCode::UNAUTHORIZED, json!({}));
            };
            let mut body = as_json(user, name);
            body["authentication_realm"] = json!({ "name": "default_native", "type": "native" });
            Reply::new(StatusCode::OK, body)
        }
        Wish::Read { name } => match state.users.get(name) {
            Some(user) => Reply::new(
                StatusCode::OK,
                json!({ (name.clone()): as_json(user, name) }),
            ),
            None => Reply::new(StatusCode::NOT_FOUND, json!({})),
        },
        Wish::List => {
            let users = state.users.iter();
            let users: Vec<Value> = users.map(|(name, user)| as_json(user, name)).collect();
            Reply::new(StatusCode::OK, json!({ "users": users }))
        }
        Wish::Write(_) => Reply::new(StatusCode::OK, json!({ "created": true })),
    }
}

fn as_json(user: &User, name: &str) -> Value {
    json!({ "username": name, "roles": user.roles, "full_name": user.full_name,
        "email": user.email, "metadata": user.metadata, "enabled": user.enabled })
}
