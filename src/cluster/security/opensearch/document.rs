//! An entry of the internal users, and an account in it. What is written here is what every user
//! has in every cluster: another layout would make an upgrade rewrite all of them.
//!
//! Attributes are all there is for what elastauth notes. They are strings, of 256 characters at
//! most in newer versions, so longer ones are split. A login shows their names and not their
//! values; hence the fingerprint is in a name. Groups are in an attribute and never in
//! `backend_roles`: a role mapping would make roles of them that nobody has granted, `admin` first
//! of all.

use crate::{
    clock::{Days, Timestamp},
    cluster::security::types::{Account, Marker, Origin, StoredAccount},
    model::Generation,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Before the fingerprint, which is the rest of the name.
const FINGERPRINT: &str = "elastauth_fingerprint_";
const EPOCH: &str = "elastauth_epoch";
const KEY: &str = "elastauth_key";
const PROVIDER: &str = "elastauth_provider";
const SUBJECT: &str = "elastauth_subject";
/// When the token was issued, in milliseconds since 1970.
const AS_OF: &str = "elastauth_as_of";
/// Between which days the user was seen last.
const LAST_SEEN: &str = "elastauth_last_seen";
const GENERATION: &str = "elastauth_generation";
const PARKED: &str = "elastauth_parked";
const GROUPS: &str = "elastauth_groups";
const FULL_NAME: &str = "elastauth_full_name";
const EMAIL: &str = "elastauth_email";
/// When the credential cache was emptied for the user's sake, in milliseconds since 1970.
pub(super) const CACHE_EMPTIED: &str = "elastauth_cache_emptied";
/// An administrator has locked the user.
pub(super) const LOCKED: &str = "elastauth_locked";
/// The value of what is there or not.
pub(super) const YES: &str = "true";

/// Fits no password: the plugin has no other way to switch a user off.
pub(super) const UNUSABLE: &str = "!";

/// Characters of a value.
const LONGEST: usize = 250;

/// What a user logs in with.
#[derive(Clone, Copy)]
pub(super) enum SentPassword<'a> {
    Clear(&'a str),
    Hash(&'a str),
}

type Attributes = BTreeMap<String, String>;

/// The whole entry. A user who may not log in gets no hash that fits a password.
pub(super) fn entry(account: &Account, password: SentPassword<'_>) -> Value {
    let mut entry = body(account);
    let (name, text) = match password {
        _ if !account.enabled => ("hash", UNUSABLE),
        SentPassword::Hash(hash) => ("hash", hash),
        SentPassword::Clear(text) => ("password", text),
    };
    entry.insert(name.to_owned(), text.into());
    entry.into()
}

/// The same for people to read, without a password.
pub(crate) fn document(account: &Account) -> Value {
    body(account).into()
}

fn body(account: &Account) -> Map<String, Value> {
    Map::from_iter([
        ("backend_roles".to_owned(), json!([])),
        ("opendistro_security_roles".to_owned(), json!(account.roles)),
        ("attributes".to_owned(), json!(attributes(account))),
    ])
}

/// The attribute whose name says which login and which roles the entry was written with.
pub(super) fn fingerprint_attribute(marker: &Marker) -> Option<String> {
    let fingerprint = marker.fingerprint.as_ref()?;
    Some(format!("{FINGERPRINT}{fingerprint}"))
}

fn attributes(account: &Account) -> Attributes {
    let mut all = Attributes::new();
    let mut add = |name: &str, value: Option<String>| {
        let Some(value) = value else { return };
        let characters: Vec<char> = value.chars().collect();
        let mut parts = characters.chunks(LONGEST);
        all.insert(
            name.to_owned(),
            parts.next().unwrap_or_default().iter().collect(),
        );
        for (index, part) in parts.enumerate() {
            all.insert(part_name(name, index + 2), part.iter().collect());
        }
    };
    if !account.enabled {
        add(LOCKED, Some(YES.to_owned()));
    }
    let Some(marker) = account.origin.marker() else {
        return all;
    };
    if let Some(name) = fingerprint_attribute(marker) {
        add(&name, Some(YES.to_owned()));
    }
    add(EPOCH, marker.epoch.map(|epoch| epoch.to_string()));
    add(KEY, marker.key_id.clone());
    add(PROVIDER, marker.provider.clone());
    add(SUBJECT, marker.subject.clone());
    add(AS_OF, marker.issued_at.map(|Timestamp(ms)| ms.to_string()));
    // Most users never have these two, and their absence says the same as 0 and false.
    let Generation(generation) = marker.generation;
    add(GENERATION, (generation > 0).then(|| generation.to_string()));
    add(PARKED, marker.parked.then(|| YES.to_owned()));
    add(LAST_SEEN, marker.seen.map(|days| days.to_string()));
    add(GROUPS, Some(json!(account.groups).to_string()));
    add(FULL_NAME, account.full_name.clone());
    add(EMAIL, account.email.clone());
    all
}

/// `name`, `name_2`, `name_3`.
fn part_name(name: &str, number: usize) -> String {
    format!("{name}_{number}")
}

fn joined(attributes: &Attributes, name: &str) -> Option<String> {
    let mut text = attributes.get(name)?.clone();
    for number in 2.. {
        let Some(part) = attributes.get(&part_name(name, number)) else {
            break;
        };
        text.push_str(part);
    }
    Some(text)
}

/// An entry in an answer.
#[derive(Deserialize)]
pub(super) struct User {
    reserved: bool,
    hidden: bool,
    #[serde(default, rename = "static")]
    fixed: bool,
    backend_roles: Vec<String>,
    #[serde(default)]
    attributes: Attributes,
    opendistro_security_roles: Vec<String>,
    description: Option<String>,
}

impl User {
    pub(super) fn stored(self, name: &str) -> StoredAccount {
        let read = &self.attributes;
        let groups = joined(read, GROUPS);
        let groups = groups.and_then(|text| serde_json::from_str(&text).ok());
        let account = Account {
            name: name.to_owned(),
            full_name: joined(read, FULL_NAME),
            email: joined(read, EMAIL),
            groups: groups.unwrap_or_default(),
            enabled: self.is_enabled(),
            origin: self.origin(),
            roles: self.opendistro_security_roles,
        };
        let mut document = body(&account);
        let exact = without_times(self.attributes.clone()) == without_times(attributes(&account))
            && self.backend_roles.is_empty()
            && self.description.is_none();
        document.insert("backend_roles".to_owned(), json!(self.backend_roles));
        document.insert("attributes".to_owned(), json!(self.attributes));
        if let Some(description) = self.description {
            document.insert("description".to_owned(), description.into());
        }
        StoredAccount {
            account,
            exact,
            document: document.into(),
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        !self.attributes.contains_key(LOCKED)
    }

    pub(super) fn origin(&self) -> Origin {
        if self.reserved || self.hidden || self.fixed {
            return Origin::BuiltIn;
        }
        let read = &self.attributes;
        let mut names = read.keys();
        let fingerprint = names.find_map(|name| name.strip_prefix(FINGERPRINT));
        let number = |name| read.get(name)?.parse().ok();
        let (epoch, key_id) = (number(EPOCH), joined(read, KEY));
        if fingerprint.is_none() && epoch.is_none() && key_id.is_none() {
            return Origin::Other;
        }
        Origin::Elastauth(Marker {
            fingerprint: fingerprint.map(str::to_owned),
            epoch,
            key_id,
            provider: joined(read, PROVIDER),
            subject: joined(read, SUBJECT),
            issued_at: number(AS_OF).map(Timestamp),
            generation: number(GENERATION)
                .and_then(|number: u64| u32::try_from(number).ok())
                .map_or_else(Generation::default, Generation),
            parked: read.contains_key(PARKED),
            seen: read.get(LAST_SEEN).and_then(|days| Days::parse(days)),
        })
    }
}

/// Whether times are noted, and in which form, is no part of what an account is.
fn without_times(mut attributes: Attributes) -> Attributes {
    attributes.remove(AS_OF);
    attributes.remove(LAST_SEEN);
    attributes.remove(CACHE_EMPTIED);
    attributes
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
                fingerprint: Some("f-_".to_owned()),
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

    /// As the plugin gives back what was written.
    fn read(mut entry: Value) -> User {
        let fields = entry.as_object_mut().unwrap();
        fields.remove("password");
        fields.insert("hash".to_owned(), "".into());
        for name in ["reserved", "hidden", "static"] {
            fields.insert(name.to_owned(), false.into());
        }
        serde_json::from_value(entry).unwrap()
    }

    /// Byte for byte: whatever changes here is rewritten for every user of every cluster.
    #[test]
    fn a_user_is_written_whole() {
        let rest = r#""attributes":{"elastauth_as_of":"1000","elastauth_email":"a@b.test","elastauth_epoch":"3","elastauth_fingerprint_f-_":"true","elastauth_groups":"[\"dev\"]","elastauth_key":"k","elastauth_last_seen":"2026-11-28/2026-12-05","elastauth_provider":"sso","elastauth_subject":"u1"},"backend_roles":[]"#;
        let roles = r#""opendistro_security_roles":["viewer"]"#;
        assert_eq!(
            entry(&account(), SentPassword::Hash("$2b$04$a")).to_string(),
            format!(r#"{{{rest},"hash":"$2b$04$a",{roles}}}"#)
        );
        assert_eq!(
            entry(&account(), SentPassword::Clear("open sesame")).to_string(),
            format!(r#"{{{rest},{roles},"password":"open sesame"}}"#)
        );
        assert_eq!(
            document(&account()).to_string(),
            format!("{{{rest},{roles}}}")
        );
    }

    #[test]
    fn what_is_written_is_read_again() {
        let revoked_and_parked = Account {
            origin: Origin::Elastauth(Marker {
                generation: Generation(2),
                parked: true,
                ..account().origin.marker().cloned().unwrap()
            }),
            ..account()
        };
        let long = Account {
            full_name: Some("ä".repeat(LONGEST * 2 + 1)),
            email: Some(String::new()),
            groups: (0..200).map(|n| format!("a group \"{n}\"")).collect(),
            ..account()
        };
        let locked = Account {
            enabled: false,
            ..account()
        };
        for account in [account(), revoked_and_parked, long, locked] {
            let written = entry(&account, SentPassword::Hash("x"));
            for value in written["attributes"].as_object().unwrap().values() {
                assert!(value.as_str().unwrap().chars().count() <= 256);
            }
            let stored = read(written).stored("alice");
            assert_eq!(stored.document, document(&account));
            assert_eq!((stored.account, stored.exact), (account, true));
        }
    }

    #[test]
    fn a_locked_user_has_a_hash_that_fits_no_password() {
        let locked = Account {
            enabled: false,
            ..account()
        };
        for password in [SentPassword::Hash("h"), SentPassword::Clear("c")] {
            let written = entry(&locked, password);
            assert_eq!(written["hash"], "!");
            assert_eq!(written.get("password"), None);
            assert_eq!(written["attributes"][LOCKED], "true");
        }
    }

    #[test]
    fn groups_are_never_backend_roles() {
        let admin = Account {
            groups: vec!["admin".to_owned()],
            ..account()
        };
        let written = entry(&admin, SentPassword::Hash("h"));
        assert_eq!(written["backend_roles"], json!([]));
    }

    #[test]
    fn what_an_administrator_adds_is_not_exact() {
        let exact = |change: &dyn Fn(&mut Value)| {
            let mut written = entry(&account(), SentPassword::Hash("h"));
            change(&mut written);
            read(written).stored("alice").exact
        };
        assert!(exact(&|_| ()));
        for time in [AS_OF, LAST_SEEN] {
            assert!(exact(&|entry| entry["attributes"][time] = json!("2")));
        }
        assert!(!exact(&|entry| entry["backend_roles"] = json!(["admin"])));
        assert!(!exact(&|entry| entry["description"] = json!("x")));
        assert!(!exact(&|entry| entry["attributes"]["team"] = json!("x")));
        assert!(!exact(&|entry| entry["attributes"][GROUPS] = json!("x")));
    }

    #[test]
    fn the_entry_tells_who_has_written_a_user() {
        let origin = |change: &dyn Fn(&mut User)| {
            let mut user = read(json!({
                "backend_roles": [], "attributes": {}, "opendistro_security_roles": []
            }));
            change(&mut user);
            user.origin()
        };
        let set = |name: &'static str| {
            move |user: &mut User| {
                user.attributes.insert(name.to_owned(), YES.to_owned());
            }
        };
        assert_eq!(origin(&|_| ()), Origin::Other);
        assert_eq!(origin(&set("team")), Origin::Other);
        assert_eq!(origin(&set(LOCKED)), Origin::Other, "nobody else's lock");
        assert_eq!(origin(&|user| user.reserved = true), Origin::BuiltIn);
        assert_eq!(origin(&|user| user.hidden = true), Origin::BuiltIn);
        assert_eq!(origin(&|user| user.fixed = true), Origin::BuiltIn);
        let marker = Marker {
            key_id: Some(YES.to_owned()),
            ..Marker::default()
        };
        assert_eq!(origin(&set(KEY)), Origin::Elastauth(marker));
    }
}
