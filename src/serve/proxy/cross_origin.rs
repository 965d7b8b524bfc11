//! Requests that a page of another site had a browser send.
//!
//! A browser adds the cookies of a host to whatever any page asks of it. Where such a cookie has
//! the token, a page of another site could write to the cluster as whoever looks at it. Only a
//! browser can be misled like this. It says in `Sec-Fetch-Site` whose page it is; older ones, and
//! all of them over plain HTTP, say it in `Origin`.

use crate::{
    flow::{AuthError, Decision, RefusedRequest},
    identity::oidc::Oidc,
    request::Request,
    telemetry::metrics::ProviderLabel,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header::ORIGIN};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Takes back a grant for a request that a page of another origin sent, with the user's token in a
/// cookie and to change something.
pub(super) fn refused(
    decision: Decision,
    request: &Request,
    asks_for_websocket: bool,
    oidc: Option<&Oidc>,
) -> Decision {
    let Ok(grant) = &decision.result else {
        return decision;
    };
    let is_refused = may_change(request.own_method(), asks_for_websocket)
        && is_of_other_origin(request.headers(), request.host().as_deref())
        && grant.identity().provider().kind() == ProviderLabel::Oidc
        && oidc.is_some_and(|oidc| oidc.is_in_cookie(request.headers()));
    if !is_refused {
        return decision;
    }
    let refused = RefusedRequest {
        identity: Some(grant.identity().clone()),
        why: AuthError::CrossOrigin,
        remarks: Vec::new(),
    };
    Decision {
        result: Err(refused),
        ..decision
    }
}

/// What only reads is left to the browser: the page does not get the answer.
fn may_change(method: &Method, asks_for_websocket: bool) -> bool {
    asks_for_websocket || ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// Whether a page of another origin sent it. `asked_host` is the host that the browser asked.
fn is_of_other_origin(headers: &HeaderMap, asked_host: Option<&str>) -> bool {
    let mut sites = headers.get_all(SEC_FETCH_SITE).iter().peekable();
    if sites.peek().is_some() {
        // `none` is what the user did themselves, such as opening a bookmark.
        return !sites.all(|site| site == "same-origin" || site == "none");
    }
    let is_own = |origin: &HeaderValue| {
        let own = asked_host.zip(origin.to_str().ok());
        own.is_some_and(|(host, origin)| is_at(origin, host))
    };
    !headers.get_all(ORIGIN).iter().all(is_own)
}

/// The scheme is not compared: who ends TLS in front may not say that it did.
fn is_at(origin: &str, host: &str) -> bool {
    let Some((scheme, own)) = origin.split_once("://") else {
        return false;
    };
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return false,
    };
    let bare = |host| str::strip_suffix(host, port).unwrap_or(host);
    bare(own).eq_ignore_ascii_case(bare(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(pairs: &[(&'static str, &'static str)], host: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        is_of_other_origin(&headers, host)
    }

    #[test]
    fn the_browser_says_whose_page_it_is() {
        let other = ("origin", "https://evil.example");
        for (site, is_other) in [
            ("same-origin", false),
            ("none", false),
            ("same-site", true),
            ("cross-site", true),
            ("", true),
            ("Same-Origin", true),
        ] {
            let site = ("sec-fetch-site", site);
            assert_eq!(is_refused(&[site], None), is_other, "{site:?}");
            assert_eq!(is_refused(&[site, other], None), is_other, "{site:?}");
        }
        let both = [
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-site", "cross-site"),
        ];
        assert!(is_refused(&both, None));
    }

    #[test]
    fn without_its_word_the_origin_is_the_host_that_was_asked() {
        for (origin, host, is_other) in [
            ("https://es.example", "es.example", false),
            ("https://es.example", "ES.example:443", false),
            ("http://es.example:80", "es.example", false),
            ("https://es.example:9200", "es.example:9200", false),
            ("https://[::1]:9200", "[::1]:9200", false),
            ("https://es.example:9200", "es.example", true),
            ("https://es.example:80", "es.example", true),
            ("https://evil.example", "es.example", true),
            ("https://es.example.evil.example", "es.example", true),
            ("file://es.example", "es.example", true),
            ("null", "es.example", true),
            ("", "es.example", true),
        ] {
            let headers = [("origin", origin)];
            let refused = is_refused(&headers, Some(host));
            assert_eq!(refused, is_other, "{origin} {host}");
            assert!(is_refused(&headers, None));
        }
        let both = [
            ("origin", "https://es.example"),
            ("origin", "https://evil.example"),
        ];
        assert!(is_refused(&both, Some("es.example")));
        assert!(!is_refused(&[], Some("es.example")));
    }

    #[test]
    fn what_only_asks_is_left_to_the_browser() {
        for (method, websocket, expected) in [
            ("GET", false, false),
            ("HEAD", false, false),
            ("OPTIONS", false, false),
            ("GET", true, true),
            ("POST", false, true),
            ("PUT", false, true),
            ("DELETE", false, true),
            ("PATCH", false, true),
            ("get", false, true),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            assert_eq!(may_change(&method, websocket), expected, "{method}");
        }
    }
}
