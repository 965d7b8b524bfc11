//! Logout from behind on the running program: the identity provider posts, and tokens are worth
//! nothing from then on.

use super::setup::Setup;
use crate::support::{
    find,
    http::{Answer, Server},
    idp::{Idp, now},
};
use bytes::Bytes;
use elastauth::internals::demo::standin::SERVICE_USER;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{net::Ipv4Addr, time::Duration};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const PATH: &str = "/elastauth/oidc/backchannel-logout";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn logout_token(idp: &Idp, id: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut claims = json!({
        "iss": idp.issuer, "aud": "elastauth", "iat": now(), "exp": now() + 120, "jti": id,
        "sid": "s-1",
        "events": { "http://schemas.openid.net/event/backchannel-logout": {} },
    });
    change(&mut claims);
    idp.sign("logout+jwt", &claims)
}

async fn post(server: &Server, headers: &[(&str, &str)], body: String) -> Answer {
    let request = headers.iter().fold(
        Request::builder()
            .method(Method::POST)
            .uri(PATH)
            .header("host", "elastauth"),
        |request, (name, value)| request.header(*name, *value),
    );
    server
        .send(request.body(Full::new(Bytes::from(body))).unwrap())
        .await
        .unwrap()
}

async fn notify(server: &Server, token: &str) -> Answer {
    post(server, &[FORM], format!("logout_token={token}")).await
}

fn of_session(idp: &Idp, session: &str) -> String {
    idp.token(|claims| claims["sid"] = json!(session))
}

