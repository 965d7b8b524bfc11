//! The baseline of the benchmark: a bare hyper server that answers every request with a constant
//! 200 and the headers of a grant.
//!
//! `bare_hyper ADDRESS [CERTIFICATE KEY]` serves until it is killed, over TLS with two PEM files.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rustls::{
    ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use std::{convert::Infallible, error::Error, future::ready, sync::Arc};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let usage = "usage: bare_hyper ADDRESS [CERTIFICATE KEY]";
    let address = std::env::args().nth(1).ok_or(usage)?;
    let acceptor = match (std::env::args().nth(2), std::env::args().nth(3)) {
        (Some(certificate), Some(key)) => Some(acceptor(&certificate, &key)?),
        (None, _) => None,
        (Some(_), None) => return Err(usage.into()),
    };
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let acceptor = acceptor.clone();
        #[expect(clippy::disallowed_methods, reason = "a baseline has nothing to track")]
        tokio::spawn(async move {
            match acceptor {
                None => serve(stream).await,
                Some(acceptor) => {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream).await;
                    }
                }
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
    let service = service_fn(|_| ready(Ok::<_, Infallible>(answer())));
    let _closed = auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn acceptor(certificate: &str, key: &str) -> Result<TlsAcceptor, Box<dyn Error>> {
    let certificates = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(certificates, PrivateKeyDer::from_pem_file(key)?)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
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
