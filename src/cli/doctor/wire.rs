//! HTTP/1.1 to the gateway as a client sends it: headers as they are, connections that are kept on
//! purpose, no redirects, and bounds on everything.

use super::types::{Answer, CannotAsk, Probe};
use crate::{net::tls, telemetry::chain};
use bytes::{Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{
    error::Error,
    path::PathBuf,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

/// TCP and TLS together.
const CONNECT: Duration = Duration::from_secs(5);
/// A whole answer. Traefik waits 30 s for an auth service that is silent; that long nobody looks at
/// a terminal, and an answer that comes later says no more.
const ANSWER: Duration = Duration::from_secs(15);
/// From the status of an answer to the end of its connection.
const CLOSE: Duration = Duration::from_secs(2);
/// As much of a body as is looked at. elastauth's page has 3 KB.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Requests of one run, so that a fault of ours is no load.
const MAX_REQUESTS: usize = 200;

/// A gateway, or elastauth itself, and how it is reached.
pub(super) struct Way {
    /// `host:port` to connect to.
    address: String,
    host: HeaderValue,
    path: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Sent with every request.
    headers: Vec<(HeaderName, HeaderValue)>,
    sent: Arc<AtomicUsize>,
}

/// A connection that is kept between requests.
pub(super) struct Line<'a> {
    way: &'a Way,
    sender: SendRequest<Empty<Bytes>>,
    /// Reads and writes; `None` once it has ended.
    connection: Option<Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>>,
}

/// What comes back for bytes that are no good request.
#[derive(Debug)]
pub(super) struct RawAnswer {
    /// `None` where the connection ended, or nothing came in time.
    pub(super) status: Option<u16>,
    pub(super) is_closed: bool,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Way {
    /// Prepares it; nothing is connected yet.
    pub(super) fn new(
        url: &Uri,
        connect: Option<&str>,
        ca_cert: Option<PathBuf>,
    ) -> Result<Self, CannotAsk> {
        let wrong = |why: &str| CannotAsk(format!("{url}: {why}"));
        let is_https = match url.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(wrong("the URL must begin with http:// or https://")),
        };
        let authority = url.authority().filter(|it| !it.as_str().contains('@'));
        let authority = authority.ok_or_else(|| wrong("the URL must have a host, and no user"))?;
        let port = authority
            .port_u16()
            .unwrap_or(if is_https { 443 } else { 80 });
        let address = connect.map_or_else(|| format!("{}:{port}", authority.host()), str::to_owned);
        let host = HeaderValue::from_str(authority.as_str());
        let host = host.map_err(|_| wrong("the host cannot be sent"))?;
        let tls = if is_https {
            let config = tls::ClientConfig {
                ca_cert,
                ..tls::ClientConfig::default()
            };
            let mut config = tls::client(&config).map_err(|error| CannotAsk(chain(&error)))?;
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            let name = authority.host().trim_matches(['[', ']']).to_owned();
            let name = ServerName::try_from(name);
            let name = name.map_err(|_| wrong("no certificate can be for this host"))?;
            Some((TlsConnector::from(Arc::new(config)), name))
        } else {
            None
        };
        Ok(Self {
            address,
            host,
            path: url
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
            tls,
            headers: Vec::new(),
            sent: Arc::default(),
        })
    }

    /// The same way for somebody who is signed in.
    pub(super) fn with(&self, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        Self {
            address: self.address.clone(),
            host: self.host.clone(),
            path: self.path.clone(),
            tls: self.tls.clone(),
            sent: Arc::clone(&self.sent),
            headers,
        }
    }

    /// What shows that somebody is signed in.
    pub(super) fn own_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.headers
    }

    /// Whether the session is shown in this header: whoever takes it out signs out.
    pub(super) fn shows_session_in(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(own, _)| own.as_str().eq_ignore_ascii_case(name))
    }

    /// How many requests were sent.
    pub(super) fn sent(&self) -> usize {
        self.sent.load(Relaxed)
    }

    /// The same way for who asks for another host and path.
    pub(super) fn for_host_of(self, other: &Self) -> Self {
        Self {
            host: other.host.clone(),
            path: other.path.clone(),
            ..self
        }
    }

    /// The host of its requests.
    pub(super) fn host(&self) -> &str {
        self.host.to_str().unwrap_or_default()
    }

    /// The path of its requests.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Whether it leads to this machine over the loopback interface.
    pub(super) async fn is_local(&self) -> bool {
        let found = lookup_host(&self.address).await;
        found.is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()))
    }

    /// Sends these bytes as they are over a connection of its own.
    pub(super) async fn send(&self, bytes: &[u8]) -> Result<RawAnswer, CannotAsk> {
        self.count()?;
        let mut stream = self.connected().await?;
        let mut read = Vec::new();
        let status = timeout(ANSWER, async {
            // Whoever refuses the first half may end the connection before the other.
            let _refused = stream.write_all(bytes).await;
            while !read.contains(&b'\n') && read.len() < MAX_BODY_BYTES {
                let came = stream.read_buf(&mut read).await;
                if !matches!(came, Ok(1..)) {
                    return None;
                }
            }
            let line = String::from_utf8_lossy(&read).into_owned();
            line.split(' ').nth(1)?.parse().ok()
        });
        let Ok(status) = status.await else {
            return Ok(RawAnswer {
                status: None,
                is_closed: false,
            });
        };
        // An answer that never ends is no end either.
        let ended = timeout(CLOSE, async {
            let mut rest = [0; 4096];
            while matches!(stream.read(&mut rest).await, Ok(1..)) {}
        });
        Ok(RawAnswer {
            status,
            is_closed: ended.await.is_ok(),
        })
    }

    /// Sends one request over a connection of its own.
    pub(super) async fn ask(&self, probe: Probe) -> Result<Answer, CannotAsk> {
        self.open().await?.ask(probe).await
    }

    /// Connects.
    pub(super) async fn open(&self) -> Result<Line<'_>, CannotAsk> {
        let stream = self.connected().await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.failed(&format!("no connection: {}", chain(&error))))?;
        Ok(Line {
            way: self,
            sender,
            connection: Some(Box::pin(connection)),
        })
    }

    async fn connected(&self) -> Result<Box<dyn Stream>, CannotAsk> {
        let connecting = async {
            let tcp = TcpStream::connect(&self.address).await?;
            tcp.set_nodelay(true)?;
            let stream: Box<dyn Stream> = match &self.tls {
                None => Box::new(tcp),
                Some((tls, name)) => Box::new(tls.connect(name.clone(), tcp).await?),
            };
            Ok::<_, Box<dyn Error + Send + Sync>>(stream)
        };
        timeout(CONNECT, connecting)
            .await
            .map_err(|_elapsed| self.failed("no connection in time"))?
            .map_err(|error| self.failed(&format!("no connection: {}", chain(&*error))))
    }

    /// Counts a request.
    fn count(&self) -> Result<(), CannotAsk> {
        if self.sent.fetch_add(1, Relaxed) >= MAX_REQUESTS {
            return Err(self.failed("more requests than the doctor may send"));
        }
        Ok(())
    }

    fn failed(&self, why: &str) -> CannotAsk {
        CannotAsk(format!("{}: {why}", self.address))
    }
}

