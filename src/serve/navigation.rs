//! The navigation of a browser, and the URL that its user wants to see.
//!
//! Both come from what the trusted gateway says about the client's request. A value that is
//! missing, repeated or malformed gives no URL: a redirect must not lead where somebody else chose.

use crate::request::{Protocol, Request};
use http::{
    HeaderMap, HeaderValue,
    header::{HOST, HeaderName},
};
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use std::net::Ipv6Addr;

const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The longest host with its port: a DNS name has at most 253 characters.
const MAX_HOST_BYTES: usize = 260;

/// Characters that no URL has. Some clients send them as they are, and browsers read `\` as `/`.
const NOT_OF_URLS: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What the user wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestedUrl {
    /// Scheme, host and port.
    pub(super) origin: String,
    pub(super) path: String,
    /// With its `?`; empty where there is none.
    pub(super) query: String,
}

/// Whether a person waits in front of a browser that follows a redirect: it asks for a page, and
/// asking changes nothing. A script cannot show a sign-in page.
pub(super) fn is_navigation(request: &Request) -> bool {
    let headers = request.headers();
    let method = match request.protocol() {
        Protocol::ExtAuthz | Protocol::Proxy => Some(request.own_method().as_str().as_bytes()),
        Protocol::ForwardAuth => only(headers, &FORWARDED_METHOD),
        Protocol::AuthRequest => None,
    };
    if !matches!(method, Some(b"GET" | b"HEAD")) {
        return false;
    }
    // Scripts cannot set these, and browsers that know one know the mode.
    // Caddy sends a header that it was told to send without a value, if the client has none.
    let mut fields = headers.iter();
    if fields.any(|(name, value)| name.as_str().starts_with("sec-fetch-") && !value.is_empty()) {
        return only(headers, &FETCH_MODE) == Some(b"navigate");
    }
    let is_script = headers.get_all(REQUESTED_WITH).iter().any(|with| {
        with.as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"XMLHttpRequest")
    });
    request.wants_page() && !is_script
}

/// The URL of the client's request; `None` where the gateway does not say one clearly. In proxy
/// mode a browser that came without a gateway says it by its request, and its connection is
/// `secure` or not.
pub(super) fn requested_url(request: &Request, secure: bool) -> Option<RequestedUrl> {
    let headers = request.headers();
    if !request.is_of_gateway() {
        let own = request.own_uri();
        let asked = own.authority().map(|own| own.as_str().as_bytes());
        let host = asked.or_else(|| only(headers, &HOST))?;
        let scheme = if secure { "https" } else { "http" };
        let is_own = request.protocol() == Protocol::Proxy;
        let target = own.path_and_query().filter(|_| is_own)?;
        return url_of(scheme, host, target.as_str().as_bytes());
    }
    let scheme = match only(headers, &PROTO)? {
        proto if proto.eq_ignore_ascii_case(b"https") => "https",
        proto if proto.eq_ignore_ascii_case(b"http") => "http",
        _ => return None,
    };
    let (host, uri) = match request.protocol() {
        Protocol::ForwardAuth => (
            only(headers, &FORWARDED_HOST)?,
            only(headers, &FORWARDED_URI)?,
        ),
        Protocol::ExtAuthz => (own_host(request)?, own_uri(request)?),
        Protocol::Proxy => {
            let host = only(headers, &FORWARDED_HOST).or_else(|| own_host(request))?;
            let own = request.own_uri().path_and_query()?;
            (host, own.as_str().as_bytes())
        }
        Protocol::AuthRequest => return None,
    };
    url_of(scheme, host, uri)
}

fn url_of(scheme: &str, host: &[u8], uri: &[u8]) -> Option<RequestedUrl> {
    let host = host_of_url(host)?;
    // Anything but a path would be a host, or a part of one.
    if !uri.starts_with(b"/") {
        return None;
    }
    let at = uri.iter().position(|byte| *byte == b'?');
    let (path, query) = uri.split_at(at.unwrap_or(uri.len()));
    let encoded = |part| percent_encode(part, NOT_OF_URLS).to_string();
    Some(RequestedUrl {
        origin: format!("{scheme}://{host}"),
        path: encoded(path),
        query: encoded(query),
    })
}

