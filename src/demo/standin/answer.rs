//! Answers as Elasticsearch words them: the error envelope, its headers, and the ways in which a
//! body can go wrong.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame};
use serde_json::{Value, json};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::Sleep;

/// An answer before it becomes bytes.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    body: Bytes,
    content_type: &'static str,
}

impl Answer {
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string().into(),
            content_type: "application/json",
        }
    }

    /// The usual envelope: the error, and the same once more as its own root cause.
    pub(super) fn error(status: StatusCode, error_type: &str, reason: &str) -> Self {
        let cause = json!({ "type": error_type, "reason": reason });
        let body = json!({ "error": { "root_cause": [cause], "type": error_type, "reason": reason }, "status": status.as_u16() });
        Self::json(status, &body)
    }

    /// 400 with an envelope, by far the most frequent refusal.
    pub(super) fn bad(error_type: &str, reason: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, error_type, reason)
    }

    /// Errors of the REST layer itself carry a string where the others carry an object.
    pub(super) fn bare(status: StatusCode, text: &str) -> Self {
        Self::json(status, &json!({ "error": text, "status": status.as_u16() }))
    }

    /// 401: the challenges stand in the headers and once more in the body.
    pub(super) fn unauthenticated(reason: &str) -> Self {
        let cause = json!({ "type": "security_exception", "reason": reason, "header": { "WWW-Authenticate": CHALLENGES } });
        let mut error = cause.clone();
        if let Some(fields) = error.as_object_mut() {
            fields.insert("root_cause".to_owned(), json!([cause]));
        }
        Self::json(
            StatusCode::UNAUTHORIZED,
            &json!({ "error": error, "status": 401 }),
        )
    }

    /// What a proxy in front of a cluster says, with a status that promises more.
    pub(super) fn html() -> Self {
        let body =
            Bytes::from_static(b"<!doctype html><title>Welcome</title><h1>Please sign in</h1>");
        Self {
            status: StatusCode::OK,
            body,
            content_type: "text/html",
        }
    }

    /// 413 has no body at all.
    pub(super) fn too_large() -> Self {
        Self {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            body: Bytes::new(),
            content_type: "application/json",
        }
    }

    pub(super) fn into_response(self, course: Course) -> Response<AnswerBody> {
        let (status, content_type, length) = (self.status, self.content_type, self.body.len());
        let mut response = Response::new(AnswerBody::new(self.body, course));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        if matches!(course, Course::Half) {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        if status == StatusCode::UNAUTHORIZED {
            for challenge in CHALLENGES {
                headers.append(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static(challenge),
                );
            }
        } else {
            headers.insert(
                "x-elastic-product",
                HeaderValue::from_static("Elasticsearch"),
            );
        }
        if status == StatusCode::PAYLOAD_TOO_LARGE {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// Two lines; their order varies between starts of a real node.
const CHALLENGES: [&str; 2] = ["Basic realm=\"security\", charset=\"UTF-8\"", "ApiKey"];

/// How the body of an answer goes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Whole,
    /// Announced whole, then cut in the middle.
    Half,
    /// Never ends.
    Endless,
}

/// A body that takes its [`Course`].
#[derive(Debug)]
pub(super) struct AnswerBody {
    bytes: Bytes,
    course: Course,
    /// Between two frames of a bad body, so that what was sent before is on the wire, and an
    /// endless one does not eat a core.
    pause: Option<Pin<Box<Sleep>>>,
}

impl AnswerBody {
    fn new(bytes: Bytes, course: Course) -> Self {
        let half = bytes.len() / 2;
        let bytes = if course == Course::Half {
            bytes.slice(..half)
        } else {
            bytes
        };
        Self {
            bytes,
            course,
            pause: None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
        }
        if self.course != Course::Whole {
            self.pause = Some(Box::pin(tokio::time::sleep(Duration::from_millis(5))));
        }
        let bytes = std::mem::take(&mut self.bytes);
        Poll::Ready(match self.course {
            Course::Endless => Some(Ok(Frame::data(Bytes::from_static(&[b' '; 8 * 1024])))),
            _ if !bytes.is_empty() => Some(Ok(Frame::data(bytes))),
            Course::Half => Some(Err(io::ErrorKind::ConnectionReset.into())),
            Course::Whole => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.course == Course::Whole && self.bytes.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.course {
            Course::Whole => http_body::SizeHint::with_exact(self.bytes.len() as u64),
            Course::Half | Course::Endless => http_body::SizeHint::default(),
        }
    }
}
