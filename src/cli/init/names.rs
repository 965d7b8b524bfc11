//! Names and addresses that the files of a gateway hold. Their texts are safe in every one of these
//! files without quotes.

use crate::{config, idp::Issuer, ledger::redis::RedisNode, net::loopback::is_loopback};
use http::Uri;
use std::{fmt, net::IpAddr, net::Ipv6Addr};

/// DNS allows no longer ones.
const LONGEST_NAME: usize = 253;
const LONGEST_LABEL: usize = 63;

/// A name under which clients ask, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostName(String);

impl HostName {
    /// # Errors
    /// Says which rule the text breaks.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rule = |why: &str| Err(why.to_owned());
        if text.contains("://") {
            return rule("a host name has no scheme; leave out what comes before the name");
        }
        if text.contains(['/', '?', '#']) {
            return rule("a host name has no path; leave out what comes after the name");
        }
        if text.contains('@') {
            return rule("a host name has no user name and no password");
        }
        if text.parse::<IpAddr>().is_ok() {
            return rule("it is an address; the gateway needs the name that clients ask for");
        }
        if text.contains(':') {
            return rule("a host name has no port; leave out the colon and what follows");
        }
        if !text.is_ascii() {
            return rule(
                "it is not ASCII; write it as browsers send it, for example \
                 `xn--bcher-kva.example.org` for `bücher.example.org`",
            );
        }
        if is_dns_name(text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            rule(
                "it is no host name such as `elasticsearch.example.org`: letters, digits and `-`, \
                 in parts of at most 63 characters with dots between them",
            )
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same with another first part: `kibana.example.org` for `elasticsearch.example.org`.
    pub(super) fn sibling(&self, first: &str) -> Option<String> {
        let (_, domain) = self.0.split_once('.')?;
        Some(format!("{first}.{domain}"))
    }
}

fn is_dns_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=LONGEST_LABEL).contains(&label.len())
            && label.bytes().all(is_allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let ends_in_digits = text
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= LONGEST_NAME && !ends_in_digits && text.split('.').all(is_label)
}

/// Where a gateway connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    host: String,
    pub(super) port: u16,
}

impl Address {
    /// # Errors
    /// Says what is missing.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = "it must be a host and a port such as `kibana:5601` or `192.168.1.5:5601`, \
                     without a scheme";
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or(wrong)?;
        Ok(Self {
            host: host_of(host).ok_or(wrong)?,
            port,
        })
    }

    /// Of a base URL that `config` has accepted.
    ///
    /// # Errors
    /// Where the host cannot be in the files of a gateway.
    pub(super) fn of(url: &Uri) -> Result<Self, String> {
        let host = url.host().and_then(host_of).ok_or(
            "its host is neither a name of letters, digits and `-` nor an address, and the \
             gateway's files need one",
        )?;
        let usual = if is_https(url) { 443 } else { 80 };
        Ok(Self {
            host,
            port: url.port_u16().unwrap_or(usual),
        })
    }

    /// Without brackets.
    pub(super) fn host(&self) -> &str {
        self.host.trim_matches(['[', ']'])
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// A name, an IPv4 address, or an IPv6 address in brackets. Names of services may have `_`.
fn host_of(text: &str) -> Option<String> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(inner) = inner {
        return inner.parse::<Ipv6Addr>().ok().map(|_| text.to_owned());
    }
    let is_v4 = text.parse::<std::net::Ipv4Addr>().is_ok();
    (is_v4 || is_dns_name(&text.replace('_', "x"))).then(|| text.to_ascii_lowercase())
}

pub(super) fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

/// The nodes of the cluster, with a comma between them.
///
/// # Errors
/// Without the text, which may hold a password.
pub(super) fn cluster(text: &str) -> Result<Vec<Uri>, String> {
    let mut nodes = Vec::new();
    for text in text
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        let url = config::server_url(text).map_err(|why| {
            let hint = if text.contains('@') {
                "; the service account gets its own password in `secrets/`"
            } else {
                ""
            };
            format!("it must be a URL such as `https://elasticsearch:9200`: {why}{hint}")
        })?;
        Address::of(&url)?;
        nodes.push(url);
    }
    if nodes.is_empty() {
        return Err("it names no node, for example `https://elasticsearch:9200`".to_owned());
    }
    if nodes.iter().any(is_https) && !nodes.iter().all(is_https) {
        return Err("some nodes are `https` and some are not; write `https` for all".to_owned());
    }
    Ok(nodes)
}

