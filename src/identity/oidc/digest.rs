//! By what a remembered token is looked up.
//!
//! The digest is GMAC: AES-GCM under a random key of this process, with the text as additional data
//! and nothing to encrypt. For a token of 1.4 KB it takes a fifth of the time of SHA-256.
//!
//! Equal digests count as equal tokens, so two texts must never have one. GMAC computes a
//! polynomial whose coefficients are the blocks of the text and its length, at a secret point, and
//! adds a mask that follows from the nonce. Two texts of at most n blocks have the same digest at
//! no more than n + 1 of 2^128 points. For up to 1,023 blocks that is a probability of at most
//! 2^-118, for texts that somebody chose without knowing the key; a longer text gets HMAC-SHA-256
//! instead.
//!
//! A nonce is used more than once here, which would be wrong for messages: whoever has two digests
//! under one nonce can compute the point. But no digest leaves the process.

use super::presented::TokenPlace;
use aws_lc_rs::{
    aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hmac, rand,
};
use std::{
    fmt,
    hash::{Hash, Hasher},
};

/// The longest text for GMAC: 1,023 blocks.
const LONGEST: usize = 1_023 * 16;

/// Of a text and the place where it was found: an ID token that was accepted in its cookie is not
/// accepted as a bearer token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Digest([u8; 32]);

/// A random key, new in each process.
pub(super) struct DigestKey {
    gmac: LessSafeKey,
    hmac: hmac::Key,
}

impl DigestKey {
    #[expect(
        clippy::expect_used,
        reason = "the library ends the process where it has no random bytes, and the length is \
                  that of a key"
    )]
    pub(super) fn random() -> Self {
        let (mut gmac, mut hmac) = ([0; 16], [0; 32]);
        rand::fill(&mut gmac).expect("random bytes");
        rand::fill(&mut hmac).expect("random bytes");
        Self {
            gmac: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &gmac).expect("16 bytes")),
            hmac: hmac::Key::new(hmac::HMAC_SHA256, &hmac),
        }
    }

    pub(super) fn digest(&self, text: &[u8], place: TokenPlace) -> Digest {
        let place = match place {
            TokenPlace::Bearer => b'b',
            TokenPlace::Header => b'h',
            TokenPlace::AccessCookie => b'a',
            TokenPlace::IdCookie => b'i',
        };
        let mut out = [0; 32];
        if text.len() <= LONGEST {
            // The place chooses the mask, so one text has another digest in each place.
            let mut nonce = [0; NONCE_LEN];
            nonce[0] = place;
            let nonce = Nonce::assume_unique_for_key(nonce);
            #[expect(
                clippy::expect_used,
                reason = "it fails for texts of 2^61 bytes and for wrong lengths of nonce and tag"
            )]
            let tag = self
                .gmac
                .seal_in_place_separate_tag(nonce, Aad::from(text), &mut [])
                .expect("a short text");
            out[..16].copy_from_slice(tag.as_ref());
        } else {
            let mut context = hmac::Context::with_key(&self.hmac);
            context.update(&[place]);
            context.update(text);
            out.copy_from_slice(context.sign().as_ref());
        }
        Digest(out)
    }
}

/// All bytes are as good as random, so a few of them tell as much as a hash of all.
impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let first = self.0.first_chunk().copied().unwrap_or_default();
        state.write_u64(u64::from_ne_bytes(first));
    }
}

/// A digest in a log would be one that leaves the process.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const PLACES: [TokenPlace; 4] = [
        TokenPlace::Bearer,
        TokenPlace::Header,
        TokenPlace::AccessCookie,
        TokenPlace::IdCookie,
    ];

    #[test]
    fn a_text_has_one_digest_for_each_place_and_process() {
        let (one, other) = (DigestKey::random(), DigestKey::random());
        for length in [0, 1, 15, 16, 17, 1_400, LONGEST, LONGEST + 1, 32_768] {
            let text = vec![b'x'; length];
            let all: HashSet<_> = [&one, &other]
                .into_iter()
                .flat_map(|key| PLACES.map(|place| key.digest(&text, place)))
                .collect();
            assert_eq!(all.len(), 8, "{length}");
            let again = one.digest(&text, TokenPlace::Header);
            assert_eq!(again, one.digest(&text, TokenPlace::Header), "{length}");
        }
    }

    #[test]
    fn a_change_of_any_byte_or_of_the_length_gives_another_digest() {
        let key = DigestKey::random();
        for length in [1_400, LONGEST, LONGEST + 1] {
            let text = vec![0; length];
            let digest = |text: &[u8]| key.digest(text, TokenPlace::Bearer);
            let mut seen = HashSet::from([digest(&text)]);
            // A text of zeros: blocks are filled up with them, so the length alone differs.
            for shorter in (length - 40)..length {
                assert!(seen.insert(digest(&text[..shorter])), "{shorter}");
            }
            let bytes = (0..length).step_by(7).chain([length - 1]);
            for at in bytes.collect::<HashSet<_>>() {
                let mut changed = text.clone();
                changed[at] = 1;
                assert!(seen.insert(digest(&changed)), "byte {at} of {length}");
            }
            // Blocks that change places.
            let mut swapped = text.clone();
            swapped[0] = 2;
            let one = digest(&swapped);
            swapped.swap(0, 16);
            assert_ne!(one, digest(&swapped));
        }
    }

    #[test]
    fn nothing_of_a_digest_is_shown() {
        let digest = DigestKey::random().digest(b"abc", TokenPlace::Bearer);
        assert_eq!(format!("{digest:?}"), "Digest(..)");
    }
}
