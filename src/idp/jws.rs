//! The outer form of a signed token: three parts, strictly parsed. `identity::oidc` judges the
//! claims.

use super::{
    json::{self, InvalidJson},
    key::{Algorithm, MAX_KID_BYTES, PublicKey},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use std::fmt;

/// The longest token. Servers in front accept 8 to 32 KB of headers, and Keycloak's tokens with
/// hundreds of roles are smaller.
pub(crate) const MAX_TOKEN_BYTES: usize = 32 * 1024;
/// A header has `alg`, `kid`, `typ` and perhaps a certificate chain that is ignored.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// The longest signature in base64url: RSA with 8192 bits.
const MAX_SIGNATURE_BYTES: usize = 1_366;

/// A token that is well-formed. Nothing is proven yet.
pub(crate) struct Jws<'a> {
    header: Header,
    claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

#[derive(Debug)]
struct Header {
    algorithm: Algorithm,
    kid: Option<Box<str>>,
    kind: Option<Box<str>>,
}

/// Claims whose signature was verified. [`Jws::verified`] alone makes it.
pub(crate) struct Verified {
    claims: Map<String, Value>,
    kind: Option<Box<str>>,
}

impl Verified {
    #[must_use]
    pub(crate) fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The header's `typ` in lower case, without `application/`.
    #[must_use]
    pub(crate) fn kind(&self) -> Option<&str> {
        self.kind.as_deref()
    }
}

/// Claims are personal data.
impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// Why a text is not a signed token that is accepted. One variant a rule; nothing of the token is
/// in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MalformedToken {
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLong,
    #[error("the token is encrypted (five parts); only signed tokens are accepted")]
    Encrypted,
    #[error("the token does not have three parts")]
    Parts,
    #[error("the token's {0} is not base64url without padding, in its one canonical form")]
    Base64(&'static str),
    #[error("the token's {0} is not acceptable JSON")]
    Json(&'static str, #[source] InvalidJson),
    #[error("the token's header or signature is too long")]
    PartTooLong,
    #[error("the token's algorithm (`alg`) is not one of the asymmetric ones that are supported")]
    Algorithm,
    #[error("the token's `kid` is not a text of at most {MAX_KID_BYTES} bytes")]
    Kid,
    #[error("the token's `typ` is not a text")]
    Kind,
    #[error("the token's header has `crit`: it requires extensions that elastauth does not know")]
    Critical,
    #[error("the token's header has `b64`: its claims are not encoded as in a token")]
    Unencoded,
    #[error("the token holds another token (`cty`), or is compressed or encrypted (`zip`, `enc`)")]
    Nested,
}

/// What a text is by its form.
pub(crate) enum TokenForm<'a> {
    Signed(Jws<'a>),
    /// Not a signed token, for this reason. It may mean something to the provider that made it: it
    /// is encrypted, or its parts are no JSON.
    Foreign(MalformedToken),
    /// It begins as a signed token does and is none that can be verified.
    Broken(MalformedToken),
    /// Nothing that says what it is.
    Opaque,
}

impl<'a> TokenForm<'a> {
    /// # Errors
    /// When it is too long for anybody.
    pub(crate) fn of(token: &'a str) -> Result<Self, MalformedToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(MalformedToken::TooLong);
        }
        // Base64url of `{"`, and of a brace with the usual blanks.
        let is_json = ["ey", "ew", "IH"]
            .iter()
            .any(|start| token.starts_with(start));
        let dots = token.bytes().filter(|byte| *byte == b'.').count();
        if !is_json && !matches!(dots, 2 | 4) {
            return Ok(Self::Opaque);
        }
        Ok(match Jws::parse(token) {
            Ok(jws) => Self::Signed(jws),
            Err(why @ MalformedToken::Encrypted) => Self::Foreign(why),
            Err(why) if !is_json => Self::Foreign(why),
            Err(why) => Self::Broken(why),
        })
    }
}

impl<'a> Jws<'a> {
    /// Parses the form. Sizes are checked before anything is decoded.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub(crate) fn parse(token: &'a str) -> Result<Self, MalformedToken> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(MalformedToken::TooLong);
        }
        let mut parts = token.split('.');
        let (header, claims, signature) =
            match (parts.next(), parts.next(), parts.next(), parts.count()) {
                (Some(header), Some(claims), Some(signature), 0) => (header, claims, signature),
                (Some(_), Some(_), Some(_), 2) => return Err(MalformedToken::Encrypted),
                _ => return Err(MalformedToken::Parts),
            };
        if header.len() > MAX_HEADER_BYTES || signature.len() > MAX_SIGNATURE_BYTES {
            return Err(MalformedToken::PartTooLong);
        }
        let signed = token
            .as_bytes()
            .get(..=header.len() + claims.len())
            .unwrap_or_default();
        Ok(Self {
            header: Header::read(&object(header, "header")?)?,
            claims: object(claims, "claims")?,
            signed,
            signature: decoded(signature, "signature")?,
        })
    }

    /// The claims, which nothing has proven yet.
    #[must_use]
    pub(crate) fn unproven(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The issuer that the token names, which nothing has proven yet: for choosing the keys that
    /// must have signed it, and for nothing else.
    #[must_use]
    pub(crate) fn unproven_issuer(&self) -> Option<&str> {
        self.claims.get("iss").and_then(Value::as_str)
    }

    /// The algorithm that the token names.
    #[must_use]
    pub(crate) fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// The key that the token names.
    #[must_use]
    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims, if one of the keys has signed them; the token as it was if none has.
    ///
    /// # Errors
    /// The token, for other keys.
    pub(crate) fn verified<'k>(
        self,
        keys: impl IntoIterator<Item = &'k PublicKey>,
    ) -> Result<Verified, Self> {
        let signed = |key: &PublicKey| {
            key.algorithm() == self.header.algorithm && key.verifies(self.signed, &self.signature)
        };
        if keys.into_iter().any(signed) {
            Ok(Verified {
                claims: self.claims,
                kind: self.header.kind,
            })
        } else {
            Err(self)
        }
    }
}

