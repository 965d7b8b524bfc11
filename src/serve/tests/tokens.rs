//! Tokens, from the bytes of a request to the bytes of an answer.

use super::*;
use crate::{
    identity::{self, ProviderConfig, oidc},
    idp::{
        self, ClientAuth, Issuer,
        tests::{
            fake::{FakeIdp, Manner},
            signer::{Signer, key_set},
        },
    },
};
use serde_json::json;
use std::sync::{Mutex, MutexGuard};

const NOW: u64 = 1_800_000_000;

struct Scene {
    idp: FakeIdp,
    key: Signer,
    server: Running,
}

impl Scene {
    /// Identity headers are asked for first, then tokens.
    async fn new() -> Self {
        let key = Signer::new("key-1", "ES256");
        let idp = FakeIdp::start(key_set(&[&key])).await;
        let config = idp::Config::new(
            Issuer::parse(&idp.issuer()).unwrap(),
            "elastauth",
            ClientAuth::NameOnly,
        );
        let config =
            oidc::Config::new(vec![oidc::OidcProviderConfig::new("main", config)]).unwrap();
        let config = identity::Config {
            providers: vec![
                ProviderConfig::Headers(headers::Config::default()),
                ProviderConfig::Oidc(config),
            ],
        };
        let clock = Clock::Manual(Arc::new((NOW * 1_000).into()));
        let providers =
            Providers::new(config, &clock, &Tasks::default(), &Telemetry::default()).unwrap();
        Self {
            idp,
            key,
            server: Setup {
                providers,
                ..Setup::default()
            }
            .start(),
        }
    }

    fn token(&self, exp: u64) -> String {
        self.signed("1", "alice", exp)
    }

    fn token_of(&self, sub: &str, name: &str) -> String {
        self.signed(sub, name, NOW + 60)
    }

    fn signed(&self, sub: &str, name: &str, exp: u64) -> String {
        self.key.token(&json!({
            "iss": self.idp.issuer(), "aud": "elastauth", "sub": sub, "scope": "openid",
            "exp": exp, "preferred_username": name,
        }))
    }

    async fn ask(&self, path: &str, headers: &str) -> Answer {
        self.server
            .ask(&format!("GET {path} HTTP/1.1\r\nhost: a\r\n{headers}\r\n"))
            .await
    }
}

#[tokio::test]
async fn a_refused_token_is_a_401_that_a_client_understands() {
    let scene = Scene::new().await;
    let expired = scene.token(NOW - 60);
    for (headers, status, code, challenge) in [
        (
            format!("authorization: Bearer {expired}\r\n"),
            401,
            "invalid_token",
            Some("bearer realm=\"elastauth\", error=\"invalid_token\""),
        ),
        (
            format!("cookie: access_token={expired}\r\n"),
            401,
            "invalid_token",
            Some("bearer realm=\"elastauth\", error=\"invalid_token\""),
        ),
        (
            "authorization: Bearer\r\n".to_owned(),
            401,
            "invalid_token",
            Some("bearer realm=\"elastauth\", error=\"invalid_token\""),
        ),
        // A token that comes twice is one token.
        (
            format!("authorization: Bearer {expired}\r\ncookie: access_token={expired}\r\n"),
            401,
            "invalid_token",
            Some("bearer realm=\"elastauth\", error=\"invalid_token\""),
        ),
        // Two that are accepted and name different people.
        (
            format!(
                "authorization: Bearer {}\r\ncookie: access_token={}\r\n",
                scene.token(NOW + 60),
                scene.token_of("2", "bob")
            ),
            400,
            "malformed_identity",
            None,
        ),
        (
            format!("authorization: Bearer {expired}\r\nauthorization: Bearer other\r\n"),
            400,
            "malformed_identity",
            None,
        ),
        (
            "authorization: Basic YTpi\r\n".to_owned(),
            401,
            "not_authenticated",
            Some("bearer realm=\"elastauth\""),
        ),
        (
            String::new(),
            401,
            "not_authenticated",
            Some("bearer realm=\"elastauth\""),
        ),
        // Good, and then there is no cluster.
        (
            format!("authorization: Bearer {}\r\n", scene.token(NOW + 60)),
            503,
            "unavailable",
            None,
        ),
        // Identity headers come first, and what they say is not rescued or replaced by a token.
        (
            format!(
                "remote-user: a,b\r\nauthorization: Bearer {}\r\n",
                scene.token(NOW + 60)
            ),
            400,
            "malformed_identity",
            None,
        ),
    ] {
        let answer = scene.ask("/elastauth", &headers).await;
        assert_eq!(
            (
                answer.status,
                answer.json()["code"].as_str(),
                answer.header("www-authenticate")
            ),
            (status, Some(code), challenge),
            "{headers}"
        );
        assert!(!answer.head.contains("authorization:"));
    }
    // The same on every endpoint: nginx hands the challenge on, Envoy where it is configured to.
    for path in [
        "/",
        "/elastauth",
        "/elastauth/forward-auth",
        "/elastauth/auth-request",
        "/elastauth/ext-authz/app",
    ] {
        let refused = scene
            .ask(path, &format!("authorization: Bearer {expired}\r\n"))
            .await;
        assert_eq!(
            (refused.status, refused.header("www-authenticate")),
            (
                401,
                Some("bearer realm=\"elastauth\", error=\"invalid_token\"")
            )
        );
        let nobody = scene.ask(path, "").await;
        assert_eq!(
            (nobody.status, nobody.header("www-authenticate")),
            (401, Some("bearer realm=\"elastauth\"")),
            "no error where nothing was shown"
        );
        assert_eq!(path == "/elastauth/auth-request", refused.body.is_empty());
    }
}

