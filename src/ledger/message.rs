//! What replicas tell each other through Redis, under AES-256-GCM: Redis learns no names and forges
//! nothing.

use super::seal::InvalidSeal;
use crate::{
    clock::Timestamp,
    keys::{Keyring, StoreKeys},
    model::{Fingerprint, Username},
};

/// Random for each process.
pub(super) type ReplicaId = [u8; 8];

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: ReplicaId,
    pub(super) event: Event,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The sender is alive and reaches Redis; the time by its clock.
    Heartbeat(Timestamp),
    /// This user is being written, or was: from now on only this fingerprint may be used.
    Changed(Username, Fingerprint),
    /// The cluster confirmed then that this user has this fingerprint, and it is stored.
    Confirmed(Username, Fingerprint, Timestamp),
}

impl Message {
    /// `None` when the system has no randomness.
    pub(super) fn close(&self, keys: &StoreKeys) -> Option<Vec<u8>> {
        let from = self.from.as_slice();
        keys.seal_message(match &self.event {
            Event::Heartbeat(now) => [from, b"b", &now.0.to_be_bytes()].concat(),
            Event::Changed(user, fingerprint) => {
                [from, b"c", &fingerprint.0, user.as_str().as_bytes()].concat()
            }
            Event::Confirmed(user, fingerprint, seen) => {
                let seen = seen.0.to_be_bytes();
                [from, b"s", &fingerprint.0, &seen, user.as_str().as_bytes()].concat()
            }
        })
    }

    /// Opens a message of this deployment, whichever of its keys it was closed with.
    pub(super) fn open(ring: &Keyring, closed: &[u8]) -> Result<Self, InvalidSeal> {
        let (id, sealed) = closed.split_first_chunk().ok_or(InvalidSeal::Damaged)?;
        let keys = ring.store_keys(*id).ok_or(InvalidSeal::ForeignKey)?;
        let text = keys.open_message(sealed).ok_or(InvalidSeal::Damaged)?;
        Self::read(&text).ok_or(InvalidSeal::Damaged)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (from, rest) = text.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let user = |name: &[u8]| Username::parse(std::str::from_utf8(name).ok()?).ok();
        let time = |bytes: [u8; 8]| Timestamp(u64::from_be_bytes(bytes));
        let event = match kind {
            b'b' => Event::Heartbeat(time(rest.try_into().ok()?)),
            b'c' => {
                let (fingerprint, name) = rest.split_first_chunk()?;
                Event::Changed(user(name)?, Fingerprint(*fingerprint))
            }
            b's' => {
                let (fingerprint, rest) = rest.split_first_chunk()?;
                let (seen, name) = rest.split_first_chunk()?;
                Event::Confirmed(user(name)?, Fingerprint(*fingerprint), time(*seen))
            }
            _ => return None,
        };
        Some(Self { from: *from, event })
    }
}
