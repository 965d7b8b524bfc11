//! How a fact is stored: so that only holders of the same key can have written it.
//!
//! A value is 76 bytes: version, kind, key id, epoch, generation, fingerprint, time, and an
//! HMAC-SHA256 over these and the user, under a key that is derived from `secret_key` and the
//! cluster's name. A swapped, changed, cut or foreign value fails, and a replayed one carries its
//! own age.

use super::types::{Fact, Kind, Target};
use crate::{
    clock::Timestamp,
    keys::{Keyring, StoreKeyId, StoreKeys, StoreName},
    model::{Fingerprint, Generation},
};

/// Of the layout below.
const VERSION: u8 = 2;
/// The two kinds, in the second byte. A script of Redis knows this (`redis/written.lua`).
const PRESENT: u8 = b's';
const WRITE_PENDING: u8 = b'f';
/// So much of a value tells what it is about, and does not tell when it was written.
const SUBJECT: usize = 36;
/// Where the authenticated part ends.
const HEADER: usize = 44;
/// The whole value.
pub(super) const VALUE: usize = HEADER + 32;

/// Why a value or a message is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InvalidSeal {
    /// Made with a key that this deployment does not know.
    ForeignKey,
    /// Changed, cut, of another user or another cluster, or of an unknown version.
    Damaged,
}

/// The value of an update, under its key.
pub(super) fn seal_target(ring: &Keyring, target: &Target, kind: Kind, at: Timestamp) -> Vec<u8> {
    let keys = &ring.of(target.key).store;
    close(
        keys,
        &keys.name(&target.user),
        &Fact::about(target, kind, at),
    )
}

pub(super) fn close(keys: &StoreKeys, name: &StoreName, fact: &Fact) -> Vec<u8> {
    let kind = match fact.kind {
        Kind::Present => PRESENT,
        Kind::WritePending => WRITE_PENDING,
    };
    let header = [
        &[VERSION, kind][..],
        &keys.id,
        &fact.epoch.to_be_bytes(),
        &fact.generation.0.to_be_bytes(),
        &fact.fingerprint.0,
        &fact.at.0.to_be_bytes(),
    ]
    .concat();
    let tag = keys.sign_fact(&covered(name, &header));
    [&header, tag.as_ref()].concat()
}

/// What a value says about this name, if it is right in every bit. The name follows from the user
/// under the same key: a value of this deployment's other key does not fit it.
pub(super) fn open(ring: &Keyring, name: &StoreName, value: &[u8]) -> Result<Fact, InvalidSeal> {
    let (header, tag) = value.split_at_checked(HEADER).ok_or(InvalidSeal::Damaged)?;
    let (id, fact) = read(header).ok_or(InvalidSeal::Damaged)?;
    let keys = ring.store_keys(id).ok_or(InvalidSeal::ForeignKey)?;
    keys.verify_fact(&covered(name, header), tag)
        .map_err(|_| InvalidSeal::Damaged)?;
    Ok(fact)
}

/// What a value says, for one's own that need not be proven again.
pub(super) fn claimed(value: &[u8]) -> Option<Fact> {
    read(value.get(..HEADER)?).map(|(_, fact)| fact)
}

/// What a value is about, without its time.
pub(super) fn subject(value: &[u8]) -> &[u8] {
    value.get(..SUBJECT).unwrap_or(value)
}

/// The name comes before the header: it has a fixed length, so the two cannot be split in another
/// way.
fn covered(name: &StoreName, header: &[u8]) -> Vec<u8> {
    [name.as_slice(), header].concat()
}

