//! The host and the path of the client's request, as the gateway says them for choosing a cluster.
//! Each is said once and clearly, or nothing follows from it.

use super::{
    endpoint::Endpoint,
    host::{self, InvalidHost},
    path::{self, UnclearPath},
    protocol::Protocol,
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header::HOST};
use std::borrow::Cow;

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// nginx as the documents of Authelia set it up: scheme, host, path and query in one.
const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// Why a request does not say what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    #[error("the gateway does not say which host was asked for")]
    HostMissing,
    #[error("the gateway says twice which host was asked for")]
    HostRepeated,
    #[error("the headers of the request name two hosts")]
    HostContradicts,
    #[error("{0}")]
    Host(InvalidHost),
    #[error("the gateway does not say which path was asked for")]
    PathMissing,
    #[error("the gateway says twice which path was asked for")]
    PathRepeated,
    #[error("the headers of the request name two paths")]
    PathContradicts,
    #[error("{0}")]
    Path(UnclearPath),
    #[error("`X-Original-URL` is no URL")]
    OriginalUrl,
    #[error("a header that chooses a cluster is there more than once")]
    HeaderRepeated,
    #[error("the headers of the request choose two clusters")]
    HeadersContradict,
    #[error(
        "the gateway puts the client's own path behind `/elastauth`, so the client would choose \
         the cluster; it must ask below `/elastauth/ext-authz/`, or at a path of its own"
    )]
    Appended,
}

type HostAndPath<'a> = (&'a [u8], &'a [u8]);

/// What a request says about the client's.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(super) protocol: Protocol,
    /// Whether `X-Forwarded-*` count.
    pub(super) of_gateway: bool,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
}

impl<'a> Asked<'a> {
    /// The headers that may choose a cluster; `None` without a gateway, which sets them.
    pub(crate) fn headers(self) -> Option<&'a HeaderMap> {
        self.of_gateway.then_some(self.headers)
    }

    /// The host in its normal form.
    ///
    /// # Errors
    /// Where the gateway says none, or not clearly.
    pub(crate) fn host(self) -> Result<Cow<'a, str>, Unclear> {
        let forwarded = if self.of_gateway {
            self.single(&FORWARDED_HOST, Unclear::HostRepeated)?
        } else {
            None
        };
        let original = self.original_url()?.map(|(host, _)| host);
        let (own, named) = match self.protocol {
            // Envoy asks under the client's own host.
            Protocol::ExtAuthz => (
                self.uri.authority().map(|own| own.as_str().as_bytes()),
                self.single(&HOST, Unclear::HostRepeated)?,
            ),
            // A gateway in front may have put its own name into `Host`.
            Protocol::Proxy if forwarded.is_some() => (None, None),
            Protocol::Proxy => (
                self.uri.authority().map(|own| own.as_str().as_bytes()),
                self.single(&HOST, Unclear::HostRepeated)?,
            ),
            // A client may have sent `X-Original-URL`, and these gateways speak by other headers.
            Protocol::ForwardAuth if forwarded.is_none() => return Err(Unclear::HostMissing),
            Protocol::ForwardAuth | Protocol::AuthRequest => (None, None),
        };
        let mut said = [own, named, forwarded, original].into_iter().flatten();
        let first = said.next().ok_or(Unclear::HostMissing)?;
        let first = host::normal(first).map_err(Unclear::Host)?;
        for other in said {
            if host::normal(other).map_err(Unclear::Host)? != first {
                return Err(Unclear::HostContradicts);
            }
        }
        Ok(first)
    }

    /// The path, if it is clear.
    ///
    /// # Errors
    /// Where the gateway says none, or not clearly.
    pub(crate) fn path(self) -> Result<&'a str, Unclear> {
        if self.protocol == Protocol::Proxy {
            // The path that is passed on is the one that counts.
            return path::clear(self.uri.path().as_bytes()).map_err(Unclear::Path);
        }
        let forwarded = self.single(&FORWARDED_URI, Unclear::PathRepeated)?;
        let original = self.original_url()?.map(|(_, path)| path);
        let own = match self.protocol {
            // Envoy puts the client's path behind the configured one.
            Protocol::ExtAuthz => match Endpoint::of(self.uri.path()).rest {
                "" => Some("/"),
                rest => Some(rest),
            },
            Protocol::ForwardAuth if forwarded.is_none() => return Err(Unclear::PathMissing),
            Protocol::ForwardAuth | Protocol::AuthRequest | Protocol::Proxy => None,
        };
        let mut said = [own.map(str::as_bytes), forwarded, original]
            .into_iter()
            .flatten();
        let first = said.next().ok_or(Unclear::PathMissing)?;
        let first = path::clear(first).map_err(Unclear::Path)?;
        for other in said {
            if path::clear(other).map_err(Unclear::Path)? != first {
                return Err(Unclear::PathContradicts);
            }
        }
        Ok(first)
    }

    /// Host and path of nginx's `X-Original-URL`.
    fn original_url(self) -> Result<Option<HostAndPath<'a>>, Unclear> {
        if self.protocol == Protocol::Proxy {
            return Ok(None);
        }
        let url = self.single(&ORIGINAL_URL, Unclear::OriginalUrl)?;
        // Gateways that drop it make it empty.
        let Some(url) = url.filter(|url| !url.is_empty()) else {
            return Ok(None);
        };
        let start = |scheme: &[u8]| {
            let (own, rest) = url.split_at_checked(scheme.len())?;
            own.eq_ignore_ascii_case(scheme).then_some(rest)
        };
        let rest = start(b"https://").or_else(|| start(b"http://"));
        let rest = rest.ok_or(Unclear::OriginalUrl)?;
        let at = rest.iter().position(|byte| b"/?#\\".contains(byte));
        let (host, path) = rest.split_at(at.unwrap_or(rest.len()));
        Ok(Some((host, if path.is_empty() { b"/" } else { path })))
    }

    fn single(self, name: &HeaderName, repeated: Unclear) -> Result<Option<&'a [u8]>, Unclear> {
        single(self.headers, name).map_err(|Repeated| repeated)
    }
}

