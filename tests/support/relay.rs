//! A relay that counts TCP connections, the one thing that tells h2 from HTTP/1.1 from the outside
//! of an encrypted stream; and that cuts them all, or answers itself, when it is asked to.

use super::ports::Closed;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Through,
    Cut,
    Unavailable,
}

#[derive(Debug)]
pub(crate) struct Relay {
    pub(crate) port: u16,
    connections: Arc<AtomicUsize>,
    mode: watch::Sender<Mode>,
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
        let (mode, mut in_force) = watch::channel(Mode::Through);
        let task = tokio::spawn(async move {
            // They end with the relay.
            let mut relayed = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    _ = in_force.changed() => {
                        relayed.shutdown().await;
                        continue;
                    }
                };
                let Ok((mut client, _)) = accepted else {
                    return;
                };
                counter.fetch_add(1, Ordering::Relaxed);
                let mode = *in_force.borrow();
                match mode {
                    Mode::Cut => {}
                    Mode::Unavailable => {
                        relayed.spawn(refuse_all(client));
                    }
                    Mode::Through => {
                        relayed.spawn(async move {
                            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await;
                            if let Ok(mut server) = server {
                                let _ =
                                    tokio::io::copy_bidirectional(&mut client, &mut server).await;
                            }
                        });
                    }
                }
            }
        });
        Self {
            port,
            connections,
            mode,
            task: task.abort_handle(),
        }
    }

    /// Ends all connections, and each new one at once; or lets them through again.
    pub(crate) fn cut(&self, is_cut: bool) {
        let mode = if is_cut { Mode::Cut } else { Mode::Through };
        self.mode.send_replace(mode);
    }

    /// Ends all connections, and answers 503 to every request from now on; or lets them through
    /// again.
    pub(crate) fn answer_unavailable(&self, is_unavailable: bool) {
        let mode = if is_unavailable {
            Mode::Unavailable
        } else {
            Mode::Through
        };
        self.mode.send_replace(mode);
    }

    /// How many connections were opened so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn refuse_all(client: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| async move {
        let _ = request.into_body().collect().await;
        let mut refused = Response::new(Full::<bytes::Bytes>::from("not now"));
        *refused.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        Ok::<_, Infallible>(refused)
    });
    let connection = hyper::server::conn::http1::Builder::new();
    let _ = connection
        .serve_connection(TokioIo::new(client), service)
        .await;
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
