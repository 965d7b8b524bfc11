//! Invalid tokens on the running program. Each rule has its own test beside the code
//! (`identity::oidc::tests::malformed`, `idp::json`, `idp::jws`); here it counts that a token which
//! breaks one gets nothing, costs nothing and is shown to nobody.

use super::setup::{Setup, bearer};
use crate::support::{
    find,
    idp::{Idp, now},
    until,
};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// One token for each family of rules, with what is wrong with it. `other` is a provider that
/// nobody has configured.
fn invalid(setup: &Setup, other: &Idp) -> Vec<(&'static str, String)> {
    let (idp, good) = (&setup.idp, setup.idp.sign("at+jwt", &claims(setup)));
    let [header, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let b64 = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let with_header = |change: Value| {
        let mut header = json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" });
        for (name, value) in change.as_object().unwrap() {
            header[name] = value.clone();
        }
        idp.sign_bytes(
            header.to_string().as_bytes(),
            claims(setup).to_string().as_bytes(),
        )
    };
    let with_claim = |name: &str, value: Value| {
        let mut claims = claims(setup);
        claims[name] = value;
        idp.sign("at+jwt", &claims)
    };
    let no_algorithm = b64(br#"{"alg":"none","kid":"k1"}"#);
    let shared = b64(br#"{"alg":"HS256","kid":"k1"}"#);
    let tag = hmac::sign(
        &hmac::Key::new(hmac::HMAC_SHA256, idp.public_key()),
        format!("{shared}.{body}").as_bytes(),
    );
    let addresses = json!({ "alg": "ES256", "kid": "k1", "jku": format!("{}/keys", other.issuer) });
    let twice = claims(setup)
        .to_string()
        .replacen('{', "{\"aud\":\"other\",", 1);
    vec![
        ("no algorithm", format!("{no_algorithm}.{body}.")),
        (
            "the public key as a shared secret",
            format!("{shared}.{body}.{}", b64(tag.as_ref())),
        ),
        (
            "signed by another, who names the address of the keys",
            other.sign_bytes(
                addresses.to_string().as_bytes(),
                claims(setup).to_string().as_bytes(),
            ),
        ),
        ("an unknown key", with_header(json!({ "kid": "k2" }))),
        ("a critical header", with_header(json!({ "crit": ["exp"] }))),
        (
            "another kind of token",
            with_header(json!({ "typ": "logout+jwt" })),
        ),
        ("another audience", with_claim("aud", json!("another"))),
        ("over", with_claim("exp", json!(now() - 31))),
        ("no end", with_claim("exp", json!(null))),
        (
            "another issuer",
            with_claim("iss", json!("https://elsewhere.example")),
        ),
        (
            "a claim twice",
            idp.sign_bytes(
                br#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#,
                twice.as_bytes(),
            ),
        ),
        ("a type that is no text", with_header(json!({ "typ": 1 }))),
        ("padding", format!("{good}=")),
        ("a character before", format!("A{good}")),
        ("a character behind", format!("{good}AAA")),
        ("a part too many", format!("{good}.{signature}")),
        (
            "another signature",
            format!("{header}.{body}.{}", b64(&[1; 64])),
        ),
        (
            "a signature of zeros",
            format!("{header}.{body}.{}", b64(&[0; 64])),
        ),
        (
            "too long",
            format!("{header}.{}.{signature}", "A".repeat(40_000)),
        ),
        ("not signed", "opaque".to_owned()),
    ]
}

fn claims(setup: &Setup) -> Value {
    json!({
        "iss": setup.idp.issuer, "aud": "elastauth", "azp": "elastauth", "sub": "u1",
        "iat": now(), "exp": now() + 300, "preferred_username": "alice", "groups": ["dev"],
    })
}

#[tokio::test]
async fn an_invalid_token_gets_nothing_asks_nobody_and_is_not_repeated() {
    let (setup, other) = (Setup::new().await, Idp::start().await);
    let good = setup.idp.sign("at+jwt", &claims(&setup));
    assert_eq!(
        setup.bearer(&good).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    let begun = Instant::now();
    let (calls, fetches) = (setup.cluster.calls().len(), setup.idp.asked("/keys"));
    let invalid = invalid(&setup, &other);
    for (what, token) in &invalid {
        let (bearer, cookie) = (format!("Bearer {token}"), format!("access_token={token}"));
        for headers in [
            &[("authorization", &*bearer)][..],
            &[("cookie", &cookie)],
            // A refused token is not rescued by headers.
            &[
                ("authorization", &bearer),
                ("remote-user", "bob"),
                ("remote-groups", "dev"),
            ],
        ] {
            let refused = setup.elastauth.server().get("/elastauth", headers).await;
            // After some unknown keys the next is not looked up for a while.
            let is_later = refused.status == 503 && refused.header("retry-after") == Some("5");
            assert!(
                refused.status == 401 || is_later,
                "{what}: {}",
                setup.elastauth.log()
            );
            assert!(
                refused.header("authorization").is_none()
                    && refused.header("remote-user").is_none(),
                "{what}"
            );
            if headers[0].0 == "authorization" && !is_later {
                let challenge = refused.header("www-authenticate").unwrap();
                assert!(challenge.contains("invalid_token"), "{what}: {challenge}");
            }
        }
    }
    assert_eq!(
        setup.cluster.calls().len(),
        calls,
        "the cluster is not asked"
    );
    assert_eq!(other.asked_in_all(), 0, "no address in a token is followed");
    assert!(
        setup.idp.asked("/keys") <= fetches + 2 + cool_downs(begun),
        "unknown keys are asked for three times at once, and then once in five seconds"
    );
    assert_eq!(
        setup.idp.asked("/keys"),
        setup.idp.asked_in_all() - setup.idp.asked("/.well-known/openid-configuration"),
        "the provider is asked for nothing else"
    );
    assert_eq!(setup.bearer(&good).await.status, 200);
    // More than the headers of a request may have is refused before it is a token.
    let huge = bearer(&setup.elastauth, &"A".repeat(100_000)).await;
    assert_eq!(huge.status, 431);
    let log = setup.elastauth.log();
    assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
    for (what, token) in &invalid {
        for part in token.split('.').filter(|part| part.len() > 40) {
            assert!(
                !log.contains(&part[..40]) && !log.contains(&part[part.len() - 40..]),
                "{what} is in the log"
            );
        }
    }
}

/// Fetches that may follow a burst by now.
fn cool_downs(since: Instant) -> usize {
    usize::try_from(since.elapsed().as_secs() / 5).unwrap() + 1
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_a_few_times_and_a_real_new_key_works_soon_after() {
    let mut setup = Setup::new().await;
    assert_eq!(
        setup.bearer(&setup.idp.aged(9, &["dev"])).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    let (begun, first) = (Instant::now(), setup.idp.asked("/keys"));
    let claims = json!({ "iss": setup.idp.issuer, "aud": "elastauth", "exp": now() + 300,
        "preferred_username": "alice" })
    .to_string();
    for n in 0..300 {
        let header = json!({ "alg": "ES256", "kid": format!("unknown-{n}") }).to_string();
        let token = setup.idp.sign_bytes(header.as_bytes(), claims.as_bytes());
        let answer = setup.bearer(&token).await;
        // Refused, or not looked up yet.
        assert!([401, 503].contains(&answer.status.as_u16()), "{answer:?}");
        let is_refused = answer.status == 401;
        assert!(
            is_refused || answer.header("retry-after").is_some(),
            "{answer:?}"
        );
    }
    assert!(
        setup.idp.asked("/keys") <= first + 2 + cool_downs(begun),
        "three at once, then one fetch in five seconds: {}",
        setup.idp.asked("/keys")
    );
    // A bad signature by a known key has the same bounds.
    let bent = setup.idp.aged(8, &["dev"]);
    let (head, tail) = bent.split_at(bent.len() - 20);
    for n in 0..250_u8 {
        let token = format!("{head}{}{}", char::from(b'a' + (n % 26)), &tail[1..]);
        let _good_once_in_a_while = setup.bearer(&token).await;
    }
    assert!(
        setup.idp.asked("/keys") <= first + 2 + cool_downs(begun),
        "three at once, then one fetch in five seconds: {}",
        setup.idp.asked("/keys")
    );
    setup.idp.rotate();
    find(
        "a token of the new key",
        Duration::from_secs(15),
        async || {
            let answer = setup.bearer(&setup.idp.aged(1, &["dev"])).await;
            (answer.status == 200).then_some(())
        },
    )
    .await;
    until("the refusals in the log", || {
        setup
            .elastauth
            .log()
            .contains("the provider has no key of the token's `kid`")
    })
    .await;
}
