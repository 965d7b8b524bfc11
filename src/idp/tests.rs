//! The client of an identity provider, against one of our own on a real socket that lies, hangs,
//! drips and rotates its keys.

pub(crate) mod fake;
mod keys;
pub(crate) mod signer;

use super::{json::InvalidJson, *};
use crate::{
    clock::Clock,
    net::client::CallError,
    shutdown::Tasks,
    telemetry::{Telemetry, metrics::Metrics},
};
use fake::{FakeIdp, Manner};
use fetch::PATIENCE;
use http::{HeaderValue, StatusCode};
use signer::{Signer, key_set};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64 as Ms, Ordering},
    },
    time::Duration,
};

/// A provider, a client of it, and the time.
pub(crate) struct Stage {
    pub(crate) fake: FakeIdp,
    pub(crate) idp: Idp,
    ms: Arc<Ms>,
    metrics: Metrics,
}

impl Stage {
    async fn new(keys: &[&Signer]) -> Self {
        Self::with(keys, |_| {}).await
    }

    async fn with(keys: &[&Signer], change: impl FnOnce(&mut Config)) -> Self {
        let fake = FakeIdp::start(key_set(keys)).await;
        let ms = Arc::new(Ms::new(1_800_000_000_000));
        let mut config = Config::new(
            Issuer::parse(&fake.issuer()).unwrap(),
            "elastauth",
            ClientAuth::SecretBasic("s:3cret&".to_owned().into()),
        );
        change(&mut config);
        let telemetry = Telemetry::default();
        let idp = Idp::new(
            config,
            &Arc::from("main"),
            Clock::Manual(Arc::clone(&ms)),
            Tasks::default(),
            &telemetry,
        )
        .unwrap();
        Self {
            fake,
            idp,
            ms,
            metrics: telemetry.metrics,
        }
    }

    fn pass(&self, time: Duration) {
        self.ms
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn knows(&self, kid: &str) -> Result<bool, IdpError> {
        let keys = self.idp.keys(Some(kid), Algorithm::Es256).await?;
        Ok(keys
            .candidates(Some(kid), Algorithm::Es256)
            .next()
            .is_some())
    }

    /// Waits until a fetch that goes on in the background has been asked for.
    async fn until_fetched(&self, times: usize) {
        while self.fake.count("/keys") < times {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn keys_are_fetched_when_first_needed_and_then_known() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    assert_eq!(
        stage.fake.count("/keys"),
        0,
        "nothing is asked before it is needed"
    );
    for _ in 0..3 {
        assert_eq!(stage.knows("a").await, Ok(true));
    }
    assert_eq!(
        (
            stage.fake.count("/keys"),
            stage.fake.count("/.well-known/openid-configuration")
        ),
        (1, 1)
    );
    let asked = stage.fake.last("/keys").to_ascii_lowercase();
    assert!(
        asked.contains("accept-encoding: identity") && !asked.contains("authorization"),
        "{asked}"
    );
}

#[tokio::test]
async fn metrics_have_the_time_of_the_last_successful_fetch_of_keys() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    let metrics = &stage.metrics;
    let series = "elastauth_jwks_fetched_timestamp_seconds{provider=\"main\"}";
    assert!(
        !metrics.expose().contains(series),
        "before the first token there are no keys"
    );
    assert_eq!(stage.knows("a").await, Ok(true));
    assert!(
        metrics.expose().contains(&format!("{series} 1800000000\n")),
        "{}",
        metrics.expose()
    );
    stage.fake.on("/keys", Manner::HangUp);
    stage.pass(Duration::from_mins(10));
    assert!(stage.knows("b").await.is_err());
    assert!(
        metrics.expose().contains(&format!("{series} 1800000000\n")),
        "{}",
        metrics.expose()
    );
}

#[tokio::test]
async fn fifty_requests_with_the_same_new_key_are_one_fetch() {
    let key = Signer::new("a", "ES256");
    let stage = Arc::new(Stage::new(&[&key]).await);
    let asks = (0..50).map(|_| {
        let stage = Arc::clone(&stage);
        #[expect(clippy::disallowed_methods, reason = "joined below")]
        tokio::spawn(async move { stage.knows("a").await })
    });
    for ask in asks.collect::<Vec<_>>() {
        assert_eq!(ask.await.unwrap(), Ok(true));
    }
    assert_eq!(stage.fake.count("/keys"), 1);
}

#[tokio::test]
async fn a_flood_of_unknown_keys_is_one_fetch_in_a_cool_down_and_a_new_key_works_after_it() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.pass(Duration::from_secs(6));
    for i in 0..200 {
        assert_eq!(stage.knows(&format!("made-up-{i}")).await, Ok(false));
    }
    assert_eq!(stage.fake.count("/keys"), 2);

    stage.fake.on("/keys", Manner::json(key_set(&[&old, &new])));
    assert_eq!(stage.knows("new").await, Ok(false), "still cooling down");
    stage.pass(Duration::from_secs(5));
    assert_eq!(stage.knows("new").await, Ok(true));
    assert_eq!(stage.fake.count("/keys"), 3);
}

#[tokio::test]
async fn a_new_key_is_found_at_once_without_a_flood() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.pass(Duration::from_mins(1));
    stage.fake.on("/keys", Manner::json(key_set(&[&new])));
    assert_eq!(stage.knows("new").await, Ok(true));
    assert_eq!(
        stage.idp.withdrawals(),
        1,
        "the old one is gone, so what stood on it is judged anew"
    );
}