/// # Errors
/// Says which rule the text breaks.
pub(super) fn issuer(text: &str) -> Result<String, String> {
    Issuer::parse(text).map_err(|why| why.to_string())?;
    let url: Uri = text.parse().map_err(|_| "it is not a URL".to_owned())?;
    if !is_https(&url) && !is_loopback(url.host().unwrap_or_default()) {
        return Err(
            "it must begin with `https://`: otherwise whoever is between elastauth and the \
             provider can sign tokens for anybody"
                .to_owned(),
        );
    }
    if text.contains("/.well-known/") {
        return Err("the issuer is what comes before `/.well-known/`".to_owned());
    }
    Ok(text.to_owned())
}

/// # Errors
/// Without the text, which may hold a password.
pub(super) fn redis(text: &str) -> Result<String, String> {
    if text.contains('@') {
        return Err(
            "its password does not belong into the address; leave it out, and write \
             `cache.redis_password_file` into `config.yml` afterwards"
                .to_owned(),
        );
    }
    RedisNode::parse(text)
        .map(|_| text.to_owned())
        .map_err(|why| why.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_names_and_nothing_else() {
        for (text, name) in [
            ("elasticsearch.example.org", "elasticsearch.example.org"),
            ("ES.Example.ORG", "es.example.org"),
            ("xn--bcher-kva.example.org", "xn--bcher-kva.example.org"),
            ("localhost", "localhost"),
            ("a.b2", "a.b2"),
        ] {
            assert_eq!(HostName::parse(text).unwrap().as_str(), name);
        }
        for (text, word) in [
            ("https://es.example.org", "scheme"),
            ("es.example.org/app", "path"),
            ("es.example.org?x", "path"),
            ("es.example.org:443", "port"),
            ("bücher.example.org", "ASCII"),
            ("user@es.example.org", "user name"),
            ("192.0.2.1", "address"),
            ("::1", "address"),
            ("*.example.org", "no host name"),
            ("", "no host name"),
            ("a..b", "no host name"),
            ("-a.example", "no host name"),
            ("a_b.example", "no host name"),
            ("a.example.", "no host name"),
            ("a b", "no host name"),
            ("a`)||x", "no host name"),
            ("10.1", "no host name"),
        ] {
            let why = HostName::parse(text).unwrap_err();
            assert!(why.contains(word), "{text}: {why}");
        }
        assert!(HostName::parse(&"a.".repeat(130)).is_err());
        assert!(HostName::parse(&format!("{}.org", "a".repeat(64))).is_err());
    }

    #[test]
    fn addresses_have_a_host_and_a_port() {
        for text in ["kibana:5601", "10.0.0.1:80", "[::1]:443", "my_es:9200"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "kibana",
            "http://kibana:5601",
            "kibana:0",
            "::1:5",
            "a;b:1",
            ":5",
        ] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        let of = |text: &str| Address::of(&text.parse().unwrap()).unwrap().to_string();
        assert_eq!(of("https://es.example.org"), "es.example.org:443");
        assert_eq!(of("http://[::1]:9200/x"), "[::1]:9200");
    }

    #[test]
    fn a_cluster_with_credentials_is_refused_without_showing_them() {
        let why = cluster("https://elastic:MARKED@es:9200").unwrap_err();
        assert!(
            why.contains("keys of their own") && why.contains("secrets/"),
            "{why}"
        );
        assert!(!why.contains("MARKED"));
        for text in [
            "",
            " , ",
            "es:9200",
            "ftp://es",
            "https://a,http://b",
            "https://a;b:1",
        ] {
            assert!(cluster(text).is_err(), "{text}");
        }
        assert_eq!(cluster("https://a:9200, https://b:9200").unwrap().len(), 2);
    }

    #[test]
    fn an_issuer_is_https_but_on_this_machine() {
        for good in [
            "https://sso.example.org/realms/main",
            "http://127.0.0.1:1/realm",
        ] {
            assert_eq!(issuer(good).as_deref(), Ok(good));
        }
        for bad in [
            "http://sso.example.org",
            "sso.example.org",
            "https://a/.well-known/openid-configuration",
            "https://a?x",
            "https://u:p@a",
        ] {
            assert!(issuer(bad).is_err(), "{bad}");
        }
    }
}
