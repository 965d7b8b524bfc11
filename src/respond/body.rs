//! Answers, whole in memory.

use crate::clock::Timestamp;
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use serde::Serialize;

/// An answer: whole in memory, or empty.
pub(crate) type Response = http::Response<Full<Bytes>>;

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An answer with a body of this type.
pub(crate) fn whole(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response {
    let mut response = empty(status);
    *response.body_mut() = Full::new(body.into());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// What went wrong. A struct keeps the order of the members: the text for a person comes first.
#[derive(Serialize)]
pub(super) struct Problem<'a> {
    pub(super) message: &'a str,
    pub(super) code: &'a str,
    pub(super) timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) request_id: Option<&'a str>,
}

/// An answer for programs.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    // Only maps with keys that are not text cannot be written; no answer has one.
    let body = serde_json::to_vec(body).unwrap_or_default();
    whole(status, "application/json", body)
}

/// An answer that says what went wrong.
pub(crate) fn problem(now: Timestamp, status: StatusCode, message: &str, code: &str) -> Response {
    let problem = Problem {
        message,
        code,
        timestamp: now.to_string(),
        request_id: None,
    };
    json(status, &problem)
}

/// For a method other than those in `allow`.
pub(crate) fn method_not_allowed(now: Timestamp, allow: &'static str) -> Response {
    let mut response = problem(
        now,
        StatusCode::METHOD_NOT_ALLOWED,
        &format!("Ask with {}.", allow.replace(", ", " or ")),
        "method_not_allowed",
    );
    response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    response
}
