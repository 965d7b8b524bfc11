//! What is cut off on one side is seen on the other.

use super::setup::{Setup, read_to_end, request};
use tokio::io::AsyncWriteExt as _;

#[tokio::test]
async fn an_answer_that_the_cluster_cuts_is_incomplete_for_the_client() {
    for (version, head, seen, is_reset) in [
        ("HTTP/1.1", "content-length: 10\r\n", "half", false),
        (
            "HTTP/1.1",
            "transfer-encoding: chunked\r\n",
            "4\r\nhalf\r\n",
            false,
        ),
        // Its client takes the end of the connection for the end of the answer.
        ("HTTP/1.0", "transfer-encoding: chunked\r\n", "half", true),
    ] {
        let body = if head.contains("chunked") {
            "4\r\nhalf\r\n"
        } else {
            "half"
        };
        let setup = Setup::with("", move |mut connection| async move {
            connection.head().await;
            assert_eq!(connection.body(4).await, b"body");
            let answer = format!("HTTP/1.1 200 OK\r\n{head}\r\n{body}");
            connection.say(answer.as_bytes()).await;
        })
        .await;
        let text = request("POST /a", "alice", "content-length: 4\r\n");
        let text = text.replace("HTTP/1.1", version) + "body";
        let mut stream = setup.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        let (bytes, was_reset) = read_to_end(&mut stream).await;
        let answer = String::from_utf8(bytes).unwrap();
        assert!(
            answer.ends_with(seen) || is_reset,
            "{version} {head}: {answer}"
        );
        assert_eq!(was_reset, is_reset, "{version} {head}: {answer}");
    }
}
