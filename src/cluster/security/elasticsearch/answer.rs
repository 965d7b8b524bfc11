//! What Elasticsearch's answers mean.

use super::document::User;
use crate::{
    cluster::{
        diagnosis::Diagnosis,
        error::CallFailure,
        pool::NodeAnswer,
        security::{
            answer,
            body::{error_type, parsed, version_number},
            types::{StoredAccount, Whoami},
        },
    },
    model::Username,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};

/// The two actions that the service account needs, by the names that a role can grant.
pub(super) const PRIVILEGES: [&str; 2] = [
    "cluster:admin/xpack/security/user/get",
    "cluster:admin/xpack/security/user/put",
];

/// What only `check --online` uses, where the account has it.
pub(super) const DELETE_USERS: &str = "cluster:admin/xpack/security/user/delete";

/// Of `_authenticate` with somebody's credential.
pub(super) fn whoami(answer: &NodeAnswer) -> Result<Whoami, CallFailure> {
    if answer.status == StatusCode::UNAUTHORIZED {
        return Ok(Whoami::Refused);
    }
    let Authenticated {
        user,
        authentication_realm,
    } = ok(answer)?;
    // The realm's type, not its name: users of the security API are all native.
    if authentication_realm.kind != "native" {
        return Ok(Whoami::Other);
    }
    // A login that has just worked is enabled, whether the answer has it or not.
    let enabled = user.enabled.unwrap_or(true);
    Ok(Whoami::User(Box::new(user.stored(enabled))))
}

/// Of `_authenticate` with the service account.
pub(super) fn accepted(answer: &NodeAnswer) -> Result<(), CallFailure> {
    ok::<Authenticated>(answer).map(drop)
}

/// Of `_has_privileges`, for [`PRIVILEGES`].
pub(super) fn missing_privileges(answer: &NodeAnswer) -> Result<Vec<&'static str>, CallFailure> {
    let granted: HasPrivileges = ok(answer)?;
    let lacks = |action: &&str| granted.cluster.get(*action) != Some(&true);
    Ok(PRIVILEGES.into_iter().filter(lacks).collect())
}

/// Of `_has_privileges`, for [`DELETE_USERS`].
pub(super) fn may_delete_users(answer: &NodeAnswer) -> Result<bool, CallFailure> {
    let granted: HasPrivileges = ok(answer)?;
    Ok(granted.cluster.get(DELETE_USERS) == Some(&true))
}

/// Of a deletion: whether the user was there.
pub(super) fn deleted(answer: &NodeAnswer) -> Result<bool, CallFailure> {
    if answer.status == StatusCode::NOT_FOUND {
        return Ok(false);
    }
    let answer: Map<String, Value> = ok(answer)?;
    Ok(answer.get("found") != Some(&Value::Bool(false)))
}

/// Of `_enable` and `_disable`. A user who does not exist is a 400 of this type there.
pub(super) fn switched(answer: &NodeAnswer) -> Result<bool, CallFailure> {
    let absent = answer.status == StatusCode::BAD_REQUEST
        && error_type(answer).as_deref() == Some("validation_exception");
    if absent {
        return Ok(false);
    }
    ok::<Map<String, Value>>(answer).map(|_| true)
}

/// Of a list of all roles; `None` where the account may not have it.
pub(super) fn roles(answer: &NodeAnswer) -> Result<Option<HashSet<String>>, CallFailure> {
    if answer.status == StatusCode::FORBIDDEN {
        return Ok(None);
    }
    let roles: Map<String, Value> = ok(answer)?;
    Ok(Some(roles.into_iter().map(|(name, _)| name).collect()))
}

/// Of `GET /`; `None` where the account may not see it, which the least privileged one may not.
pub(super) fn version(answer: &NodeAnswer) -> Result<Option<String>, CallFailure> {
    if answer.status == StatusCode::FORBIDDEN {
        return Ok(None);
    }
    let Greeting { version } = ok(answer)?;
    version_number(version.number)
        .map(Some)
        .ok_or(CallFailure::Unexpected)
}

