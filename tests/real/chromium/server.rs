//! An application like Kibana, and a service where its users sign in.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::Value;
use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = "h1 { color: rgb(1, 2, 3); }\n";
/// RFC 6455, section 1.3.
const WEBSOCKET: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What it has seen.
#[derive(Debug, Default)]
struct Seen {
    heads: Vec<String>,
    report: Option<Value>,
}

pub(crate) struct Application {
    pub(crate) port: u16,
    seen: Arc<Mutex<Seen>>,
    _serving: JoinSet<()>,
}

impl Application {
    pub(crate) async fn start() -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let kept = Arc::clone(&seen);
        let (port, serving) = serve(move |mut stream| {
            let seen = Arc::clone(&kept);
            async move {
                while let Some((head, body)) = request(&mut stream).await {
                    seen.lock().unwrap().heads.push(head.clone());
                    if head.starts_with("POST /report ") {
                        seen.lock().unwrap().report = serde_json::from_slice(&body).ok();
                    }
                    if head.starts_with("GET /ws ") {
                        return websocket(stream, &head).await;
                    }
                    if stream.write_all(&answer(&head, &body)).await.is_err() {
                        return;
                    }
                }
            }
        })
        .await;
        Self {
            port,
            seen,
            _serving: serving,
        }
    }

    /// What the page says of itself, once it has.
    pub(crate) fn report(&self) -> Option<Value> {
        self.seen.lock().unwrap().report.clone()
    }

    pub(crate) fn heads(&self) -> Vec<String> {
        self.seen.lock().unwrap().heads.clone()
    }

    /// The value of `Authorization` in each request.
    pub(crate) fn logins(&self) -> Vec<String> {
        let heads = self.heads();
        let logins = heads
            .iter()
            .map(|head| header(head, "authorization").unwrap_or_default().to_owned());
        logins.collect()
    }
}

/// Gives everybody the same token, and sends them back to the page that they wanted.
pub(crate) struct SignIn {
    pub(crate) port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

impl SignIn {
    pub(crate) async fn start(token: String) -> Self {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let kept = Arc::clone(&asked);
        let (port, serving) = serve(move |mut stream| {
            let (asked, token) = (Arc::clone(&kept), token.clone());
            async move {
                while let Some((head, _)) = request(&mut stream).await {
                    let target = head.split(' ').nth(1).unwrap().to_owned();
                    let Some(wanted) = target.strip_prefix("/?rd=") else {
                        let none = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n";
                        let _gone = stream.write_all(none).await;
                        continue;
                    };
                    let wanted = percent_encoding::percent_decode_str(wanted);
                    let wanted = wanted.decode_utf8().unwrap().into_owned();
                    let answer = format!(
                        "HTTP/1.1 302 Found\r\nlocation: {wanted}\r\n\
                         set-cookie: access_token={token}; Path=/; HttpOnly; SameSite=Lax\r\n\
                         set-cookie: theme=dark; Path=/\r\ncontent-length: 0\r\n\r\n"
                    );
                    asked.lock().unwrap().push(wanted);
                    let _gone = stream.write_all(answer.as_bytes()).await;
                }
            }
        })
        .await;
        Self {
            port,
            asked,
            _serving: serving,
        }
    }

    /// The pages that were wanted.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn serve<F>(each: impl Fn(TcpStream) -> F + Send + 'static) -> (u16, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(each(stream));
        }
    });
    (port, serving)
}

/// A request with the body that its length says.
async fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    let length = header(&head, "content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some((head, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let (_, value) = lines.find(|(own, _)| own.eq_ignore_ascii_case(name))?;
    Some(value)
}

/// The user whose login this request has.
fn user(head: &str) -> Option<String> {
    let login = header(head, "authorization")?.strip_prefix("Basic ")?;
    let login = String::from_utf8(BASE64_STANDARD.decode(login).ok()?).ok()?;
    Some(login.split_once(':')?.0.to_owned())
}

fn answer(head: &str, body: &[u8]) -> Vec<u8> {
    let Some(user) = user(head) else {
        let challenge = "www-authenticate: Basic realm=\"security\"\r\n";
        return with("401 Unauthorized", challenge, "");
    };
    let path = head.split([' ', '?']).nth(1).unwrap();
    let of = |kind: &str| format!("content-type: {kind}\r\n");
    match path {
        "/app/home" => with("200 OK", &of("text/html"), PAGE),
        "/app/page.js" => with("200 OK", &of("text/javascript"), SCRIPT),
        "/app/page.css" => with("200 OK", &of("text/css"), STYLE),
        "/api/me" => with(
            "200 OK",
            &of("application/json"),
            &format!("{{\"user\":\"{user}\"}}"),
        ),
        "/api/upload" => with("200 OK", &of("text/plain"), &body.len().to_string()),
        "/api/refused" => {
            let challenge = "www-authenticate: Basic realm=\"security\"\r\n";
            with("401 Unauthorized", challenge, "")
        }
        "/api/stream" => {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            let digits = (0..10).flat_map(|digit| format!("1\r\n{digit}\r\n").into_bytes());
            head.into_iter()
                .chain(digits)
                .chain(*b"0\r\n\r\n")
                .collect()
        }
        "/report" => with("204 No Content", "", ""),
        _ => with("404 Not Found", "", ""),
    }
}

fn with(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = if status.starts_with("204") {
        String::new()
    } else {
        format!("content-length: {}\r\n", body.len())
    };
    format!("HTTP/1.1 {status}\r\n{headers}{length}\r\n{body}").into_bytes()
}

/// Answers each short text with the user's name before it.
async fn websocket(mut stream: TcpStream, head: &str) {
    let key = header(head, "sec-websocket-key").unwrap_or_default();
    let accept = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{key}{WEBSOCKET}").as_bytes(),
    );
    let accept = BASE64_STANDARD.encode(accept);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
         sec-websocket-accept: {accept}\r\n\r\n"
    );
    let user = user(head).unwrap_or_default();
    if stream.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    let mut start = [0; 6];
    while stream.read_exact(&mut start).await.is_ok() {
        let length = usize::from(start[1] & 0x7f);
        assert!(length < 126, "the page sends short texts");
        let mut text = vec![0; length];
        stream.read_exact(&mut text).await.unwrap();
        for (byte, mask) in text.iter_mut().zip(start[2..].iter().cycle()) {
            *byte ^= mask;
        }
        // It says goodbye.
        if start[0] & 0x0f == 8 {
            return;
        }
        let said = format!("{user}: {}", String::from_utf8(text).unwrap());
        let frame = [&[0x81, u8::try_from(said.len()).unwrap()], said.as_bytes()].concat();
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}
