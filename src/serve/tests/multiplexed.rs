//! HTTP/2 in clear, and TLS with either protocol.

use super::*;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::{
    body::{Body, Bytes, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{
    path::Path,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::io::AsyncWrite;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A body that is announced and never comes.
struct Never;

impl Body for Never {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Pending
    }
}

async fn h2<I>(io: I) -> http2::SendRequest<Empty<Bytes>>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(io))
        .await
        .unwrap();
    #[expect(clippy::disallowed_methods, reason = "a client of the test's own")]
    let _detached = tokio::spawn(connection);
    sender
}

fn auth_request(user: &str) -> Request<Empty<Bytes>> {
    Request::get("http://a/elastauth")
        .header("remote-user", user)
        .body(Empty::new())
        .unwrap()
}

async fn many_at_once(sender: http2::SendRequest<Empty<Bytes>>) {
    let asked = (0..50).map(|_| {
        let mut sender = sender.clone();
        async move {
            sender
                .send_request(auth_request("alice"))
                .await
                .unwrap()
                .status()
        }
    });
    let mut answers = tokio::task::JoinSet::new();
    for one in asked {
        answers.spawn(one);
    }
    assert_eq!(
        timeout(LONG, answers.join_all()).await.unwrap(),
        [StatusCode::SERVICE_UNAVAILABLE; 50]
    );
}

#[tokio::test]
async fn http_2_is_taken_in_clear() {
    let server = Setup::default().start();
    many_at_once(h2(server.connect().await).await).await;
}

#[tokio::test]
async fn an_http_2_connection_that_has_asked_may_rest() {
    let limits = ListenerLimits {
        ping: Duration::from_millis(20),
        ..short_headers()
    };
    let server = Setup {
        limits,
        ..Setup::default()
    }
    .start();
    let mut sender = h2(server.connect().await).await;
    for _ in 0..2 {
        assert_eq!(
            sender
                .send_request(auth_request("alice"))
                .await
                .unwrap()
                .status(),
            503
        );
        tokio::time::sleep(limits.of_trusted.header * 4).await;
    }
    assert!(!sender.is_closed());
}

#[tokio::test]
async fn a_body_that_never_comes_is_not_waited_for_in_http_2_either() {
    let server = Setup::default().start();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(server.connect().await))
            .await
            .unwrap();
    #[expect(clippy::disallowed_methods, reason = "a client of the test's own")]
    let _detached = tokio::spawn(connection);
    let request = Request::post("http://a/")
        .header("content-length", "11")
        .body(Never)
        .unwrap();
    assert_eq!(
        timeout(LONG, sender.send_request(request))
            .await
            .unwrap()
            .unwrap()
            .status(),
        401
    );
}

#[tokio::test]
async fn the_end_says_goodbye_to_http_2() {
    let server = Setup::default().start();
    let mut sender = h2(server.connect().await).await;
    assert_eq!(
        sender
            .send_request(auth_request("alice"))
            .await
            .unwrap()
            .status(),
        503
    );
    server.tasks.end();
    assert!(server.tasks.drained(LONG).await);
    assert!(sender.send_request(auth_request("alice")).await.is_err());
}

/// A CA with a certificate for the server and one for a gateway.
struct Certificates {
    folder: tempfile::TempDir,
}

impl Certificates {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        std::fs::write(folder.path().join("ca.crt"), ca.pem()).unwrap();
        for name in ["server", "gateway"] {
            let key = KeyPair::generate().unwrap();
            let certificate = CertificateParams::new([format!("{name}.test")])
                .unwrap()
                .signed_by(&key, &ca)
                .unwrap();
            std::fs::write(folder.path().join(format!("{name}.crt")), certificate.pem()).unwrap();
            std::fs::write(
                folder.path().join(format!("{name}.key")),
                key.serialize_pem(),
            )
            .unwrap();
        }
        Self { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn identity(&self, name: &str) -> tls::IdentityFiles {
        tls::IdentityFiles {
            cert: self.path().join(format!("{name}.crt")),
            key: self.path().join(format!("{name}.key")),
        }
    }

    fn server(&self, client_ca: bool) -> tls::ServerConfig {
        tls::ServerConfig {
            identity: self.identity("server"),
            client_ca: client_ca.then(|| self.path().join("ca.crt")),
        }
    }

    async fn connect(
        &self,
        server: &Running,
        protocol: &str,
        shown: Option<&str>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let config = tls::ClientConfig {
            ca_cert: Some(self.path().join("ca.crt")),
            identity: shown.map(|name| self.identity(name)),
            ..tls::ClientConfig::default()
        };
        let mut config = tls::client(&config).unwrap();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        TlsConnector::from(Arc::new(config))
            .connect("server.test".try_into().unwrap(), server.connect().await)
            .await
    }
}

#[tokio::test]
async fn tls_speaks_the_protocol_that_was_agreed() {
    let files = Certificates::new();
    let server = Setup {
        tls: Some(files.server(false)),
        ..Setup::default()
    }
    .start();

    let stream = files.connect(&server, "h2", None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    many_at_once(h2(stream).await).await;

    let mut stream = files.connect(&server, "http/1.1", None).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    for _ in 0..10 {
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\nremote-user: alice\r\n\r\n")
            .await
            .unwrap();
        assert_eq!(Answer::read(&mut stream).await.status, 503);
    }
}

#[tokio::test]
async fn where_a_client_ca_is_set_a_certificate_must_be_shown() {
    let files = Certificates::new();
    let server = Setup {
        tls: Some(files.server(true)),
        ..Setup::default()
    }
    .start();

    many_at_once(h2(files.connect(&server, "h2", Some("gateway")).await.unwrap()).await).await;

    // With TLS 1.3 a client believes in its connection before the server has judged its
    // certificate: the refusal comes with the first read.
    let refused = async {
        let mut stream = files.connect(&server, "http/1.1", None).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            .await?;
        stream.read_u8().await
    };
    assert!(timeout(LONG, refused).await.unwrap().is_err());
}

#[tokio::test]
async fn a_handshake_that_never_comes_is_given_up() {
    let files = Certificates::new();
    let limits = ListenerLimits {
        handshake: Duration::from_millis(100),
        ..ListenerLimits::default()
    };
    let server = Setup {
        tls: Some(files.server(false)),
        limits,
        ..Setup::default()
    }
    .start();
    assert!(closes(&mut server.connect().await).await);
}
