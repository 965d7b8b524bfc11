//! Which redirects of a provider's documents are followed.
//!
//! Never from https to plain http, and nothing that is secret is sent to another origin. The
//! documents themselves prove nothing by where they are: a description must name the configured
//! issuer.

use super::endpoint::IdpEndpoint;
use http::{HeaderMap, StatusCode, Uri, header, uri::Parts};

/// From http to https, from one host to another, and to or from a slash at the end.
pub(super) const MOST: u32 = 3;

/// Whether an answer says that the document is elsewhere. 302 and 303 lead to pages for people.
pub(super) fn is_one(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

/// Where it is now; `None` where that is not followed.
pub(super) fn followed(
    from: &IdpEndpoint,
    headers: &HeaderMap,
    with_credentials: bool,
) -> Option<IdpEndpoint> {
    let mut locations = headers.get_all(header::LOCATION).iter();
    let (location, None) = (locations.next()?.to_str().ok()?, locations.next()) else {
        return None;
    };
    let to = IdpEndpoint::parse(&absolute(from.uri(), location)?).ok()?;
    let is_same_origin = origin(from.uri()) == origin(to.uri());
    let is_https = to.uri().scheme_str() == Some("https");
    (is_same_origin || (is_https && !with_credentials)).then_some(to)
}

/// The location as a whole URL: it may leave out the scheme, or scheme and host.
fn absolute(from: &Uri, location: &str) -> Option<String> {
    let base = |path: &str| {
        let mut parts = Parts::default();
        parts.scheme = from.scheme().cloned();
        parts.authority = from.authority().cloned();
        parts.path_and_query = Some(path.parse().ok()?);
        Uri::from_parts(parts).ok().map(|uri| uri.to_string())
    };
    if location.starts_with("//") {
        Some(format!("{}:{location}", from.scheme_str()?))
    } else if location.starts_with('/') {
        base(location)
    } else if location.contains("://") {
        Some(location.to_owned())
    } else {
        // Beside the last part of the path.
        let folder = from
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        base(&format!("{folder}/{location}"))
    }
}

/// Scheme, host and port, in one form.
fn origin(uri: &Uri) -> Option<(&str, String, u16)> {
    let scheme = uri.scheme_str()?;
    let port = if scheme == "https" { 443 } else { 80 };
    let host = uri.host()?.to_ascii_lowercase();
    Some((scheme, host, uri.port_u16().unwrap_or(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(from: &str, location: &str, with_credentials: bool) -> Option<String> {
        let headers = HeaderMap::from_iter([(header::LOCATION, location.parse().unwrap())]);
        let from = IdpEndpoint::parse(from).unwrap();
        let to = followed(&from, &headers, with_credentials);
        to.map(|to| to.uri().to_string())
    }

    #[test]
    fn a_redirect_is_followed_on_the_same_origin_and_to_https() {
        let from = "https://idp.test/a/keys";
        for (location, expected) in [
            ("https://IDP.test:443/b", Some("https://IDP.test:443/b")),
            ("/b?c=d", Some("https://idp.test/b?c=d")),
            ("b", Some("https://idp.test/a/b")),
            ("//other.test/b", Some("https://other.test/b")),
            ("https://other.test/b", Some("https://other.test/b")),
            ("http://idp.test/b", None),
            ("http://127.0.0.1/b", None),
            ("ftp://idp.test/b", None),
            ("https://user@idp.test/b", None),
            ("", Some("https://idp.test/a/")),
        ] {
            assert_eq!(to(from, location, false).as_deref(), expected, "{location}");
        }
        let from = "http://127.0.0.1:1/keys";
        assert!(to(from, "https://idp.test/", false).is_some());
        assert!(to(from, "http://127.0.0.1:2/", false).is_none());
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let from = "https://idp.test/keys";
        assert!(to(from, "/b", true).is_some());
        assert!(to(from, "https://other.test/b", true).is_none());
        assert!(to(from, "https://idp.test:8443/b", true).is_none());
    }

    #[test]
    fn two_locations_are_none() {
        let from = IdpEndpoint::parse("https://idp.test/keys").unwrap();
        let mut headers = HeaderMap::new();
        headers.append(header::LOCATION, "/a".parse().unwrap());
        headers.append(header::LOCATION, "/b".parse().unwrap());
        assert!(followed(&from, &headers, false).is_none());
        assert!(followed(&from, &HeaderMap::new(), false).is_none());
    }
}
