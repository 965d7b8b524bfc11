//! Bad tokens, family by family, on the running program. Each rule has its own test beside the
//! code; here it counts that none of them gets anything, breaks anything or is told to anybody.

use super::scene::{Scene, bearer};
use crate::support::{find, idp::now, until};
use aws_lc_rs::hmac;
use base64::{
    Engine as _,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

/// The order of P-256.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// Tokens of one scene, each with what is wrong with it.
struct Bent<'s> {
    scene: &'s Scene,
    claims: Value,
    all: Vec<(String, String)>,
}

impl<'s> Bent<'s> {
    fn of(scene: &'s Scene) -> Self {
        let claims = json!({
            "iss": scene.idp.issuer, "aud": "elastauth", "azp": "elastauth", "sub": "u1", "iat": now(), "exp": now() + 300,
            "preferred_username": "alice", "groups": ["dev"],
        });
        Self {
            scene,
            claims,
            all: Vec::new(),
        }
    }

    fn push(&mut self, what: impl Into<String>, token: impl Into<String>) {
        self.all.push((what.into(), token.into()));
    }

    /// With this text in the place of the header, signed all the same.
    fn header(&mut self, text: &str) {
        let token = self
            .scene
            .idp
            .sign_bytes(text.as_bytes(), self.claims.to_string().as_bytes());
        self.push(format!("header {text:.80}"), token);
    }

    /// With these members in the header.
    fn members(&mut self, members: &Value) {
        let mut header = json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" });
        for (name, value) in members.as_object().unwrap() {
            header[name] = value.clone();
        }
        self.header(&header.to_string());
    }

    /// With this text in the place of the claims.
    fn text(&mut self, what: &str, text: &[u8]) {
        let token = self
            .scene
            .idp
            .sign_bytes(br#"{"alg":"ES256","kid":"k1","typ":"at+jwt"}"#, text);
        self.push(what, token);
    }

    /// With another value for a claim.
    fn claim(&mut self, name: &str, value: Value) {
        let mut claims = self.claims.clone();
        claims[name] = value;
        let text = claims.to_string();
        self.text(
            &format!("claim {name} {:.60}", claims[name]),
            text.as_bytes(),
        );
    }

    /// With this signature.
    fn signature(&mut self, what: &str, signature: &[u8]) {
        let good = self.good();
        let signed = good.rsplit_once('.').unwrap().0;
        self.push(
            format!("signature {what}"),
            format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)),
        );
    }

    fn good(&self) -> String {
        self.scene.idp.sign("at+jwt", &self.claims)
    }

    /// None gets anything; a good one does, before and afterwards.
    async fn get_nothing(self) {
        let (scene, good) = (self.scene, self.good());
        assert!(self.all.len() > 5);
        assert_eq!(
            scene.bearer(&good).await.status,
            200,
            "{}",
            scene.elastauth.log()
        );
        let (calls, fetches) = (scene.cluster.count(), scene.idp.asked("/keys"));
        for (what, token) in &self.all {
            for (header, value) in [
                ("authorization", format!("Bearer {token}")),
                ("cookie", format!("access_token={token}")),
            ] {
                let answer = scene
                    .elastauth
                    .server()
                    .get("/elastauth", &[(header, &value)])
                    .await;
                assert!(
                    [400, 401].contains(&answer.status.as_u16()),
                    "{what}: {} by {header}",
                    answer.status
                );
                assert!(
                    answer.header("authorization").is_none()
                        && answer.header("remote-user").is_none(),
                    "{what}"
                );
            }
        }
        assert_eq!(scene.cluster.count(), calls, "the cluster heard of none");
        assert!(
            scene.idp.asked("/keys") <= fetches + 1,
            "the provider was asked for a new key once at most"
        );
        assert_eq!(
            scene.idp.asked("/keys"),
            scene.idp.asked_in_all() - scene.idp.asked("/.well-known/openid-configuration"),
            "and for nothing else"
        );
        assert_eq!(scene.bearer(&good).await.status, 200);
        let log = scene.elastauth.log();
        assert!(!log.contains("panicked") && !log.contains("ERROR"), "{log}");
        for (what, token) in &self.all {
            for part in token.split('.').filter(|part| part.len() > 40) {
                assert!(
                    !log.contains(&part[part.len() - 40..]),
                    "{what} is in the log"
                );
            }
        }
    }
}

