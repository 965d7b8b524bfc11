//! Bad tokens, family by family. Each must be refused for its own reason: a token that is refused
//! for another one leaves its rule untested.

use super::super::{
    policy::Policy,
    presented::{TokenPlace, TokenPlaces},
};
use super::*;
use crate::idp::{Jws, MalformedToken, json::InvalidJson};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};

/// One that looks for each unknown key at once, so that each token gets its own reason.
async fn eager() -> Stage {
    Stage::with("ES256", |config| config.idp.cool_down = Duration::ZERO).await
}

#[tokio::test]
async fn a_malformed_header_is_refused_for_its_own_reason() {
    use MalformedToken as B;
    let stage = eager().await;
    let form = RefusedToken::Form;
    for (member, value, why) in [
        ("alg", json!("none"), form(B::Algorithm)),
        ("alg", json!("None"), form(B::Algorithm)),
        ("alg", json!("NONE"), form(B::Algorithm)),
        ("alg", json!("nOnE"), form(B::Algorithm)),
        ("alg", json!(""), form(B::Algorithm)),
        ("alg", json!("HS256"), form(B::Algorithm)),
        ("alg", json!("none "), form(B::Algorithm)),
        ("alg", json!("HS384"), form(B::Algorithm)),
        ("alg", json!("HS512"), form(B::Algorithm)),
        ("alg", json!("dir"), form(B::Algorithm)),
        ("alg", json!(7), form(B::Algorithm)),
        ("alg", json!(true), form(B::Algorithm)),
        ("alg", json!({"ES256": 1}), form(B::Algorithm)),
        ("alg", json!("es256"), form(B::Algorithm)),
        ("alg", json!("ES256 "), form(B::Algorithm)),
        ("alg", json!("ES256K"), form(B::Algorithm)),
        ("alg", json!(["ES256"]), form(B::Algorithm)),
        ("alg", json!(null), form(B::Algorithm)),
        ("alg", json!("RS256"), RefusedToken::UnknownKey),
        ("alg", json!("PS256"), RefusedToken::UnknownKey),
        ("alg", json!("ES384"), RefusedToken::UnknownKey),
        ("alg", json!("EdDSA"), RefusedToken::UnknownKey),
        ("kid", json!("../../dev/null"), RefusedToken::UnknownKey),
        ("kid", json!("key-1' OR '1'='1"), RefusedToken::UnknownKey),
        ("kid", json!("key-1\u{0}"), RefusedToken::UnknownKey),
        ("kid", json!("KEY-1"), RefusedToken::UnknownKey),
        ("kid", json!("key-1 "), RefusedToken::UnknownKey),
        ("kid", json!("\u{202e}1-yek"), RefusedToken::UnknownKey),
        (
            "kid",
            json!("http://169.254.169.254/"),
            RefusedToken::UnknownKey,
        ),
        ("kid", json!({"key-1": 1}), form(B::Kid)),
        ("kid", json!("x".repeat(257)), form(B::Kid)),
        ("kid", json!(""), form(B::Kid)),
        ("kid", json!(1), form(B::Kid)),
        ("kid", json!(null), form(B::Kid)),
        ("kid", json!(["key-1"]), form(B::Kid)),
        ("typ", json!("logout+jwt"), RefusedToken::HeaderType),
        (
            "typ",
            json!("application/secevent+jwt"),
            RefusedToken::HeaderType,
        ),
        ("typ", json!("dpop+jwt"), RefusedToken::HeaderType),
        ("typ", json!("JOSE"), RefusedToken::HeaderType),
        ("typ", json!("id_token+jwt"), RefusedToken::HeaderType),
        ("typ", json!(7), form(B::Kind)),
        ("typ", json!(1), form(B::Kind)),
        ("crit", json!(["exp"]), form(B::Critical)),
        ("crit", json!([]), form(B::Critical)),
        ("crit", json!(["b64"]), form(B::Critical)),
        ("b64", json!(false), form(B::Unencoded)),
        ("b64", json!(true), form(B::Unencoded)),
        ("cty", json!("JWT"), form(B::Nested)),
        ("zip", json!("DEF"), form(B::Nested)),
        ("enc", json!("A256GCM"), form(B::Nested)),
    ] {
        let mut header = stage.key.header();
        header[member] = value.clone();
        assert_eq!(
            stage
                .refusal(&stage.key.token_with(&header, &stage.claims(json!({}))))
                .await,
            why,
            "{member}: {value}"
        );
    }
    for kind in ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
        let mut header = stage.key.header();
        header["typ"] = kind.into();
        assert!(
            stage
                .ask(
                    &stage
                        .key
                        .token_with(&header, &stage.claims(json!({"jti": kind})))
                )
                .await
                .is_ok(),
            "{kind}"
        );
    }
    let strict = Stage::with("ES256", |config| config.require_at_jwt = true).await;
    assert_eq!(
        strict.refusal(&strict.token(json!({}))).await,
        RefusedToken::HeaderType
    );
}

