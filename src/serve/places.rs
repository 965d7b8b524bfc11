//! Places for connections. A connection holds its places until it ends, or until it needs one of
//! them no more.

use super::limits::RoomLimits;
use crate::{
    clock::Timestamp,
    net::peer::Peer,
    rate::{Limiter, NoPermit, Rate},
    telemetry::metrics::Bound,
};
use std::{
    collections::HashMap,
    num::NonZero,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// So many places, and of them so many for one address.
#[derive(Debug)]
pub(super) struct Room {
    limits: RoomLimits,
    /// What is told when all places are taken, and when those of an address are.
    bounds: (Bound, Bound),
    taken: Arc<Mutex<Taken>>,
    /// One a minute is enough to act on. A peer that connects again and again must not fill the
    /// disk.
    lines: Limiter,
}

/// Has an entry for addresses with a place only, so it is never larger than the room.
#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<Peer, usize>,
}

/// One place. Dropping it gives it back.
#[derive(Debug)]
pub(super) struct Place {
    taken: Arc<Mutex<Taken>>,
    address: Peer,
}

/// No place is free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    /// Which bound is reached.
    pub(super) bound: Bound,
    /// How many places it allows.
    pub(super) limit: usize,
}

impl Room {
    pub(super) fn new(limits: RoomLimits, bounds: (Bound, Bound)) -> Self {
        Self {
            limits,
            bounds,
            taken: Arc::default(),
            lines: Limiter::new(Rate::a_minute(1)),
        }
    }

    pub(super) fn take(&self, peer: Peer) -> Result<Place, Full> {
        let address = peer.network();
        let mut taken = locked(&self.taken);
        if taken.all >= self.limits.total {
            return Err(Full {
                bound: self.bounds.0,
                limit: self.limits.total,
            });
        }
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.limits.of_address {
            return Err(Full {
                bound: self.bounds.1,
                limit: self.limits.of_address,
            });
        }
        taken.all += 1;
        taken.by_address.insert(address, of_address + 1);
        drop(taken);
        Ok(Place {
            taken: Arc::clone(&self.taken),
            address,
        })
    }

    /// Whether a refusal may be logged now, and how many were not since the last line.
    pub(super) fn may_log(&self, now: Timestamp) -> Result<Option<NonZero<u64>>, NoPermit> {
        self.lines.take(now)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = locked(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
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
    use std::net::Ipv6Addr;

    fn room(total: usize, of_address: usize) -> Room {
        Room::new(
            RoomLimits { total, of_address },
            (Bound::Untrusted, Bound::UntrustedOfAddress),
        )
    }

    fn ip(text: &str) -> Peer {
        Peer::Ip(text.parse().unwrap())
    }

    #[test]
    fn one_address_takes_its_share_and_no_other_one_notices() {
        let room = room(5, 2);
        let (one, other) = (ip("192.0.2.1"), ip("192.0.2.2"));
        let first = room.take(one).unwrap();
        let _second = room.take(one).unwrap();
        let full = Full {
            bound: Bound::UntrustedOfAddress,
            limit: 2,
        };
        assert_eq!(room.take(one).unwrap_err(), full);
        let _others = [room.take(other).unwrap(), room.take(other).unwrap()];
        drop(first);
        assert!(room.take(one).is_ok());
    }

    #[test]
    fn all_addresses_together_take_no_more_than_there_is() {
        let room = room(2, 2);
        let places = [room.take(ip("192.0.2.1")), room.take(ip("192.0.2.2"))];
        let full = Full {
            bound: Bound::Untrusted,
            limit: 2,
        };
        assert_eq!(room.take(ip("192.0.2.3")).unwrap_err(), full);
        assert!(places.iter().all(Result::is_ok));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address() {
        let room = room(9, 1);
        let _place = room.take(ip("2001:db8:0:1::1")).unwrap();
        assert!(room.take(ip("2001:db8:0:1:ffff::2")).is_err());
        assert!(room.take(ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn addresses_without_a_place_leave_no_entry() {
        let room = room(1, 1);
        for n in 0..1_000 {
            drop(
                room.take(Peer::Ip(Ipv6Addr::from_bits(n << 64).into()))
                    .unwrap(),
            );
        }
        assert!(locked(&room.taken).by_address.is_empty());
    }

    #[test]
    fn refusals_are_logged_once_a_minute() {
        let room = room(0, 0);
        let logs = |ms| room.may_log(Timestamp(ms));
        assert_eq!(logs(0), Ok(None));
        assert!((1..=9).all(|n| logs(n * 1_000).is_err()));
        assert_eq!(logs(60_000), Ok(NonZero::new(9)));
    }
}
