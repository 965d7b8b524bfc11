//! Malformed tokens, claims, headers and answers by the thousand. None may cause a panic or an
//! error that blames the provider, and an accepted identity must be what the signer has written.
//!
//! The choices are repeatable: a failure prints its seed. `cargo xtask fuzz --seconds N` runs
//! longer than the tests, from a new seed.

#![expect(
    clippy::print_stdout,
    reason = "the seed is for the person at the terminal"
)]
#![expect(clippy::wildcard_enum_match_arm, reason = "only one variant matters")]

mod draw;
mod oracle;

use super::*;
use crate::idp::KeySet;
use claims::ClaimPath;
use draw::Draw;
use oracle::Shown;
use std::{collections::HashSet, time::Instant};

/// Enough for each kind of change to meet each member, in a few seconds.
const CASES: u64 = 10_000;
/// The seed of the tests, always the same so that a failure can be repeated; `cargo xtask fuzz`
/// uses others.
const SEED: u64 = 7;

const CLAIMS: &[&str] = &[
    "iss",
    "aud",
    "azp",
    "client_id",
    "exp",
    "nbf",
    "iat",
    "sub",
    "sid",
    "typ",
    "events",
    "cnf",
    "nonce",
    "at_hash",
    "scope",
    "scp",
    "token_use",
    "token_type",
    "tokenType",
    "tokenName",
    "type",
    "active",
    "preferred_username",
    "groups",
    "email",
    "email_verified",
    "name",
    "_claim_names",
    "hasgroups",
    "realm_access",
    "roles",
    "jti",
    "a.b",
];
const HEADER: &[&str] = &[
    "alg", "kid", "typ", "crit", "b64", "cty", "zip", "enc", "jwk", "jku", "x5u", "x5c", "x5t",
    "p2c", "epk",
];

#[tokio::test]
async fn no_malformed_token_is_accepted_and_nothing_panics() {
    let seed = number_from("ELASTAUTH_FUZZ_SEED").unwrap_or(SEED);
    let (target, mut effort, mut draw) = (Target::new().await, Effort::new(), Draw(seed));
    while effort.goes_on() {
        // Each case has a seed of its own, so that the one that fails can be had again alone.
        let case = Told(effort.only.unwrap_or_else(|| draw.number()));
        target.one(&mut Draw(case.0)).await;
    }
    target.valid_tokens_are_still_accepted().await;
    println!("{} cases from seed {seed}", effort.begun);
}

/// How much is tried.
struct Effort {
    begun: u64,
    until: Option<(Instant, Duration)>,
    only: Option<u64>,
}

impl Effort {
    #[expect(
        clippy::disallowed_methods,
        reason = "how long a person wants to wait is real time"
    )]
    fn new() -> Self {
        let until = number_from("ELASTAUTH_FUZZ_SECONDS")
            .map(|seconds| (Instant::now(), Duration::from_secs(seconds)));
        Self {
            begun: 0,
            until,
            only: number_from("ELASTAUTH_FUZZ_CASE"),
        }
    }

    fn goes_on(&mut self) -> bool {
        let more = match (self.only, self.until) {
            (Some(_), _) => self.begun == 0,
            (None, Some((begun, time))) => begun.elapsed() < time,
            (None, None) => self.begun < CASES,
        };
        self.begun += u64::from(more);
        more
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is how a person tells the test what to try"
)]
fn number_from(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().unwrap())
}

/// Tells the case when the test dies of it.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "this case alone: ELASTAUTH_FUZZ_CASE={} cargo test --lib tests::fuzz",
                self.0
            );
        }
    }
}

/// The provider in each way of judging, and good tokens of it.
struct Target {
    fake: FakeIdp,
    signers: Vec<Signer>,
    local: Oidc,
    userinfo: Oidc,
    introspection: Oidc,
    both: Oidc,
    good: Vec<String>,
    /// What a member may hold that means something to somebody.
    known: Vec<Value>,
}

