//! The baseline of `cargo xtask bench proxy`: what hyper's server and client need for a request
//! that is passed on as it is, with nothing decided about it.
//!
//! `bare_proxy ADDRESS UPSTREAM` serves until it is killed.

use http::{Request, Uri, uri::PathAndQuery};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use std::{error::Error, time::Duration};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: bare_proxy ADDRESS UPSTREAM";
    let address = std::env::args().nth(1).ok_or(usage)?;
    let upstream = std::env::args().nth(2).ok_or(usage)?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Client<_, Incoming> = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .build(connector);
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (client, upstream) = (client.clone(), upstream.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            *request.uri_mut() = target(&upstream, request.uri().path_and_query());
            client.request(request)
        });
        #[expect(clippy::disallowed_methods, reason = "a baseline has nothing to track")]
        tokio::spawn(async move {
            let _closed = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

fn target(upstream: &str, path: Option<&PathAndQuery>) -> Uri {
    let uri = Uri::builder().scheme("http").authority(upstream);
    let path = path.map_or("/", PathAndQuery::as_str);
    uri.path_and_query(path).build().unwrap_or_default()
}
