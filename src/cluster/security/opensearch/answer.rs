//! What OpenSearch's answers mean.
//!
//! The security plugin says why in a sentence alone. A sentence counts only where it is, word for
//! word, the one about a user or a role that was sent; nothing of it is repeated.

use super::{
    document::{User, fingerprint_attribute},
    entry::Entry,
};
use crate::{
    cluster::{
        diagnosis::Diagnosis,
        error::CallFailure,
        pool::NodeAnswer,
        security::{
            answer::{self, unusable},
            body::parsed,
            types::{Account, Origin, StoredAccount},
        },
    },
    model::Username,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// Before the name of an attribute of an internal user.
const ATTRIBUTE: &str = "attr.internal.";

/// Of `authinfo`: what a login shows.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Login {
    pub(super) user_name: String,
    custom_attribute_names: Vec<String>,
    roles: Vec<String>,
}

impl Login {
    /// Whether the login is one of this entry. If it is not, a node still has an earlier entry in
    /// its cache, or the entry is not one of ours.
    pub(super) fn shows_fingerprint(&self, account: &Account) -> bool {
        let marker = account.origin.marker();
        let name = marker.and_then(fingerprint_attribute);
        name.is_some_and(|name| {
            let mut names = self.custom_attribute_names.iter();
            names.any(|shown| shown.strip_prefix(ATTRIBUTE) == Some(&*name))
        })
    }

    /// Whether the login has the roles of the entry. It may have more: mappings give them.
    pub(super) fn shows_roles(&self, account: &Account) -> bool {
        account.roles.iter().all(|role| self.roles.contains(role))
    }

    /// An account that is never exact.
    pub(super) fn account(self) -> StoredAccount {
        let account = Account {
            name: self.user_name,
            roles: self.roles,
            full_name: None,
            email: None,
            groups: Vec::new(),
            enabled: true,
            origin: Origin::Other,
        };
        StoredAccount {
            account,
            exact: false,
            document: Value::Object(Map::new()),
        }
    }
}

/// Of `authinfo` with somebody's credential; `None` where it is refused.
pub(super) fn login(answer: &NodeAnswer) -> Result<Option<Login>, CallFailure> {
    if answer.status == StatusCode::UNAUTHORIZED {
        return Ok(None);
    }
    ok(answer).map(Some)
}

/// Of `authinfo` with the service account.
pub(super) fn accepted(answer: &NodeAnswer) -> Result<(), CallFailure> {
    ok::<Login>(answer).map(drop)
}

/// Of a read of the one user `name`. A hidden user is reported as absent.
pub(super) fn user(
    answer: &NodeAnswer,
    name: &Username,
) -> Result<Option<StoredAccount>, CallFailure> {
    if is_not_found(answer) {
        return Ok(None);
    }
    let mut users: HashMap<String, User> = ok(answer)?;
    let user = users.remove(name.as_str()).ok_or(CallFailure::Unexpected)?;
    Ok(Some(user.stored(name.as_str())))
}

/// Of something that changes nothing: whether the account may do it.
pub(super) fn may(answer: &NodeAnswer) -> Result<bool, CallFailure> {
    match answer.status {
        StatusCode::FORBIDDEN => Ok(false),
        StatusCode::NOT_FOUND if is_not_found(answer) => Ok(true),
        _ => ok::<Map<String, Value>>(answer).map(|_| true),
    }
}

/// Of a list of all roles; `None` where the account may not have it.
pub(super) fn roles(answer: &NodeAnswer) -> Result<Option<HashSet<String>>, CallFailure> {
    if answer.status == StatusCode::FORBIDDEN {
        return Ok(None);
    }
    let roles: Map<String, Value> = ok(answer)?;
    Ok(Some(roles.into_iter().map(|(name, _)| name).collect()))
}

/// What became of a patch that a node has answered.
#[derive(Debug, PartialEq)]
pub(super) enum Patched {
    Done,
    /// Somebody else has written at the same time. Nothing was done.
    Conflict(CallFailure),
    /// Something in it cannot be written. Nothing was done.
    Refused(CallFailure, Culprit),
}

/// What a patch was refused for.
#[derive(Debug, PartialEq)]
pub(super) enum Culprit {
    User(String),
    Role(String),
    Unknown,
}

