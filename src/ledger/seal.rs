//! What a store is told, so that it need not be believed: facts that only holders of the same key
//! can write, under names that tell nobody who is meant.
//!
//! A value is 72 bytes: version, kind, key id, epoch, fingerprint, time, and an HMAC-SHA256 over
//! these and the user, under a key that is derived from `secret_key` and the cluster's name. A
//! swapped, changed, truncated or foreign value fails, and a replayed one carries its own age.

use crate::{
    clock::Timestamp,
    keys::{Keyring, StoreKeyId, StoreKeys, StoreName},
    model::{Fingerprint, Username},
};

/// Of the layout below.
const VERSION: u8 = 1;
/// Where the authenticated part ends.
const HEADER: usize = 40;
/// The whole value.
pub(super) const VALUE: usize = HEADER + 32;
/// So much of a value tells what it is about, and does not tell when it was written.
pub(super) const SUBJECT: usize = 32;

/// What a value says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) kind: Kind,
    pub(super) epoch: u64,
    /// With which the user stands, or is to stand.
    pub(super) fingerprint: Fingerprint,
    /// When the cluster said so, or when the write began.
    pub(super) at: Timestamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Present,
    WritePending,
}

/// Why a value is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worthless {
    /// Made with a key that this deployment does not know.
    Foreign,
    /// Changed, cut, of another user or another cluster, or of a version that is not known.
    Damaged,
}

/// What replicas tell each other. Closed with AES-256-GCM: a store hears no names, and forges
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Letter {
    /// Which replica writes.
    pub(super) from: [u8; 8],
    pub(super) news: News,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Its writer is there and reaches the store; the time by its clock.
    Beat(Timestamp),
    /// This user is being written, or was: from now on nothing but this fingerprint may be
    /// believed.
    Changed(Username, Fingerprint),
    /// The cluster said then that this user stands with this fingerprint, and the store has it so.
    Stands(Username, Fingerprint, Timestamp),
}

/// The value that says so about this name.
pub(super) fn close(keys: &StoreKeys, name: &StoreName, fact: &Fact) -> Vec<u8> {
    let mut value = Vec::with_capacity(VALUE);
    value.push(VERSION);
    value.push(match fact.kind {
        Kind::Present => b's',
        Kind::WritePending => b'f',
    });
    value.extend_from_slice(&keys.id());
    value.extend_from_slice(&fact.epoch.to_be_bytes());
    value.extend_from_slice(&fact.fingerprint.0);
    value.extend_from_slice(&fact.at.0.to_be_bytes());
    let tag = keys.sign_fact(&covered(name, &value));
    value.extend_from_slice(tag.as_ref());
    value
}

/// What a value says about this name, if it is right in every bit.
pub(super) fn open(keys: &StoreKeys, name: &StoreName, value: &[u8]) -> Result<Fact, Worthless> {
    let (header, tag) = value.split_at_checked(HEADER).ok_or(Worthless::Damaged)?;
    let fields = Fields::of(header).ok_or(Worthless::Damaged)?;
    if fields.key_id != keys.id() {
        return Err(Worthless::Foreign);
    }
    keys.verify_fact(&covered(name, header), tag)
        .map_err(|_| Worthless::Damaged)?;
    Ok(fields.fact)
}

/// The same, whichever of this deployment's keys it was made with.
pub(super) fn open_any(ring: &Keyring, name: &StoreName, value: &[u8]) -> Result<Fact, Worthless> {
    let id = claimed_key(value).ok_or(Worthless::Damaged)?;
    let keys = ring.store_keys(id).ok_or(Worthless::Foreign)?;
    open(keys, name, value)
}

