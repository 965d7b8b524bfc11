//! The calls themselves: who is calling, may they, and what it does to the users.

use super::{
    super::listener::Lock as _,
    answer::ApiAnswer,
    body::{self, PutUser},
    cluster::{Cluster, SERVICE_USER},
    keys,
    route::ApiCall,
    users::{Hash, StoredUser, Users},
};
use crate::secret::ExposeSecret as _;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Who is calling.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) user: Arc<StoredUser>,
    /// By the service account's API key: the user is only its name.
    pub(super) by_key: bool,
}

impl Caller {
    pub(super) fn name(&self) -> &str {
        &self.user.username
    }

    fn is_superuser(&self) -> bool {
        self.by_key || self.user.roles.iter().any(|role| role == "superuser")
    }

    fn must(&self, may: bool, action: &str) -> Result<(), ApiAnswer> {
        if may || self.is_superuser() {
            return Ok(());
        }
        let (name, roles) = (self.name(), self.user.roles.join(","));
        let reason = format!(
            "action [{action}] is unauthorized for user [{name}] with effective roles [{roles}]"
        );
        let status = StatusCode::FORBIDDEN;
        Err(ApiAnswer::error(status, "security_exception", &reason))
    }
}

impl Cluster {
    /// Reads `Authorization` as section 1.5 of the facts says, and looks whether the credential
    /// works.
    pub(super) fn identify(&self, headers: &HeaderMap, path: &str) -> Result<Caller, ApiAnswer> {
        let refused = ApiAnswer::unauthenticated;
        let missing = || {
            refused(&format!(
                "missing authentication credentials for REST request [{path}]"
            ))
        };
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let value = values.next().ok_or_else(missing)?;
        if values.next().is_some() {
            return Err(ApiAnswer::bad(
                "illegal_argument_exception",
                "multiple values for single-valued header [Authorization].",
            ));
        }
        let text = value.to_str().ok();
        let (scheme, payload) = text
            .and_then(|text| text.split_once(' '))
            .ok_or_else(missing)?;
        if scheme.eq_ignore_ascii_case("ApiKey") && payload == self.api_key.expose_secret() {
            let user = StoredUser::new(SERVICE_USER, "").into();
            return Ok(Caller { user, by_key: true });
        }
        if !scheme.eq_ignore_ascii_case("Basic") {
            return Err(missing());
        }
        let decoded = STANDARD.decode(payload).ok();
        let text = decoded
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| refused("invalid basic authentication header encoding"))?;
        let (name, password) = text
            .split_once(':')
            .ok_or_else(|| refused("invalid basic authentication header value"))?;
        let user = self
            .login(name, password)
            .ok_or_else(|| ApiAnswer::wrong_password(name, path))?;
        Ok(Caller {
            user,
            by_key: false,
        })
    }

    fn login(&self, name: &str, password: &str) -> Option<Arc<StoredUser>> {
        let (user, verified) = self.users.held().login(name, password)?;
        if verified {
            return Some(user);
        }
        let good = user.hash.verifies(password);
        self.users.held().remember(&user, password, good);
        good.then_some(user)
    }

    /// Does what the call says, or refuses it.
    pub(super) fn perform(
        &self,
        call: &ApiCall,
        caller: &Caller,
        body: &[u8],
    ) -> Result<ApiAnswer, ApiAnswer> {
        // What a body says about itself is judged before the caller's privileges, names after them.
        let put = if let ApiCall::Write(name) = call {
            Some(PutUser::parse(name, body, self.version)?)
        } else {
            None
        };
        if let (_, Some(action)) = call.facts() {
            caller.must(
                false,
                &format!("cluster:admin/xpack/security/user/{action}"),
            )?;
        }
        match call {
            ApiCall::Write(name) => {
                put.map_or_else(|| Err(body::required()), |put| self.write(name, put))
            }
            ApiCall::Authenticate => Ok(ApiAnswer::ok(&whoami(caller))),
            ApiCall::Read(names) => {
                let users = self.users.held();
                let found = names.split(',').filter_map(|name| users.stored.get(name));
                let found = shown(found);
                Ok(ApiAnswer::found(!found.is_empty(), &found.into()))
            }
            ApiCall::ReadAll => {
                let all = shown(self.users.held().stored.values());
                Ok(ApiAnswer::ok(&all.into()))
            }
            ApiCall::Query => self.query(body),
            ApiCall::Delete(name) => self.delete(name),
            ApiCall::SetEnabled(name, enabled) => self.set_enabled(name, *enabled, caller),
            ApiCall::OwnPassword => self.change_own_password(caller, body),
            ApiCall::ApiKeys(user) => {
                caller.must(false, "cluster:admin/xpack/security/api_key/get")?;
                Ok(keys::list(&self.keys.held(), user))
            }
            ApiCall::InvalidateApiKeys => {
                caller.must(false, "cluster:admin/xpack/security/api_key/invalidate")?;
                keys::invalidate(&mut self.keys.held(), body)
            }
            ApiCall::HasPrivileges => has_privileges(caller, body),
            ApiCall::Root => {
                caller.must(false, "cluster:monitor/main")?;
                Ok(ApiAnswer::ok(&json!({
                    "name": "standin-1", "cluster_name": "standin",
                    "version": { "number": self.version.number(), "build_flavor": "default" },
                    "tagline": "You Know, for Search",
                })))
            }
            ApiCall::Search => {
                caller.must(!caller.user.roles.is_empty(), "indices:data/read/search")?;
                let text = format!("Good to see you, {}.", caller.name());
                let source = json!({ "text": text });
                let hit =
                    json!({ "_index": "notes", "_id": "1", "_score": 1.0, "_source": source });
                Ok(ApiAnswer::ok(&json!({
                    "took": 1, "timed_out": false,
                    "hits": {
                        "total": { "value": 1, "relation": "eq" }, "max_score": 1.0, "hits": [hit],
                    },
                })))
            }
        }
    }

    /// The whole user is overwritten. Only without a password is there something left of the old
    /// one: its password, and metadata keys.
    fn write(&self, name: &str, put: PutUser) -> Result<ApiAnswer, ApiAnswer> {
        put.check_names(name)?;
        let mut users = self.users.held();
        let known = users.stored.get(name);
        if known.is_none() && users.stored.len() >= Users::MAX {
            return Err(ApiAnswer::error(
                StatusCode::TOO_MANY_REQUESTS,
                "es_rejected_execution_exception",
                "too many users for a stand-in",
            ));
        }
        let (hash, metadata) = match (put.hash, known) {
            (Some(hash), _) => (hash, put.metadata),
            (None, Some(known)) => {
                let mut merged = known.metadata.clone();
                merged.extend(put.metadata);
                (known.hash.clone(), merged)
            }
            (None, None) => {
                return Err(body::invalid(
                    "password must be specified unless you are updating an existing user",
                ));
            }
        };
        let created = users.put(StoredUser {
            username: name.to_owned(),
            roles: put.roles.unwrap_or_default(),
            full_name: put.full_name,
            email: put.email,
            metadata,
            enabled: put.enabled,
            hash,
        });
        Ok(ApiAnswer::ok(&json!({ "created": created })))
    }

    /// Sorted by name, from the name after `search_after`. Other queries and orders are not known
    /// here, and `filter_path` leaves nothing out.
    fn query(&self, body: &[u8]) -> Result<ApiAnswer, ApiAnswer> {
        let fields: Map<String, Value> = body::fields(body)?.into_iter().collect();
        let size = fields.get("size").and_then(Value::as_u64).unwrap_or(10);
        if size > 10_000 {
            return Err(ApiAnswer::bad(
                "search_phase_execution_exception",
                "all shards failed",
            ));
        }
        let after = fields.get("search_after").and_then(|after| after.get(0));
        let after = after.and_then(Value::as_str);
        let only_enabled = fields.get("query").is_some_and(|query| {
            query.pointer("/term/enabled").and_then(Value::as_bool) == Some(true)
        });
        let users = self.users.held();
        let mut found: Vec<&Arc<StoredUser>> = users
            .stored
            .values()
            .filter(|user| user.enabled || !only_enabled)
            .collect();
        let total = found.len();
        found.retain(|user| after.is_none_or(|after| user.username.as_str() > after));
        found.sort_unstable_by(|one, other| one.username.cmp(&other.username));
        found.truncate(usize::try_from(size).unwrap_or(usize::MAX));
        let shown: Vec<Value> = found
            .into_iter()
            .map(|user| {
                let mut shown = user.shown();
                if let Some(shown) = shown.as_object_mut() {
                    shown.insert("_sort".to_owned(), json!([user.username]));
                }
                shown
            })
            .collect();
        Ok(ApiAnswer::ok(
            &json!({ "total": total, "count": shown.len(), "users": shown }),
        ))
    }

    fn delete(&self, name: &str) -> Result<ApiAnswer, ApiAnswer> {
        if body::RESERVED.contains(&name) {
            return Err(ApiAnswer::bad(
                "illegal_argument_exception",
                &format!("user [{name}] is reserved and cannot be deleted"),
            ));
        }
        let found = self.users.held().delete(name);
        Ok(ApiAnswer::found(found, &json!({ "found": found })))
    }

    /// Repeating it is no error.
    fn set_enabled(
        &self,
        name: &str,
        enabled: bool,
        caller: &Caller,
    ) -> Result<ApiAnswer, ApiAnswer> {
        if caller.name() == name {
            return Err(ApiAnswer::bad(
                "illegal_argument_exception",
                "users may not update the enabled status of their own account",
            ));
        }
        let mut users = self.users.held();
        if users.change(name, |user| user.enabled = enabled) {
            return Ok(ApiAnswer::ok(&json!({})));
        }
        let what = if enabled { "enabled" } else { "disabled" };
        Err(body::invalid(&format!("only existing users can be {what}")))
    }

    /// `PUT /_security/user/_password`: where a user named `_password` would end up.
    fn change_own_password(&self, caller: &Caller, body: &[u8]) -> Result<ApiAnswer, ApiAnswer> {
        let mut fields = body::fields(body)?.into_iter();
        let password = fields.find(|(field, _)| field == "password");
        let (false, Some((_, Value::String(password)))) = (caller.by_key, password) else {
            return Err(body::invalid("password cannot be null"));
        };
        let hash = Hash::of_password(&password);
        let mut users = self.users.held();
        users.change(caller.name(), |user| user.hash = hash);
        Ok(ApiAnswer::ok(&json!({})))
    }
}