#[tokio::test]
async fn known_keys_are_used_while_the_provider_is_away_and_fetched_again_afterwards() {
    let (old, new) = (Signer::new("old", "ES256"), Signer::new("new", "ES256"));
    let stage = Stage::new(&[&old]).await;
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.fake.on("/keys", Manner::status("500 Oops"));
    stage.pass(Duration::from_hours(3));
    assert_eq!(stage.knows("old").await, Ok(true));
    stage.pass(Duration::from_secs(40));
    assert_eq!(
        stage.knows("new").await,
        Err(IdpError::Status(
            What::Keys,
            StatusCode::INTERNAL_SERVER_ERROR
        )),
        "it may have this key by now, so the token is not refused"
    );
    let asked = stage.fake.count("/keys");
    for _ in 0..50 {
        assert!(stage.knows("new").await.is_err());
        assert_eq!(stage.knows("old").await, Ok(true));
    }
    assert_eq!(
        stage.fake.count("/keys"),
        asked,
        "a provider in trouble is left alone for a while"
    );

    stage.fake.on("/keys", Manner::json(key_set(&[&old, &new])));
    stage.pass(Duration::from_secs(40));
    assert_eq!(stage.knows("new").await, Ok(true));
    assert_eq!(stage.idp.withdrawals(), 0);
}

#[tokio::test]
async fn aged_keys_are_used_while_they_are_fetched_again() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    assert_eq!(stage.knows("a").await, Ok(true));
    stage.pass(Duration::from_mins(8));
    assert_eq!(
        (stage.knows("a").await, stage.fake.count("/keys")),
        (Ok(true), 1),
        "ten minutes less a tenth are not over"
    );
    stage.fake.on("/keys", Manner::Hang);
    stage.pass(Duration::from_mins(4));
    assert_eq!(stage.knows("a").await, Ok(true), "nobody waits for it");
    stage.until_fetched(2).await;
}

