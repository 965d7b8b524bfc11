//! An identity provider of the tests' own, on a real socket: a description, one key, and tokens signed with it.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

/// An identity provider with one key.
pub(crate) struct Idp {
    pub(crate) issuer: String,
    key: EcdsaKeyPair,
    serving: JoinSet<()>,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]), BASE64_URL_SAFE_NO_PAD.encode(&point[33..]));
        let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256", "x": x, "y": y }] });
        let about = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") });
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut asked = [0; 2_048];
                let read = stream.read(&mut asked).await.unwrap();
                let body = if asked[..read].starts_with(b"GET /keys") { &keys } else { &about }.to_string();
                let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
                stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
            }
        });
        Self { issuer, key, serving }
    }

    /// A token for elastauth, good for five minutes, after `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let mut claims = json!({
            "iss": self.issuer, "aud": "elastauth", "azp": "elastauth", "sub": "u1", "iat": now, "exp": now + 300,
            "preferred_username": "alice", "email": "alice@example.org", "groups": ["dev", "a,b"],
        });
        change(&mut claims);
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" })), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
    /// Answers nobody any more.
    pub(crate) async fn leave(&mut self) {
        self.serving.abort_all();
        while self.serving.join_next().await.is_some() {}
    }
}
