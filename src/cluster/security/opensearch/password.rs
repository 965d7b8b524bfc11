//! The form of a hashed password that OpenSearch stores as it is.

use zeroize::Zeroizing;

/// A slow hash protects passwords that can be guessed; 256 bits cannot. The smallest cost of
/// bcrypt: every write empties the credential cache of all users, and so each is hashed again.
const COST: u32 = 4;

/// `$2b$04$` with salt and hash. Takes a millisecond.
pub(super) fn hash(password: &str, salt: &[u8; 32]) -> Option<Zeroizing<String>> {
    let salt: [u8; 16] = *salt.first_chunk()?;
    let parts = bcrypt::hash_with_salt(password, COST, salt).ok()?;
    Some(Zeroizing::new(
        parts.format_for_version(bcrypt::Version::TwoB),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_verifies_and_a_repeated_write_is_the_same_write() {
        let first = hash("open sesame", &[7; 32]).unwrap();
        assert!(first.starts_with("$2b$04$"));
        assert_eq!(*first, *hash("open sesame", &[7; 32]).unwrap());
        assert!(bcrypt::verify("open sesame", &first).unwrap());
        assert!(!bcrypt::verify("open sesam", &first).unwrap());
    }

    /// What these bytes are must never change: an upgrade would rewrite every user. The password is
    /// that of the fixed vectors of the keys.
    #[test]
    fn fixed_vector() {
        let hash = hash(
            "Ea1-IZvsLSM3nrcLBeSgPKHPa18WalRjf-NpeAJhS92jz34",
            &[0x65; 32],
        );
        assert_eq!(
            hash.as_deref().map(String::as_str),
            Some("$2b$04$XUTjXUTjXUTjXUTjXUTjXOHZRA4IZ67Is1kPzaXkMU39T/2vuxc6m")
        );
    }
}
