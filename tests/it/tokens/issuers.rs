//! Issuers that are no https URL, a provider without one, and one whose access tokens name another.

use super::setup::{Setup, bearer, config};
use crate::support::{elastauth::Elastauth, idp::Idp, until};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use serde_json::{Value, json};

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

/// What ADFS says of itself: its access tokens name another issuer than its ID tokens.
fn describes_access_tokens(idp: &Idp, access_token_issuer: &str) {
    idp.says(
        "/.well-known/openid-configuration",
        json!({
            "issuer": idp.issuer, "jwks_uri": format!("{}/keys", idp.issuer),
            "userinfo_endpoint": format!("{}/me", idp.issuer),
            "introspection_endpoint": format!("{}/introspect", idp.issuer),
            "access_token_issuer": access_token_issuer,
        }),
    );
}

fn of_issuer(idp: &Idp, issuer: &str) -> String {
    idp.token(|claims| claims["iss"] = json!(issuer))
}

const TRUST: &str = "http://adfs.example.org/adfs/services/trust";

#[tokio::test]
async fn access_tokens_may_name_the_issuer_that_the_description_has_for_them() {
    let setup = Setup::with("").await;
    describes_access_tokens(&setup.idp, TRUST);
    // The first token of all is such a one: the description is read for it.
    let answer = setup.bearer(&of_issuer(&setup.idp, TRUST)).await;
    assert_eq!(answer.status, 200, "{}", setup.elastauth.log());
    let own = setup.idp.token(|_| {});
    assert_eq!(setup.bearer(&own).await.status, 200);
    for other in [
        "http://adfs.example.org/adfs/services/trust/",
        "https://adfs.example.org/adfs/services/trust",
        "http://ADFS.example.org/adfs/services/trust",
        "",
    ] {
        let answer = setup.bearer(&of_issuer(&setup.idp, other)).await;
        assert_eq!(answer.status, 401, "{other}: {}", setup.elastauth.log());
    }
    // It is no more than a name: the key is that of the provider.
    let forger = Idp::start().await;
    assert_eq!(
        setup.bearer(&of_issuer(&forger, TRUST)).await.status,
        401,
        "{}",
        setup.elastauth.log()
    );
    assert_eq!(setup.idp.asked("/.well-known/openid-configuration"), 1);
}

#[tokio::test]
async fn a_provider_that_is_asked_may_name_that_issuer_too() {
    let setup = Setup::with("  token_validation: introspection\n  client_secret: s3cret\n").await;
    describes_access_tokens(&setup.idp, TRUST);
    setup.idp.says(
        "/introspect",
        json!({
            "active": true, "iss": TRUST, "aud": "elastauth", "sub": "u1",
            "preferred_username": "alice", "groups": ["dev"],
        }),
    );
    for token in [&*of_issuer(&setup.idp, TRUST), "opaque"] {
        let answer = setup.bearer(token).await;
        assert_eq!(answer.status, 200, "{token}: {}", setup.elastauth.log());
    }
}

#[tokio::test]
async fn a_description_of_another_issuer_says_nothing_about_access_tokens() {
    let setup = Setup::with("").await;
    setup.idp.says(
        "/.well-known/openid-configuration",
        json!({
            "issuer": "https://another.example", "jwks_uri": format!("{}/keys", setup.idp.issuer),
            "access_token_issuer": TRUST,
        }),
    );
    let answer = setup.bearer(&of_issuer(&setup.idp, TRUST)).await;
    // Whose it is cannot be known yet.
    assert_eq!(answer.status, 503, "{}", setup.elastauth.log());
    assert!(answer.header("retry-after").is_some());
    assert_eq!(setup.idp.asked("/keys"), 0);
}