#[tokio::test]
async fn max_age_decides_when_keys_are_fetched_again_within_bounds() {
    let key = Signer::new("a", "ES256");
    for (header, fresh, aged) in [
        ("max-age=1200", 17, 23),
        ("public, max-age=999999", 53, 67),
        ("no-store", 0, 2),
        ("max-age=0", 0, 2),
    ] {
        let stage = Stage::new(&[&key]).await;
        stage.fake.on(
            "/keys",
            Manner::with(
                "200 OK",
                &format!("Cache-Control: {header}\r\n"),
                &key_set(&[&key]),
            ),
        );
        assert_eq!(stage.knows("a").await, Ok(true));
        stage.pass(Duration::from_mins(fresh));
        assert_eq!(
            (stage.knows("a").await, stage.fake.count("/keys")),
            (Ok(true), 1),
            "{header}"
        );
        stage.pass(Duration::from_mins(aged - fresh));
        assert_eq!(stage.knows("a").await, Ok(true));
        stage.until_fetched(2).await;
    }
}

#[tokio::test]
async fn a_provider_that_is_away_at_first_is_tried_again_after_waits() {
    let key = Signer::new("a", "ES256");
    let stage = Stage::new(&[&key]).await;
    stage
        .fake
        .on("/.well-known/openid-configuration", Manner::HangUp);
    for _ in 0..20 {
        assert!(matches!(
            stage.knows("a").await,
            Err(IdpError::Call(What::Discovery, _))
        ));
    }
    assert!(
        stage.fake.count("/.well-known/openid-configuration") <= 2,
        "a second try comes from the client where a connection was kept"
    );
    let issuer = stage.fake.issuer();
    stage.fake.on(
        "/.well-known/openid-configuration",
        Manner::json(serde_json::json!({"issuer": issuer, "jwks_uri": format!("{issuer}/keys")})),
    );
    stage.pass(Duration::from_secs(2));
    assert_eq!(stage.knows("a").await, Ok(true));
}

type Check = &'static dyn Fn(&IdpError) -> bool;

