//! Connections that are kept, and bodies that end in time and within a bound.

use super::{
    send_state::Outgoing,
    types::{HttpError, Source},
};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// Status line and headers of an answer: those we ask send a few hundred bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Less than the 60 s after which common load balancers close a connection, which would lose a
/// request that is sent just then.
const IDLE: Duration = Duration::from_secs(30);

/// Bounds on the connections to each host.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    /// For TCP alone.
    pub connect: Duration,
    /// Connections that are kept; beyond it they are closed after use.
    pub max_idle: usize,
}

pub(super) type Connections<C> = Client<HttpsConnector<C>, Outgoing>;

/// TCP for plain HTTP and under TLS.
pub(super) fn tcp(limits: ConnectionLimits) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.connect));
    tcp
}

/// Keeps connections of this connector, plain or with TLS.
pub(super) fn keep<C>(
    tls: rustls::ClientConfig,
    connector: C,
    limits: ConnectionLimits,
) -> Connections<C>
where
    HttpsConnector<C>: Connect + Clone,
{
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(limits.max_idle)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        // A kept connection that turns out to be closed before a request was written to it gives
        // the request back, and it goes out on another. That is safe for writes too: not a byte of
        // them was sent.
        .retry_canceled_requests(true)
        .build(connector)
}

/// Reads a body to its end, within the deadline and the bound.
pub(super) async fn whole(
    body: Incoming,
    deadline: Instant,
    max_bytes: usize,
) -> Result<Bytes, HttpError> {
    match timeout_at(deadline, Limited::new(body, max_bytes).collect()).await {
        Err(_elapsed) => Err(HttpError::TimedOut),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(HttpError::TooBig),
        Ok(Err(error)) => Err(HttpError::Cut(Source::from(error))),
    }
}