/// A header is there more than once.
pub(crate) struct Repeated;

/// The value of a header that may be there once.
pub(crate) fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a [u8]>, Repeated> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Repeated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Said = (Result<String, Unclear>, Result<String, Unclear>);

    fn said(protocol: Protocol, target: &str, headers: &[(&str, &str)]) -> Said {
        let mut request = http::Request::get(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap();
        let asked = Asked {
            protocol,
            of_gateway: true,
            uri: request.uri(),
            headers: request.headers(),
        };
        (
            asked.host().map(Cow::into_owned),
            asked.path().map(str::to_owned),
        )
    }

    fn clear(host: &str, path: &str) -> Said {
        (Ok(host.to_owned()), Ok(path.to_owned()))
    }

    const HOST_A: (&str, &str) = ("x-forwarded-host", "A.example:443");
    const PATH_A: (&str, &str) = ("x-forwarded-uri", "/a/b?c");

    #[test]
    fn gateways_say_it_in_their_own_headers() {
        use Protocol as P;
        let a = clear("a.example", "/a/b");
        let url = ("x-original-url", "https://a.example/a/b?c=d");
        assert_eq!(said(P::ForwardAuth, "/elastauth", &[HOST_A, PATH_A]), a);
        assert_eq!(said(P::AuthRequest, "/x", &[HOST_A, PATH_A]), a);
        assert_eq!(said(P::AuthRequest, "/x", &[url]), a);
        assert_eq!(said(P::AuthRequest, "/x", &[url, HOST_A, PATH_A]), a);
        let own = "/elastauth/ext-authz/a/b?c";
        assert_eq!(said(P::ExtAuthz, own, &[("host", "a.example:80")]), a);
        let own = "http://a.example/elastauth/ext-authz/a/b";
        assert_eq!(said(P::ExtAuthz, own, &[("host", "a.example")]), a);
        let own = "http://a.example/elastauth/ext-authz";
        assert_eq!(said(P::ExtAuthz, own, &[]), clear("a.example", "/"));
        let root = ("x-original-url", "http://a.example");
        assert_eq!(said(P::AuthRequest, "/x", &[root]), clear("a.example", "/"));
    }

    #[test]
    fn what_is_missing_repeated_or_contradictory_says_nothing() {
        use Protocol as P;
        let both = |host, path| (Err(host), Err(path));
        let missing = both(Unclear::HostMissing, Unclear::PathMissing);
        let url = |url| ("x-original-url", url);
        for protocol in [P::ForwardAuth, P::AuthRequest] {
            assert_eq!(
                said(protocol, "/elastauth", &[("host", "a.example")]),
                missing
            );
        }
        // Behind Traefik this is the client's own.
        let own = [url("https://a.example/a")];
        assert_eq!(said(P::ForwardAuth, "/elastauth", &own), missing);
        let twice = [HOST_A, HOST_A, PATH_A, PATH_A];
        assert_eq!(
            said(P::ForwardAuth, "/", &twice),
            both(Unclear::HostRepeated, Unclear::PathRepeated)
        );
        let other = [HOST_A, PATH_A, url("https://b.example/b")];
        let two = both(Unclear::HostContradicts, Unclear::PathContradicts);
        assert_eq!(said(P::ForwardAuth, "/", &other), two);
        assert_eq!(said(P::AuthRequest, "/", &other), two);
        let own = "http://b.example/elastauth/ext-authz/b";
        assert_eq!(said(P::ExtAuthz, own, &[HOST_A, PATH_A]), two);
        for bad in ["a.example/a", "ftp://a.example/", "//a.example/"] {
            assert_eq!(
                said(P::AuthRequest, "/", &[url(bad)]),
                both(Unclear::OriginalUrl, Unclear::OriginalUrl),
                "{bad}"
            );
        }
        let (host, _) = said(P::AuthRequest, "/", &[url("https://a@b.example/")]);
        assert_eq!(host, Err(Unclear::Host(InvalidHost::Character)));
    }
}