#[tokio::test]
async fn no_algorithm_but_the_keys_own_and_no_key_but_the_providers() {
    let scene = Scene::new().await;
    let mut bent = Bent::of(&scene);
    let payload = BASE64_URL_SAFE_NO_PAD.encode(bent.claims.to_string());
    for alg in [
        "none", "None", "NONE", "nOnE", "none ", "", "HS256", "HS384", "HS512", "RS256", "PS256",
        "ES384", "ES256K", "EdDSA", "dir", "es256",
    ] {
        bent.members(&json!({ "alg": alg }));
        let header = BASE64_URL_SAFE_NO_PAD.encode(json!({ "alg": alg, "kid": "k1" }).to_string());
        bent.push(
            format!("{alg} without a signature"),
            format!("{header}.{payload}."),
        );
        // The public key as the secret of an HMAC, in the forms that libraries have it in.
        let point = scene.idp.public_key();
        for secret in [
            point.to_vec(),
            point[1..].to_vec(),
            BASE64_STANDARD.encode(point).into_bytes(),
        ] {
            for hash in [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512] {
                let tag = hmac::sign(
                    &hmac::Key::new(hash, &secret),
                    format!("{header}.{payload}").as_bytes(),
                );
                bent.push(
                    format!("{alg} with an HMAC"),
                    format!("{header}.{payload}.{}", BASE64_URL_SAFE_NO_PAD.encode(tag)),
                );
            }
        }
    }
    for alg in [
        json!(null),
        json!(7),
        json!(["ES256"]),
        json!({ "ES256": 1 }),
        json!(true),
    ] {
        bent.members(&json!({ "alg": alg }));
    }
    // A token with a key of its own, or the address of one, signed by somebody else.
    let stranger = crate::support::idp::Idp::start().await;
    for member in ["jku", "x5u", "jwk", "x5c", "x5t"] {
        let value = if member == "jwk" {
            json!({ "kty": "EC", "crv": "P-256", "kid": "k1" })
        } else {
            json!(format!("{}/keys", stranger.issuer))
        };
        let header = json!({ "alg": "ES256", "kid": "k1", member: value });
        bent.push(
            format!("signed by another, with {member}"),
            stranger.sign_bytes(
                header.to_string().as_bytes(),
                bent.claims.to_string().as_bytes(),
            ),
        );
    }
    bent.get_nothing().await;
    assert_eq!(
        stranger.asked_in_all(),
        0,
        "no address in a token is followed"
    );
}

#[tokio::test]
async fn no_header_that_names_what_we_do_not_do() {
    let scene = Scene::new().await;
    let mut bent = Bent::of(&scene);
    for kid in [
        "../../../../etc/passwd",
        "' OR '1'='1",
        "k1\u{0}",
        "k1 ",
        "K1",
        "http://169.254.169.254/",
        "\u{202e}1k",
        &"k".repeat(5_000),
    ] {
        bent.members(&json!({ "kid": kid }));
    }
    for kid in [
        json!(1),
        json!(["k1"]),
        json!({ "k1": 1 }),
        json!(null),
        json!(""),
    ] {
        bent.members(&json!({ "kid": kid }));
    }
    for more in [
        json!({ "crit": ["exp"] }),
        json!({ "crit": [] }),
        json!({ "b64": false, "crit": ["b64"] }),
        json!({ "b64": true }),
        json!({ "zip": "DEF" }),
        json!({ "enc": "A256GCM" }),
        json!({ "cty": "JWT" }),
        json!({ "typ": "dpop+jwt" }),
        json!({ "typ": "logout+jwt" }),
        json!({ "typ": "JOSE" }),
        json!({ "typ": 1 }),
    ] {
        bent.members(&more);
    }
    for text in [
        "[]",
        "\"ES256\"",
        "1",
        "null",
        "{",
        "{}",
        "",
        " ",
        "{\"alg\":\"ES256\",\"alg\":\"ES256\",\"kid\":\"k1\"}",
        "{\"kid\":\"k1\",\"alg\":\"none\",\"alg\":\"ES256\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\"}{}",
        "\u{feff}{\"alg\":\"ES256\",\"kid\":\"k1\"}",
        "{\"alg\":\"ES256\",\"kid\":\"k1\",}",
        "{'alg':'ES256'}",
    ] {
        bent.header(text);
    }
    bent.get_nothing().await;
}

