//! What replicas tell each other through Redis, under AES-256-GCM: Redis learns no names and forges
//! nothing. Each message has a number, so that one that Redis drops or sends again is noticed
//! (`redis/senders`).
//!
//! The text of a message: sender (8 bytes), version (1), number (8), kind (1), and what the kind
//! needs. All integers are big-endian.

use super::seal::InvalidSeal;
use crate::{
    clock::Timestamp,
    keys::{Keyring, StoreKeys},
    model::{Fingerprint, Username},
};

/// Random for each process.
pub(super) type ReplicaId = [u8; 8];

/// Of the text. The first format had a letter in this place, the kind.
const VERSION: u8 = 2;
/// As many numbers that were not used are in each heartbeat. One that is missing there costs the
/// others a few questions to the cluster.
pub(super) const UNUSED: usize = 16;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) from: ReplicaId,
    /// Counted from 1: changes in one series, all other messages in another.
    pub(super) number: u64,
    pub(super) event: Event,
}

/// Which changes a sender has published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// The result of every change up to this number is known.
    pub(super) until: u64,
    /// Those among them that Redis refused, or may not have published: the latest ones, at most
    /// [`UNUSED`].
    pub(super) unused: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The sender is alive and reaches Redis; the time by its clock, and what others must have
    /// received.
    Heartbeat(Timestamp, Published),
    /// This user is being written, or was: from now on only this fingerprint may be used.
    Changed(Username, Fingerprint),
    /// The cluster confirmed then that this user has this fingerprint, and it is stored.
    Confirmed(Username, Fingerprint, Timestamp),
}

/// Why a message is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidMessage {
    Seal(InvalidSeal),
    /// A replica of another version of elastauth has sent it. It may report a change.
    OtherVersion,
}

impl From<InvalidSeal> for InvalidMessage {
    fn from(seal: InvalidSeal) -> Self {
        Self::Seal(seal)
    }
}

impl Message {
    /// `None` when the system has no randomness.
    pub(super) fn close(&self, keys: &StoreKeys) -> Option<Vec<u8>> {
        let mut text = [
            self.from.as_slice(),
            &[VERSION],
            &self.number.to_be_bytes(),
            &[self.event.kind()],
        ]
        .concat();
        match &self.event {
            Event::Heartbeat(now, published) => {
                text.extend(now.0.to_be_bytes());
                text.extend(published.until.to_be_bytes());
                // Always as many: no number is 0.
                let unused = published.unused.iter().chain(std::iter::repeat(&0));
                text.extend(unused.take(UNUSED).flat_map(|number| number.to_be_bytes()));
            }
            Event::Changed(user, fingerprint) => {
                text.extend(fingerprint.0);
                text.extend(user.as_str().as_bytes());
            }
            Event::Confirmed(user, fingerprint, seen) => {
                text.extend(fingerprint.0);
                text.extend(seen.0.to_be_bytes());
                text.extend(user.as_str().as_bytes());
            }
        }
        keys.seal_message(text)
    }

    /// Opens a message of this deployment, whichever of its keys it was closed with.
    pub(super) fn open(ring: &Keyring, closed: &[u8]) -> Result<Self, InvalidMessage> {
        let (id, sealed) = closed.split_first_chunk().ok_or(InvalidSeal::Damaged)?;
        let keys = ring.store_keys(*id).ok_or(InvalidSeal::ForeignKey)?;
        let text = keys.open_message(sealed).ok_or(InvalidSeal::Damaged)?;
        let (from, rest) = text.split_first_chunk().ok_or(InvalidSeal::Damaged)?;
        let (version, rest) = rest.split_first().ok_or(InvalidSeal::Damaged)?;
        if *version != VERSION {
            return Err(InvalidMessage::OtherVersion);
        }
        Ok(Self::read(*from, rest).ok_or(InvalidSeal::Damaged)?)
    }

    fn read(from: ReplicaId, text: &[u8]) -> Option<Self> {
        let (number, rest) = text.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let user = |name: &[u8]| Username::parse(std::str::from_utf8(name).ok()?).ok();
        let time = |bytes: [u8; 8]| Timestamp(u64::from_be_bytes(bytes));
        let event = match kind {
            b'b' => {
                let (now, rest) = rest.split_first_chunk()?;
                let (until, rest) = rest.split_first_chunk()?;
                let (unused, []) = rest.as_chunks() else {
                    return None;
                };
                // A sender writes exactly this many; a longer list is malformed.
                let unused: &[[u8; 8]; UNUSED] = unused.try_into().ok()?;
                let unused = unused.iter().map(|number| u64::from_be_bytes(*number));
                let published = Published {
                    until: u64::from_be_bytes(*until),
                    unused: unused.filter(|number| *number > 0).collect(),
                };
                Event::Heartbeat(time(*now), published)
            }
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
        Some(Self {
            from,
            number: u64::from_be_bytes(*number),
            event,
        })
    }
}

impl Event {
    /// Whether others use something outdated until they have received it.
    pub(super) fn is_change(&self) -> bool {
        matches!(self, Self::Changed(..))
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Heartbeat(..) => b'b',
            Self::Changed(..) => b'c',
            Self::Confirmed(..) => b's',
        }
    }
}
