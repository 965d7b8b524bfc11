//! Browsers that are sent to sign in (`login_url`), and everybody who is not.

use super::tokens::setup::Setup;
use crate::support::{
    elastauth::Elastauth,
    http::Answer,
    idp::Idp,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    until,
};
use serde_json::json;

const LOGIN_URL: &str = "login_url: https://auth.example.org/?rd={url}";
/// What the gateway says about a browser that opens a page of Kibana.
const NAVIGATION: [(&str, &str); 5] = [
    ("x-forwarded-method", "GET"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "kibana.example.org"),
    ("x-forwarded-uri", "/app/discover?q=a%2Fb"),
    ("sec-fetch-mode", "navigate"),
];
const THERE: &str = "https://auth.example.org/?rd=\
                     https%3A%2F%2Fkibana.example.org%2Fapp%2Fdiscover%3Fq%3Da%252Fb";

type Headers<'a> = Vec<(&'a str, &'a str)>;

/// The navigation with some headers changed, added, or taken out (`None`).
fn navigation<'a>(changes: &[(&'a str, Option<&'a str>)]) -> Headers<'a> {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = NAVIGATION.into_iter().filter(|(name, _)| !is_changed(name));
    let new = changes
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)));
    kept.chain(new).collect()
}

async fn ask(stage: &Stage, target: &str, headers: &Headers<'_>) -> Answer {
    let bytes: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_bytes()))
        .collect();
    stage.send(stage.gateway(), question(target, &bytes)).await
}

fn assert_is_sent(answer: &Answer, there: &str, asked: &str) {
    let seen = |name| answer.header(name);
    assert_eq!(
        (answer.status.as_u16(), seen("location")),
        (302, Some(there)),
        "{asked}"
    );
    assert_eq!(seen("cache-control"), Some("no-store"), "{asked}");
    assert_eq!(
        seen("vary"),
        Some("accept, sec-fetch-mode, x-requested-with"),
        "{asked}"
    );
    for name in [
        "www-authenticate",
        "authorization",
        "set-cookie",
        "content-type",
    ] {
        assert_eq!(seen(name), None, "{asked}: {name}");
    }
    assert!(
        answer.body.is_empty() && seen("x-request-id").is_some(),
        "{asked}"
    );
}

fn assert_is_refused(answer: &Answer, status: u16, asked: &str) {
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (status, None),
        "{asked}"
    );
}

async fn staged(more: &str) -> Stage {
    Stage::planned(Plan {
        more,
        ..Plan::default()
    })
    .await
}

