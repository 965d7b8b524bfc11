//! The calls themselves: who is calling, may they, and what it does to the users.

use super::{
    answer::Answer,
    body::{self, PutUser},
    cluster::{Cluster, Lock as _, SERVICE_USER},
    route::Route,
    users::{Hash, Login, StoredUser},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Who is calling.
#[derive(Debug, Clone)]
pub(super) enum Caller {
    Native(Arc<StoredUser>),
    /// The service account's API key.
    ApiKey,
}

impl Caller {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Native(user) => &user.username,
            Self::ApiKey => SERVICE_USER,
        }
    }

    fn roles(&self) -> &[String] {
        match self {
            Self::Native(user) => &user.roles,
            Self::ApiKey => &[],
        }
    }

    fn is_superuser(&self) -> bool {
        matches!(self, Self::ApiKey) || self.roles().iter().any(|role| role == "superuser")
    }
}

impl Cluster {
    /// Reads `Authorization` as section 1.5 of the facts says, and looks whether the credential
    /// works.
    pub(super) fn identify(&self, headers: &HeaderMap, path: &str) -> Result<Caller, Answer> {
        let refused = |reason: &str| Err(Answer::unauthenticated(reason));
        let missing = format!("missing authentication credentials for REST request [{path}]");
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return if headers.contains_key(header::AUTHORIZATION) {
                Err(Answer::bad(
                    "illegal_argument_exception",
                    "multiple values for single-valued header [Authorization].",
                ))
            } else {
                refused(&missing)
            };
        };
        let Some((scheme, payload)) = value.to_str().ok().and_then(|text| text.split_once(' '))
        else {
            return refused(&missing);
        };
        if scheme.eq_ignore_ascii_case("ApiKey") {
            return if payload == self.api_key {
                Ok(Caller::ApiKey)
            } else {
                refused(&missing)
            };
        }
        if !scheme.eq_ignore_ascii_case("Basic") {
            return refused(&missing);
        }
        let Some(text) = STANDARD
            .decode(payload)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
        else {
            return refused("invalid basic authentication header encoding");
        };
        let Some((name, password)) = text.split_once(':') else {
            return refused("invalid basic authentication header value");
        };
        self.login(name, password)
            .map(Caller::Native)
            .ok_or_else(|| {
                Answer::unauthenticated(&format!(
                    "unable to authenticate user [{name}] for REST request [{path}]"
                ))
            })
    }

    fn login(&self, name: &str, password: &str) -> Option<Arc<StoredUser>> {
        let login = self.users.held().login(name, password);
        match login {
            Login::Refused => None,
            Login::Known(user) => Some(user),
            Login::Unverified(user) => {
                let good = user.verifies(password);
                self.users.held().remember(&user, password, good);
                good.then_some(user)
            }
        }
    }

    /// Does what the call says, or refuses it.
    pub(super) fn perform(&self, route: &Route, caller: &Caller, body: &[u8]) -> Answer {
        self.tried(route, caller, body)
            .unwrap_or_else(|refusal| refusal)
    }

    fn tried(&self, route: &Route, caller: &Caller, body: &[u8]) -> Result<Answer, Answer> {
        // What a body says about itself is judged before the caller's privileges, names after them.
        let put = if let Route::Write(name) = route {
            Some(PutUser::parse(name, body)?)
        } else {
            None
        };
        put.as_ref().map_or(Ok(()), PutUser::check)?;
        if let Some(action) = route.admin_action().filter(|_| !caller.is_superuser()) {
            return Err(forbidden(
                &format!("cluster:admin/xpack/security/user/{action}"),
                caller,
            ));
        }
        Ok(match (route, put) {
            (Route::Write(name), Some(put)) => self.write(name, put)?,
            (Route::Write(_), None) => Answer::bad("parse_exception", "request body is required"),
            (Route::Authenticate, _) => Answer::json(StatusCode::OK, &whoami(caller)),
            (Route::Read(names), _) => self.read(Some(names)),
            (Route::ReadAll, _) => self.read(None),
            (Route::Delete(name), _) => self.delete(name)?,
            (Route::SetEnabled(name, enabled), _) => self.set_enabled_by(name, *enabled, caller)?,
            (Route::OwnPassword, _) => self.change_own_password(caller, body)?,
            (Route::HasPrivileges, _) => has_privileges(caller, body)?,
            (Route::Root, _) if !caller.is_superuser() => {
                return Err(forbidden("cluster:monitor/main", caller));
            }
            (Route::Root, _) => Answer::json(StatusCode::OK, &greeting()),
            (Route::Search, _) if caller.roles().is_empty() && !caller.is_superuser() => {
                return Err(forbidden("indices:data/read/search", caller));
            }
            (Route::Search, _) => Answer::json(StatusCode::OK, &one_hit(caller.name())),
        })
    }

    fn read(&self, names: Option<&str>) -> Answer {
        let users = self.users.held();
        let found: Map<String, Value> = match names {
            Some(names) => names
                .split(',')
                .filter_map(|name| users.get(name))
                .map(|user| (user.username.clone(), user.shown()))
                .collect(),
            None => users
                .all()
                .map(|user| (user.username.clone(), user.shown()))
                .collect(),
        };
        let status = if found.is_empty() && names.is_some() {
            StatusCode::NOT_FOUND
        } else {
            StatusCode::OK
        };
        Answer::json(status, &Value::Object(found))
    }

    /// The whole user is overwritten. Only without a password is there something left of the old
    /// one: its password, and metadata keys.
    fn write(&self, name: &str, put: PutUser) -> Result<Answer, Answer> {
        put.check_names(name)?;
        let mut users = self.users.held();
        let known = users.get(name).cloned();
        let (hash, metadata) = match (put.hash, &known) {
            (Some(hash), _) => (hash, put.metadata.unwrap_or_default()),
            (None, Some(known)) => {
                let mut merged = known.metadata.clone();
                merged.extend(put.metadata.unwrap_or_default());
                (known.hash.clone(), merged)
            }
            (None, None) => {
                return Err(body::invalid(&[
                    "password must be specified unless you are updating an existing user",
                ]));
            }
        };
        if known.is_none() && !users.has_room() {
            return Err(Answer::error(
                StatusCode::TOO_MANY_REQUESTS,
                "es_rejected_execution_exception",
                "too many users for a stand-in",
            ));
        }
        let roles = put.roles.unwrap_or_default();
        let PutUser {
            full_name,
            email,
            enabled,
            ..
        } = put;
        let created = users.put(StoredUser {
            username: name.to_owned(),
            roles,
            full_name,
            email,
            metadata,
            enabled,
            hash,
        });
        Ok(Answer::json(StatusCode::OK, &json!({ "created": created })))
    }

    fn delete(&self, name: &str) -> Result<Answer, Answer> {
        if body::RESERVED.contains(&name) {
            return Err(Answer::bad(
                "illegal_argument_exception",
                &format!("user [{name}] is reserved and cannot be deleted"),
            ));
        }
        let found = self.users.held().delete(name);
        let status = if found {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        Ok(Answer::json(status, &json!({ "found": found })))
    }

    fn set_enabled_by(&self, name: &str, enabled: bool, caller: &Caller) -> Result<Answer, Answer> {
        if caller.name() == name {
            return Err(Answer::bad(
                "illegal_argument_exception",
                "users may not update the enabled status of their own account",
            ));
        }
        if self.set_enabled(name, enabled) {
            return Ok(Answer::json(StatusCode::OK, &json!({})));
        }
        let what = if enabled { "enabled" } else { "disabled" };
        Err(body::invalid(&[&format!(
            "only existing users can be {what}"
        )]))
    }

    /// Repeating it is no error; `false` where there is no such user.
    pub(super) fn set_enabled(&self, name: &str, enabled: bool) -> bool {
        let mut users = self.users.held();
        let Some(user) = users.get(name).cloned() else {
            return false;
        };
        users.put(StoredUser {
            enabled,
            ..(*user).clone()
        });
        true
    }

    /// `PUT /_security/user/_password`: where a user named `_password` would end up.
    fn change_own_password(&self, caller: &Caller, body: &[u8]) -> Result<Answer, Answer> {
        let password = body::fields(body)?
            .into_iter()
            .find(|(field, _)| field == "password");
        let (Caller::Native(user), Some((_, Value::String(password)))) = (caller, password) else {
            return Err(body::invalid(&["password cannot be null"]));
        };
        self.users.held().put(StoredUser {
            hash: Hash::of_password(&password),
            ..(**user).clone()
        });
        Ok(Answer::json(StatusCode::OK, &json!({})))
    }
}

