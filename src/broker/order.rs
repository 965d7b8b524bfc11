//! Which of a user's tokens is the newest.
//!
//! A native user has one set of roles, and two tokens of one user may give different groups. Tokens
//! say when they were issued: the newest that was seen counts, and an older one with other groups
//! is refused. What is remembered here is for the usual case and costs no call. The user's metadata
//! in the cluster has the time of the token it was written from, so even a replica that has just
//! started never overwrites a user from an older token.

use crate::{
    clock::Timestamp,
    identity::{Identity, Provider},
    model::Group,
};
use quick_cache::sync::Cache;
use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

/// Users whose newest token is remembered: as many as tokens are. For others the metadata in the
/// cluster has to do.
const USERS: usize = 100_000;

#[derive(Debug)]
pub(super) struct Order {
    /// By a hash of provider and user: two providers may have a user of one name, and neither may
    /// outdate the other's tokens. The hash has a secret key, and 64 bits make it unique among so
    /// few.
    newest: Cache<u64, Newest>,
    /// Held while an entry is replaced, so that an older token cannot be the last to do it.
    replacing: Mutex<()>,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Newest {
    as_of: Timestamp,
    /// A hash of the groups. Two lists that share one by chance would be taken for the same, and
    /// the fingerprint would tell them apart all the same.
    groups: u64,
}

impl Order {
    pub(super) fn new() -> Self {
        Self {
            newest: Cache::new(USERS),
            replacing: Mutex::new(()),
            hasher: RandomState::new(),
        }
    }

    /// Takes note of an identity that says when it was issued.
    ///
    /// # Errors
    /// The time of a newer one with other groups, if there was one.
    pub(super) fn admit(&self, identity: &Identity) -> Result<(), Timestamp> {
        let Some(as_of) = identity.as_of() else {
            return Ok(());
        };
        let (key, groups) = (self.key(identity), identity.groups().iter());
        let groups = groups.map(Group::as_str);
        match self.newest.get(&key) {
            // The same token again, or one of the same time: between those there is no order.
            Some(newest) if newest.as_of == as_of => Ok(()),
            Some(newest) if newest.as_of > as_of => {
                let same = newest.groups == self.hash(groups);
                if same { Ok(()) } else { Err(newest.as_of) }
            }
            Some(_) | None => {
                self.replace(key, as_of, groups);
                Ok(())
            }
        }
    }

    /// Takes note of what was found in the cluster, written from a newer token of the same user.
    pub(super) fn found<'a>(
        &self,
        identity: &Identity,
        as_of: Timestamp,
        groups: impl Iterator<Item = &'a str>,
    ) {
        // Identity headers do not say from when they are: nothing is compared with them.
        if identity.provider().name() != Provider::HEADERS {
            self.replace(self.key(identity), as_of, groups);
        }
    }

    fn replace<'a>(&self, key: u64, as_of: Timestamp, groups: impl Iterator<Item = &'a str>) {
        let groups = self.hash(groups);
        // The lock guards no data: a panic under it leaves nothing half done.
        let _alone = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let newest = self.newest.get(&key);
        if newest.is_none_or(|newest| newest.as_of < as_of) {
            self.newest.insert(key, Newest { as_of, groups });
        }
    }

    fn key(&self, identity: &Identity) -> u64 {
        self.hasher.hash_one((identity.provider(), identity.user()))
    }

    fn hash<'a>(&self, groups: impl Iterator<Item = &'a str>) -> u64 {
        self.hasher.hash_one(groups.collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(provider: &str, as_of: u64, groups: &[&str]) -> Identity {
        Identity::of_provider_at(provider, "alice", groups, Some(Timestamp(as_of)))
    }

    #[test]
    fn the_newest_counts_and_an_older_one_with_other_groups_does_not() {
        let order = Order::new();
        assert_eq!(order.admit(&token("sso", 10, &["a", "b"])), Ok(()));
        assert_eq!(order.admit(&token("sso", 20, &["a"])), Ok(()));
        assert_eq!(
            order.admit(&token("sso", 10, &["a", "b"])),
            Err(Timestamp(20))
        );
        assert_eq!(
            order.admit(&token("sso", 5, &["a"])),
            Ok(()),
            "an older one that says the same"
        );
        assert_eq!(order.admit(&token("sso", 20, &["a"])), Ok(()));
        assert_eq!(
            order.admit(&token("sso", 20, &["b"])),
            Ok(()),
            "no order between two of the same time"
        );
        assert_eq!(order.admit(&token("sso", 30, &["a", "b"])), Ok(()));
        assert_eq!(order.admit(&token("sso", 20, &["a"])), Err(Timestamp(30)));
    }

    #[test]
    fn another_providers_user_of_that_name_makes_nothing_old() {
        let order = Order::new();
        assert_eq!(order.admit(&token("partner", 1_000, &[])), Ok(()));
        assert_eq!(order.admit(&token("sso", 10, &["a"])), Ok(()));
        assert_eq!(
            order.admit(&Identity::of_provider("sso", "alice", &["x"])),
            Ok(()),
            "an identity without a time has no place in the order"
        );
    }

    #[test]
    fn what_the_cluster_has_counts_and_never_sets_the_order_back() {
        let order = Order::new();
        order.found(&token("sso", 10, &["a"]), Timestamp(20), ["b"].into_iter());
        assert_eq!(order.admit(&token("sso", 10, &["a"])), Err(Timestamp(20)));
        assert_eq!(order.admit(&token("sso", 10, &["b"])), Ok(()));
        order.found(&token("sso", 10, &["a"]), Timestamp(15), ["a"].into_iter());
        assert_eq!(order.admit(&token("sso", 10, &["a"])), Err(Timestamp(20)));
    }
}
