//! A request of HTTP/2. Its frames say where it ends, and the h2 crate refuses a body that differs
//! from its length, headers of one connection and names in capitals. What is left is where it goes.

use super::{
    authority::is_authority,
    types::{FramingFault as Fault, HeadLimits},
};
use http::{
    Method, Request,
    header::{HOST, HeaderValue},
};

/// Holds a request to what one of HTTP/1 is held to.
pub(crate) fn judge<B>(request: &Request<B>, limits: HeadLimits) -> Result<(), Fault> {
    if [Method::CONNECT, Method::TRACE].contains(request.method()) {
        return Err(Fault::Method);
    }
    if !request.uri().path().starts_with('/') {
        return Err(Fault::Target);
    }
    if request.headers().len() > limits.fields {
        return Err(Fault::TooManyFields);
    }
    let mut hosts = request
        .headers()
        .get_all(HOST)
        .iter()
        .map(HeaderValue::as_bytes);
    let authority = request
        .uri()
        .authority()
        .map(|host| host.as_str().as_bytes());
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Fault::HostRepeated);
    }
    let named = authority.or(host).ok_or(Fault::HostMissing)?;
    if !is_authority(named) {
        return Err(Fault::HostMalformed);
    }
    match host {
        Some(host) if !host.eq_ignore_ascii_case(named) => Err(Fault::HostContradicted),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn judged(method: &str, uri: &str, headers: &[(&str, &str)]) -> Result<(), Fault> {
        let mut request = Request::builder().method(method).uri(uri);
        for header in headers {
            request = request.header(header.0, header.1);
        }
        let limits = HeadLimits {
            bytes: 0,
            fields: 3,
        };
        judge(&request.body(()).unwrap(), limits)
    }

    #[test]
    fn where_a_request_goes_is_clear_or_it_is_refused() {
        for (method, uri, headers, expected) in [
            ("GET", "https://a/x?y", &[][..], Ok(())),
            ("GET", "https://a:9200/", &[("host", "A:9200")], Ok(())),
            ("GET", "/x", &[("host", "a")], Ok(())),
            ("GET", "/x", &[], Err(Fault::HostMissing)),
            ("GET", "/x", &[("host", "a b")], Err(Fault::HostMalformed)),
            (
                "GET",
                "https://a/",
                &[("host", "b")],
                Err(Fault::HostContradicted),
            ),
            (
                "GET",
                "https://a/",
                &[("host", "a"), ("host", "a")],
                Err(Fault::HostRepeated),
            ),
            ("GET", "https://u@a/", &[], Err(Fault::HostMalformed)),
            ("OPTIONS", "*", &[("host", "a")], Err(Fault::Target)),
            ("CONNECT", "a:443", &[], Err(Fault::Method)),
            ("TRACE", "https://a/", &[], Err(Fault::Method)),
            (
                "GET",
                "https://a/",
                &[("a", ""), ("b", ""), ("c", ""), ("d", "")],
                Err(Fault::TooManyFields),
            ),
        ] {
            assert_eq!(
                judged(method, uri, headers),
                expected,
                "{method} {uri} {headers:?}"
            );
        }
    }
}
