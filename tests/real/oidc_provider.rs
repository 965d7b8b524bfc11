//! Tokens of the certified `oidc-provider` on the shipped program: signed and opaque ones, in each
//! kind of signature, through sign-ins on its own pages.

use crate::support::{gate::Gate, oidc_provider::OidcProvider};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::StatusCode;
use serde_json::{Value, json};

/// `a,b` is one group, and never two of which one is `a`.
const GROUPS: &str = "dev: [editor]\na: [superuser]";

async fn gate(provider: &OidcProvider, oidc: &str) -> Gate {
    Gate::open(&provider.issuer(), oidc, GROUPS).await
}

fn head_of(token: &str) -> Value {
    serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD
            .decode(token.split('.').next().unwrap())
            .unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn signed_tokens_of_each_kind_of_key_are_taken() {
    let keys = [
        ("r", "RS256"),
        ("p", "PS256"),
        ("e", "ES256"),
        ("d", "EdDSA"),
    ];
    let provider = OidcProvider::start(&keys, &[]).await;
    let gate = gate(&provider, "").await;
    for (kid, alg) in keys {
        let token = provider
            .access_token("elastauth", "alice", Some(&format!("https://{alg}.test")))
            .await;
        assert_eq!(
            head_of(&token),
            json!({ "alg": alg, "kid": kid, "typ": "at+jwt" })
        );
        gate.assert_login(&token, "alice", &["editor"]).await;
    }
    // Nobody without a group.
    let bob = provider
        .access_token("elastauth", "bob", Some("https://rs256.test"))
        .await;
    assert_eq!(gate.bearer(&bob).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_token_for_another_audience_or_of_another_client_is_refused() {
    let provider = OidcProvider::start(&[("r", "RS256")], &[]).await;
    let gate = gate(&provider, "").await;
    let tokens = provider
        .tokens("elastauth", "alice", Some("https://other.test"))
        .await;
    gate.assert_refused(
        tokens["access_token"].as_str().unwrap(),
        "not for elastauth",
    )
    .await;
    gate.assert_refused(
        &provider
            .access_token("other", "alice", Some("https://rs256.test"))
            .await,
        "issued to another client",
    )
    .await;
    // An ID token has our name as its audience, and says nowhere what it is but by what is in it.
    gate.assert_refused(
        tokens["id_token"].as_str().unwrap(),
        "looks like an ID token",
    )
    .await;
    assert_eq!(gate.calls(), 0);
}

#[tokio::test]
async fn opaque_tokens_are_asked_about() {
    let provider = OidcProvider::start(&[("r", "RS256")], &[]).await;
    let introspection =
        "client_secret: elastauth-secret\ntoken_validation: introspection\ncache: 1s";
    let both = gate(
        &provider,
        "client_secret: elastauth-secret\ntoken_validation: both\ncache: 1s",
    )
    .await;
    let userinfo = gate(&provider, "token_validation: userinfo\ncache: 1s").await;
    let introspecting = gate(&provider, introspection).await;
    let token = provider.access_token("elastauth", "alice", None).await;
    assert!(!token.contains('.'), "an opaque one");
    both.assert_login(&token, "alice", &["editor"]).await;
    userinfo.assert_login(&token, "alice", &["editor"]).await;
    introspecting
        .assert_login(&token, "alice", &["editor"])
        .await;
    // Who does not ask cannot know.
    gate(&provider, "")
        .await
        .assert_refused(&token, "not signed")
        .await;

    // Introspection says to whom it was issued; userinfo does not, and answers whoever holds a
    // token.
    let other = provider.access_token("other", "alice", None).await;
    both.assert_refused(&other, "not for elastauth").await;
    introspecting
        .assert_refused(&other, "not for elastauth")
        .await;

    provider.revoke("elastauth", &token).await;
    for gate in [&both, &userinfo, &introspecting] {
        let refused = gate.until(&token, StatusCode::UNAUTHORIZED).await;
        gate.assert_refusal(&refused, "not active");
        gate.assert_refused("made-up", "not active").await;
    }
}

#[tokio::test]
async fn where_both_are_taken_a_signature_is_final() {
    let provider = OidcProvider::start(&[("r", "RS256")], &[]).await;
    let gate = gate(
        &provider,
        "client_secret: elastauth-secret\ntoken_validation: both",
    )
    .await;
    let token = provider
        .access_token("elastauth", "alice", Some("https://rs256.test"))
        .await;
    gate.assert_login(&token, "alice", &["editor"]).await;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bent = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
    bent[0] ^= 1;
    gate.assert_refused(
        &format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(bent)),
        "signature",
    )
    .await;
}

#[tokio::test]
async fn introspection_with_a_key_in_the_place_of_a_secret() {
    let pair = rcgen::KeyPair::generate().unwrap();
    let point = pair.public_key_raw();
    let (x, y) = (
        BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]),
        BASE64_URL_SAFE_NO_PAD.encode(&point[33..]),
    );
    let client = json!({
        "client_id": "elastauth-key", "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": { "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig", "alg": "ES256",
        "x": x, "y": y }] },
        "redirect_uris": [], "response_types": [], "grant_types": [],
    });
    let provider = OidcProvider::start(&[("r", "RS256")], &[client]).await;
    let key = pair
        .serialize_pem()
        .lines()
        .fold(String::new(), |text, line| format!("{text}  {line}\n"));
    let oidc = format!(
        "token_validation: introspection\nclient_id: elastauth-key\naudiences: [elastauth]\n\
         client_auth_method: private_key_jwt\n\
         private_key_id: k1\nprivate_key: |\n{key}"
    );
    let gate = gate(&provider, &oidc).await;
    gate.assert_login(
        &provider.access_token("elastauth", "alice", None).await,
        "alice",
        &["editor"],
    )
    .await;
}

#[tokio::test]
async fn a_provider_that_restarts_with_other_keys_is_followed() {
    let mut provider = OidcProvider::start(&[("k1", "RS256")], &[]).await;
    let gate = gate(&provider, "").await;
    let old = provider
        .access_token("elastauth", "alice", Some("https://rs256.test"))
        .await;
    gate.assert_login(&old, "alice", &["editor"]).await;

    // While it is away, what is known goes on.
    provider.kill();
    gate.assert_login(&old, "alice", &["editor"]).await;

    // The new key signs, the old one is still published.
    provider.restart(&[("k2", "ES256"), ("k1", "RS256")]).await;
    let new = provider
        .access_token("elastauth", "alice", Some("https://es256.test"))
        .await;
    assert_eq!(head_of(&new)["kid"], json!("k2"));
    gate.until(&new, StatusCode::OK).await;
    gate.assert_login(&old, "alice", &["editor"]).await;

    // The old one is gone: its tokens end as soon as that is known, which a third key brings about.
    provider.restart(&[("k3", "RS256"), ("k2", "ES256")]).await;
    let newest = provider
        .access_token("elastauth", "alice", Some("https://rs256.test"))
        .await;
    gate.until(&newest, StatusCode::OK).await;
    // Until the next fetch is allowed, a key that is not known is a 503.
    let answer = gate.until(&old, StatusCode::UNAUTHORIZED).await;
    gate.assert_refusal(&answer, "no key of the token's `kid`");
    gate.assert_login(&new, "alice", &["editor"]).await;
}
