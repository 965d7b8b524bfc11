//! elastauth in proxy mode, an upstream that keeps every byte, and a client that writes what it is
//! given.

use crate::support::stage::{GATEWAY_KEY, Plan, Stage};
use std::{
    future::Future,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// No test that passes waits so long.
const IN_TIME: Duration = Duration::from_secs(20);

/// An answer that every client understands.
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// elastauth in front of an upstream. Users are written to the stand-in cluster.
pub(crate) struct Setup {
    pub(crate) stage: Stage,
    pub(crate) upstream: Upstream,
}

/// A server that does with each connection what the test says.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    /// Heads of requests, in the order in which they came, byte for byte.
    heads: Arc<Mutex<Vec<String>>>,
    serving: JoinSet<()>,
}

/// A connection of elastauth to the upstream.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Which one, from 0.
    pub(crate) number: usize,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Setup {
    /// Each request without a body is answered.
    pub(crate) async fn answering(answer: &'static str) -> Self {
        Self::with("", move |mut connection| async move {
            while connection.head().await.is_some() {
                connection.say(answer.as_bytes()).await;
            }
        })
        .await
    }

    /// `more` has lines of the configuration, and `serve` has each connection.
    pub(crate) async fn with<F>(
        more: &str,
        serve: impl Fn(Connection) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self::with_environment(more, &[], serve).await
    }

    /// The same, in this environment.
    pub(crate) async fn with_environment<F>(
        more: &str,
        environment: &[(&str, &str)],
        serve: impl Fn(Connection) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let upstream = Upstream::start(serve).await;
        let stage = staged_in(upstream.port, more, environment).await;
        Self { stage, upstream }
    }

    /// A connection of the gateway.
    pub(crate) async fn connect(&self) -> TcpStream {
        self.stage.gateway().connect().await.expect("a connection")
    }

    /// Writes a request and reads what comes back until `content-length` is there.
    pub(crate) async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_answer(&mut stream).await
    }

    /// The same, and nothing behind the head is read.
    pub(crate) async fn ask_head(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        read_head(&mut stream).await.expect("an answer")
    }

    /// Bytes of memory that elastauth has.
    pub(crate) async fn resident(&self) -> usize {
        let bytes = self.stage.number("process_resident_memory_bytes").await;
        usize::try_from(bytes).unwrap()
    }

    /// Whether the cluster takes this `Authorization`.
    pub(crate) fn is_login(&self, authorization: &str) -> bool {
        let value = http::HeaderValue::from_str(authorization).unwrap();
        self.stage.cluster.accepts(&value)
    }
}

/// elastauth that passes requests on to this port.
pub(crate) async fn staged(port: u16, more: &str) -> Stage {
    staged_in(port, more, &[]).await
}

async fn staged_in(port: u16, more: &str, environment: &[(&str, &str)]) -> Stage {
    let more = format!(
        "proxy:\n  enabled: true\n  elasticsearch_url: \"http://127.0.0.1:{port}\"\n{more}"
    );
    Stage::planned(Plan {
        more: &more,
        environment,
        ..Plan::default()
    })
    .await
}

impl Upstream {
    pub(crate) async fn start<F>(serve: impl Fn(Connection) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (kept, mut serving) = (Arc::clone(&heads), JoinSet::new());
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let heads = Arc::clone(&kept);
                connections.spawn(serve(Connection {
                    stream,
                    number,
                    heads,
                }));
            }
        });
        Self {
            port,
            heads,
            serving,
        }
    }

    /// The requests so far.
    pub(crate) fn heads(&self) -> Vec<String> {
        assert!(!self.serving.is_empty());
        self.heads.lock().unwrap().clone()
    }

    /// The only one.
    pub(crate) fn head(&self) -> String {
        let heads = self.heads();
        assert_eq!(heads.len(), 1, "{heads:#?}");
        heads[0].clone()
    }
}

impl Connection {
    /// The head of the next request; `None` at the end of the connection.
    pub(crate) async fn head(&mut self) -> Option<String> {
        let head = read_head(&mut self.stream).await?;
        self.heads.lock().unwrap().push(head.clone());
        Some(head)
    }

    pub(crate) async fn say(&mut self, bytes: &[u8]) {
        // Whoever has gone does not listen.
        let _gone = self.stream.write_all(bytes).await;
    }

    /// Reads so many bytes.
    pub(crate) async fn body(&mut self, bytes: usize) -> Vec<u8> {
        let mut body = vec![0; bytes];
        let read = timeout(IN_TIME, self.stream.read_exact(&mut body)).await;
        read.expect("a body in time").expect("a whole body");
        body
    }
}

/// A head with its empty line; `None` if the connection ends before.
pub(crate) async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        let read = timeout(Duration::from_mins(1), stream.read_u8()).await;
        bytes.push(read.expect("a head in time").ok()?);
    }
    Some(String::from_utf8(bytes).expect("a head in UTF-8"))
}

/// An answer with a `content-length`, or none.
pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let head = timeout(IN_TIME, read_head(stream)).await;
    let head = head.expect("an answer in time").expect("an answer");
    let length = header(&head, "content-length").map_or(0, |value| value.parse().unwrap());
    let mut body = vec![0; length];
    let read = timeout(IN_TIME, stream.read_exact(&mut body)).await;
    read.expect("a body in time").expect("a whole body");
    head + &String::from_utf8(body).unwrap()
}

/// What comes until the other side ends the connection, and whether it was a reset.
pub(crate) async fn read_to_end(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    let read = timeout(IN_TIME, stream.read_to_end(&mut bytes)).await;
    let is_reset = read.expect("the end of the connection").is_err();
    (bytes, is_reset)
}

/// A chunked body and its trailers.
pub(crate) async fn read_chunked(stream: &mut (impl AsyncRead + Unpin)) -> (Vec<u8>, String) {
    let (mut body, mut trailers) = (Vec::new(), String::new());
    loop {
        let line = read_line(stream).await;
        let size = line.trim_end().split(';').next().unwrap();
        let size = usize::from_str_radix(size, 16).expect("a size");
        if size == 0 {
            break;
        }
        let at = body.len();
        body.resize(at + size, 0);
        stream.read_exact(&mut body[at..]).await.unwrap();
        assert_eq!(read_line(stream).await, "\r\n");
    }
    loop {
        let line = read_line(stream).await;
        if line == "\r\n" {
            return (body, trailers);
        }
        trailers += &line;
    }
}

async fn read_line(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n") {
        let read = timeout(IN_TIME, stream.read_u8()).await;
        bytes.push(read.expect("a line in time").expect("a whole line"));
    }
    String::from_utf8(bytes).unwrap()
}

/// The values of a header, each as it is.
pub(crate) fn headers<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    let lines = head
        .split("\r\n")
        .skip(1)
        .take_while(|line| !line.is_empty());
    lines
        .filter_map(|line| line.split_once(": "))
        .filter(|(own, _)| own.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

/// The value of a header that is there once.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let values = headers(head, name);
    assert!(values.len() <= 1, "{name}: {head}");
    values.first().copied()
}

/// A request as the gateway passes it on for a user, with more lines that end in `\r\n`.
pub(crate) fn request(line: &str, user: &str, more: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: es.example:9200\r\nx-elastauth-key: {GATEWAY_KEY}\r\n\
         remote-user: {user}\r\nremote-groups: dev\r\n{more}\r\n"
    )
}