impl Line<'_> {
    /// Sends one request and reads the answer, as far as it is looked at.
    pub(super) async fn ask(&mut self, probe: Probe) -> Result<Answer, CannotAsk> {
        let way = self.way;
        way.count()?;
        let request = way.request(probe)?;
        let sender = &mut self.sender;
        let exchange = async {
            sender.ready().await?;
            let (head, mut body) = sender.send_request(request).await?.into_parts();
            let mut read = BytesMut::new();
            // What comes after this is dropped with the connection.
            while read.len() < MAX_BODY_BYTES
                && let Some(frame) = body.frame().await
            {
                if let Ok(data) = frame?.into_data() {
                    read.extend_from_slice(&data);
                }
            }
            Ok::<_, hyper::Error>(Answer {
                status: head.status,
                headers: head.headers,
                body: read.freeze(),
            })
        };
        let mut exchange = pin!(exchange);
        let connection = &mut self.connection;
        let answered = timeout(ANSWER, async {
            if let Some(running) = connection {
                tokio::select! {
                    answer = &mut exchange => return answer,
                    _ended = running => {}
                }
                *connection = None;
            }
            exchange.await
        });
        let answered = answered.await;
        let answered = answered.map_err(|_elapsed| way.failed("no whole answer in time"))?;
        answered.map_err(|error| way.failed(&format!("no answer: {}", chain(&error))))
    }
}

impl Way {
    fn request(&self, probe: Probe) -> Result<Request<Empty<Bytes>>, CannotAsk> {
        let path = probe.path.as_deref().unwrap_or(&self.path);
        let mut request = Request::new(Empty::new());
        *request.method_mut() = probe.method;
        *request.uri_mut() = path
            .parse()
            .map_err(|_| self.failed(&format!("`{path}` is no path")))?;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.host.clone());
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("elastauth-doctor/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers.iter().cloned().chain(probe.headers) {
            if name == header::ACCEPT {
                headers.insert(name, value);
            } else {
                headers.append(name, value);
            }
        }
        Ok(request)
    }
}
