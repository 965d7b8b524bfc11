//! For the benchmark: a cluster that knows nobody and takes everybody, as quickly as hyper answers
//! or after a fixed time.
//!
//! `yes_cluster ADDRESS [DELAY_MS]` serves until it is killed. It keeps no users, so that a million
//! of them cost it nothing; only the names that were written last can log in, because elastauth
//! tries the first login that it writes.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::VecDeque,
    convert::Infallible,
    error::Error,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};
use tokio::sync::oneshot;

/// As many as a process of elastauth writes at once.
const REMEMBERED: usize = 64;

/// The names that were written last.
static WRITTEN: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: yes_cluster ADDRESS [DELAY_MS]")?;
    let delay = std::env::args()
        .nth(2)
        .map(|text| text.parse().map(Duration::from_millis))
        .transpose()?;
    let line = delay.map(|delay| Arc::new(Line::start(delay)));
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let line = line.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "a benchmark's part has nothing to track"
        )]
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, line.clone()));
            let _closed = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    line: Option<Arc<Line>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path();
    let (status, body) = match (request.method(), path) {
        (&Method::PUT, _) => {
            let mut written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
            if written.len() == REMEMBERED {
                written.pop_front();
            }
            written.push_back(path.rsplit('/').next().unwrap_or_default().to_owned());
            (StatusCode::OK, Bytes::from_static(br#"{"created":true}"#))
        }
        (_, "/_security/_authenticate") => match written_user(&request) {
            Some(user) => (StatusCode::OK, whoami(&user)),
            None => (StatusCode::UNAUTHORIZED, Bytes::from_static(REFUSED)),
        },
        _ => (StatusCode::NOT_FOUND, Bytes::from_static(b"{}")),
    };
    let _read = request.into_body().collect().await;
    if let Some(line) = line {
        line.wait().await;
    }
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

const REFUSED: &[u8] = br#"{"error":{"root_cause":[],"type":"security_exception","reason":"unable to authenticate"},"status":401}"#;

/// Whose login it is, if that user was one of the last to be written.
fn written_user(request: &Request<Incoming>) -> Option<String> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let pair = BASE64_STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let pair = String::from_utf8(pair).ok()?;
    let (user, _password) = pair.split_once(':')?;
    let written = WRITTEN.lock().unwrap_or_else(PoisonError::into_inner);
    written
        .iter()
        .any(|name| name == user)
        .then(|| user.to_owned())
}

fn whoami(user: &str) -> Bytes {
    let body = serde_json::json!({
        "username": user,
        "roles": [],
        "enabled": true,
        "authentication_realm": { "name": "default_native", "type": "native" },
    });
    Bytes::from(body.to_string())
}

/// Lets each call wait for the same time. The runtime's own timer counts whole milliseconds, and
/// two of them would be anything up to three.
struct Line {
    calls: mpsc::Sender<(Instant, oneshot::Sender<()>)>,
    delay: Duration,
}

impl Line {
    fn start(delay: Duration) -> Self {
        let (calls, waiting) = mpsc::channel::<(Instant, oneshot::Sender<()>)>();
        std::thread::spawn(move || {
            // All wait equally long, so they are due in the order of coming.
            for (due, call) in waiting {
                #[expect(
                    clippy::disallowed_methods,
                    reason = "this thread has nothing else to do, and the time is the real one"
                )]
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                let _gone = call.send(());
            }
        });
        Self { calls, delay }
    }

    async fn wait(&self) {
        let (call, due) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "the time is the real one")]
        let _no_thread = self.calls.send((Instant::now() + self.delay, call));
        let _due = due.await;
    }
}
