//! One request, its answer, and what can go wrong between them.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, Uri};
use std::{error::Error, sync::Arc, time::Duration};

/// One request.
#[derive(Debug)]
pub(crate) struct HttpCall {
    /// The method.
    pub method: Method,
    /// The whole address.
    pub uri: Uri,
    /// With what beside the configured headers. Secrets are marked sensitive by the caller.
    pub headers: HeaderMap,
    /// The body, where there is one.
    pub body: Bytes,
    /// For the whole exchange, from the first packet to the last byte of the answer.
    pub timeout: Duration,
    /// Until the body has left, where that is shorter: TCP, TLS and a free connection. After it the
    /// call fails with [`HttpError::ConnectTimeout`], and the body is never sent.
    pub send_timeout: Option<Duration>,
    /// The longest body of an answer that is read.
    pub max_bytes: usize,
}

/// An answer, whichever its status is.
#[derive(Debug)]
pub(crate) struct HttpAnswer<B = Bytes> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it came.
    pub body: B,
}

/// Why there is no answer. One variant a step.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HttpError {
    /// TCP, the proxy or TLS failed; nothing was sent.
    #[error("no connection")]
    Connect(#[source] Source),
    /// There was no connection in time; nothing was sent.
    #[error("no connection in time")]
    ConnectTimeout,
    /// The answer was not there, or not to its end, in time.
    #[error("no whole answer in time")]
    TimedOut,
    /// The connection ended first, or what came over it was not HTTP.
    #[error("the connection was cut")]
    Cut(#[source] Source),
    /// The body has no end within the limit.
    #[error("the body is too big")]
    TooBig,
    /// The body is compressed although we asked for a plain one.
    #[error("the body is compressed, which was not asked for")]
    Encoded,
}

/// Two are equal when the same step failed: what the network reports is for people.
impl PartialEq for HttpError {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for HttpError {}

/// An error of the network or of TLS. Shared, so that all who wait for one call can have it.
pub(crate) type Source = Arc<dyn Error + Send + Sync>;
