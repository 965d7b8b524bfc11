//! The client over TLS: which certificates it trusts, which one it shows, and the way through a
//! proxy.

use super::*;
use crate::net::tls::IdentityFiles;
use http::Method;
use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;

/// A server for `idp.test` and `localhost` with a certificate of its own making, and a proxy that
/// leads every name to it.
struct Scene {
    folder: tempfile::TempDir,
    server: SocketAddr,
    proxy: SocketAddr,
    connects: Arc<Mutex<Vec<String>>>,
    /// Dropped with the scene, and with it whatever serves.
    _serving: [JoinSet<()>; 2],
}

impl Scene {
    async fn new(with_client_certificates: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["server", "client"] {
            let made =
                rcgen::generate_simple_self_signed(["idp.test".to_owned(), "localhost".to_owned()])
                    .unwrap();
            std::fs::write(folder.path().join(format!("{name}.crt")), made.cert.pem()).unwrap();
            std::fs::write(
                folder.path().join(format!("{name}.key")),
                made.signing_key.serialize_pem(),
            )
            .unwrap();
        }
        let file = |name: &str| folder.path().join(name);
        let config = tls::ServerConfig {
            identity: IdentityFiles {
                cert: file("server.crt"),
                key: file("server.key"),
            },
            client_ca: with_client_certificates.then(|| file("client.crt")),
        };
        let mut config = tls::server(&config).unwrap();
        config.alpn_protocols.clear();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let connects = Arc::<Mutex<Vec<String>>>::default();
        let (server, first) = listening(move |socket| {
            let acceptor = acceptor.clone();
            async move {
                if let Ok(mut stream) = acceptor.accept(socket).await {
                    head(&mut stream).await;
                    let _gone = stream
                        .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                        .await;
                    let _gone = stream.shutdown().await;
                }
            }
        })
        .await;
        let seen = Arc::clone(&connects);
        let (proxy, second) = listening(move |mut socket| {
            let seen = Arc::clone(&seen);
            async move {
                let asked = head(&mut socket).await;
                seen.lock().unwrap().push(asked);
                let mut onward = TcpStream::connect(server).await.unwrap();
                socket
                    .write_all(b"HTTP/1.1 200 Connected\r\n\r\n")
                    .await
                    .unwrap();
                let _gone = copy_bidirectional(&mut socket, &mut onward).await;
            }
        })
        .await;
        Self {
            folder,
            server,
            proxy,
            connects,
            _serving: [first, second],
        }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn trusting(&self) -> tls::ClientConfig {
        tls::ClientConfig {
            ca_cert: Some(self.file("server.crt")),
            ..tls::ClientConfig::default()
        }
    }

    async fn get(&self, config: Config, url: &str) -> Result<Bytes, HttpError> {
        let call = HttpCall {
            method: Method::GET,
            uri: url.parse().unwrap(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: Duration::from_secs(10),
            send_timeout: None,
            max_bytes: 100,
        };
        Client::new(config)
            .unwrap()
            .call(call)
            .await
            .map(|answer| answer.body)
    }
}

async fn listening<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> (SocketAddr, JoinSet<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (addr, mut accepting) = (listener.local_addr().unwrap(), JoinSet::new());
    accepting.spawn(async move {
        let mut serving = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            serving.spawn(serve(socket));
        }
    });
    (addr, accepting)
}

async fn head(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => read.push(byte),
            Err(_gone) => break,
        }
    }
    String::from_utf8_lossy(&read).into_owned()
}

#[tokio::test]
async fn only_the_configured_ca_is_trusted() {
    let scene = Scene::new(false).await;
    let url = format!("https://localhost:{}/", scene.server.port());
    let other = tls::ClientConfig {
        ca_cert: Some(scene.file("client.crt")),
        ..tls::ClientConfig::default()
    };
    assert_eq!(
        scene
            .get(
                Config {
                    tls: scene.trusting(),
                    ..Config::default()
                },
                &url
            )
            .await,
        Ok("ok".into())
    );
    assert!(matches!(
        scene
            .get(
                Config {
                    tls: other,
                    ..Config::default()
                },
                &url
            )
            .await,
        Err(HttpError::Connect(_))
    ));
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_there_is_one() {
    let scene = Scene::new(true).await;
    let url = format!("https://localhost:{}/", scene.server.port());
    let identity = Some(IdentityFiles {
        cert: scene.file("client.crt"),
        key: scene.file("client.key"),
    });
    let with = Config {
        tls: tls::ClientConfig {
            identity,
            ..scene.trusting()
        },
        ..Config::default()
    };
    assert_eq!(scene.get(with, &url).await, Ok("ok".into()));
    assert!(
        scene
            .get(
                Config {
                    tls: scene.trusting(),
                    ..Config::default()
                },
                &url
            )
            .await
            .is_err()
    );
}

#[tokio::test]
async fn a_proxy_opens_a_tunnel_and_sees_nothing_but_the_name() {
    let scene = Scene::new(false).await;
    let through = |except: &str| Config {
        tls: scene.trusting(),
        proxy: Some(
            Proxy::parse(
                &format!("http://user:pass@{}", scene.proxy),
                NoProxy::parse(except),
            )
            .unwrap(),
        ),
        ..Config::default()
    };
    assert_eq!(
        scene.get(through(""), "https://idp.test/secret-path").await,
        Ok("ok".into())
    );
    let asked = scene.connects.lock().unwrap().clone();
    assert_eq!(asked.len(), 1);
    assert!(
        asked[0].starts_with("CONNECT idp.test:443 HTTP/1.1\r\n")
            && asked[0].contains("Proxy-Authorization: Basic dXNlcjpwYXNz"),
        "{asked:?}"
    );
    assert!(!asked[0].contains("secret-path"));

    let direct = format!("https://localhost:{}/", scene.server.port());
    assert_eq!(
        scene.get(through(""), &direct).await,
        Ok("ok".into()),
        "the loopback interface is always reached directly"
    );
    assert_eq!(scene.connects.lock().unwrap().len(), 1);
}
