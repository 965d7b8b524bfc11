//! What real providers do beside the book: keys that change, documents that move, tokens and
//! answers in other forms.

use super::setup::{Setup, bearer, config};
use crate::support::{
    elastauth::Elastauth,
    idp::Idp,
    tls::{Signed, front},
    until,
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use serde_json::json;

#[tokio::test]
async fn a_new_key_counts_at_once_whatever_its_name() {
    let mut setup = Setup::new().await;
    assert_eq!(setup.bearer(&setup.idp.aged(9, &["dev"])).await.status, 200);
    // Within the five seconds after the first fetch: another key under the same name, and then one
    // with another name.
    setup.idp.replace_key();
    assert_eq!(
        setup.bearer(&setup.idp.aged(8, &["dev"])).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    setup.idp.rotate();
    assert_eq!(
        setup.bearer(&setup.idp.aged(7, &["dev"])).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    // A third change in five seconds has to wait: the client is told to come back.
    let header = json!({ "alg": "ES256", "kid": "unknown" }).to_string();
    let claims = json!({ "iss": setup.idp.issuer }).to_string();
    let unknown = setup.idp.sign_bytes(header.as_bytes(), claims.as_bytes());
    let answer = setup.bearer(&unknown).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.header("retry-after").is_some());
    setup.log_with("has just been fetched several times").await;
}

#[tokio::test]
async fn a_description_and_keys_that_have_moved_are_found() {
    let setup = Setup::new().await;
    let issuer = &setup.idp.issuer;
    let about = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/old-keys") });
    setup.idp.says("/description", about);
    let described = "/.well-known/openid-configuration";
    setup
        .idp
        .moves(described, "301 Moved Permanently", "/description");
    setup
        .idp
        .moves("/old-keys", "308 Permanent Redirect", "keys");
    assert_eq!(
        setup.bearer(&setup.idp.aged(9, &["dev"])).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
}

#[tokio::test]
async fn a_redirect_to_plain_http_elsewhere_is_not_followed() {
    let (setup, elsewhere) = (Setup::new().await, crate::support::idp::Idp::start().await);
    let to = format!("{}/keys", elsewhere.issuer);
    setup.idp.moves("/keys", "307 Temporary Redirect", &to);
    assert_eq!(setup.bearer(&setup.idp.aged(9, &["dev"])).await.status, 503);
    setup
        .log_with("with an address that elastauth does not follow")
        .await;
    assert_eq!(elsewhere.asked_in_all(), 0);
}

#[tokio::test]
async fn a_token_that_only_the_provider_can_read_is_asked_about() {
    let more = "  client_secret: s3cret\n  token_validation: introspection\n";
    let setup = Setup::with(more).await;
    let answer = json!({
        "active": true, "iss": setup.idp.issuer, "aud": "elastauth", "sub": "u1",
        "preferred_username": "alice", "groups": ["dev"],
    });
    setup.idp.says("/introspect", answer);
    for token in [
        "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0.a.b.c.d",
        "v2.local.abc",
        "a.b.c.d.e",
    ] {
        let answer = setup.bearer(token).await;
        assert_eq!(answer.status, 200, "{token}: {}", setup.elastauth.log());
    }
    assert_eq!(setup.idp.asked("/introspect"), 3);
}

#[tokio::test]
async fn a_userinfo_answer_that_is_signed_is_verified() {
    let setup = Setup::with("  token_validation: userinfo\n").await;
    let says = |audience: &str| {
        let claims = json!({
            "iss": setup.idp.issuer, "aud": audience, "sub": "u1", "preferred_username": "alice",
            "groups": ["dev"],
        });
        let token = setup.idp.sign("JWT", &claims);
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/jwt\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{token}",
            token.len()
        );
        setup.idp.sends("/me", answer.as_bytes(), 1);
    };
    says("elastauth");
    let answer = setup.bearer("opaque").await;
    assert_eq!(answer.status, 200, "{}", setup.elastauth.log());
    says("another-client");
    assert_eq!(setup.bearer("opaque-2").await.status, 503);
    setup
        .log_with("answered with a signed token that is not accepted")
        .await;
}

#[tokio::test]
async fn a_provider_whose_own_certificate_is_in_ca_cert_is_trusted_for_its_name() {
    let own = || Signed::by_itself(&["localhost"]);
    let (shown, another) = (own(), own());
    let elsewhere = Signed::by_itself(&["elsewhere.test"]);
    let cases = [
        (&shown, shown.certificate.clone(), true),
        (&shown, another.certificate.clone(), false),
        (&elsewhere, elsewhere.certificate.clone(), false),
    ];
    for (signed, known, is_trusted) in cases {
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let port = idp.issuer.rsplit(':').next().unwrap().parse().unwrap();
        let front = front(signed.server(), port).await;
        let issuer = format!("https://localhost:{}", front.port);
        idp.says(
            "/.well-known/openid-configuration",
            json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/keys") }),
        );
        let oidc = format!(
            "oidc:\n  issuer: {issuer}\n  client_id: elastauth\n  tls: {{ca_cert: \
             /etc/elastauth/ca.pem}}\n"
        );
        let files = [("ca.pem", &*known)];
        let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &files).await;
        let token = idp.token(|claims| claims["iss"] = json!(issuer));
        let answer = bearer(&elastauth, &token).await;
        let status = if is_trusted { 200 } else { 503 };
        assert_eq!(answer.status, status, "{}", elastauth.log());
        if !is_trusted {
            until("the reason", || elastauth.log().contains("certificate")).await;
            assert_eq!(idp.asked_in_all(), 0);
        }
    }
}

#[tokio::test]
async fn a_redirect_to_another_origin_gets_no_credentials() {
    let elsewhere = Idp::start().await;
    let signed = Signed::by_itself(&["localhost"]);
    let port = elsewhere
        .issuer
        .rsplit(':')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let front = front(signed.server(), port).await;
    let to = format!("https://localhost:{}/keys", front.port);
    for (more, is_followed) in [("", true), ("  custom_headers: {X-Key: s3cret}\n", false)] {
        let (idp, tasks) = (Idp::start().await, Tasks::default());
        let cluster = StandIn::start(&tasks).await.unwrap();
        let oidc = format!(
            "oidc:\n  issuer: {}\n  client_id: elastauth\n  tls: {{ca_cert: \
             /etc/elastauth/ca.pem}}\n{more}",
            idp.issuer
        );
        let files = [("ca.pem", &*signed.certificate)];
        let elastauth = Elastauth::start_anywhere(&config(&cluster, &oidc), &files).await;
        idp.moves("/keys", "307 Temporary Redirect", &to);
        let token = elsewhere.token(|claims| claims["iss"] = json!(idp.issuer));
        let (asked, answer) = (elsewhere.asked_in_all(), bearer(&elastauth, &token).await);
        let status = if is_followed { 200 } else { 503 };
        assert_eq!(answer.status, status, "{}", elastauth.log());
        assert_eq!(elsewhere.asked_in_all() > asked, is_followed);
    }
}
