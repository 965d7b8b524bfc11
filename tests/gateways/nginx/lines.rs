//! What only nginx has: the server that makes both checks, its own lines for the sign-in page, and
//! the lines that the guide has beside its files.

use super::{NGINX, NGINX_1_22, debian, start};
use crate::{
    draft::Draft,
    gateway::{ELASTICSEARCH, Form, GATEWAY_KEY, KIBANA, PORTAL, Program, WIKI},
    over_tls::{holds, lines},
    stage::Stage,
    support::{http::Server, part},
};
use std::path::PathBuf;

/// The second check listens on this machine. Whoever is not nginx gets no login there, though they
/// may have a session.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_server_of_both_checks_gives_a_login_to_nginx_only() {
    for program in [&NGINX_1_22, &NGINX] {
        let stage = Stage::new(program, Form::Authelia).await;
        let file = stage.gateway.home.path().join("elastauth/two-checks.conf");
        let file = std::fs::read_to_string(file).unwrap();
        let (_, port) = file.split_once("listen 127.0.0.1:").unwrap();
        let port = port.split(';').next().unwrap().parse().unwrap();
        let cookie = stage.authelia.sign_in("alice", "search-readers");
        let asked = [
            ("cookie", cookie.as_str()),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", ELASTICSEARCH),
            ("x-forwarded-uri", "/_search"),
            ("x-forwarded-method", "GET"),
        ];
        for (key, status) in [(None, 403), (Some("guess"), 403), (Some(GATEWAY_KEY), 200)] {
            let key = key.map(|key| ("x-elastauth-key", key));
            let headers: Vec<_> = asked.into_iter().chain(key).collect();
            let answer = Server::plain(port)
                .get("/elastauth/auth-request", &headers)
                .await;
            let has_login = answer.header("authorization").is_some();
            assert_eq!(
                (answer.status.as_u16(), has_login),
                (status, status == 200),
                "{}, {key:?}",
                program.name
            );
        }
    }
}

/// `auth_request` cannot redirect: the guide's own lines do, and only for a browser's page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_is_sent_to_the_sign_in_page_and_a_script_is_not() {
    for program in [&NGINX_1_22, &NGINX] {
        for form in [Form::Authelia, Form::Applications] {
            let stage = Stage::new(program, form).await;
            let hosts: &[&str] = match form {
                Form::Applications => &[KIBANA, ELASTICSEARCH, WIKI],
                Form::Authelia | Form::Tokens => &[KIBANA, ELASTICSEARCH],
            };
            for host in hosts {
                let page = "Accept: text/html,application/xhtml+xml";
                for (lines, status) in [
                    (&[page][..], 302),
                    (&[page, "Sec-Fetch-Mode: navigate"], 302),
                    (&[page, "Sec-Fetch-Mode: cors"], 401),
                    (&[page, "X-Requested-With: XMLHttpRequest"], 401),
                    (&["Accept: application/json"], 401),
                    (&[], 401),
                ] {
                    let mut draft = Draft::get(host, "/app/home?a=b");
                    for line in lines {
                        draft.line(line);
                    }
                    let answer = stage.gateway.client.send(&draft).await.answer();
                    let seen = (answer.status(), answer.header("location"));
                    let to = format!("https://auth.example.org/?rd=https://{host}/app/home?a=b");
                    let is_right = match seen {
                        (302, Some(location)) => location.starts_with(&to),
                        (_, location) => location.is_none(),
                    };
                    assert!(
                        is_right && answer.status() == status,
                        "{}, {form:?}, {host}, {lines:?}: {seen:?}",
                        program.name
                    );
                }
            }
            let draft = Draft::get(PORTAL, "/");
            let portal = stage.gateway.client.send(&draft).await.answer();
            assert_eq!(portal.header("x-answered-by"), Some("authelia"));
        }
    }
}

async fn elastauth_is_asked_over_tls(program: &'static Program, path: PathBuf) {
    let stage = Stage::new(program, Form::Authelia).await;
    let code = lines("nginx.md", "## TLS to elastauth").join("\n");
    holds(&stage, async |parties, ca| {
        let changes = [
            (
                "elastauth/two-checks.conf",
                "proxy_pass http://elastauth;",
                code.as_str(),
            ),
            ("ca.pem", "", &ca),
        ];
        start(path.clone(), Form::Authelia, parties, &changes)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_in_1_22() {
    elastauth_is_asked_over_tls(&NGINX_1_22, debian()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_in_1_31() {
    elastauth_is_asked_over_tls(&NGINX, part("nginx")).await;
}

/// The line of the guide for a sign-in page where clients have tokens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tokens_a_browser_is_sent_to_a_sign_in_page_of_ones_own() {
    let stage = Stage::new(&NGINX, Form::Tokens).await;
    let line = "\"\" https://auth.example.org/?rd=https://$host$request_uri;";
    let (file, commented) = ("elastauth/http.conf", format!("# {line}"));
    let changes = [(file, commented.as_str(), line)];
    for path in [debian(), part("nginx")] {
        let gateway = start(path, Form::Tokens, stage.parties(), &changes);
        let gateway = gateway.await.unwrap_or_else(|why| panic!("{why}"));
        let page = "Accept: text/html";
        for (lines, status) in [
            (&[page][..], 302),
            (&[page, "Sec-Fetch-Mode: navigate"], 302),
            (&[page, "Sec-Fetch-Mode: cors"], 401),
            (&[page, "Authorization: Bearer e30.e30.e30"], 401),
            (&[], 401),
        ] {
            let mut draft = Draft::get(ELASTICSEARCH, "/app?a=b");
            for line in lines {
                draft.line(line);
            }
            let answer = gateway.client.send(&draft).await.answer();
            let to = "https://auth.example.org/?rd=https://elasticsearch.example.org/app?a=b";
            let to = (status == 302).then_some(to);
            let seen = (answer.status(), answer.header("location"));
            assert_eq!(seen, (status, to), "{lines:?}");
        }
    }
}