#[tokio::test]
async fn nothing_that_a_client_puts_in_a_token_is_our_fault() {
    let scene = Scene::new().await;
    let good = scene.token(NOW + 60);
    for token in [
        "a.b.c",
        "....",
        "e30.e30.e30",
        "eyJ",
        &"A".repeat(60_000),
        &good[1..],
        &format!("{good}{good}"),
        "\u{fffd}",
        "=",
        "..",
        "%00",
    ] {
        for headers in [
            format!("authorization: Bearer {token}\r\n"),
            format!("cookie: id_token={token}\r\n"),
        ] {
            let answer = scene.ask("/", &headers).await;
            assert!(
                (400..500).contains(&answer.status),
                "{} for {}",
                answer.status,
                token.chars().take(40).collect::<String>()
            );
        }
    }
}

#[tokio::test]
async fn an_identity_provider_that_is_away_is_a_503_with_a_time_to_come_back() {
    let scene = Scene::new().await;
    scene.idp.on("/keys", Manner::HangUp);
    let answer = scene
        .ask(
            "/",
            &format!("authorization: Bearer {}\r\n", scene.token(NOW + 60)),
        )
        .await;
    assert_eq!(
        (
            answer.status,
            answer.header("retry-after"),
            answer.json()["code"].as_str()
        ),
        (503, Some("2"), Some("unavailable"))
    );
    // Readiness names it and stays: known tokens go on, and all replicas would leave together.
    let ready = scene.ask("/elastauth/ready", "").await;
    let provider = &ready.json()["checks"]["provider"];
    assert_eq!(
        (ready.status, &provider["status"]),
        (200, &json!("DEGRADED"))
    );
    assert!(
        provider["error"]
            .as_str()
            .is_some_and(|why| why.contains("keys (JWKS)") && !why.contains("127.0.0.1")),
        "{ready:?}"
    );
}

#[tokio::test]
async fn readiness_names_the_providers_in_their_order() {
    let ready = Scene::new().await.ask("/elastauth/ready", "").await;
    assert_eq!(
        (ready.status, &ready.json()["checks"]["provider"]),
        (200, &json!({"status": "OK", "message": "authelia, oidc"}))
    );
}

/// What is logged on this thread, down to the last detail.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.bytes().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_token_reaches_the_log_and_the_reason_does() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .finish();
    // With a second subscriber `tracing` asks both instead of remembering what the first thread
    // said.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _guard = tracing::subscriber::set_default(subscriber);
    let scene = Scene::new().await;
    let (expired, good) = (scene.token(NOW - 60), scene.token(NOW + 60));
    for token in [&expired, &good, &"opaque-secret-token".to_owned()] {
        scene
            .ask("/", &format!("authorization: Bearer {token}\r\n"))
            .await;
        scene
            .ask("/", &format!("cookie: access_token={token}\r\n"))
            .await;
    }
    let log = String::from_utf8(log.bytes().clone()).unwrap();
    assert!(log.contains("the token has expired (`exp`)"), "{log}");
    for token in [&expired, &good] {
        for part in token.split('.') {
            assert!(!log.contains(part));
        }
    }
    assert!(!log.contains("opaque-secret"));
}
