//! A node that answers with raw bytes, right or wrong, and keeps what it was sent.

use crate::shutdown::Tasks;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;

/// What the node does with each request.
#[derive(Debug, Clone)]
pub(in crate::cluster) enum Manner {
    /// Writes this and keeps the connection.
    Say(String),
    /// Writes this and closes.
    SayAndClose(String),
    /// Reads the request and says nothing.
    Hang,
    /// Reads the request and closes.
    HangUp,
    /// A body without an end.
    Endless,
}

impl Manner {
    /// A whole answer with a JSON or any other body.
    pub(in crate::cluster) fn answer(status: u16, body: &str) -> Self {
        Self::Say(format!(
            "HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ))
    }
}

/// Dropped, it stops listening.
#[derive(Debug)]
pub(in crate::cluster) struct Stub {
    pub(in crate::cluster) addr: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    /// How many requests have come.
    count: Arc<watch::Sender<usize>>,
    manner: Arc<Mutex<Manner>>,
    tasks: Tasks,
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    requests: Vec<String>,
}

impl Stub {
    pub(in crate::cluster) async fn start(manner: Manner) -> Self {
        Self::start_with(manner, None).await
    }

    pub(super) async fn start_tls(manner: Manner, config: rustls::ServerConfig) -> Self {
        Self::start_with(manner, Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn start_with(manner: Manner, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stub = Self {
            addr: listener.local_addr().unwrap(),
            seen: Arc::default(),
            count: Arc::default(),
            manner: Arc::new(Mutex::new(manner)),
            tasks: Tasks::default(),
        };
        let (seen, count, manner, tasks) = (
            Arc::clone(&stub.seen),
            Arc::clone(&stub.count),
            Arc::clone(&stub.manner),
            stub.tasks.clone(),
        );
        stub.tasks.spawn(async move {
            loop {
                let socket = tokio::select! {
                    accepted = listener.accept() => accepted.unwrap().0,
                    () = tasks.ending() => return,
                };
                seen.lock().unwrap().connections += 1;
                let (seen, count, manner, tls, ending) = (
                    Arc::clone(&seen),
                    Arc::clone(&count),
                    Arc::clone(&manner),
                    tls.clone(),
                    tasks.clone(),
                );
                tasks.spawn(async move {
                    let served = async {
                        match tls {
                            None => serve(socket, &seen, &count, &manner).await,
                            Some(tls) => match tls.accept(socket).await {
                                Ok(socket) => serve(socket, &seen, &count, &manner).await,
                                Err(_refused) => None,
                            },
                        }
                    };
                    tokio::select! { _ = served => {}, () = ending.ending() => {} }
                });
            }
        });
        stub
    }

    pub(in crate::cluster) fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    /// Head and body of each request, as they came.
    pub(in crate::cluster) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.clone()
    }

    /// Waits until so many requests have come.
    pub(in crate::cluster) async fn asked(&self, times: usize) {
        let mut count = self.count.subscribe();
        count.wait_for(|count| *count >= times).await.unwrap();
    }

    pub(super) fn connections(&self) -> usize {
        self.seen.lock().unwrap().connections
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

/// `None` when the client has gone or the manner ends the connection.
async fn serve(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    seen: &Mutex<Seen>,
    count: &watch::Sender<usize>,
    manner: &Mutex<Manner>,
) -> Option<()> {
    loop {
        let request = read_request(&mut socket).await?;
        seen.lock().unwrap().requests.push(request);
        count.send_modify(|count| *count += 1);
        let manner = manner.lock().unwrap().clone();
        match manner {
            Manner::Say(text) => socket.write_all(text.as_bytes()).await.ok()?,
            Manner::SayAndClose(text) => {
                socket.write_all(text.as_bytes()).await.ok()?;
                return socket.shutdown().await.ok();
            }
            Manner::Hang => tokio::time::sleep(Duration::from_mins(1)).await,
            Manner::HangUp => return None,
            Manner::Endless => {
                socket
                    .write_all(b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await
                    .ok()?;
                let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
                loop {
                    socket.write_all(chunk.as_bytes()).await.ok()?;
                }
            }
        }
    }
}

async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            });
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return Some(text.into_owned());
            }
        }
        let mut chunk = [0; 4096];
        match socket.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}
