//! The token providers against a fake identity provider: which tokens are accepted, and every known
//! way to forge or break one.
#![expect(
    clippy::needless_pass_by_value,
    reason = "changes are literals, and read best without an ampersand"
)]

mod asked;
mod fuzz;
mod groups;
mod logout;
mod malformed;
mod mapping;
mod wrong_claims;

use super::*;
use crate::{
    clock::{Clock, Timestamp},
    identity::{Field, Identity, Rejected},
    idp::{
        self, ClientAuth, Config as IdpConfig, IdpError, Issuer,
        tests::{
            fake::{FakeIdp, Manner},
            signer::{Signer, b64, key_set},
        },
    },
    model::{Group, Shown},
    net::trust::AllowedProviders,
    shutdown::Tasks,
    telemetry::{Telemetry, chain},
};
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// The time at which every test begins, in seconds.
const NOW: u64 = 1_800_000_000;

/// From where logout notices come.
const FROM: NoticeSource = NoticeSource {
    address: crate::net::peer::Peer::Ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
    trusted: true,
};

fn none() -> Shown {
    Shown::default()
}

/// For tables of reasons; what is shown has tests of its own.
fn without_values(mut why: RefusedToken) -> RefusedToken {
    use RefusedToken as R;
    if let R::Issuer(shown) | R::UnknownIssuer(shown) | R::Audience(shown) | R::Party(shown) =
        &mut why
    {
        *shown = none();
    }
    why
}

/// A provider with one key, and elastauth's side of it.
struct Stage {
    fake: FakeIdp,
    key: Signer,
    oidc: Oidc,
    ms: Arc<AtomicU64>,
}

impl Stage {
    async fn new() -> Self {
        Self::with("ES256", |_| {}).await
    }

    async fn with(alg: &'static str, change: impl FnOnce(&mut OidcProviderConfig)) -> Self {
        let key = Signer::new("key-1", alg);
        let fake = FakeIdp::start(key_set(&[&key])).await;
        let mut config = provider("main", &fake);
        change(&mut config);
        let ms = Arc::new(AtomicU64::new(NOW * 1_000));
        let oidc = oidc(vec![config], &ms);
        Self {
            fake,
            key,
            oidc,
            ms,
        }
    }

    /// Claims as an access token has them, with some replaced; `null` takes one out.
    fn claims(&self, changes: Value) -> Value {
        let mut claims = json!({
            "iss": self.fake.issuer(), "aud": "elastauth", "sub": "u-1", "exp": NOW + 300,
            "iat": NOW, "scope": "openid",
            "preferred_username": "alice", "groups": ["ops", "dev"], "email": "alice@example.org",
            "name": "Alice Archer",
        });
        let members = claims.as_object_mut().unwrap();
        for (name, value) in changes.as_object().unwrap() {
            if value.is_null() {
                members.remove(name);
            } else {
                members.insert(name.clone(), value.clone());
            }
        }
        claims
    }

    fn token(&self, changes: Value) -> String {
        self.key.token(&self.claims(changes))
    }

    async fn ask(&self, token: &str) -> Result<Identity, Rejected> {
        ask(&self.oidc, &[("authorization", &format!("Bearer {token}"))]).await
    }

    async fn refusal(&self, token: &str) -> RefusedToken {
        match self.ask(token).await {
            Err(Rejected::Token(why)) => without_values(why),
            other => panic!("{other:?} for {token}"),
        }
    }