#[tokio::test]
async fn a_session_that_the_provider_ends_is_over_at_once() {
    let setup = Setup::new().await;
    let (ours, other) = (of_session(&setup.idp, "s-1"), of_session(&setup.idp, "s-2"));
    assert_eq!(
        setup.bearer(&ours).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    assert_eq!(setup.bearer(&other).await.status, 200);
    // The provider is nobody's gateway: it comes from outside `trusted_proxies`, or through a proxy
    // that says so.
    let token = logout_token(&setup.idp, "j-1", |_| {});
    let noted = post(
        setup.elastauth.server(),
        &[FORM, ("x-forwarded-for", "203.0.113.9")],
        format!("logout_token={token}&x=1"),
    )
    .await;
    assert_eq!(
        (
            noted.status,
            noted.body.len(),
            noted.header("cache-control")
        ),
        (StatusCode::OK, 0, Some("no-store")),
        "{}",
        setup.elastauth.log()
    );
    assert!(noted.header("authorization").is_none() && noted.header("remote-user").is_none());
    assert_eq!(
        setup.bearer(&ours).await.status,
        401,
        "though it is signed and has not expired"
    );
    assert_eq!(
        setup.bearer(&of_session(&setup.idp, "s-1")).await.status,
        401
    );
    assert_eq!(setup.bearer(&other).await.status, 200);
    let again = notify(setup.elastauth.server(), &token).await;
    assert_eq!(
        (again.status, again.json()["error"].as_str()),
        (StatusCode::BAD_REQUEST, Some("invalid_request"))
    );
    assert_eq!(again.header("cache-control"), Some("no-store"));
    let log = setup.log_with("the logout token was used before").await;
    assert!(
        !log.contains(&token[..60]) && log.contains("a session was ended by the identity provider"),
        "{log}"
    );
}

#[tokio::test]
async fn a_session_of_a_subject_that_ends_takes_the_older_tokens_that_name_no_session_along() {
    let setup = Setup::new().await;
    let (ours, other) = (of_session(&setup.idp, "s-1"), of_session(&setup.idp, "s-2"));
    let older = setup.idp.aged(5, &["dev", "a,b"]);
    for token in [&ours, &other, &older] {
        let granted = setup.bearer(token).await;
        assert_eq!(granted.status, 200, "{}", setup.elastauth.log());
    }
    let token = logout_token(&setup.idp, "j-1", |claims| claims["sub"] = json!("u1"));
    let noted = notify(setup.elastauth.server(), &token).await;
    assert_eq!(noted.status, StatusCode::OK);
    for token in [&ours, &older] {
        assert_eq!(setup.bearer(token).await.status, 401);
    }
    assert_eq!(setup.bearer(&other).await.status, 200);
}

#[tokio::test]
async fn a_logout_that_is_none_ends_nothing_and_costs_no_question() {
    let setup = Setup::new().await;
    let ours = of_session(&setup.idp, "s-1");
    assert_eq!(
        setup.bearer(&ours).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    let (server, asked) = (setup.elastauth.server(), setup.idp.asked("/keys"));
    let elsewhere = logout_token(&setup.idp, "j-1", |claims| {
        claims["iss"] = json!("https://elsewhere.example");
    });
    let other = Idp::start().await;
    let forged = logout_token(&other, "j-2", |claims| {
        claims["iss"] = json!(setup.idp.issuer);
    });
    let good = logout_token(&setup.idp, "j-3", |_| {});
    let form = |token: &str| format!("logout_token={token}");
    for (headers, body) in [
        (&[FORM][..], form(&elsewhere)),
        (&[FORM], form(&forged)),
        (&[FORM], form(&ours)),
        (&[FORM], form("")),
        (&[FORM], String::new()),
        (&[FORM], form("a.b.c")),
        (&[FORM], format!("{}&{}", form(&good), form(&good))),
        (&[FORM], form(&"A".repeat(1_000_000))),
        (
            &[("content-type", "application/json")],
            json!({ "logout_token": good }).to_string(),
        ),
        (&[], form(&good)),
    ] {
        let refused = post(server, headers, body).await;
        assert_eq!(
            (refused.status, refused.json()["error"].as_str()),
            (StatusCode::BAD_REQUEST, Some("invalid_request"))
        );
        assert!(refused.header("authorization").is_none());
    }
    assert_eq!((setup.idp.asked("/keys"), other.asked("/keys")), (asked, 0));
    assert_eq!(setup.bearer(&ours).await.status, 200);
    assert_eq!(
        notify(server, &good).await.status,
        200,
        "and a good one is as good as before"
    );
}

#[tokio::test]
async fn what_cannot_be_checked_is_503_and_a_body_that_does_not_come_keeps_nobody() {
    let mut setup = Setup::new().await;
    let token = logout_token(&setup.idp, "j-1", |_| {});
    setup.idp.leave().await;
    let away = notify(setup.elastauth.server(), &token).await;
    assert_eq!(
        (away.status, away.json()["error"].as_str()),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Some("temporarily_unavailable")
        )
    );
    assert!(
        away.header("retry-after").is_some() && away.header("cache-control") == Some("no-store")
    );
    let mut slow = setup.elastauth.server().connect().await.unwrap();
    let begun = format!(
        "POST {PATH} HTTP/1.1\r\nhost: a\r\ncontent-type: {}\r\ncontent-length: 500\r\n\r\n\
         logout_token=",
        FORM.1
    );
    slow.write_all(begun.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    slow.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 503");
}

#[tokio::test]
async fn the_path_decides_nothing_and_no_question_ends_a_session() {
    let setup = Setup::new().await;
    let (server, alice) = (
        setup.elastauth.server(),
        [("remote-user", "alice"), ("remote-groups", "dev")],
    );
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::OPTIONS] {
        let answer = server.ask(method, PATH, &alice, None).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (StatusCode::METHOD_NOT_ALLOWED, Some("POST"))
        );
        assert!(answer.header("authorization").is_none());
    }
    let posted = post(server, &[alice[0], alice[1]], String::new()).await;
    assert_eq!(
        posted.status, 400,
        "a gateway that asks here gets a refusal"
    );
    assert!(posted.header("authorization").is_none());
    assert_eq!(setup.cluster.calls().len(), 0);
    // Any other spelling is a question, whatever it brings.
    let token = logout_token(&setup.idp, "j-1", |_| {});
    let ours = of_session(&setup.idp, "s-1");
    for path in [
        "/elastauth/oidc/backchannel-logout/",
        "/elastauth//oidc/backchannel-logout",
        "/elastauth/OIDC/backchannel-logout",
        "/elastauth",
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("host", "a")
            .header(FORM.0, FORM.1);
        let answer = server
            .send(
                request
                    .body(Full::new(Bytes::from(format!("logout_token={token}"))))
                    .unwrap(),
            )
            .await
            .unwrap();
        assert_eq!(answer.status, 401, "{path}");
    }
    assert_eq!(setup.bearer(&ours).await.status, 200);
    // Nor is it anything where no tokens are taken.
    let headers_only = format!(
        "listen: 127.0.0.1:0\n\
         secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
         default_roles: [viewer]\n\
         elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n",
        setup.cluster.url(),
        setup.cluster.service_password()
    );
    let without = crate::support::elastauth::Elastauth::start_anywhere(&headers_only, &[]).await;
    assert_eq!(
        notify(without.server(), &token).await.status,
        401,
        "a question like any other"
    );
}

