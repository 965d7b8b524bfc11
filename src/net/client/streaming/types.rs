//! Bounds of the connections to one server, and what can go wrong with an exchange.

use super::upload::Outgoing;
use crate::net::client::types::Source;
use http::Request;
use std::{fmt, sync::Arc, time::Duration};

/// Bounds of the connections to one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LinkLimits {
    /// For TCP to one address.
    pub connect: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// Connections that are kept; beyond it they are closed after use.
    pub max_idle: usize,
    /// How long a connection is kept without use.
    pub idle: Duration,
}

/// Why there is no answer. One variant a step.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum StreamError {
    /// TCP or TLS failed, or the server closed the connection before a byte of the request was
    /// written.
    #[error("no connection")]
    Connect(#[source] Source),
    /// The request was sent, and no answer began in time.
    #[error("no answer in time")]
    TimedOut,
    /// The connection ended before the answer's head was whole, or what came was not HTTP.
    #[error("the connection was cut")]
    Cut {
        #[source]
        source: Source,
        /// Whether the connection had been used before: then the server may have ended it just as
        /// the request was on its way.
        kept: bool,
    },
    /// The client's body ended before it was whole, or was malformed.
    #[error("the client's body is not whole")]
    Upload(#[source] Source),
    /// The answer's end can be read in two ways, or it changes to a protocol that was not asked
    /// for.
    #[error("the answer is malformed: {0}")]
    Malformed(&'static str),
}

/// A request without an answer.
pub(crate) struct NotAnswered {
    pub(crate) why: StreamError,
    /// The request, if not a byte of it was written. Its body was not touched either.
    pub(crate) unsent: Option<Box<Request<Outgoing>>>,
}

/// Neither the login nor another header gets into a log.
impl fmt::Debug for NotAnswered {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("NotAnswered")
            .field("why", &self.why)
            .field("is_unsent", &self.unsent.is_some())
            .finish()
    }
}

impl NotAnswered {
    pub(super) fn sent(why: StreamError) -> Self {
        Self { why, unsent: None }
    }

    pub(super) fn unsent(
        why: impl std::error::Error + Send + Sync + 'static,
        request: Request<Outgoing>,
    ) -> Self {
        Self {
            why: StreamError::Connect(Arc::new(why)),
            unsent: Some(Box::new(request)),
        }
    }
}
