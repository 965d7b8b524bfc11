//! An application that records what arrives: method, path, all headers in their order, body and
//! trailers. It answers 200 with the number of the record and keeps its connections.

use crate::message::{Body, Message, Wire};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

/// The header of an answer with the number of its record.
pub(crate) const RECORD: &str = "x-record";

#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) port: u16,
    records: Arc<Mutex<Vec<Message>>>,
    task: AbortHandle,
}

impl Application {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let records = Arc::<Mutex<Vec<Message>>>::default();
        let shared = Arc::clone(&records);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Self {
            port,
            records,
            task: task.abort_handle(),
        }
    }

    /// How many requests have arrived.
    pub(crate) fn count(&self) -> usize {
        self.records.lock().expect("the records").len()
    }

    /// What has arrived since there were so many.
    pub(crate) fn since(&self, count: usize) -> Vec<Message> {
        self.records.lock().expect("the records")[count..].to_vec()
    }

    /// What this answer is about.
    pub(crate) fn record(&self, number: &str) -> Option<Message> {
        let number: usize = number.parse().ok()?;
        self.records
            .lock()
            .expect("the records")
            .get(number)
            .cloned()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whoever hangs up is no fault.
async fn serve(stream: TcpStream, records: Arc<Mutex<Vec<Message>>>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut wire = Wire::new(stream);
    while let Some(head) = wire.head().await? {
        // A head alone has arrived, too.
        let number = {
            let mut records = records.lock().expect("the records");
            records.push(head.clone());
            records.len() - 1
        };
        if let Some(key) = head.header("sec-websocket-key") {
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                 sec-websocket-accept: {}\r\n{RECORD}: {number}\r\n\r\n",
                accepted(key)
            );
            wire.send(answer.as_bytes()).await?;
            loop {
                let bytes = wire.rest().await?;
                if bytes.is_empty() {
                    return Ok(());
                }
                wire.send(&bytes).await?;
            }
        }
        if head
            .header("expect")
            .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
        {
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let mut whole = head.clone();
        let read = wire.body(&mut whole, Body::of_request(&head)).await;
        records.lock().expect("the records")[number] = whole;
        read?;
        let path = head.first.split(' ').nth(1).unwrap_or_default();
        let length = path
            .split_once("?bytes=")
            .and_then(|(_, bytes)| bytes.parse().ok())
            .unwrap_or(0);
        let answer =
            format!("HTTP/1.1 200 OK\r\n{RECORD}: {number}\r\ncontent-length: {length}\r\n\r\n");
        wire.send(answer.as_bytes()).await?;
        if !head.first.starts_with("HEAD ") {
            wire.send(&vec![b'x'; length]).await?;
        }
        if head.first.ends_with("HTTP/1.0")
            || head
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
        {
            return Ok(());
        }
    }
    Ok(())
}

/// `Sec-WebSocket-Accept` for this key.
pub(crate) fn accepted(key: &str) -> String {
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    STANDARD.encode(hash)
}
