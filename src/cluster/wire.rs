//! The security API's documents: what is sent, and how what comes back is understood.

use super::error::Loss;
use crate::model::Username;
use http::StatusCode;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct as _};
use serde_json::{Map, Value};
use std::fmt;

/// A user as the cluster tells it.
#[derive(Clone, PartialEq)]
pub struct User {
    /// Its name.
    pub username: String,
    /// The roles as they were written; Elasticsearch keeps unknown ones and duplicates.
    pub roles: Vec<String>,
    /// The full name, if one is set.
    pub full_name: Option<String>,
    /// The mail address, if one is set.
    pub email: Option<String>,
    /// Free data; empty where none is set.
    pub metadata: Map<String, Value>,
    /// Whether it may log in. `false` is an administrator's doing.
    pub enabled: bool,
}

/// Mail, full name and metadata are a person's, so they are not shown.
impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("username", &self.username)
            .field("roles", &self.roles)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Who the cluster takes the bearer of a credential for.
#[derive(Debug, Clone, PartialEq)]
pub enum Whoami {
    /// The credential is good.
    Is {
        /// Whose it is.
        user: User,
        /// The **type** of the realm that vouched for it: `native` for users of the security API.
        realm: String,
    },
    /// 401. Not proof of a wrong password: native users get it too while the cluster cannot read
    ///      its security index.
    Refused,
}

/// A whole user to write. Everything is always sent, for what is left out the cluster resets to its
/// default.
#[derive(Debug, Clone)]
pub struct NewUser<'a> {
    /// What it logs in with.
    pub password: Password<'a>,
    /// All its roles.
    pub roles: Vec<&'a str>,
    /// The full name.
    pub full_name: Option<&'a str>,
    /// The mail address.
    pub email: Option<&'a str>,
    /// Free data; Elasticsearch refuses top-level keys that begin with `_`.
    pub metadata: Map<String, Value>,
}

/// What a user logs in with.
#[derive(Clone, Copy)]
pub enum Password<'a> {
    /// The password itself.
    Clear(&'a str),
    /// A hash of it that the cluster is to keep as it is.
    Hash(&'a str),
}

impl fmt::Debug for Password<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear(***)",
            Self::Hash(_) => "Hash(***)",
        })
    }
}

impl Serialize for NewUser<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut user = serializer.serialize_struct("NewUser", 6)?;
        match self.password {
            Password::Clear(text) => user.serialize_field("password", text)?,
            Password::Hash(text) => user.serialize_field("password_hash", text)?,
        }
        user.serialize_field("roles", &self.roles)?;
        user.serialize_field("full_name", &self.full_name)?;
        user.serialize_field("email", &self.email)?;
        user.serialize_field("metadata", &self.metadata)?;
        // Left out it would mean the same today. It is said because it is meant: who writes a user
        // has looked whether it is disabled.
        user.serialize_field("enabled", &true)?;
        user.end()
    }
}

/// The two actions that the service account needs, by the names that a role can grant.
pub(super) const READ_USERS: &str = "cluster:admin/xpack/security/user/get";
pub(super) const WRITE_USERS: &str = "cluster:admin/xpack/security/user/put";

/// What the service account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privileges {
    /// Read users.
    pub read: bool,
    /// Write users.
    pub write: bool,
}

/// The path of one user. Every byte outside RFC 3986's unreserved set is escaped, so that a name is
/// one segment whatever it holds.
pub(super) fn user_path(name: &Username) -> String {
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    format!(
        "/_security/user/{}",
        utf8_percent_encode(name.as_str(), SEGMENT)
    )
}

/// The body of a write. Strings, string keys and JSON values always serialise; were it not so, an
/// empty body is refused by the cluster.
pub(super) fn body_of(user: &NewUser<'_>) -> Vec<u8> {
    serde_json::to_vec(user).unwrap_or_default()
}

/// An answer as it came: the status, and the body as far as it could be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Result<bytes::Bytes, Loss>,
}

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unfit {
    /// By its status.
    Status,
    /// Its status was right, its body was not.
    Lost(Loss),
}

impl Answer {
    /// Of `_authenticate` with somebody's credential.
    pub(super) fn whoami(&self) -> Result<Whoami, Unfit> {
        if self.status == StatusCode::UNAUTHORIZED {
            Ok(Whoami::Refused)
        } else {
            self.somebody()
        }
    }

    /// The same where a 401 is no answer yet.
    pub(super) fn somebody(&self) -> Result<Whoami, Unfit> {
        let told: Authenticated = self.ok()?;
        // A login that has just worked is enabled, whether the answer says so or not.
        let enabled = told.user.enabled.unwrap_or(true);
        Ok(Whoami::Is {
            user: told.user.with(enabled),
            realm: told.authentication_realm.kind,
        })
    }

    /// Of `_authenticate` with the service account.
    pub(super) fn accepted(&self) -> Result<(), Unfit> {
        let _somebody: Authenticated = self.ok()?;
        Ok(())
    }

