//! What the gateway and the stand-in share: a listener whose connections one function answers.

use crate::shutdown::Tasks;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

pub(super) type AnswerBody = UnsyncBoxBody<Bytes, io::Error>;
/// An error cuts the connection, before the answer or in its body.
pub(super) type Answered = io::Result<Response<AnswerBody>>;

/// Who answers what comes to a listener.
pub(super) trait Answers: Send + Sync + 'static {
    /// Beyond it connections wait in the system's queue.
    const MAX_CONNECTIONS: usize;

    fn answer(self: Arc<Self>, request: Request<Incoming>)
    -> impl Future<Output = Answered> + Send;
}

/// A listener that ends, with all its connections, when it is stopped or the program ends.
pub(super) fn serve<A: Answers>(
    site: &Arc<A>,
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    stopped: CancellationToken,
    tasks: &Tasks,
) {
    let (site, all) = (Arc::clone(site), tasks.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = accept(site, tcp, tls, &stopped, &all) => {}
            () = stopped.cancelled() => {}
            () = all.ending() => stopped.cancel(),
        }
    });
}

async fn accept<A: Answers>(
    site: Arc<A>,
    tcp: TcpListener,
    tls: Option<TlsAcceptor>,
    stopped: &CancellationToken,
    tasks: &Tasks,
) {
    let places = Arc::new(Semaphore::new(A::MAX_CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        // What fails here is one connection, or a shortage that passes.
        let Ok((stream, _)) = tcp.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _slower_without = stream.set_nodelay(true);
        let (site, tls, stopped) = (Arc::clone(&site), tls.clone(), stopped.clone());
        let served = async move {
            match tls {
                None => connection(stream, site).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        connection(stream, site).await;
                    }
                }
            }
        };
        tasks.spawn(async move {
            stopped.run_until_cancelled(served).await;
            drop(place);
        });
    }
}

async fn connection(stream: impl AsyncRead + AsyncWrite + Unpin, site: Arc<impl Answers>) {
    let service = service_fn(|request| Arc::clone(&site).answer(request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also the time for which an idle connection is kept.
        .header_read_timeout(Duration::from_mins(1))
        .max_headers(512)
        // As with a real Elasticsearch.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A client that hangs up, or one of our own faults: both are meant.
    drop(served);
}

/// A lock whose holder crashed is taken over: each change under it is one step.
pub(super) trait Lock<T> {
    fn held(&self) -> MutexGuard<'_, T>;
}

impl<T> Lock<T> for Mutex<T> {
    fn held(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
