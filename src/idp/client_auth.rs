//! How elastauth authenticates to an identity provider.

use super::{endpoint::Issuer, jws};
use crate::{
    clock::Timestamp,
    secret::{ExposeSecret as _, SecretString},
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
        Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use http::{HeaderMap, HeaderValue, header};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};
use std::{fmt, sync::Arc};

/// An assertion is used at once; a minute allows for clocks that differ.
const ASSERTION_SECONDS: u64 = 60;

/// The ways to authenticate.
#[derive(Debug, Clone)]
pub enum ClientAuth {
    /// `client_secret_basic`.
    SecretBasic(SecretString),
    /// `client_secret_post`.
    SecretPost(SecretString),
    /// `private_key_jwt`.
    PrivateKeyJwt(SigningKey),
    /// `none`, or `tls_client_auth` where a client certificate is configured: only the client's
    /// name.
    NameOnly,
}

/// A private key that signs assertions.
#[derive(Clone)]
pub struct SigningKey {
    pair: Arc<Pair>,
    kid: Option<Box<str>>,
}

enum Pair {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a text is not a key for assertions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSigningKey {
    #[error("it has no unencrypted PEM private key")]
    NotPem,
    #[error("the key is not RSA (2048 to 8192 bits), P-256, P-384 or Ed25519 in PKCS#8")]
    Kind,
}

impl SigningKey {
    /// Takes a PEM private key, and the `kid` under which the provider knows it.
    ///
    /// # Errors
    /// Says what is wrong without repeating anything of the text.
    pub fn parse_pem(pem: &[u8], kid: Option<&str>) -> Result<Self, InvalidSigningKey> {
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|_quotes_the_file| InvalidSigningKey::NotPem)?;
        let der = key.secret_der();
        let pair = RsaKeyPair::from_pkcs8(der)
            .or_else(|_| RsaKeyPair::from_der(der))
            .map(Pair::Rsa)
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der).map(Pair::P256)
            })
            .or_else(|_| {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der).map(Pair::P384)
            })
            .or_else(|_| Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map(Pair::Ed25519))
            .map_err(|_| InvalidSigningKey::Kind)?;
        Ok(Self {
            pair: Arc::new(pair),
            kid: kid.map(Box::from),
        })
    }

    /// A signed statement of who asks (RFC 7523). `None` if the system gives no random bytes or the
    /// key does not sign.
    fn assertion(&self, client_id: &str, audience: &Issuer, now: Timestamp) -> Option<String> {
        let mut id = [0_u8; 16];
        aws_lc_rs::rand::fill(&mut id).ok()?;
        let now = now.0 / 1_000;
        let mut header = serde_json::json!({"alg": self.algorithm(), "typ": "JWT"});
        if let (Some(kid), Some(members)) = (&self.kid, header.as_object_mut()) {
            members.insert("kid".to_owned(), kid.as_ref().into());
        }
        let claims = serde_json::json!({
            "iss": client_id, "sub": client_id, "aud": audience.as_str(),
            "jti": BASE64_URL_SAFE_NO_PAD.encode(id), "iat": now, "exp": now + ASSERTION_SECONDS,
        });
        let signed = jws::unsigned(&header, &claims);
        let signature = self.sign(signed.as_bytes())?;
        Some(format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature)
        ))
    }

    fn algorithm(&self) -> &'static str {
        match *self.pair {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        let random = SystemRandom::new();
        match &*self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .ok()?;
                Some(signature)
            }
            Pair::P256(pair) | Pair::P384(pair) => {
                Some(pair.sign(&random, message).ok()?.as_ref().to_vec())
            }
            Pair::Ed25519(pair) => Some(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("algorithm", &self.algorithm())
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// The part of a request that authenticates the client.
pub(super) struct Proof {
    pub(super) headers: HeaderMap,
    /// Additional fields of the form.
    pub(super) form: Vec<(&'static str, String)>,
}

impl ClientAuth {
    /// `None` if it cannot be made: a secret that no header can carry, a key that does not sign.
    pub(super) fn proof(&self, client_id: &str, issuer: &Issuer, now: Timestamp) -> Option<Proof> {
        let mut headers = HeaderMap::new();
        let mut form = vec![("client_id", client_id.to_owned())];
        match self {
            Self::SecretBasic(secret) => {
                // Both are form-encoded first (RFC 6749, §2.3.1), so that a colon in the name is
                // not the separator.
                let joined = format!("{}:{}", encoded(client_id), encoded(secret.expose_secret()));
                let mut value =
                    HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(joined)))
                        .ok()?;
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
                form.clear();
            }
            Self::SecretPost(secret) => {
                form.push(("client_secret", secret.expose_secret().to_owned()));
            }
            Self::PrivateKeyJwt(key) => {
                let jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
                form.push(("client_assertion_type", jwt_bearer.to_owned()));
                form.push(("client_assertion", key.assertion(client_id, issuer, now)?));
            }
            Self::NameOnly => {}
        }
        Some(Proof { headers, form })
    }
}

/// `application/x-www-form-urlencoded`; only characters that are safe everywhere stay as they are.
pub(super) fn encoded(text: &str) -> String {
    const KEPT: percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_');
    percent_encoding::utf8_percent_encode(text, &KEPT).to_string()
}