#[tokio::test]
async fn no_claim_of_another_kind_and_no_json_that_is_none() {
    let scene = Scene::new().await;
    let mut bent = Bent::of(&scene);
    let kinds = [
        json!(null),
        json!(true),
        json!(7),
        json!(-1),
        json!(1.5e300),
        json!("x"),
        json!([]),
        json!([7]),
        json!({}),
        json!(""),
    ];
    for kind in &kinds {
        for name in ["iss", "aud", "exp"] {
            bent.claim(name, kind.clone());
        }
    }
    for kind in [
        json!("x"),
        json!([]),
        json!({}),
        json!(true),
        json!(-1),
        json!(now() + 3_600),
    ] {
        bent.claim("nbf", kind.clone());
        bent.claim("iat", kind);
    }
    for (name, value) in [
        ("exp", json!(now() - 31)),
        ("exp", json!("9999999999")),
        ("exp", json!(u64::MAX)),
        ("iss", json!(format!("{}/", scene.idp.issuer))),
        ("aud", json!("elastauth,other")),
        ("azp", json!("other")),
        ("typ", json!("Refresh")),
        ("typ", json!("Logout")),
        ("typ", json!("ID")),
        (
            "events",
            json!({ "http://schemas.openid.net/event/backchannel-logout": {} }),
        ),
        ("cnf", json!({ "jkt": "x" })),
        ("sub", json!(7)),
        ("sid", json!("s".repeat(300))),
    ] {
        bent.claim(name, value);
    }
    let claims = bent.claims.to_string();
    let inside = claims.strip_prefix('{').unwrap();
    bent.text(
        "a member twice",
        format!("{{\"aud\":\"other\",{inside}").as_bytes(),
    );
    bent.text(
        "a member twice, escaped",
        format!("{{\"\\u0061ud\":\"other\",{inside}").as_bytes(),
    );
    bent.text(
        "something behind it",
        format!("{claims} {claims}").as_bytes(),
    );
    bent.text("not closed", &claims.as_bytes()[..claims.len() - 1]);
    bent.text("a comma too many", claims.replace('}', ",}").as_bytes());
    bent.text(
        "no UTF-8",
        &[
            &claims.as_bytes()[..claims.len() - 1],
            b",\"x\":\"\xff\xfe\"}",
        ]
        .concat(),
    );
    bent.text(
        "half a surrogate",
        claims.replace("\"dev\"", "\"\\ud800\"").as_bytes(),
    );
    bent.text(
        "a number that is none",
        claims
            .replace("\"sub\":\"u1\"", "\"sub\":\"u1\",\"x\":NaN")
            .as_bytes(),
    );
    bent.text(
        "deep",
        claims
            .replace("\"dev\"", &("[".repeat(5_000) + &"]".repeat(5_000)))
            .as_bytes(),
    );
    bent.text(
        "deep and open",
        format!("{{{}", "\"a\":{".repeat(3_000)).as_bytes(),
    );
    bent.text("a list", b"[1]");
    bent.text("nothing", b"");
    let nested = bent.good();
    bent.text("a token in a token", format!("\"{nested}\"").as_bytes());
    bent.get_nothing().await;
}