    fn set_back(&self, time: Duration) {
        self.ms
            .fetch_sub(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn pass(&self, time: Duration) {
        self.ms
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

fn provider(name: &str, fake: &FakeIdp) -> OidcProviderConfig {
    let auth = ClientAuth::SecretBasic("secret".to_owned().into());
    OidcProviderConfig::new(
        name,
        IdpConfig::new(Issuer::parse(&fake.issuer()).unwrap(), "elastauth", auth),
    )
}

fn oidc(providers: Vec<OidcProviderConfig>, ms: &Arc<AtomicU64>) -> Oidc {
    Oidc::new(
        Config::new(providers).unwrap(),
        &Clock::Manual(Arc::clone(ms)),
        &Tasks::default(),
        &Telemetry::default(),
    )
    .unwrap()
}

async fn ask(oidc: &Oidc, headers: &[(&'static str, &str)]) -> Result<Identity, Rejected> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let identity = oidc.identify(&map, &AllowedProviders::default()).await?;
    Ok(identity.expect("the request has a token"))
}

fn groups(identity: &Identity) -> Vec<&str> {
    identity.groups().iter().map(Group::as_str).collect()
}

#[tokio::test]
async fn a_valid_token_gives_an_identity_with_all_its_claims() {
    let stage = Stage::new().await;
    let identity = stage
        .ask(&stage.token(json!({"sid": "s-1"})))
        .await
        .unwrap();
    assert_eq!(identity.user().as_str(), "alice");
    assert_eq!(groups(&identity), ["dev", "ops"]);
    assert_eq!(
        (identity.email(), identity.full_name()),
        (Some("alice@example.org"), Some("Alice Archer"))
    );
    assert_eq!(identity.provider().name(), "main");
    assert_eq!(identity.issued_at(), Some(Timestamp(NOW * 1_000)));
    assert_eq!(
        (identity.subject(), identity.statement().session.as_deref()),
        (Some("u-1"), Some("s-1"))
    );
}

#[tokio::test]
async fn a_request_without_a_token_is_not_for_this_provider() {
    let stage = Stage::new().await;
    let headers = HeaderMap::from_iter([(
        header::AUTHORIZATION,
        HeaderValue::from_static("Basic YTpi"),
    )]);
    assert_eq!(
        stage
            .oidc
            .identify(&headers, &AllowedProviders::default())
            .await,
        Ok(None)
    );
}

#[tokio::test]
async fn every_allowed_algorithm_is_accepted_and_no_other() {
    for alg in [
        "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    ] {
        let stage = Stage::with(alg, |_| {}).await;
        assert!(stage.ask(&stage.token(json!({}))).await.is_ok(), "{alg}");
        let stage = Stage::with(alg, |config| {
            config
                .algorithms
                .retain(|one| Some(*one) != idp::Algorithm::parse(alg));
        })
        .await;
        assert_eq!(
            stage.refusal(&stage.token(json!({}))).await,
            RefusedToken::Algorithm,
            "{alg}"
        );
    }
}

#[tokio::test]
async fn a_token_is_remembered_until_it_expires_and_no_longer() {
    let stage = Stage::new().await;
    let token = stage.token(json!({}));
    assert!(stage.ask(&token).await.is_ok());
    // Its key could not be had any more; it is not needed.
    stage.fake.on("/keys", Manner::HangUp);
    stage.pass(Duration::from_secs(329));
    assert!(stage.ask(&token).await.is_ok());
    assert_eq!(stage.oidc.remembered(), 1);
    stage.pass(Duration::from_secs(1));
    assert_eq!(stage.refusal(&token).await, RefusedToken::Expired);
}

/// With room for so many bytes of tokens.
fn remembering(stage: &Stage, bytes: usize) -> Oidc {
    let mut config = Config::new(vec![provider("main", &stage.fake)]).unwrap();
    config.remembered_bytes = bytes;
    Oidc::new(
        config,
        &Clock::Manual(Arc::clone(&stage.ms)),
        &Tasks::default(),
        &Telemetry::default(),
    )
    .unwrap()
}

#[tokio::test]
async fn remembered_tokens_are_bounded() {
    let stage = Stage::new().await;
    let oidc = remembering(&stage, 10 * 1_024);
    for i in 0..50 {
        let token = stage.token(json!({"jti": i.to_string()}));
        assert!(
            ask(&oidc, &[("authorization", &format!("Bearer {token}"))])
                .await
                .is_ok()
        );
    }
    assert!(
        (5..=25).contains(&oidc.remembered()),
        "{}",
        oidc.remembered()
    );
}

#[tokio::test]
async fn remembered_tokens_of_users_in_many_groups_take_no_more_room() {
    const ROOM: usize = 4 * 1_024 * 1_024;
    let stage = Stage::new().await;
    let oidc = remembering(&stage, ROOM);
    let groups: Vec<_> = (0..300)
        .map(|n| format!("/organisation/department-{n:03}"))
        .collect();
    // Each costs some 20 KB, whatever the allocator adds to it.
    let least = 300 * (size_of::<Group>() + groups[0].len());
    for i in 0..1_500 {
        let token = stage.token(json!({"jti": i.to_string(), "groups": groups}));
        let bearer = format!("Bearer {token}");
        assert!(ask(&oidc, &[("authorization", &bearer)]).await.is_ok());
    }
    let remembered = oidc.remembered();
    assert!((100..=ROOM / least).contains(&remembered), "{remembered}");
}

#[tokio::test]
async fn a_token_that_was_judged_in_the_future_is_judged_again() {
    let stage = Stage::new().await;
    stage.pass(Duration::from_mins(4));
    let (now, old) = (
        stage.token(json!({"iat": NOW + 240})),
        stage.token(json!({})),
    );
    assert!(stage.ask(&now).await.is_ok() && stage.ask(&old).await.is_ok());
    stage.set_back(Duration::from_mins(4));
    assert_eq!(stage.refusal(&now).await, RefusedToken::IssuedAhead);
    assert!(stage.ask(&old).await.is_ok());
}

#[tokio::test]
async fn a_token_that_is_dated_ahead_of_now_is_taken_to_be_of_now() {
    let stage = Stage::new().await;
    let ahead = stage.ask(&stage.token(json!({"iat": NOW + 20}))).await;
    let ahead = ahead.unwrap();
    assert_eq!(
        (ahead.as_of(), ahead.issued_at()),
        (
            Some(Timestamp(NOW * 1_000)),
            Some(Timestamp((NOW + 20) * 1_000))
        )
    );
}

#[tokio::test]
async fn a_token_is_refused_once_its_key_is_known_to_be_withdrawn() {
    let stage = Stage::new().await;
    let token = stage.token(json!({}));
    assert!(stage.ask(&token).await.is_ok());
    let next = Signer::new("key-2", "ES256");
    stage.fake.on("/keys", Manner::json(key_set(&[&next])));
    stage.pass(Duration::from_secs(10));
    assert!(
        stage
            .ask(&next.token(&stage.claims(json!({}))))
            .await
            .is_ok()
    );
    assert_eq!(stage.refusal(&token).await, RefusedToken::UnknownKey);
}

#[tokio::test]
async fn requests_with_remembered_tokens_learn_of_a_withdrawn_key() {
    let stage = Stage::new().await;
    let token = stage.token(json!({"exp": NOW + 86_400}));
    assert!(stage.ask(&token).await.is_ok());
    stage.fake.on(
        "/keys",
        Manner::json(key_set(&[&Signer::new("key-2", "ES256")])),
    );
    stage.pass(Duration::from_mins(12));
    assert!(
        stage.ask(&token).await.is_ok(),
        "no request waits for the keys"
    );
    while stage.ask(&token).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(stage.refusal(&token).await, RefusedToken::UnknownKey);
    assert_eq!(
        stage.fake.count("/keys"),
        4,
        "at first, after ten minutes, and for two tokens whose key is gone"
    );
}

#[tokio::test]
async fn ambiguous_providers_are_an_error() {
    let (one, other) = (
        FakeIdp::start(String::new()).await,
        FakeIdp::start(String::new()).await,
    );
    let of = |providers| Config::new(providers).err();
    assert_eq!(of(vec![provider("a", &one), provider("b", &other)]), None);
    assert_eq!(
        of(vec![provider("a", &one), provider("a", &other)]),
        Some(InvalidProviders::SameName)
    );
    assert_eq!(
        of(vec![provider("a", &one), provider("b", &one)]),
        Some(InvalidProviders::SameIssuer)
    );
    let mut none = provider("a", &one);
    none.algorithms.clear();
    assert_eq!(of(vec![none]), Some(InvalidProviders::NoAlgorithm));
}

#[tokio::test]
async fn an_rsa_key_that_names_no_algorithm_has_the_first_of_the_list() {
    for (first, alg, taken) in [
        (None, "RS256", true),
        (None, "PS256", false),
        (Some(idp::Algorithm::Ps256), "PS256", true),
    ] {
        let stage = Stage::with(alg, |config| {
            config.algorithms.splice(0..0, first).for_each(drop);
        })
        .await;
        let mut jwk = stage.key.jwk();
        jwk["alg"] = Value::Null;
        stage.fake.on("/keys", Manner::json(json!({"keys": [jwk]})));
        assert_eq!(
            stage.ask(&stage.token(json!({}))).await.is_ok(),
            taken,
            "{first:?} {alg}"
        );
    }
}

#[tokio::test]
async fn the_issuer_chooses_the_provider_and_no_other_is_tried() {
    let (one, other) = (Stage::new().await, Stage::new().await);
    let both = oidc(
        vec![provider("one", &one.fake), provider("other", &other.fake)],
        &one.ms,
    );
    let asked = |token: String| {
        let both = &both;
        async move { ask(both, &[("authorization", &format!("Bearer {token}"))]).await }
    };
    for (stage, name) in [(&one, "one"), (&other, "other")] {
        assert_eq!(
            asked(stage.token(json!({})))
                .await
                .unwrap()
                .provider()
                .name(),
            name
        );
    }
    // The other's key under the other's name, but in the one's name.
    let forged = other.key.token(&one.claims(json!({})));
    assert_eq!(
        asked(forged).await,
        Err(Rejected::Token(RefusedToken::Signature))
    );
    let both = format!("\"{}\", \"{}\"", one.fake.issuer(), other.fake.issuer());
    let refused = asked(one.token(json!({"iss": "https://elsewhere.test"}))).await;
    assert_eq!(
        chain(&refused.unwrap_err()),
        format!(
            "the token is refused: the token's issuer is not configured: `iss` is \
             \"https://elsewhere.test\", expected {both}"
        )
    );
}

#[tokio::test]
async fn an_access_token_may_be_in_a_cookie_and_an_id_token_only_in_its_own() {
    let stage = Stage::new().await;
    let (access, id) = (
        stage.token(json!({})),
        stage.token(json!({"typ": "ID", "azp": "elastauth"})),
    );
    let asked = |cookie: String| {
        let oidc = &stage.oidc;
        async move { ask(oidc, &[("cookie", &cookie)]).await.map(|_| ()) }
    };
    assert_eq!(asked(format!("access_token={access}")).await, Ok(()));
    assert_eq!(asked(format!("id_token={id}")).await, Ok(()));
    // Remembered or not: a token that is accepted in one place is not accepted in another.
    assert_eq!(
        asked(format!("access_token={id}")).await,
        Err(Rejected::Token(RefusedToken::ClaimType))
    );
    assert_eq!(stage.refusal(&id).await, RefusedToken::ClaimType);
    assert_eq!(
        asked(format!("access_token={access}; id_token={id}")).await,
        Ok(())
    );
    let anywhere = Stage::with("ES256", |config| config.id_tokens = IdTokens::Anywhere).await;
    assert!(
        anywhere
            .ask(&anywhere.token(json!({"typ": "ID"})))
            .await
            .is_ok()
    );
    let never = Stage::with("ES256", |config| config.id_tokens = IdTokens::Never).await;
    let id = never.token(json!({"typ": "ID"}));
    assert_eq!(
        ask(&never.oidc, &[("cookie", &format!("id_token={id}"))]).await,
        Err(Rejected::Token(RefusedToken::ClaimType))
    );
}

#[tokio::test]
async fn a_token_is_not_refused_while_the_provider_is_away_and_no_keys_are_known() {
    let stage = Stage::new().await;
    stage.fake.on(
        "/.well-known/openid-configuration",
        Manner::status("502 Bad Gateway"),
    );
    let outcome = stage.ask(&stage.token(json!({}))).await;
    assert!(
        matches!(
            outcome,
            Err(Rejected::Idp {
                source: IdpError::Status(..),
                ..
            })
        ),
        "{outcome:?}"
    );
    // Its description might name this issuer for access tokens.
    let elsewhere = stage.token(json!({"iss": "https://elsewhere.test"}));
    let outcome = stage.ask(&elsewhere).await;
    assert!(matches!(outcome, Err(Rejected::Idp { .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_unknown_issuer_needs_no_asking_once_the_description_is_known() {
    let stage = Stage::new().await;
    stage.ask(&stage.token(json!({}))).await.unwrap();
    let asked = || ["/.well-known/openid-configuration", "/keys"].map(|at| stage.fake.count(at));
    let before = asked();
    let elsewhere = stage.token(json!({"iss": "https://elsewhere.test"}));
    assert_eq!(
        stage.refusal(&elsewhere).await,
        RefusedToken::UnknownIssuer(none())
    );
    assert_eq!(asked(), before);
}
