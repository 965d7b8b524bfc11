//! The identity provider of the benchmark: one key of each kind, and as many tokens as are asked
//! for.
//!
//! `token_issuer ADDRESS` serves until it is killed: its description, `/keys` (good for a minute),
//! `/tokens/ALG/COUNT` (one a line) and `/fetches` (how often the keys were fetched).

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::KeySize,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
        RSA_PKCS1_SHA256, RsaKeyPair,
    },
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use serde_json::json;
use std::{
    convert::Infallible,
    error::Error,
    fmt::Write as _,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

struct Issuer {
    url: String,
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
    made: AtomicU64,
    fetches: AtomicU64,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: token_issuer ADDRESS")?;
    let issuer = Arc::new(Issuer {
        url: format!("http://{address}"),
        rsa: RsaKeyPair::generate(KeySize::Rsa2048)?,
        p256: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?,
        ed25519: Ed25519KeyPair::generate()?,
        made: AtomicU64::new(0),
        fetches: AtomicU64::new(0),
    });
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        let issuer = Arc::clone(&issuer);
        #[expect(clippy::disallowed_methods, reason = "nothing to wait for at the end")]
        tokio::spawn(async move {
            let service =
                service_fn(move |request| ready(Ok::<_, Infallible>(issuer.answer(&request))));
            let _closed = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Issuer {
    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let path: Vec<&str> = request.uri().path().split('/').skip(1).collect();
        let body = match path.as_slice() {
            [""] => Some(String::new()),
            [".well-known", "openid-configuration"] => Some(
                json!({ "issuer": self.url, "jwks_uri": format!("{}/keys", self.url) }).to_string(),
            ),
            ["keys"] => {
                self.fetches.fetch_add(1, Ordering::Relaxed);
                self.keys()
            }
            ["fetches"] => Some(self.fetches.load(Ordering::Relaxed).to_string()),
            ["tokens", algorithm, count] => count
                .parse()
                .ok()
                .and_then(|count| self.tokens(algorithm, count)),
            _ => None,
        };
        let mut response = Response::new(Full::default());
        match body {
            Some(text) => *response.body_mut() = text.into(),
            None => *response.status_mut() = StatusCode::NOT_FOUND,
        }
        response.headers_mut().insert(
            header::CACHE_CONTROL,
            header::HeaderValue::from_static("max-age=60"),
        );
        response
    }

    fn keys(&self) -> Option<String> {
        let (n, e) = rsa_numbers(self.rsa.public_key().as_ref())?;
        let (x, y) = self
            .p256
            .public_key()
            .as_ref()
            .get(1..)?
            .split_at_checked(32)?;
        let keys = json!({ "keys": [
            { "kty": "RSA", "kid": "RS256", "alg": "RS256", "use": "sig", "n": b64(n),
                "e": b64(e) },
            { "kty": "EC", "crv": "P-256", "kid": "ES256", "alg": "ES256", "use": "sig",
                "x": b64(x), "y": b64(y) },
            { "kty": "OKP", "crv": "Ed25519", "kid": "EdDSA", "alg": "EdDSA", "use": "sig",
                "x": b64(self.ed25519.public_key()) },
        ]});
        Some(keys.to_string())
    }

    fn tokens(&self, algorithm: &str, count: u32) -> Option<String> {
        let mut lines = String::new();
        for _ in 0..count {
            let _ = writeln!(lines, "{}", self.token(algorithm)?);
        }
        Some(lines)
    }

    /// With the claims that Keycloak puts in, and of about its size.
    fn token(&self, algorithm: &str) -> Option<String> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the issuer's clock is the real one"
        )]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let id = format!("{number:08x}-7c8e-4e0f-9d3c-2a1b5c6d7e8f");
        let claims = json!({
            "exp": now + 3_600, "iat": now, "jti": format!("onrtro:{id}"), "iss": self.url,
            "aud": ["elastauth", "account"],
            "sub": "3f0a6c1e-0b52-4c39-a0f5-6a1f9f1f5c11", "typ": "Bearer",
            "azp": "elastauth", "sid": id, "acr": "1",
            "allowed-origins": ["https://kibana.example.org"],
            "realm_access": { "roles": ["offline_access", "uma_authorization", "staff"] },
            "resource_access": { "account": { "roles": ["manage-account", "manage-account-links",
            "view-profile"] } },
            "scope": "openid email profile", "email_verified": true, "name": "User Zero",
            "groups": ["dev", "ops"],
            "preferred_username": "user-0", "given_name": "User", "family_name": "Zero",
            "email": "user-0@example.org",
        });
        let signed = format!(
            "{}.{}",
            b64(json!({ "alg": algorithm, "typ": "JWT", "kid": algorithm }).to_string()),
            b64(claims.to_string())
        );
        let random = SystemRandom::new();
        let signature = match algorithm {
            "RS256" => {
                let mut signature = vec![0; self.rsa.public_modulus_len()];
                self.rsa
                    .sign(
                        &RSA_PKCS1_SHA256,
                        &random,
                        signed.as_bytes(),
                        &mut signature,
                    )
                    .ok()?;
                b64(signature)
            }
            "ES256" => b64(self.p256.sign(&random, signed.as_bytes()).ok()?),
            "EdDSA" => b64(self.ed25519.sign(signed.as_bytes())),
            _ => return None,
        };
        Some(format!("{signed}.{signature}"))
    }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// Modulus and exponent of an `RSAPublicKey` in DER (RFC 8017, A.1.1), for keys of 2048 bits.
fn rsa_numbers(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    // SEQUENCE with a long length (4 bytes), INTEGER with a long length (4 bytes) and a zero before
    // its 256 bytes, INTEGER.
    let modulus = der.get(9..265)?.to_vec();
    let exponent = der.get(267..)?.to_vec();
    Some((modulus, exponent))
}
