//! What a store is told, so that it need not be believed: facts that only holders of the same key
//! can write, under names that tell nobody who is meant.
//!
//! A value is 72 bytes: version, kind, key id, epoch, fingerprint, time, and an HMAC-SHA256 over
//! these and the user, under a key that is derived from `secret_key` and the cluster's name. A
//! swapped, changed, truncated or foreign value fails, and a replayed one carries its own age.

use crate::{
    clock::Timestamp,
    model::{Fingerprint, Username},
    secret::SecretKey,
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    hkdf,
    hmac::{self, HMAC_SHA256},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use std::fmt;
use zeroize::Zeroizing;

/// The extraction salt of HKDF. Not that of the passwords: nothing here can ever coincide with one.
const LABEL: &[u8] = b"elastauth/ledger/v1";
/// Of the layout below.
const VERSION: u8 = 1;
/// Where the authenticated part ends.
const HEADER: usize = 40;
/// The whole value.
pub(super) const VALUE: usize = HEADER + 32;
/// So much of a value tells what it is about, and does not tell when it was written.
pub(super) const SUBJECT: usize = 32;

/// Under which key of a deployment a user stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Under {
    /// The present one.
    #[default]
    Current,
    /// The one before it.
    Previous,
}

/// The name under which a user's value lies in a store: a keyed hash.
pub(super) type Name = [u8; 16];
/// Which key a value was made with. Not a secret.
pub(super) type KeyId = [u8; 6];

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
    Stands,
    InFlux,
}

/// Why a value is worth nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worthless {
    /// Made with a key that this deployment does not know.
    Foreign,
    /// Changed, cut, of another user or another cluster, or of a version that is not known.
    Damaged,
}

/// The seals of one deployment and one cluster.
#[derive(Debug)]
pub(super) struct Seals {
    current: Seal,
    previous: Option<Seal>,
}

impl Seals {
    pub(super) fn new(current: &SecretKey, previous: Option<&SecretKey>, cluster: &str) -> Self {
        Self {
            current: Seal::new(current, cluster),
            previous: previous.map(|key| Seal::new(key, cluster)),
        }
    }

    pub(super) fn of(&self, under: Under) -> &Seal {
        match (under, &self.previous) {
            (Under::Previous, Some(previous)) => previous,
            (Under::Previous, None) | (Under::Current, _) => &self.current,
        }
    }

    /// Those of all keys.
    pub(super) fn all(&self) -> impl Iterator<Item = &Seal> {
        [Some(&self.current), self.previous.as_ref()]
            .into_iter()
            .flatten()
    }

    /// Whether values of this key are this deployment's own.
    pub(super) fn know(&self, key: KeyId) -> bool {
        self.all().any(|seal| seal.key_id == key)
    }

    /// What a value says, whichever of this deployment's keys it was made with.
    pub(super) fn open_value(&self, name: &Name, value: &[u8]) -> Result<Fact, Worthless> {
        let key = claimed_key(value).ok_or(Worthless::Damaged)?;
        let own = self.all().find(|seal| seal.key_id == key);
        own.ok_or(Worthless::Foreign)?.open(name, value)
    }

    /// Opens a letter of this deployment, whichever of its keys it was closed with.
    pub(super) fn open(&self, letter: &[u8]) -> Result<Letter, Worthless> {
        let Some((key, rest)) = letter.split_first_chunk() else {
            return Err(Worthless::Damaged);
        };
        let own = self.all().find(|seal| seal.key_id == *key);
        own.ok_or(Worthless::Foreign)?
            .open_letter(rest)
            .ok_or(Worthless::Damaged)
    }
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

/// The keys that follow from one `secret_key`.
pub(super) struct Seal {
    key_id: KeyId,
    names: hmac::Key,
    facts: hmac::Key,
    letters: RandomizedNonceKey,
}

impl Seal {
    fn new(key: &SecretKey, cluster: &str) -> Self {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, LABEL).extract(key.expose());
        let derived = |purpose: &[u8]| {
            let mut out = Zeroizing::new([0_u8; 32]);
            // The purposes are constants and none is the beginning of another one: what follows is
            // the cluster.
            let info = [purpose, b"/", cluster.as_bytes()];
            let filled = prk
                .expand(&info, hkdf::HKDF_SHA256)
                .and_then(|okm| okm.fill(&mut *out));
            filled.unwrap_or_else(|_| unreachable!("32 bytes are within what HKDF gives"));
            out
        };
        let mut key_id = KeyId::default();
        key_id
            .iter_mut()
            .zip(derived(b"key id").iter())
            .for_each(|(to, from)| *to = *from);
        Self {
            key_id,
            names: hmac::Key::new(HMAC_SHA256, &*derived(b"names")),
            facts: hmac::Key::new(HMAC_SHA256, &*derived(b"facts")),
            letters: RandomizedNonceKey::new(&AES_256_GCM, &*derived(b"letters"))
                .unwrap_or_else(|_| unreachable!("the key has the length of the algorithm's")),
        }
    }

