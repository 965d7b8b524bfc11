//! What is behind the proxies of `cargo xtask bench proxy`: a bare hyper server with small and
//! large answers, which reads whatever is sent to it.
//!
//! `plain_upstream ADDRESS` serves until it is killed. `/bytes/N` has an answer of so many bytes,
//! any other path a small one as Elasticsearch gives it. `x-seen` of an answer is the user whose
//! login came with the request.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::BodyExt as _;
use hyper::{
    body::{Body as _, Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

const SMALL: &[u8] =
    br#"{"took":1,"timed_out":false,"hits":{"total":{"value":0,"relation":"eq"},"hits":[]}}"#;
static ZEROS: [u8; 64 * 1024] = [b'0'; 64 * 1024];

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args()
        .nth(1)
        .ok_or("usage: plain_upstream ADDRESS")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        #[expect(clippy::disallowed_methods, reason = "a baseline has nothing to track")]
        tokio::spawn(async move {
            let _closed = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Pieces>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let user = user(request.headers());
    let mut body = request.into_body();
    while !body.is_end_stream() {
        if body.frame().await.transpose()?.is_none() {
            break;
        }
    }
    let length = path
        .strip_prefix("/bytes/")
        .and_then(|rest| rest.parse().ok());
    let mut response = Response::new(length.map_or(Pieces::Small(Some(())), Pieces::Zeros));
    let headers = response.headers_mut();
    headers.insert(
        "x-elastic-product",
        HeaderValue::from_static("Elasticsearch"),
    );
    if let Some(user) = user {
        headers.insert("x-seen", user);
    }
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.elasticsearch+json;compatible-with=9"),
    );
    Ok(response)
}

/// Whose login a request has.
fn user(headers: &HeaderMap) -> Option<HeaderValue> {
    let login = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let pair = BASE64_STANDARD.decode(login.strip_prefix("Basic ")?).ok()?;
    HeaderValue::from_bytes(pair.split(|byte| *byte == b':').next()?).ok()
}

/// A body without a copy of it.
enum Pieces {
    Small(Option<()>),
    Zeros(usize),
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match &mut *self {
            Self::Small(left) => left.take().map(|()| SMALL),
            Self::Zeros(0) => None,
            Self::Zeros(left) => {
                let size = ZEROS.len().min(*left);
                *left -= size;
                ZEROS.get(..size)
            }
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(Bytes::from_static(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Small(None) | Self::Zeros(0))
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        let left = match self {
            Self::Small(left) => left.map_or(0, |()| SMALL.len()),
            Self::Zeros(left) => *left,
        };
        hyper::body::SizeHint::with_exact(left as u64)
    }
}
