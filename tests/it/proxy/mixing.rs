//! Many users at once: each request carries its own user's login, and each answer reaches its own
//! client.

use super::setup::{Setup, header, read_answer, request};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::sync::Arc;
use tokio::{io::AsyncWriteExt as _, task::JoinSet};

const USERS: usize = 64;
const REQUESTS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_anothers_login_or_answer() {
    // The upstream says whose login came with which path.
    let setup = Setup::with("", |mut connection| async move {
        while let Some(head) = connection.head().await {
            let login = header(&head, "authorization").unwrap();
            let login = BASE64_STANDARD.decode(login.strip_prefix("Basic ").unwrap());
            let login = String::from_utf8(login.unwrap()).unwrap();
            let user = login.split(':').next().unwrap();
            let path = head.split(' ').nth(1).unwrap();
            let said = format!("{user} {path}");
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{said}",
                said.len()
            );
            connection.say(answer.as_bytes()).await;
        }
    })
    .await;
    let setup = Arc::new(setup);
    let mut all = JoinSet::new();
    for user in 0..USERS {
        let setup = Arc::clone(&setup);
        all.spawn(async move {
            let name = format!("user{user}");
            let mut stream = setup.connect().await;
            for number in 0..REQUESTS {
                let path = format!("/{name}/{number}");
                let text = request(&format!("GET {path}"), &name, "");
                stream.write_all(text.as_bytes()).await.unwrap();
                // Some go before they have their answer.
                if (user + number) % 7 == 0 {
                    stream = setup.connect().await;
                    continue;
                }
                let answer = read_answer(&mut stream).await;
                let said = answer.split("\r\n\r\n").nth(1).unwrap();
                assert_eq!(said, format!("{name} {path}"), "{answer}");
            }
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}
