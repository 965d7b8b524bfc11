//! An identity provider of the tests' own, on a real socket: a description, one key, and tokens
//! signed with it.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinSet,
};

/// An identity provider with one key. What it says at a path can be changed.
pub(crate) struct Idp {
    pub(crate) issuer: String,
    key: EcdsaKeyPair,
    kid: &'static str,
    /// What it says at each path; at any other it is 404.
    pages: Arc<Mutex<HashMap<&'static str, Page>>>,
    /// What it says the time is.
    date: Arc<Mutex<String>>,
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinSet<()>,
}

/// What is said at a path.
#[derive(Clone)]
enum Page {
    Json(Value),
    /// The bytes of an answer, over and over; then nothing, and the connection stays open.
    Bytes(Vec<u8>, usize),
}

impl Idp {
    pub(crate) async fn start() -> Self {
        // Once it has left, nobody else may get its port.
        let listener = super::ports::listener().await;
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let keys = json!({ "keys": [jwk(&key, "k1")] });
        let about = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/me"),
            "introspection_endpoint": format!("{issuer}/introspect"),
        });
        let pages = [
            ("/.well-known/openid-configuration", Page::Json(about)),
            ("/keys", Page::Json(keys)),
        ];
        let pages = Arc::new(Mutex::new(HashMap::from(pages)));
        let (asked, mut serving) = (Arc::<Mutex<Vec<String>>>::default(), JoinSet::new());
        let date = Arc::<Mutex<String>>::default();
        let (shown, heard, dated) = (Arc::clone(&pages), Arc::clone(&asked), Arc::clone(&date));
        serving.spawn(async move {
            let mut kept = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 8_192];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let page = shown.lock().unwrap().get(path.as_str()).cloned();
                heard.lock().unwrap().push(path);
                let (status, body) = match page {
                    Some(Page::Json(page)) => ("200 OK", page.to_string()),
                    None => ("404 Not Found", "{}".to_owned()),
                    Some(Page::Bytes(bytes, times)) => {
                        for _ in 0..times {
                            if stream.write_all(&bytes).await.is_err() {
                                break;
                            }
                        }
                        kept.push(stream);
                        continue;
                    }
                };
                let date = Some(dated.lock().unwrap().clone())
                    .filter(|date| !date.is_empty())
                    .map(|date| format!("\r\ndate: {date}"));
                let first = format!(
                    "HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close{}",
                    date.unwrap_or_default()
                );
                let answer = format!("{first}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                let _whoever_asked_may_be_gone = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self {
            issuer,
            key,
            kid: "k1",
            pages,
            date,
            asked,
            serving,
        }
    }

    /// From now on it says this at that path.
    pub(crate) fn says(&self, path: &'static str, page: Value) {
        self.pages.lock().unwrap().insert(path, Page::Json(page));
    }

    /// From now on it sends these bytes there, so many times, and does not hang up.
    pub(crate) fn sends(&self, path: &'static str, bytes: &[u8], times: usize) {
        self.pages
            .lock()
            .unwrap()
            .insert(path, Page::Bytes(bytes.to_vec(), times));
    }

    /// What it says at a path when it is honest.
    pub(crate) fn is_honest(&self) {
        self.says("/keys", json!({ "keys": [jwk(&self.key, self.kid)] }));
    }

    /// From now on it says that this is the time.
    pub(crate) fn dates(&self, date: &str) {
        date.clone_into(&mut self.date.lock().unwrap());
    }

    /// How often it was asked at that path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked
            .lock()
            .unwrap()
            .iter()
            .filter(|asked| *asked == path)
            .count()
    }

    /// How often it was asked at all.
    pub(crate) fn asked_in_all(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Answers nobody any more.
    pub(crate) async fn leave(&mut self) {
        self.serving.abort_all();
        while self.serving.join_next().await.is_some() {}
    }

    /// A token for elastauth, good for five minutes, after `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": self.issuer, "aud": "elastauth", "azp": "elastauth", "sub": "u1", "iat": now(),
            "exp": now() + 300,
            "preferred_username": "alice", "email": "alice@example.org", "groups": ["dev", "a,b"],
        });
        change(&mut claims);
        self.sign("at+jwt", &claims)
    }

    /// A token of this age with these groups.
    pub(crate) fn aged(&self, seconds: u64, groups: &[&str]) -> String {
        self.token(|claims| {
            claims["iat"] = json!(now() - seconds);
            claims["groups"] = json!(groups);
        })
    }

    pub(crate) fn sign(&self, kind: &str, claims: &Value) -> String {
        let mut header = json!({ "alg": "ES256", "kid": self.kid });
        // Some providers write no `typ`.
        if !kind.is_empty() {
            header["typ"] = json!(kind);
        }
        self.sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Signs whatever it is given.
    pub(crate) fn sign_bytes(&self, header: &[u8], claims: &[u8]) -> String {
        let signed = format!(
            "{}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(header),
            BASE64_URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .unwrap();
        format!(
            "{signed}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref())
        )
    }

    /// Signs with another key from now on, and has no other.
    pub(crate) fn rotate(&mut self) {
        self.key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        self.kid = "k2";
        self.says("/keys", json!({ "keys": [jwk(&self.key, self.kid)] }));
    }

    /// Signs with another key of the same name from now on, and has no other.
    pub(crate) fn replace_key(&mut self) {
        self.key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        self.is_honest();
    }

    /// From now on that path is answered with this redirect.
    pub(crate) fn moves(&self, path: &'static str, status: &str, to: &str) {
        let answer = format!(
            "HTTP/1.1 {status}\r\nlocation: {to}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        );
        self.sends(path, answer.as_bytes(), 1);
    }

    /// Its public key: the two coordinates behind a 4.
    pub(crate) fn public_key(&self) -> &[u8] {
        self.key.public_key().as_ref()
    }
}

fn jwk(key: &EcdsaKeyPair, kid: &str) -> Value {
    let point = key.public_key().as_ref();
    let (x, y) = (
        BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]),
        BASE64_URL_SAFE_NO_PAD.encode(&point[33..]),
    );
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "alg": "ES256", "x": x, "y": y })
}

pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
