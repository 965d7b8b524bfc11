//! What an account should be, and whose work the one is that the cluster has.

use super::{config::Adopt, derive, rotation::Period};
use crate::{
    clock::{Days, Timestamp},
    cluster::{Account, Marker, Origin, StoredAccount},
    identity::Identity,
    keys::{Login, RolesDigest},
    ledger::Target,
    model::{Fingerprint, Generation, Group, Role},
    roles::Entitled,
};
use std::{fmt, sync::Arc, time::Duration};

/// How far ahead of our clock the time of a token may be: the largest leeway that a provider's
/// clock may have, and as much again for ours.
const MOST_AHEAD: Duration = Duration::from_mins(10);

/// Everything about a user in the cluster but the password.
#[derive(Debug, Clone)]
pub(super) struct Document {
    pub(super) identity: Identity,
    /// What an update of the ledger is about with this document.
    pub(super) target: Target,
    /// What the cluster should have.
    pub(super) account: Account,
    /// Where its login is bound to its roles.
    roles: Option<RolesDigest>,
}

impl Document {
    pub(super) fn new(
        entitled: &Entitled,
        fingerprint: Fingerprint,
        generation: Generation,
        period: Period,
        key_id: &str,
        seen: Option<Days>,
    ) -> Self {
        let (identity, roles) = (entitled.identity().clone(), entitled.roles());
        let text = |text: Option<&str>| text.map(str::to_owned);
        let marker = Marker {
            fingerprint: Some(fingerprint.to_string()),
            epoch: Some(period.epoch),
            key_id: Some(key_id.to_owned()),
            provider: Some(identity.provider().name().to_owned()),
            subject: text(identity.subject()),
            issued_at: identity.as_of(),
            generation,
            parked: false,
            seen,
        };
        let groups = identity.groups().iter().map(Group::as_str);
        let account = Account {
            name: identity.user().as_str().to_owned(),
            roles: roles.iter().map(Role::as_str).map(str::to_owned).collect(),
            full_name: text(identity.full_name()),
            email: text(identity.email()),
            groups: groups.map(str::to_owned).collect(),
            enabled: true,
            origin: Origin::Elastauth(marker),
        };
        let target = Target {
            user: identity.user().clone(),
            fingerprint,
            generation,
            epoch: period.epoch,
            key: period.key,
        };
        let roles = || RolesDigest::of(account.roles.iter());
        Self {
            identity,
            target,
            roles: period.product.binds_roles().then(roles),
            account,
        }
    }

    /// The login that the account gets.
    pub(super) fn login(&self) -> Login<'_> {
        let Target {
            generation, epoch, ..
        } = self.target;
        derive::login(&self.identity, self.roles, generation, epoch)
    }

    pub(super) fn key_id(&self) -> Option<&str> {
        self.account.origin.marker()?.key_id.as_deref()
    }

    /// Whether the cluster has this account with this login and these roles, and not one that
    /// somebody has edited since: an edit keeps the marker. Times do not count: a later token that
    /// says the same is no reason to write. Nor do names, mail and groups: see
    /// [`Self::describes`].
    pub(super) fn agrees(&self, found: &StoredAccount) -> bool {
        let (roles, theirs) = (&self.account.roles, &found.account);
        let without_times = |account: &Account| {
            let marker = account.origin.marker()?.clone();
            Some(Marker {
                issued_at: None,
                seen: None,
                ..marker
            })
        };
        found.exact
            && theirs.enabled
            && sorted(&theirs.roles).eq(roles)
            && without_times(theirs) == without_times(&self.account)
    }

    /// Whether the account has the names, the mail and the groups of this document.
    pub(super) fn describes(&self, found: &Account) -> bool {
        let differences = self.differences(found);
        !(differences.groups || differences.mail || differences.name)
    }

    /// Whether the account was written from a later token.
    pub(super) fn is_older_than(&self, found: &Account) -> bool {
        let theirs = found.origin.marker().and_then(|marker| marker.issued_at);
        self.identity.as_of() < theirs
    }

    /// For people: what a write would change.
    pub(super) fn differences(&self, found: &Account) -> Differences {
        let ours = &self.account;
        let login = |account: &Account| {
            let marker = account.origin.marker()?.clone();
            Some(Marker {
                issued_at: None,
                seen: None,
                fingerprint: None,
                ..marker
            })
        };
        Differences {
            roles: sorted(&found.roles).ne(&ours.roles),
            groups: found.groups != ours.groups,
            mail: found.email != ours.email,
            name: found.full_name != ours.full_name,
            login: login(found) != login(ours),
        }
    }

    /// The provider for whose user the account was last written, where that is another user than
    /// ours: a name alone makes nobody the same. Users that no provider was noted for are the first
    /// one's.
    pub(super) fn other_provider_of(&self, found: &Account) -> Option<Arc<str>> {
        let theirs = found.origin.marker()?;
        let provider = theirs.provider.as_deref()?;
        let another_subject = theirs
            .subject
            .as_deref()
            .zip(self.identity.subject())
            .is_some_and(|(theirs, ours)| theirs != ours);
        (provider != self.identity.provider().name() || another_subject).then(|| provider.into())
    }

    /// When the token was issued from which the account was written, if that is a newer one with
    /// other roles.
    pub(super) fn newer_statement(&self, found: &Account, now: Timestamp) -> Option<Timestamp> {
        let (ours, theirs) = (self.identity.as_of()?, found.origin.marker()?.issued_at?);
        // Nobody's clock is that far off. Such a time must not keep the user out until it comes.
        let plausible = theirs <= now.after(MOST_AHEAD);
        let other_roles = || sorted(&found.roles).ne(&self.account.roles);
        (ours < theirs && plausible && other_roles()).then_some(theirs)
    }
}

