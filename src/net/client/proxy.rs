//! The outbound proxy, in the syntax of `HTTPS_PROXY` and `NO_PROXY`. Nothing here reads the
//! environment.

use crate::net::loopback::is_loopback;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{HeaderValue, Uri, uri::Scheme};
use ipnet::IpNet;
use std::net::IpAddr;

/// A proxy that opens tunnels (`CONNECT`), and the hosts that are reached without it.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub(super) address: Uri,
    /// Marked as sensitive, so it is never shown.
    pub(super) authorization: Option<HeaderValue>,
    pub(super) except: NoProxy,
}

/// Why a text is no proxy. The text may hold a password and is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// No host, or no URL at all.
    #[error("the proxy is not a URL")]
    NotUrl,
    /// Another scheme.
    #[error(
        "the proxy must be an http:// URL; it only opens tunnels, and what goes through them is encrypted"
    )]
    Scheme,
    /// A control character in it, for one.
    #[error("the proxy's user name or password cannot be put into a header")]
    Credentials,
}

impl Proxy {
    /// Takes `http://[user:password@]host[:port]`, or `host:port` as it occurs in the wild.
    ///
    /// # Errors
    /// Says what is wrong without repeating the value.
    pub fn parse(text: &str, except: NoProxy) -> Result<Self, InvalidProxy> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(InvalidProxy::Scheme);
        }
        let rest = rest.trim_end_matches('/');
        let (credentials, host) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(credentials, host)| {
                (Some(credentials), host)
            });
        let address = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(host)
            .path_and_query("/")
            .build()
            .map_err(|_| InvalidProxy::NotUrl)?;
        if address.host().is_none_or(str::is_empty) {
            return Err(InvalidProxy::NotUrl);
        }
        let authorization = credentials.map(basic).transpose()?;
        Ok(Self {
            address,
            authorization,
            except,
        })
    }
}

fn basic(credentials: &str) -> Result<HeaderValue, InvalidProxy> {
    let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
    let plain = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let joined = [plain(user), b":".to_vec(), plain(password)].concat();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(joined)))
        .map_err(|_| InvalidProxy::Credentials)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Hosts that are reached directly: names with all below them, addresses, networks, each with a
/// port if wanted, or `*`.
#[derive(Debug, Clone, Default)]
pub struct NoProxy {
    all: bool,
    networks: Vec<IpNet>,
    names: Vec<(Box<str>, Option<u16>)>,
}

impl NoProxy {
    /// Takes a list with commas or spaces. Other entries match nothing, as with other
    /// programs.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parsed = Self::default();
        for entry in text
            .split([',', ' '])
            .map(str::trim)
            .filter(|entry| !entry.is_empty())
        {
            let bare = entry.trim_matches(['[', ']']);
            if entry == "*" {
                parsed.all = true;
            } else if let Ok(network) = entry.parse::<IpNet>() {
                parsed.networks.push(network);
            } else if let Ok(address) = bare.parse::<IpAddr>() {
                parsed.networks.push(address.into());
            } else {
                let (name, port) = entry
                    .rsplit_once(':')
                    .map_or((entry, None), |(name, port)| (name, port.parse().ok()));
                parsed.names.push((
                    name.trim_start_matches("*.")
                        .trim_start_matches('.')
                        .to_ascii_lowercase()
                        .into(),
                    port,
                ));
            }
        }
        parsed
    }

    /// Whether this host is reached directly. The loopback interface always is.
    pub(super) fn covers(&self, host: &str, port: Option<u16>) -> bool {
        let host = host
            .trim_matches(['[', ']'])
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if self.all || is_loopback(&host) {
            return true;
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return self
                .networks
                .iter()
                .any(|network| network.contains(&address));
        }
        self.names.iter().any(|(name, only)| {
            only.is_none_or(|only| port.unwrap_or(443) == only)
                && host
                    .strip_suffix(&**name)
                    .is_some_and(|before| before.is_empty() || before.ends_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_an_address_with_or_without_a_login() {
        let parsed = |text| Proxy::parse(text, NoProxy::default());
        let with = parsed("http://user:p%40ss@proxy.test:3128/").unwrap();
        assert_eq!(with.address.to_string(), "http://proxy.test:3128/");
        assert_eq!(
            with.authorization.as_ref().map(HeaderValue::as_bytes),
            Some(&b"Basic dXNlcjpwQHNz"[..])
        );
        assert!(!format!("{with:?}").contains("p@ss") && !format!("{with:?}").contains("dXNl"));
        assert!(parsed("proxy.test:3128").unwrap().authorization.is_none());
        assert_eq!(
            parsed("socks5://proxy.test").err(),
            Some(InvalidProxy::Scheme)
        );
        assert_eq!(
            parsed("https://proxy.test").err(),
            Some(InvalidProxy::Scheme)
        );
        assert_eq!(parsed("http://").err(), Some(InvalidProxy::NotUrl));
    }

    #[test]
    fn some_hosts_are_reached_directly() {
        let except = NoProxy::parse(
            "corp.test, .inner.test, *.star.test,10.0.0.0/8 192.0.2.7,port.test:8443",
        );
        for (host, port, direct) in [
            ("corp.test", None, true),
            ("IDP.corp.TEST", None, true),
            ("notcorp.test", None, false),
            ("a.inner.test", None, true),
            ("a.star.test", None, true),
            ("10.1.2.3", None, true),
            ("192.0.2.7", None, true),
            ("192.0.2.8", None, false),
            ("port.test", Some(8443), true),
            ("port.test", None, false),
            ("localhost", None, true),
            ("127.0.0.1", None, true),
            ("[::1]", None, true),
            ("idp.test", None, false),
        ] {
            assert_eq!(except.covers(host, port), direct, "{host}");
        }
        assert!(NoProxy::parse("*").covers("anything", None));
    }
}