/// Of a patch with these entries.
pub(super) fn patched(answer: &NodeAnswer, entries: &[&Entry]) -> Result<Patched, CallFailure> {
    match answer.status.as_u16() {
        409 => Ok(Patched::Conflict(unexpected_status(answer))),
        400 | 403 | 404 | 413 => match culprit(answer, entries) {
            Some((failure, culprit)) => Ok(Patched::Refused(failure, culprit)),
            // The account's own rights, most likely.
            None if answer.status == StatusCode::FORBIDDEN => Err(unexpected_status(answer)),
            None => Ok(Patched::Refused(
                unexpected_status(answer),
                Culprit::Unknown,
            )),
        },
        _ => {
            let Said { status, .. } = ok(answer)?;
            if status == "OK" {
                Ok(Patched::Done)
            } else {
                Err(CallFailure::Unexpected)
            }
        }
    }
}

fn culprit(answer: &NodeAnswer, entries: &[&Entry]) -> Option<(CallFailure, Culprit)> {
    let Said { message, .. } = parsed(answer)?;
    let reserved = |name: &str| message == format!("Resource '{name}' is reserved.");
    let hidden = |name: &str| message == format!("Resource '{name}' is not available.");
    for entry in entries {
        let name = entry.name.as_str();
        for role in &entry.roles {
            let failure = if message == format!("role '{role}' not found.") || hidden(role) {
                CallFailure::RoleMissing(role.as_str().into())
            } else if reserved(role) {
                CallFailure::RoleReserved(role.as_str().into())
            } else {
                continue;
            };
            return Some((failure, Culprit::Role(role.clone())));
        }
        if reserved(name) || hidden(name) {
            return Some((CallFailure::UserReserved, Culprit::User(name.to_owned())));
        }
    }
    None
}

/// What a status means that the call does not expect.
pub(super) fn unexpected_status(answer: &NodeAnswer) -> CallFailure {
    answer::unexpected_status(answer, Diagnosis::of_opensearch)
}

/// The plugin's own word, not a gateway's 404 page: a user who is taken to be absent is written
/// over, locked or not.
fn is_not_found(answer: &NodeAnswer) -> bool {
    answer.status == StatusCode::NOT_FOUND
        && parsed::<Said>(answer).is_some_and(|said| said.status == "NOT_FOUND")
}

pub(super) fn ok<'a, T: Deserialize<'a>>(answer: &'a NodeAnswer) -> Result<T, CallFailure> {
    serde_json::from_slice(ok_body(answer)?).map_err(|error| unusable(&error))
}

pub(super) fn ok_body(answer: &NodeAnswer) -> Result<&[u8], CallFailure> {
    answer::ok_body(answer, Diagnosis::of_opensearch)
}

/// The plugin's own answers.
#[derive(Deserialize)]
struct Said {
    status: String,
    message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{error::StatusMeaning, security::types::Marker};

