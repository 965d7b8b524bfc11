//! Answers as Elasticsearch words them: the error envelope, its headers, and the ways in which a
//! body can go wrong.

use super::super::listener::AnswerBody;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use serde_json::{Value, json};
use std::{io, iter, time::Duration};

/// An answer before it becomes bytes.
#[derive(Debug, Clone)]
pub(super) struct ApiAnswer {
    pub(super) status: StatusCode,
    body: Bytes,
    content_type: &'static str,
}

impl ApiAnswer {
    pub(super) fn json(status: StatusCode, body: &Value) -> Self {
        Self {
            status,
            body: body.to_string().into(),
            content_type: "application/json",
        }
    }

    pub(super) fn ok(body: &Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 404 has the same kind of body as 200.
    pub(super) fn found(found: bool, body: &Value) -> Self {
        let status = if found {
            StatusCode::OK
        } else {
            StatusCode::NOT_FOUND
        };
        Self::json(status, body)
    }

    /// The usual envelope: the error, and the same once more as its own root cause.
    fn enveloped(status: StatusCode, mut error: Value) -> Self {
        let causes = json!([error]);
        if let Some(fields) = error.as_object_mut() {
            fields.insert("root_cause".to_owned(), causes);
        }
        Self::json(
            status,
            &json!({ "error": error, "status": status.as_u16() }),
        )
    }

    pub(super) fn error(status: StatusCode, error_type: &str, reason: &str) -> Self {
        Self::enveloped(status, json!({ "type": error_type, "reason": reason }))
    }

    /// 400 with an envelope, by far the most frequent refusal.
    pub(super) fn bad(error_type: &str, reason: &str) -> Self {
        Self::error(StatusCode::BAD_REQUEST, error_type, reason)
    }

    /// Errors of the REST layer itself carry a string where the others carry an object.
    pub(super) fn bare(status: StatusCode, text: &str) -> Self {
        Self::json(status, &json!({ "error": text, "status": status.as_u16() }))
    }

    /// 401: the challenges are in the headers and once more in the body.
    pub(super) fn unauthenticated(reason: &str) -> Self {
        let error = json!({
            "type": "security_exception", "reason": reason,
            "header": { "WWW-Authenticate": CHALLENGES },
        });
        Self::enveloped(StatusCode::UNAUTHORIZED, error)
    }

    /// What is no JSON.
    pub(super) fn text(status: StatusCode, text: &'static str) -> Self {
        Self {
            status,
            body: Bytes::from_static(text.as_bytes()),
            content_type: "text/plain; charset=UTF-8",
        }
    }

    pub(super) fn wrong_password(name: &str, path: &str) -> Self {
        Self::unauthenticated(&format!(
            "unable to authenticate user [{name}] for REST request [{path}]"
        ))
    }

    /// What a proxy in front of a cluster says, with a status that promises more.
    pub(super) fn html() -> Self {
        Self {
            body: "<!doctype html><title>Welcome</title><h1>Please sign in</h1>".into(),
            content_type: "text/html",
            ..Self::ok(&Value::Null)
        }
    }

    /// 413 has no body at all.
    pub(super) fn too_large() -> Self {
        Self {
            body: Bytes::new(),
            ..Self::json(StatusCode::PAYLOAD_TOO_LARGE, &Value::Null)
        }
    }

    pub(super) fn into_response(self, course: Course, product: Product) -> Response<AnswerBody> {
        let length = self.body.len();
        let mut response = Response::new(course.body(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if course == Course::Half {
            headers.insert(header::CONTENT_LENGTH, length.into());
        }
        let mut add = |name, value| headers.append(name, HeaderValue::from_static(value));
        add(header::CONTENT_TYPE, self.content_type);
        if self.status == StatusCode::UNAUTHORIZED {
            for challenge in product.challenges() {
                add(header::WWW_AUTHENTICATE, challenge);
            }
        } else if product == Product::Elasticsearch {
            add(PRODUCT, "Elasticsearch");
        }
        if self.status == StatusCode::PAYLOAD_TOO_LARGE {
            add(header::CONNECTION, "close");
        }
        response
    }
}

/// Whose headers an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Product {
    Elasticsearch,
    OpenSearch,
}

impl Product {
    fn challenges(self) -> &'static [&'static str] {
        match self {
            Self::Elasticsearch => &CHALLENGES,
            Self::OpenSearch => &["Basic realm=\"OpenSearch Security\""],
        }
    }
}

const PRODUCT: HeaderName = HeaderName::from_static("x-elastic-product");
/// Two lines; their order varies between starts of a real node.
const CHALLENGES: [&str; 2] = ["Basic realm=\"security\", charset=\"UTF-8\"", "ApiKey"];

/// Before a frame of a bad body, so that what was sent before is on the wire, and an endless body
/// does not keep a core busy.
const PAUSE: Duration = Duration::from_millis(5);

/// How the body of an answer goes out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    Whole,
    /// Announced whole, then cut in the middle.
    Half,
    /// Never ends.
    Endless,
}

impl Course {
    fn body(self, bytes: Bytes) -> AnswerBody {
        match self {
            Self::Whole => Full::new(bytes)
                .map_err(|never| match never {})
                .boxed_unsync(),
            Self::Half => paced([
                Ok(bytes.slice(..bytes.len() / 2)),
                Err(io::ErrorKind::ConnectionReset.into()),
            ]),
            Self::Endless => {
                let blanks = iter::repeat_with(|| Bytes::from_static(&[b' '; 8 * 1024]));
                paced(iter::once(bytes).chain(blanks).map(Ok))
            }
        }
    }
}

fn paced(
    frames: impl IntoIterator<Item = io::Result<Bytes>, IntoIter: Send + 'static>,
) -> AnswerBody {
    let frames = stream::iter(frames).then(|frame| async {
        tokio::time::sleep(PAUSE).await;
        frame.map(Frame::data)
    });
    StreamBody::new(frames).boxed_unsync()
}
