//! An identity provider of the test's own on a real socket, and the running program between it and the stand-in cluster.

use crate::support::{elastauth::Elastauth, http::Answer, until};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use elastauth::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
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
    /// The body for each path; anything else is 404.
    pages: Arc<Mutex<HashMap<&'static str, Value>>>,
    asked: Arc<Mutex<Vec<String>>>,
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
        let about = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"), "userinfo_endpoint": format!("{issuer}/me"),
            "introspection_endpoint": format!("{issuer}/introspect"),
        });
        let pages = Arc::new(Mutex::new(HashMap::from([("/.well-known/openid-configuration", about), ("/keys", keys)])));
        let (asked, mut serving) = (Arc::<Mutex<Vec<String>>>::default(), JoinSet::new());
        let (shown, heard) = (Arc::clone(&pages), Arc::clone(&asked));
        serving.spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 8_192];
                let read = stream.read(&mut request).await.unwrap();
                let request = String::from_utf8_lossy(&request[..read]).into_owned();
                let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                let page = shown.lock().unwrap().get(path.as_str()).map(Value::to_string);
                heard.lock().unwrap().push(path);
                let (status, body) = page.map_or(("404 Not Found", "{}".to_owned()), |page| ("200 OK", page));
                let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close");
                stream.write_all(format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).as_bytes()).await.unwrap();
            }
        });
        Self { issuer, key, pages, asked, serving }
    }

    /// From now on it says this at that path.
    pub(crate) fn says(&self, path: &'static str, page: Value) {
        self.pages.lock().unwrap().insert(path, page);
    }

    /// How often it was asked at that path.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| *asked == path).count()
    }

    /// It is away.
    pub(crate) async fn stop(&mut self) {
        self.serving.abort_all();
        while self.serving.join_next().await.is_some() {}
    }

    /// A token for elastauth, good for five minutes, after `change`.
    pub(crate) fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = json!({
            "iss": self.issuer, "aud": "elastauth", "azp": "elastauth", "sub": "u1", "iat": now(), "exp": now() + 300,
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
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&json!({ "alg": "ES256", "kid": "k1", "typ": kind })), part(claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// One provider, the program, the cluster.
pub(crate) struct Scene {
    pub(crate) idp: Idp,
    pub(crate) cluster: StandIn,
    pub(crate) elastauth: Elastauth,
    _tasks: Tasks,
}

impl Scene {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// The same with these lines at the end of the section `oidc`, and of the file.
    pub(crate) async fn with(more: &str) -> Self {
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let oidc = format!("oidc:\n  issuer: {}\n  client_id: elastauth\n{more}", idp.issuer);
        let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &[]).await;
        Self { idp, cluster, elastauth, _tasks: tasks }
    }

    /// One more elastauth of this deployment.
    pub(crate) async fn replica(&self, more: &str) -> Elastauth {
        let oidc = format!("oidc:\n  issuer: {}\n  client_id: elastauth\n{more}", self.idp.issuer);
        Elastauth::start_anywhere(&config(&self.cluster, &oidc), &[]).await
    }

    pub(crate) async fn bearer(&self, token: &str) -> Answer {
        bearer(&self.elastauth, token).await
    }

    /// The log once this stands in it.
    pub(crate) async fn log_with(&self, text: &str) -> String {
        until(text, || self.elastauth.log().contains(text)).await;
        self.elastauth.log()
    }

    pub(crate) fn roles(&self, user: &str) -> Vec<String> {
        self.cluster.user(user).unwrap().roles
    }
}

/// The configuration of a program before this cluster; `oidc` is that section.
pub(crate) fn config(cluster: &StandIn, oidc: &str) -> String {
    format!(
        "listen: 127.0.0.1:0\nlog_level: debug\nsecret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
         auth_provider: [oidc, authelia]\ngroup_mappings:\n  dev: [editor]\n  a: [superuser]\n\
         elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n{oidc}",
        cluster.url(),
        cluster.service_password()
    )
}

pub(crate) async fn bearer(elastauth: &Elastauth, token: &str) -> Answer {
    elastauth.server().get("/elastauth", &[("authorization", &format!("Bearer {token}"))]).await
}