    /// Of `_has_privileges`, for the actions that were asked for.
    pub(super) fn privileges(&self) -> Result<Privileges, Unfit> {
        let told: HasPrivileges = self.ok()?;
        let may = |action: &str| told.cluster.get(action).copied().unwrap_or(false);
        Ok(Privileges {
            read: may(READ_USERS),
            write: may(WRITE_USERS),
        })
    }

    /// Of `GET /`; nothing where the account may not see it, which the least privileged one may
    /// not.
    pub(super) fn version(&self) -> Result<Option<String>, Unfit> {
        if self.status == StatusCode::FORBIDDEN {
            return Ok(None);
        }
        let told: Greeting = self.ok()?;
        // Shown to a person: what does not look like a version is not repeated.
        let number = told.version.number;
        let fits = (1..=40).contains(&number.len())
            && number
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b));
        if fits {
            Ok(Some(number))
        } else {
            Err(Unfit::Lost(Loss::Unexpected))
        }
    }

    /// Of a read of the one user `name`.
    pub(super) fn user(&self, name: &Username) -> Result<Option<User>, Unfit> {
        if self.status == StatusCode::NOT_FOUND && self.says_absent() {
            return Ok(None);
        }
        let mut told: std::collections::HashMap<String, UserTold> = self.ok()?;
        let user = told
            .remove(name.as_str())
            .filter(|user| user.username == name.as_str())
            .ok_or(Unfit::Lost(Loss::Unexpected))?;
        // Here the answer is the only witness: without it an administrator's switch could be
        // overlooked.
        let enabled = user.enabled.ok_or(Unfit::Lost(Loss::Unexpected))?;
        Ok(Some(user.with(enabled)))
    }

    /// Of a write. Whether the user was there before makes no difference to anybody.
    pub(super) fn written(&self) -> Result<(), Unfit> {
        let Written { created: _ } = self.ok()?;
        Ok(())
    }

    /// `error.type`, where the body has one. `error` may also be a string or missing, and the body
    /// may be anything.
    pub(super) fn error_type(&self) -> Option<ErrorType> {
        let failed: Failed = serde_json::from_slice(self.body.as_ref().ok()?).ok()?;
        failed
            .error
            .get("type")?
            .as_str()
            .and_then(ErrorType::parse)
    }

    /// The cluster says "absent" with an empty object. A gateway's own 404 page must not be taken
    /// for it: the user would then be written over, disabled or not.
    fn says_absent(&self) -> bool {
        let body = self
            .body
            .as_ref()
            .ok()
            .and_then(|body| serde_json::from_slice::<Map<String, Value>>(body).ok());
        body.is_some_and(|told| told.is_empty())
    }

    fn ok<'a, T: Deserialize<'a>>(&'a self) -> Result<T, Unfit> {
        if self.status != StatusCode::OK {
            return Err(Unfit::Status);
        }
        let body = self.body.as_ref().map_err(|loss| Unfit::Lost(*loss))?;
        // What serde says about it quotes the body, so only its kind is kept.
        serde_json::from_slice(body).map_err(|error| {
            Unfit::Lost(if error.is_data() {
                Loss::Unexpected
            } else {
                Loss::NotJson
            })
        })
    }
}

/// The name of an exception in snake case. Anything else in its place is not ours to repeat.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ErrorType(Box<str>);

impl ErrorType {
    fn parse(text: &str) -> Option<Self> {
        let fits = (1..=100).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        fits.then(|| Self(text.into()))
    }

    pub(super) fn into_text(self) -> Box<str> {
        self.0
    }
}

/// A missing name or missing roles make the answer no answer. The rest may be null or absent.
#[derive(Deserialize)]
struct UserTold {
    username: String,
    roles: Vec<String>,
    full_name: Option<String>,
    email: Option<String>,
    metadata: Option<Map<String, Value>>,
    enabled: Option<bool>,
}

impl UserTold {
    fn with(self, enabled: bool) -> User {
        let Self {
            username,
            roles,
            full_name,
            email,
            metadata,
            enabled: _,
        } = self;
        User {
            username,
            roles,
            full_name,
            email,
            metadata: metadata.unwrap_or_default(),
            enabled,
        }
    }
}

#[derive(Deserialize)]
struct Authenticated {
    #[serde(flatten)]
    user: UserTold,
    authentication_realm: Realm,
}

#[derive(Deserialize)]
struct Realm {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct HasPrivileges {
    cluster: std::collections::HashMap<String, bool>,
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
    #[expect(
        dead_code,
        reason = "that it is there, and a bool, is what tells a real answer"
    )]
    created: bool,
}

