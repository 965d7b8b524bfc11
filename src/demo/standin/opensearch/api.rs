//! The calls themselves.

use super::{
    super::{super::listener::Lock as _, answer::ApiAnswer},
    caller::Caller,
    changes::{changeable, visible},
    password,
    refusals::{error, fault},
    route::ApiCall,
    store::{ALL_ACCESS, Change, Document, OpenSearch},
    user::{InternalUser, hash_of},
};
use http::StatusCode;
use serde_json::{Map, Value, json};
use tokio::time::sleep;

impl OpenSearch {
    /// Does what the call says, or refuses it. `keeps`: see [`Document::commit`].
    pub(crate) async fn perform(
        &self,
        call: ApiCall,
        caller: &Caller,
        keeps: bool,
    ) -> Result<ApiAnswer, ApiAnswer> {
        match call {
            ApiCall::AuthInfo => Ok(ApiAnswer::ok(&auth_info(caller))),
            ApiCall::Root => {
                caller.may(false, "cluster:monitor/main")?;
                Ok(ApiAnswer::ok(&json!({
                    "name": "standin-1", "cluster_name": "standin",
                    "version": { "distribution": "opensearch", "number": self.version },
                    "tagline": "The OpenSearch Project: https://opensearch.org/",
                })))
            }
            ApiCall::Search => Self::search(caller),
            ApiCall::OwnPassword(fields) => self.change_own_password(caller, &fields).await,
            ApiCall::Read(name) => {
                caller.must_manage()?;
                let document = self.document.held();
                let user = visible(&document, &name)?;
                Ok(ApiAnswer::ok(&json!({ name: user.shown() })))
            }
            ApiCall::ReadAll => {
                caller.must_manage()?;
                let document = self.document.held();
                let users = document.users.values().filter(|user| !user.hidden);
                let shown: Map<String, Value> = users
                    .map(|user| (user.username.clone(), user.shown()))
                    .collect();
                Ok(ApiAnswer::ok(&shown.into()))
            }
            ApiCall::Roles(name) => {
                caller.must_manage()?;
                self.show_roles(name.as_deref())
            }
            ApiCall::FlushCache => {
                caller.must_manage()?;
                self.document.held().forget_logins();
                Ok(done("Cache flushed successfully."))
            }
            ApiCall::Write(name, fields) => {
                caller.must_manage()?;
                let created = !self.document.held().users.contains_key(&name);
                self.write(keeps, |document| {
                    let old = changeable(document, &name)?;
                    let user = self.checked(&name, fields, old)?;
                    Ok(vec![(name.clone(), Some(user))])
                })
                .await?;
                Ok(if created {
                    let body = json!({
                        "status": "CREATED", "message": format!("'{name}' created."),
                    });
                    ApiAnswer::json(StatusCode::CREATED, &body)
                } else {
                    done(&format!("'{name}' updated."))
                })
            }
            ApiCall::Delete(name) => {
                caller.must_manage()?;
                self.write(keeps, |document| {
                    visible(document, &name)?;
                    changeable(document, &name)?;
                    Ok(vec![(name.clone(), None)])
                })
                .await?;
                Ok(done(&format!("'{name}' deleted.")))
            }
            ApiCall::Patch(patches) => {
                caller.must_manage()?;
                let changed = self
                    .write(keeps, |document| self.patched(document, patches))
                    .await?;
                Ok(done(if changed {
                    "Resource updated."
                } else {
                    "No updates required"
                }))
            }
        }
    }

    /// Reads the document, takes its time, and writes it back unless another write came between.
    /// Says whether there was something to write.
    async fn write(
        &self,
        keeps: bool,
        changes: impl FnOnce(&Document) -> Result<Vec<Change>, ApiAnswer>,
    ) -> Result<bool, ApiAnswer> {
        let (changes, read_at) = {
            let document = self.document.held();
            (changes(&document)?, document.sequence)
        };
        if changes.is_empty() {
            return Ok(false);
        }
        let takes = *self.write_takes.held();
        sleep(takes).await;
        self.document.held().commit(changes, read_at, keeps)?;
        Ok(true)
    }

    async fn change_own_password(
        &self,
        caller: &Caller,
        fields: &Map<String, Value>,
    ) -> Result<ApiAnswer, ApiAnswer> {
        let text = |field: &str| fields.get(field).and_then(Value::as_str);
        let (Some(current), Some(new)) = (text("current_password"), text("password")) else {
            return Err(error("Invalid configuration"));
        };
        if !caller.user.verifies(current) {
            let message = "Could not validate your current password.";
            return Err(fault(StatusCode::BAD_REQUEST, message));
        }
        password::check(caller.name(), new)?;
        let hash = hash_of(new);
        self.write(false, |document| {
            let mut user = InternalUser::clone(&*visible(document, caller.name())?);
            user.hash = hash;
            Ok(vec![(caller.name().to_owned(), Some(user))])
        })
        .await?;
        Ok(done(&format!("'{}' updated.", caller.name())))
    }

    fn show_roles(&self, name: Option<&str>) -> Result<ApiAnswer, ApiAnswer> {
        let roles = self.roles.held();
        if let Some(name) = name
            && !roles.contains(name)
        {
            let message = format!("role '{name}' not found.");
            return Err(fault(StatusCode::NOT_FOUND, &message));
        }
        let shown: Map<String, Value> = roles
            .iter()
            .filter(|role| name.is_none_or(|name| name == role.as_str()))
            .map(|role| {
                let body = json!({
                    "reserved": role == ALL_ACCESS, "hidden": false, "static": false,
                    "cluster_permissions": [], "index_permissions": [], "tenant_permissions": [],
                });
                (role.clone(), body)
            })
            .collect();
        Ok(ApiAnswer::ok(&shown.into()))
    }

    fn search(caller: &Caller) -> Result<ApiAnswer, ApiAnswer> {
        caller.may(!caller.user.roles.is_empty(), "indices:data/read/search")?;
        let source = json!({ "text": format!("Good to see you, {}.", caller.name()) });
        Ok(ApiAnswer::ok(&json!({
            "took": 1, "timed_out": false,
            "hits": {
                "total": { "value": 1, "relation": "eq" }, "max_score": 1.0,
                "hits": [{ "_index": "notes", "_id": "1", "_score": 1.0, "_source": source }],
            },
        })))
    }
}

fn done(message: &str) -> ApiAnswer {
    ApiAnswer::ok(&json!({ "status": "OK", "message": message }))
}

/// Names of attributes only: their values are not the user's to see.
fn auth_info(caller: &Caller) -> Value {
    let user = &caller.user;
    let name = caller.name();
    let attributes: Vec<String> = user
        .attributes
        .keys()
        .map(|attribute| format!("attr.internal.{attribute}"))
        .collect();
    json!({
        "user": format!(
            "User [name={name}, backend_roles={:?}, requestedTenant=null]", user.backend_roles
        ),
        "user_name": name, "user_requested_tenant": null, "remote_address": "127.0.0.1:40000",
        "backend_roles": user.backend_roles, "custom_attribute_names": attributes,
        "roles": caller.effective_roles(), "tenants": { name: true }, "principal": null,
        "peer_certificates": "0", "sso_logout_url": null,
    })
}
