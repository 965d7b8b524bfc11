//! A request that a gateway asks about. It carries the proof that its peer is trusted, so whoever
//! holds one may read its headers.
//!
//! What only a refusal needs (host, path, an id) is read when it is asked for: a known user pays
//! for none of it.

mod asked;
mod endpoint;
mod host;
mod path;
mod protocol;

pub(crate) use asked::{Asked, Unclear, single};
pub(crate) use endpoint::Endpoint;
pub(crate) use host::{InvalidHost, is_label, normal as normal_host};
pub(crate) use path::{UnclearPath, clear as clear_path, is_plain as is_plain_segment};
pub use protocol::Protocol;

use crate::net::trust::{AllowedProviders, TrustedPeer};
use aws_lc_rs::rand;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{ACCEPT, HOST},
    request::Parts,
};
use std::borrow::Cow;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// By when Envoy wants its own auth request to be answered.
const ENVOY_DEADLINE: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// Bounds on what a log line repeats of a request; with the escapes it stays a few KB.
const MAX_METHOD_BYTES: usize = 32;
const MAX_HOST_BYTES: usize = 255;
const MAX_PATH_BYTES: usize = 512;
/// The longest request id that is taken over. A UUID has 36; tracing headers stay below it.
const MAX_ID_BYTES: usize = 128;

/// An auth request of a trusted gateway, and what it says about the client's request.
#[derive(Debug)]
pub struct Request {
    peer: TrustedPeer,
    protocol: Protocol,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Request {
    /// The only way to make one: whoever calls it has the proof that the peer is trusted.
    #[must_use]
    pub fn new(peer: TrustedPeer, protocol: Protocol, parts: Parts) -> Self {
        Self {
            peer,
            protocol,
            method: parts.method,
            uri: parts.uri,
            headers: parts.headers,
        }
    }

    /// A forward-auth request with these headers, from a gateway on this machine.
    #[cfg(test)]
    pub(crate) fn with_headers(headers: HeaderMap) -> Self {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.headers = headers;
        Self::new(TrustedPeer::operator(), Protocol::ForwardAuth, parts)
    }

    /// Whether identity headers and `X-Forwarded-*` count.
    pub(crate) fn is_of_gateway(&self) -> bool {
        self.peer.is_gateway()
    }

    /// Of which providers the gateway may bring credentials.
    pub(crate) fn allowed_providers(&self) -> &AllowedProviders {
        self.peer.providers()
    }

    /// By which endpoint the gateway asks.
    #[must_use]
    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// The method of the auth request itself.
    pub(crate) fn own_method(&self) -> &Method {
        &self.method
    }

    /// Which of our endpoints the gateway asks.
    pub(crate) fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::of(self.uri.path())
    }

    /// Whether the path of the endpoint ends in the client's own path, as far as that can be told:
    /// a gateway that appends it would have to ask below `ext-authz`.
    pub(crate) fn ends_in_the_clients_path(&self) -> bool {
        let Some(own) = self.uri.path().strip_prefix(endpoint::OURS) else {
            return false;
        };
        let mut said = self.headers.get_all(&FORWARDED_URI).iter();
        let path = |value: &HeaderValue| {
            let mut parts = value.as_bytes().split(|byte| *byte == b'?');
            parts.next() == Some(own.as_bytes())
        };
        // Envoy says no path but in the target, and always appends it.
        let by_envoy = || {
            self.protocol != Protocol::ExtAuthz
                && self.headers.contains_key(ENVOY_DEADLINE)
                && !self.headers.contains_key(&FORWARDED_URI)
        };
        said.any(path) || by_envoy()
    }

    /// What it says about the client's request, for choosing a cluster.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            protocol: self.protocol,
            of_gateway: self.is_of_gateway(),
            uri: &self.uri,
            headers: &self.headers,
        }
    }

    /// The target of the auth request itself.
    pub(crate) fn own_uri(&self) -> &Uri {
        &self.uri
    }

    /// All headers, names and bytes exactly as they came.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The table of its headers, for those of the answer.
    pub(crate) fn into_headers(self) -> HeaderMap {
        self.headers
    }

    /// The client's method, cut to 32 bytes.
    #[must_use]
    pub fn method(&self) -> Option<Cow<'_, str>> {
        let own = || {
            self.is_the_clients_own()
                .then_some(self.method.as_str().as_bytes())
        };
        let method = self.forwarded(&FORWARDED_METHOD).or_else(own)?;
        Some(bounded(method, MAX_METHOD_BYTES))
    }

    /// The host that the client asked for, cut to 255 bytes.
    #[must_use]
    pub fn host(&self) -> Option<Cow<'_, str>> {
        let own = || {
            let own = self.uri.authority().map(|own| own.as_str().as_bytes());
            own.or_else(|| self.value(&HOST))
                .filter(|_| self.protocol == Protocol::Proxy)
        };
        let forwarded = self.value(&FORWARDED_HOST);
        let host = forwarded.filter(|_| self.is_of_gateway()).or_else(own)?;
        Some(bounded(host, MAX_HOST_BYTES))
    }

    /// The path that the client asked for, cut to 512 bytes and without the query, which may hold a
    /// token.
    #[must_use]
    pub fn path(&self) -> Option<Cow<'_, str>> {
        let own = || {
            self.is_the_clients_own()
                .then_some(self.uri.path().as_bytes())
        };
        let uri = self.forwarded(&FORWARDED_URI).or_else(own)?;
        let path = uri.split(|byte| *byte == b'?').next()?;
        Some(bounded(path, MAX_PATH_BYTES))
    }

    /// The gateway's id of the request, where it sends one that fits into a log line.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        id_of(&self.headers)
    }

    /// Whether a person waits for the answer: the navigation of a browser names `text/html`, what
    /// scripts and API clients send (`*/*`) does not.
    #[must_use]
    pub fn wants_page(&self) -> bool {
        self.headers
            .get_all(ACCEPT)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|range| range.split(|byte| *byte == b';').next())
            .any(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/html"))
    }

    /// Envoy sends no X-Forwarded-Method and -Uri: its auth request has the client's own.
    fn is_the_clients_own(&self) -> bool {
        matches!(self.protocol, Protocol::ExtAuthz | Protocol::Proxy)
    }

    /// What an auth request says of the client's. A request that is passed on says it itself.
    fn forwarded(&self, name: &HeaderName) -> Option<&[u8]> {
        let value = self.value(name);
        value.filter(|_| self.protocol != Protocol::Proxy)
    }

    fn value(&self, name: &HeaderName) -> Option<&[u8]> {
        self.headers.get(name).map(HeaderValue::as_bytes)
    }
}