#[tokio::test]
async fn no_form_but_the_canonical_one() {
    let scene = Scene::new().await;
    let mut bent = Bent::of(&scene);
    let good = bent.good();
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(claims).unwrap();
    for (what, token) in [
        ("padding", format!("{header}=.{claims}.{signature}")),
        ("padding", format!("{header}.{claims}.{signature}==")),
        (
            "padding",
            format!(
                "{header}.{}.{signature}=",
                BASE64_URL_SAFE.encode([&bytes[..], b" "].concat())
            ),
        ),
        (
            "the other alphabet",
            format!(
                "{header}.{claims}.{}",
                signature.replace(['-', '_'], "+") + "/"
            ),
        ),
        ("no dots", format!("{header}{claims}{signature}")),
        ("one dot", format!("{header}.{claims}")),
        ("three dots", format!("{good}.{signature}")),
        (
            "five parts",
            format!("{header}.{claims}.{signature}.{claims}.{signature}"),
        ),
        ("nothing between", format!("{header}..{signature}")),
        ("nothing before", format!(".{claims}.{signature}")),
        ("nothing behind", format!("{header}.{claims}.")),
        ("dots", "..".to_owned()),
        ("dots", "....".to_owned()),
        ("a letter before", format!("A{good}")),
        ("a letter behind", format!("{good}AAA")),
        ("twice", format!("{good}{good}")),
        (
            "in quotes within",
            format!("{header}.\"{claims}\".{signature}"),
        ),
        ("escaped", good.replace('.', "%2E")),
        (
            "long",
            format!("{header}.{}.{signature}", "A".repeat(40_000)),
        ),
        (
            "long header",
            format!("{}.{claims}.{signature}", "A".repeat(20_000)),
        ),
        (
            "long signature",
            format!("{header}.{claims}.{}", "A".repeat(20_000)),
        ),
        ("long and opaque", "A".repeat(50_000)),
    ] {
        bent.push(what, token);
    }
    // Spare bits of the last letter: other text, the same bytes.
    let (front, last) = signature.split_at(signature.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let other = alphabet.as_bytes()[alphabet.find(last).unwrap() + 1] as char;
    bent.push("spare bits", format!("{header}.{claims}.{front}{other}"));
    bent.get_nothing().await;
    // More than a request's headers may have is refused before it is a token.
    let huge = bearer(&scene.elastauth, &"A".repeat(100_000)).await;
    assert_eq!(huge.status, 431);
}

#[tokio::test]
async fn no_signature_but_the_keys() {
    let scene = Scene::new().await;
    let mut bent = Bent::of(&scene);
    let good = BASE64_URL_SAFE_NO_PAD
        .decode(bent.good().rsplit_once('.').unwrap().1)
        .unwrap();
    let (r, s) = good.split_at(32);
    let (zero, one, most) = (
        [0_u8; 32],
        [[0_u8; 31].as_slice(), &[1]].concat(),
        [0xff_u8; 32],
    );
    let mut above = ORDER;
    above[31] += 1;
    for (what, parts) in [
        ("r is zero", [&zero[..], s]),
        ("s is zero", [r, &zero]),
        ("both are zero", [&zero, &zero]),
        ("both are one", [&one, &one]),
        ("r is the order", [&ORDER, s]),
        ("s is the order", [r, &ORDER]),
        ("both are the order", [&ORDER, &ORDER]),
        ("above the order", [&above, &above]),
        ("all bits", [&most, &most]),
        ("zero and the order", [&zero, &ORDER]),
        ("swapped", [s, r]),
        ("cut", [r, &s[..31]]),
        ("half", [r, &[]]),
        ("nothing", [&[], &[]]),
        ("longer", [&good, &[0]]),
        ("twice", [&good, &good]),
        (
            "a zero before each",
            [&[&[0], r].concat(), &[&[0], s].concat()],
        ),
    ] {
        bent.signature(what, &parts.concat());
    }
    let another = scene.idp.aged(3, &["a"]);
    bent.signature(
        "of another token",
        &BASE64_URL_SAFE_NO_PAD
            .decode(another.rsplit_once('.').unwrap().1)
            .unwrap(),
    );
    let der = [&[0x30, 70, 2, 33, 0][..], r, &[2, 33, 0], s].concat();
    bent.signature("in ASN.1", &der);
    bent.get_nothing().await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_once_and_a_real_new_key_works_soon_after() {
    let mut scene = Scene::new().await;
    assert_eq!(
        scene.bearer(&scene.idp.aged(9, &["dev"])).await.status,
        200,
        "{}",
        scene.elastauth.log()
    );
    let (begun, first) = (Instant::now(), scene.idp.asked("/keys"));
    let claims = json!({ "iss": scene.idp.issuer, "aud": "elastauth", "exp": now() + 300, "preferred_username": "alice" }).to_string();
    for n in 0..300 {
        let header = json!({ "alg": "ES256", "kid": format!("unknown-{n}") }).to_string();
        assert_eq!(
            scene
                .bearer(&scene.idp.sign_bytes(header.as_bytes(), claims.as_bytes()))
                .await
                .status,
            401
        );
    }
    let cool_downs = |since: Instant| usize::try_from(since.elapsed().as_secs() / 5).unwrap() + 1;
    assert!(
        scene.idp.asked("/keys") <= first + cool_downs(begun),
        "one fetch in five seconds: {}",
        scene.idp.asked("/keys")
    );
    // A bad signature by a known key is none of an unknown key's business.
    let fetched = scene.idp.asked("/keys");
    let bent = scene.idp.aged(8, &["dev"]);
    let (head, tail) = bent.split_at(bent.len() - 20);
    for n in 0..250_u8 {
        let token = format!("{head}{}{}", char::from(b'a' + (n % 26)), &tail[1..]);
        let _good_once_in_a_while = scene.bearer(&token).await;
    }
    assert!(
        scene.idp.asked("/keys") <= fetched + 1,
        "and that one is of before"
    );
    scene.idp.rotate();
    find(
        "a token of the new key",
        Duration::from_secs(15),
        async || {
            let answer = scene.bearer(&scene.idp.aged(1, &["dev"])).await;
            (answer.status == 200).then_some(())
        },
    )
    .await;
    until("the refusals in the log", || {
        scene
            .elastauth
            .log()
            .contains("the provider has no key of the token's `kid`")
    })
    .await;
}