#[derive(Deserialize)]
struct Failed {
    error: Value,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(status: u16, body: &str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: Ok(bytes::Bytes::copy_from_slice(body.as_bytes())),
        }
    }

    fn name(text: &str) -> Username {
        Username::parse(text).unwrap()
    }

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        for (text, segment) in [
            ("alice", "alice"),
            ("A-b.c_d~9", "A-b.c_d~9"),
            ("a/b", "a%2Fb"),
            ("%2e%2e", "%252e%252e"),
            ("a b", "a%20b"),
            ("x?refresh=true#y", "x%3Frefresh%3Dtrue%23y"),
            ("a;b@c+d", "a%3Bb%40c%2Bd"),
            ("...", "..."),
            (r#"*"\<>|{}^`"#, "%2A%22%5C%3C%3E%7C%7B%7D%5E%60"),
        ] {
            assert_eq!(user_path(&name(text)), format!("/_security/user/{segment}"));
        }
    }

    #[test]
    fn a_user_is_written_whole_and_enabled() {
        let metadata = json!({"elastauth": {"v": 1}}).as_object().cloned().unwrap();
        let mut user = NewUser {
            password: Password::Hash("{PBKDF2}1000$a$b"),
            roles: vec!["viewer"],
            full_name: None,
            email: Some("a@b.test"),
            metadata,
        };
        assert_eq!(
            serde_json::to_value(&user).unwrap(),
            json!({"password_hash": "{PBKDF2}1000$a$b", "roles": ["viewer"], "full_name": null, "email": "a@b.test",
                "metadata": {"elastauth": {"v": 1}}, "enabled": true})
        );
        user.password = Password::Clear("open sesame");
        let sent = serde_json::to_value(&user).unwrap();
        assert_eq!(
            (sent.get("password"), sent.get("password_hash")),
            (Some(&json!("open sesame")), None)
        );
        assert!(!format!("{user:?}").contains("sesame"));
    }

    #[test]
    fn a_login_tells_who_it_is_and_by_the_type_of_which_realm() {
        let told = r#"{"username":"joe","roles":["viewer","viewer"],"full_name":null,"email":null,"metadata":{},"enabled":true,
            "authentication_realm":{"name":"default_native","type":"native"},"lookup_realm":{"name":"x","type":"file"},"authentication_type":"realm"}"#;
        let Ok(Whoami::Is { user, realm }) = answer(200, told).whoami() else {
            panic!()
        };
        assert_eq!(
            (
                user.username.as_str(),
                user.roles.len(),
                user.enabled,
                realm.as_str()
            ),
            ("joe", 2, true, "native")
        );
        assert_eq!(answer(401, "Unauthorized").whoami(), Ok(Whoami::Refused));
        assert_eq!(answer(403, "{}").whoami(), Err(Unfit::Status));
    }

    #[test]
    fn what_may_be_missing_of_a_user_and_what_may_not() {
        let bare = r#""username":"joe","roles":[]"#;
        let whoami = |fields: &str| {
            answer(
                200,
                &format!(r#"{{{fields},"authentication_realm":{{"type":"native"}}}}"#),
            )
            .whoami()
        };
        assert!(matches!(
            whoami(bare),
            Ok(Whoami::Is {
                user: User {
                    enabled: true,
                    full_name: None,
                    ..
                },
                ..
            })
        ));

        let read =
            |fields: &str| answer(200, &format!(r#"{{"joe":{{{fields}}}}}"#)).user(&name("joe"));
        let unexpected = Err(Unfit::Lost(Loss::Unexpected));
        assert_eq!(read(bare), unexpected);
        let user = read(&format!(r#"{bare},"enabled":false,"metadata":null"#))
            .unwrap()
            .unwrap();
        assert!(!user.enabled && user.metadata.is_empty());
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
        assert_eq!(answer(404, "{}").user(&name("joe")), Ok(None));
        for page in [
            "",
            "default backend - 404",
            "<html></html>",
            r#"{"error":"no such route"}"#,
        ] {
            assert_eq!(
                answer(404, page).user(&name("joe")),
                Err(Unfit::Status),
                "{page}"
            );
        }
        assert_eq!(
            answer(200, "{}").user(&name("joe")),
            Err(Unfit::Lost(Loss::Unexpected))
        );
    }

    #[test]
    fn a_write_is_done_when_the_answer_says_so_in_its_own_words() {
        assert_eq!(answer(200, r#"{"created":true}"#).written(), Ok(()));
        assert_eq!(answer(200, r#"{"created":false}"#).written(), Ok(()));
        assert_eq!(
            answer(200, r#"{"created":"#).written(),
            Err(Unfit::Lost(Loss::NotJson))
        );
        assert_eq!(
            answer(200, "<html>log in</html>").written(),
            Err(Unfit::Lost(Loss::NotJson))
        );
        assert_eq!(answer(200, "").written(), Err(Unfit::Lost(Loss::NotJson)));
        assert_eq!(
            answer(200, r#"{"created":"yes"}"#).written(),
            Err(Unfit::Lost(Loss::Unexpected))
        );
        assert_eq!(
            answer(201, r#"{"created":true}"#).written(),
            Err(Unfit::Status)
        );
    }

    #[test]
    fn an_error_is_known_by_its_type_alone() {
        let told = |body: &str| answer(400, body).error_type().map(ErrorType::into_text);
        let body = r#"{"error":{"root_cause":[],"type":"parse_exception","reason":"got [open sesame]"},"status":400}"#;
        assert_eq!(told(body).as_deref(), Some("parse_exception"));
        for odd in [
            r#"{"error":"a string"}"#,
            "{}",
            "<html>",
            "",
            r#"{"error":{"type":7}}"#,
            r#"{"error":{"type":"open sesame"}}"#,
        ] {
            assert_eq!(told(odd), None, "{odd}");
        }
    }
}
