//! What a client or a confused gateway may send to the running program: each gets the documented
//! answer (docs/STATUS-CODES.md), and the cluster hears of none of it.

use crate::support::stage::{GATEWAY_KEY, Stage, question};
use http::{HeaderValue, Method, StatusCode, Uri};

#[tokio::test]
async fn an_untrusted_peer_is_nobody_whatever_it_claims() {
    let stage = Stage::usual().await;
    for target in [
        "/",
        "/elastauth",
        "/elastauth/forward-auth",
        "/elastauth/ext-authz/app",
        "/?user=alice",
        "/any/path",
    ] {
        for name in ["remote-user", "Remote-User", "remote_user"] {
            let answer = stage
                .send(
                    &stage.untrusted(),
                    question(target, &[(name, b"alice"), ("remote-groups", b"ops")]),
                )
                .await;
            stage.says(&answer, 401, "not_authenticated");
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
    let nginx = stage
        .send(
            &stage.untrusted(),
            question("/elastauth/auth-request", &[("remote-user", b"alice")]),
        )
        .await;
    assert_eq!(
        (nginx.status, nginx.body.len()),
        (StatusCode::UNAUTHORIZED, 0)
    );
    assert_eq!(stage.calls(), Vec::<String>::new());
    assert!(
        !stage.elastauth.log().contains("alice"),
        "what an untrusted peer claims is not logged"
    );
}

#[tokio::test]
async fn a_gateway_without_its_key_gets_nothing() {
    let stage = Stage::usual().await;
    let wrong = format!("{GATEWAY_KEY}x");
    let keys: [&[&str]; 6] = [
        &[],
        &[""],
        &[wrong.as_str()],
        &[&GATEWAY_KEY[1..]],
        &[GATEWAY_KEY, GATEWAY_KEY],
        &[GATEWAY_KEY, wrong.as_str()],
    ];
    for shown in keys {
        let mut asked = question("/elastauth", &[("remote-user", b"alice")]);
        asked.headers_mut().remove("x-elastauth-key");
        for key in shown {
            asked
                .headers_mut()
                .append("x-elastauth-key", HeaderValue::from_str(key).unwrap());
        }
        let answer = stage.send(stage.gateway(), asked).await;
        stage.says(&answer, 403, "gateway_key");
    }
    assert_eq!(stage.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn each_odd_name_has_its_answer() {
    let stage = Stage::usual().await;
    let long = vec![b'x'; 8 * 1024];
    let barely_too_long = vec![b'x'; 508];
    let refused: &[(&[&[u8]], u16, u16, &str)] = &[
        (&[], 401, 401, "not_authenticated"),
        (&[b""], 401, 401, "not_authenticated"),
        (&[b"  "], 401, 401, "not_authenticated"),
        (&[b"alice", b"mallory"], 400, 403, "malformed_identity"),
        (&[b"alice", b"alice"], 400, 403, "malformed_identity"),
        (&[b"alice", b""], 400, 403, "malformed_identity"),
        (&[b"alice,mallory"], 400, 403, "malformed_identity"),
        (&[b"alice, mallory"], 400, 403, "malformed_identity"),
        (&[b","], 400, 403, "malformed_identity"),
        (&[b"al\xffce"], 400, 403, "malformed_identity"),
        (&[b"zo\xeb"], 400, 403, "malformed_identity"),
        (&["zo\u{eb}".as_bytes()], 403, 403, "user_not_allowed"),
        (&["alice\u{a0}".as_bytes()], 403, 403, "user_not_allowed"),
        (&["al\u{202e}ice".as_bytes()], 403, 403, "user_not_allowed"),
        (&[b"al\tice"], 403, 403, "user_not_allowed"),
        (&[&long], 403, 403, "user_not_allowed"),
        (&[&barely_too_long], 403, 403, "user_not_allowed"),
        (&[b"a:b"], 403, 403, "user_not_allowed"),
        (&[b"."], 403, 403, "user_not_allowed"),
        (&[b".."], 403, 403, "user_not_allowed"),
        (&[b"elastic"], 403, 403, "user_not_allowed"),
        (&[b"kibana_system"], 403, 403, "user_not_allowed"),
        (&[b"elastauth"], 403, 403, "user_not_allowed"),
        (&[b"_bulk"], 403, 403, "user_not_allowed"),
        (&[b"_password"], 403, 403, "user_not_allowed"),
    ];
    for (names, status, nginx, code) in refused {
        let headers: Vec<(&str, &[u8])> = names.iter().map(|name| ("remote-user", *name)).collect();
        for target in [
            "/",
            "/elastauth",
            "/elastauth/forward-auth",
            "/elastauth/ext-authz/elastauth/live",
        ] {
            let answer = stage
                .send(stage.gateway(), question(target, &headers))
                .await;
            stage.says(&answer, *status, code);
        }
        let answer = stage
            .send(
                stage.gateway(),
                question("/elastauth/auth-request", &headers),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (*nginx, 0),
            "{headers:?}"
        );
    }
    let underscore = stage
        .send(
            stage.gateway(),
            question("/elastauth", &[("remote_user", b"alice")]),
        )
        .await;
    stage.says(&underscore, 401, "not_authenticated");
    assert_eq!(stage.calls(), Vec::<String>::new());

    // The real header counts and its underscore form does not, beside it or not.
    let both = stage
        .send(
            stage.gateway(),
            question(
                "/elastauth",
                &[("remote_user", b"mallory"), ("remote-user", b"alice")],
            ),
        )
        .await;
    assert_eq!(both.headers.get("remote-user").unwrap(), "alice");
}

#[tokio::test]
async fn a_name_that_looks_like_a_path_is_a_name() {
    let stage = Stage::usual().await;
    let longest = "x".repeat(507);
    for (name, segment) in [
        ("a/b", "a%2Fb"),
        ("%2e%2e", "%252e%252e"),
        ("../_bulk", "..%2F_bulk"),
        ("alice?refresh=true", "alice%3Frefresh%3Dtrue"),
        ("a#b", "a%23b"),
        ("a b", "a%20b"),
        ("a\\b", "a%5Cb"),
        ("Alice", "Alice"),
        ("...", "..."),
        (longest.as_str(), longest.as_str()),
    ] {
        let answer = stage.ask(name, "dev").await;
        assert!(stage.works(&answer), "{name}: {answer:?}");
        assert_eq!(
            stage.cluster.user(name).unwrap().roles,
            ["editor", "viewer"]
        );
        let written = format!("PUT /_security/user/{segment}?refresh=false 200");
        assert!(stage.calls().contains(&written), "{:?}", stage.calls());
    }
}

#[tokio::test]
async fn groups_are_read_as_bytes_and_never_give_more_than_they_say() {
    let stage = Stage::usual().await;
    let asked = |groups: &[&[u8]]| {
        let mut headers: Vec<(&str, &[u8])> = vec![("remote-user", b"alice")];
        headers.extend(groups.iter().map(|groups| ("remote-groups", *groups)));
        question("/elastauth", &headers)
    };
    let latin = stage.send(stage.gateway(), asked(&[b"\xe9quipe"])).await;
    stage.says(&latin, 400, "malformed_identity");
    let cases: [(&[&[u8]], &[&str]); 5] = [
        (&[], &["viewer"]),
        (&[b""], &["viewer"]),
        (&["dev\u{a0},\u{e9}quipe".as_bytes()], &["viewer"]),
        (&[b" DEV ,, ,x"], &["editor", "viewer"]),
        (&[b"dev", b"ops"], &["editor", "monitoring_user", "viewer"]),
    ];
    for (groups, roles) in cases {
        let answer = stage.send(stage.gateway(), asked(groups)).await;
        assert!(stage.works(&answer), "{answer:?}");
        assert_eq!(stage.cluster.user("alice").unwrap().roles, roles);
    }
    // Sixty kilobytes of groups change neither the login nor the size of the answer.
    let many = (0..3_000)
        .map(|n| format!("a-group-of-many-{n}"))
        .collect::<Vec<_>>()
        .join(",");
    let answer = stage.send(stage.gateway(), asked(&[many.as_bytes()])).await;
    assert!(stage.works(&answer), "{answer:?}");
    let bytes: usize = answer
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    assert!(
        bytes < 4_096 && answer.headers.get("remote-groups").unwrap().is_empty(),
        "{bytes}"
    );
}

#[tokio::test]
async fn headers_in_many_are_taken_and_in_hundreds_refused() {
    let stage = Stage::usual().await;
    let with = |count: usize, length: usize| {
        let mut asked = question(
            "/elastauth",
            &[("remote-user", b"alice"), ("remote-groups", b"dev")],
        );
        for n in 0..count {
            let name = http::HeaderName::from_bytes(format!("x-client-{n}").as_bytes()).unwrap();
            asked
                .headers_mut()
                .append(name, HeaderValue::from_bytes(&vec![b'v'; length]).unwrap());
        }
        asked
    };
    for (count, length) in [(100, 8), (150, 8), (1, 30_000)] {
        let answer = stage.send(stage.gateway(), with(count, length)).await;
        assert!(stage.works(&answer), "{count} headers: {answer:?}");
    }
    for (count, length) in [(161, 8), (600, 8), (1, 70_000), (100, 1_000)] {
        let answer = stage.gateway().send(with(count, length)).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), answer.body.len()),
            (431, 0),
            "{count} headers of {length}"
        );
    }
    let mut far = question("/", &[("remote-user", b"alice")]);
    *far.uri_mut() = format!("/{}", "x".repeat(65_500)).parse::<Uri>().unwrap();
    assert!([414, 431].contains(&stage.gateway().send(far).await.unwrap().status.as_u16()));
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

#[tokio::test]
async fn nothing_is_decided_by_method_path_or_query() {
    let stage = Stage::usual().await;
    let targets = [
        "/",
        "/elastauth",
        "/elastauth/",
        "/elastauth/forward-auth",
        "/elastauth/forward-auth?user=mallory&key=0b6f&remote-user=elastic",
        "/elastauth/auth-request",
        "/elastauth/ext-authz",
        "/elastauth/ext-authz/",
        "/elastauth/ext-authz/elastauth/health",
        "/elastauth/ext-authz/../health",
        "/elastauth/ext-authz/%2e%2e/live",
        "/elastauth/ext-authz/index/_search?q=%00%ff",
        "/elastauth/health/",
        "/elastauth/metrics",
        "/elastauth/config",
        "/metrics",
        "/health",
        "/config",
        "//elastauth/health",
        "/ELASTAUTH/HEALTH",
        "/elastauth/%68ealth",
        "/app/kibana?x=1&x=2",
        "*",
    ];
    let methods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE", "PROPFIND",
        "X",
    ];
    for target in targets {
        for method in methods {
            let mut asked = question("/", &[("remote-user", b"alice"), ("remote-groups", b"dev")]);
            *asked.uri_mut() = target.parse().unwrap();
            *asked.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
            let answer = stage.send(stage.gateway(), asked.clone()).await;
            assert_eq!(
                answer.headers.get("remote-user").unwrap(),
                "alice",
                "{method} {target}"
            );
            asked.headers_mut().remove("remote-user");
            let answer = stage.send(stage.gateway(), asked.clone()).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{method} {target}");
        }
    }
    assert_eq!(stage.calls().len(), 4, "one first login and nothing else");
}

#[tokio::test]
async fn a_client_of_a_gateway_gets_no_page_that_could_pass_for_a_grant() {
    let stage = Stage::usual().await;
    let traces: [(&str, &[u8]); 5] = [
        ("x-envoy-internal", b"true"),
        ("x-forwarded-uri", b"/metrics"),
        ("x-original-uri", b"/config"),
        ("remote-groups", b""),
        ("via", b"1.1 a"),
    ];
    for target in [
        "/metrics",
        "/health",
        "/config",
        "/elastauth/metrics",
        "/elastauth/config",
    ] {
        for trace in traces {
            let answer = stage
                .send(stage.gateway(), question(target, &[trace]))
                .await;
            stage.says(&answer, 401, "not_authenticated");
        }
        // An untrusted peer gets the answer that nobody is signed in, or that there is no such
        // page.
        let answer = stage.send(&stage.untrusted(), question(target, &[])).await;
        assert!(
            [401, 404].contains(&answer.status.as_u16()),
            "{target}: {}",
            answer.text()
        );
    }
}