/// Of a read of the one user `name`.
pub(super) fn user(
    answer: &NodeAnswer,
    name: &Username,
) -> Result<Option<StoredAccount>, CallFailure> {
    if answer.status == StatusCode::NOT_FOUND && is_empty_object(answer) {
        return Ok(None);
    }
    let mut users: HashMap<String, User> = ok(answer)?;
    let user = users
        .remove(name.as_str())
        .filter(|user| user.username == name.as_str())
        .ok_or(CallFailure::Unexpected)?;
    // Only this field tells it: without it an administrator's switch could be overlooked.
    let enabled = user.enabled.ok_or(CallFailure::Unexpected)?;
    Ok(Some(user.stored(enabled)))
}

/// Of a write. Whether the user existed before makes no difference.
pub(super) fn written(answer: &NodeAnswer) -> Result<(), CallFailure> {
    ok::<Written>(answer).map(drop)
}

/// The cluster reports "absent" with an empty object. A gateway's own 404 page must not be taken
/// for it: the user would then be written over, disabled or not.
fn is_empty_object(answer: &NodeAnswer) -> bool {
    parsed::<Map<String, Value>>(answer).is_some_and(|object| object.is_empty())
}

/// What a status means that the call does not expect.
pub(super) fn unexpected_status(answer: &NodeAnswer) -> CallFailure {
    answer::unexpected_status(answer, Diagnosis::of_answer)
}

pub(super) fn ok<'a, T: Deserialize<'a>>(answer: &'a NodeAnswer) -> Result<T, CallFailure> {
    let body = answer::ok_body(answer, Diagnosis::of_answer)?;
    serde_json::from_slice(body).map_err(|error| answer::unusable(&error))
}

#[derive(Deserialize)]
struct Authenticated {
    #[serde(flatten)]
    user: User,
    authentication_realm: Realm,
}

#[derive(Deserialize)]
struct Realm {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct HasPrivileges {
    cluster: HashMap<String, bool>,
}

#[derive(Deserialize)]
struct Greeting {
    version: Version,
}

#[derive(Deserialize)]
struct Version {
    number: String,
}

#[derive(Deserialize)]
struct Written {
    #[expect(dead_code, reason = "only a real answer has it, and as a bool")]
    created: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::client::HttpError;
    use crate::{cluster::error::CallError, telemetry::metrics::Call};

    fn answer(status: u16, body: &str) -> NodeAnswer {
        NodeAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: Ok(bytes::Bytes::copy_from_slice(body.as_bytes())),
        }
    }

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    /// The `error.type` of a status that the call does not expect.
    fn of_status<T: std::fmt::Debug>(result: Result<T, CallFailure>) -> Option<String> {
        let CallFailure::Status { error_type, .. } = result.unwrap_err() else {
            panic!("no unexpected status")
        };
        error_type.map(String::from)
    }

