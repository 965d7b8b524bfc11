//! Tokens about which the provider itself is asked.

use super::*;

/// What introspection answers about a good token of ours.
fn active(stage: &Stage, changes: Value) -> Manner {
    let mut claims = stage.claims(changes);
    claims["active"] = true.into();
    Manner::json(claims)
}

async fn stage(validation: Validation) -> Stage {
    Stage::with("ES256", |config| config.validation = validation).await
}

#[tokio::test]
async fn a_refused_signed_token_is_never_asked_about() {
    for validation in [
        Validation::Jwks,
        Validation::Both(Asked::Userinfo),
        Validation::Both(Asked::IntrospectionThenUserinfo),
        Validation::Userinfo,
    ] {
        let stage = stage(validation).await;
        stage.fake.on(
            "/userinfo",
            Manner::json(json!({"sub": "u-1", "preferred_username": "alice"})),
        );
        stage.fake.on("/introspect", active(&stage, json!({})));
        let mallory = Signer::new("key-1", "ES256");
        assert_eq!(
            stage
                .refusal(&mallory.token(&stage.claims(json!({}))))
                .await,
            RefusedToken::Signature,
            "{validation:?}"
        );
        assert_eq!(
            stage.refusal(&stage.token(json!({"exp": NOW - 60}))).await,
            RefusedToken::Expired,
            "{validation:?}"
        );
        assert_eq!(
            stage.fake.count("/userinfo") + stage.fake.count("/introspect"),
            0,
            "{validation:?}"
        );
    }
}