/// The cluster keeps roles as they were written, duplicates too.
fn sorted(roles: &[String]) -> impl Iterator<Item = &String> {
    let mut roles: Vec<&String> = roles.iter().collect();
    roles.sort_unstable();
    roles.dedup();
    roles.into_iter()
}

/// In what an account differs from what it should be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "a list of what differs")]
pub(super) struct Differences {
    pub(super) roles: bool,
    pub(super) groups: bool,
    pub(super) mail: bool,
    pub(super) name: bool,
    /// Its password, or whose it is.
    pub(super) login: bool,
}

/// For a line of the log; empty where nothing differs.
impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.login, "login"),
            (self.roles, "roles"),
            (self.groups, "groups"),
            (self.mail, "mail"),
            (self.name, "name"),
        ];
        let names = all.iter().filter(|(differs, _)| *differs);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        f.write_str(&names.join(","))
    }
}

/// Whose the account is that the cluster has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// Ours, of this epoch where the marker has one.
    Elastauth {
        /// The rotation period in which it was written.
        epoch: Option<u64>,
        /// Under which key.
        key_id: Option<String>,
        /// Whether its login was given to nobody.
        parked: bool,
    },
    /// Somebody else's, which the configuration lets us take over.
    Adoptable,
    /// Somebody else's.
    Foreign,
    /// The cluster's own.
    Reserved,
}

pub(super) fn owner(origin: &Origin, adopt: Adopt) -> Owner {
    match (origin, adopt) {
        (Origin::BuiltIn, _) => Owner::Reserved,
        (Origin::Elastauth(marker), _) => Owner::Elastauth {
            epoch: marker.epoch,
            key_id: marker.key_id.clone(),
            parked: marker.parked,
        },
        (_, Adopt::Any) | (Origin::ElastauthGo, Adopt::ElastauthGo) => Owner::Adoptable,
        (Origin::ElastauthGo | Origin::Other, _) => Owner::Foreign,
    }
}

