//! A page of another site cannot use the token that a browser has in a cookie.

use super::{clients::Setup, setup::read_answer};
use crate::support::until;
use std::net::Ipv4Addr;
use tokio::io::AsyncWriteExt as _;

const WEBSOCKET: &str = "connection: upgrade\r\nupgrade: websocket\r\n";

async fn ask(setup: &Setup, method: &str, more: &str) -> String {
    let server = setup.elastauth.server().from(Ipv4Addr::new(127, 0, 0, 2));
    let mut stream = server.connect().await.unwrap();
    let text = format!("{method} /a/_doc HTTP/1.1\r\nhost: es.example:9200\r\n{more}\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
    read_answer(&mut stream).await
}

#[tokio::test]
async fn a_cookie_changes_nothing_for_a_page_of_another_origin() {
    let setup = Setup::new("oidc, authelia").await;
    let token = setup.idp.token(|_| {});
    let cookie = format!("cookie: theme=dark; access_token={token}\r\n");
    let cross = "sec-fetch-site: cross-site\r\n";
    let evil = "origin: https://evil.example\r\n";
    let mut passed = 0;
    for (method, more) in [
        ("POST", cross),
        ("PUT", cross),
        ("DELETE", "sec-fetch-site: same-site\r\n"),
        ("PURGE", cross),
        ("GET", &[WEBSOCKET, cross].concat()),
        ("POST", evil),
        ("POST", "origin: null\r\n"),
        ("POST", "origin: https://es.example\r\n"),
        ("GET", &[WEBSOCKET, evil].concat()),
    ] {
        let answer = ask(&setup, method, &[&cookie, more].concat()).await;
        assert!(
            answer.starts_with("HTTP/1.1 403 "),
            "{method} {more}: {answer}"
        );
        assert!(answer.contains("\"code\":\"cross_origin\""), "{answer}");
        assert_eq!(setup.upstream.heads().len(), 0, "{method} {more}");
    }
    until("the log", || {
        let log = setup.elastauth.log();
        log.contains("outcome=cross_origin") && log.contains("user=\"alice\"")
    })
    .await;
    for (method, more) in [
        ("POST", ""),
        ("POST", "sec-fetch-site: same-origin\r\n"),
        ("POST", "sec-fetch-site: none\r\n"),
        ("POST", "origin: https://es.example:9200\r\n"),
        // It reads, and its page does not get the answer.
        ("GET", cross),
        ("GET", evil),
    ] {
        let answer = ask(&setup, method, &[&cookie, more].concat()).await;
        assert!(answer.ends_with("ok"), "{method} {more}: {answer}");
        passed += 1;
    }
    assert_eq!(setup.upstream.heads().len(), passed);
}

#[tokio::test]
async fn a_token_in_a_header_was_sent_on_purpose() {
    let setup = Setup::new("oidc").await;
    let token = setup.idp.token(|_| {});
    let bearer = format!("authorization: Bearer {token}\r\n");
    let other = "sec-fetch-site: cross-site\r\norigin: https://app.example\r\n";
    let cookie = format!("cookie: access_token={token}\r\n");
    for more in [
        [&bearer, other].concat(),
        [&bearer, &cookie, other].concat(),
    ] {
        let answer = ask(&setup, "POST", &more).await;
        assert!(answer.ends_with("ok"), "{answer}");
    }
    // Nobody is told more than without the cookie.
    let answer = ask(&setup, "POST", other).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}
