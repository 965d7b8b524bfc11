//! Issuers that are no https URL, and a provider without one.

use super::setup::{bearer, config};
use crate::support::{elastauth::Elastauth, idp::Idp, until};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use serde_json::json;

#[tokio::test]
async fn an_issuer_from_which_nothing_is_fetched_may_be_any_text() {
    let (idp, tasks) = (Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    for issuer in [
        "http://adfs.example.org/adfs/services/trust",
        "kibana.example.org",
        "urn:example:issuer?a#b",
    ] {
        let oidc = format!(
            "oidc:\n  issuer: \"{issuer}\"\n  jwks_uri: {}/keys\n  client_id: elastauth\n",
            idp.issuer
        );
        let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &[]).await;
        let token = idp.token(|claims| claims["iss"] = json!(issuer));
        let answer = bearer(&elastauth, &token).await;
        assert_eq!(answer.status, 200, "{issuer}: {}", elastauth.log());
        let other = idp.token(|claims| claims["iss"] = json!(format!("{issuer}/")));
        assert_eq!(bearer(&elastauth, &other).await.status, 401, "{issuer}");
        assert!(!elastauth.log().contains("is plain"), "{}", elastauth.log());
    }
    assert_eq!(idp.asked("/.well-known/openid-configuration"), 0);
}

#[tokio::test]
async fn a_provider_that_is_asked_about_every_token_needs_no_issuer() {
    let (idp, tasks) = (Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    let user = json!({"sub": "u1", "preferred_username": "alice", "groups": ["dev"]});
    idp.says("/me", user);
    idp.says(
        "/introspect",
        json!({
            "active": true, "iss": "whoever", "aud": "elastauth", "sub": "u1",
            "preferred_username": "alice", "groups": ["dev"],
        }),
    );
    for lines in [
        format!(
            "  token_validation: userinfo\n  userinfo_endpoint: {}/me\n",
            idp.issuer
        ),
        format!(
            "  token_validation: introspection\n  introspection_endpoint: {}/introspect\n  \
             client_secret: s3cret\n",
            idp.issuer
        ),
    ] {
        let oidc = format!("oidc:\n  client_id: elastauth\n{lines}");
        let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &[]).await;
        let answer = bearer(&elastauth, "opaque").await;
        assert_eq!(answer.status, 200, "{lines}: {}", elastauth.log());
        // Whose a signed token is, its issuer says, and none is configured.
        for change in [json!(idp.issuer), json!(""), json!("oidc"), json!(null)] {
            let signed = idp.token(|claims| claims["iss"] = change.clone());
            assert_eq!(bearer(&elastauth, &signed).await.status, 401, "{change}");
        }
        until("the reason", || {
            elastauth.log().contains("none is configured")
        })
        .await;
    }
    assert_eq!(idp.asked("/.well-known/openid-configuration"), 0);
}
