//! An HTTP client towards a party that is trusted for what it says and for nothing else.
//!
//! One deadline covers the whole answer, so a body that drips does not outlast it. A body has a
//! cap. Nothing is decompressed, so there is no bomb to defuse: an encoded answer is refused. No
//! redirect is followed: it would take our client's credentials to another place.

mod connections;
mod proxy;
#[cfg(test)]
mod tests;

pub use connections::{Incomplete, pool, tcp, whole};
pub use proxy::{InvalidProxy, NoProxy, Proxy};

use super::tls::{self, TlsError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{
    Client as Pool,
    connect::{HttpConnector, proxy::Tunnel},
};
use std::{error::Error, fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// TCP alone: a lost first packet is repeated after a second, and then the wait is worth it no
/// longer.
const CONNECT: Duration = Duration::from_millis(1_400);
/// Kept connections. Few calls are made, and each may be a user's wait.
const MAX_IDLE: usize = 16;

/// Settings of one client.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whom to believe and what to show.
    pub tls: tls::ClientConfig,
    /// Sent with every request. A header of the call itself wins over one of the same name.
    pub headers: HeaderMap,
    /// The way out, where there is one; already read from wherever it is set.
    pub proxy: Option<Proxy>,
}

/// Connections to whoever is asked.
pub struct Client {
    direct: Connections<HttpConnector>,
    tunnelled: Option<(Connections<Tunnel<HttpConnector>>, NoProxy)>,
    headers: HeaderMap,
}

type Connections<C> = Pool<HttpsConnector<C>, Full<Bytes>>;

/// One request.
#[derive(Debug)]
pub struct Call {
    /// How.
    pub method: Method,
    /// Whom.
    pub uri: Uri,
    /// With what beside the configured headers. Secrets are marked sensitive by the caller.
    pub headers: HeaderMap,
    /// The body, where there is one.
    pub body: Bytes,
    /// For the whole exchange, from the first packet to the last byte of the answer.
    pub timeout: Duration,
    /// The longest body that is read.
    pub max_bytes: usize,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status, whichever it is.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it came.
    pub body: Bytes,
}

/// Why there is no answer. One variant a step.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The address or a header cannot be sent.
    #[error("the request cannot be sent")]
    Unsendable,
    /// TCP, the proxy or TLS did not come about.
    #[error("no connection")]
    Connect(#[source] Source),
    /// The answer was not there, or not to its end, in time.
    #[error("no whole answer in time")]
    TimedOut,
    /// The connection ended first, or what came over it was not HTTP.
    #[error("the connection was cut")]
    Cut(#[source] Source),
    /// The body has no end within the limit.
    #[error("the body is too big")]
    TooBig,
    /// The body is compressed although we asked for a plain one.
    #[error("the body is compressed, which was not asked for")]
    Encoded,
}

/// Two are equal when the same step failed: what the network says about it is for people.
impl PartialEq for CallError {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for CallError {}

/// An error of the network or of TLS. Shared, so that all who wait for one call can have it.
pub type Source = Arc<dyn Error + Send + Sync>;

impl Client {
    /// Prepares the connections; none is made yet.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn new(config: Config) -> Result<Self, TlsError> {
        let tls = tls::client(&config.tls)?;
        let tunnelled = config.proxy.map(|proxy| {
            let mut tunnel = Tunnel::new(proxy.address, tcp(CONNECT));
            if let Some(authorization) = proxy.authorization {
                tunnel = tunnel.with_auth(authorization);
            }
            // Only TLS goes through the tunnel: what is plain goes to the loopback interface, and
            // directly.
            (
                pool(
                    HttpsConnectorBuilder::new()
                        .with_tls_config(tls.clone())
                        .https_only()
                        .enable_http1()
                        .wrap_connector(tunnel),
                    MAX_IDLE,
                ),
                proxy.except,
            )
        });
        let direct = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp(CONNECT));
        Ok(Self {
            direct: pool(direct, MAX_IDLE),
            tunnelled,
            headers: config.headers,
        })
    }

    /// Sends one request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When there is no whole answer, or one that cannot be read safely.
    pub async fn call(&self, call: Call) -> Result<Answer, CallError> {
        let deadline = Instant::now() + call.timeout;
        let max_bytes = call.max_bytes;
        let through = self.tunnelled.as_ref().filter(|(_, except)| {
            call.uri.scheme_str() == Some("https")
                && call
                    .uri
                    .host()
                    .is_some_and(|host| !except.covers(host, call.uri.port_u16()))
        });
        let request = self.request(call)?;
        let response = match through {
            Some((tunnelled, _)) => timeout_at(deadline, tunnelled.request(request)).await,
            None => timeout_at(deadline, self.direct.request(request)).await,
        };
        let response = response
            .map_err(|_elapsed| CallError::TimedOut)?
            .map_err(|error| {
                if error.is_connect() {
                    CallError::Connect(Arc::new(error))
                } else {
                    CallError::Cut(Arc::new(error))
                }
            })?;
        let (head, body) = response.into_parts();
        if is_encoded(&head.headers) {
            return Err(CallError::Encoded);
        }
        match whole(body, deadline, max_bytes).await {
            Ok(body) => Ok(Answer {
                status: head.status,
                headers: head.headers,
                body,
            }),
            Err(Incomplete::TimedOut) => Err(CallError::TimedOut),
            Err(Incomplete::TooBig) => Err(CallError::TooBig),
            Err(Incomplete::Cut(source)) => Err(CallError::Cut(source)),
        }
    }

    fn request(&self, call: Call) -> Result<Request<Full<Bytes>>, CallError> {
        let mut request = Request::builder()
            .method(call.method)
            .uri(call.uri)
            .body(Full::new(call.body))
            .map_err(|_| CallError::Unsendable)?;
        let headers = request.headers_mut();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("elastauth/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.headers.clone());
        for (name, value) in &call.headers {
            headers.insert(name, value.clone());
        }
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        Ok(request)
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("tunnelled", &self.tunnelled.is_some())
            .finish_non_exhaustive()
    }
}

/// Anything but `identity`, which some servers name although nothing was done.
fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| {
            !value
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(b"identity")
        })
}