#[tokio::test]
async fn a_provider_is_asked_about_what_only_it_can_read() {
    use idp::MalformedToken as B;
    let jwks = stage(Validation::Jwks).await;
    let encrypted = format!("{}.x.y", jwks.token(json!({})));
    // Begins as a signed token, with an algorithm that elastauth does not have.
    let other = format!("{}.e30.x", idp::tests::signer::b64(r#"{"alg":"HS256"}"#));
    let forms = [
        (encrypted.as_str(), B::Encrypted, true),
        ("v2.local.token", B::Base64("header"), true),
        ("a.b.c.d.e", B::Encrypted, true),
        (other.as_str(), B::Algorithm, false),
    ];
    for (token, why, _) in forms {
        assert_eq!(
            jwks.refusal(token).await,
            RefusedToken::Form(why),
            "{token}"
        );
    }
    for validation in [Validation::Introspection, Validation::Both(Asked::Userinfo)] {
        let stage = stage(validation).await;
        stage.fake.on("/introspect", active(&stage, json!({})));
        let person = json!({"sub": "u-1", "preferred_username": "alice"});
        stage.fake.on("/userinfo", Manner::json(person));
        for (token, why, is_foreign) in forms {
            let asked = is_foreign || validation == Validation::Introspection;
            let outcome = stage.ask(token).await;
            if asked {
                assert!(
                    outcome.is_ok(),
                    "{outcome:?} for {token} with {validation:?}"
                );
            } else {
                assert_eq!(outcome, Err(RefusedToken::Form(why).into()), "{token}");
            }
        }
    }
}

#[tokio::test]
async fn a_userinfo_answer_may_be_a_signed_token() {
    let stage = stage(Validation::Userinfo).await;
    let says = |token: &str| {
        let kind = "Content-Type: application/jwt; charset=utf-8\r\n";
        stage
            .fake
            .on("/userinfo", Manner::with("200 OK", kind, token));
    };
    let person = |changes: Value| {
        let mut claims = json!({
            "iss": stage.fake.issuer(), "aud": ["elastauth"], "sub": "u-1",
            "preferred_username": "alice",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    };
    says(&stage.key.token(&person(json!({}))));
    assert_eq!(stage.ask("opaque").await.unwrap().user().as_str(), "alice");
    assert!(stage.ask(&stage.token(json!({}))).await.is_ok());
    let mallory = Signer::new("key-1", "ES256");
    for (answer, why) in [
        (
            stage
                .key
                .token(&person(json!({"iss": "https://other.test"}))),
            "`iss`",
        ),
        (stage.key.token(&person(json!({"iss": null}))), "`iss`"),
        (stage.key.token(&person(json!({"aud": "other"}))), "`aud`"),
        (stage.key.token(&person(json!({"aud": null}))), "`aud`"),
        (mallory.token(&person(json!({}))), "signature"),
        ("a.b.c.d.e".to_owned(), "encrypted"),
        ("{}".to_owned(), "three parts"),
    ] {
        says(&answer);
        let outcome = stage.ask(&format!("opaque-{}", answer.len())).await;
        let Err(Rejected::Idp { source, .. }) = outcome else {
            panic!("{outcome:?} for {answer}");
        };
        assert!(source.to_string().contains(why), "{source}");
    }
    // Another subject than the token's own is refused in this form too.
    says(&stage.key.token(&person(json!({"sub": "u-2"}))));
    let own = stage.token(json!({"jti": "other"}));
    assert_eq!(stage.refusal(&own).await, RefusedToken::Subject);
}

#[tokio::test]
async fn an_opaque_token_goes_to_the_provider_that_can_be_asked() {
    let jwks = stage(Validation::Jwks).await;
    assert_eq!(jwks.refusal("opaque-1").await, RefusedToken::Opaque);
    for (validation, userinfo, introspect) in [
        (Validation::Userinfo, 1, 0),
        (Validation::Introspection, 0, 1),
        (Validation::Both(Asked::Userinfo), 1, 0),
        (Validation::Both(Asked::IntrospectionThenUserinfo), 1, 1),
    ] {
        let stage = stage(validation).await;
        stage.fake.on(
            "/userinfo",
            Manner::json(json!({"sub": "u-1", "preferred_username": "alice", "groups": ["live"]})),
        );
        stage.fake.on("/introspect", active(&stage, json!({})));
        let identity = stage.ask("opaque-1").await.unwrap();
        assert_eq!(
            groups(&identity),
            if userinfo == 1 {
                vec!["live"]
            } else {
                vec!["dev", "ops"]
            },
            "{validation:?}"
        );
        assert_eq!(
            (
                stage.fake.count("/userinfo"),
                stage.fake.count("/introspect")
            ),
            (userinfo, introspect),
            "{validation:?}"
        );
    }
    let both = oidc(
        vec![
            provider("a", &jwks.fake),
            provider("b", &FakeIdp::start(String::new()).await),
        ]
        .into_iter()
        .map(|mut one| {
            one.validation = Validation::Userinfo;
            one
        })
        .collect(),
        &jwks.ms,
    );
    assert_eq!(
        ask(&both, &[("authorization", "Bearer opaque")]).await,
        Err(Rejected::Token(RefusedToken::Unroutable))
    );
    assert_eq!(
        jwks.fake.count("/userinfo"),
        0,
        "nobody is tried after another"
    );
}

#[tokio::test]
async fn an_answer_counts_for_a_short_while_and_not_beyond_the_tokens_expiry() {
    let stage = stage(Validation::Introspection).await;
    stage
        .fake
        .on("/introspect", active(&stage, json!({"exp": NOW + 50})));
    assert!(stage.ask("opaque").await.is_ok());
    stage.pass(Duration::from_secs(29));
    assert!(stage.ask("opaque").await.is_ok());
    assert_eq!(stage.fake.count("/introspect"), 1);
    stage.pass(Duration::from_secs(1));
    assert!(stage.ask("opaque").await.is_ok());
    assert_eq!(stage.fake.count("/introspect"), 2);
    // A user who was disabled meanwhile.
    stage
        .fake
        .on("/introspect", Manner::json(json!({"active": false})));
    stage.pass(Duration::from_secs(30));
    assert_eq!(stage.refusal("opaque").await, RefusedToken::Inactive);
}

#[tokio::test]
async fn answers_of_the_future_do_not_count() {
    let stage = stage(Validation::Introspection).await;
    let good = || active(&stage, json!({"iat": null}));
    stage.fake.on("/introspect", good());
    assert!(stage.ask("opaque").await.is_ok());
    stage
        .fake
        .on("/introspect", Manner::json(json!({"active": false})));
    stage.set_back(Duration::from_mins(2));
    assert_eq!(stage.refusal("opaque").await, RefusedToken::Inactive);
    // A no is kept for a second, and not until its time comes again.
    stage.fake.on("/introspect", good());
    assert_eq!(stage.refusal("opaque").await, RefusedToken::Inactive);
    stage.set_back(Duration::from_mins(2));
    assert!(stage.ask("opaque").await.is_ok());
    assert_eq!(stage.fake.count("/introspect"), 3);
}

#[tokio::test]
async fn with_no_cache_every_request_asks() {
    let stage = Stage::with("ES256", |config| {
        config.validation = Validation::Introspection;
        config.cache = Duration::ZERO;
    })
    .await;
    stage.fake.on("/introspect", active(&stage, json!({})));
    for _ in 0..3 {
        assert!(stage.ask("opaque").await.is_ok());
    }
    assert_eq!(
        (stage.fake.count("/introspect"), stage.oidc.remembered()),
        (3, 0)
    );
}

#[tokio::test]
async fn fifty_requests_with_one_token_are_one_question() {
    for good in [true, false] {
        let stage = Arc::new(stage(Validation::Introspection).await);
        let answer = if good {
            active(&stage, json!({}))
        } else {
            Manner::json(json!({"active": false}))
        };
        stage.fake.on("/introspect", answer);
        let asks = (0..50).map(|_| {
            let stage = Arc::clone(&stage);
            #[expect(clippy::disallowed_methods, reason = "joined below")]
            tokio::spawn(async move { stage.ask("opaque").await.is_ok() })
        });
        for ask in asks.collect::<Vec<_>>() {
            assert_eq!(ask.await.unwrap(), good);
        }
        assert_eq!(stage.fake.count("/introspect"), 1);
        stage.pass(Duration::from_secs(1));
        let _either = stage.ask("opaque").await;
        assert_eq!(
            stage.fake.count("/introspect"),
            if good { 1 } else { 2 },
            "a no is kept for a second"
        );
    }
}

#[tokio::test]
async fn an_answer_that_says_active_must_also_be_about_an_access_token_for_us() {
    let stage = stage(Validation::Introspection).await;
    for (i, (change, why)) in [
        (json!({"token_type": "ID"}), RefusedToken::TokenType),
        (json!({"token_type": "Refresh"}), RefusedToken::TokenType),
        (json!({"token_type": "DPoP"}), RefusedToken::TokenType),
        (json!({"token_type": 7}), RefusedToken::TokenType),
        (
            json!({"token_use": "refresh_token"}),
            RefusedToken::TokenType,
        ),
        (json!({"typ": "Refresh"}), RefusedToken::ClaimType),
        (json!({"cnf": {"x5t#S256": "x"}}), RefusedToken::Bound),
        (json!({"events": {}}), RefusedToken::Events),
        (
            json!({"iss": "https://elsewhere.test"}),
            RefusedToken::Issuer(none()),
        ),
        (json!({"aud": "other"}), RefusedToken::Audience(none())),
        (json!({"aud": []}), RefusedToken::Audience(none())),
        (json!({"aud": null}), RefusedToken::Audience(none())),
        (
            json!({"aud": null, "client_id": "other"}),
            RefusedToken::Audience(none()),
        ),
        (json!({"client_id": "other"}), RefusedToken::Party(none())),
        (json!({"exp": NOW - 31}), RefusedToken::Expired),
        (json!({"exp": "soon"}), RefusedToken::Times),
        (json!({"nbf": NOW + 60}), RefusedToken::NotYet),
    ]
    .into_iter()
    .enumerate()
    {
        stage.fake.on("/introspect", active(&stage, change.clone()));
        assert_eq!(stage.refusal(&format!("opaque-{i}")).await, why, "{change}");
    }
    for (i, change) in [
        json!({"token_type": "Bearer"}),
        json!({"token_type": "bearer", "token_use": "access_token"}),
        json!({"iss": null, "exp": null, "iat": null}),
        json!({"aud": null, "client_id": "elastauth"}),
    ]
    .into_iter()
    .enumerate()
    {
        stage.fake.on("/introspect", active(&stage, change.clone()));
        assert!(stage.ask(&format!("good-{i}")).await.is_ok(), "{change}");
    }
}

#[tokio::test]
async fn userinfo_must_be_about_the_tokens_own_subject() {
    let stage = stage(Validation::Userinfo).await;
    for (answer, expected) in [
        (
            json!({"sub": "u-1", "preferred_username": "alice", "groups": null}),
            Ok(()),
        ),
        (
            json!({"sub": "u-2", "preferred_username": "alice"}),
            Err(Rejected::Token(RefusedToken::Subject)),
        ),
        (
            json!({"preferred_username": "alice"}),
            Err(Rejected::Token(RefusedToken::Subject)),
        ),
        (
            json!({"sub": 1, "preferred_username": "alice"}),
            Err(Rejected::Token(RefusedToken::Id("sub"))),
        ),
        (
            json!({"sub": "u-1"}),
            Err(Rejected::Claims(NoUser::Missing)),
        ),
    ] {
        stage.fake.on("/userinfo", Manner::json(&answer));
        stage.pass(Duration::from_secs(2));
        assert_eq!(
            stage
                .ask(&stage.token(json!({"jti": answer.to_string()})))
                .await
                .map(|_| ()),
            expected,
            "{answer}"
        );
    }
    for status in ["400 Bad", "401 No", "403 No"] {
        stage.fake.on("/userinfo", Manner::status(status));
        assert_eq!(
            stage
                .refusal(&format!("opaque-{status}").replace(' ', "-"))
                .await,
            RefusedToken::Inactive
        );
    }
}

#[tokio::test]
async fn a_provider_that_cannot_be_asked_is_not_the_users_fault() {
    for (validation, path) in [
        (Validation::Userinfo, "/userinfo"),
        (Validation::Introspection, "/introspect"),
    ] {
        for manner in [
            Manner::status("500 Oops"),
            Manner::HangUp,
            Manner::json("<html>"),
            Manner::Endless,
        ] {
            let stage = stage(validation).await;
            stage.fake.on(path, manner);
            assert!(
                matches!(stage.ask("opaque").await, Err(Rejected::Idp { .. })),
                "{path}"
            );
        }
    }
    let stage = stage(Validation::Introspection).await;
    stage.fake.on("/introspect", Manner::status("401 No"));
    assert_eq!(
        stage.ask("opaque").await,
        Err(Rejected::Idp {
            provider: "main".into(),
            source: IdpError::OurClient(idp::EndpointKind::Introspection)
        })
    );
}

#[tokio::test]
async fn an_expired_signed_token_is_not_asked_about() {
    let stage = stage(Validation::Introspection).await;
    stage.fake.on("/introspect", active(&stage, json!({})));
    assert_eq!(
        stage.refusal(&stage.token(json!({"exp": NOW - 60}))).await,
        RefusedToken::SaysExpired
    );
    assert_eq!(stage.fake.count("/introspect"), 0);
    // A lightweight token says next to nothing, and the provider knows the rest.
    assert!(
        stage
            .ask(&stage.token(json!({"sub": null, "aud": null, "preferred_username": null})))
            .await
            .is_ok()
    );
}
