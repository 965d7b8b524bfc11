//! A client that sends bytes over TLS, and one that speaks HTTP/2.

use crate::{
    draft::Draft,
    message::{Body, Message, Wire},
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, pki_types::ServerName};
use std::{io, net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::client::TlsStream;

/// No answer within this is none: longer than what any guide sets for a call of elastauth.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) enum Reply {
    Answer(Message),
    /// The connection was closed without an answer, or within one.
    Closed,
    /// Nothing came.
    Silent,
}

impl Reply {
    /// # Panics
    /// Where there was no answer.
    pub(crate) fn answer(self) -> Message {
        match self {
            Self::Answer(answer) => answer,
            none @ (Self::Closed | Self::Silent) => panic!("no answer: {none:?}"),
        }
    }
}

/// How clients reach a gateway.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    port: u16,
    tls: Arc<ClientConfig>,
}

impl Client {
    /// A gateway with TLS at this port, and a CA that has signed its certificate.
    pub(crate) fn new(port: u16, tls: Arc<ClientConfig>) -> Self {
        Self { port, tls }
    }

    /// At which port.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// A connection of HTTP/1.1 to this host.
    pub(crate) async fn connect(&self, host: &str) -> io::Result<Wire<TlsStream<TcpStream>>> {
        self.over_tls(host, b"http/1.1").await.map(Wire::new)
    }

    async fn over_tls(&self, host: &str, protocol: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        let mut config = (*self.tls).clone();
        config.alpn_protocols = vec![protocol.to_vec()];
        // A host with a comma is no name of a server.
        let host = host.split(',').next().unwrap_or_default();
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await?;
        stream.set_nodelay(true)?;
        tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Sends a request on a connection of its own; the name in the handshake is `host`.
    pub(crate) async fn send_to(&self, host: &str, draft: &Draft) -> Reply {
        self.within(PATIENCE, host, draft).await
    }

    /// Sends a request on a connection of its own to the host that it names.
    pub(crate) async fn send(&self, draft: &Draft) -> Reply {
        self.send_to(draft.host(), draft).await
    }

    /// Sends it, and waits so long for the answer.
    pub(crate) async fn within(&self, patience: Duration, host: &str, draft: &Draft) -> Reply {
        let exchange = async {
            let mut wire = self.connect(host).await?;
            // A gateway may refuse and close before it has read everything; its answer counts.
            let sent = wire.send(&draft.bytes()).await;
            match answer(&mut wire, &draft.method).await {
                Ok(Some(answer)) => Ok(Some(answer)),
                other => sent.and(other),
            }
        };
        match timeout(patience, exchange).await {
            Err(_) => Reply::Silent,
            Ok(Ok(Some(answer))) => Reply::Answer(answer),
            Ok(Ok(None) | Err(_)) => Reply::Closed,
        }
    }

    /// A connection of HTTP/2.
    pub(crate) async fn http2(&self, host: &str) -> io::Result<Http2> {
        let stream = self.over_tls(host, b"h2").await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        drop(tokio::spawn(connection));
        Ok(Http2(sender))
    }

    /// Sends the same request as HTTP/2, on a connection of its own. Its lines have to be ones that
    /// HTTP/2 can carry.
    pub(crate) async fn send_http2(&self, draft: &Draft) -> Reply {
        let exchange = async {
            let connection = self.http2(draft.host()).await.ok()?;
            connection.send(draft).await.ok()
        };
        match timeout(PATIENCE, exchange).await {
            Err(_) => Reply::Silent,
            Ok(None) => Reply::Closed,
            Ok(Some(answer)) => Reply::Answer(answer),
        }
    }
}

/// The answer to a request of this method, without interim answers.
pub(crate) async fn answer(
    wire: &mut Wire<TlsStream<TcpStream>>,
    method: &str,
) -> io::Result<Option<Message>> {
    loop {
        let Some(mut head) = wire.head().await? else {
            return Ok(None);
        };
        if head.status() / 100 == 1 && head.status() != 101 {
            continue;
        }
        let body = Body::of_answer(&head, method);
        wire.body(&mut head, body).await?;
        return Ok(Some(head));
    }
}

/// One connection of HTTP/2.
#[derive(Debug, Clone)]
pub(crate) struct Http2(http2::SendRequest<Full<Bytes>>);

impl Http2 {
    pub(crate) async fn send(&self, draft: &Draft) -> Result<Message, hyper::Error> {
        let mut sender = self.0.clone();
        sender.ready().await?;
        let mut request = Request::builder()
            .method(draft.method.as_str())
            .uri(format!("https://{}{}", draft.host(), draft.target));
        for line in &draft.lines {
            let (name, value) = line.split_once(':').expect("a header line");
            if !name.eq_ignore_ascii_case("host") {
                request = request.header(name, value.trim().as_bytes());
            }
        }
        let body = Full::new(Bytes::from(draft.body.clone()));
        let (head, body) = sender
            .send_request(request.body(body).expect("a request"))
            .await?
            .into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        });
        let body = body.collect().await?.to_bytes();
        Ok(Message {
            first: format!("HTTP/2 {}", head.status.as_u16()),
            headers: headers.collect(),
            length: body.len(),
            body: body.to_vec(),
            trailers: Vec::new(),
            is_complete: true,
        })
    }
}
