//! For the benchmark: a cluster that knows nobody and takes everybody, as quickly as hyper answers.
//!
//! `yes_cluster ADDRESS` serves until it is killed. It keeps nothing, so that a million users cost it nothing.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, error::Error};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: yes_cluster ADDRESS")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        #[expect(clippy::disallowed_methods, reason = "a benchmark's part has nothing to track")]
        tokio::spawn(async move {
            let _closed = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::PUT, _) => (StatusCode::OK, r#"{"created":true}"#),
        (_, "/_security/_authenticate") => (
            StatusCode::UNAUTHORIZED,
            r#"{"error":{"root_cause":[],"type":"security_exception","reason":"unable to authenticate"},"status":401}"#,
        ),
        _ => (StatusCode::NOT_FOUND, "{}"),
    };
    let _read = request.into_body().collect().await;
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