impl Letter {
    /// For the other replicas; `None` when the system has no randomness.
    pub(super) fn close(&self, keys: &StoreKeys) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(80);
        text.extend_from_slice(&self.from);
        match &self.news {
            News::Beat(now) => {
                text.push(b'b');
                text.extend_from_slice(&now.0.to_be_bytes());
            }
            News::Changed(user, fingerprint) => {
                text.push(b'c');
                text.extend_from_slice(&fingerprint.0);
                text.extend_from_slice(user.as_str().as_bytes());
            }
            News::Stands(user, fingerprint, seen) => {
                text.push(b's');
                text.extend_from_slice(&fingerprint.0);
                text.extend_from_slice(&seen.0.to_be_bytes());
                text.extend_from_slice(user.as_str().as_bytes());
            }
        }
        keys.seal_message(text)
    }

    /// Opens a letter of this deployment, whichever of its keys it was closed with.
    pub(super) fn open(ring: &Keyring, closed: &[u8]) -> Result<Self, Worthless> {
        let (id, sealed) = closed.split_first_chunk().ok_or(Worthless::Damaged)?;
        let keys = ring.store_keys(*id).ok_or(Worthless::Foreign)?;
        let text = keys.open_message(sealed).ok_or(Worthless::Damaged)?;
        Self::read(&text).ok_or(Worthless::Damaged)
    }

    fn read(text: &[u8]) -> Option<Self> {
        let (from, rest) = text.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let user = |name: &[u8]| Username::parse(std::str::from_utf8(name).ok()?).ok();
        let news = match kind {
            b'b' => News::Beat(Timestamp(u64::from_be_bytes(rest.try_into().ok()?))),
            b'c' => {
                let (fingerprint, name) = rest.split_first_chunk()?;
                News::Changed(user(name)?, Fingerprint(*fingerprint))
            }
            b's' => {
                let (fingerprint, rest) = rest.split_first_chunk()?;
                let (seen, name) = rest.split_first_chunk()?;
                News::Stands(
                    user(name)?,
                    Fingerprint(*fingerprint),
                    Timestamp(u64::from_be_bytes(*seen)),
                )
            }
            _ => return None,
        };
        Some(Self { from: *from, news })
    }
}

/// The key that a value claims to be made with, before anything of it is believed.
pub(super) fn claimed_key(value: &[u8]) -> Option<StoreKeyId> {
    Fields::of(value.get(..HEADER)?).map(|fields| fields.key_id)
}

/// What a value says, for one's own that need not be proven again.
pub(super) fn claimed(value: &[u8]) -> Option<Fact> {
    Fields::of(value.get(..HEADER)?).map(|fields| fields.fact)
}

/// The name stands before the header: it has a fixed length, so the two cannot be taken apart in
/// another way. It follows from the user under the same key.
fn covered(name: &StoreName, header: &[u8]) -> Vec<u8> {
    [name.as_slice(), header].concat()
}

struct Fields {
    key_id: StoreKeyId,
    fact: Fact,
}

