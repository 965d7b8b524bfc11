//! The user document of Elasticsearch, and an account in it. What is written here is what a user
//! stands with in every cluster: another layout would make an upgrade rewrite all users.

use crate::{
    clock::{Days, Timestamp},
    cluster::security::types::{Account, Marker, Origin, StoredAccount},
    model::Generation,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// In the metadata: what elastauth notes.
const MARKER: &str = "elastauth";
/// Beside it, as the Go program wrote them too.
const GROUPS: &str = "groups";
/// Within the marker: when the token was issued, in milliseconds since 1970.
const AS_OF: &str = "as_of";
/// The same, and between which days the user was seen last.
const LAST_SEEN: &str = "last_seen";

/// What a user logs in with.
#[derive(Clone, Copy)]
pub(super) enum SentPassword<'a> {
    Clear(&'a str),
    Hash(&'a str),
}

/// The whole user, always: what is left out, the cluster sets to its default.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password_hash: Option<&'a str>,
    roles: &'a [String],
    full_name: Option<&'a str>,
    email: Option<&'a str>,
    metadata: Map<String, Value>,
    enabled: bool,
}

impl<'a> Body<'a> {
    fn new(account: &'a Account, password: Option<SentPassword<'a>>) -> Self {
        let (clear, hash) = match password {
            Some(SentPassword::Clear(text)) => (Some(text), None),
            Some(SentPassword::Hash(text)) => (None, Some(text)),
            None => (None, None),
        };
        Self {
            password: clear,
            password_hash: hash,
            roles: &account.roles,
            full_name: account.full_name.as_deref(),
            email: account.email.as_deref(),
            metadata: metadata(account),
            enabled: account.enabled,
        }
    }
}

/// The body of a write. Strings and JSON values always serialise; were it not so, the cluster
/// refuses an empty body.
pub(super) fn body(account: &Account, password: SentPassword<'_>) -> Bytes {
    serde_json::to_vec(&Body::new(account, Some(password)))
        .unwrap_or_default()
        .into()
}

/// The same for people to read, without a password.
pub(crate) fn document(account: &Account) -> Value {
    serde_json::to_value(Body::new(account, None)).unwrap_or_default()
}

/// A user in an answer. A missing name or missing roles make the answer no answer; the rest may be
/// null or absent.
#[derive(Deserialize)]
pub(super) struct User {
    pub(super) username: String,
    roles: Vec<String>,
    full_name: Option<String>,
    email: Option<String>,
    metadata: Option<Map<String, Value>>,
    pub(super) enabled: Option<bool>,
}

impl User {
    pub(super) fn stored(self, enabled: bool) -> StoredAccount {
        let stored = self.metadata.unwrap_or_default();
        let groups = stored.get(GROUPS).and_then(Value::as_array);
        let groups = groups.into_iter().flatten().filter_map(Value::as_str);
        let account = Account {
            name: self.username,
            roles: self.roles,
            full_name: self.full_name,
            email: self.email,
            groups: groups.map(str::to_owned).collect(),
            enabled,
            origin: origin(&stored),
        };
        let document = json!({
            "roles": account.roles, "full_name": account.full_name, "email": account.email,
            "metadata": stored, "enabled": enabled,
        });
        StoredAccount {
            exact: without_times(stored) == without_times(metadata(&account)),
            account,
            document,
        }
    }
}

fn metadata(account: &Account) -> Map<String, Value> {
    let mut metadata = Map::from_iter([(GROUPS.to_owned(), json!(account.groups))]);
    if let Some(marker) = account.origin.marker() {
        let text = |text: &Option<String>| text.clone().map(Value::from);
        let noted = [
            ("fingerprint", text(&marker.fingerprint)),
            ("epoch", marker.epoch.map(Value::from)),
            ("key", text(&marker.key_id)),
            ("provider", text(&marker.provider)),
            ("subject", text(&marker.subject)),
            (AS_OF, marker.issued_at.map(|Timestamp(ms)| ms.into())),
            // Most users never have these two, and their absence says the same as 0 and false.
            (
                "generation",
                (marker.generation.0 > 0).then(|| marker.generation.0.into()),
            ),
            ("parked", marker.parked.then(|| true.into())),
            (LAST_SEEN, marker.seen.map(|days| days.to_string().into())),
        ];
        let noted: Map<String, Value> = noted
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        metadata.insert(MARKER.to_owned(), noted.into());
    }
    metadata
}

pub(super) fn origin(metadata: &Map<String, Value>) -> Origin {
    if metadata.get("_reserved") == Some(&Value::Bool(true)) {
        return Origin::BuiltIn;
    }
    if let Some(Value::Object(noted)) = metadata.get(MARKER) {
        let text = |name| Some(noted.get(name)?.as_str()?.to_owned());
        let number = |name| noted.get(name)?.as_u64();
        return Origin::Elastauth(Marker {
            fingerprint: text("fingerprint"),
            epoch: number("epoch"),
            key_id: text("key"),
            provider: text("provider"),
            subject: text("subject"),
            issued_at: number(AS_OF).map(Timestamp),
            generation: number("generation")
                .and_then(|number| u32::try_from(number).ok())
                .map_or_else(Generation::default, Generation),
            parked: noted.get("parked") == Some(&Value::Bool(true)),
            seen: text(LAST_SEEN).and_then(|days| Days::parse(&days)),
        });
    }
    if metadata.len() == 1 && metadata.contains_key(GROUPS) {
        Origin::ElastauthGo
    } else {
        Origin::Other
    }
}

/// Whether times are noted, and in which form, is no part of what an account is.
fn without_times(mut metadata: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(noted)) = metadata.get_mut(MARKER) {
        noted.remove(AS_OF);
        noted.remove(LAST_SEEN);
    }
    metadata
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Account {
        Account {
            name: "alice".to_owned(),
            roles: vec!["viewer".to_owned()],
            full_name: None,
            email: Some("a@b.test".to_owned()),
            groups: vec!["dev".to_owned()],
            enabled: true,
            origin: Origin::Elastauth(Marker {
                fingerprint: Some("f".to_owned()),
                epoch: Some(3),
                key_id: Some("k".to_owned()),
                provider: Some("sso".to_owned()),
                subject: Some("u1".to_owned()),
                issued_at: Some(Timestamp(1_000)),
                seen: Days::parse("2026-11-28/2026-12-05"),
                ..Marker::default()
            }),
        }
    }

    fn stored(metadata: &Value) -> StoredAccount {
        let user = json!({ "username": "alice", "roles": ["viewer"], "email": "a@b.test", "metadata": metadata });
        serde_json::from_value::<User>(user).unwrap().stored(true)
    }

    /// Byte for byte: whatever changes here is rewritten for every user of every cluster.
    #[test]
    fn a_user_is_written_whole_and_enabled() {
        let rest = r#""roles":["viewer"],"full_name":null,"email":"a@b.test","metadata":{"elastauth":{"as_of":1000,"epoch":3,"fingerprint":"f","key":"k","last_seen":"2026-11-28/2026-12-05","provider":"sso","subject":"u1"},"groups":["dev"]},"enabled":true}"#;
        assert_eq!(
            body(&account(), SentPassword::Hash("{PBKDF2}1000$a$b")),
            format!(r#"{{"password_hash":"{{PBKDF2}}1000$a$b",{rest}"#)
        );
        assert_eq!(
            body(&account(), SentPassword::Clear("open sesame")),
            format!(r#"{{"password":"open sesame",{rest}"#)
        );
        assert_eq!(
            document(&account()),
            serde_json::from_str::<Value>(&format!("{{{rest}")).unwrap()
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let mut revoked_and_parked = account();
        revoked_and_parked.origin = Origin::Elastauth(Marker {
            generation: Generation(2),
            parked: true,
            ..account().origin.marker().cloned().unwrap()
        });
        for account in [account(), revoked_and_parked] {
            let written = document(&account);
            let read = stored(&written["metadata"]);
            assert_eq!((read.account, read.exact), (account, true));
            assert_eq!(read.document, written);
        }
    }

    #[test]
    fn a_generation_is_noted_from_the_first_revocation_on() {
        let mut marked = account();
        marked.origin = Origin::Elastauth(Marker {
            generation: Generation(1),
            parked: true,
            ..Marker::default()
        });
        assert_eq!(
            document(&marked)["metadata"]["elastauth"],
            json!({ "generation": 1, "parked": true })
        );
        for odd in [
            json!(-1),
            json!("2"),
            json!(u64::from(u32::MAX) + 1),
            json!(0),
        ] {
            let noted = json!({ "groups": [], "elastauth": { "generation": odd } });
            let read = stored(&noted);
            let generation = read.account.origin.marker().map(|marker| marker.generation);
            assert_eq!(
                (generation, read.exact),
                (Some(Generation(0)), false),
                "{odd}"
            );
        }
    }

    #[test]
    fn an_account_with_anything_else_in_it_is_not_exact() {
        let exact = |change: &dyn Fn(&mut Value)| {
            let mut written = document(&account());
            change(&mut written["metadata"]);
            stored(&written["metadata"]).exact
        };
        for time in ["as_of", "last_seen"] {
            assert!(exact(
                &|metadata| metadata["elastauth"][time] = json!("later")
            ));
        }
        assert!(!exact(&|metadata| metadata["team"] = json!("x")));
        assert!(!exact(&|metadata| metadata["elastauth"]["more"] = json!(1)));
        assert!(!exact(
            &|metadata| metadata["elastauth"]["epoch"] = json!("3")
        ));
        assert!(!exact(&|metadata| metadata["groups"] = json!(["dev", 7])));
        assert!(!exact(&|metadata| metadata["groups"] = json!("dev")));
    }

    #[test]
    fn the_metadata_tells_who_has_written_a_user() {
        let origin = |metadata: Value| stored(&metadata).account.origin;
        let marker = Marker {
            fingerprint: Some("x".to_owned()),
            epoch: Some(3),
            key_id: Some("k".to_owned()),
            ..Marker::default()
        };
        assert_eq!(
            origin(
                json!({ "groups": [], "elastauth": { "fingerprint": "x", "epoch": 3, "key": "k" } })
            ),
            Origin::Elastauth(marker)
        );
        assert_eq!(
            origin(json!({ "groups": [], "elastauth": { "provider": 7 } })),
            Origin::Elastauth(Marker::default()),
            "what is malformed is not noted"
        );
        assert_eq!(origin(json!({ "groups": ["dev"] })), Origin::ElastauthGo);
        assert_eq!(
            origin(json!({ "_reserved": true, "elastauth": {} })),
            Origin::BuiltIn
        );
        for other in [
            json!({}),
            json!({ "groups": [], "team": "x" }),
            json!({ "elastauth": "a text" }),
            json!({ "groups": [], "elastauth": "a text" }),
        ] {
            assert_eq!(origin(other.clone()), Origin::Other, "{other}");
        }
    }
}
