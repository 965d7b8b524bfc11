//! Malformed messages and values by the thousand, with valid seals and without. None may cause a
//! panic, none is read as something else than what was sealed, and whatever order the numbers come
//! in, no message is used twice.
//!
//! `cargo xtask fuzz --seconds N` runs longer than the tests, from a new seed.

#![expect(
    clippy::print_stdout,
    reason = "the seed is for the person at the terminal"
)]

use super::{
    message::{Event, Message, Published, UNUSED},
    redis::{Senders, Taken},
    seal,
    types::{Fact, Kind},
};
use crate::{
    clock::Timestamp,
    keys::{Keyring, Slot},
    model::{Fingerprint, Generation, Username, mixed},
    secret::SecretKey,
};
use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

const CASES: u64 = 500;

/// Repeatable choices (`SplitMix64`).
struct Draw(u64);

impl Draw {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound
    }

    /// Edges are drawn as often as all else together.
    fn edge(&mut self) -> u64 {
        match self.below(6) {
            0 => 0,
            1 => 1,
            2 => u64::MAX,
            _ => self.below(20_000),
        }
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        [(); N].map(|()| self.number().to_be_bytes()[0])
    }

    fn malformed(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        let length = bytes.len().max(1) as u64;
        let at = usize::try_from(self.below(length)).unwrap();
        match self.below(4) {
            0 => bytes.truncate(at),
            1 => bytes.extend(self.bytes::<9>()),
            2 => bytes = bytes.into_iter().skip(at).collect(),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.below(8);
                }
            }
        }
        bytes
    }

    fn message(&mut self) -> Message {
        let names = ["alice", "b", "user@example.org", &"x".repeat(200)];
        let name = names[usize::try_from(self.below(4)).unwrap()];
        let user = Username::parse(name).unwrap();
        let fingerprint = Fingerprint(self.bytes());
        let event = match self.below(3) {
            0 => Event::Changed(user, fingerprint),
            1 => Event::Confirmed(user, fingerprint, Timestamp(self.edge())),
            _ => {
                let count = self.below(UNUSED as u64 + 1);
                let published = Published {
                    until: self.edge(),
                    unused: (0..count).map(|_| self.edge().max(1)).collect(),
                };
                Event::Heartbeat(Timestamp(self.edge()), published)
            }
        };
        Message {
            from: [u8::try_from(self.below(3)).unwrap(); 8],
            number: self.edge(),
            event,
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person at the terminal gives the seed and the time"
)]
#[test]
fn no_malformed_message_or_value_is_used_and_nothing_panics() {
    let given = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = given("ELASTAUTH_FUZZ_SEED").unwrap_or(7);
    let until = given("ELASTAUTH_FUZZ_SECONDS");
    let until = until.map(|seconds| (Instant::now(), Duration::from_secs(seconds)));
    println!("messages and values from seed {seed}");
    let ring = keyring();
    let (mut draw, mut case) = (Draw(seed), 0);
    while until.map_or(case < CASES, |(begun, most)| begun.elapsed() < most) {
        case += 1;
        let case_seed = draw.number();
        one(&ring, &mut Draw(case_seed));
    }
    println!("{case} cases");
}

fn keyring() -> Keyring {
    let key = "13c9d1e07b8a64f52e1d0c3b4a59687786950413f2e1d0c9b8a7968574635241";
    Keyring::new(&SecretKey::parse(key).unwrap(), None, "default")
}

#[test]
fn a_heartbeat_with_more_numbers_than_senders_write_is_refused() {
    let ring = keyring();
    let keys = &ring.of(Slot::Current).store;
    let mut draw = Draw(7);
    let heartbeat = loop {
        let message = draw.message();
        if matches!(message.event, Event::Heartbeat(..)) {
            break message;
        }
    };
    let closed = heartbeat.close(keys).unwrap();
    let mut text = keys.open_message(&closed[6..]).unwrap();
    assert!(Message::open(&ring, &keys.seal_message(text.clone()).unwrap()).is_ok());
    text.extend([1; 8]);
    assert!(Message::open(&ring, &keys.seal_message(text).unwrap()).is_err());
}

fn one(ring: &Keyring, draw: &mut Draw) {
    let keys = &ring.of(Slot::Current).store;
    let message = draw.message();
    let closed = message.close(keys).unwrap();
    assert_eq!(Message::open(ring, &closed).as_ref(), Ok(&message));
    let malformed = draw.malformed(closed.clone());
    assert!(malformed == closed || Message::open(ring, &malformed).is_err());
    // Malformed by somebody who has the key: read, or refused.
    let text = keys.open_message(&closed[6..]).unwrap();
    let sealed = keys.seal_message(draw.malformed(text)).unwrap();
    if let Ok(read) = Message::open(ring, &sealed) {
        let again = read.close(keys).unwrap();
        assert_eq!(Message::open(ring, &again), Ok(read));
    }

    let (mut senders, mut seen) = (Senders::default(), HashSet::new());
    for second in 0..50 {
        if draw.below(20) == 0 {
            senders.interrupted();
        }
        let message = draw.message();
        let name = (message.from, message.event.is_change(), message.number);
        if senders.take(&message, Timestamp(second)) != Taken::Again {
            assert!(seen.insert(name), "{name:?} is used twice");
        }
    }

    let user = Username::parse("alice").unwrap();
    let name = keys.name(&user);
    let fact = Fact {
        kind: [Kind::Present, Kind::WritePending][usize::from(draw.below(2) == 0)],
        epoch: draw.edge(),
        generation: Generation(u32::try_from(draw.below(1 << 32)).unwrap()),
        fingerprint: Fingerprint(draw.bytes()),
        at: Timestamp(draw.edge()),
    };
    let value = seal::close(keys, &name, &fact);
    assert_eq!(seal::open(ring, &name, &value), Ok(fact));
    let malformed = draw.malformed(value.clone());
    assert!(malformed == value || seal::open(ring, &name, &malformed).is_err());
}
