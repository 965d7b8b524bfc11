//! What `PUT /_security/user/{name}` makes of its body: which field is refused with which
//! `error.type`.
//!
//! The order is that of a real cluster. While the body is read: types, unknown fields, the length
//! of the password, the form of the hash. Before it is asked whether the caller may: missing roles,
//! metadata keys. After that: names.

use super::{answer::ApiAnswer, users::Hash, version::Version};
use http::{HeaderMap, StatusCode, header};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A body that can be parsed. What is `None` or empty was absent.
#[derive(Default)]
pub(super) struct PutUser {
    pub(super) hash: Option<Hash>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) full_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) metadata: Map<String, Value>,
    /// A body that does not say switches the user on, even one that an administrator has switched
    /// off.
    pub(super) enabled: bool,
}

impl PutUser {
    /// The first phase, and the second: what the request says about itself.
    pub(super) fn parse(name: &str, body: &[u8], version: Version) -> Result<Self, ApiAnswer> {
        let mut put = Self {
            enabled: true,
            ..Self::default()
        };
        for (field, value) in fields(body)? {
            let wrong = || {
                ApiAnswer::bad(
                    "parse_exception",
                    &format!("expected field [{field}] to be of another type"),
                )
            };
            match (field.as_str(), value) {
                ("username", Value::String(text)) if text == name => {}
                ("username", Value::String(_)) => {
                    return Err(ApiAnswer::bad(
                        "illegal_argument_exception",
                        "the username in the source does not match the one of the path",
                    ));
                }
                ("password" | "password_hash", Value::String(text)) => {
                    // A malformed hash is reported before a second one.
                    let hash = if field == "password_hash" {
                        // Before 8.7 only the cluster's own algorithm would do, which is bcrypt.
                        let hash = Hash::parse(&text).filter(|_| version > Version::V7_17);
                        hash.ok_or_else(|| {
                            ApiAnswer::bad("illegal_argument_exception", UNKNOWN_HASH)
                        })?
                    } else if text.encode_utf16().count() < 6 {
                        return Err(invalid("passwords must be at least [6] characters long"));
                    } else {
                        Hash::of_password(&text)
                    };
                    if put.hash.replace(hash).is_some() {
                        return Err(invalid(&format!("{field} has already been set")));
                    }
                }
                ("roles", Value::String(text)) => {
                    put.roles = Some(text.split(',').map(|role| role.trim().to_owned()).collect());
                }
                ("roles", Value::Array(items)) => {
                    let roles: Option<Vec<String>> = items
                        .into_iter()
                        .map(|item| item.as_str().map(str::to_owned))
                        .collect();
                    put.roles = Some(roles.ok_or_else(wrong)?);
                }
                ("full_name", Value::String(text)) => put.full_name = Some(text),
                ("email", Value::String(text)) => put.email = Some(text),
                ("full_name" | "email", Value::Null) => {}
                ("metadata", Value::Object(map)) => put.metadata = map,
                ("enabled", Value::Bool(enabled)) => put.enabled = enabled,
                (
                    "username" | "password" | "password_hash" | "roles" | "full_name" | "email"
                    | "metadata" | "enabled",
                    _,
                ) => {
                    return Err(wrong());
                }
                _ => {
                    let reason =
                        format!("failed to parse add user request. unexpected field [{field}]");
                    return Err(ApiAnswer::bad("parse_exception", &reason));
                }
            }
        }
        let private = put.metadata.keys().any(|key| key.starts_with('_'));
        valid(&[
            (put.roles.is_some(), "roles are missing"),
            (!private, "metadata keys may not start with [_]"),
        ])?;
        Ok(put)
    }

    /// The third phase, for callers that may write: names of users and roles.
    pub(super) fn check_names(&self, name: &str) -> Result<(), ApiAnswer> {
        let reserved = format!("user [{name}] is reserved and only the password can be changed");
        valid(&[(!RESERVED.contains(&name), &reserved)])?;
        let rule = |whose| {
            format!(
                "{whose} names must be at least 1 and no more than 507 printable ASCII \
                 characters without outer white space."
            )
        };
        let mut roles = self.roles.iter().flatten();
        valid(&[
            (is_name(name), &rule("User")),
            (roles.all(|role| is_name(role)), &rule("Role")),
        ])
    }
}

/// A body is JSON, and says so.
pub(super) fn check_content_type(headers: &HeaderMap, body: &[u8]) -> Result<(), ApiAnswer> {
    let content_type = headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if body.is_empty()
        || kind == "application/json"
        || kind.starts_with("application/vnd.elasticsearch+json")
    {
        return Ok(());
    }
    Err(ApiAnswer::bare(
        StatusCode::NOT_ACCEPTABLE,
        &format!("Content-Type header [{content_type}] is not supported"),
    ))
}

/// Names that only the cluster itself writes.
pub(super) const RESERVED: [&str; 7] = [
    "elastic",
    "kibana",
    "kibana_system",
    "logstash_system",
    "beats_system",
    "apm_system",
    "remote_monitoring_user",
];

const UNKNOWN_HASH: &str = "The provided password hash could not be resolved to a known hash \
                            algorithm. The supported password hash algorithms are \
                            [pbkdf2, pbkdf2_1000, bcrypt]";

fn is_name(text: &str) -> bool {
    (1..=507).contains(&text.len())
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && text.trim() == text
}

/// 400 of the store, with the one fault that it names.
pub(super) fn invalid(fault: &str) -> ApiAnswer {
    let reason = format!("Validation Failed: 1: {fault};");
    ApiAnswer::bad("validation_exception", &reason)
}

/// Refuses a request that breaks rules: the faults are numbered, each closed with a semicolon.
fn valid(rules: &[(bool, &str)]) -> Result<(), ApiAnswer> {
    let broken = rules.iter().filter(|(kept, _)| !kept).enumerate();
    let faults = broken.map(|(at, (_, fault))| format!(" {}: {fault};", at + 1));
    let faults: String = faults.collect();
    if faults.is_empty() {
        return Ok(());
    }
    Err(ApiAnswer::bad(
        "action_request_validation_exception",
        &format!("Validation Failed:{faults}"),
    ))
}

pub(super) fn required() -> ApiAnswer {
    ApiAnswer::bad("parse_exception", "request body is required")
}

/// The fields in their order. What follows the object is ignored, as a real cluster does.
///
/// The refusals quote the body, password included, because the real ones do: whoever logs a
/// `reason` logs a password.
pub(super) fn fields(body: &[u8]) -> Result<Vec<(String, Value)>, ApiAnswer> {
    if body.is_empty() {
        return Err(required());
    }
    let quoted = String::from_utf8_lossy(body);
    serde_json::Deserializer::from_slice(body)
        .deserialize_any(InOrder)
        .map_err(|error| {
            let (error_type, reason) = if error.is_eof() {
                (
                    "x_content_e_o_f_exception",
                    &*format!("Unexpected end-of-input in [{quoted}]"),
                )
            } else if error.is_data() && !error.to_string().starts_with(DUPLICATE) {
                ("parse_exception", "expected an object")
            } else {
                (
                    "x_content_parse_exception",
                    &*format!("could not parse [{quoted}]"),
                )
            };
            ApiAnswer::bad(error_type, reason)
        })
}

const DUPLICATE: &str = "duplicate field";

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Vec<(String, Value)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields: Vec<(String, Value)> = Vec::new();
        while let Some((field, value)) = map.next_entry::<String, Value>()? {
            if fields.iter().any(|(known, _)| *known == field) {
                return Err(serde::de::Error::custom(DUPLICATE));
            }
            fields.push((field, value));
        }
        Ok(fields)
    }
}
