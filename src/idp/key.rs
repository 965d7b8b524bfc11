//! Keys that sign tokens, and the check of a signature. The key decides the algorithm; a token must
//! name the same.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    EcdsaVerificationAlgorithm, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::fmt;

/// The longest `kid` that is accepted. They are UUIDs, thumbprints and dates.
pub(super) const MAX_KID_BYTES: usize = 256;

/// Signature algorithms with a public key. `none` and algorithms with a shared secret do not exist
/// here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    /// `EdDSA` over edwards25519.
    Ed25519,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::Es512,
        Self::Ed25519,
    ];

    /// The name is compared exactly: `none`, `NONE` and `rs256` are not accepted.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" | "Ed25519" => Self::Ed25519,
            _ => return None,
        })
    }

    fn rsa(self) -> Option<&'static RsaParameters> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            Self::Es256 | Self::Es384 | Self::Es512 | Self::Ed25519 => return None,
        })
    }

    /// Whether an RSA key makes it.
    #[must_use]
    pub fn is_rsa(self) -> bool {
        self.rsa().is_some()
    }
}

/// A parsed public key.
pub(crate) struct PublicKey {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    /// The length of a signature of this key. Another length means another encoding or padding.
    signature_bytes: usize,
    public: ParsedPublicKey,
}

/// Why an entry of a key set cannot be used. Such entries are skipped (RFC 7517 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableKey {
    #[error("it is not an object with members of the right types")]
    Shape,
    #[error("it is not for signatures (`use`, `key_ops`)")]
    NotForSignatures,
    #[error("its type or curve is not supported")]
    Kind,
    #[error("its algorithm is not supported, or does not belong to its type")]
    Algorithm,
    #[error("it is a private or shared key")]
    NotPublic,
    #[error("its numbers are not a valid key, or an RSA key outside 2048 to 8192 bits")]
    Numbers,
}

impl PublicKey {
    /// Takes one entry of a key set. Certificates and addresses in it are ignored.
    ///
    /// An RSA key could have six algorithms; if it does not name one, it has `rsa_unnamed`.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub(crate) fn parse(entry: &Value, rsa_unnamed: Algorithm) -> Result<Self, UnusableKey> {
        let entry = entry.as_object().ok_or(UnusableKey::Shape)?;
        let kid = text(entry, "kid")?.filter(|kid| !kid.is_empty());
        if kid.is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
            return Err(UnusableKey::Shape);
        }
        if ["d", "k", "p", "q"]
            .iter()
            .any(|member| entry.contains_key(*member))
        {
            return Err(UnusableKey::NotPublic);
        }
        if text(entry, "use")?.is_some_and(|of| of != "sig") || !may_verify(entry)? {
            return Err(UnusableKey::NotForSignatures);
        }
        let named = text(entry, "alg")?
            .map(|name| Algorithm::parse(name).ok_or(UnusableKey::Algorithm))
            .transpose()?;
        let family = text(entry, "kty")?.ok_or(UnusableKey::Shape)?;
        let (algorithm, signature_bytes, public) = match (family, text(entry, "crv")?) {
            ("RSA", _) => rsa(entry, named.unwrap_or(rsa_unnamed))?,
            ("EC", Some("P-256")) => curve(entry, Algorithm::Es256, 32, &ECDSA_P256_SHA256_FIXED)?,
            ("EC", Some("P-384")) => curve(entry, Algorithm::Es384, 48, &ECDSA_P384_SHA384_FIXED)?,
            ("EC", Some("P-521")) => curve(entry, Algorithm::Es512, 66, &ECDSA_P521_SHA512_FIXED)?,
            ("OKP", Some("Ed25519")) => {
                let public = ParsedPublicKey::new(&ED25519, number(entry, "x", 32)?)
                    .map_err(|_| UnusableKey::Numbers)?;
                (Algorithm::Ed25519, 64, public)
            }
            _ => return Err(UnusableKey::Kind),
        };
        if named.is_some_and(|named| named != algorithm) {
            return Err(UnusableKey::Algorithm);
        }
        Ok(Self {
            kid: kid.map(Box::from),
            algorithm,
            signature_bytes,
            public,
        })
    }

    /// Its name in the set, if it has one.
    #[must_use]
    pub(crate) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The one algorithm that it is used with.
    #[must_use]
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature` is a signature of `message` by this key.
    #[must_use]
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        signature.len() == self.signature_bytes
            && self.public.verify_sig(message, signature).is_ok()
    }

    /// Whether both are the same key under the same name.
    #[must_use]
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.kid == other.kid
            && self.algorithm == other.algorithm
            && self.public.as_ref() == other.public.as_ref()
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

type Parsed = (Algorithm, usize, ParsedPublicKey);

fn rsa(entry: &Map<String, Value>, algorithm: Algorithm) -> Result<Parsed, UnusableKey> {
    let parameters = algorithm.rsa().ok_or(UnusableKey::Algorithm)?;
    let (n, e) = (bytes(entry, "n")?, bytes(entry, "e")?);
    // Leading zeros are against the standard and occur; the number is the same.
    let (n, e) = (without_zeros(&n), without_zeros(&e));
    let bits = n.len() * 8 - n.first().map_or(0, |first| first.leading_zeros() as usize);
    if !(2048..=8192).contains(&bits) {
        return Err(UnusableKey::Numbers);
    }
    let public = RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(parameters)
        .map_err(|_| UnusableKey::Numbers)?;
    Ok((algorithm, bits.div_ceil(8), public))
}

/// The point in its uncompressed form. The library refuses one that is not on the curve.
fn curve(
    entry: &Map<String, Value>,
    algorithm: Algorithm,
    size: usize,
    verification: &'static EcdsaVerificationAlgorithm,
) -> Result<Parsed, UnusableKey> {
    let point = [
        vec![4],
        number(entry, "x", size)?,
        number(entry, "y", size)?,
    ]
    .concat();
    let public = ParsedPublicKey::new(verification, point).map_err(|_| UnusableKey::Numbers)?;
    Ok((algorithm, 2 * size, public))
}

fn number(entry: &Map<String, Value>, member: &str, size: usize) -> Result<Vec<u8>, UnusableKey> {
    let bytes = bytes(entry, member)?;
    (bytes.len() == size)
        .then_some(bytes)
        .ok_or(UnusableKey::Numbers)
}

fn bytes(entry: &Map<String, Value>, member: &str) -> Result<Vec<u8>, UnusableKey> {
    let text = text(entry, member)?.ok_or(UnusableKey::Shape)?;
    // 8192 bits are 1,366 characters.
    if text.len() > 1_500 {
        return Err(UnusableKey::Numbers);
    }
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| UnusableKey::Numbers)
}

fn without_zeros(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

fn text<'a>(entry: &'a Map<String, Value>, member: &str) -> Result<Option<&'a str>, UnusableKey> {
    entry
        .get(member)
        .filter(|value| !value.is_null())
        .map(|value| value.as_str().ok_or(UnusableKey::Shape))
        .transpose()
}

fn may_verify(entry: &Map<String, Value>) -> Result<bool, UnusableKey> {
    match entry.get("key_ops") {
        None | Some(Value::Null) => Ok(true),
        Some(Value::Array(all)) => Ok(all.iter().any(|one| one == "verify")),
        Some(_) => Err(UnusableKey::Shape),
    }
}
