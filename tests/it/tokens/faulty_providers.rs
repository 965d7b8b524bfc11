//! Identity providers that hang, redirect, answer wrongly or never end.

use super::setup::{Setup, config};
use crate::support::{Why, elastauth::Elastauth, idp::Idp, pause, until};
use serde_json::json;
use std::time::Duration;
use tokio::{task::JoinSet, time::Instant};

/// A decision has two seconds; a machine that does other things besides gets as much again.
const IN_TIME: Duration = Duration::from_secs(4);

#[tokio::test]
async fn a_provider_that_does_not_do_its_part_is_503_in_time_and_believed_when_it_does() {
    let elsewhere = Idp::start().await;
    let redirect = format!(
        "HTTP/1.1 302 Found\r\nlocation: {}/keys\r\ncontent-length: 0\r\n\r\n",
        elsewhere.issuer
    );
    let endless = [
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"keys\":[".as_slice(),
        &b" ".repeat(60_000),
    ]
    .concat();
    let packed = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 20\r\n\r\n\
          \x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0";
    let html = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>";
    let faults = [
        ("hangs", &b""[..], 0),
        (
            "hangs in the middle",
            b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"keys\":[",
            1,
        ),
        ("leads elsewhere", redirect.as_bytes(), 1),
        ("never ends", &endless, 2_000),
        ("packs its answer", packed, 1),
        ("answers a page instead of keys", html, 1),
        ("has no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n", 1),
        (
            "is out of order",
            b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n",
            1,
        ),
        (
            "has headers without end",
            b"HTTP/1.1 200 OK\r\nx: y\r\nx: y\r\nx: y\r\nx: y\r\n",
            20_000,
        ),
    ];
    // Side by side: each takes as long as the program waits.
    let mut trials = JoinSet::new();
    for (what, bytes, times) in faults {
        trials.spawn(tried(what, bytes.to_vec(), times));
    }
    trials.join_all().await;
    assert_eq!(elsewhere.asked_in_all(), 0, "no redirect is followed");
}

async fn tried(what: &str, bytes: Vec<u8>, times: usize) {
    let setup = Setup::new().await;
    setup.idp.sends("/keys", &bytes, times);
    let begun = Instant::now();
    let answer = setup.bearer(&setup.idp.aged(9, &["dev"])).await;
    assert_eq!(answer.status, 503, "{what}: {}", setup.elastauth.log());
    assert!(
        begun.elapsed() < IN_TIME && answer.header("retry-after").is_some(),
        "{what}: {:?}",
        begun.elapsed()
    );
    let headers = [("remote-user", "bob"), ("remote-groups", "dev")];
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &headers)
            .await
            .status,
        200,
        "{what}: nobody else is kept"
    );
    setup.idp.is_honest();
    let end = Instant::now() + Duration::from_secs(20);
    while setup.bearer(&setup.idp.aged(5, &["dev"])).await.status != 200 {
        assert!(Instant::now() < end, "{what}: {}", setup.elastauth.log());
        pause(Why::Again, Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_description_that_is_somebody_elses_or_leads_nowhere_is_not_believed() {
    for (change, words) in [
        (
            json!({ "issuer": "https://another.example" }),
            "names another issuer",
        ),
        (
            json!({ "jwks_uri": "ldap://192.0.2.1/keys" }),
            "an address in it cannot be used",
        ),
        (
            json!({ "jwks_uri": "file:///etc/passwd" }),
            "an address in it cannot be used",
        ),
        (json!({ "jwks_uri": null }), "names no address for its keys"),
    ] {
        let setup = Setup::new().await;
        let mut about =
            json!({ "issuer": setup.idp.issuer, "jwks_uri": format!("{}/keys", setup.idp.issuer) });
        for (name, value) in change.as_object().unwrap() {
            about[name] = value.clone();
        }
        setup.idp.says("/.well-known/openid-configuration", about);
        assert_eq!(
            setup.bearer(&setup.idp.aged(9, &["dev"])).await.status,
            503,
            "{change}"
        );
        until(words, || setup.elastauth.log().contains(words)).await;
        assert_eq!(setup.idp.asked("/keys"), 0);
    }
}

#[tokio::test]
async fn known_users_go_on_while_the_provider_hangs() {
    let setup = Setup::new().await;
    let (known, fresh) = (setup.idp.aged(9, &["dev"]), setup.idp.aged(8, &["dev"]));
    assert_eq!(
        setup.bearer(&known).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    setup.idp.sends("/keys", b"", 0);
    setup.idp.sends("/.well-known/openid-configuration", b"", 0);
    let asked = setup.idp.asked_in_all();
    for token in [&known, &fresh] {
        assert_eq!(setup.bearer(token).await.status, 200, "its key is known");
    }
    assert_eq!(setup.idp.asked_in_all(), asked);
}

/// Nobody is there (RFC 5737).
const PLAIN: &str = "http://192.0.2.1/plain";

#[tokio::test]
async fn no_token_and_no_secret_follows_a_description_from_tls_to_plain_http() {
    for (validation, endpoint, what) in [
        ("introspection", "introspection_endpoint", "introspection"),
        ("userinfo", "userinfo_endpoint", "userinfo"),
    ] {
        let setup = Setup::with(&format!(
            "  token_validation: {validation}\n  client_secret: a-secret-of-the-test\n"
        ))
        .await;
        // The loopback interface is as good as TLS.
        let mut about = json!({
            "issuer": setup.idp.issuer, "jwks_uri": format!("{}/keys", setup.idp.issuer),
        });
        about[endpoint] = json!(PLAIN);
        setup.idp.says("/.well-known/openid-configuration", about);
        assert_eq!(setup.bearer("opaque").await.status, 503);
        let words = format!("names a plain http address for its {what}");
        setup.log_with(&words).await;
        let checked = setup.elastauth.command(&["check", "--online"]).await;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout);
        assert!(said.contains(&words), "{said}");
    }
}

#[tokio::test]
async fn keys_over_plain_http_are_a_warning_wherever_they_are_named() {
    let setup = Setup::new().await;
    let about = json!({ "issuer": setup.idp.issuer, "jwks_uri": PLAIN });
    setup.idp.says("/.well-known/openid-configuration", about);
    let _nobody_is_there = setup.bearer(&setup.idp.aged(9, &["dev"])).await;
    let words = "names a plain http address for its keys";
    let log = setup.log_with(words).await;
    assert_eq!(log.matches(words).count(), 1, "{log}");
    for (oidc, words) in [
        (
            "oidc:\n  issuer: http://idp.example\n  client_id: elastauth\n",
            "the issuer is plain `http`",
        ),
        (
            "oidc:\n  issuer: https://idp.example\n  client_id: elastauth\n  \
             jwks_uri: http://idp.example/keys\n",
            "`oidc.jwks_uri` is plain `http`",
        ),
    ] {
        let elastauth = Elastauth::start_anywhere(&config(&setup.cluster, oidc), &[]).await;
        let log = elastauth.log();
        assert_eq!(log.matches("plain `http`").count(), 1, "{log}");
        assert!(log.contains(words), "{log}");
    }
}
