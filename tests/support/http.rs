//! A plain HTTP/1.1 client that sends what it is given: no redirects, no retries, no normalised
//! paths, one connection a request.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream};

/// Longer than any time limit under test but Traefik's own 30 s, which no test waits for.
const DEADLINE: Duration = Duration::from_secs(20);

/// A server, and how we connect to it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    source: IpAddr,
    host: Option<String>,
    deadline: Duration,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Server {
    pub(crate) fn plain(port: u16) -> Self {
        Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            tls: None,
            source: Ipv4Addr::LOCALHOST.into(),
            host: None,
            deadline: DEADLINE,
        }
    }

    pub(crate) fn with_tls(self, config: Arc<ClientConfig>) -> Self {
        Self {
            tls: Some(config),
            ..self
        }
    }

    /// Connects from another loopback address.
    pub(crate) fn from(&self, source: Ipv4Addr) -> Self {
        Self {
            source: source.into(),
            ..self.clone()
        }
    }

    /// Waits so long for an answer.
    pub(crate) fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Sends another `Host` than the address.
    pub(crate) fn host(self, host: &str) -> Self {
        Self {
            host: Some(host.to_owned()),
            ..self
        }
    }

    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask(Method::GET, path, headers, None).await
    }

    /// # Panics
    /// Where no whole answer comes in time.
    pub(crate) async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        self.try_ask(method.clone(), path, headers, body)
            .await
            .unwrap_or_else(|fault| panic!("{method} {path} at {}: {fault}", self.address))
    }

    pub(crate) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let host = self
            .host
            .clone()
            .unwrap_or_else(|| self.address.to_string());
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, host);
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(
            body.map(|json| Bytes::from(json.to_string()))
                .unwrap_or_default(),
        ))?;
        self.send(request).await
    }

    /// Sends a form, as browsers and OAuth clients do.
    ///
    /// # Panics
    /// Where no whole answer comes in time.
    pub(crate) async fn post_form(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Answer {
        let mut request = Request::post(path)
            .header(
                header::HOST,
                self.host
                    .clone()
                    .unwrap_or_else(|| self.address.to_string()),
            )
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        let request = request
            .body(Full::new(Bytes::from(form(fields))))
            .expect("a request");
        self.send(request)
            .await
            .unwrap_or_else(|fault| panic!("POST {path} at {}: {fault}", self.address))
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        tokio::time::timeout(self.deadline, async {
            let stream = self.connect().await?;
            match &self.tls {
                None => exchange(stream, request).await,
                Some(config) => {
                    let name = ServerName::from(self.address.ip());
                    exchange(
                        tokio_rustls::TlsConnector::from(Arc::clone(config))
                            .connect(name, stream)
                            .await?,
                        request,
                    )
                    .await
                }
            }
        })
        .await?
    }

    /// A connection and nothing on it yet, for what is no proper request.
    pub(crate) async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Bound, a connection takes a port that no other may have for a minute, whoever it goes to:
        // some hundreds of requests a second use them up.
        if self.source != IpAddr::from(Ipv4Addr::LOCALHOST) {
            socket.bind(SocketAddr::new(self.source, 0))?;
        }
        socket.connect(self.address).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn exchange<S>(
    stream: S,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body,
    })
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("not JSON ({fault}), {}: {}", self.status, self.text()))
    }

    /// The one value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next()?;
        assert!(values.next().is_none(), "more than one {name}");
        Some(first.to_str().expect("a printable header"))
    }
}

/// Fields as they stand in a form or behind the question mark.
pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    let encoded = |text| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    fields
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect::<Vec<_>>()
        .join("&")
}

/// The value of `Authorization` for a name and a password.
pub(crate) fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"))
    )
}

/// The name and the password of an `Authorization`.
pub(crate) fn pair(login: &str) -> (String, String) {
    use base64::Engine as _;
    let encoded = login.strip_prefix("Basic ").expect("a Basic login");
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
    let text = String::from_utf8(decoded.expect("base64")).expect("UTF-8");
    let (user, password) = text.split_once(':').expect("a name and a password");
    (user.to_owned(), password.to_owned())
}
