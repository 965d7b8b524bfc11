//! The user document: what elastauth writes, and whose work it is that stands in the cluster.

use super::{config::Adopt, rotation::Period};
use crate::{
    clock::Timestamp,
    cluster::{NewUser, Password, User},
    identity::Identity,
    keys::Slot,
    ledger::Target,
    model::{Fingerprint, Group},
    roles::{Entitled, RoleSet},
};
use serde_json::{Map, Value, json};
use std::{sync::Arc, time::Duration};

/// The key in a user's metadata that says whose user it is. The Go program wrote `groups` beside
/// it, and so do we.
const MARKER: &str = "elastauth";
/// Within it, of when the word is that the user was last written from, in milliseconds since 1970.
const AS_OF: &str = "as_of";
/// Within it, which provider vouched for whom the user was last written.
const PROVIDER: &str = "provider";
/// Within it, what that provider calls whoever it was (`sub`), where it calls him something.
const SUBJECT: &str = "subject";
/// How far ahead of our clock such a moment may be: the largest leeway that a provider's clock may
/// have, and as much again for ours.
const MOST_AHEAD: Duration = Duration::from_mins(10);

/// Everything about a user in the cluster but the password.
#[derive(Debug, Clone)]
pub(super) struct Document {
    identity: Identity,
    roles: RoleSet,
    fingerprint: Fingerprint,
    period: Period,
    key_id: Box<str>,
}

