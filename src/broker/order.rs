//! Which of a user's tokens is the newest.
//!
//! A native user has one set of roles, and two tokens of one user may give different ones. Tokens
//! say when they were issued: the newest counts, and an older one with other roles is refused. What
//! is remembered here is for the usual case and costs no call. The user's metadata in the cluster
//! has the time of the token it was written from, so even a replica that has just started never
//! overwrites a user from an older token.
//!
//! Only tokens of the same person are compared: of one provider, one subject and one name. A
//! namesake is refused for the user in the cluster, and outdates nobody's tokens.
//!
//! A token counts in one of two ways. With a login it becomes what older ones must agree with. A
//! token that was judged and got no login (it gives no role, or the write failed) only takes away:
//! an older one is refused if it would give a role that the newer one does not.

use crate::{
    clock::Timestamp,
    identity::{Identity, Provider},
    model::Role,
    roles::RoleSet,
};
use quick_cache::sync::Cache;
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, Mutex, PoisonError},
};

/// Users whose newest token is remembered: as many as tokens are. For others the metadata in the
/// cluster has to do.
const USERS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Order {
    /// By a hash of provider, subject and user. The hash has a secret key, and 64 bits make it
    /// unique among so few.
    newest: Cache<u64, Newest>,
    /// Held while an entry is replaced, so that an older token cannot be the last to do it.
    replacing: Mutex<()>,
    hasher: RandomState,
}

#[derive(Debug, Clone)]
struct Newest {
    as_of: Timestamp,
    /// By our clock. An entry from the future (the clock was set back) is ignored: it would refuse
    /// good tokens until the old time is reached again.
    noted: Timestamp,
    /// Hashes of the roles.
    roles: Arc<[u64]>,
    granted: bool,
}

