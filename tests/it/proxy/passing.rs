//! What reaches the cluster, and what comes back.

use super::setup::{
    OK, Setup, header, headers, read_answer, read_chunked, read_head, read_to_end, request,
};
use crate::support::multiplexed::Multiplexed;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

#[tokio::test]
async fn a_request_reaches_the_cluster_with_the_users_login() {
    let setup = Setup::answering(OK).await;
    let answer = setup
        .ask(&request("GET /a%2Fb//c;d?e=%2e", "alice", ""))
        .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let head = setup.upstream.head();
    assert!(
        head.starts_with("GET /a%2Fb//c;d?e=%2e HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(setup.is_login(header(&head, "authorization").unwrap()));
    assert_eq!(header(&head, "host"), Some("es.example:9200"));
    for gone in ["x-elastauth-key", "remote-user", "remote-groups"] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
}

#[tokio::test]
async fn method_path_and_query_arrive_byte_for_byte() {
    let setup = Setup::answering(OK).await;
    let long = format!("/{}?{}", "p".repeat(8_000), "q".repeat(8_000));
    let targets = [
        "/",
        "/?",
        "/a?",
        "/%2F",
        "/%2f",
        "/%2e%2e/x",
        "/../x",
        "/./x",
        "//",
        "//a//b",
        "/a;b=c",
        "/a%00b",
        "/%zz",
        "/a?b=c&b=d?e",
        "/<logs-{now%2Fd}>?x",
        "/\u{fc}ml\u{e4}ut",
        "/a|b^c`d",
        "/_search?q=\"a\"",
        "/*,-x/_search",
        "/a:b@c",
        &long,
    ];
    let mut sent = 0;
    for target in targets {
        for method in ["GET", "POST", "HEAD", "REPORT"] {
            let answer = setup
                .ask_head(&request(&format!("{method} {target}"), "alice", ""))
                .await;
            if answer.starts_with("HTTP/1.1 400 ") {
                // RFC 3986 has no such characters; whoever sends them is told, and nothing arrives.
                assert!(target.contains(['<', '>', '"', '`']), "{target}");
                continue;
            }
            sent += 1;
            let heads = setup.upstream.heads();
            assert_eq!(heads.len(), sent, "{method} {target}");
            let line = format!("{method} {target} HTTP/1.1\r\n");
            assert!(
                heads[sent - 1].starts_with(&line),
                "{method} {target}: {}",
                heads[sent - 1]
            );
        }
    }
}

#[tokio::test]
async fn bodies_and_trailers_pass_both_ways() {
    let setup = Setup::with("", |mut connection| async move {
        let head = connection.head().await.unwrap();
        assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
        assert_eq!(header(&head, "content-length"), None);
        let (body, trailers) = read_chunked(&mut connection.stream).await;
        assert_eq!((&*body, &*trailers), (&b"one two"[..], "x-sum: 7\r\n"));
        connection
            .say(
                b"HTTP/1.1 201 Made\r\ntransfer-encoding: chunked\r\ntrailer: x-took\r\n\r\n\
                  3\r\nabc\r\n0\r\nx-took: 9\r\n\r\n",
            )
            .await;
        connection.head().await;
    })
    .await;
    let mut stream = setup.connect().await;
    let more = "transfer-encoding: chunked\r\ntrailer: x-sum, es-security-runas-user, x_forwarded-for\r\n\
                trailer: authorization,remote-user, cookie\r\nte: trailers\r\n";
    let text = request("GET /a/_search", "alice", more)
        + "4\r\none \r\n3;ext=1\r\ntwo\r\n0\r\nes-security-runas-user: bob\r\nAuthorization: Basic eA==\r\n\
           x-sum: 7\r\nX_Forwarded-For: 1.2.3.4\r\nremote-user: bob\r\ncookie: a=b\r\n\r\n";
    stream.write_all(text.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 201 Made\r\n"), "{head}");
    let (body, trailers) = read_chunked(&mut stream).await;
    assert_eq!((&*body, &*trailers), (&b"abc"[..], "x-took: 9\r\n"));
}

#[tokio::test]
async fn answers_without_a_body_are_framed_right() {
    for (method, answer, lines) in [
        (
            "HEAD",
            "200 OK\r\ncontent-length: 70000",
            "content-length: 70000\r\n",
        ),
        (
            "HEAD",
            "404 Not Found\r\ncontent-length: 9",
            "content-length: 9\r\n",
        ),
        ("HEAD", "200 OK\r\ntransfer-encoding: chunked", ""),
        ("GET", "204 No Content", ""),
        ("GET", "304 Not Modified\r\netag: \"1\"", "etag: \"1\"\r\n"),
        (
            "DELETE",
            "200 OK\r\ncontent-length: 0",
            "content-length: 0\r\n",
        ),
    ] {
        let setup = Setup::with("", move |mut connection| async move {
            while connection.head().await.is_some() {
                let early = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
                let answer = format!("{early}HTTP/1.1 {answer}\r\n\r\n");
                connection.say(answer.as_bytes()).await;
            }
        })
        .await;
        let mut stream = setup.connect().await;
        // The second answer is where the client looks for it.
        for _ in 0..2 {
            let text = request(&format!("{method} /"), "alice", "");
            stream.write_all(text.as_bytes()).await.unwrap();
            let head = read_head(&mut stream).await.unwrap();
            let status = answer.split("\r\n").next().unwrap();
            assert!(
                head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
                "{answer}: {head}"
            );
            assert!(head.contains(lines), "{answer}: {head}");
            if lines.is_empty() {
                assert!(!head.contains("content-length"), "{answer}: {head}");
            }
        }
    }
}

#[tokio::test]
async fn the_clusters_headers_come_back_but_for_those_of_its_connection() {
    let answer = "HTTP/1.1 200 OK\r\nx-elastic-product: Elasticsearch\r\nwarning: 299 a\r\n\
                  warning: 299 b\r\nset-cookie: a=1\r\nset-cookie: b=2\r\ncontent-encoding: gzip\r\n\
                  keep-alive: timeout=5\r\nconnection: keep-alive, x-own\r\nx-own: 1\r\n\
                  www-authenticate: Basic\r\ncontent-length: 2\r\n\r\nok";
    let setup = Setup::answering(answer).await;
    let head = setup.ask(&request("GET /", "alice", "")).await;
    assert_eq!(headers(&head, "warning"), ["299 a", "299 b"]);
    assert_eq!(headers(&head, "set-cookie"), ["a=1", "b=2"]);
    assert_eq!(header(&head, "x-elastic-product"), Some("Elasticsearch"));
    assert_eq!(header(&head, "content-encoding"), Some("gzip"));
    for gone in ["keep-alive", "x-own", "connection", "authorization"] {
        assert_eq!(header(&head, gone), None, "{head}");
    }
}

#[tokio::test]
async fn own_paths_are_never_passed_on_and_all_others_are() {
    let setup = Setup::answering(OK).await;
    for path in [
        "/elastauthx",
        "/health",
        "/metrics",
        "/config",
        "/Elastauth/health",
        "/%65lastauth/health",
        "//elastauth/health",
        "/x/../elastauth/health",
        "/elastauth%2fhealth",
    ] {
        let answer = setup
            .ask(&request(&format!("GET {path}"), "alice", ""))
            .await;
        assert!(answer.ends_with("\r\n\r\nok"), "{path}: {answer}");
    }
    let passed = setup.upstream.heads().len();
    assert_eq!(passed, 9);
    for (path, status) in [
        ("/elastauth/health", "200"),
        ("/elastauth/ready", "200"),
        ("/elastauth/nothing", "404"),
        ("/elastauth/", "404"),
        ("/elastauth/auth-request/x", "404"),
        ("/elastauth//health", "404"),
        ("/elastauth/%68ealth", "404"),
        // A gateway that names a user here would be shown their login.
        ("/elastauth", "404"),
        ("/elastauth/forward-auth", "404"),
        ("/elastauth/auth-request", "404"),
        ("/elastauth/ext-authz", "404"),
        ("/elastauth/ext-authz/a", "404"),
        ("/elastauth/clusters/default", "404"),
        ("/elastauth/clusters/default/auth-request", "404"),
    ] {
        let answer = setup
            .ask(&request(&format!("GET {path}"), "alice", ""))
            .await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
        assert_eq!(header(&answer, "authorization"), None, "{path}: {answer}");
    }
    assert_eq!(setup.upstream.heads().len(), passed);
}

#[tokio::test]
async fn http_2_in_front_is_http_1_behind() {
    let setup = Setup::answering(OK).await;
    let client = Multiplexed::in_clear(setup.stage.gateway()).await;
    let ask = http::Request::get("http://es.example/a?b")
        .header("x-elastauth-key", crate::support::stage::GATEWAY_KEY)
        .header("remote-user", "alice")
        .header("remote-groups", "dev")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let answer = client.send(ask.body(()).unwrap()).await.unwrap();
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b"ok"[..]));
    let head = setup.upstream.head();
    assert!(head.starts_with("GET /a?b HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("es.example"));
    assert_eq!(header(&head, "cookie"), Some("a=1; b=2"));
    assert_eq!(header(&head, "via"), Some("2 elastauth"));
}

#[tokio::test]
async fn the_body_is_asked_for_after_the_decision_and_never_of_a_refused_request() {
    let setup = Setup::with("", |mut connection| async move {
        let head = connection.head().await.unwrap();
        assert_eq!(header(&head, "expect"), None);
        assert_eq!(connection.body(4).await, b"body");
        connection.say(OK.as_bytes()).await;
    })
    .await;
    let more = "content-length: 4\r\nexpect: 100-continue\r\n";
    let mut stream = setup.connect().await;
    let text = request("POST /a", "alice", more);
    stream.write_all(text.as_bytes()).await.unwrap();
    let head = read_head(&mut stream).await.unwrap();
    assert!(head.starts_with("HTTP/1.1 100 "), "{head}");
    stream.write_all(b"body").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("ok"));
    // Nobody asks: the body is neither read nor taken for a request.
    let text = format!(
        "POST /a HTTP/1.1\r\nhost: a\r\nx-elastauth-key: {}\r\n{more}\r\n",
        crate::support::stage::GATEWAY_KEY
    );
    let mut stream = setup.connect().await;
    stream.write_all(text.as_bytes()).await.unwrap();
    let head = read_answer(&mut stream).await;
    assert!(head.starts_with("HTTP/1.1 401 "), "{head}");
    let (rest, _) = read_to_end(&mut stream).await;
    assert_eq!(rest, b"");
    assert_eq!(setup.upstream.heads().len(), 1);
}

#[tokio::test]
async fn an_early_answer_gets_through_while_the_client_still_sends() {
    let setup = Setup::with("", |mut connection| async move {
        connection.head().await;
        connection
            .say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
            .await;
        // It reads on, as a server does that lingers.
        let mut rest = vec![0; 65_536];
        while connection
            .stream
            .read(&mut rest)
            .await
            .is_ok_and(|read| read > 0)
        {}
    })
    .await;
    let mut stream = setup.connect().await;
    let head = request("POST /_bulk", "alice", "content-length: 1000000000\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 100_000]).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

/// In both spellings: some servers read `_` and `-` as one character.
#[tokio::test]
async fn no_client_logs_in_twice_or_acts_as_somebody_else() {
    const FORGED: [&str; 7] = [
        "authorization",
        "proxy-authorization",
        "es-security-runas-user",
        "es-secondary-authorization",
        "es-client-authentication",
        "es-secondary-x-client-authentication",
        "opendistro-security-impersonate-as",
    ];
    let setup = Setup::answering(OK).await;
    let mut more = String::from(
        "connection: authorization, x-forwarded-for, x-secret\r\nx-secret: 1\r\n\
         remote_user: mallory\r\nremote_groups: ops\r\nx_elastauth_key: a\r\nx_forwarded_for: a\r\n\
         te: trailers\r\nkeep-alive: timeout=9\r\nproxy-connection: keep-alive\r\n",
    );
    for name in FORGED {
        for spelt in [name.to_owned(), name.replace('-', "_")] {
            // Twice: no second one is left over.
            more.extend([&spelt, ": mallory\r\n", &spelt, ": Basic bWFsbG9yeTph\r\n"]);
        }
    }
    let passes = [
        ("x-opaque-id", "a/b c"),
        ("accept-encoding", "gzip, br;q=0.5"),
        ("content-encoding", "gzip"),
        ("user-agent", "Beat/9"),
        ("cookie", "sid=1; theme=dark"),
        ("x-own_header", "kept"),
    ];
    for (name, value) in passes {
        more.extend([name, ": ", value, "\r\n"]);
    }
    let answer = setup.ask(&request("GET /a", "alice", &more)).await;
    assert!(answer.ends_with("\r\n\r\nok"), "{answer}");
    let head = setup.upstream.head();
    assert!(
        setup.is_login(header(&head, "authorization").unwrap()),
        "{head}"
    );
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "host"), Some("es.example:9200"));
    assert!(
        !head.contains("mallory") && !head.contains("bWFsbG9yeTph"),
        "{head}"
    );
    let names: Vec<String> = head
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0.replace('_', "-")))
        .collect();
    for gone in FORGED.iter().skip(1).chain(&[
        "remote-user",
        "remote-groups",
        "x-elastauth-key",
        "x-secret",
        "connection",
        "keep-alive",
        "proxy-connection",
    ]) {
        assert!(!names.iter().any(|name| name == gone), "{gone}: {head}");
    }
    for (name, value) in passes {
        assert_eq!(header(&head, name), Some(value), "{head}");
    }
}