fn shown<'a>(users: impl Iterator<Item = &'a Arc<StoredUser>>) -> Map<String, Value> {
    users
        .map(|user| (user.username.clone(), user.shown()))
        .collect()
}

fn whoami(caller: &Caller) -> Value {
    let mut shown = caller.user.shown();
    let (realm, realm_type, kind) = if caller.by_key {
        ("_es_api_key", "_es_api_key", "api_key")
    } else {
        ("default_native", "native", "realm")
    };
    let realm = json!({ "name": realm, "type": realm_type });
    let key = json!({ "id": "standin", "name": "elastauth", "managed_by": "elasticsearch" });
    if let Some(fields) = shown.as_object_mut() {
        if caller.by_key {
            fields.insert("api_key".to_owned(), key);
        }
        fields.insert("authentication_realm".to_owned(), realm.clone());
        fields.insert("lookup_realm".to_owned(), realm);
        fields.insert("authentication_type".to_owned(), kind.into());
    }
    shown
}

/// Here a caller may do everything or nothing.
fn has_privileges(caller: &Caller, body: &[u8]) -> Result<ApiAnswer, ApiAnswer> {
    let asked: Value = serde_json::from_slice(body)
        .map_err(|_| ApiAnswer::bad("x_content_parse_exception", "not JSON"))?;
    let may = caller.is_superuser();
    let names = asked.get("cluster").and_then(Value::as_array);
    let cluster: Map<String, Value> = (names.into_iter().flatten())
        .filter_map(|name| Some((name.as_str()?.to_owned(), may.into())))
        .collect();
    Ok(ApiAnswer::ok(&json!({
        "username": caller.name(), "has_all_requested": may, "cluster": cluster,
        "index": {}, "application": {},
    })))
}
