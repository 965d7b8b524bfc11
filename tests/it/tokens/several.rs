//! Requests with several tokens, as browsers send them.

use super::setup::Setup;
use crate::support::http::Answer;
use serde_json::json;

const ASSERTION: &str = "Cf-Access-Jwt-Assertion";

/// A request with these headers.
async fn ask(setup: &Setup, headers: &[(&str, String)]) -> Answer {
    let headers: Vec<(&str, &str)> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    setup.elastauth.server().get("/elastauth", &headers).await
}

#[tokio::test]
async fn the_first_token_that_is_valid_counts_and_two_users_are_refused() {
    let setup = Setup::new().await;
    let (access, again) = (setup.idp.aged(9, &["dev"]), setup.idp.aged(8, &["dev"]));
    let id = setup.idp.token(|claims| {
        claims["nonce"] = json!("n");
        claims["typ"] = json!("ID");
    });
    let stale = setup
        .idp
        .token(|claims| claims["exp"] = json!(1_000_000_000));
    let other_application = setup.idp.token(|claims| claims["aud"] = json!("other"));
    let bob = setup.idp.token(|claims| {
        claims["sub"] = json!("u2");
        claims["preferred_username"] = json!("bob");
    });
    let bearer = |token: &str| ("authorization", format!("Bearer {token}"));
    let cookie = |text: String| ("cookie", text);
    for (what, headers) in [
        (
            "both cookies",
            vec![cookie(format!("access_token={access}; id_token={id}"))],
        ),
        (
            "the other way round",
            vec![cookie(format!("id_token={id}; access_token={access}"))],
        ),
        (
            "the same twice",
            vec![bearer(&access), cookie(format!("access_token={access}"))],
        ),
        (
            "another application's cookie",
            vec![
                bearer(&access),
                cookie(format!("access_token={other_application}")),
            ],
        ),
        (
            "no token at all",
            vec![bearer(&access), cookie("access_token=s:1%20x".to_owned())],
        ),
        (
            "an old cookie first",
            vec![cookie(format!(
                "access_token={stale}; access_token={access}"
            ))],
        ),
        (
            "an old cookie last",
            vec![
                cookie(format!("access_token={access}")),
                cookie(format!("access_token={stale}")),
            ],
        ),
        (
            "two of one user",
            vec![bearer(&access), cookie(format!("access_token={again}"))],
        ),
    ] {
        let answer = ask(&setup, &headers).await;
        assert_eq!(answer.status, 200, "{what}: {}", setup.elastauth.log());
        assert_eq!(answer.header("remote-user"), Some("alice"), "{what}");
    }
    for (what, headers) in [
        (
            "two users",
            vec![bearer(&access), cookie(format!("access_token={bob}"))],
        ),
        (
            "two users in cookies",
            vec![cookie(format!("access_token={access}; access_token={bob}"))],
        ),
        ("two headers", vec![bearer(&access), bearer(&again)]),
    ] {
        let answer = ask(&setup, &headers).await;
        assert_eq!(answer.status, 400, "{what}: {}", setup.elastauth.log());
        assert!(answer.header("authorization").is_none());
    }
    // Nothing valid: the reason of the first.
    let headers = [cookie(format!(
        "access_token={stale}; id_token={other_application}"
    ))];
    assert_eq!(ask(&setup, &headers).await.status, 401);
    setup.log_with("the token has expired").await;
}

#[tokio::test]
async fn a_token_may_be_in_a_header_of_its_own() {
    let setup = Setup::with(&format!("  token_headers: [{ASSERTION}]\n")).await;
    // As Cloudflare writes it: neither scope nor client.
    let token = setup.idp.token(|claims| {
        claims["azp"] = json!(null);
        claims["type"] = json!("app");
        claims["identity_nonce"] = json!("x");
    });
    let claims = json!({
        "iss": setup.idp.issuer, "aud": ["elastauth"], "sub": "u1", "type": "app",
        "exp": crate::support::idp::now() + 300, "preferred_username": "alice", "groups": ["dev"],
    });
    let plain = setup.idp.sign("JWT", &claims);
    for token in [token, plain] {
        let answer = ask(&setup, &[(ASSERTION, token)]).await;
        assert_eq!(answer.status, 200, "{}", setup.elastauth.log());
    }
    let without = Setup::new().await;
    let token = without.idp.token(|_| {});
    assert_eq!(ask(&without, &[(ASSERTION, token)]).await.status, 401);
}