    pub(super) fn name(&self, user: &Username) -> Name {
        let mut name = Name::default();
        name.iter_mut()
            .zip(hmac::sign(&self.names, user.as_str().as_bytes()).as_ref())
            .for_each(|(to, from)| *to = *from);
        name
    }

    /// The value that says so about this name.
    pub(super) fn close(&self, name: &Name, fact: &Fact) -> Vec<u8> {
        let mut value = Vec::with_capacity(VALUE);
        value.push(VERSION);
        value.push(match fact.kind {
            Kind::Stands => b's',
            Kind::InFlux => b'f',
        });
        value.extend_from_slice(&self.key_id);
        value.extend_from_slice(&fact.epoch.to_be_bytes());
        value.extend_from_slice(&fact.fingerprint.0);
        value.extend_from_slice(&fact.at.0.to_be_bytes());
        let mac = self.mac(name, &value);
        value.extend_from_slice(mac.as_ref());
        value
    }

    /// What a value says about this name, if it is right in every bit.
    pub(super) fn open(&self, name: &Name, value: &[u8]) -> Result<Fact, Worthless> {
        let (header, mac) = value.split_at_checked(HEADER).ok_or(Worthless::Damaged)?;
        let fields = Fields::of(header).ok_or(Worthless::Damaged)?;
        if fields.key_id != self.key_id {
            return Err(Worthless::Foreign);
        }
        hmac::verify(&self.facts, &covered(name, header), mac).map_err(|_| Worthless::Damaged)?;
        Ok(fields.fact)
    }

    fn mac(&self, name: &Name, header: &[u8]) -> hmac::Tag {
        hmac::sign(&self.facts, &covered(name, header))
    }

    /// Closes a letter to the other replicas; `None` when the system has no randomness.
    pub(super) fn close_letter(&self, letter: &Letter) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(80);
        text.extend_from_slice(&letter.from);
        match &letter.news {
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
        let nonce = self
            .letters
            .seal_in_place_append_tag(Aad::empty(), &mut text)
            .ok()?;
        let mut closed = Vec::with_capacity(18 + text.len());
        closed.extend_from_slice(&self.key_id);
        closed.extend_from_slice(nonce.as_ref());
        closed.append(&mut text);
        Some(closed)
    }

    fn open_letter(&self, closed: &[u8]) -> Option<Letter> {
        let (nonce, sealed) = closed.split_first_chunk::<12>()?;
        let mut sealed = sealed.to_vec();
        let text = self
            .letters
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::empty(),
                &mut sealed,
            )
            .ok()?;
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
        Some(Letter { from: *from, news })
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("key_id", &BASE64_URL_SAFE_NO_PAD.encode(self.key_id))
            .finish_non_exhaustive()
    }
}

/// The key that a value claims to be made with, before anything of it is believed.
pub(super) fn claimed_key(value: &[u8]) -> Option<KeyId> {
    Fields::of(value.get(..HEADER)?).map(|fields| fields.key_id)
}

/// What a value says, for one's own that need not be proven again.
pub(super) fn claimed(value: &[u8]) -> Option<Fact> {
    Fields::of(value.get(..HEADER)?).map(|fields| fields.fact)
}

/// The name stands before the header: it has a fixed length, so the two cannot be taken apart in
/// another way. It follows from the user under the same key.
fn covered(name: &Name, header: &[u8]) -> Vec<u8> {
    [name.as_slice(), header].concat()
}

struct Fields {
    key_id: KeyId,
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
            (VERSION, b's') => Kind::Stands,
            (VERSION, b'f') => Kind::InFlux,
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
    use proptest::prelude::*;

    fn seals(key: char, cluster: &str) -> Seals {
        Seals::new(&secret(key), None, cluster)
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
        kind: Kind::Stands,
        epoch: 20_000,
        fingerprint: Fingerprint([7; 16]),
        at: Timestamp(1_800_000_000_000),
    };

