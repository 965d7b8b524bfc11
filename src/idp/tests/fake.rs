//! An identity provider of our own that can do everything wrong. It answers raw bytes by path, and
//! keeps what it was asked.

use crate::shutdown::Tasks;
use serde_json::json;
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// What it does when a path is asked.
#[derive(Debug, Clone)]
pub(crate) enum Manner {
    /// Answers this, whole.
    Say(String),
    /// Reads the question and says nothing.
    Hang,
    /// Closes.
    HangUp,
    /// A body without an end.
    Endless,
    /// A byte of the body now and then, for ever.
    Drip,
}

impl Manner {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a literal reads best without an ampersand"
    )]
    pub(crate) fn json(body: impl ToString) -> Self {
        Self::with(
            "200 OK",
            "Content-Type: application/json\r\n",
            &body.to_string(),
        )
    }

    pub(crate) fn status(status: &str) -> Self {
        Self::with(status, "", "{}")
    }

    pub(crate) fn with(status: &str, headers: &str, body: &str) -> Self {
        Self::Say(format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

#[derive(Debug, Default)]
struct State {
    manners: HashMap<String, Manner>,
    asked: Vec<(String, String)>,
}

/// Dropped, it stops.
#[derive(Debug)]
pub(crate) struct FakeIdp {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
    tasks: Tasks,
}

impl FakeIdp {
    /// A provider that describes itself as it should, and has these keys.
    pub(crate) async fn start(keys: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Self {
            addr: listener.local_addr().unwrap(),
            state: Arc::default(),
            tasks: Tasks::default(),
        };
        let issuer = idp.issuer();
        let described = json!({
            "issuer": issuer, "jwks_uri": format!("{issuer}/keys"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "introspection_endpoint": format!("{issuer}/introspect"),
        });
        idp.on("/.well-known/openid-configuration", Manner::json(described));
        idp.on("/keys", Manner::json(keys));
        let (state, tasks) = (Arc::clone(&idp.state), idp.tasks.clone());
        idp.tasks.spawn(async move {
            loop {
                let socket = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = tasks.ending() => return,
                };
                let (state, ending) = (Arc::clone(&state), tasks.clone());
                tasks.spawn(async move {
                    tokio::select! { _ = serve(socket, &state) => {}, () = ending.ending() => {} }
                });
            }
        });
        idp
    }

    pub(crate) fn issuer(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on this path is answered so.
    pub(crate) fn on(&self, path: &str, manner: Manner) {
        self.state
            .lock()
            .unwrap()
            .manners
            .insert(path.to_owned(), manner);
    }

    /// How often a path was asked.
    pub(crate) fn count(&self, path: &str) -> usize {
        self.state
            .lock()
            .unwrap()
            .asked
            .iter()
            .filter(|(asked, _)| asked == path)
            .count()
    }

    /// The last question to a path: head and body.
    pub(crate) fn last(&self, path: &str) -> String {
        let state = self.state.lock().unwrap();
        state
            .asked
            .iter()
            .rev()
            .find(|(asked, _)| asked == path)
            .map(|(_, text)| text.clone())
            .unwrap()
    }
}

impl Drop for FakeIdp {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

async fn serve(mut socket: TcpStream, state: &Mutex<State>) -> Option<()> {
    loop {
        let text = question(&mut socket).await?;
        let path = text.split(' ').nth(1)?.to_owned();
        let manner = {
            let mut state = state.lock().unwrap();
            state.asked.push((path.clone(), text));
            state
                .manners
                .get(&path)
                .cloned()
                .unwrap_or_else(|| Manner::status("404 Not Found"))
        };
        match manner {
            Manner::Say(answer) => socket.write_all(answer.as_bytes()).await.ok()?,
            Manner::Hang => std::future::pending().await,
            Manner::HangUp => return None,
            Manner::Endless => {
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                    .await
                    .ok()?;
                loop {
                    socket.write_all(&[b' '; 8192]).await.ok()?;
                }
            }
            Manner::Drip => {
                socket
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
                    .await
                    .ok()?;
                loop {
                    socket.write_all(b" ").await.ok()?;
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            }
        }
    }
}

/// Head and body; `None` when the client has gone.
async fn question(socket: &mut TcpStream) -> Option<String> {
    let mut read = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.and_then(|length| length.parse().ok()).unwrap_or(0) {
                return Some(text);
            }
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await.ok()? {
            0 => return None,
            count => read.extend_from_slice(&chunk[..count]),
        }
    }
}
