//! What every client of ours does alike: connections that are kept, and bodies that end in time and
//! within a bound.

use super::Source;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, HttpConnector},
    },
    rt::{TokioExecutor, TokioTimer},
};
use std::{error::Error, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// Status line and headers of an answer: those we ask send a few hundred bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// Less than the 60 s after which common load balancers close a connection, which would lose a
/// request that is sent just then.
const IDLE: Duration = Duration::from_secs(30);

/// Why there is no whole body.
#[derive(Debug)]
pub enum Incomplete {
    /// It has not ended in time.
    TimedOut,
    /// It has no end within the limit.
    TooBig,
    /// The connection ended first.
    Cut(Source),
}

/// TCP for plain HTTP and under TLS; `connect` is the time for TCP alone.
#[must_use]
pub fn tcp(connect: Duration) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect));
    tcp
}

/// Keeps at most `max_idle` connections to each host.
pub fn pool<C, B>(connector: C, max_idle: usize) -> Client<C, B>
where
    C: Connect + Clone,
    B: Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(max_idle)
        .http1_max_buf_size(MAX_HEAD_BYTES)
        // A kept connection that turns out to be closed before a request was written to it gives
        // the request back, and it goes out on another. That is safe for writes too: not a byte of
        // them was sent.
        .retry_canceled_requests(true)
        .build(connector)
}

/// Reads a body to its end.
///
/// # Errors
/// When it does not come to one by the deadline and within `max_bytes`.
pub async fn whole(
    body: Incoming,
    deadline: Instant,
    max_bytes: usize,
) -> Result<Bytes, Incomplete> {
    match timeout_at(deadline, Limited::new(body, max_bytes).collect()).await {
        Err(_elapsed) => Err(Incomplete::TimedOut),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Incomplete::TooBig),
        Ok(Err(error)) => Err(Incomplete::Cut(Arc::<dyn Error + Send + Sync>::from(error))),
    }
}
