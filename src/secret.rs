//! Secrets have types: none can be printed, serialised or compared in variable time, and each use
//! is a call that a search finds.

pub(crate) mod address;

pub(crate) use secrecy::ExposeSecret;

use aws_lc_rs::{constant_time, digest, rand};
use std::{fmt, sync::Arc};
use zeroize::Zeroizing;

/// A text that must not be shown. It is in memory once: clones share it, and the last one wipes it.
#[derive(Clone)]
pub struct SecretString(Arc<secrecy::SecretString>);

impl From<String> for SecretString {
    fn from(text: String) -> Self {
        Self(Arc::new(text.into()))
    }
}

impl From<&str> for SecretString {
    fn from(text: &str) -> Self {
        Self(Arc::new(text.into()))
    }
}

impl ExposeSecret<str> for SecretString {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for SecretString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretString(***)")
    }
}

/// The key from which every credential is derived: 256 bits, as 64 hex digits in `secret_key`. It
/// is in memory once: a value that moves would leave its bytes behind.
#[derive(Clone)]
pub struct SecretKey(Arc<Zeroizing<[u8; 32]>>);

impl SecretKey {
    /// Takes 64 hex digits.
    ///
    /// # Errors
    /// Says what is wrong without repeating the value.
    pub fn parse(text: &str) -> Result<Self, InvalidKey> {
        if text.len() != 64 {
            return Err(InvalidKey::Length);
        }
        let key = Self::filled(|bytes| {
            for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
                *byte = pair
                    .iter()
                    .try_fold(0_u8, |high, digit| Some((high << 4) | hex_value(*digit)?))
                    .ok_or(InvalidKey::NotHex)?;
            }
            Ok(())
        })?;
        if is_sample(&key.0) {
            Err(InvalidKey::Sample)
        } else {
            Ok(key)
        }
    }

    /// A new key from the system's random source.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn random() -> Result<Self, NoRandomness> {
        Self::filled(|bytes| rand::fill(bytes).map_err(|_| NoRandomness))
    }

    /// The bytes are written where they stay.
    fn filled<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut key = Arc::new(Zeroizing::new([0; 32]));
        if let Some(bytes) = Arc::get_mut(&mut key) {
            fill(bytes)?;
        }
        Ok(Self(key))
    }

    /// The raw key, for derivation only.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// As `secret_key` takes it. The caller is about to show a secret.
    #[must_use]
    pub fn expose_hex(&self) -> String {
        use fmt::Write as _;
        self.0
            .iter()
            .fold(String::with_capacity(64), |mut text, byte| {
                let _infallible = write!(text, "{byte:02x}");
                text
            })
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

/// Keys of public guides and examples: all digits alike, or a short pattern repeated. They are
/// known to attackers.
fn is_sample(bytes: &[u8; 32]) -> bool {
    (1..=8).filter(|period| 32 % period == 0).any(|period| {
        bytes
            .chunks_exact(period)
            .all(|chunk| bytes.starts_with(chunk))
    })
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(***)")
    }
}

/// Why a text is not a usable key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKey {
    #[error("a key has exactly 64 hex digits; make one with `elastauth generate-key`")]
    Length,
    #[error("a key consists of hex digits only; make one with `elastauth generate-key`")]
    NotHex,
    #[error(
        "this key is a published sample that anybody can look up; make one with \
         `elastauth generate-key`"
    )]
    Sample,
}

/// The system gave no random bytes.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the system's random source gave no bytes")]
pub struct NoRandomness;

/// A key that a gateway sends in `X-Elastauth-Key`. Only its digest is kept.
#[derive(Clone)]
pub struct GatewayKey([u8; 32]);

impl GatewayKey {
    /// Shorter keys can be guessed over the network within the life of a deployment.
    pub const MIN_BYTES: usize = 16;

    /// Takes a key of at least [`Self::MIN_BYTES`] visible ASCII characters, which every gateway
    /// can put into a header.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() >= Self::MIN_BYTES && text.bytes().all(|b| b.is_ascii_graphic()))
            .then(|| Self(digest_of(text.as_bytes())))
    }

    /// Whether both are the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }

    /// Whether `shown` is this key; takes the same time for every wrong one.
    #[must_use]
    pub fn matches(&self, shown: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &digest_of(shown)).is_ok()
    }
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

impl fmt::Debug for GatewayKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayKey(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_written_as_text_is_read_back() {
        let key = SecretKey::random().unwrap();
        assert_eq!(
            SecretKey::parse(&key.expose_hex()).unwrap().expose(),
            key.expose()
        );
        assert_eq!(format!("{key:?}"), "SecretKey(***)");
    }

    #[test]
    fn an_invalid_key_is_refused_with_its_reason() {
        for (text, why) in [
            (String::new(), InvalidKey::Length),
            ("ab".repeat(31), InvalidKey::Length),
            ("zz".repeat(32), InvalidKey::NotHex),
            ("é".repeat(32), InvalidKey::NotHex),
            ("0123456789abcdef".repeat(4), InvalidKey::Sample),
            ("0123456789ABCDEF".repeat(4), InvalidKey::Sample),
            ("0".repeat(64), InvalidKey::Sample),
            ("a".repeat(64), InvalidKey::Sample),
            ("deadbeef".repeat(8), InvalidKey::Sample),
        ] {
            assert_eq!(SecretKey::parse(&text).err(), Some(why), "{text}");
        }
    }

    #[test]
    fn a_gateway_key_matches_only_itself() {
        let key = GatewayKey::parse("a-long-enough-key").unwrap();
        assert!(key.matches(b"a-long-enough-key"));
        assert!(!key.matches(b"a-long-enough-kez"));
        assert!(!key.matches(b""));
        assert!(GatewayKey::parse("short").is_none());
        assert_eq!(format!("{key:?}"), "GatewayKey(***)");
    }
}
