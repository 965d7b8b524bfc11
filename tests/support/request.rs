//! A request as the gateway on this machine sends it.

use elastauth::internals::{
    net::trust::{self, Trust},
    request::{Protocol, Request},
};
use http::HeaderMap;

/// A forward-auth request with these headers.
pub(crate) fn request(headers: HeaderMap) -> Request {
    let trust = Trust::new(trust::Config {
        proxies: vec!["127.0.0.1/32".parse().unwrap()],
        ..trust::Config::default()
    });
    let loopback = std::net::IpAddr::from([127, 0, 0, 1]);
    let peer = trust.admit(loopback.into(), None, &headers).unwrap();
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.headers = headers;
    Request::new(peer, Protocol::ForwardAuth, parts)
}
