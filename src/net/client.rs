//! An HTTP client towards a party that is trusted for what it says and for nothing else.
//!
//! One deadline covers the whole answer, so a body that drips does not outlast it. A body has a
//! cap. Nothing is decompressed, so there is no bomb to defuse: an encoded answer is refused. No
//! redirect is followed: it would take our client's credentials to another place.

mod connections;
mod proxy;
mod send_state;
pub(crate) mod streaming;
#[cfg(test)]
mod tests;
mod types;

pub(crate) use connections::ConnectionLimits;
pub(crate) use proxy::{NoProxy, Proxy};
pub(crate) use types::{HttpAnswer, HttpCall, HttpError};

use super::tls::{self, TlsError};
use bytes::Bytes;
use connections::{Connections, keep, tcp, whole};
use http::{HeaderMap, HeaderValue, Request, header};
use hyper_util::client::legacy::connect::{HttpConnector, proxy::Tunnel};
use send_state::{Outgoing, SendState};
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// For a party that is asked now and then, while a user may wait. A lost first packet is repeated
/// after a second; a second repetition is not worth the wait.
const LIMITS: ConnectionLimits = ConnectionLimits {
    connect: Duration::from_millis(1_400),
    max_idle: 16,
};

/// Settings of one client.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Whom to trust and what to show.
    pub tls: tls::ClientConfig,
    /// Sent with every request. A header of the call itself wins over one of the same name.
    pub headers: HeaderMap,
    /// The outbound proxy, where there is one.
    pub proxy: Option<Proxy>,
}

/// Connections to one party. Headers that are secret are marked as such.
#[derive(Debug)]
pub(crate) struct Client {
    direct: Connections<HttpConnector>,
    tunnelled: Option<(Connections<Tunnel<HttpConnector>>, NoProxy)>,
    headers: HeaderMap,
}

impl Client {
    /// Prepares the connections; none is made yet.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub(crate) fn new(config: Config) -> Result<Self, TlsError> {
        let tls = tls::client(&config.tls)?;
        let tunnelled = config.proxy.map(|proxy| {
            let mut tunnel = Tunnel::new(proxy.address, tcp(LIMITS));
            if let Some(authorization) = proxy.authorization {
                tunnel = tunnel.with_auth(authorization);
            }
            (keep(tls.clone(), tunnel, LIMITS), proxy.except)
        });
        Ok(Self {
            tunnelled,
            headers: config.headers,
            ..Self::direct(tls, LIMITS)
        })
    }

    /// One without a proxy.
    #[must_use]
    pub(crate) fn direct(tls: rustls::ClientConfig, limits: ConnectionLimits) -> Self {
        Self {
            direct: keep(tls, tcp(limits), limits),
            tunnelled: None,
            headers: HeaderMap::new(),
        }
    }

    /// Sends one request and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// When there is no whole answer, or one that cannot be read safely.
    pub(crate) async fn call(&self, call: HttpCall) -> Result<HttpAnswer, HttpError> {
        let HttpAnswer {
            status,
            headers,
            body,
        } = self.send(call).await?;
        Ok(HttpAnswer {
            status,
            headers,
            body: body?,
        })
    }

    /// The same where status and headers count even if the body is not whole.
    ///
    /// # Errors
    /// When no answer has begun.
    pub(crate) async fn send(
        &self,
        call: HttpCall,
    ) -> Result<HttpAnswer<Result<Bytes, HttpError>>, HttpError> {
        let now = Instant::now();
        let deadline = now + call.timeout;
        let send_by = call.send_timeout.map_or(deadline, |wait| now + wait);
        let max_bytes = call.max_bytes;
        let through = self.tunnelled.as_ref().filter(|(_, except)| {
            // Only TLS goes through the tunnel: what is plain goes to the loopback interface.
            call.uri.scheme_str() == Some("https")
                && call
                    .uri
                    .host()
                    .is_some_and(|host| !except.covers(host, call.uri.port_u16()))
        });
        let (request, state) = self.request(call);
        let mut response = pin!(match through {
            Some((tunnelled, _)) => tunnelled.request(request),
            None => self.direct.request(request),
        });
        let response = match timeout_at(send_by.min(deadline), &mut response).await {
            Ok(response) => response,
            Err(_elapsed) if state.may_have_left() => timeout_at(deadline, response)
                .await
                .map_err(|_elapsed| HttpError::TimedOut)?,
            Err(_elapsed) => return Err(HttpError::ConnectTimeout),
        };
        let response = response.map_err(|error| {
            if error.is_connect() || !state.may_have_left() {
                HttpError::Connect(Arc::new(error))
            } else {
                HttpError::Cut(Arc::new(error))
            }
        })?;
        let (head, body) = response.into_parts();
        let body = if is_encoded(&head.headers) {
            Err(HttpError::Encoded)
        } else {
            whole(body, deadline, max_bytes).await
        };
        Ok(HttpAnswer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn request(&self, call: HttpCall) -> (Request<Outgoing>, SendState) {
        let (body, state) = Outgoing::new(call.body);
        let mut request = Request::new(body);
        *request.method_mut() = call.method;
        *request.uri_mut() = call.uri;
        let headers = request.headers_mut();
        headers.insert(
            header::USER_AGENT,
            HeaderValue::from_static(concat!("elastauth/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.extend(self.headers.clone());
        headers.extend(call.headers);
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        (request, state)
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
