//! Answers: whole in memory, or a cluster's as it comes.

use crate::{clock::Timestamp, net::client::streaming::AnswerBody};
use bytes::Bytes;
use http::{
    HeaderValue, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
};
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use serde::Serialize;
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// An answer.
pub(crate) type Response = http::Response<Body>;

/// The body of an answer.
#[derive(Debug)]
pub(crate) enum Body {
    /// Whole in memory, or empty.
    Whole(Full<Bytes>),
    /// A cluster's, as it comes.
    Passed(AnswerBody, Box<dyn Watch>),
}

/// Sees a body that is passed on. It is dropped with the body, whole or not.
pub(crate) trait Watch: std::fmt::Debug + Send {
    /// So many bytes were handed on.
    fn passed(&mut self, bytes: usize);
    /// All that was there is handed on.
    fn waits(&mut self);
    /// It has come to its end.
    fn ended(&mut self);
    /// It was cut off before its end.
    fn cut(&mut self, why: &hyper::Error);
}

impl Default for Body {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Bytes> for Body {
    fn from(whole: Bytes) -> Self {
        Self::Whole(Full::new(whole))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                let frame = ready!(Pin::new(body).poll_frame(context));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Passed(body, watch) => {
                let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(context) else {
                    watch.waits();
                    return Poll::Pending;
                };
                match &frame {
                    Some(Ok(frame)) => {
                        watch.passed(frame.data_ref().map_or(0, Bytes::len));
                        if body.is_end_stream() {
                            watch.ended();
                        }
                    }
                    Some(Err(why)) => watch.cut(why),
                    None => watch.ended(),
                }
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Passed(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Passed(body, _) => body.size_hint(),
        }
    }
}

/// A cluster's answer, passed on. Its headers are ready for the client.
pub(crate) fn passed(
    head: http::response::Parts,
    body: AnswerBody,
    mut watch: Box<dyn Watch>,
) -> Response {
    if http_body::Body::is_end_stream(&body) {
        watch.ended();
    }
    Response::from_parts(head, Body::Passed(body, watch))
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::default());
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
    *response.body_mut() = Body::from(body.into());
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