#[tokio::test]
async fn keys_and_addresses_in_a_token_are_ignored() {
    let stage = eager().await;
    let mallory = Signer::new("mallory", "ES256");
    let trap = FakeIdp::start(key_set(&[&mallory])).await;
    let url = format!("{}/keys", trap.issuer());
    for (member, value) in [
        ("jwk", mallory.jwk()),
        ("jku", json!(url)),
        ("x5u", json!(url)),
        ("x5c", json!([b64("cert")])),
        ("x5t", json!(url)),
    ] {
        for kid in ["mallory", "key-1"] {
            let mut header = mallory.header();
            header[member] = value.clone();
            header["kid"] = kid.into();
            let why = stage
                .refusal(&mallory.token_with(&header, &stage.claims(json!({}))))
                .await;
            assert_eq!(
                why,
                if kid == "key-1" {
                    RefusedToken::Signature
                } else {
                    RefusedToken::UnknownKey
                }
            );
            header.as_object_mut().unwrap().remove("kid");
            assert_eq!(
                stage
                    .refusal(&mallory.token_with(&header, &stage.claims(json!({}))))
                    .await,
                RefusedToken::Signature
            );
        }
    }
    assert_eq!(trap.count("/keys"), 0);
}

#[tokio::test]
async fn a_public_key_is_not_used_as_a_shared_secret() {
    let hashes = [
        ("HS256", hmac::HMAC_SHA256),
        ("HS384", hmac::HMAC_SHA384),
        ("HS512", hmac::HMAC_SHA512),
    ];
    for alg in ["RS256", "ES256"] {
        let stage = Stage::with(alg, |_| {}).await;
        let public = stage.key.public();
        for secret in [
            public[1..].to_vec(),
            b64(&public).into_bytes(),
            BASE64_STANDARD.encode(&public).into_bytes(),
            public,
            stage.key.jwk().to_string().into_bytes(),
            Vec::new(),
        ] {
            for (named, hash) in hashes {
                for claimed in [named, alg] {
                    let header = json!({"alg": claimed, "kid": "key-1"}).to_string();
                    let claims = stage.claims(json!({})).to_string();
                    let signed = format!("{}.{}", b64(header), b64(claims));
                    let mac = hmac::sign(&hmac::Key::new(hash, &secret), signed.as_bytes());
                    let why = stage.refusal(&format!("{signed}.{}", b64(mac))).await;
                    let expected = if claimed == named {
                        RefusedToken::Form(MalformedToken::Algorithm)
                    } else {
                        RefusedToken::Signature
                    };
                    assert_eq!(why, expected, "{claimed} with {named}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_malformed_token_is_refused_for_its_own_reason() {
    use MalformedToken as B;
    let stage = Stage::new().await;
    let good = stage.token(json!({}));
    let [head, body, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let signed = |header: &str, claims: &str| stage.key.token_of(&b64(header), &b64(claims));
    let claims = stage.claims(json!({})).to_string();
    let twice = format!(
        "{},\"iss\":\"https://elsewhere.test\"}}",
        claims.trim_end_matches('}')
    );
    let deep = format!(
        "{},\"x\":{}{}}}",
        claims.trim_end_matches('}'),
        "[".repeat(5_000),
        "]".repeat(5_000)
    );
    let json_of = |part, why| RefusedToken::Form(B::Json(part, why));
    for (token, why) in [
        (format!("{head}.{body}"), RefusedToken::Form(B::Parts)),
        (format!("{head}.{body}."), RefusedToken::Signature),
        (format!("{good}."), RefusedToken::Form(B::Parts)),
        (format!("{good}.{signature}"), RefusedToken::Form(B::Parts)),
        (
            format!("{head}.{body}.{signature}.x.y"),
            RefusedToken::Form(B::Encrypted),
        ),
        (
            format!(".{body}.{signature}"),
            json_of("header", InvalidJson::Syntax),
        ),
        (
            format!("{head}..{signature}"),
            json_of("claims", InvalidJson::Syntax),
        ),
        (
            format!("{good}="),
            RefusedToken::Form(B::Base64("signature")),
        ),
        (
            format!("{head}==.{body}.{signature}"),
            RefusedToken::Form(B::Base64("header")),
        ),
        (
            format!("{head}.{}+.{signature}", &body[..body.len() - 1]),
            RefusedToken::Form(B::Base64("claims")),
        ),
        (
            format!("{head}.{body}.{}/", &signature[..signature.len() - 1]),
            RefusedToken::Form(B::Base64("signature")),
        ),
        (
            format!("{head}.{body}.{}", &signature[..signature.len() - 1]),
            RefusedToken::Form(B::Base64("signature")),
        ),
        ("..".to_owned(), json_of("header", InvalidJson::Syntax)),
        ("....".to_owned(), RefusedToken::Form(B::Encrypted)),
        (
            format!("{head}{body}{signature}"),
            RefusedToken::Form(B::Parts),
        ),
        (format!("{good}{good}"), RefusedToken::Form(B::Encrypted)),
        (format!("A{good}"), json_of("header", InvalidJson::Syntax)),
        (
            format!("{good}AAA"),
            RefusedToken::Form(B::Base64("signature")),
        ),
        (good.replace('.', "%2E"), RefusedToken::Alphabet),
        (
            format!("{head}.\"{body}\".{signature}"),
            RefusedToken::Alphabet,
        ),
        (
            format!("{head}.{}.{signature}", "A".repeat(40_000)),
            RefusedToken::Form(B::TooLong),
        ),
        (
            format!("{}.{body}.{signature}", "A".repeat(20_000)),
            RefusedToken::Form(B::PartTooLong),
        ),
        (
            format!("{head}.{body}.{}", "A".repeat(20_000)),
            RefusedToken::Form(B::PartTooLong),
        ),
        ("A".repeat(50_000), RefusedToken::Form(B::TooLong)),
        (
            format!("{}.{body}.", b64(r#"{"alg":"none","kid":"key-1"}"#)),
            RefusedToken::Form(B::Algorithm),
        ),
        (signed("{}", &claims), RefusedToken::Form(B::Algorithm)),
        (
            signed("\u{feff}{\"alg\":\"ES256\"}", &claims),
            json_of("header", InvalidJson::Syntax),
        ),
        (
            signed("{'alg':'ES256'}", &claims),
            json_of("header", InvalidJson::Syntax),
        ),
        (
            signed(r#"{"alg":"ES256"}{}"#, &claims),
            json_of("header", InvalidJson::Syntax),
        ),
        (signed("{", &claims), json_of("header", InvalidJson::Syntax)),
        (
            signed("[]", &claims),
            json_of("header", InvalidJson::NotAnObject),
        ),
        (
            signed("\"ES256\"", &claims),
            json_of("header", InvalidJson::NotAnObject),
        ),
        (signed(" ", &claims), json_of("header", InvalidJson::Syntax)),
        (
            signed(r#"{"alg":"none","alg":"ES256","kid":"key-1"}"#, &claims),
            json_of("header", InvalidJson::Duplicate),
        ),
        (
            signed(r#"{"alg":"ES256","kid":"key-1"}"#, &twice),
            json_of("claims", InvalidJson::Duplicate),
        ),
        (
            signed(r#"{"alg":"ES256","kid":"key-1"}"#, &deep),
            json_of("claims", InvalidJson::Deep),
        ),
        (
            signed(r#"{"alg":"ES256","kid":"key-1"}"#, "\"text\""),
            json_of("claims", InvalidJson::NotAnObject),
        ),
        (
            stage.key.token_of(
                &b64(r#"{"alg":"ES256","kid":"key-1"}"#),
                &b64(b"{\"iss\":\"\xff\"}"),
            ),
            json_of("claims", InvalidJson::Syntax),
        ),
        (
            signed(
                &format!(r#"{{"alg":"ES256","x":"{}"}}"#, "x".repeat(9_000)),
                &claims,
            ),
            RefusedToken::Form(B::PartTooLong),
        ),
        (
            stage.token(json!({"x": "x".repeat(40_000)})),
            RefusedToken::Form(B::TooLong),
        ),
        (
            format!("{good}{}", "A".repeat(1_000_000)),
            RefusedToken::Form(B::TooLong),
        ),
        ("A".repeat(100), RefusedToken::Opaque),
        (
            stage
                .key
                .token_of(&b64(r#"{"alg":"ES256","cty":"JWT"}"#), &b64(&good)),
            RefusedToken::Form(B::Nested),
        ),
    ] {
        assert_eq!(
            stage.refusal(&token).await,
            why,
            "{}",
            token.get(..80).unwrap_or(&token)
        );
    }
    // The last character of 64 bytes has four bits that mean nothing: only zeros are canonical.
    let mut tail = signature.to_owned();
    let last = tail.pop().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let next = alphabet
        .chars()
        .nth(alphabet.find(last).unwrap() + 1)
        .unwrap();
    assert_eq!(
        stage.refusal(&format!("{head}.{body}.{tail}{next}")).await,
        RefusedToken::Form(B::Base64("signature"))
    );
    assert!(
        stage.ask(&good).await.is_ok(),
        "what all these were made from is good"
    );
}

#[tokio::test]
async fn an_invalid_signature_is_refused_and_fetches_no_more_keys_than_it_may() {
    for alg in ["RS256", "PS256", "ES256", "ES512", "EdDSA"] {
        let stage = Stage::with(alg, |_| {}).await;
        assert!(stage.ask(&stage.token(json!({}))).await.is_ok());
        let good = stage.token(json!({"jti": "2"}));
        let (signed, signature) = good.rsplit_once('.').unwrap();
        let raw = stage.key.sign(signed.as_bytes());
        stage.pass(Duration::from_secs(20));
        let half = raw.len() / 2;
        let mut flipped = raw.clone();
        flipped[half] ^= 0x80;
        for invalid in [
            flipped,
            [&raw[half..], &raw[..half]].concat(),
            [&raw[..], &raw].concat(),
            [&[0][..], &raw].concat(),
            [&[0][..], &raw[..half], &[0], &raw[half..]].concat(),
            [&raw[..], &[0]].concat(),
            raw[..raw.len() - 1].to_vec(),
            vec![0; raw.len()],
            vec![0xff; raw.len()],
            raw[..half].to_vec(),
            Vec::new(),
        ] {
            assert_eq!(
                stage.refusal(&format!("{signed}.{}", b64(invalid))).await,
                RefusedToken::Signature,
                "{alg}"
            );
        }
        let other = stage.token(json!({"preferred_username": "root"}));
        assert_eq!(
            stage
                .refusal(&format!(
                    "{}.{signature}",
                    other.rsplit_once('.').unwrap().0
                ))
                .await,
            RefusedToken::Signature,
            "{alg}"
        );
        for i in 0..100 {
            let (signed, _) = good.rsplit_once('.').unwrap();
            assert_eq!(
                stage
                    .refusal(&format!("{signed}.{}", b64(vec![i; raw.len()])))
                    .await,
                RefusedToken::Signature
            );
        }
        assert_eq!(
            stage.fake.count("/keys"),
            4,
            "{alg}: the key may have changed, which is worth the fetches that are allowed"
        );
    }
}

#[tokio::test]
async fn a_token_without_kid_is_verified_with_the_keys_of_its_algorithm() {
    let stage = Stage::new().await;
    let claims = stage.claims(json!({}));
    assert!(
        stage
            .ask(&stage.key.token_with(&json!({"alg": "ES256"}), &claims))
            .await
            .is_ok()
    );
    let mallory = Signer::new("key-1", "ES256");
    assert_eq!(
        stage
            .refusal(&mallory.token_with(&json!({"alg": "ES256"}), &claims))
            .await,
        RefusedToken::Signature
    );
}

#[tokio::test]
async fn a_flood_of_unknown_keys_reaches_the_provider_three_times() {
    let stage = Stage::new().await;
    assert!(stage.ask(&stage.token(json!({}))).await.is_ok());
    stage.pass(Duration::from_secs(10));
    let mallory = Signer::new("x", "ES256");
    for i in 0..200 {
        let header = json!({"alg": "ES256", "kid": format!("made-up-{i}")});
        let token = mallory.token_with(&header, &stage.claims(json!({})));
        if i < 3 {
            assert_eq!(stage.refusal(&token).await, RefusedToken::UnknownKey);
        } else {
            // It may be there by now: the token is not refused, and the client told to come back.
            let Err(Rejected::Idp { source, .. }) = stage.ask(&token).await else {
                panic!("{token}");
            };
            assert!(matches!(source, IdpError::TooSoon(_)), "{source}");
        }
    }
    assert_eq!(stage.fake.count("/keys"), 4);
    // A wrong signature by a known key is refused all the same: the keys are seconds old.
    let forged = Signer::new("key-1", "ES256").token(&stage.claims(json!({})));
    assert_eq!(stage.refusal(&forged).await, RefusedToken::Signature);
    assert_eq!(stage.fake.count("/keys"), 4);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(400))]

    #[test]
    fn any_bytes_are_refused_and_never_a_panic(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
    ) {
        proptest::prop_assert!(Jws::parse(&String::from_utf8_lossy(&bytes)).is_err());
        let _either = idp::json::object(&bytes);
        let three = format!("{}.{}.{}", b64(&bytes), b64(&bytes), b64(&bytes));
        proptest::prop_assert!(Jws::parse(&three).is_err());
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", &bytes[..]].concat()) {
            headers.insert(header::AUTHORIZATION, value);
        }
        let places = TokenPlaces {
            headers: Vec::new(),
            access: None,
            id: None,
        };
        let _either = places.find(&headers);
    }

    #[test]
    fn any_claims_are_judged_and_never_a_panic(
        text in concat!(
            r#"\{("(iss|aud|exp|nbf|iat|sub|typ|azp|groups|preferred_username)":"#,
            r#"(null|-?[0-9]{1,25}|"[a-z]{0,8}"|\[("a"|1|null)?\]|\{\}|[0-9]e[0-9]{1,3})"#,
            r#"(,"x[0-9]":1)?)?\}"#,
        ),
    ) {
        if let Ok(claims) = idp::json::object(text.as_bytes()) {
            let issuer = Issuer::parse("https://idp.test").unwrap();
            let idp = IdpConfig::new(issuer, "elastauth", ClientAuth::NameOnly);
            let provider = OidcProviderConfig::new("p", idp);
            let (policy, now) = (Policy::new(&provider), Timestamp(NOW * 1_000));
            proptest::prop_assert!(policy.token(&claims, None, TokenPlace::Bearer, now, None).is_err());
            let _either = policy.introspected(&claims, TokenPlace::Bearer, now, None);
            let _either = provider.claims.person(&claims);
        }
    }
}