#[tokio::test]
async fn a_flood_of_untrusted_peers_takes_nothing_from_the_provider() {
    let setup = Setup::with("trusted_proxies: [127.0.0.1]\n").await;
    let ours = of_session(&setup.idp, "s-1");
    assert_eq!(
        setup.bearer(&ours).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    let untrusted = setup.elastauth.server().from(Ipv4Addr::new(127, 0, 0, 2));
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let untrusted = untrusted.clone();
        floods.spawn(async move {
            for _ in 0..100 {
                let refused = notify(&untrusted, "a.b.c").await;
                assert!([400, 503].contains(&refused.status.as_u16()));
            }
        });
    }
    assert_eq!(
        notify(
            setup.elastauth.server(),
            &logout_token(&setup.idp, "j-1", |_| {})
        )
        .await
        .status,
        200
    );
    floods.join_all().await;
    assert_eq!(setup.bearer(&ours).await.status, 401);
    let lines = setup
        .elastauth
        .log()
        .matches("a logout by an identity provider was refused")
        .count();
    assert!((1..200).contains(&lines), "ten lines a second: {lines}");
}

#[tokio::test]
async fn a_flood_in_the_name_of_an_issuer_takes_nothing_from_the_issuer() {
    let setup = Setup::with("trusted_proxies: [127.0.0.1]\n").await;
    let from = |last| {
        setup
            .elastauth
            .server()
            .from(Ipv4Addr::new(127, 0, 0, last))
    };
    // The issuer is in no trusted network, and its address is known by its first notice.
    let (flood, issuer) = (from(2), from(3));
    let first = notify(&issuer, &logout_token(&setup.idp, "j-0", |_| {})).await;
    assert_eq!(first.status, 200, "{}", setup.elastauth.log());
    let other = Idp::start().await;
    let forged = logout_token(&other, "j-x", |claims| {
        claims["iss"] = json!(setup.idp.issuer);
    });
    let mut floods = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let (flood, forged) = (flood.clone(), forged.clone());
        floods.spawn(async move {
            loop {
                notify(&flood, &forged).await;
            }
        });
    }
    for n in 1..=5 {
        find(
            "a flood that is refused",
            Duration::from_secs(20),
            async || (notify(&flood, &forged).await.status == 503).then_some(()),
        )
        .await;
        let token = logout_token(&setup.idp, &format!("j-{n}"), |_| {});
        let noted = notify(&issuer, &token).await;
        assert_eq!(noted.status, 200, "{n}: {}", noted.text());
    }
    floods.abort_all();
}

#[tokio::test]
async fn an_untrusted_peer_may_bring_a_logout_and_gets_no_login_for_a_token() {
    let setup =
        Setup::with("trusted_proxies: [127.0.0.1]\ngateway_keys: [a-key-of-the-gateway]\n").await;
    let (ours, untrusted) = (
        of_session(&setup.idp, "s-1"),
        setup.elastauth.server().from(Ipv4Addr::new(127, 0, 0, 2)),
    );
    let bearer = format!("Bearer {ours}");
    for headers in [
        &[("authorization", bearer.as_str())][..],
        &[
            ("authorization", &bearer),
            ("x-elastauth-key", "a-key-of-the-gateway"),
        ],
    ] {
        let refused = untrusted.get("/elastauth", headers).await;
        assert_eq!(
            (refused.status, refused.header("www-authenticate")),
            (StatusCode::UNAUTHORIZED, Some("Bearer realm=\"elastauth\""))
        );
        assert!(
            refused.header("authorization").is_none(),
            "a good token is no reason to answer whoever is not believed"
        );
    }
    let believed = [
        ("authorization", bearer.as_str()),
        ("x-elastauth-key", "a-key-of-the-gateway"),
    ];
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &believed)
            .await
            .status,
        200,
        "{}",
        setup.elastauth.log()
    );
    assert_eq!(
        notify(&untrusted, &logout_token(&setup.idp, "j-1", |_| {}))
            .await
            .status,
        200,
        "no key: the signature says who it is"
    );
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &believed)
            .await
            .status,
        401
    );
}