    /// What these bytes are must never change: an upgrade would forget what every store holds, and
    /// replicas of both versions would not hear each other.
    #[test]
    fn fixed_vectors() {
        let seals = seals('1', "default");
        let seal = seals.of(Under::Current);
        let name = seal.name(&user("alice"));
        let in_flux = Fact {
            kind: Kind::InFlux,
            ..FACT
        };
        let shown = [
            BASE64_URL_SAFE_NO_PAD.encode(seal.key_id),
            BASE64_URL_SAFE_NO_PAD.encode(name),
            BASE64_URL_SAFE_NO_PAD.encode(seal.close(&name, &FACT)),
            BASE64_URL_SAFE_NO_PAD.encode(seal.close(&name, &in_flux)),
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
                seals.open(&BASE64_URL_SAFE_NO_PAD.decode(closed).unwrap()),
                Ok(letter)
            );
        }
    }

    #[test]
    fn every_replica_with_the_key_reads_what_one_wrote() {
        let (one, two) = (seals('1', "default"), seals('1', "default"));
        let name = one.of(Under::Current).name(&user("alice"));
        let value = one.of(Under::Current).close(&name, &FACT);
        assert_eq!(value.len(), VALUE);
        assert_eq!(name, two.of(Under::Current).name(&user("alice")));
        assert_eq!(two.of(Under::Current).open(&name, &value), Ok(FACT));
    }

    #[test]
    fn a_value_of_another_user_cluster_or_key_is_worth_nothing() {
        let own = seals('1', "default");
        let (own, alice, bob) = (
            own.of(Under::Current),
            own.of(Under::Current).name(&user("alice")),
            own.of(Under::Current).name(&user("bob")),
        );
        let value = own.close(&alice, &FACT);
        assert_eq!(own.open(&bob, &value), Err(Worthless::Damaged));
        assert_eq!(
            seals('2', "default")
                .of(Under::Current)
                .open(&alice, &value),
            Err(Worthless::Foreign)
        );
        assert_eq!(
            seals('1', "other").of(Under::Current).open(&alice, &value),
            Err(Worthless::Foreign)
        );
        assert_eq!(claimed_key(&value), Some(own.key_id));
        for length in 0..VALUE {
            assert_eq!(
                own.open(&alice, value.get(..length).unwrap()),
                Err(Worthless::Damaged),
                "{length}"
            );
        }
        assert!(own.open(&alice, &[value, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_letter_is_read_by_those_with_the_key_and_names_nobody_to_others() {
        let own = Seals::new(&secret('1'), Some(&secret('2')), "default");
        let letter = Letter {
            from: [9; 8],
            news: News::Changed(user("alice"), Fingerprint([3; 16])),
        };
        for under in [Under::Current, Under::Previous] {
            let closed = own.of(under).close_letter(&letter).unwrap();
            assert_eq!(own.open(&closed), Ok(letter.clone()));
            assert!(!closed.windows(5).any(|window| window == b"alice"));
            assert_eq!(seals('3', "default").open(&closed), Err(Worthless::Foreign));
            assert_eq!(
                own.open(closed.get(..closed.len() - 1).unwrap()),
                Err(Worthless::Damaged)
            );
        }
        for news in [
            News::Beat(FACT.at),
            News::Stands(user("alice"), FACT.fingerprint, FACT.at),
        ] {
            let letter = Letter { from: [9; 8], news };
            assert_eq!(
                own.open(&own.of(Under::Current).close_letter(&letter).unwrap()),
                Ok(letter)
            );
        }
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_enough(bit in 0..VALUE * 8) {
            let seals = seals('1', "default");
            let seal = seals.of(Under::Current);
            let name = seal.name(&user("alice"));
            let mut value = seal.close(&name, &FACT);
            if let Some(byte) = value.get_mut(bit / 8) { *byte ^= 1 << (bit % 8); }
            prop_assert!(seal.open(&name, &value).is_err());
        }

        #[test]
        fn strangers_bytes_are_taken_calmly(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let seals = seals('1', "default");
            let name = seals.of(Under::Current).name(&user("alice"));
            prop_assert!(seals.of(Under::Current).open(&name, &bytes).is_err());
            prop_assert!(seals.open(&bytes).is_err());
        }
    }
}
