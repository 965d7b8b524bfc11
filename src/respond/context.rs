//! What an answer depends on besides the decision.

use crate::{clock::Timestamp, request::Protocol};
use http::HeaderValue;

/// What the answer to a refused request depends on besides the refusal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RefusalContext<'a> {
    /// For which kind of gateway.
    pub protocol: Protocol,
    /// Whether a person waits for the answer.
    pub wants_page: bool,
    /// Whether tokens are taken: then a 401 asks for one.
    pub takes_tokens: bool,
    /// Where a browser is sent that only has to sign in.
    pub sign_in: Option<&'a HeaderValue>,
    /// Also in the log, so that the two can be put together.
    pub request_id: &'a str,
    /// When.
    pub now: Timestamp,
}