#[tokio::test]
async fn no_description_takes_the_tokens_of_another_provider() {
    let (staff, partner, tasks) = (Idp::start().await, Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    describes_access_tokens(&partner, &staff.issuer);
    let sections = format!(
        "oidc:\n  providers:\n  - {{name: partner, issuer: \"{}\", client_id: elastauth}}\n  \
         - {{name: staff, issuer: \"{}\", client_id: elastauth}}\n",
        partner.issuer, staff.issuer
    );
    let elastauth = Elastauth::start_anywhere(&config(&cluster, &sections), &[]).await;
    let own = partner.token(|claims| claims["preferred_username"] = json!("bob"));
    assert_eq!(bearer(&elastauth, &own).await.status, 200);
    let forged = of_issuer(&partner, &staff.issuer);
    assert_eq!(bearer(&elastauth, &forged).await.status, 401);
    let answer = bearer(&elastauth, &staff.token(|_| {})).await;
    assert_eq!(answer.status, 200, "{}", elastauth.log());
    let user = cluster.user("alice").unwrap();
    assert_eq!(user.metadata["elastauth"]["provider"], "staff");
}

/// Whether `check --online` is content, and what it says about the providers.
async fn tried(elastauth: &Elastauth) -> (bool, Vec<(String, bool, String)>) {
    let output = elastauth.command(&["check", "--online", "--json"]).await;
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let tried = printed["tried"].as_array().unwrap().iter();
    let text = |one: &Value, name: &str| one[name].as_str().unwrap().to_owned();
    let tried = tried.map(|one| (text(one, "what"), one["ok"] == true, text(one, "found")));
    let about_providers =
        tried.filter(|(what, ..)| what.starts_with("issuer ") || what.starts_with("provider "));
    (printed["ok"] == true, about_providers.collect())
}

#[tokio::test]
async fn check_online_asks_a_provider_without_issuer_about_a_token_that_nobody_has_issued() {
    let (mut idp, tasks) = (Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    let oidc = format!(
        "oidc:\n  client_id: elastauth\n  token_validation: userinfo\n  userinfo_endpoint: {}/me\n",
        idp.issuer
    );
    let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &[]).await;
    let found = async |ok: bool, words: &str| {
        let (all, tried) = tried(&elastauth).await;
        let [(what, is_ok, found)] = tried.as_slice() else {
            panic!("{tried:?}")
        };
        assert_eq!(
            (&**what, *is_ok, all),
            ("provider oidc", ok, ok),
            "{tried:?}"
        );
        assert!(found.contains(words), "{tried:?}");
    };
    // It is not there.
    found(false, "the provider's userinfo answered 404").await;
    // It is a page that answers everybody.
    idp.says("/me", json!({"sub": "u1"}));
    found(false, "accepts a token that nobody has issued").await;
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    idp.sends("/me", refusal, 1);
    found(true, "its userinfo refuses a made-up token").await;
    assert_eq!(idp.asked_in_all(), idp.asked("/me"));
    idp.leave().await;
    found(false, "the provider's userinfo did not answer").await;
}

#[tokio::test]
async fn check_online_tries_each_of_several_providers_of_which_one_has_no_issuer() {
    let (staff, mut other, tasks) = (Idp::start().await, Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    let refusal = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    other.sends("/me", refusal, 1);
    let sections = format!(
        "oidc:\n  providers:\n  - {{name: staff, issuer: \"{}\", client_id: elastauth}}\n  \
         - {{name: github, client_id: elastauth, token_validation: userinfo, userinfo_endpoint: \
         \"{}/me\"}}\n",
        staff.issuer, other.issuer
    );
    let elastauth = Elastauth::start_anywhere(&config(&cluster, &sections), &[]).await;
    let (ok, found) = tried(&elastauth).await;
    let names: Vec<_> = found.iter().map(|(what, ok, _)| (&**what, *ok)).collect();
    let issuer = format!("issuer {}", staff.issuer);
    assert!(ok, "{found:?}");
    assert_eq!(names, [(&*issuer, true), ("provider github", true)]);
    // One that is away is said to be it, and no other.
    other.leave().await;
    let (ok, found) = tried(&elastauth).await;
    let names: Vec<_> = found.iter().map(|(what, ok, _)| (&**what, *ok)).collect();
    assert!(!ok, "{found:?}");
    assert_eq!(names, [(&*issuer, true), ("provider github", false)]);
    // Tokens of the first go on.
    let answer = bearer(&elastauth, &staff.token(|_| {})).await;
    assert_eq!(answer.status, 200, "{}", elastauth.log());
}
