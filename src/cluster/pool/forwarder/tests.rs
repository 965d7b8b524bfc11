use super::*;
use crate::{clock::Clock, net::tls};
use std::{net::SocketAddr, sync::Mutex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

/// A node that reads each request of a connection, keeps its head, and says this.
async fn node(answers: &'static [&'static str]) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::<Mutex<Vec<String>>>::default();
    let kept = Arc::clone(&heads);
    hyper::rt::Executor::execute(&hyper_util::rt::TokioExecutor::new(), async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut bytes = Vec::new();
                while !bytes.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => bytes.push(byte),
                        Err(_ended) => break,
                    }
                }
                if bytes.is_empty() {
                    break;
                }
                kept.lock().unwrap().push(String::from_utf8(bytes).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    (address, heads)
}

async fn closed() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

fn forwarder(nodes: &[SocketAddr]) -> Forwarder {
    let urls: Vec<Uri> = nodes
        .iter()
        .map(|node| format!("http://{node}").parse().unwrap())
        .collect();
    let limits = ForwardLimits {
        timeout: Some(Duration::from_secs(5)),
        max_idle: 4,
        idle: Duration::from_mins(1),
    };
    let tls = tls::client_without_trust().unwrap();
    Forwarder::new(
        Origins::new("logs".into(), &urls, Clock::System),
        tls,
        limits,
    )
    .unwrap()
}

async fn forward(forwarder: &Forwarder) -> Result<Forwarded, ForwardError> {
    let outbound = Outbound {
        method: Method::POST,
        target: &PathAndQuery::from_static("/a?b"),
        headers: HeaderMap::new(),
        upload: &Upload::empty(),
        asks_for_upgrade: false,
    };
    forwarder.forward(outbound).await
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_write_goes_on_to_the_next_node_where_a_connection_is_refused() {
    let (live, heads) = node(&[OK; 9]).await;
    let forwarder = forwarder(&[closed().await, live]);
    for sent in 1..=4 {
        assert_eq!(forward(&forwarder).await.unwrap().answer.head.status, 200);
        assert_eq!(heads.lock().unwrap().len(), sent);
    }
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("host: {live}\r\n")), "{head}");
}

#[tokio::test]
async fn what_was_sent_goes_to_no_other_node() {
    let (one, first) = node(&[""]).await;
    let (two, second) = node(&[""]).await;
    let forwarder = forwarder(&[one, two]);
    for sent in 1..=4 {
        let failed = forward(&forwarder).await.err().unwrap();
        let ForwardError::Node { why, .. } = failed else {
            panic!("{failed}")
        };
        assert!(matches!(why, StreamError::Cut { .. }), "{why}");
        let all = first.lock().unwrap().len() + second.lock().unwrap().len();
        assert_eq!(all, sent);
    }
}

#[tokio::test]
async fn no_node_at_all_is_no_connection() {
    let forwarder = forwarder(&[closed().await, closed().await]);
    let failed = forward(&forwarder).await.err().unwrap();
    let ForwardError::Node { why, .. } = failed else {
        panic!("{failed}")
    };
    assert!(matches!(why, StreamError::Connect(_)), "{why}");
}

#[tokio::test]
async fn a_place_is_free_again_when_its_answer_is_dropped() {
    let (live, _) = node(&[OK; 9]).await;
    let forwarder = forwarder(&[live]);
    let under_way = || forwarder.under_way.load(Relaxed);
    let begun = forward(&forwarder).await.unwrap();
    assert_eq!(under_way(), 1);
    drop(begun);
    assert_eq!(under_way(), 0);
}
