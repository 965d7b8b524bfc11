//! Claims of signed tokens, rule by rule. Each wrong one must be refused for its own reason: a token
//! that is refused for another one leaves its rule untested.

use super::*;

#[tokio::test]
async fn a_wrong_claim_is_refused_for_its_own_reason() {
    use RefusedToken as R;
    let stage = Stage::new().await;
    let issuer = stage.fake.issuer();
    for (change, why) in [
        (json!({"iss": null}), R::Issuer(none())),
        (json!({"iss": 7}), R::Issuer(none())),
        (json!({"iss": true}), R::Issuer(none())),
        (json!({"iss": {}}), R::Issuer(none())),
        (json!({"iss": [issuer]}), R::Issuer(none())),
        (
            json!({"iss": format!("{issuer}/")}),
            R::UnknownIssuer(none()),
        ),
        (
            json!({"iss": issuer.to_uppercase()}),
            R::UnknownIssuer(none()),
        ),
        (json!({"iss": ""}), R::UnknownIssuer(none())),
        (json!({"aud": null}), R::Audience(none())),
        (json!({"aud": []}), R::Audience(none())),
        (json!({"aud": ""}), R::Audience(none())),
        (json!({"aud": 7}), R::Audience(none())),
        (json!({"aud": true}), R::Audience(none())),
        (json!({"aud": {"elastauth": true}}), R::Audience(none())),
        (json!({"aud": "Elastauth"}), R::Audience(none())),
        (json!({"aud": "elastauth "}), R::Audience(none())),
        (json!({"aud": "other,elastauth"}), R::Audience(none())),
        (json!({"aud": ["other", "account"]}), R::Audience(none())),
        (json!({"aud": ["elastauth", 7]}), R::Audience(none())),
        (json!({"aud": [["elastauth"]]}), R::Audience(none())),
        (json!({"azp": "other"}), R::Party(none())),
        (
            json!({"aud": ["elastauth", "other"], "azp": "other"}),
            R::Party(none()),
        ),
        (json!({"azp": 7}), R::Party(none())),
        (json!({"azp": ["elastauth"]}), R::Party(none())),
        (json!({"client_id": "other"}), R::Party(none())),
        (json!({"exp": null}), R::ExpiryMissing),
        (json!({"exp": "1900000000"}), R::ExpiryMissing),
        (json!({"exp": true}), R::ExpiryMissing),
        (json!({"exp": [NOW + 300]}), R::ExpiryMissing),
        (json!({"exp": {}}), R::ExpiryMissing),
        (json!({"exp": -1}), R::ExpiryMissing),
        (json!({"exp": 1e300}), R::ExpiryMissing),
        (json!({"exp": u64::MAX}), R::ExpiryMissing),
        (json!({"exp": (NOW + 300) * 1_000}), R::ExpiryMissing),
        (json!({"exp": 0}), R::Expired),
        (json!({"exp": NOW - 30}), R::Expired),
        (json!({"exp": 1_799_999_970.9}), R::Expired),
        (json!({"nbf": NOW + 31}), R::NotYet),
        (json!({"nbf": NOW + 3_600}), R::NotYet),
        (json!({"nbf": "0"}), R::Times),
        (json!({"nbf": true}), R::Times),
        (json!({"nbf": []}), R::Times),
        (json!({"nbf": -5}), R::Times),
        (json!({"iat": NOW + 31}), R::IssuedAhead),
        (json!({"iat": NOW + 3_600}), R::IssuedAhead),
        (json!({"iat": "0"}), R::Times),
        (json!({"iat": true}), R::Times),
        (json!({"iat": -1}), R::Times),
        (json!({"iat": {}}), R::Times),
        (json!({"typ": "Refresh"}), R::ClaimType),
        (json!({"typ": "Offline"}), R::ClaimType),
        (json!({"typ": "Logout"}), R::ClaimType),
        (json!({"typ": "ID"}), R::ClaimType),
        (json!({"nonce": "n"}), R::IdToken),
        (json!({"at_hash": "h"}), R::IdToken),
        // As oidc-provider makes ID tokens in the code flow: nothing says what they are.
        (json!({"scope": null}), R::IdToken),
        (json!({"scope": null, "azp": "elastauth"}), R::IdToken),
        (json!({"token_use": "id"}), R::IdToken),
        (json!({"token_use": ["access"]}), R::IdToken),
        (json!({"c_hash": "h"}), R::IdToken),
        (json!({"type": "id_token"}), R::IdToken),
        (
            json!({"tokenName": "id_token", "tokenType": "JWTToken"}),
            R::IdToken,
        ),
        (
            json!({"token_use": "access", "type": "id-token"}),
            R::IdToken,
        ),
        (json!({"type": "refresh"}), R::TokenType),
        (
            json!({"token_use": "access", "tokenType": "refresh-token"}),
            R::TokenType,
        ),
        (
            json!({"aud": null, "client_id": "other"}),
            R::Audience(none()),
        ),
        (
            json!({"aud": null, "client_id": ["elastauth"]}),
            R::Audience(none()),
        ),
        (
            json!({"aud": null, "cid": "elastauth"}),
            R::Audience(none()),
        ),
        (
            json!({"aud": null, "client_id": "elastauth", "azp": "other"}),
            R::Party(none()),
        ),
        (json!({"typ": "Bearer "}), R::ClaimType),
        (json!({"typ": ["Bearer"]}), R::ClaimType),
        (
            json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
            R::Events,
        ),
        (json!({"events": {}}), R::Events),
        (json!({"cnf": {"jkt": "x"}}), R::Bound),
        (json!({"sub": 7}), R::Id("sub")),
        (json!({"sub": ""}), R::Id("sub")),
        (json!({"sub": "x".repeat(256)}), R::Id("sub")),
        (json!({"sid": ["s"]}), R::Id("sid")),
        (json!({"sid": "s".repeat(300)}), R::Id("sid")),
    ] {
        assert_eq!(
            stage.refusal(&stage.token(change.clone())).await,
            why,
            "{change}"
        );
    }
    assert_eq!(stage.oidc.remembered(), 0);
}