#[tokio::test]
async fn a_navigation_without_identity_is_sent_to_sign_in_and_nothing_else_is() {
    let stage = staged(LOGIN_URL).await;
    for target in ["/", "/elastauth", "/elastauth/forward-auth?x=y"] {
        assert_is_sent(&ask(&stage, target, &navigation(&[])).await, THERE, target);
    }
    let page = ("accept", Some("text/html,application/xhtml+xml,*/*;q=0.8"));
    let no_mode = ("sec-fetch-mode", None);
    for changes in [
        &[("x-forwarded-method", Some("HEAD"))][..],
        &[no_mode, page],
        // What gateways send for nobody.
        &[("remote-user", Some(""))],
        &[("remote-user", Some("(null)"))],
        &[("authorization", Some("Basic eDp5"))],
    ] {
        let answer = ask(&stage, "/elastauth", &navigation(changes)).await;
        assert_is_sent(&answer, THERE, &format!("{changes:?}"));
    }
    for changes in [
        &[("x-forwarded-method", Some("POST"))][..],
        &[("x-forwarded-method", Some("OPTIONS"))],
        &[("x-forwarded-method", None)],
        &[("x-forwarded-method", Some("GET, POST"))],
        // Scripts, programs, WebSockets.
        &[("sec-fetch-mode", Some("cors")), page],
        &[("sec-fetch-mode", Some("websocket")), page],
        &[no_mode],
        &[no_mode, ("accept", Some("*/*"))],
        &[no_mode, ("accept", Some("application/json"))],
        &[no_mode, page, ("x-requested-with", Some("XMLHttpRequest"))],
        // A URL that the gateway does not say clearly.
        &[("x-forwarded-proto", None)],
        &[("x-forwarded-proto", Some("wss"))],
        &[("x-forwarded-proto", Some("javascript"))],
        &[("x-forwarded-host", None)],
        &[("x-forwarded-host", Some(""))],
        &[("x-forwarded-host", Some("kibana.example.org, evil.example"))],
        &[("x-forwarded-host", Some("kibana.example.org@evil.example"))],
        &[("x-forwarded-host", Some("evil.example/"))],
        &[("x-forwarded-host", Some("kibana.example.org:0"))],
        &[
            ("x-forwarded-host", Some("kibana.example.org")),
            ("x-forwarded-host", Some("evil.example")),
        ],
        &[("x-forwarded-uri", None)],
        &[("x-forwarded-uri", Some("https://evil.example/"))],
        &[("x-forwarded-uri", Some("@evil.example/"))],
        // The sign-in page itself is behind the check.
        &[
            ("x-forwarded-host", Some("auth.example.org")),
            ("x-forwarded-uri", Some("/?rd=x")),
        ],
    ] {
        let answer = ask(&stage, "/elastauth", &navigation(changes)).await;
        assert_is_refused(&answer, 401, &format!("{changes:?}"));
        assert_eq!(
            answer.header("www-authenticate"),
            Some("SSO realm=\"elastauth\"")
        );
    }
    // A path is a path, whatever it looks like.
    for (uri, path) in [
        ("//evil.example/x", "%2F%2Fevil.example%2Fx"),
        ("/\\evil.example", "%2F%255Cevil.example"),
        (
            "/a&rd=https://evil.example#x",
            "%2Fa%26rd%3Dhttps%3A%2F%2Fevil.example%2523x",
        ),
    ] {
        let answer = ask(
            &stage,
            "/elastauth",
            &navigation(&[("x-forwarded-uri", Some(uri))]),
        )
        .await;
        let there = format!("https://auth.example.org/?rd=https%3A%2F%2Fkibana.example.org{path}");
        assert_is_sent(&answer, &there, uri);
    }
    let log = stage.elastauth.log();
    assert!(
        log.contains("status=302") && log.contains("nobody_asks"),
        "{log}"
    );
}

#[tokio::test]
async fn who_is_refused_for_another_reason_is_sent_nowhere() {
    let stage = staged(LOGIN_URL).await;
    for (changes, status) in [
        (&[("remote-user", Some("_elastauth"))][..], 403),
        (&[("remote-user", Some("a:b"))], 403),
        (&[("remote-user", Some("alice, bob"))], 400),
        (
            &[("remote-user", Some("alice")), ("remote-user", Some("bob"))],
            400,
        ),
    ] {
        let answer = ask(&stage, "/elastauth", &navigation(changes)).await;
        assert_is_refused(&answer, status, &format!("{changes:?}"));
    }
    // A user gets their login.
    let known = ask(
        &stage,
        "/elastauth",
        &navigation(&[("remote-user", Some("alice"))]),
    )
    .await;
    assert!(stage.works(&known));
    // An untrusted peer, and one without the key.
    let server = stage.untrusted();
    let key = ("x-elastauth-key", GATEWAY_KEY);
    let headers = navigation(&[]);
    let untrusted = server
        .get("/elastauth", &[&headers[..], &[key]].concat())
        .await;
    assert_is_refused(&untrusted, 401, "an untrusted peer");
    assert_is_refused(
        &stage.gateway().get("/elastauth", &headers).await,
        403,
        "no key",
    );
}

#[tokio::test]
async fn envoys_client_is_sent_too_and_nginx_gets_its_401() {
    let stage = staged(LOGIN_URL).await;
    let headers = [
        ("x-forwarded-proto", "https"),
        ("sec-fetch-mode", "navigate"),
        ("x-elastauth-key", GATEWAY_KEY),
    ];
    let envoy = stage.gateway().clone().host("kibana.example.org");
    let asked = |method: &'static str, more: Headers<'static>| {
        let (envoy, headers) = (envoy.clone(), [&headers[..], &more].concat());
        async move {
            let path = "/elastauth/ext-authz/app/discover?q=a%2Fb";
            let answer = envoy
                .ask(method.parse().unwrap(), path, &headers, None)
                .await;
            stage_free(answer)
        }
    };
    assert_is_sent(&asked("GET", vec![]).await, THERE, "Envoy");
    assert_is_refused(&asked("POST", vec![]).await, 401, "another method");
    let other = ("x-forwarded-host", "evil.example");
    assert_is_refused(
        &asked("GET", vec![other]).await,
        401,
        "a host that contradicts",
    );
    let same = ("x-forwarded-host", "kibana.example.org");
    assert_is_sent(
        &asked("GET", vec![same]).await,
        THERE,
        "the same host twice",
    );
    let nginx = ask(&stage, "/elastauth/auth-request", &navigation(&[])).await;
    assert_is_refused(&nginx, 401, "nginx");
}