    #[test]
    fn a_login_is_a_user_of_the_security_api_only_by_the_type_of_its_realm() {
        let login = |realm: &str| {
            let body = format!(
                r#"{{"username":"joe","roles":["viewer","viewer"],"full_name":null,"email":null,"metadata":{{}},"enabled":true,
                "authentication_realm":{{"name":"native","type":"{realm}"}},"lookup_realm":{{"name":"x","type":"file"}},"authentication_type":"realm"}}"#
            );
            answer(200, &body)
        };
        let Ok(Whoami::User(stored)) = whoami(&login("native")) else {
            panic!()
        };
        let account = stored.account;
        assert_eq!(
            (account.name.as_str(), account.roles.len(), account.enabled),
            ("joe", 2, true)
        );
        assert_eq!(whoami(&login("file")), Ok(Whoami::Other));
        assert_eq!(whoami(&answer(401, "Unauthorized")), Ok(Whoami::Refused));
        assert_eq!(of_status(whoami(&answer(403, "{}"))), None);
    }

    #[test]
    fn what_may_be_missing_of_a_user_and_what_may_not() {
        let bare = r#""username":"joe","roles":[]"#;
        let login = answer(
            200,
            &format!(r#"{{{bare},"authentication_realm":{{"type":"native"}}}}"#),
        );
        let Ok(Whoami::User(stored)) = whoami(&login) else {
            panic!()
        };
        let account = stored.account;
        assert!(account.enabled && account.full_name.is_none());

        let read = |fields: &str| {
            user(
                &answer(200, &format!(r#"{{"joe":{{{fields}}}}}"#)),
                &name("joe"),
            )
        };
        let unexpected = Err(CallFailure::Unexpected);
        assert_eq!(read(bare), unexpected);
        let stored = read(&format!(r#"{bare},"enabled":false,"metadata":null"#))
            .unwrap()
            .unwrap();
        assert!(!stored.account.enabled);
        assert_eq!(stored.document["metadata"], serde_json::json!({}));
        assert_eq!(
            read(r#""username":"joe","enabled":true"#),
            unexpected,
            "a user of unknown roles"
        );
        assert_eq!(
            read(r#""username":"ann","roles":[],"enabled":true"#),
            unexpected,
            "another's document"
        );
    }

    #[test]
    fn only_the_clusters_own_404_means_that_the_user_is_absent() {
        assert_eq!(user(&answer(404, "{}"), &name("joe")), Ok(None));
        for page in [
            "",
            "default backend - 404",
            "<html></html>",
            r#"{"error":"no such route"}"#,
        ] {
            let read = user(&answer(404, page), &name("joe"));
            assert_eq!(of_status(read), None, "{page}");
        }
        assert_eq!(
            user(&answer(200, "{}"), &name("joe")),
            Err(CallFailure::Unexpected)
        );
    }

    #[test]
    fn a_write_has_succeeded_only_if_the_answer_reports_it() {
        let written = |status, body| written(&answer(status, body));
        let (not_json, unexpected) = (Err(CallFailure::NotJson), Err(CallFailure::Unexpected));
        assert_eq!(written(200, r#"{"created":true}"#), Ok(()));
        assert_eq!(written(200, r#"{"created":false}"#), Ok(()));
        assert_eq!(written(200, r#"{"created":"#), not_json);
        assert_eq!(written(200, "<html>log in</html>"), not_json);
        assert_eq!(written(200, ""), not_json);
        assert_eq!(written(200, r#"{"created":"yes"}"#), unexpected);
        assert_eq!(of_status(written(201, r#"{"created":true}"#)), None);
    }

    #[test]
    fn an_error_is_known_by_its_type_alone() {
        let error_type = |body: &str| of_status(written(&answer(400, body)));
        let body = r#"{"error":{"root_cause":[],"type":"parse_exception","reason":"got [open sesame]"},"status":400}"#;
        assert_eq!(error_type(body).as_deref(), Some("parse_exception"));
        for odd in [
            r#"{"error":"a string"}"#,
            "{}",
            "<html>",
            "",
            r#"{"error":{"type":7}}"#,
            r#"{"error":{"type":"open sesame"}}"#,
        ] {
            assert_eq!(error_type(odd), None, "{odd}");
        }
    }

    #[test]
    fn only_a_refused_or_unsent_write_is_known_not_to_be_applied() {
        let may_take_effect = |why| {
            let (call, node) = (Call::WriteUser, "http://es:9200".into());
            CallError { call, node, why }.may_take_effect()
        };
        for (why, expected) in [
            (CallFailure::Busy, false),
            (HttpError::ConnectTimeout.into(), false),
            (HttpError::TimedOut.into(), true),
            (CallFailure::NotJson, true),
        ] {
            assert_eq!(may_take_effect(why.clone()), expected, "{why:?}");
        }
        for (code, error_type, expected) in [
            (400, "validation_exception", false),
            (403, "", false),
            (429, "es_rejected_execution_exception", false),
            (429, "process_cluster_event_timeout_exception", true),
            (408, "", true),
            (302, "", true),
            (500, "exception", true),
            (503, "unavailable_shards_exception", true),
        ] {
            let body = format!(r#"{{"error":{{"type":"{error_type}"}}}}"#);
            let why = unexpected_status(&answer(code, &body));
            assert_eq!(may_take_effect(why), expected, "{code}");
        }
    }
}