#[tokio::test]
async fn unusual_claims_that_are_allowed_are_accepted() {
    let stage = Stage::new().await;
    for change in [
        json!({"aud": ["account", "elastauth"]}),
        json!({"azp": "elastauth", "client_id": "other"}),
        json!({"exp": NOW - 29, "nbf": NOW + 30, "iat": NOW + 30}),
        json!({"exp": 1_800_000_100.5}),
        json!({"iat": null, "sub": null}),
        json!({"typ": "Bearer"}),
        json!({"nonce": "", "at_hash": ""}),
        json!({"type": "oauth-access-token", "scope": null, "nonce": "n"}),
        json!({"tokenType": "access-token", "scope": null}),
        json!({"token_use": "access", "scope": null, "nonce": "n"}),
        json!({"type": "user"}),
        // Amazon Cognito.
        json!({"aud": null, "client_id": "elastauth", "token_use": "access"}),
        // Of no meaning where no parties are configured.
        json!({"cid": "other", "appid": "other"}),
        json!({"typ": "bearer", "nbf": 0, "nonce": "old Keycloaks have one here"}),
    ] {
        assert!(
            stage.ask(&stage.token(change.clone())).await.is_ok(),
            "{change}"
        );
    }
}

#[tokio::test]
async fn audiences_and_parties_are_as_configured() {
    let stage = Stage::with("ES256", |config| {
        config.audiences = vec!["api".into()];
        config.authorized_parties = AuthorizedParties::These(vec!["spa".into()]);
    })
    .await;
    assert!(
        stage
            .ask(&stage.token(json!({"aud": "api", "azp": "spa"})))
            .await
            .is_ok()
    );
    assert_eq!(
        stage
            .refusal(&stage.token(json!({"aud": "elastauth", "azp": "spa"})))
            .await,
        RefusedToken::Audience(none())
    );
    assert_eq!(
        stage
            .refusal(&stage.token(json!({"aud": "api", "azp": "elastauth"})))
            .await,
        RefusedToken::Party(none())
    );
    assert_eq!(
        stage.refusal(&stage.token(json!({"aud": "api"}))).await,
        RefusedToken::Party(none()),
        "it must say to whom"
    );
    for (claims, accepted) in [
        (json!({"aud": "api", "cid": "spa"}), true),
        (json!({"aud": "api", "appid": "spa"}), true),
        (json!({"aud": "api", "cid": "other"}), false),
        (json!({"aud": "api", "azp": "other", "cid": "spa"}), false),
        (json!({"aud": null, "client_id": "api"}), false),
    ] {
        let asked = stage.ask(&stage.token(claims.clone())).await;
        assert_eq!(asked.is_ok(), accepted, "{claims}");
    }
    let any = Stage::with("ES256", |config| {
        config.authorized_parties = AuthorizedParties::Any;
    })
    .await;
    assert!(any.ask(&any.token(json!({"azp": "whoever"}))).await.is_ok());
    let several = Stage::new().await;
    let id = several.token(json!({"typ": "ID", "aud": ["elastauth", "other"]}));
    let refused = ask(&several.oidc, &[("cookie", &format!("id_token={id}"))]).await;
    let parties = "`azp` is missing, expected \"elastauth\", \"elastauth\"";
    assert!(chain(&refused.unwrap_err()).ends_with(parties));
}
