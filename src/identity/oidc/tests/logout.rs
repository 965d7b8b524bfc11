//! Back-channel logout.

use super::*;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn notice(stage: &Stage, changes: Value) -> String {
    let mut header = stage.key.header();
    header["typ"] = "logout+jwt".into();
    notice_with(stage, &header, changes)
}

fn notice_with(stage: &Stage, header: &Value, changes: Value) -> String {
    let mut claims = json!({
        "iss": stage.fake.issuer(), "aud": "elastauth", "iat": NOW, "exp": NOW + 120, "jti": "j-1",
        "sid": "s-1", "events": {EVENT: {}},
    });
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let members = claims.as_object_mut().unwrap();
    members.retain(|_, value| !value.is_null());
    stage.key.token_with(header, &claims)
}

#[tokio::test]
async fn a_logout_revokes_the_signed_tokens_of_its_session_and_no_other() {
    let stage = Stage::new().await;
    let (token, other) = (
        stage.token(json!({"sid": "s-1"})),
        stage.token(json!({"sid": "s-2"})),
    );
    assert!(stage.ask(&token).await.is_ok() && stage.ask(&other).await.is_ok());
    assert_eq!(
        stage
            .oidc
            .backchannel_logout(&notice(&stage, json!({})), FROM)
            .await,
        Ok(())
    );
    assert_eq!(
        stage.refusal(&token).await,
        RefusedToken::LoggedOut,
        "the remembered one"
    );
    assert_eq!(
        stage
            .refusal(&stage.token(json!({"sid": "s-1", "jti": "new"})))
            .await,
        RefusedToken::LoggedOut,
        "one not seen before"
    );
    assert!(stage.ask(&other).await.is_ok());
}

#[tokio::test]
async fn a_subject_that_was_signed_out_everywhere_can_sign_in_again() {
    let stage = Stage::new().await;
    let token = stage.token(json!({}));
    assert!(stage.ask(&token).await.is_ok());
    assert_eq!(
        stage
            .oidc
            .backchannel_logout(&notice(&stage, json!({"sid": null, "sub": "u-1"})), FROM)
            .await,
        Ok(())
    );
    assert_eq!(stage.refusal(&token).await, RefusedToken::LoggedOut);
    assert!(stage.ask(&stage.token(json!({"sub": "u-2"}))).await.is_ok());
    assert!(
        stage
            .ask(&stage.token(json!({"iat": NOW + 1})))
            .await
            .is_ok(),
        "issued after the logout"
    );
}

/// The provider is asked about every token, and says that it is of the session `s-1`.
async fn asked_about_a_session() -> Stage {
    let stage = Stage::with("ES256", |config| {
        config.validation = Validation::Introspection;
    })
    .await;
    let mut answer = stage.claims(json!({"sid": "s-1"}));
    answer["active"] = true.into();
    stage.fake.on("/introspect", Manner::json(&answer));
    stage
}

#[tokio::test]
async fn after_a_logout_the_provider_is_asked_again() {
    let stage = asked_about_a_session().await;
    assert!(stage.ask("opaque").await.is_ok() && stage.ask("opaque").await.is_ok());
    assert_eq!(stage.fake.count("/introspect"), 1);
    assert_eq!(
        stage
            .oidc
            .backchannel_logout(&notice(&stage, json!({})), FROM)
            .await,
        Ok(())
    );
    stage.pass(Duration::from_millis(1));
    stage
        .fake
        .on("/introspect", Manner::json(json!({"active": false})));
    assert_eq!(stage.refusal("opaque").await, RefusedToken::Inactive);
}

#[tokio::test]
async fn a_logout_token_is_used_once() {
    let stage = Stage::new().await;
    let token = notice(&stage, json!({}));
    assert_eq!(stage.oidc.backchannel_logout(&token, FROM).await, Ok(()));
    assert_eq!(
        stage.oidc.backchannel_logout(&token, FROM).await,
        Err(LogoutError::Refused(RefusedToken::Replayed))
    );
    assert_eq!(
        stage
            .oidc
            .backchannel_logout(&notice(&stage, json!({"jti": "j-2"})), FROM)
            .await,
        Ok(())
    );
    stage.pass(Duration::from_secs(150));
    assert_eq!(
        stage.oidc.backchannel_logout(&token, FROM).await,
        Err(LogoutError::Refused(RefusedToken::Expired))
    );
}