fn whoami(caller: &Caller) -> Value {
    let (mut shown, realm, kind) = match caller {
        Caller::Native(user) => (
            user.shown(),
            json!({ "name": "default_native", "type": "native" }),
            "realm",
        ),
        Caller::ApiKey => {
            let shown = json!({
                "username": SERVICE_USER, "roles": [], "full_name": null, "email": null, "metadata": {}, "enabled": true,
                "api_key": { "id": "standin", "name": "elastauth", "managed_by": "elasticsearch" },
            });
            (
                shown,
                json!({ "name": "_es_api_key", "type": "_es_api_key" }),
                "api_key",
            )
        }
    };
    if let Some(fields) = shown.as_object_mut() {
        fields.insert("authentication_realm".to_owned(), realm.clone());
        fields.insert("lookup_realm".to_owned(), realm);
        fields.insert("authentication_type".to_owned(), kind.into());
    }
    shown
}

/// Here a caller may do everything or nothing.
fn has_privileges(caller: &Caller, body: &[u8]) -> Result<Answer, Answer> {
    let asked: Value = serde_json::from_slice(body)
        .map_err(|_| Answer::bad("x_content_parse_exception", "not JSON"))?;
    let names = asked
        .get("cluster")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let cluster: Map<String, Value> = names
        .map(|name| (name.to_owned(), caller.is_superuser().into()))
        .collect();
    let told = json!({
        "username": caller.name(), "has_all_requested": caller.is_superuser(), "cluster": cluster, "index": {}, "application": {},
    });
    Ok(Answer::json(StatusCode::OK, &told))
}

fn forbidden(action: &str, caller: &Caller) -> Answer {
    let (name, roles) = (caller.name(), caller.roles().join(","));
    let reason = format!(
        "action [{action}] is unauthorized for user [{name}] with effective roles [{roles}]"
    );
    Answer::error(StatusCode::FORBIDDEN, "security_exception", &reason)
}

fn greeting() -> Value {
    json!({
        "name": "standin-1", "cluster_name": "standin", "version": { "number": "9.5.3", "build_flavor": "stand-in of elastauth" },
        "tagline": "You Know, for Search",
    })
}

fn one_hit(name: &str) -> Value {
    let hit = json!({ "_index": "notes", "_id": "1", "_score": 1.0, "_source": { "text": format!("Good to see you, {name}.") } });
    json!({ "took": 1, "timed_out": false, "hits": { "total": { "value": 1, "relation": "eq" }, "max_score": 1.0, "hits": [hit] } })
}