#[cfg(test)]
impl Document {
    /// With the role `viewer`, in period 3, under the key `k`.
    pub(super) fn of(identity: Identity) -> Self {
        let mapping = crate::roles::Mapping::new(crate::roles::Config {
            default_roles: vec![Role::parse("viewer").unwrap()],
            ..crate::roles::Config::default()
        });
        let entitled = mapping.entitle(identity).unwrap();
        let generation = Generation::default();
        Self::new(
            &entitled,
            Fingerprint([7; 16]),
            generation,
            Period::of_epoch(3),
            "k",
            Days::parse("2026-11-28/2026-12-05"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn document(identity: Identity) -> Document {
        Document::of(identity)
    }

    fn at(ms: u64, groups: &[&str]) -> Document {
        document(Identity::of_provider_at(
            "sso",
            "alice",
            groups,
            Some(Timestamp(ms)),
        ))
    }

    fn stored(account: &Account) -> StoredAccount {
        StoredAccount {
            account: account.clone(),
            exact: true,
            document: Value::Null,
        }
    }

    #[test]
    fn a_later_token_that_says_the_same_is_no_reason_to_write() {
        let found = stored(&at(1_000, &["dev"]).account);
        let marker = found.account.origin.marker().unwrap();
        assert_eq!(marker.issued_at, Some(Timestamp(1_000)));
        assert!(at(1_000, &["dev"]).agrees(&found) && at(2_000, &["dev"]).agrees(&found));
        let mut unseen = found.clone();
        unseen.account.origin = Origin::Elastauth(Marker {
            seen: None,
            ..marker.clone()
        });
        assert!(at(1_000, &["dev"]).agrees(&unseen));
        assert!(!document(Identity::of_provider("other", "alice", &["dev"])).agrees(&found));
    }

    #[test]
    fn an_account_that_somebody_has_edited_does_not_match() {
        let ours = at(1_000, &["dev"]);
        let matches = |edit: &dyn Fn(&mut StoredAccount)| {
            let mut found = stored(&ours.account);
            edit(&mut found);
            ours.agrees(&found)
        };
        assert!(
            matches(&|found| found.account.roles.push("viewer".to_owned())),
            "the cluster keeps duplicates"
        );
        assert!(!matches(&|found| found
            .account
            .roles
            .push("editor".to_owned())));
        assert!(!matches(&|found| found.account.enabled = false));
        assert!(!matches(&|found| found.account.origin = Origin::Other));
        assert!(!matches(&|found| found.exact = false));
    }

    #[test]
    fn names_mail_and_groups_decide_nothing_and_are_told() {
        let ours = at(1_000, &["dev"]);
        let told = |edit: &dyn Fn(&mut Account)| {
            let mut found = stored(&ours.account);
            edit(&mut found.account);
            let differs = ours.differences(&found.account).to_string();
            (ours.agrees(&found), ours.describes(&found.account), differs)
        };
        assert_eq!(told(&|_| {}), (true, true, String::new()));
        let described = |differs: &str| (true, false, differs.to_owned());
        let text = || Some("a@b.test".to_owned());
        assert_eq!(told(&|found| found.email = text()), described("mail"));
        assert_eq!(told(&|found| found.full_name = text()), described("name"));
        assert_eq!(told(&|found| found.groups.clear()), described("groups"));
        let all = told(&|found| {
            (found.email, found.full_name) = (text(), text());
            found.groups.clear();
            found.roles.clear();
            found.origin = Origin::Other;
        });
        assert_eq!(
            all,
            (false, false, "login,roles,groups,mail,name".to_owned())
        );
        assert!(at(1_000, &[]).is_older_than(&at(1_001, &[]).account));
        assert!(!at(1_001, &[]).is_older_than(&ours.account));
    }

    #[test]
    fn an_account_from_a_newer_token_is_newer_unless_no_clock_can_be_that_far_off() {
        let (mut found, now) = (at(900_000, &["dev"]).account, Timestamp(900_000));
        let ours = at(800_000, &["ops"]);
        assert_eq!(
            ours.newer_statement(&found, now),
            None,
            "other groups that give the same roles"
        );
        found.roles = vec!["editor".to_owned(), "viewer".to_owned()];
        assert_eq!(ours.newer_statement(&found, now), Some(Timestamp(900_000)));
        for document in [at(900_000, &["ops"]), at(950_000, &["ops"])] {
            assert_eq!(document.newer_statement(&found, now), None);
        }
        // Ten minutes ahead of everybody: it would keep the user out until then.
        assert_eq!(
            at(100_000, &["ops"]).newer_statement(&found, Timestamp(299_999)),
            None
        );
        assert_eq!(
            document(Identity::of_provider("sso", "alice", &["ops"])).newer_statement(&found, now),
            None,
            "without a time there is no order"
        );
    }

    #[test]
    fn a_user_belongs_to_the_noted_provider_and_else_to_the_first_one() {
        let ours = document(Identity::of_provider("sso", "alice", &[]));
        let noted = |provider: Option<&str>, subject: Option<&str>| {
            let mut found = ours.account.clone();
            found.origin = Origin::Elastauth(Marker {
                provider: provider.map(str::to_owned),
                subject: subject.map(str::to_owned),
                ..Marker::default()
            });
            ours.other_provider_of(&found)
        };
        assert_eq!(noted(Some("authelia"), None).as_deref(), Some("authelia"));
        assert_eq!(
            noted(Some("sso"), Some("u1")),
            None,
            "we know of no subject"
        );
        assert_eq!(noted(Some("sso"), None), None);
        assert_eq!(noted(None, None), None);
        let mut unmarked = ours.account.clone();
        unmarked.origin = Origin::Other;
        assert_eq!(ours.other_provider_of(&unmarked), None);
    }

    #[test]
    fn the_origin_and_the_setting_tell_whose_an_account_is() {
        let marker = Marker {
            epoch: Some(3),
            key_id: Some("k".to_owned()),
            ..Marker::default()
        };
        let ours = Owner::Elastauth {
            epoch: Some(3),
            key_id: Some("k".to_owned()),
            parked: false,
        };
        for adopt in [Adopt::Never, Adopt::ElastauthGo, Adopt::Any] {
            assert_eq!(owner(&Origin::Elastauth(marker.clone()), adopt), ours);
            assert_eq!(owner(&Origin::BuiltIn, adopt), Owner::Reserved);
        }
        for (origin, adopt, expected) in [
            (Origin::ElastauthGo, Adopt::Never, Owner::Foreign),
            (Origin::ElastauthGo, Adopt::ElastauthGo, Owner::Adoptable),
            (Origin::ElastauthGo, Adopt::Any, Owner::Adoptable),
            (Origin::Other, Adopt::Never, Owner::Foreign),
            (Origin::Other, Adopt::ElastauthGo, Owner::Foreign),
            (Origin::Other, Adopt::Any, Owner::Adoptable),
        ] {
            assert_eq!(owner(&origin, adopt), expected, "{origin:?} {adopt:?}");
        }
    }
}
