//! What is asked of a node, and what comes back.

use crate::{cluster::error::ResponseError, net::client, telemetry::metrics::Call};
use bytes::Bytes;
use http::{HeaderValue, Method};

/// A request to any node.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) call: Call,
    pub(crate) method: Method,
    /// Below the node's prefix, with the query.
    pub(crate) path: &'a str,
    pub(crate) authorization: &'a HeaderValue,
    /// JSON, or empty.
    pub(crate) body: Bytes,
}

/// An answer as it came: the body as far as it could be read.
pub(crate) type Answer = client::Answer<Result<Bytes, client::CallError>>;

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// By its status; with `error.type` of the body, where it has one.
    Status(Option<Box<str>>),
    /// Its status was right, and its body did not come whole.
    Incomplete(client::CallError),
    /// Its status was right, its body was not.
    Body(ResponseError),
}