impl Target {
    async fn new() -> Self {
        let signers: Vec<Signer> = [
            ("es", "ES256"),
            ("ed", "EdDSA"),
            ("rs", "RS256"),
            ("ps", "PS256"),
        ]
        .map(|(kid, alg)| Signer::new(kid, alg))
        .into();
        let fake = FakeIdp::start(key_set(&signers.iter().collect::<Vec<_>>())).await;
        let with = |validation| {
            let config = OidcProviderConfig {
                validation,
                ..provider("main", &fake)
            };
            oidc(vec![config], &Arc::new(AtomicU64::new(NOW * 1_000)))
        };
        let known = [
            "elastauth",
            "alice",
            "admin",
            "Bearer",
            "bearer",
            "ID",
            "Refresh",
            "access",
            "id",
            "JWT",
            "at+jwt",
            "ES256",
            "RS256",
            "EdDSA",
            "none",
            "HS256",
            "es",
            "rs",
        ];
        let known = known.iter().map(|text| json!(text)).chain([
            json!(fake.issuer()),
            json!(["elastauth"]),
            json!(["elastauth", "other"]),
            json!(["elastauth", 7]),
            json!(NOW),
            json!(NOW + 300),
            json!((NOW + 300) * 1_000),
            json!({"http://schemas.openid.net/event/backchannel-logout": {}}),
        ]);
        let mut target = Self {
            local: with(Validation::Jwks),
            userinfo: with(Validation::Userinfo),
            introspection: with(Validation::Introspection),
            both: with(Validation::Both(Asked::IntrospectionThenUserinfo)),
            known: known.collect(),
            good: Vec::new(),
            fake,
            signers,
        };
        target.good = target
            .signers
            .iter()
            .map(|signer| signer.token(&target.claims()))
            .collect();
        target.ask_is_refused();
        target.valid_tokens_are_still_accepted().await;
        target
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.fake.issuer(), "aud": "elastauth", "azp": "elastauth", "sub": "u-1",
            "exp": NOW + 300, "iat": NOW, "scope": "openid",
            "preferred_username": "alice", "groups": ["ops", "dev"], "email": "alice@example.org",
            "name": "Alice Archer", "sid": "s-1",
            "realm_access": {"roles": ["staff"]},
        })
    }

    /// Unless a case says otherwise, the provider knows no token.
    fn ask_is_refused(&self) {
        self.fake
            .on("/introspect", Manner::json(json!({"active": false})));
        self.fake.on("/userinfo", Manner::status("401 No"));
    }

    async fn valid_tokens_are_still_accepted(&self) {
        for token in &self.good {
            assert!(matches!(
                shown(&self.local, &Shown::bearer(token)).await,
                Ok(Some(_))
            ));
        }
    }

    async fn one(&self, draw: &mut Draw) {
        match draw.below(100) {
            0..30 => self.malformed_text(draw).await,
            30..45 => self.changed_without_a_signature(draw).await,
            45..75 => self.changed_and_signed(draw).await,
            75..82 => self.malformed_and_signed(draw).await,
            82..88 => self.unusual_request(draw).await,
            88..95 => self.changed_answer(draw).await,
            95..97 => self.malformed_keys(draw),
            97..99 => self.changed_logout(draw).await,
            _ => unusual_path(draw),
        }
    }

    fn signer(&self, draw: &mut Draw) -> &Signer {
        // RSA signs slowly, and what is fuzzed comes before and after the signature.
        &self.signers[if draw.chance(90) {
            draw.below(2)
        } else {
            draw.below(4)
        }]
    }

    fn judge(&self, draw: &mut Draw) -> &Oidc {
        match draw.below(20) {
            0 => &self.introspection,
            1 => &self.userinfo,
            2 => &self.both,
            _ => &self.local,
        }
    }

    fn where_it_is<'a>(draw: &mut Draw, token: &'a str) -> Shown<'a> {
        Shown {
            token,
            header: draw.one_of(&["authorization", "authorization", "access_token", "id_token"]),
        }
    }

    async fn malformed_text(&self, draw: &mut Draw) {
        let (good, other) = (draw.below(4), draw.below(4));
        let changed = draw.mutate(&self.good[good], &self.good[other]);
        let (oidc, shown_as) = (self.judge(draw), Self::where_it_is(draw, &changed));
        let attempt = shown(oidc, &shown_as).await;
        let is_good = self.good.contains(&changed);
        assert!(
            is_good || is_the_tokens_fault(&attempt),
            "{attempt:?} for {changed}"
        );
    }

    async fn changed_without_a_signature(&self, draw: &mut Draw) {
        let signer = self.signer(draw);
        let (mut header, mut claims) = (signer.header(), self.claims());
        let token = signer.token_with(&header, &claims);
        if draw.chance(50) {
            draw.change(&mut header, HEADER, &self.known);
        } else {
            draw.change(&mut claims, CLAIMS, &self.known);
        }
        let signature = token.rsplit('.').next().unwrap();
        let changed = format!(
            "{}.{}.{signature}",
            b64(header.to_string()),
            b64(claims.to_string())
        );
        let attempt = shown(self.judge(draw), &Self::where_it_is(draw, &changed)).await;
        assert!(
            changed == token || is_the_tokens_fault(&attempt),
            "{attempt:?} for {header}.{claims}"
        );
    }

    async fn changed_and_signed(&self, draw: &mut Draw) {
        let signer = self.signer(draw);
        let (mut header, mut claims) = (signer.header(), self.claims());
        if draw.chance(25) {
            draw.change(&mut header, HEADER, &self.known);
        }
        if draw.chance(90) {
            draw.change(&mut claims, CLAIMS, &self.known);
        }
        let token = signer.token_with(&header, &claims);
        let as_shown = Self::where_it_is(draw, &token);
        let attempt = shown(&self.local, &as_shown).await;
        match &attempt {
            Ok(Some(identity)) => oracle::signed(
                signer,
                &header,
                &claims,
                &as_shown,
                identity,
                &self.fake.issuer(),
            ),
            other => assert!(
                is_the_tokens_fault(other),
                "{other:?} for {header}.{claims}"
            ),
        }
    }

    /// Signed bytes that are not JSON any more, or have a member twice.
    async fn malformed_and_signed(&self, draw: &mut Draw) {
        let signer = self.signer(draw);
        let text = self.claims().to_string();
        let (bytes, twice) = if draw.chance(30) {
            let name = draw.one_of(&["aud", "iss", "exp", "preferred_username", "groups"]);
            let value = draw.value(&self.known, 0);
            (
                text.replacen('{', &format!("{{\"{name}\":{value},"), 1)
                    .into_bytes(),
                true,
            )
        } else {
            let mut bytes = text.into_bytes();
            for _ in 0..=draw.below(4) {
                let at = draw.below(bytes.len());
                bytes[at] = u8::try_from(draw.below(256)).unwrap();
            }
            (bytes, false)
        };
        let token = signer.token_of(&b64(signer.header().to_string()), &b64(&bytes));
        let as_shown = Shown::bearer(&token);
        let attempt = shown(&self.local, &as_shown).await;
        match &attempt {
            Ok(Some(identity)) => {
                assert!(
                    !twice,
                    "a member occurs twice in {}",
                    String::from_utf8_lossy(&bytes)
                );
                let claims = serde_json::from_slice(&bytes).unwrap();
                oracle::signed(
                    signer,
                    &signer.header(),
                    &claims,
                    &as_shown,
                    identity,
                    &self.fake.issuer(),
                );
            }
            other => assert!(
                is_the_tokens_fault(other),
                "{other:?} for {}",
                String::from_utf8_lossy(&bytes)
            ),
        }
    }

    /// Any bytes where a token may be.
    async fn unusual_request(&self, draw: &mut Draw) {
        let mut headers = HeaderMap::new();
        for _ in 0..=draw.below(3) {
            let good = &self.good[draw.below(4)];
            let mut value = match draw.below(6) {
                0 => format!("Bearer {good}"),
                1 => format!("access_token={good}"),
                2 => format!("x=1; id_token=\"{good}\"; access_token="),
                3 => "Bearer".to_owned(),
                4 => format!("bearer\t{good} "),
                _ => "access_token=; id_token=x; =; ;".to_owned(),
            }
            .into_bytes();
            for _ in 0..draw.below(4) {
                let at = draw.below(value.len());
                value[at] = u8::try_from(draw.below(256)).unwrap();
            }
            let name = if draw.chance(50) {
                header::AUTHORIZATION
            } else {
                header::COOKIE
            };
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                headers.append(name, value);
            }
        }
        let attempt = self
            .local
            .identify(&headers, &AllowedProviders::default())
            .await;
        if let Ok(Some(identity)) = &attempt {
            let whole: String = headers
                .values()
                .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
                .collect();
            assert!(
                self.good.iter().any(|good| whole.contains(good)),
                "{identity:?} from {headers:?}"
            );
        }
    }

    /// A provider with wrong answers.
    async fn changed_answer(&self, draw: &mut Draw) {
        let mut claims = self.claims();
        claims["active"] = true.into();
        draw.change(&mut claims, CLAIMS, &self.known);
        let mut body = claims.to_string();
        if draw.chance(15) {
            body = draw.mutate(&body, "a.b");
        }
        self.fake.on("/introspect", Manner::json(&body));
        self.fake.on("/userinfo", Manner::json(&body));
        let token = format!("opaque-{}", draw.number());
        let as_shown = Shown::bearer(&token);
        for oidc in [&self.introspection, &self.userinfo, &self.both] {
            let attempt = shown(oidc, &as_shown).await;
            if let Ok(Some(identity)) = &attempt {
                let claims: Value = serde_json::from_str(&body).unwrap();
                oracle::answered(
                    &claims,
                    identity,
                    &self.fake.issuer(),
                    !std::ptr::eq(oidc, &raw const self.userinfo),
                );
            }
        }
        self.ask_is_refused();
    }

    fn malformed_keys(&self, draw: &mut Draw) {
        let mut set: Value =
            serde_json::from_str(&key_set(&self.signers.iter().collect::<Vec<_>>())).unwrap();
        let names = &[
            "kty", "kid", "use", "alg", "crv", "x", "y", "n", "e", "key_ops", "d", "k",
        ];
        let key = draw.below(4);
        draw.change(&mut set["keys"][key], names, &self.known);
        let mut text = set.to_string();
        if draw.chance(30) {
            text = draw.mutate(&text, "a.b");
        }
        if let Ok(keys) = KeySet::parse(text.as_bytes(), idp::Algorithm::Rs256) {
            assert!(keys.count() <= 100);
        }
    }

    async fn changed_logout(&self, draw: &mut Draw) {
        let signer = self.signer(draw);
        let event = "http://schemas.openid.net/event/backchannel-logout";
        let mut claims = json!({
            "iss": self.fake.issuer(), "aud": "elastauth", "iat": NOW, "exp": NOW + 60,
            "jti": draw.number().to_string(),
            // Nobody's session: the good tokens stay good.
            "sid": "s-of-nobody", "events": { event: {} },
        });
        draw.change(&mut claims, CLAIMS, &self.known);
        // Whoever signs a logout of the subject means it; here it would end the good tokens.
        if claims["sub"] == "u-1" || claims["sid"] == "s-1" {
            return;
        }
        let taken = self
            .local
            .backchannel_logout(&signer.token(&claims), FROM)
            .await;
        assert!(
            taken.is_err() || claims["events"].get(event).is_some(),
            "{claims}"
        );
    }
}

fn unusual_path(draw: &mut Draw) {
    let pieces = [
        "a",
        ".",
        "/",
        "\"",
        "~",
        "~0",
        "~1",
        "://",
        "ü",
        "",
        " ",
        "realm_access",
        "https://x.y/z",
    ];
    let text: String = (0..draw.below(12)).map(|_| draw.one_of(&pieces)).collect();
    let _either = ClaimPath::parse(&text);
}

type Attempt = Result<Option<Identity>, Rejected>;

async fn shown(oidc: &Oidc, token: &Shown<'_>) -> Attempt {
    let (name, value) = token.as_header();
    let headers = HeaderMap::from_iter([(name, HeaderValue::from_str(&value).unwrap())]);
    oidc.identify(&headers, &AllowedProviders::default()).await
}

/// Refused because of the token, or no token at all; never because the provider cannot be asked:
/// then a client could cause a 5xx.
fn is_the_tokens_fault(attempt: &Attempt) -> bool {
    match attempt {
        Ok(None) | Err(Rejected::Token(_) | Rejected::Claims(_)) => true,
        // Made-up keys, so many that the next has to wait.
        Err(Rejected::Idp { source, .. }) => matches!(source, IdpError::TooSoon(_)),
        _ => false,
    }
}
