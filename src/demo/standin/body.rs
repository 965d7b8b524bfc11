//! What `PUT /_security/user/{name}` makes of its body: which field is refused with which
//! `error.type`.
//!
//! The order is that of a real cluster. While the body is read: types, unknown fields, the length
//! of the password, the form of the hash. Before it is asked whether the caller may: missing roles,
//! metadata keys. After that: names.

use super::{answer::Answer, users::Hash};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt;

/// A body that can be parsed. What is `None` was absent.
#[derive(Debug)]
pub(super) struct PutUser {
    pub(super) hash: Option<Hash>,
    pub(super) roles: Option<Vec<String>>,
    pub(super) full_name: Option<String>,
    pub(super) email: Option<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    /// A body that does not say switches the user on, even one that an administrator has switched
    /// off.
    pub(super) enabled: bool,
}

impl PutUser {
    /// The first phase.
    pub(super) fn parse(name: &str, body: &[u8]) -> Result<Self, Answer> {
        let mut put = Self {
            hash: None,
            roles: None,
            full_name: None,
            email: None,
            metadata: None,
            enabled: true,
        };
        for (field, value) in fields(body)? {
            let wrong = || {
                Answer::bad(
                    "parse_exception",
                    &format!("expected field [{field}] to be of another type"),
                )
            };
            match (field.as_str(), value) {
                ("username", Value::String(text)) if text == name => {}
                ("username", Value::String(_)) => {
                    return Err(Answer::bad(
                        "illegal_argument_exception",
                        "the username in the source does not match the one of the path",
                    ));
                }
                ("password", Value::String(text)) => put.set_hash("password", || {
                    let long = text.chars().map(char::len_utf16).sum::<usize>() >= 6;
                    long.then(|| Hash::of_password(&text))
                        .ok_or_else(|| invalid(&["passwords must be at least [6] characters long"]))
                })?,
                ("password_hash", Value::String(text)) => put.set_hash("password_hash", || {
                    Hash::parse(&text)
                        .ok_or_else(|| Answer::bad("illegal_argument_exception", UNKNOWN_HASH))
                })?,
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
                ("metadata", Value::Object(map)) => put.metadata = Some(map),
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
                    return Err(Answer::bad("parse_exception", &reason));
                }
            }
        }
        Ok(put)
    }

    fn set_hash(
        &mut self,
        field: &str,
        make: impl FnOnce() -> Result<Hash, Answer>,
    ) -> Result<(), Answer> {
        // A malformed hash is told before a second one.
        let hash = make()?;
        if self.hash.replace(hash).is_some() {
            return Err(invalid(&[&format!("{field} has already been set")]));
        }
        Ok(())
    }

    /// The second phase: what the request says about itself.
    pub(super) fn check(&self) -> Result<(), Answer> {
        let mut faults = Vec::new();
        if self.roles.is_none() {
            faults.push("roles are missing");
        }
        if self
            .metadata
            .iter()
            .flat_map(Map::keys)
            .any(|key| key.starts_with('_'))
        {
            faults.push("metadata keys may not start with [_]");
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(invalid_request(&faults))
        }
    }

    /// The third phase, for callers that may write: names of users and roles.
    pub(super) fn check_names(&self, name: &str) -> Result<(), Answer> {
        if RESERVED.contains(&name) {
            return Err(invalid_request(&[&format!(
                "user [{name}] is reserved and only the password can be changed"
            )]));
        }
        let mut faults = Vec::new();
        if !is_name(name) {
            faults.push("User names must be at least 1 and no more than 507 printable ASCII characters without outer white space.");
        }
        if self.roles.iter().flatten().any(|role| !is_name(role)) {
            faults.push("Role names must be at least 1 and no more than 507 printable ASCII characters without outer white space.");
        }
        if faults.is_empty() {
            Ok(())
        } else {
            Err(invalid_request(&faults))
        }
    }
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

const UNKNOWN_HASH: &str = "The provided password hash could not be resolved to a known hash algorithm. The supported password hash \
                            algorithms are [pbkdf2, pbkdf2_1000, bcrypt]";

fn is_name(text: &str) -> bool {
    (1..=507).contains(&text.len())
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && text.trim() == text
}

/// 400 of the store: numbered, each closed with a semicolon.
pub(super) fn invalid(faults: &[&str]) -> Answer {
    Answer::bad("validation_exception", &numbered(faults))
}

fn invalid_request(faults: &[&str]) -> Answer {
    Answer::bad("action_request_validation_exception", &numbered(faults))
}

fn numbered(faults: &[&str]) -> String {
    let list = faults
        .iter()
        .enumerate()
        .map(|(at, fault)| format!(" {}: {fault};", at + 1));
    format!("Validation Failed:{}", list.collect::<String>())
}

/// The fields in their order. What follows the object is ignored, as a real cluster does.
///
/// The refusals quote the body, password included, because the real ones do: whoever logs a
/// `reason` logs a password.
pub(super) fn fields(body: &[u8]) -> Result<Vec<(String, Value)>, Answer> {
    if body.is_empty() {
        return Err(Answer::bad("parse_exception", "request body is required"));
    }
    let quoted = String::from_utf8_lossy(body);
    serde_json::Deserializer::from_slice(body)
        .deserialize_any(Fields)
        .map_err(|error| {
            if error.is_eof() {
                Answer::bad(
                    "x_content_e_o_f_exception",
                    &format!("Unexpected end-of-input in [{quoted}]"),
                )
            } else if error.is_data() && !error.to_string().starts_with(DUPLICATE) {
                Answer::bad("parse_exception", "expected an object")
            } else {
                Answer::bad(
                    "x_content_parse_exception",
                    &format!("could not parse [{quoted}]"),
                )
            }
        })
}

const DUPLICATE: &str = "duplicate field";

struct Fields;

impl<'de> Visitor<'de> for Fields {
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