/// An answer that is judged by the test alone.
fn stage_free(answer: Answer) -> Answer {
    assert!(answer.header("authorization").is_none());
    answer
}

#[tokio::test]
async fn a_session_that_has_ended_is_a_reason_to_sign_in_and_a_forged_token_is_none() {
    let setup = Setup::with(&format!("{LOGIN_URL}\n")).await;
    let (now, other) = (jiff::Timestamp::now().as_second(), Idp::start().await);
    let of_another = other.token(|claims| claims["iss"] = json!(setup.idp.issuer));
    for (what, token, is_sent) in [
        (
            "expired",
            setup.idp.token(|claims| claims["exp"] = json!(now - 600)),
            true,
        ),
        ("of another key", of_another, false),
        (
            "expired, of another key",
            other.token(|claims| {
                claims["iss"] = json!(setup.idp.issuer);
                claims["exp"] = json!(now - 600);
            }),
            false,
        ),
        (
            "for another audience",
            setup.idp.token(|claims| claims["aud"] = json!("x")),
            false,
        ),
        ("not a token", "x".to_owned(), false),
    ] {
        for (name, value) in [
            ("cookie", format!("access_token={token}")),
            ("authorization", format!("Bearer {token}")),
        ] {
            let headers = navigation(&[(name, Some(&value))]);
            let answer = setup.elastauth.server().get("/elastauth", &headers).await;
            let what = format!("{what} in {name}: {}", setup.elastauth.log());
            if is_sent {
                assert_is_sent(&answer, THERE, &what);
            } else {
                assert_is_refused(&answer, 401, &what);
            }
        }
    }
    // A program with an expired token is told so.
    let expired = setup.idp.token(|claims| claims["exp"] = json!(now - 600));
    let answer = setup.bearer(&expired).await;
    assert_is_refused(&answer, 401, "a program");
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("invalid_token"), "{challenge}");
}

#[tokio::test]
async fn without_the_key_nobody_is_sent_and_a_reload_changes_it() {
    let stage = Stage::usual().await;
    let asked = async || ask(&stage, "/elastauth", &navigation(&[])).await;
    assert_is_refused(&asked().await, 401, "no login_url");
    stage
        .elastauth
        .edit(|config| format!("{config}\n{LOGIN_URL}\n"));
    let applied = "keys=\"login_url\"";
    until(applied, || stage.elastauth.log().contains(applied)).await;
    assert_is_sent(&asked().await, THERE, "after the reload");
    let shown = stage
        .gateway()
        .get("/elastauth/config", &[("x-elastauth-key", GATEWAY_KEY)])
        .await;
    assert_eq!(
        shown.json()["login_url"],
        json!("https://auth.example.org/?***")
    );
    stage
        .elastauth
        .edit(|config| config.replace("rd={url}", "rd={url}&again={url}"));
    let refused = "`login_url`: `{url}` may occur only once";
    until(refused, || stage.elastauth.log().contains(refused)).await;
    assert_is_sent(&asked().await, THERE, "the old one stays in force");
}

#[tokio::test]
async fn a_faulty_login_url_is_a_fault_at_the_start() {
    for (value, why) in [
        ("/login", "it must be an absolute URL"),
        (
            "ftp://auth.example.org/?rd={url}",
            "it must be an absolute URL",
        ),
        (
            "\"https://{url}.example.org/\"",
            "must be in the path or in the query",
        ),
        (
            "\"https://auth.example.org/#{url}\"",
            "must be in the path or in the query",
        ),
        ("https://u:p@auth.example.org/", "must not have a user name"),
    ] {
        let home = Elastauth::folder(
            &format!(
                "login_url: {value}\nelasticsearch: {{hosts: [\"http://127.0.0.1:1\"], username: \
                 a, password: b}}\n"
            ),
            &[],
        );
        let mut program = crate::support::process::command(env!("CARGO_BIN_EXE_elastauth"));
        let config = home.path().join("config.yml");
        let checked = program
            .arg("check")
            .arg("--config")
            .arg(config)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(
            !checked.status.success() && said.contains(why),
            "{value}: {said}"
        );
        assert!(said.contains("`login_url`"), "{said}");
    }
}
