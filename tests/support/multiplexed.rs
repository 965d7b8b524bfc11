//! HTTP/2 as gateways speak it: in clear with prior knowledge, and over TLS where ALPN has agreed
//! on it.

use super::http::{Answer, Server};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};

/// One connection that carries many requests.
#[derive(Debug, Clone)]
pub(crate) struct Multiplexed(http2::SendRequest<Full<Bytes>>);

impl Multiplexed {
    pub(crate) async fn in_clear(server: &Server) -> Self {
        Self::over(server.connect().await.expect("a connection")).await
    }

    pub(crate) async fn over_tls(server: &Server, client: &ClientConfig) -> Self {
        let mut client = client.clone();
        client.alpn_protocols = vec![b"h2".to_vec()];
        let name = ServerName::from(server.address().ip());
        let stream = server.connect().await.expect("a connection");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
            .expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        Self::over(stream).await
    }

    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
        drop(tokio::spawn(connection));
        Self(sender)
    }

    pub(crate) async fn send(&self, request: Request<()>) -> Result<Answer, hyper::Error> {
        self.upload(request.map(|()| Bytes::new())).await
    }

    /// With this body.
    pub(crate) async fn upload(&self, request: Request<Bytes>) -> Result<Answer, hyper::Error> {
        let mut sender = self.0.clone();
        sender.ready().await?;
        let (head, body) = sender
            .send_request(request.map(Full::new))
            .await?
            .into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await?.to_bytes(),
        })
    }
}
