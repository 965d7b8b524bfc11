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
        gateway_keys: Vec::new(),
    });
    let peer = trust.admit([127, 0, 0, 1].into(), &headers).unwrap();
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.headers = headers;
    Request::new(peer, Protocol::ForwardAuth, parts)
}
