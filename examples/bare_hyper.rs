//! The baseline of the benchmark: a bare hyper server that answers every request with a constant
//! 200 and the headers of a grant.
//!
//! `bare_hyper ADDRESS` serves until it is killed.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use std::{convert::Infallible, error::Error, future::ready};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).ok_or("usage: bare_hyper ADDRESS")?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        #[expect(clippy::disallowed_methods, reason = "a baseline has nothing to track")]
        tokio::spawn(async move {
            let service = service_fn(|_| ready(Ok::<_, Infallible>(answer())));
            let _closed = auto::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn answer() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.reserve(7);
    headers.insert(
        header::AUTHORIZATION,
        HeaderValue::from_static(
            "Basic dXNlci0wOkVhMS1BQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWjAxMjM0NTY3ODlhYmNkZWZn",
        ),
    );
    headers.insert("remote-user", HeaderValue::from_static("user-0"));
    headers.insert("remote-groups", HeaderValue::from_static("dev,ops"));
    headers.insert(
        "remote-email",
        HeaderValue::from_static("user-0@example.org"),
    );
    headers.insert("remote-name", HeaderValue::from_static("User Zero"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        "x-envoy-auth-headers-to-remove",
        HeaderValue::from_static("es-security-runas-user"),
    );
    response
}
