//! Pages of other people in an operator's browser.
//!
//! The browser of an operator is often a trusted peer. A page elsewhere can make it send requests
//! here, and if that page's own name is made to mean our address (DNS rebinding), it can read the
//! answers too. But then `Host` is that name. Nobody can rebind an address or `localhost`.

use http::{
    HeaderValue,
    header::{HOST, ORIGIN},
    request::Parts,
    uri::Authority,
};
use std::net::IpAddr;

/// Names of the pages for operators, besides addresses and `localhost` (`admin.hosts`).
#[derive(Debug, Clone, Default)]
pub struct Hosts(Option<Vec<Box<str>>>);

impl Hosts {
    /// `None` where the key is not set.
    #[must_use]
    pub(crate) fn new(names: Option<Vec<Box<str>>>) -> Self {
        Self(names)
    }

    pub(super) fn are_named(&self) -> bool {
        self.0.is_some()
    }

    fn have(&self, asked: &Authority) -> bool {
        let host = asked.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = host.strip_suffix('.').unwrap_or(host);
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        let mut named = self.0.iter().flatten();
        bare.parse::<IpAddr>().is_ok() || is("localhost") || named.any(|own| is(own))
    }
}

/// Why a request is not an operator's own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotOperators {
    #[error(
        "the request names the host `{0}`, which is not in `admin.hosts`; add it there if it is \
         elastauth's own name"
    )]
    Host(String),
    #[error("a page of another site made the request")]
    CrossSite,
}

/// Whether a request for a page was made by an operator, as far as their browser says.
pub(super) fn check(request: &Parts, hosts: &Hosts) -> Result<(), NotOperators> {
    let site = HeaderValue::as_bytes;
    let mut sites = request.headers.get_all("sec-fetch-site").iter().map(site);
    if !sites.all(|site| [&b"same-origin"[..], b"none"].contains(&site)) {
        return Err(NotOperators::CrossSite);
    }
    let headers = request.headers.get_all(HOST).iter();
    let headers = headers.map(|value| (authority(value.as_bytes()), value.as_bytes()));
    let own = request.uri.authority();
    let own = own.map(|own| (Some(own.clone()), own.as_str().as_bytes()));
    let asked: Vec<_> = headers.chain(own).collect();
    for (host, text) in &asked {
        if !host.as_ref().is_some_and(|host| hosts.have(host)) {
            let text = String::from_utf8_lossy(text.get(..MAX_HOST_BYTES).unwrap_or(text));
            return Err(NotOperators::Host(text.escape_debug().to_string()));
        }
    }
    let is_asked = |origin: &HeaderValue| {
        let text = origin.to_str().unwrap_or_default();
        let from = text.split_once("://").map(|(_, authority)| authority);
        let from = from.and_then(|from| authority(from.as_bytes()));
        from.is_some_and(|from| asked.iter().any(|(host, _)| host.as_ref() == Some(&from)))
    };
    if request.headers.get_all(ORIGIN).iter().all(is_asked) {
        Ok(())
    } else {
        Err(NotOperators::CrossSite)
    }
}

/// As much of a host as a log line repeats.
const MAX_HOST_BYTES: usize = 255;

fn authority(text: &[u8]) -> Option<Authority> {
    let authority = Authority::try_from(text).ok()?;
    (!authority.as_str().contains('@')).then_some(authority)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn judged(uri: &str, headers: &[(&str, &str)], hosts: &[&str]) -> Result<(), NotOperators> {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let names = hosts.iter().map(|host| Box::from(*host)).collect();
        let (parts, ()) = request.body(()).unwrap().into_parts();
        check(&parts, &Hosts::new(Some(names)))
    }

    #[test]
    fn addresses_localhost_and_named_hosts_are_ours() {
        for (host, ours) in [
            ("10.1.2.3:5000", true),
            ("[::1]:5000", true),
            ("localhost:5000", true),
            ("LocalHost.", true),
            ("elastauth.internal:5001", true),
            ("Elastauth.Internal", true),
            ("evil.example:5000", false),
            ("elastauth.internal.evil.example", false),
            ("localhost.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("127.0.0.1@evil.example", false),
            ("evil.example@127.0.0.1", false),
            ("", false),
            ("a b", false),
        ] {
            for judged in [
                judged("/", &[("host", host)], &["elastauth.internal"]),
                judged(
                    "/",
                    &[("host", "10.1.2.3"), ("host", host)],
                    &["elastauth.internal"],
                ),
            ] {
                assert_eq!(judged.is_ok(), ours, "{host}: {judged:?}");
            }
        }
        assert!(judged("http://evil.example/", &[("host", "10.1.2.3")], &[]).is_err());
        assert!(judged("/", &[], &[]).is_ok(), "no browser sends no host");
        let long = "x".repeat(1_000);
        let Err(NotOperators::Host(told)) = judged("/", &[("host", &long)], &[]) else {
            panic!("a host that is not ours")
        };
        assert_eq!(told.len(), MAX_HOST_BYTES);
    }

    #[test]
    fn only_a_page_of_ours_or_the_operator_may_ask() {
        for (name, value, may) in [
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "same-site", false),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "", false),
            ("origin", "http://10.1.2.3:5000", true),
            ("origin", "https://10.1.2.3:5000", true),
            ("origin", "http://10.1.2.3:80", false),
            ("origin", "http://evil.example", false),
            ("origin", "null", false),
            ("origin", "", false),
        ] {
            let judged = judged("/", &[("host", "10.1.2.3:5000"), (name, value)], &[]);
            assert_eq!(judged.is_ok(), may, "{name}: {value}");
        }
    }
}
