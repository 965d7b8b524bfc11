//! A relay to Redis that drops some of the messages to subscribers and passes on all else.

use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::{AbortHandle, JoinSet},
};

#[derive(Debug)]
pub(crate) struct Lossy {
    pub(crate) port: u16,
    counts: Arc<Counts>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Counts {
    to_drop: AtomicUsize,
    passed: AtomicUsize,
    others: AtomicUsize,
}

impl Lossy {
    /// Counts and drops those messages whose length `is_meant`.
    pub(crate) async fn to(target: u16, is_meant: fn(usize) -> bool) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let counts = Arc::<Counts>::default();
        let counter = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut relayed = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await;
                let server = server.expect("Redis");
                relayed.spawn(relay(client, server, Arc::clone(&counter), is_meant));
            }
        });
        Self {
            port,
            counts,
            task: task.abort_handle(),
        }
    }

    /// Drops the next messages.
    pub(crate) fn drop_next(&self, count: usize) {
        self.counts.to_drop.store(count, Ordering::SeqCst);
    }

    /// How many came through.
    pub(crate) fn passed(&self) -> usize {
        self.counts.passed.load(Ordering::SeqCst)
    }

    /// How many other messages came through.
    pub(crate) fn others(&self) -> usize {
        self.counts.others.load(Ordering::SeqCst)
    }

    /// Whether all of them have been dropped.
    pub(crate) fn has_dropped(&self) -> bool {
        self.counts.to_drop.load(Ordering::SeqCst) == 0
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn relay(
    mut client: TcpStream,
    mut server: TcpStream,
    counts: Arc<Counts>,
    is_meant: fn(usize) -> bool,
) {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = tokio::io::copy(&mut from_client, &mut to_server);
    let down = async {
        let mut read = Vec::new();
        while from_server.read_buf(&mut read).await.is_ok_and(|n| n > 0) {
            while let Some((whole, message)) = next(&read) {
                let bytes: Vec<u8> = read.drain(..whole).collect();
                let is_meant = message.is_some_and(is_meant);
                let left = &counts.to_drop;
                let drops = is_meant
                    && left
                        .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                        .is_ok();
                match (message, is_meant && !drops) {
                    (_, true) => _ = counts.passed.fetch_add(1, Ordering::SeqCst),
                    (Some(_), false) => _ = counts.others.fetch_add(1, Ordering::SeqCst),
                    (None, false) => {}
                }
                if !drops && to_client.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        }
    };
    tokio::select! {
        _ = up => {}
        () = down => {}
    }
}

/// The length of what comes next, and that of the message if it is one. Of all else, whatever is
/// there.
fn next(read: &[u8]) -> Option<(usize, Option<usize>)> {
    const BEGIN: &[u8] = b"*3\r\n$7\r\nmessage\r\n";
    if read.is_empty() || (read.len() < BEGIN.len() && BEGIN.starts_with(read)) {
        return None;
    }
    if !read.starts_with(BEGIN) {
        return Some((read.len(), None));
    }
    let (mut at, mut length) = (BEGIN.len(), 0);
    for _ in 0..2 {
        let rest = read.get(at..)?;
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        length = std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()?;
        at += end + 2 + length + 2;
    }
    (read.len() >= at).then_some((at, Some(length)))
}
