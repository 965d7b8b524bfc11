//! Shares of the exchanges with a cluster, so that neither one user nor one address takes all.

use crate::net::peer::Peer;
use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::{BuildHasher as _, Hash},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// How many exchanges under way one may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShareLimits {
    pub(super) of_user: usize,
    pub(super) of_address: usize,
}

/// Who has how many.
#[derive(Debug)]
pub(super) struct Shares {
    limits: ShareLimits,
    /// Makes numbers of names. Two users with the same number would have one share together, and
    /// nobody can look for such names: the numbers are secret.
    numbers: RandomState,
    taken: Arc<Mutex<Taken>>,
}

/// Has entries for those with an exchange only.
#[derive(Debug, Default)]
struct Taken {
    by_user: HashMap<u64, usize>,
    by_address: HashMap<Peer, usize>,
}

/// One exchange of a user's share. Dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Share {
    taken: Arc<Mutex<Taken>>,
    user: u64,
    address: Option<Peer>,
}

/// Whose share is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UsedUp {
    User,
    Address,
}

impl Shares {
    pub(super) fn new(limits: ShareLimits) -> Self {
        Self {
            limits,
            numbers: RandomState::new(),
            taken: Arc::default(),
        }
    }

    /// `address` is `None` where many users come from one.
    pub(super) fn take(&self, user: &str, address: Option<Peer>) -> Result<Share, UsedUp> {
        let address = address.map(Peer::network);
        let user = self.numbers.hash_one(user);
        let mut taken = locked(&self.taken);
        let Taken {
            by_user,
            by_address,
        } = &mut *taken;
        // A share that is used up has an entry already, so nothing is left behind where it is not
        // given.
        let of_user = by_user.entry(user).or_default();
        if *of_user >= self.limits.of_user {
            return Err(UsedUp::User);
        }
        let of_address = address.map(|address| by_address.entry(address).or_default());
        let is_used_up = |own: &&mut usize| **own >= self.limits.of_address;
        if of_address.as_ref().is_some_and(is_used_up) {
            if *of_user == 0 {
                by_user.remove(&user);
            }
            return Err(UsedUp::Address);
        }
        *of_user += 1;
        if let Some(of_address) = of_address {
            *of_address += 1;
        }
        drop(taken);
        Ok(Share {
            taken: Arc::clone(&self.taken),
            user,
            address,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = locked(&self.taken);
        give_back(&mut taken.by_user, &self.user);
        if let Some(address) = &self.address {
            give_back(&mut taken.by_address, address);
        }
    }
}

fn give_back<K: Eq + Hash>(taken: &mut HashMap<K, usize>, whose: &K) {
    if let Some(count) = taken.get_mut(whose) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            taken.remove(whose);
        }
    }
}

fn locked(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    // The counts are only changed where nothing can panic.
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(of_user: usize, of_address: usize) -> Shares {
        Shares::new(ShareLimits {
            of_user,
            of_address,
        })
    }

    #[test]
    fn one_user_takes_their_share_and_no_other_one_notices() {
        let shares = shares(2, 9);
        let first = shares.take("alice", None).unwrap();
        let _second = shares.take("alice", None).unwrap();
        assert_eq!(shares.take("alice", None).unwrap_err(), UsedUp::User);
        let _other = shares.take("bob", None).unwrap();
        drop(first);
        let _again = shares.take("alice", None).unwrap();
    }

    #[test]
    fn one_address_takes_its_share_under_whatever_names() {
        let shares = shares(9, 2);
        let of = |ip: &str| Some(Peer::Ip(ip.parse().unwrap()));
        let _taken = [
            shares.take("a", of("2001:db8:0:1::1")).unwrap(),
            shares.take("b", of("2001:db8:0:1::2")).unwrap(),
        ];
        let refused = shares.take("c", of("2001:db8:0:1::3"));
        assert_eq!(refused.unwrap_err(), UsedUp::Address);
        let _other = shares.take("c", of("2001:db8:0:2::1")).unwrap();
        let _of_gateway = shares.take("c", None).unwrap();
    }

    #[test]
    fn who_has_no_exchange_has_no_entry() {
        let shares = shares(1, 1);
        let address = Some(Peer::Ip([192, 0, 2, 1].into()));
        drop(shares.take("alice", address).unwrap());
        let taken = locked(&shares.taken);
        assert!(taken.by_user.is_empty() && taken.by_address.is_empty());
    }
}