impl fmt::Debug for Jws<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jws")
            .field("algorithm", &self.header.algorithm)
            .finish_non_exhaustive()
    }
}

impl Header {
    /// `jku`, `x5u`, `jwk` and `x5c` are ignored: a token does not choose the keys that verify it.
    fn read(members: &Map<String, Value>) -> Result<Self, MalformedToken> {
        if members.contains_key("crit") {
            return Err(MalformedToken::Critical);
        }
        if members.contains_key("b64") {
            return Err(MalformedToken::Unencoded);
        }
        if ["cty", "zip", "enc"]
            .iter()
            .any(|member| members.contains_key(*member))
        {
            return Err(MalformedToken::Nested);
        }
        let algorithm = members
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::parse)
            .ok_or(MalformedToken::Algorithm)?;
        let kid = match members.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=MAX_KID_BYTES).contains(&kid.len()) => {
                Some(kid.as_str().into())
            }
            Some(_) => return Err(MalformedToken::Kid),
        };
        let media_type = match members.get("typ") {
            None => None,
            Some(Value::String(named)) => {
                let named = named.to_ascii_lowercase();
                Some(named.strip_prefix("application/").unwrap_or(&named).into())
            }
            Some(_) => return Err(MalformedToken::Kind),
        };
        Ok(Self {
            algorithm,
            kid,
            kind: media_type,
        })
    }
}

fn object(text: &str, part: &'static str) -> Result<Map<String, Value>, MalformedToken> {
    json::object(&decoded(text, part)?).map_err(|why| MalformedToken::Json(part, why))
}

fn decoded(text: &str, part: &'static str) -> Result<Vec<u8>, MalformedToken> {
    BASE64_URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| MalformedToken::Base64(part))
}

/// The first two parts of a token, as they are signed.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    format!(
        "{}.{}",
        BASE64_URL_SAFE_NO_PAD.encode(header.to_string()),
        BASE64_URL_SAFE_NO_PAD.encode(claims.to_string())
    )
}