fn read(header: &[u8]) -> Option<(StoreKeyId, Fact)> {
    let (version, rest) = header.split_first()?;
    let (kind, rest) = rest.split_first()?;
    let (id, rest) = rest.split_first_chunk()?;
    let (epoch, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (fingerprint, rest) = rest.split_first_chunk()?;
    let kind = match (*version, *kind) {
        (VERSION, PRESENT) => Kind::Present,
        (VERSION, WRITE_PENDING) => Kind::WritePending,
        _ => return None,
    };
    let fact = Fact {
        kind,
        epoch: u64::from_be_bytes(*epoch),
        generation: Generation(u32::from_be_bytes(*generation)),
        fingerprint: Fingerprint(*fingerprint),
        at: Timestamp(u64::from_be_bytes(rest.try_into().ok()?)),
    };
    Some((*id, fact))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        keys::Slot,
        ledger::message::{Event, InvalidMessage, Message, Published},
        model::Username,
        secret::SecretKey,
    };
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
        generation: Generation(3),
        fingerprint: Fingerprint([7; 16]),
        at: Timestamp(1_800_000_000_000),
    };

    fn published() -> Published {
        Published {
            until: 7,
            unused: vec![3, 6],
        }
    }

    /// What these bytes are must never change: an upgrade would forget what every store holds, and
    /// replicas of both versions would not read each other.
    #[test]
    fn fixed_vectors() {
        let ring = ring('1', "default");
        let keys = current(&ring);
        let name = keys.name(&user("alice"));
        let pending = Fact {
            kind: Kind::WritePending,
            ..FACT
        };
        let shown = [
            BASE64_URL_SAFE_NO_PAD.encode(keys.id),
            BASE64_URL_SAFE_NO_PAD.encode(name),
            BASE64_URL_SAFE_NO_PAD.encode(close(keys, &name, &FACT)),
            BASE64_URL_SAFE_NO_PAD.encode(close(keys, &name, &pending)),
        ];
        assert_eq!(
            shown,
            [
                "1Mmi3kqh",
                "ejnnYwsPWGaUzlf_-Apz6w",
                "AnPUyaLeSqEAAAAAAABOIAAAAAMHBwcHBwcHBwcHBwcHBwcHAAABoxhcUADmUoO5kJKViFX5aS3P_OgZiQdo_2F0F3Kfh-jccgZNnw",
                "AmbUyaLeSqEAAAAAAABOIAAAAAMHBwcHBwcHBwcHBwcHBwcHAAABoxhcUADUVwVVWhe1K7mIvG4aSJ1ELPDNEcrrojACKsBAqYSo_g",
            ]
        );
        let messages = [
            (
                Event::Heartbeat(FACT.at, published()),
                "1Mmi3kqhxE1hyJHbGLsozOs-i3yKJsJMRFGFK9SJX7vXoz_gRLKN4ULS3azVPWk0p-vDjOWOpTL9yWNDiTkzieUuu52Dh4hvL5G3k1EL7SpWsV6ef6TNFgN4Q7FqbnklcTxYQolKLBlqkcu3XWHobRzGsuD7ldjfkgm26OsX1Ae9W3Ao9K8hHV3eFmmOe9r0JIon_pVOlDkhKRfwZhENn6s9rF7ufxdjXEBv2iiwG5LlzKF4j7rWHEBt6oppTGNm2zIEFw",
            ),
            (
                Event::Changed(user("alice"), FACT.fingerprint),
                "1Mmi3kqhSPRu5vaX0JLwUyL1hPvWmGXgJgOC-veIlGBd8jK9NdndvhiWVYNT3K0US_7eEkFyJmdvLuu0ae96IV5OCx3190ErmA",
            ),
            (
                Event::Confirmed(user("alice"), FACT.fingerprint, FACT.at),
                "1Mmi3kqhM_lF-42gTV4NBqXfL7_VTvyJZIQy0C8NXbv5-GYinBfGXBAwUpExeT-tYz29XKRhy3Bvq8YsKcFPZeUT8_7UIeNRaXBtUUnnxnll",
            ),
        ];
        for (event, closed) in messages {
            let message = Message {
                from: [9; 8],
                number: 5,
                event,
            };
            assert_eq!(
                Message::open(&ring, &BASE64_URL_SAFE_NO_PAD.decode(closed).unwrap()),
                Ok(message)
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
        assert_eq!(open(&two, &name, &value), Ok(FACT));
    }

    #[test]
    fn a_value_of_another_user_cluster_or_key_is_invalid() {
        let own = ring('1', "default");
        let keys = current(&own);
        let (alice, bob) = (keys.name(&user("alice")), keys.name(&user("bob")));
        let value = close(keys, &alice, &FACT);
        assert_eq!(open(&own, &bob, &value), Err(InvalidSeal::Damaged));
        for (key, cluster) in [('2', "default"), ('1', "other")] {
            let other = ring(key, cluster);
            assert_eq!(open(&other, &alice, &value), Err(InvalidSeal::ForeignKey));
        }
        let both = Keyring::new(&secret('1'), Some(&secret('2')), "default");
        let under_the_other = both.of(Slot::Previous).store.name(&user("alice"));
        assert_eq!(
            open(&both, &under_the_other, &value),
            Err(InvalidSeal::Damaged)
        );
        let claimed = read(value.get(..HEADER).unwrap());
        assert_eq!(claimed, Some((keys.id, FACT)));
        for length in 0..VALUE {
            assert_eq!(
                open(&own, &alice, value.get(..length).unwrap()),
                Err(InvalidSeal::Damaged),
                "{length}"
            );
        }
        assert!(open(&own, &alice, &[value, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_message_is_read_by_holders_of_the_key_and_names_no_user_to_others() {
        let own = Keyring::new(&secret('1'), Some(&secret('2')), "default");
        let message = Message {
            from: [9; 8],
            number: 5,
            event: Event::Changed(user("alice"), Fingerprint([3; 16])),
        };
        for slot in [Slot::Current, Slot::Previous] {
            let closed = message.close(&own.of(slot).store).unwrap();
            assert_eq!(Message::open(&own, &closed), Ok(message.clone()));
            assert!(!closed.windows(5).any(|window| window == b"alice"));
            assert_eq!(
                Message::open(&ring('3', "default"), &closed),
                Err(InvalidMessage::Seal(InvalidSeal::ForeignKey))
            );
            assert_eq!(
                Message::open(&own, closed.get(..closed.len() - 1).unwrap()),
                Err(InvalidMessage::Seal(InvalidSeal::Damaged))
            );
        }
        for event in [
            Event::Heartbeat(FACT.at, published()),
            Event::Confirmed(user("alice"), FACT.fingerprint, FACT.at),
        ] {
            let message = Message {
                from: [9; 8],
                number: 5,
                event,
            };
            assert_eq!(
                Message::open(&own, &message.close(current(&own)).unwrap()),
                Ok(message)
            );
        }
    }

    /// As the first format had it: no version, no number.
    #[test]
    fn a_message_of_another_version_is_told_from_a_damaged_one() {
        let own = ring('1', "default");
        let first_format = [&[9; 8][..], b"c", &[3; 16], b"alice"].concat();
        let closed = current(&own).seal_message(first_format).unwrap();
        assert_eq!(
            Message::open(&own, &closed),
            Err(InvalidMessage::OtherVersion)
        );
        let later = [&[9; 8][..], &[3], b"anything"].concat();
        let closed = current(&own).seal_message(later).unwrap();
        assert_eq!(
            Message::open(&own, &closed),
            Err(InvalidMessage::OtherVersion)
        );
        let cut = [&[9; 8][..], &[2, 0]].concat();
        let closed = current(&own).seal_message(cut).unwrap();
        let damaged = Err(InvalidMessage::Seal(InvalidSeal::Damaged));
        assert_eq!(Message::open(&own, &closed), damaged);
    }

    proptest! {
        #[test]
        fn one_changed_bit_is_enough(bit in 0..VALUE * 8) {
            let ring = ring('1', "default");
            let name = current(&ring).name(&user("alice"));
            let mut value = close(current(&ring), &name, &FACT);
            if let Some(byte) = value.get_mut(bit / 8) { *byte ^= 1 << (bit % 8); }
            prop_assert!(open(&ring, &name, &value).is_err());
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let ring = ring('1', "default");
            let name = current(&ring).name(&user("alice"));
            prop_assert!(open(&ring, &name, &bytes).is_err());
            prop_assert!(Message::open(&ring, &bytes).is_err());
        }
    }
}
