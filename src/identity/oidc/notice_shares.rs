//! How many logout notices of one issuer are checked.
//!
//! Anybody may send one, and each costs the check of a signature. So that a flood takes nothing
//! from the issuer, its share is split by where notices come from. An address from which a valid
//! notice has come is the issuer's own, and nobody else is served from that share.

use crate::{
    clock::Timestamp,
    net::peer::Peer,
    rate::{Limiter, Rate},
};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// The check of a signature is a fraction of a millisecond: so many a second are a few hundredths
/// of one core, and a thousand sessions that end at once are done within five seconds.
const NOTICES: Rate = Rate::a_second(200);
/// An issuer sends from a few machines, or through a proxy.
const ADDRESSES: usize = 16;

/// Where a logout notice comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoticeSource {
    pub(crate) address: Peer,
    /// Whether it is in `trusted_proxies`.
    pub(crate) trusted: bool,
}

/// What may be checked for one issuer.
#[derive(Debug)]
pub(super) struct NoticeShares {
    /// Notices that are read at all, from addresses that are the issuer's.
    read: Limiter,
    own: Limiter,
    trusted: Limiter,
    untrusted: Limiter,
    /// The addresses from which valid notices have come, the last one first.
    addresses: Mutex<VecDeque<Peer>>,
}

impl NoticeShares {
    pub(super) fn new() -> Self {
        let [read, own, trusted, untrusted] = [(); 4].map(|()| Limiter::new(NOTICES));
        Self {
            read,
            own,
            trusted,
            untrusted,
            addresses: Mutex::default(),
        }
    }

    /// Whether one more notice from there may be read; `None` if the address is not the issuer's.
    pub(super) fn may_read(&self, from: NoticeSource, now: Timestamp) -> Option<bool> {
        self.owns(from.address).then(|| self.read.take(now).is_ok())
    }

    /// Whether one more signature may be checked.
    pub(super) fn may_check(&self, from: NoticeSource, now: Timestamp) -> bool {
        let share = if self.owns(from.address) {
            &self.own
        } else if from.trusted {
            &self.trusted
        } else {
            &self.untrusted
        };
        share.take(now).is_ok()
    }

    /// A valid notice of the issuer has come from there.
    pub(super) fn proved(&self, from: NoticeSource) {
        let mut addresses = self.addresses();
        addresses.retain(|address| *address != from.address);
        addresses.push_front(from.address);
        addresses.truncate(ADDRESSES);
    }

    fn owns(&self, address: Peer) -> bool {
        self.addresses().contains(&address)
    }

    fn addresses(&self) -> MutexGuard<'_, VecDeque<Peer>> {
        // Each change leaves a list: a panic elsewhere leaves it whole.
        self.addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn from(last: u8, trusted: bool) -> NoticeSource {
        let address = Peer::from(IpAddr::from([192, 0, 2, last]));
        NoticeSource { address, trusted }
    }

    #[test]
    fn a_flood_takes_nothing_from_the_addresses_of_the_issuer() {
        let shares = NoticeShares::new();
        let checked = |from| (0..1_000).filter(|_| shares.may_check(from, NOW)).count();
        shares.proved(from(1, false));
        assert_eq!(
            (checked(from(2, false)), checked(from(3, true))),
            (200, 200)
        );
        assert_eq!((checked(from(4, false)), checked(from(5, true))), (0, 0));
        assert_eq!(checked(from(1, false)), 200);
        assert!(shares.may_check(from(2, false), Timestamp(NOW.0 + 1_000)));
    }

    #[test]
    fn only_the_last_addresses_are_the_issuers() {
        let shares = NoticeShares::new();
        for last in [1, 1, 2] {
            shares.proved(from(last, false));
        }
        assert_eq!(shares.may_read(from(1, false), NOW), Some(true));
        assert_eq!(shares.may_read(from(3, true), NOW), None);
        (10..26).for_each(|last| shares.proved(from(last, false)));
        assert_eq!(shares.may_read(from(1, false), NOW), None);
        assert_eq!(shares.may_read(from(25, false), NOW), Some(true));
        let read = (0..1_000).filter(|_| shares.may_read(from(25, false), NOW) == Some(true));
        assert_eq!(read.count(), 198);
    }
}
