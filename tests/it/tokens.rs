//! Bearer tokens on the running program, from the configuration file to a login that works: a
//! provider of the test's own, on a real socket.

mod claims;
mod explained;
mod faulty_providers;
mod guides;
mod invalid;
mod issuers;
mod logout;
mod order;
mod providers;
mod remembered;
pub(crate) mod setup;
mod several;
mod unusual;
mod whose;

use serde_json::json;
use setup::Setup;

#[tokio::test]
async fn a_token_gets_the_login_that_its_claims_justify() {
    let setup = Setup::new().await;
    let granted = setup.bearer(&setup.idp.token(|_| {})).await;
    assert_eq!(granted.status, 200, "{}", setup.elastauth.log());
    assert!(setup.cluster.accepts(&granted.headers["authorization"]));
    // `a,b` is one group, and never two of which one is `a`.
    assert_eq!(setup.cluster.user("alice").unwrap().roles, ["editor"]);
    let cookie = format!("access_token={}", setup.idp.token(|_| {}));
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &[("cookie", &cookie)])
            .await
            .status,
        200
    );
    // Only where no token is shown does the next provider look.
    assert_eq!(
        setup
            .elastauth
            .server()
            .get(
                "/elastauth",
                &[("remote-user", "bob"), ("remote-groups", "dev")]
            )
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn check_online_tries_the_issuer_before_the_first_token_does() {
    let mut setup = Setup::new().await;
    let good = setup.elastauth.command(&["check", "--online"]).await;
    let said = String::from_utf8_lossy(&good.stdout).into_owned();
    assert!(
        said.contains(&format!(
            "ok: issuer {}: it answers, and 1 of its keys can verify tokens",
            setup.idp.issuer
        )),
        "{said}"
    );
    assert!(good.status.success(), "{good:?}");
    setup.idp.leave().await;
    let away = setup.elastauth.command(&["check", "--online"]).await;
    let said = String::from_utf8_lossy(&away.stderr).into_owned();
    assert!(
        said.contains(&format!("failed: issuer {}: ", setup.idp.issuer)) && !away.status.success(),
        "{said}"
    );
}

#[tokio::test]
async fn check_online_tells_a_wrong_name_a_wrong_clock_and_keys_that_are_none() {
    let setup = Setup::new().await;
    let tried = async || {
        let output = setup
            .elastauth
            .command(&["check", "--online", "--json"])
            .await;
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = printed["tried"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|one| one["what"].as_str().unwrap().contains("issuer"))
            .cloned();
        (
            printed["ok"] == true,
            found.collect::<serde_json::Value>().to_string(),
        )
    };
    setup.idp.dates("Sun, 06 Nov 1994 08:49:37 GMT");
    let (ok, printed) = tried().await;
    assert!(!ok && printed.contains("behind ours"), "{printed}");
    setup.idp.dates("Thu, 06 Nov 2194 08:49:37 GMT");
    let (ok, printed) = tried().await;
    assert!(
        !ok && printed.contains("new tokens are refused"),
        "{printed}"
    );
    setup.idp.dates("no date at all");
    setup.idp.says(
        "/keys",
        json!({ "keys": [{ "kty": "oct", "k": "AAAA", "kid": "k1" }] }),
    );
    let (ok, printed) = tried().await;
    assert!(!ok && printed.contains("none of its keys"), "{printed}");
    setup.idp.says(
        "/.well-known/openid-configuration",
        json!({ "issuer": "https://another.example", "jwks_uri": "https://another.example/keys" }),
    );
    let (ok, printed) = tried().await;
    assert!(
        !ok && printed.contains("names another issuer than the configured one"),
        "{printed}"
    );
}

#[tokio::test]
async fn a_clock_that_differs_from_the_identity_providers_shows_in_readiness_and_refuses_nobody() {
    let setup = Setup::new().await;
    setup.idp.dates("Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(setup.bearer(&setup.idp.token(|_| {})).await.status, 200);
    let ready = setup.elastauth.server().get("/elastauth/ready", &[]).await;
    assert_eq!(
        (
            ready.status.as_u16(),
            &ready.json()["checks"]["clock"]["status"]
        ),
        (200, &json!("DEGRADED")),
        "{}",
        ready.text()
    );
    assert!(
        ready.text().contains("an identity provider's differ by"),
        "{}",
        ready.text()
    );
    assert_eq!(
        setup
            .elastauth
            .log()
            .matches("this clock and an identity provider's differ")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_provider_that_is_away_is_503_and_headers_go_on() {
    let mut setup = Setup::new().await;
    let token = setup.idp.token(|_| {});
    setup.idp.leave().await;
    let unavailable = setup.bearer(&token).await;
    assert_eq!(unavailable.status, 503, "{}", setup.elastauth.log());
    assert!(unavailable.header("retry-after").is_some());
    assert_eq!(
        setup
            .elastauth
            .server()
            .get(
                "/elastauth",
                &[("remote-user", "bob"), ("remote-groups", "dev")]
            )
            .await
            .status,
        200
    );
}
