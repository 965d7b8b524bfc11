//! A 401 of the cluster to elastauth's login is no answer for the client.

use super::setup::{OK, Setup, header, read_answer, request};
use elastauth::internals::demo::standin::StandIn;
use std::sync::{Arc, OnceLock};
use tokio::io::AsyncWriteExt as _;

const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"security\"\r\n\
                       content-length: 2\r\n\r\nno";

/// An upstream that lets in whom the stand-in lets in, and reads a body of this length first.
async fn checking(body: usize) -> Setup {
    let cluster = Arc::new(OnceLock::<StandIn>::new());
    let known = Arc::clone(&cluster);
    let setup = Setup::with("", move |mut connection| {
        let known = Arc::clone(&known);
        async move {
            while let Some(head) = connection.head().await {
                connection.body(body).await;
                let login = header(&head, "authorization").unwrap();
                let login = http::HeaderValue::from_str(login).unwrap();
                let answer = match known.get() {
                    Some(cluster) if cluster.accepts(&login) => OK,
                    _ => REFUSED,
                };
                connection.say(answer.as_bytes()).await;
            }
        }
    })
    .await;
    let _only_once = cluster.set(setup.stage.cluster.clone());
    setup
}

fn with_body(bytes: usize) -> String {
    let more = format!("content-length: {bytes}\r\n");
    request("POST /a/_doc", "alice", &more) + &"x".repeat(bytes)
}

#[tokio::test]
async fn a_user_who_was_deleted_in_the_cluster_is_written_again_and_nobody_notices() {
    for bytes in [0, 5, 60_000] {
        let setup = checking(bytes).await;
        assert!(setup.ask(&with_body(bytes)).await.ends_with("ok"));
        assert!(setup.stage.cluster.remove_user("alice"));
        let answer = setup.ask(&with_body(bytes)).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert_eq!(setup.upstream.heads().len(), 3);
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_to_keep_is_not_sent_twice() {
    let setup = checking(100_000).await;
    assert!(setup.ask(&with_body(100_000)).await.ends_with("ok"));
    assert!(setup.stage.cluster.remove_user("alice"));
    let answer = setup.ask(&with_body(100_000)).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(header(&answer, "retry-after"), Some("1"));
    assert_eq!(header(&answer, "www-authenticate"), None);
    assert_eq!(setup.upstream.heads().len(), 2);
    // The next one is whole again.
    assert!(setup.ask(&with_body(100_000)).await.ends_with("ok"));
}

/// An upstream that loses the user with each request that it refuses.
async fn losing(body: usize, refused: usize) -> Setup {
    let cluster = Arc::new(OnceLock::<StandIn>::new());
    let known = Arc::clone(&cluster);
    let setup = Setup::with("", move |mut connection| {
        let known = Arc::clone(&known);
        async move {
            connection.head().await;
            if connection.number < refused {
                connection.body(body / 2).await;
                let _was_there = known.get().unwrap().remove_user("alice");
                connection.say(REFUSED.as_bytes()).await;
                connection.head().await;
            } else {
                assert_eq!(connection.body(body).await, b"abcdef");
                connection.say(OK.as_bytes()).await;
            }
        }
    })
    .await;
    let _only_once = cluster.set(setup.stage.cluster.clone());
    setup
}

#[tokio::test]
async fn a_login_that_stays_refused_is_503_and_no_password_box() {
    let setup = losing(0, usize::MAX).await;
    let answer = setup.ask(&request("GET /", "alice", "")).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(header(&answer, "retry-after").is_some(), "{answer}");
    assert_eq!(header(&answer, "www-authenticate"), None);
    assert!(answer.contains("\"code\":\"unavailable\""), "{answer}");
    assert_eq!(setup.upstream.heads().len(), 2);
    let log = setup.stage.elastauth.log();
    assert!(log.contains("login_rejected"), "{log}");
}

#[tokio::test]
async fn a_401_of_an_api_is_passed_on_and_its_request_is_sent_once() {
    let setup = Setup::answering(REFUSED).await;
    for asked in 1..=3 {
        let text = request(
            "POST /_security/oauth2/token",
            "alice",
            "content-length: 0\r\n",
        );
        let answer = setup.ask(&text).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.ends_with("no"), "{answer}");
        assert_eq!(header(&answer, "www-authenticate"), None);
        assert_eq!(setup.upstream.heads().len(), asked);
    }
    let log = setup.stage.elastauth.log();
    assert!(!log.contains("login_rejected"), "{log}");
}

/// The rest of the body goes out with the second try.
#[tokio::test]
async fn a_401_before_the_body_costs_nothing_of_it() {
    let setup = losing(6, 1).await;
    let mut stream = setup.connect().await;
    let head = request("PUT /a", "alice", "content-length: 6\r\n");
    stream.write_all((head + "abc").as_bytes()).await.unwrap();
    crate::support::until("the second try", || setup.upstream.heads().len() == 2).await;
    stream.write_all(b"def").await.unwrap();
    assert!(read_answer(&mut stream).await.ends_with("ok"));
}