#[tokio::test]
async fn a_logout_token_that_breaks_a_rule_revokes_nothing() {
    use RefusedToken as R;
    let stage = Stage::new().await;
    let token = stage.token(json!({"sid": "s-1"}));
    for (change, why) in [
        (json!({"aud": "other"}), R::Audience(none())),
        (json!({"aud": null}), R::Audience(none())),
        (
            json!({"iss": "https://elsewhere.test"}),
            R::UnknownIssuer(none()),
        ),
        (json!({"exp": null}), R::ExpiryMissing),
        (json!({"exp": NOW - 30}), R::Expired),
        (json!({"exp": NOW + 4_000}), R::Times),
        (json!({"iat": null}), R::Times),
        (json!({"iat": NOW + 31}), R::IssuedAhead),
        (json!({"events": null}), R::Events),
        (
            json!({"events": {"https://elsewhere.test/event": {}}}),
            R::Events,
        ),
        (json!({"events": {EVENT: true}}), R::Events),
        (json!({"events": EVENT}), R::Events),
        (json!({"nonce": "n"}), R::Nonce),
        (json!({"sid": null}), R::NoSession),
        (json!({"jti": null}), R::Id("jti")),
        (json!({"jti": 7}), R::Id("jti")),
        (json!({"typ": "ID"}), R::ClaimType),
    ] {
        let notice = notice(&stage, change.clone());
        let refused = match stage.oidc.backchannel_logout(&notice, FROM).await {
            Err(LogoutError::Refused(why)) => without_values(why),
            other => panic!("{other:?} for {change}"),
        };
        assert_eq!(refused, why, "{change}");
    }
    let mut header = stage.key.header();
    header["typ"] = "at+jwt".into();
    assert_eq!(
        stage
            .oidc
            .backchannel_logout(&notice_with(&stage, &header, json!({})), FROM)
            .await,
        Err(LogoutError::Refused(R::HeaderType))
    );
    let forged = Signer::new("key-1", "ES256").token(&json!({"iss": stage.fake.issuer()}));
    assert_eq!(
        stage.oidc.backchannel_logout(&forged, FROM).await,
        Err(LogoutError::Refused(R::Signature))
    );
    assert_eq!(
        stage.oidc.backchannel_logout(&token, FROM).await,
        Err(LogoutError::Refused(R::Events)),
        "an access token is no logout token"
    );
    assert!(stage.ask(&token).await.is_ok());
    assert_eq!(
        stage
            .refusal(&notice(&stage, json!({"typ": "Logout"})))
            .await,
        R::HeaderType,
        "and no logout token an access token"
    );
}

#[tokio::test]
async fn a_logout_of_a_session_and_its_subject_ends_older_tokens_without_a_session() {
    let stage = Stage::new().await;
    let of = |session: Value, issued: u64| stage.token(json!({"sid": session, "iat": issued}));
    let (ours, other) = (of(json!("s-1"), NOW), of(json!("s-2"), NOW));
    let (older, newer) = (of(Value::Null, NOW), of(Value::Null, NOW + 1));
    let namesake = stage.token(json!({"sub": "u-2"}));
    for token in [&ours, &other, &older, &namesake] {
        assert!(stage.ask(token).await.is_ok());
    }
    let notice = notice(&stage, json!({"sub": "u-1"}));
    assert_eq!(stage.oidc.backchannel_logout(&notice, FROM).await, Ok(()));
    for token in [&ours, &older] {
        assert_eq!(stage.refusal(token).await, RefusedToken::LoggedOut);
    }
    for token in [&other, &newer, &namesake] {
        assert!(stage.ask(token).await.is_ok());
    }
}

#[tokio::test]
async fn an_older_notice_that_comes_late_brings_nothing_back() {
    let stage = Stage::new().await;
    let subject = |id: &str, issued: u64| {
        notice(
            &stage,
            json!({"sid": null, "sub": "u-1", "jti": id, "iat": issued}),
        )
    };
    let (later, earlier) = (subject("j-1", NOW), subject("j-2", NOW - 60));
    assert_eq!(stage.oidc.backchannel_logout(&later, FROM).await, Ok(()));
    assert_eq!(stage.oidc.backchannel_logout(&earlier, FROM).await, Ok(()));
    assert_eq!(
        stage.refusal(&stage.token(json!({"iat": NOW - 30}))).await,
        RefusedToken::LoggedOut
    );
}

#[tokio::test]
async fn a_notice_that_is_dated_ahead_of_now_keeps_no_subject_out() {
    let stage = Stage::new().await;
    stage.pass(Duration::from_mins(4));
    let ahead = |changes: Value| {
        let mut all = json!({"iat": NOW + 240, "exp": NOW + 360});
        for (name, value) in changes.as_object().unwrap() {
            all[name] = value.clone();
        }
        notice(&stage, all)
    };
    let ended = [
        ahead(json!({"sid": null, "sub": "u-1", "jti": "j-1"})),
        ahead(json!({"sub": "u-1", "jti": "j-2"})),
    ];
    for notice in &ended {
        assert_eq!(stage.oidc.backchannel_logout(notice, FROM).await, Ok(()));
    }
    stage.set_back(Duration::from_mins(4));
    assert!(
        stage.ask(&stage.token(json!({}))).await.is_ok(),
        "the subject has signed in again"
    );
    assert_eq!(
        stage.refusal(&stage.token(json!({"sid": "s-1"}))).await,
        RefusedToken::LoggedOut,
        "a session that has ended does not begin again"
    );
    // And a notice of now counts from now.
    let again = notice(&stage, json!({"sid": null, "sub": "u-1", "jti": "j-3"}));
    assert_eq!(stage.oidc.backchannel_logout(&again, FROM).await, Ok(()));
    assert_eq!(
        stage.refusal(&stage.token(json!({}))).await,
        RefusedToken::LoggedOut
    );
    assert!(
        stage
            .ask(&stage.token(json!({"iat": NOW + 1})))
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn after_a_logout_in_the_future_the_provider_is_asked_once() {
    let stage = asked_about_a_session().await;
    stage.pass(Duration::from_mins(2));
    let notice = notice(&stage, json!({}));
    assert_eq!(stage.oidc.backchannel_logout(&notice, FROM).await, Ok(()));
    stage.set_back(Duration::from_mins(2));
    for _ in 0..3 {
        assert!(stage.ask("opaque").await.is_ok());
    }
    assert_eq!(stage.fake.count("/introspect"), 1);
}