    fn answer(status: u16, body: &str) -> NodeAnswer {
        NodeAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Ok(bytes::Bytes::copy_from_slice(body.as_bytes())),
        }
    }

    fn status_of<T: std::fmt::Debug>(result: Result<T, CallFailure>) -> (u16, StatusMeaning) {
        let CallFailure::Status {
            status, meaning, ..
        } = result.unwrap_err()
        else {
            panic!("no unexpected status")
        };
        (status.as_u16(), meaning)
    }

    /// As a real 2.19.4 shows it.
    const JOE_IS: &str = r#"{"user":"User [name=joe, backend_roles=[], requestedTenant=null]","user_name":"joe","user_requested_tenant":null,"remote_address":"127.0.0.1:33024","backend_roles":[],"custom_attribute_names":["attr.internal.elastauth_fingerprint_f"],"roles":["own_index","viewer"],"tenants":{"joe":true},"principal":null,"peer_certificates":"0","sso_logout_url":null}"#;

    #[test]
    fn a_login_shows_an_entry_by_its_fingerprint_and_roles() {
        let login = login(&answer(200, JOE_IS)).unwrap().unwrap();
        let account = |fingerprint: Option<&str>, roles: &[&str]| Account {
            name: "joe".to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            full_name: None,
            email: None,
            groups: Vec::new(),
            enabled: true,
            origin: Origin::Elastauth(Marker {
                fingerprint: fingerprint.map(str::to_owned),
                ..Marker::default()
            }),
        };
        let shows = |fingerprint: Option<&str>, roles: &[&str]| {
            let account = account(fingerprint, roles);
            (
                login.shows_fingerprint(&account),
                login.shows_roles(&account),
            )
        };
        assert_eq!(shows(Some("f"), &["viewer"]), (true, true));
        assert_eq!(shows(Some("f"), &[]), (true, true));
        assert_eq!(shows(Some("f"), &["editor"]), (true, false));
        assert_eq!(
            shows(Some("g"), &["viewer"]),
            (false, true),
            "an earlier one"
        );
        assert_eq!(shows(None, &["viewer"]), (false, true), "none to show");
        let theirs = Account {
            origin: Origin::Other,
            ..account(None, &["viewer"])
        };
        assert!(!login.shows_fingerprint(&theirs), "somebody else's entry");
    }

    #[test]
    fn a_login_is_refused_by_401_and_by_nothing_else() {
        assert_eq!(login(&answer(401, "Unauthorized")), Ok(None));
        for status in [400, 403, 404, 500, 503] {
            assert_eq!(status_of(login(&answer(status, ""))).0, status);
        }
        assert_eq!(
            status_of(accepted(&answer(401, "Unauthorized"))),
            (401, StatusMeaning::CredentialRefused)
        );
    }

    #[test]
    fn without_its_security_index_a_cluster_is_down_and_refuses_nobody() {
        let down = answer(503, "OpenSearch Security not initialized.");
        for (status, meaning) in [status_of(login(&down)), status_of(accepted(&down))] {
            assert_eq!((status, meaning), (503, StatusMeaning::Unavailable));
        }
    }

    #[test]
    fn only_the_plugins_own_404_means_that_the_user_is_absent() {
        let joe = Username::parse("joe").unwrap();
        let read = |status, body| user(&answer(status, body), &joe);
        let absent = r#"{"status":"NOT_FOUND","message":"user 'joe' not found."}"#;
        assert_eq!(read(404, absent), Ok(None));
        for page in ["", "{}", "<html></html>", r#"{"status":404}"#] {
            assert_eq!(status_of(read(404, page)).0, 404, "{page}");
        }
        assert_eq!(read(200, "{}"), Err(CallFailure::Unexpected));
        let reserved = r#"{"joe":{"hash":"","reserved":true,"hidden":false,"backend_roles":[],"attributes":{},"opendistro_security_roles":[],"static":false}}"#;
        let stored = read(200, reserved).unwrap().unwrap();
        assert_eq!(stored.account.origin, Origin::BuiltIn);
    }

    #[test]
    fn a_refusal_of_a_patch_names_what_was_sent_and_nothing_else() {
        let entry = |name: &str, role: &str| {
            let mut entry = Entry::removal(name);
            entry.roles = vec![role.to_owned()];
            entry
        };
        let (joe, ann) = (entry("joe", "viewer"), entry("ann", "nope"));
        let said = |status: u16, word: &str, message: &str| {
            let body = serde_json::json!({ "status": word, "message": message }).to_string();
            patched(&answer(status, &body), &[&joe, &ann])
        };
        let refused = |failure, culprit| Ok(Patched::Refused(failure, culprit));
        let role = |name: &str| Culprit::Role(name.to_owned());
        let user = |name: &str| Culprit::User(name.to_owned());
        assert_eq!(said(200, "OK", "Resource updated."), Ok(Patched::Done));
        assert_eq!(said(200, "OK", "No updates required"), Ok(Patched::Done));
        assert!(said(200, "CREATED", "x").is_err());
        assert_eq!(
            said(404, "NOT_FOUND", "role 'nope' not found."),
            refused(CallFailure::RoleMissing("nope".into()), role("nope"))
        );
        assert_eq!(
            said(403, "FORBIDDEN", "Resource 'viewer' is reserved."),
            refused(CallFailure::RoleReserved("viewer".into()), role("viewer"))
        );
        for (status, word, message) in [
            (403, "FORBIDDEN", "Resource 'ann' is reserved."),
            (404, "NOT_FOUND", "Resource 'ann' is not available."),
        ] {
            let expected = refused(CallFailure::UserReserved, user("ann"));
            assert_eq!(said(status, word, message), expected);
        }
        let unknown = said(404, "NOT_FOUND", "role 'other' not found.");
        assert!(matches!(
            unknown,
            Ok(Patched::Refused(
                CallFailure::Status { .. },
                Culprit::Unknown
            ))
        ));
        let rights = "No permission to access REST API: User svc with Security roles [] does not";
        assert_eq!(
            status_of(said(403, "FORBIDDEN", rights)),
            (403, StatusMeaning::CredentialRefused)
        );
        let conflict = said(409, "CONFLICT", "[internalusers]: version conflict");
        assert!(matches!(conflict, Ok(Patched::Conflict(_))));
        assert_eq!(
            status_of(said(500, "INTERNAL_SERVER_ERROR", "x")),
            (500, StatusMeaning::Unclear)
        );
    }
}
