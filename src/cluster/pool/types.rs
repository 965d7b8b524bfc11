//! What is asked of a node, and what comes back.

use crate::{cluster::error::ResponseError, telemetry::metrics::Call};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};

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

/// An answer as it came: the status, and the body as far as it could be read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Result<Bytes, ResponseError>,
}

/// Why an answer is not what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// By its status; with `error.type` of the body, where it has one.
    Status(Option<Box<str>>),
    /// Its status was right, its body was not.
    Body(ResponseError),
}