/// Envoy asks under the client's own host. It may pass on the client's `X-Forwarded-Host`, which
/// must not contradict.
fn own_host(request: &Request) -> Option<&[u8]> {
    let headers = request.headers();
    let own = request.own_uri().authority();
    let own = own.map(|authority| authority.as_str().as_bytes());
    let named = headers.get_all(HOST).iter();
    let named = named.chain(headers.get_all(FORWARDED_HOST));
    let mut all = own.into_iter().chain(named.map(HeaderValue::as_bytes));
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}

/// Envoy puts the client's path and query behind the configured one.
fn own_uri(request: &Request) -> Option<&[u8]> {
    let endpoint = request.endpoint();
    if endpoint.protocol != Protocol::ExtAuthz {
        return None;
    }
    match endpoint.rest {
        "" => Some(b"/"),
        path => {
            let own = request.own_uri().path_and_query()?.as_str();
            let before = request.own_uri().path().len() - path.len();
            own.as_bytes().get(before..)
        }
    }
}

/// A name or an address, and perhaps a port. Nothing else: `user@host` leads to another host than
/// it seems.
fn host_of_url(host: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(host).ok()?;
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port != 0)
    };
    let is_name = if let Some(address) = name.strip_prefix('[') {
        let address = address.strip_suffix(']');
        address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
    } else {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(fits)
    };
    (text.len() <= MAX_HOST_BYTES && is_name && port.is_none_or(is_port)).then_some(text)
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then(|| value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::trust::TrustedPeer;

    fn asked(protocol: Protocol, target: &str, headers: &[(&str, &[u8])]) -> Request {
        let mut request = http::Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        Request::new(TrustedPeer::operator(), protocol, parts)
    }

    fn url(protocol: Protocol, target: &str, headers: &[(&str, &[u8])]) -> Option<String> {
        let found = requested_url(&asked(protocol, target, headers), false)?;
        Some(found.origin + &found.path + &found.query)
    }

    fn forwarded(host: &[u8], uri: &[u8]) -> Option<String> {
        let headers = [
            ("x-forwarded-proto", &b"https"[..]),
            ("x-forwarded-host", host),
            ("x-forwarded-uri", uri),
        ];
        url(Protocol::ForwardAuth, "/", &headers)
    }

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_more() {
        for good in [
            "kibana.example.org",
            "kibana.example.org:8443",
            "my_host",
            "192.0.2.1:80",
            "[2001:db8::1]",
            "[2001:db8::1]:8443",
        ] {
            assert_eq!(
                forwarded(good.as_bytes(), b"/a"),
                Some(format!("https://{good}/a"))
            );
        }
        for bad in [
            "",
            "user@host",
            "kibana.example.org@evil.example",
            "kibana.example.org:pass@evil.example",
            "kibana.example.org, evil.example",
            "kibana.example.org evil.example",
            "evil.example/",
            "evil.example?",
            "evil.example#",
            "evil.example\\",
            "//evil.example",
            "a:0",
            "a:",
            "a:99999",
            "a:+80",
            "a:b:80",
            "2001:db8::1",
            "[2001:db8::1",
            "[evil.example]",
            "[::1]evil.example",
            ".",
            "-a",
            "k\u{f6}ln.example",
            "a%2eb",
            "a\tb",
        ] {
            assert_eq!(forwarded(bad.as_bytes(), b"/a"), None, "{bad}");
        }
        assert_eq!(forwarded("a".repeat(261).as_bytes(), b"/"), None);
        assert_eq!(forwarded(b"a\xff", b"/"), None);
    }

    #[test]
    fn a_path_stays_a_path() {
        for (uri, path) in [
            (&b"/"[..], "/"),
            (b"/app?x=1&y=%2F", "/app?x=1&y=%2F"),
            (b"//evil.example/x", "//evil.example/x"),
            (b"/\\evil.example", "/%5Cevil.example"),
            (b"/a#b", "/a%23b"),
            (b"/k\xc3\xb6ln?q=\xff", "/k%C3%B6ln?q=%FF"),
            (b"/a\tb c", "/a%09b%20c"),
        ] {
            let expected = Some(format!("https://h{path}"));
            assert_eq!(forwarded(b"h", uri), expected, "{path}");
        }
        for bad in ["", "@evil.example/", ".evil.example", "https://h/", "*"] {
            assert_eq!(forwarded(b"h", bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn what_is_missing_repeated_or_of_another_scheme_gives_no_url() {
        let all = [
            ("x-forwarded-proto", &b"https"[..]),
            ("x-forwarded-host", b"h"),
            ("x-forwarded-uri", b"/"),
        ];
        let of = |headers: &[(&str, &[u8])]| url(Protocol::ForwardAuth, "/", headers);
        assert_eq!(of(&all).as_deref(), Some("https://h/"));
        for at in 0..all.len() {
            let mut without = all.to_vec();
            let one = without.remove(at);
            assert_eq!(of(&without), None, "without {}", one.0);
            assert_eq!(of(&[&all[..], &[one]].concat()), None, "two {}", one.0);
        }
        for proto in ["wss", "javascript", "https, http", ""] {
            let mut other = all;
            other[0].1 = proto.as_bytes();
            assert_eq!(of(&other), None, "{proto}");
        }
        assert_eq!(url(Protocol::AuthRequest, "/", &all), None);
    }

    #[test]
    fn envoy_asks_under_the_clients_own_host_and_path() {
        let of = |target: &str, headers: &[(&str, &[u8])]| {
            let proto = ("x-forwarded-proto", &b"https"[..]);
            url(Protocol::ExtAuthz, target, &[&[proto], headers].concat())
        };
        let host = ("host", &b"kibana.example.org"[..]);
        assert_eq!(
            of("/elastauth/ext-authz/app?x=1", &[host]).as_deref(),
            Some("https://kibana.example.org/app?x=1")
        );
        assert_eq!(
            of("/elastauth/ext-authz", &[host]).as_deref(),
            Some("https://kibana.example.org/")
        );
        assert_eq!(
            of("http://kibana.example.org/elastauth/ext-authz/a", &[]).as_deref(),
            Some("https://kibana.example.org/a")
        );
        let forwarded = ("x-forwarded-host", &b"evil.example"[..]);
        assert_eq!(of("/elastauth/ext-authz/", &[host, forwarded]), None);
        assert_eq!(
            of("/elastauth/ext-authz/", &[host, host]),
            Some("https://kibana.example.org/".to_owned())
        );
        assert_eq!(of("/elastauth/ext-authz/", &[]), None);
        assert_eq!(of("/elastauth/ext-authz@evil/", &[host]), None);
    }

    #[test]
    fn only_a_page_that_a_person_waits_for_is_a_navigation() {
        let of = |headers: &[(&str, &str)]| {
            let headers: Vec<_> = headers.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
            is_navigation(&asked(Protocol::ForwardAuth, "/", &headers))
        };
        let (get, page) = (
            ("x-forwarded-method", "GET"),
            ("accept", "text/html,*/*;q=0.8"),
        );
        let mode = |mode| ("sec-fetch-mode", mode);
        assert!(of(&[get, page]) && of(&[get, mode("navigate")]));
        assert!(of(&[("x-forwarded-method", "HEAD"), page]));
        assert!(of(&[
            get,
            page,
            ("x-requested-with", "org.example.browser")
        ]));
        assert!(of(&[get, page, mode("")]));
        for other in [
            &[page][..],
            &[("x-forwarded-method", "POST"), page],
            &[("x-forwarded-method", "get"), page],
            &[get, get, page],
            &[get],
            &[get, ("accept", "*/*")],
            &[get, ("accept", "application/json")],
            &[get, page, ("x-requested-with", "xmlhttprequest")],
            &[get, mode("")],
            &[get, page, mode("cors")],
            &[get, page, mode("no-cors")],
            &[get, page, mode("same-origin")],
            &[get, page, mode("websocket")],
            &[get, page, mode("navigate"), mode("cors")],
            &[get, page, ("sec-fetch-dest", "empty")],
        ] {
            assert!(!of(other), "{other:?}");
        }
    }
}
