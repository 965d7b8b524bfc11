//! The form of a hashed password that Elasticsearch stores as it is.

use aws_lc_rs::pbkdf2::{self, PBKDF2_HMAC_SHA512};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// A slow hash protects passwords that can be guessed; 256 bits cannot. The smallest count that
/// Elasticsearch takes.
const ROUNDS: NonZeroU32 = NonZeroU32::new(1_000).expect("not zero");

/// `{PBKDF2}1000$salt$hash`, HMAC-SHA512, 32 bytes each. Takes a third of a millisecond and more.
pub(super) fn hash(password: &str, salt: &[u8; 32]) -> Zeroizing<String> {
    let mut key = Zeroizing::new([0_u8; 32]);
    pbkdf2::derive(
        PBKDF2_HMAC_SHA512,
        ROUNDS,
        salt,
        password.as_bytes(),
        &mut *key,
    );
    Zeroizing::new(format!(
        "{{PBKDF2}}{ROUNDS}${}${}",
        BASE64_STANDARD.encode(salt),
        BASE64_STANDARD.encode(*key)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_has_the_form_that_the_cluster_takes() {
        let hash = hash("open sesame", &[7; 32]);
        let parts: Vec<&str> = hash.split('$').collect();
        let [head, salt, key] = parts.as_slice() else {
            panic!("three parts")
        };
        assert_eq!(*head, "{PBKDF2}1000");
        let (salt, key) = (
            BASE64_STANDARD.decode(salt).unwrap(),
            BASE64_STANDARD.decode(key).unwrap(),
        );
        assert_eq!((salt.as_slice(), key.len()), (&[7; 32][..], 32));
        assert!(pbkdf2::verify(PBKDF2_HMAC_SHA512, ROUNDS, &salt, b"open sesame", &key).is_ok());
    }

    /// What these bytes are must never change: an upgrade would rewrite every user. Password and
    /// salt are those of the fixed vectors of the keys.
    #[test]
    fn fixed_vector() {
        let salt = BASE64_STANDARD
            .decode("ZuWxgpfKfdMolMKrt8rl28ey/M3RO6yY8wvYlwu2Xvk=")
            .unwrap();
        assert_eq!(
            *hash(
                "Ea1-IZvsLSM3nrcLBeSgPKHPa18WalRjf-NpeAJhS92jz34",
                &salt.try_into().unwrap()
            ),
            "{PBKDF2}1000$ZuWxgpfKfdMolMKrt8rl28ey/M3RO6yY8wvYlwu2Xvk=\
             $/G7xfgBQvFdy8+NFiRWake48yzLfe810UumJSkkoVY8="
        );
    }
}
