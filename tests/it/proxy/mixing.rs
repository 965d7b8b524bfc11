//! Many users at once, over kept connections and over streams of shared ones, some of them gone in
//! the middle: each request carries its own user's login and body, and each answer reaches its own
//! client.

use super::setup::{Connection, Setup, header, read_answer, request};
use crate::support::{Why, multiplexed::Multiplexed, pause, stage::GATEWAY_KEY};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Request;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    task::JoinSet,
};

/// Half of them over HTTP/1.1, and half over HTTP/2.
const USERS: usize = 64;
const REQUESTS: usize = 100;
/// Users that share one connection of HTTP/2.
const SHARING: usize = 4;

/// Says whose login came with which path and which body.
async fn echoes(mut connection: Connection) {
    let mut count = connection.number;
    while let Some(head) = connection.head().await {
        let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
        let mut body = vec![0; length];
        if connection.stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let login = header(&head, "authorization").unwrap();
        let login = BASE64_STANDARD.decode(login.strip_prefix("Basic ").unwrap());
        let login = String::from_utf8(login.unwrap()).unwrap();
        let user = login.split(':').next().unwrap();
        let path = head.split(' ').nth(1).unwrap();
        let said = format!("{user} {path} {}", String::from_utf8(body).unwrap());
        let (first, rest) = said.split_at(said.len() / 2);
        let start = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{first}",
            said.len()
        );
        connection.say(start.as_bytes()).await;
        // Some go between the halves.
        count += 1;
        if count.is_multiple_of(5) {
            pause(Why::Pace, Duration::from_millis(2)).await;
        }
        connection.say(rest.as_bytes()).await;
    }
}

/// What this user sends as this request, and when they go instead of waiting for the answer.
struct Exchange {
    path: String,
    body: String,
    goes_after: Option<Duration>,
}

impl Exchange {
    fn of(user: usize, number: usize) -> Self {
        // Any numbers will do that differ between neighbours.
        let drawn = (user * 7_919 + number * 104_729) % 1_009;
        Self {
            path: format!("/user{user}/{number}"),
            body: format!("{user}-{number};").repeat(drawn % 40),
            goes_after: drawn
                .is_multiple_of(7)
                .then(|| Duration::from_millis(drawn as u64 % 4)),
        }
    }

    fn answer(&self, user: &str) -> String {
        format!("{user} {} {}", self.path, self.body)
    }
}

async fn over_http_1(setup: &Setup, user: usize) {
    let name = format!("user{user}");
    let mut stream = setup.connect().await;
    for number in 0..REQUESTS {
        let exchange = Exchange::of(user, number);
        let length = format!("content-length: {}\r\n", exchange.body.len());
        let text = request(&format!("POST {}", exchange.path), &name, &length) + &exchange.body;
        if let Some(after) = exchange.goes_after {
            // Some leave half of their body, and others do not read their answer.
            let sent = text.len() - exchange.body.len() / (1 + number % 2);
            stream.write_all(&text.as_bytes()[..sent]).await.unwrap();
            pause(Why::Pace, after).await;
            stream = setup.connect().await;
            continue;
        }
        stream.write_all(text.as_bytes()).await.unwrap();
        let answer = read_answer(&mut stream).await;
        let (_, said) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(said, exchange.answer(&name), "{answer}");
    }
}

async fn over_http_2(client: Multiplexed, user: usize) {
    let name = format!("user{user}");
    for number in 0..REQUESTS {
        let exchange = Exchange::of(user, number);
        let ask = Request::post(format!("http://es.example{}", exchange.path))
            .header("x-elastauth-key", GATEWAY_KEY)
            .header("remote-user", &name)
            .header("remote-groups", "dev")
            .body(Bytes::from(exchange.body.clone()))
            .unwrap();
        let asking = client.upload(ask);
        let Some(after) = exchange.goes_after else {
            let answer = asking.await.unwrap();
            let said = String::from_utf8(answer.body.to_vec()).unwrap();
            assert_eq!(said, exchange.answer(&name), "{}", answer.status);
            continue;
        };
        // The stream is reset, unless the answer was faster.
        tokio::select! {
            answer = asking => {
                let said = String::from_utf8(answer.unwrap().body.to_vec()).unwrap();
                assert_eq!(said, exchange.answer(&name));
            }
            () = pause(Why::Pace, after) => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_anothers_login_or_answer() {
    let setup = Arc::new(Setup::with("", echoes).await);
    let mut all = JoinSet::new();
    for user in 0..USERS / 2 {
        let setup = Arc::clone(&setup);
        all.spawn(async move { over_http_1(&setup, user).await });
    }
    for first in (USERS / 2..USERS).step_by(SHARING) {
        let client = Multiplexed::in_clear(setup.stage.gateway()).await;
        for user in first..first + SHARING {
            all.spawn(over_http_2(client.clone(), user));
        }
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    let passed = setup.upstream.heads().len();
    assert!(passed > USERS * REQUESTS / 2, "{passed}");
}
