//! HKDF-SHA256 (RFC 5869) for one block: every purpose needs 32 bytes.

use crate::secret::SecretKey;
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use zeroize::Zeroizing;

/// The pseudo-random key, ready for use: its inner and outer state are computed once.
pub(super) struct Hkdf(hmac::Key);

impl Hkdf {
    /// `label` is the extraction salt; a new scheme takes a new label.
    pub(super) fn extract(label: &[u8], secret: &SecretKey) -> Self {
        let prk = hmac::sign(&hmac::Key::new(HMAC_SHA256, label), secret.expose());
        Self(hmac::Key::new(HMAC_SHA256, prk.as_ref()))
    }

    /// `HMAC(prk, info || 1)`.
    pub(super) fn expand(&self, mut info: Vec<u8>) -> Zeroizing<[u8; 32]> {
        info.push(1);
        Zeroizing::new(beginning(hmac::sign(&self.0, &info).as_ref()))
    }

    /// An HMAC key of its own for one purpose.
    pub(super) fn hmac_key(&self, info: Vec<u8>) -> hmac::Key {
        hmac::Key::new(HMAC_SHA256, &*self.expand(info))
    }
}

/// The first bytes of a longer digest.
pub(super) fn beginning<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::hkdf;

    #[test]
    fn the_library_derives_the_same_bytes() {
        let secret = SecretKey::random().unwrap();
        let mut expected = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"label")
            .extract(secret.expose())
            .expand(&[b"info"], hkdf::HKDF_SHA256)
            .unwrap()
            .fill(&mut expected)
            .unwrap();
        assert_eq!(
            *Hkdf::extract(b"label", &secret).expand(b"info".to_vec()),
            expected
        );
    }
}
