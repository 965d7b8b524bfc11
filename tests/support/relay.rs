//! A relay that counts TCP connections, the one thing that tells h2 from HTTP/1.1 from the outside
//! of an encrypted stream; and that cuts them all when it is asked to or ends.

use super::ports::Closed;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    is_cut: watch::Sender<bool>,
    task: AbortHandle,
}

impl Relay {
    pub(crate) async fn to(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        Self::with(listener.expect("a listener"), target)
    }

    /// At a port that somebody knows already.
    pub(crate) fn at(port: Closed, target: u16) -> Self {
        Self::with(port.open(), target)
    }

    fn with(listener: TcpListener, target: u16) -> Self {
        let port = listener.local_addr().expect("its address").port();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let (is_cut, mut cut) = watch::channel(false);
        let task = tokio::spawn(async move {
            // They end with the relay.
            let mut relayed = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = cut.changed() => {
                        relayed.shutdown().await;
                        continue;
                    }
                };
                let Ok((mut client, _)) = accepted else {
                    return;
                };
                counter.fetch_add(1, Ordering::Relaxed);
                if *cut.borrow() {
                    continue;
                }
                relayed.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await
                    {
                        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
                    }
                });
            }
        });
        Self {
            port,
            connections,
            is_cut,
            task: task.abort_handle(),
        }
    }

    /// Ends all connections, and each new one at once; or lets them through again.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