impl Document {
    pub(super) fn new(
        entitled: &Entitled,
        fingerprint: Fingerprint,
        period: Period,
        key_id: &str,
    ) -> Self {
        Self {
            identity: entitled.identity().clone(),
            roles: entitled.roles().clone(),
            fingerprint,
            period,
            key_id: key_id.into(),
        }
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    pub(super) fn roles(&self) -> &RoleSet {
        &self.roles
    }

    pub(super) fn epoch(&self) -> u64 {
        self.period.epoch
    }

    pub(super) fn key(&self) -> Slot {
        self.period.key
    }

    /// What an update of the ledger is about with this document.
    pub(super) fn target(&self) -> Target {
        Target {
            user: self.identity.user().clone(),
            fingerprint: self.fingerprint,
            epoch: self.period.epoch,
            key: self.period.key,
        }
    }

    pub(super) fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The body of a write. The whole user, always: what is left out, the cluster sets to its
    /// default.
    pub(super) fn body<'a>(&'a self, password: Password<'a>) -> NewUser<'a> {
        NewUser {
            password,
            roles: self.roles.iter().map(crate::model::Role::as_str).collect(),
            full_name: self.identity.full_name(),
            email: self.identity.email(),
            metadata: self.metadata(),
        }
    }

    /// The same for a person to read, without any password.
    pub(super) fn without_password(&self) -> Value {
        let roles: Vec<&str> = self.roles.iter().map(crate::model::Role::as_str).collect();
        json!({
            "roles": roles, "full_name": self.identity.full_name(), "email": self.identity.email(), "metadata": self.metadata(), "enabled": true,
        })
    }

    /// Whether this very document stands in the cluster, and not one that somebody has edited
    /// since: an edit keeps the metadata.
    pub(super) fn stands_as(&self, user: &User) -> bool {
        let same_roles = {
            let mut theirs: Vec<&str> = user.roles.iter().map(String::as_str).collect();
            theirs.sort_unstable();
            theirs.dedup();
            theirs
                .into_iter()
                .eq(self.roles.iter().map(crate::model::Role::as_str))
        };
        same_roles
            && user.enabled
            && user.full_name.as_deref() == self.identity.full_name()
            && user.email.as_deref() == self.identity.email()
            && without_moment(user.metadata.clone()) == without_moment(self.metadata())
    }

    /// The provider for whose user it was last written, where that is somebody else than ours: a
    /// name alone makes nobody the same. Users that no provider was noted for are the first one's.
    pub(super) fn is_somebody_elses(&self, user: &User) -> Option<Arc<str>> {
        let noted = |what: &str| {
            user.metadata
                .get(MARKER)
                .and_then(|mark| mark.get(what))
                .and_then(Value::as_str)
        };
        let provider = noted(PROVIDER)?;
        let another = || {
            noted(SUBJECT)
                .zip(self.identity.subject())
                .is_some_and(|(theirs, ours)| theirs != ours)
        };
        (provider != self.identity.provider().name() || another()).then(|| provider.into())
    }

    /// Whether what stands there was written from a newer token with other groups; of when it is.
    pub(super) fn is_outdated_by(&self, user: &User, now: Timestamp) -> Option<Timestamp> {
        let (ours, theirs) = (self.identity.as_of()?, as_of(user)?);
        // Nobody's clock is that far off. A moment that is must not keep the user out until it
        // comes.
        let believable = theirs <= now.after(MOST_AHEAD);
        let other = !groups_of(user).eq(self.identity.groups().iter().map(Group::as_str));
        (ours < theirs && believable && other).then_some(theirs)
    }

    fn metadata(&self) -> Map<String, Value> {
        let groups: Vec<&str> = self.identity.groups().iter().map(Group::as_str).collect();
        let mark = [
            ("fingerprint", Some(json!(self.fingerprint.to_string()))),
            ("epoch", Some(json!(self.epoch()))),
            ("key", Some(json!(&*self.key_id))),
            (PROVIDER, Some(json!(self.identity.provider().name()))),
            (SUBJECT, self.identity.subject().map(Value::from)),
            (AS_OF, self.identity.as_of().map(|Timestamp(ms)| json!(ms))),
        ];
        let mark: Map<String, Value> = mark
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        Map::from_iter([
            ("groups".to_owned(), json!(groups)),
            (MARKER.to_owned(), mark.into()),
        ])
    }
}

/// Of when the token was that the user was last written from. Later ones that say the same are no
/// reason to write, so it is no part of what has to stand.
fn without_moment(mut metadata: Map<String, Value>) -> Map<String, Value> {
    if let Some(Value::Object(mark)) = metadata.get_mut(MARKER) {
        mark.remove(AS_OF);
    }
    metadata
}

fn as_of(user: &User) -> Option<Timestamp> {
    user.metadata
        .get(MARKER)?
        .get(AS_OF)?
        .as_u64()
        .map(Timestamp)
}

/// The groups that a user was written with.
pub(super) fn groups_of(user: &User) -> impl Iterator<Item = &str> {
    user.metadata
        .get("groups")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Whose user it is that stands in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// Ours, of this epoch where the marker says so.
    Elastauth {
        /// The rotation period in which it was written.
        epoch: Option<u64>,
        /// Under which key.
        key_id: Option<Box<str>>,
    },
    /// Somebody else's, which the configuration lets us take over.
    Adoptable,
    /// Somebody else's.
    Foreign,
    /// The cluster's own.
    Reserved,
}

/// Reads the owner from a user's metadata.
pub(super) fn owner(user: &User, adopt: Adopt) -> Owner {
    if user.metadata.get("_reserved") == Some(&Value::Bool(true)) {
        return Owner::Reserved;
    }
    if let Some(Value::Object(mark)) = user.metadata.get(MARKER) {
        return Owner::Elastauth {
            epoch: mark.get("epoch").and_then(Value::as_u64),
            key_id: mark.get("key").and_then(Value::as_str).map(Box::from),
        };
    }
    let written_by_go = user.metadata.len() == 1 && user.metadata.contains_key("groups");
    match adopt {
        Adopt::Any => Owner::Adoptable,
        Adopt::ElastauthGo if written_by_go => Owner::Adoptable,
        Adopt::ElastauthGo | Adopt::Never => Owner::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(metadata: &Value) -> User {
        User {
            username: "alice".to_owned(),
            roles: vec![],
            full_name: None,
            email: None,
            metadata: metadata.as_object().cloned().unwrap_or_default(),
            enabled: true,
        }
    }

    fn document(identity: Identity) -> Document {
        let roles = vec![crate::model::Role::parse("viewer").unwrap()];
        let mapping = crate::roles::Mapping::new(crate::roles::Config {
            default_roles: roles,
            ..crate::roles::Config::default()
        });
        let period = Period {
            epoch: 3,
            key: Slot::Current,
            grace_left: None,
        };
        Document::new(
            &mapping.entitle(identity).unwrap(),
            Fingerprint([7; 16]),
            period,
            "k",
        )
    }

    fn standing(as_document: &Document) -> User {
        User {
            roles: vec!["viewer".to_owned()],
            metadata: as_document.metadata(),
            ..user(&json!({}))
        }
    }

    #[test]
    fn a_later_token_that_says_the_same_is_no_reason_to_write() {
        let at = |ms| {
            document(Identity::of_provider_at(
                "sso",
                "alice",
                &["dev"],
                Some(Timestamp(ms)),
            ))
        };
        let there = standing(&at(1_000));
        assert_eq!(there.metadata["elastauth"]["as_of"], 1_000);
        assert!(at(1_000).stands_as(&there) && at(2_000).stands_as(&there));
        assert!(!document(Identity::of_provider("other", "alice", &["dev"])).stands_as(&there));
    }

    #[test]
    fn what_was_written_from_a_newer_token_is_newer_unless_nobodys_clock_says_so() {
        let at = |ms, groups: &[&str]| {
            document(Identity::of_provider_at(
                "sso",
                "alice",
                groups,
                Some(Timestamp(ms)),
            ))
        };
        let there = standing(&at(900_000, &["dev"]));
        let now = Timestamp(900_000);
        assert_eq!(
            at(800_000, &["ops"]).is_outdated_by(&there, now),
            Some(Timestamp(900_000))
        );
        for document in [
            at(800_000, &["dev"]),
            at(900_000, &["ops"]),
            at(950_000, &["ops"]),
        ] {
            assert_eq!(document.is_outdated_by(&there, now), None);
        }
        // Ten minutes ahead of everybody: it would keep the user out until then.
        assert_eq!(
            at(100_000, &["ops"]).is_outdated_by(&there, Timestamp(299_999)),
            None
        );
        assert_eq!(
            document(Identity::of_provider("sso", "alice", &["ops"])).is_outdated_by(&there, now),
            None,
            "what has no moment has no order"
        );
    }

    #[test]
    fn a_user_is_of_the_provider_that_is_noted_and_else_the_first_ones() {
        let ours = document(Identity::of_provider("sso", "alice", &[]));
        let noted = |mark: Value| {
            ours.is_somebody_elses(&user(&json!({ "groups": [], "elastauth": mark })))
        };
        assert_eq!(
            noted(json!({ "provider": "authelia" })).as_deref(),
            Some("authelia")
        );
        assert_eq!(
            noted(json!({ "provider": "sso", "subject": "u1" })),
            None,
            "we know of no subject"
        );
        for mark in [
            json!({ "provider": "sso" }),
            json!({}),
            json!({ "provider": 7 }),
            json!("a text"),
        ] {
            assert_eq!(noted(mark), None);
        }
    }

    #[test]
    fn the_marker_says_that_a_user_is_ours() {
        let ours =
            json!({ "groups": [], "elastauth": { "fingerprint": "x", "epoch": 3, "key": "k" } });
        for adopt in [Adopt::Never, Adopt::ElastauthGo, Adopt::Any] {
            assert_eq!(
                owner(&user(&ours), adopt),
                Owner::Elastauth {
                    epoch: Some(3),
                    key_id: Some("k".into())
                }
            );
        }
    }

    #[test]
    fn a_user_of_the_go_program_has_groups_and_nothing_else() {
        let go = json!({ "groups": ["dev"] });
        assert_eq!(owner(&user(&go), Adopt::ElastauthGo), Owner::Adoptable);
        assert_eq!(owner(&user(&go), Adopt::Never), Owner::Foreign);
        for other in [
            json!({}),
            json!({ "groups": [], "team": "x" }),
            json!({ "elastauth": "a text" }),
        ] {
            assert_eq!(
                owner(&user(&other), Adopt::ElastauthGo),
                Owner::Foreign,
                "{other}"
            );
            assert_eq!(
                owner(&user(&other), Adopt::Any),
                Owner::Adoptable,
                "{other}"
            );
        }
    }

    #[test]
    fn a_reserved_user_is_nobodys_whatever_the_setting() {
        assert_eq!(
            owner(&user(&json!({ "_reserved": true })), Adopt::Any),
            Owner::Reserved
        );
    }
}