#[tokio::test]
async fn a_wrong_or_oversized_answer_gives_no_keys() {
    let key = Signer::new("a", "ES256");
    let keys = key_set(&[&key]);
    let redirect = "Location: http://127.0.0.1:1/keys\r\n";
    let cases: [(&str, Manner, Check); 9] = [
        (
            "/.well-known/openid-configuration",
            Manner::json(r#"{"issuer":"https://other.test","jwks_uri":"https://other.test/k"}"#),
            &|e| *e == IdpError::Discovery(InvalidDiscovery::Issuer),
        ),
        (
            "/.well-known/openid-configuration",
            Manner::with("302 Found", redirect, ""),
            &|e| *e == IdpError::Status(What::Discovery, StatusCode::FOUND),
        ),
        (
            "/.well-known/openid-configuration",
            Manner::json("<html>"),
            &|e| *e == IdpError::Discovery(InvalidDiscovery::Shape),
        ),
        ("/keys", Manner::Endless, &|e| {
            *e == IdpError::Call(What::Keys, CallError::TooBig)
        }),
        (
            "/keys",
            Manner::with("200 OK", "Content-Encoding: gzip\r\n", &keys),
            &|e| *e == IdpError::Call(What::Keys, CallError::Encoded),
        ),
        ("/keys", Manner::with("302 Found", redirect, ""), &|e| {
            *e == IdpError::Status(What::Keys, StatusCode::FOUND)
        }),
        ("/keys", Manner::status("503 Later"), &|e| {
            *e == IdpError::Status(What::Keys, StatusCode::SERVICE_UNAVAILABLE)
        }),
        ("/keys", Manner::json(r#"{"keys":[]}"#), &|e| {
            *e == IdpError::Keys(InvalidKeySet::NoKey)
        }),
        ("/keys", Manner::json("[".repeat(100_000)), &|e| {
            *e == IdpError::Keys(InvalidKeySet::Shape)
        }),
    ];
    for (path, manner, expected) in cases {
        let stage = Stage::new(&[&key]).await;
        let shown = format!("{manner:?}").chars().take(60).collect::<String>();
        stage.fake.on(path, manner);
        let error = stage.knows("a").await.unwrap_err();
        assert!(expected(&error), "{shown}: {error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_or_is_slow_is_not_waited_for_long() {
    let key = Signer::new("a", "ES256");
    for manner in [Manner::Hang, Manner::Drip] {
        let stage = Stage::new(&[&key]).await;
        stage.fake.on("/keys", manner.clone());
        stage.fake.on("/userinfo", manner);
        let began = tokio::time::Instant::now();
        assert!(stage.knows("a").await.is_err());
        assert!(stage.idp.userinfo("opaque").await.is_err());
        assert!(began.elapsed() <= PATIENCE * 2, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn configured_addresses_win_and_need_no_discovery() {
    let key = Signer::new("a", "ES256");
    let other = FakeIdp::start(key_set(&[&key])).await;
    let jwks = Endpoint::parse(&format!("{}/keys", other.issuer())).unwrap();
    let stage = Stage::with(&[], |config| config.endpoints.jwks = Some(jwks)).await;
    assert_eq!(stage.knows("a").await, Ok(true));
    assert_eq!(
        (
            stage.fake.count("/keys"),
            stage.fake.count("/.well-known/openid-configuration"),
            other.count("/keys")
        ),
        (0, 0, 1)
    );
}

#[tokio::test]
async fn introspection_authenticates_the_client_and_accepts_only_active_true() {
    let stage = Stage::with(&[], |config| {
        config
            .http
            .headers
            .insert("x-tenant", HeaderValue::from_static("blue"));
    })
    .await;
    for (answer, verdict) in [
        (Manner::json(r#"{"active":true,"sub":"1"}"#), Ok(true)),
        (Manner::json(r#"{"active":false}"#), Ok(false)),
        (Manner::json(r#"{"active":"true"}"#), Ok(false)),
        (Manner::json("{}"), Ok(false)),
        (
            Manner::with("400 Bad", "", r#"{"error":"invalid_request"}"#),
            Ok(false),
        ),
        (
            Manner::with("400 Bad", "", r#"{"error":"unsupported_token_type"}"#),
            Ok(false),
        ),
        (
            Manner::with("400 Bad", "", r#"{"error":"invalid_client"}"#),
            Err(IdpError::OurClient(What::Introspection)),
        ),
        // oidc-provider, when what it knows of the client is wrong.
        (
            Manner::with("400 Bad", "", r#"{"error":"invalid_client_metadata"}"#),
            Err(IdpError::OurClient(What::Introspection)),
        ),
        (
            Manner::status("401 No"),
            Err(IdpError::OurClient(What::Introspection)),
        ),
        (
            Manner::status("403 No"),
            Err(IdpError::OurClient(What::Introspection)),
        ),
        (
            Manner::status("500 Oops"),
            Err(IdpError::Status(
                What::Introspection,
                StatusCode::INTERNAL_SERVER_ERROR,
            )),
        ),
        (
            Manner::json("[]"),
            Err(IdpError::Claims(
                What::Introspection,
                InvalidJson::NotAnObject,
            )),
        ),
        (
            Manner::json(r#"{"active":true,"active":false}"#),
            Err(IdpError::Claims(
                What::Introspection,
                InvalidJson::Duplicate,
            )),
        ),
        (
            Manner::with(
                "200 OK",
                "Content-Type: application/token-introspection+jwt\r\n",
                "e30",
            ),
            Err(IdpError::Signed(What::Introspection)),
        ),
    ] {
        stage.fake.on("/introspect", answer);
        let said = stage
            .idp
            .introspect("to+ken")
            .await
            .map(|verdict| matches!(verdict, Verdict::Claims(_)));
        assert_eq!(said, verdict);
    }
    let asked = stage.fake.last("/introspect");
    // elastauth:s%3A3cret%26
    assert!(
        asked.contains("Basic ZWxhc3RhdXRoOnMlM0EzY3JldCUyNg=="),
        "{asked}"
    );
    assert!(
        asked.ends_with("\r\n\r\ntoken=to%2Bken&token_type_hint=access_token")
            && asked.contains("x-tenant: blue"),
        "{asked}"
    );
}

#[tokio::test]
async fn each_client_authentication_follows_the_standard() {
    let key = rcgen::KeyPair::generate().unwrap();
    let signing = SigningKey::parse_pem(key.serialize_pem().as_bytes(), Some("mine")).unwrap();
    for (auth, form) in [
        (
            ClientAuth::SecretPost("s&".to_owned().into()),
            "&client_id=elastauth&client_secret=s%26",
        ),
        (ClientAuth::NameOnly, "&client_id=elastauth"),
        (
            ClientAuth::PrivateKeyJwt(signing),
            "&client_id=elastauth&client_assertion_type=\
             urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion=",
        ),
    ] {
        let stage = Stage::with(&[], |config| config.client_auth = auth).await;
        stage
            .fake
            .on("/introspect", Manner::json(r#"{"active":true}"#));
        assert!(stage.idp.introspect("t").await.is_ok());
        let asked = stage.fake.last("/introspect");
        let (head, body) = asked.split_once("\r\n\r\n").unwrap();
        assert!(
            !head.to_ascii_lowercase().contains("authorization:"),
            "{head}"
        );
        let rest = body
            .strip_prefix("token=t&token_type_hint=access_token")
            .and_then(|rest| rest.strip_prefix(form))
            .unwrap();
        if let Some(assertion) = Some(rest).filter(|rest| !rest.is_empty()) {
            let jws = Jws::parse(assertion).unwrap();
            assert_eq!(
                (jws.algorithm(), jws.kid()),
                (Algorithm::Es256, Some("mine"))
            );
            assert_eq!(jws.unproven()["aud"], stage.fake.issuer());
            let public = key.public_key_raw();
            let jwk = serde_json::json!({"kty": "EC", "crv": "P-256",
                "x": signer::b64(&public[1..33]), "y": signer::b64(&public[33..])});
            assert!(
                jws.verified([&Key::parse(&jwk, Algorithm::Rs256).unwrap()])
                    .is_some()
            );
        }
    }
}

#[tokio::test]
async fn a_new_client_secret_and_new_headers_are_used_from_the_next_call_on() {
    let stage = Stage::with(&[], |config| {
        config.client_auth = ClientAuth::SecretPost("old".to_owned().into());
    })
    .await;
    stage
        .fake
        .on("/introspect", Manner::json(r#"{"active":true}"#));
    assert!(stage.idp.introspect("t").await.is_ok());
    assert!(
        stage
            .fake
            .last("/introspect")
            .ends_with("client_secret=old")
    );
    let mut config = Config::new(
        stage.idp.issuer().clone(),
        "elastauth",
        ClientAuth::SecretPost("new".to_owned().into()),
    );
    config
        .http
        .headers
        .insert("x-tenant", HeaderValue::from_static("blue"));
    stage.idp.replace(Idp::access(&config).unwrap());
    assert!(stage.idp.introspect("t").await.is_ok());
    let asked = stage.fake.last("/introspect");
    assert!(
        asked.ends_with("client_secret=new") && asked.contains("x-tenant: blue"),
        "{asked}"
    );
}

#[test]
fn debug_output_has_no_secret() {
    let issuer: SocketAddr = ([127, 0, 0, 1], 1).into();
    let config = Config::new(
        Issuer::parse(&format!("http://{issuer}")).unwrap(),
        "elastauth",
        ClientAuth::SecretPost("hunter2".to_owned().into()),
    );
    let idp = Idp::new(
        config.clone(),
        &Arc::from("main"),
        Clock::System,
        Tasks::default(),
        &Telemetry::default(),
    );
    assert!(!format!("{config:?} {idp:?}").contains("hunter2"));
}