/// The id of a request, where it has one that fits into a log line.
#[must_use]
pub(crate) fn id_of(headers: &HeaderMap) -> Option<&str> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let fits =
        (1..=MAX_ID_BYTES).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then_some(id)
}

/// An id for a request that has none: sixteen hex digits. A system without randomness gives zeros,
/// which is good enough to find a line in a log.
#[must_use]
pub(crate) fn random_id() -> String {
    let mut bytes = [0_u8; 8];
    let _zeros_are_good_enough = rand::fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

fn bounded(bytes: &[u8], max: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.get(..max).unwrap_or(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: HeaderName, value: &str) -> Request {
        let value = HeaderValue::from_str(value).unwrap();
        Request::with_headers(HeaderMap::from_iter([(name, value)]))
    }

    #[test]
    fn the_query_is_left_out_of_the_path_and_the_rest_is_bounded() {
        let long = "/".repeat(10_000);
        assert_eq!(
            with(FORWARDED_URI, "/app?token=secret").path().as_deref(),
            Some("/app")
        );
        assert_eq!(
            with(FORWARDED_URI, &long).path().map(|path| path.len()),
            Some(MAX_PATH_BYTES)
        );
    }

    #[test]
    fn only_envoys_auth_request_has_the_clients_method_and_path() {
        let asked = |protocol| {
            let (parts, ()) = http::Request::delete("/elastauth/ext-authz/app?x=1")
                .body(())
                .unwrap()
                .into_parts();
            let request = Request::new(TrustedPeer::operator(), protocol, parts);
            let owned = |text: Option<Cow<'_, str>>| text.map(Cow::into_owned);
            (owned(request.method()), owned(request.path()))
        };
        assert_eq!(
            asked(Protocol::ExtAuthz),
            (
                Some("DELETE".to_owned()),
                Some("/elastauth/ext-authz/app".to_owned())
            )
        );
        assert_eq!(asked(Protocol::ForwardAuth), (None, None));
    }

    #[test]
    fn a_client_who_writes_the_path_of_an_endpoint_is_noticed() {
        let of = |target: &str, headers: &[(&str, &str)]| {
            let mut request = http::Request::get(target);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let protocol = Endpoint::of(parts.uri.path()).protocol;
            Request::new(TrustedPeer::operator(), protocol, parts).ends_in_the_clients_path()
        };
        let uri = |value| ("x-forwarded-uri", value);
        let envoy = ("x-envoy-expected-rq-timeout-ms", "200");
        let (one, envoys) = ("/elastauth/clusters/a", "/elastauth/clusters/a/ext-authz/x");
        for (target, headers, appended) in [
            (one, vec![], false),
            (one, vec![uri("/x")], false),
            (one, vec![uri("/clusters/a?b"), uri("/x")], true),
            (one, vec![uri("/clusters/ab")], false),
            (one, vec![envoy], true),
            // Traefik behind an edge of Envoy.
            (one, vec![envoy, uri("/x")], false),
            (envoys, vec![envoy], false),
        ] {
            assert_eq!(of(target, &headers), appended, "{target} {headers:?}");
        }
    }

    #[test]
    fn the_host_is_the_one_that_the_gateway_names() {
        assert_eq!(
            with(FORWARDED_HOST, "kibana.example.org").host().as_deref(),
            Some("kibana.example.org")
        );
    }

    #[test]
    fn a_request_id_is_taken_over_if_it_is_one() {
        assert_eq!(
            with(REQUEST_ID, "0af7651916cd43dd").id(),
            Some("0af7651916cd43dd")
        );
        for bad in ["", "a b", &"x".repeat(129)] {
            assert_eq!(with(REQUEST_ID, bad).id(), None);
        }
        let (one, other) = (random_id(), random_id());
        assert!(one.len() == 16 && one != other);
    }

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        let wants_page = |accept| with(ACCEPT, accept).wants_page();
        assert!(wants_page(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        ));
        assert!(wants_page("application/json, Text/HTML;q=0.9"));
        for other in ["*/*", "application/json", "text/html5", ""] {
            assert!(!wants_page(other), "{other}");
        }
        assert!(!Request::with_headers(HeaderMap::new()).wants_page());
    }
}