impl Fields {
    fn of(header: &[u8]) -> Option<Self> {
        let (version, rest) = header.split_first()?;
        let (kind, rest) = rest.split_first()?;
        let (key_id, rest) = rest.split_first_chunk()?;
        let (epoch, rest) = rest.split_first_chunk()?;
        let (fingerprint, rest) = rest.split_first_chunk()?;
        let kind = match (*version, kind) {
            (VERSION, b's') => Kind::Present,
            (VERSION, b'f') => Kind::WritePending,
            _ => return None,
        };
        let at = Timestamp(u64::from_be_bytes(rest.try_into().ok()?));
        let fact = Fact {
            kind,
            epoch: u64::from_be_bytes(*epoch),
            fingerprint: Fingerprint(*fingerprint),
            at,
        };
        Some(Self {
            key_id: *key_id,
            fact,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{keys::Slot, secret::SecretKey};
    use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
    use proptest::prelude::*;

    fn ring(key: char, cluster: &str) -> Keyring {
        Keyring::new(&secret(key), None, cluster)
    }

    fn current(ring: &Keyring) -> &StoreKeys {
        &ring.of(Slot::Current).store
    }

    fn secret(first: char) -> SecretKey {
        SecretKey::parse(&format!(
            "{first}{}",
            "3c9d1e07b8a64f52e1d0c3b4a59687786950413f2e1d0c9b8a7968574635241"
        ))
        .unwrap()
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    const FACT: Fact = Fact {
        kind: Kind::Present,
        epoch: 20_000,
        fingerprint: Fingerprint([7; 16]),
        at: Timestamp(1_800_000_000_000),
    };

    /// What these bytes are must never change: an upgrade would forget what every store holds, and
    /// replicas of both versions would not hear each other.
    #[test]
    fn fixed_vectors() {
        let ring = ring('1', "default");
        let keys = current(&ring);
        let name = keys.name(&user("alice"));
        let in_flux = Fact {
            kind: Kind::WritePending,
            ..FACT
        };
        let shown = [
            BASE64_URL_SAFE_NO_PAD.encode(keys.id()),
            BASE64_URL_SAFE_NO_PAD.encode(name),
            BASE64_URL_SAFE_NO_PAD.encode(close(keys, &name, &FACT)),
            BASE64_URL_SAFE_NO_PAD.encode(close(keys, &name, &in_flux)),
        ];
        assert_eq!(
            shown,
            [
                "1Mmi3kqh",
                "ejnnYwsPWGaUzlf_-Apz6w",
                "AXPUyaLeSqEAAAAAAABOIAcHBwcHBwcHBwcHBwcHBwcAAAGjGFxQANvJK_j8kiPH-x_r5mNaw18QHinwcdJZievz7bNQG_pA",
                "AWbUyaLeSqEAAAAAAABOIAcHBwcHBwcHBwcHBwcHBwcAAAGjGFxQAFpZ6vfOVim4aFCQjcNUMZlh7FfrvQjBI5OkIxKH4Jje",
            ]
        );
        let letters = [
            (
                News::Beat(FACT.at),
                "1Mmi3kqhEyT-9xnYirnbNd8RZ4IPuyKKujlXYPDBqXCNFJtuq2_R_4KFYIiMOPGLkPUz",
            ),
            (
                News::Changed(user("alice"), FACT.fingerprint),
                "1Mmi3kqhy67vLp1xhOSZLUOQPGYlfO4fZtcb8VdcPRhW8odS3PwaQh3-i8GR1giuUZpNHsdJmAmlYYCS9pYlCg",
            ),
            (
                News::Stands(user("alice"), FACT.fingerprint, FACT.at),
                "1Mmi3kqhCeKbMKzX0kJ7Sqd-jwhVkb1hCNYfAQEcS7yvRXcAkhfsBFsO-yi4xZ16qCf0i2I-kWBTfhwla_7ROWPQMqF5p0BA",
            ),
        ];
        for (news, closed) in letters {
            let letter = Letter { from: [9; 8], news };
            assert_eq!(
                Letter::open(&ring, &BASE64_URL_SAFE_NO_PAD.decode(closed).unwrap()),
                Ok(letter)
            );
        }
    }

    #[test]
    fn every_replica_with_the_key_reads_what_one_wrote() {
        let (one, two) = (ring('1', "default"), ring('1', "default"));
        let name = current(&one).name(&user("alice"));
        let value = close(current(&one), &name, &FACT);
        assert_eq!(value.len(), VALUE);
        assert_eq!(name, current(&two).name(&user("alice")));
        assert_eq!(open(current(&two), &name, &value), Ok(FACT));
    }

    #[test]
    fn a_value_of_another_user_cluster_or_key_is_worth_nothing() {
        let own = ring('1', "default");
        let own = current(&own);
        let (alice, bob) = (own.name(&user("alice")), own.name(&user("bob")));
        let value = close(own, &alice, &FACT);
        assert_eq!(open(own, &bob, &value), Err(Worthless::Damaged));
        for (key, cluster) in [('2', "default"), ('1', "other")] {
            let other = ring(key, cluster);
            assert_eq!(
                open(current(&other), &alice, &value),
                Err(Worthless::Foreign)
            );
            assert_eq!(open_any(&other, &alice, &value), Err(Worthless::Foreign));
        }
        assert_eq!(claimed_key(&value), Some(own.id()));
        for length in 0..VALUE {
            assert_eq!(
                open(own, &alice, value.get(..length).unwrap()),
                Err(Worthless::Damaged),
                "{length}"
            );
        }
        assert!(open(own, &alice, &[value, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_letter_is_read_by_those_with_the_key_and_names_nobody_to_others() {
        let own = Keyring::new(&secret('1'), Some(&secret('2')), "default");
        let letter = Letter {
            from: [9; 8],
            news: News::Changed(user("alice"), Fingerprint([3; 16])),
        };
        for slot in [Slot::Current, Slot::Previous] {
            let closed = letter.close(&own.of(slot).store).unwrap();
            assert_eq!(Letter::open(&own, &closed), Ok(letter.clone()));
            assert!(!closed.windows(5).any(|window| window == b"alice"));
            assert_eq!(
                Letter::open(&ring('3', "default"), &closed),
                Err(Worthless::Foreign)
            );
            assert_eq!(
                Letter::open(&own, closed.get(..closed.len() - 1).unwrap()),
                Err(Worthless::Damaged)
            );
        }
        for news in [
            News::Beat(FACT.at),
            News::Stands(user("alice"), FACT.fingerprint, FACT.at),
        ] {
            let letter = Letter { from: [9; 8], news };
            assert_eq!(
                Letter::open(&own, &letter.close(current(&own)).unwrap()),
                Ok(letter)
            );
        }
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_enough(bit in 0..VALUE * 8) {
            let ring = ring('1', "default");
            let name = current(&ring).name(&user("alice"));
            let mut value = close(current(&ring), &name, &FACT);
            if let Some(byte) = value.get_mut(bit / 8) { *byte ^= 1 << (bit % 8); }
            prop_assert!(open(current(&ring), &name, &value).is_err());
        }

        #[test]
        fn strangers_bytes_are_taken_calmly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let ring = ring('1', "default");
            let name = current(&ring).name(&user("alice"));
            prop_assert!(open(current(&ring), &name, &bytes).is_err());
            prop_assert!(Letter::open(&ring, &bytes).is_err());
        }
    }
}