/// How a token that may get a login compares with what is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing new, or nothing that has an order.
    Known,
    /// The newest: to be noted when it gets a login.
    Newest,
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            newest: Cache::new(USERS),
            replacing: Mutex::new(()),
            hasher: RandomState::new(),
        }
    }

    /// Compares an identity with the newest that is remembered, and remembers nothing.
    ///
    /// # Errors
    /// The time of the newer one that refuses it.
    pub(super) fn check(
        &self,
        identity: &Identity,
        roles: Option<&RoleSet>,
        now: Timestamp,
    ) -> Result<Place, Timestamp> {
        let Some(as_of) = identity.as_of() else {
            return Ok(Place::Known);
        };
        let newest = self.newest.get(&self.key(identity));
        let Some(newest) = newest.filter(|newest| newest.noted <= now) else {
            return Ok(Place::Newest);
        };
        if newest.as_of < as_of {
            return Ok(Place::Newest);
        }
        if newest.as_of == as_of {
            // The same token again, or one of the same time: between those there is no order.
            let known = newest.granted || roles.is_none();
            return Ok(if known { Place::Known } else { Place::Newest });
        }
        let ours = self.hashes(roles.into_iter().flat_map(RoleSet::iter).map(Role::as_str));
        let agrees = if newest.granted {
            ours == newest.roles
        } else {
            ours.iter().all(|role| newest.roles.contains(role))
        };
        if agrees {
            Ok(Place::Known)
        } else {
            Err(newest.as_of)
        }
    }

    /// An identity got a login with these roles.
    pub(super) fn granted(&self, identity: &Identity, roles: &RoleSet, now: Timestamp) {
        if let Some(as_of) = identity.as_of() {
            self.note(identity, as_of, roles.iter().map(Role::as_str), now, true);
        }
    }

    /// An identity was judged and has these roles, whatever becomes of its request.
    pub(super) fn judged(&self, identity: &Identity, roles: &[&str], now: Timestamp) {
        if let Some(as_of) = identity.as_of() {
            self.note(identity, as_of, roles.iter().copied(), now, false);
        }
    }

    /// The cluster has a user that was written from a newer token of the same person.
    pub(super) fn found<'a>(
        &self,
        identity: &Identity,
        as_of: Timestamp,
        roles: impl Iterator<Item = &'a str>,
        now: Timestamp,
    ) {
        // Identity headers do not say from when they are: nothing is compared with them.
        if identity.provider().name() != Provider::HEADERS {
            self.note(identity, as_of, roles, now, true);
        }
    }

    fn note<'a>(
        &self,
        identity: &Identity,
        as_of: Timestamp,
        roles: impl Iterator<Item = &'a str>,
        now: Timestamp,
        granted: bool,
    ) {
        let (key, roles) = (self.key(identity), self.hashes(roles));
        // The lock guards no data: a panic under it leaves nothing half done.
        let _alone = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let replaces = self.newest.get(&key).is_none_or(|newest| {
            newest.noted > now
                || newest.as_of < as_of
                || (newest.as_of == as_of && granted && !newest.granted)
        });
        if replaces {
            let noted = now;
            let newest = Newest {
                as_of,
                noted,
                roles,
                granted,
            };
            self.newest.insert(key, newest);
        }
    }

    fn key(&self, identity: &Identity) -> u64 {
        let person = (identity.provider(), identity.subject(), identity.user());
        self.hasher.hash_one(person)
    }

    /// Sorted, each once: the cluster keeps duplicates.
    fn hashes<'a>(&self, roles: impl Iterator<Item = &'a str>) -> Arc<[u64]> {
        let mut hashes: Vec<u64> = roles.map(|role| self.hasher.hash_one(role)).collect();
        hashes.sort_unstable();
        hashes.dedup();
        hashes.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::roles::{self, Mapping};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn token(provider: &str, as_of: u64) -> Identity {
        Identity::of_provider_at(provider, "alice", &[], Some(Timestamp(as_of)))
    }

    fn roles(names: &[&str]) -> RoleSet {
        let default_roles = names.iter().map(|name| Role::parse(name).unwrap());
        let mapping = Mapping::new(roles::Config {
            default_roles: default_roles.collect(),
            ..roles::Config::default()
        });
        let entitled = mapping.entitle(token("sso", 0)).unwrap();
        entitled.roles().clone()
    }

    impl Order {
        /// As a request that gets its login: checked, and noted.
        fn grant(&self, token: &Identity, names: &[&str]) -> Result<(), Timestamp> {
            let roles = roles(names);
            if self.check(token, Some(&roles), NOW)? == Place::Newest {
                self.granted(token, &roles, NOW);
            }
            Ok(())
        }

        fn refuses(&self, token: &Identity, names: &[&str]) -> Option<Timestamp> {
            self.check(token, Some(&roles(names)), NOW).err()
        }
    }

    #[test]
    fn the_newest_counts_and_an_older_one_with_other_roles_does_not() {
        let order = Order::new();
        let at = |as_of| token("sso", as_of);
        assert_eq!(order.grant(&at(10), &["a", "b"]), Ok(()));
        assert_eq!(order.grant(&at(20), &["a"]), Ok(()));
        assert_eq!(order.grant(&at(10), &["a", "b"]), Err(Timestamp(20)));
        assert_eq!(
            order.grant(&at(5), &["a"]),
            Ok(()),
            "an older one that says the same"
        );
        assert_eq!(order.grant(&at(20), &["a"]), Ok(()));
        assert_eq!(
            order.grant(&at(20), &["b"]),
            Ok(()),
            "no order between two of the same time"
        );
        assert_eq!(order.grant(&at(30), &["a", "b"]), Ok(()));
        assert_eq!(order.grant(&at(20), &["a"]), Err(Timestamp(30)));
    }

    #[test]
    fn a_look_moves_nothing() {
        let order = Order::new();
        let (earlier, newer) = (token("sso", 10), token("sso", 20));
        assert_eq!(
            order.check(&newer, Some(&roles(&["a"])), NOW),
            Ok(Place::Newest)
        );
        assert_eq!(order.refuses(&earlier, &["b"]), None);
    }

    #[test]
    fn another_person_of_that_name_makes_nothing_old() {
        let order = Order::new();
        assert_eq!(order.grant(&token("partner", 1_000), &["x"]), Ok(()));
        let namesake = Identity::of_subject_at("sso", "alice", "u2", Some(Timestamp(1_000)));
        assert_eq!(order.grant(&namesake, &["x"]), Ok(()));
        order.judged(&namesake, &[], NOW);
        let alice = Identity::of_subject_at("sso", "alice", "u1", Some(Timestamp(10)));
        assert_eq!(order.grant(&alice, &["a"]), Ok(()));
        assert_eq!(
            order.grant(&Identity::of_provider("sso", "alice", &["x"]), &["x"]),
            Ok(()),
            "an identity without a time has no place in the order"
        );
    }

    #[test]
    fn a_newer_one_that_got_no_login_only_takes_away() {
        let order = Order::new();
        order.judged(&token("sso", 20), &["a", "b"], NOW);
        assert_eq!(order.refuses(&token("sso", 10), &["a"]), None);
        assert_eq!(
            order.refuses(&token("sso", 10), &["a", "c"]),
            Some(Timestamp(20))
        );
        assert_eq!(order.grant(&token("sso", 20), &["a", "b"]), Ok(()));
        assert_eq!(
            order.refuses(&token("sso", 10), &["a"]),
            Some(Timestamp(20))
        );
        order.judged(&token("sso", 30), &[], NOW);
        assert_eq!(
            order.refuses(&token("sso", 20), &["a", "b"]),
            Some(Timestamp(30)),
            "it has no role left"
        );
        assert_eq!(order.check(&token("sso", 25), None, NOW), Ok(Place::Known));
    }

    #[test]
    fn what_the_cluster_has_counts_and_never_sets_the_order_back() {
        let order = Order::new();
        let (ours, found) = (token("sso", 10), |at, roles: &'static [&str]| {
            order.found(&token("sso", 10), Timestamp(at), roles.iter().copied(), NOW);
        });
        found(20, &["b", "b"]);
        assert_eq!(order.refuses(&ours, &["a"]), Some(Timestamp(20)));
        assert_eq!(order.refuses(&ours, &["b"]), None);
        found(15, &["a"]);
        assert_eq!(order.refuses(&ours, &["a"]), Some(Timestamp(20)));
    }

    #[test]
    fn what_was_noted_in_the_future_does_not_count() {
        let order = Order::new();
        assert_eq!(order.grant(&token("sso", 20), &["a"]), Ok(()));
        let (earlier, before) = (token("sso", 10), Timestamp(NOW.0 - 1));
        let other = roles(&["b"]);
        assert_eq!(
            order.check(&earlier, Some(&other), before),
            Ok(Place::Newest)
        );
        order.granted(&earlier, &other, before);
        assert_eq!(order.refuses(&token("sso", 5), &["a"]), Some(Timestamp(10)));
    }
}
