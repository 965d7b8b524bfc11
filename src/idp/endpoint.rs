//! The addresses of an identity provider, and its name.

use crate::{model::Shown, net::loopback::is_loopback, secret::address};
use http::Uri;
use serde_json::Value;
use std::fmt;

/// An identity provider's name for itself. Compared byte for byte: `https://idp` and `https://idp/`
/// are different.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Issuer {
    text: Box<str>,
    source: IssuerUse,
}

/// What an issuer is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum IssuerUse {
    /// The provider's description is fetched from it, and tokens must name it.
    Fetched,
    /// Tokens must name it. Every address is configured.
    Compared,
    /// None is configured: the text is the operator's name for the provider.
    Absent,
}

/// An address at an identity provider: https, or http where nothing better was configured.
#[derive(Clone, PartialEq, Eq)]
pub struct IdpEndpoint(Uri);

/// Why a text is not an address at an identity provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEndpoint {
    #[error("it is not a URL with a host")]
    NotUrl,
    #[error("it must begin with https:// or http://")]
    Scheme,
    #[error("it must not contain a user name or a password")]
    UserInformation,
    #[error("it must not contain a `#`")]
    Fragment,
    #[error("an issuer has no query")]
    Query,
    #[error("nothing is fetched from the issuer, because it is only compared")]
    Compared,
    #[error("no issuer is configured")]
    Absent,
}

impl Issuer {
    /// Takes the issuer as the provider writes it into its tokens.
    ///
    /// # Errors
    /// Says which rule the value breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        if text.contains('?') {
            return Err(InvalidEndpoint::Query);
        }
        IdpEndpoint::parse(text).map(|_| Self {
            text: text.into(),
            source: IssuerUse::Fetched,
        })
    }

    /// An issuer that tokens must name and from which nothing is fetched. It need not be a URL.
    #[must_use]
    pub fn compared(text: &str) -> Self {
        Self {
            text: text.into(),
            source: IssuerUse::Compared,
        }
    }

    /// For a provider that is asked about every token, none of which names an issuer.
    #[must_use]
    pub fn absent(provider: &str) -> Self {
        Self {
            text: provider.into(),
            source: IssuerUse::Absent,
        }
    }

    /// What tokens must name, if anything.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        (self.source != IssuerUse::Absent).then_some(&*self.text)
    }

    /// Whether the provider's description can be fetched from it.
    #[must_use]
    pub fn is_fetched(&self) -> bool {
        self.source == IssuerUse::Fetched
    }

    /// Whether what the provider says of itself is sent in clear.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.source == IssuerUse::Fetched
            && IdpEndpoint::parse(&self.text).is_ok_and(|endpoint| endpoint.is_plain())
    }

    /// Whether the provider's description can be fetched over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.source == IssuerUse::Fetched && self.text.starts_with("https://")
    }

    /// As in `iss`; the provider's name where there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where the provider describes itself (OpenID Connect Discovery 1.0, §4).
    pub(super) fn discovery(&self) -> Result<IdpEndpoint, InvalidEndpoint> {
        match self.source {
            IssuerUse::Fetched => IdpEndpoint::parse(&format!(
                "{}/.well-known/openid-configuration",
                self.text.trim_end_matches('/')
            )),
            IssuerUse::Compared => Err(InvalidEndpoint::Compared),
            IssuerUse::Absent => Err(InvalidEndpoint::Absent),
        }
    }
}

impl IdpEndpoint {
    /// Takes a URL.
    ///
    /// # Errors
    /// Says which rule the value breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidEndpoint> {
        // The parser drops a fragment silently.
        if text.contains('#') {
            return Err(InvalidEndpoint::Fragment);
        }
        let uri: Uri = text.parse().map_err(|_| InvalidEndpoint::NotUrl)?;
        let authority = uri.authority().ok_or(InvalidEndpoint::NotUrl)?;
        if authority.as_str().contains('@') {
            return Err(InvalidEndpoint::UserInformation);
        }
        match (uri.scheme_str(), authority.host()) {
            (_, "") => Err(InvalidEndpoint::NotUrl),
            (Some("https" | "http"), _) => Ok(Self(uri)),
            _ => Err(InvalidEndpoint::Scheme),
        }
    }

    /// Whether what is sent there is in clear on a network.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.0.scheme_str() == Some("http") && !self.0.host().is_some_and(is_loopback)
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }
}

/// As it may be logged.
impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&address::shown(&self.text))
    }
}

/// Without the query, which may be a secret.
impl fmt::Debug for IdpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.0.scheme_str().unwrap_or_default(),
            self.0.host().unwrap_or_default(),
            self.0.path()
        )
    }
}

/// What a provider has an address for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndpointKind {
    Discovery,
    Keys,
    Userinfo,
    Introspection,
}

impl EndpointKind {
    /// Whether tokens of users, or the secret of elastauth's client, are sent there.
    pub(super) fn gets_secrets(self) -> bool {
        matches!(self, Self::Userinfo | Self::Introspection)
    }
}

impl fmt::Display for EndpointKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "description (discovery)",
            Self::Keys => "keys (JWKS)",
            Self::Userinfo => "userinfo",
            Self::Introspection => "introspection",
        })
    }
}

/// The addresses of a provider, as configured or as its description has them. Configured ones win.
#[derive(Debug, Clone, Default)]
pub struct Endpoints {
    /// Where the keys are.
    pub jwks: Option<IdpEndpoint>,
    /// Whose a token is.
    pub userinfo: Option<IdpEndpoint>,
    /// Whether a token is active.
    pub introspection: Option<IdpEndpoint>,
}

impl Endpoints {
    /// The one for this.
    #[must_use]
    pub fn get(&self, what: EndpointKind) -> Option<&IdpEndpoint> {
        match what {
            EndpointKind::Keys => self.jwks.as_ref(),
            EndpointKind::Userinfo => self.userinfo.as_ref(),
            EndpointKind::Introspection => self.introspection.as_ref(),
            EndpointKind::Discovery => None,
        }
    }
}

/// What a provider says of itself.
#[derive(Debug)]
pub(crate) struct Description {
    pub(super) endpoints: Endpoints,
    /// What its access tokens name, where that is not the issuer of its ID tokens (ADFS).
    pub(crate) access_token_issuer: Option<Box<str>>,
}

/// Why a description is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidDiscovery {
    #[error("it is not a JSON object")]
    Shape,
    #[error(
        "it names another issuer than the configured one, which must be written exactly as the \
         provider does: {0}"
    )]
    Issuer(Shown),
    #[error("an address in it cannot be used")]
    Endpoint(#[source] InvalidEndpoint),
}

impl Description {
    /// Reads a provider's description of itself. With client certificates the provider's addresses
    /// for such clients win (RFC 8705, §5).
    pub(super) fn parse(
        bytes: &[u8],
        issuer: &Issuer,
        with_certificate: bool,
    ) -> Result<Self, InvalidDiscovery> {
        let document: Value = serde_json::from_slice(bytes).map_err(|_| InvalidDiscovery::Shape)?;
        let own = document
            .get("issuer")
            .and_then(Value::as_str)
            .ok_or(InvalidDiscovery::Shape)?;
        if own != issuer.as_str() {
            let found = [("issuer", document.get("issuer"))];
            let shown = Shown::mismatch(&found, [issuer.as_str()]);
            return Err(InvalidDiscovery::Issuer(shown));
        }
        let aliases = document
            .get("mtls_endpoint_aliases")
            .filter(|_| with_certificate);
        let endpoint = |name: &str| {
            let value = aliases
                .and_then(|aliases| aliases.get(name))
                .or_else(|| document.get(name));
            value
                .and_then(Value::as_str)
                .map(IdpEndpoint::parse)
                .transpose()
                .map_err(InvalidDiscovery::Endpoint)
        };
        let endpoints = Endpoints {
            jwks: endpoint("jwks_uri")?,
            userinfo: endpoint("userinfo_endpoint")?,
            introspection: endpoint("introspection_endpoint")?,
        };
        let access_token_issuer = document.get("access_token_issuer").and_then(Value::as_str);
        Ok(Self {
            endpoints,
            access_token_issuer: access_token_issuer
                .filter(|text| !text.is_empty())
                .map(Box::from),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use InvalidEndpoint as E;

    #[test]
    fn an_endpoint_is_https_or_http_and_plain_unless_on_this_machine() {
        for (text, verdict) in [
            ("https://idp.test/keys?tenant=1", None),
            ("http://127.0.0.1:8080/keys", None),
            ("http://[::1]:8080/keys", None),
            ("http://localhost/keys", None),
            ("http://idp.test/keys", None),
            ("ftp://idp.test/", Some(E::Scheme)),
            ("file:///etc/passwd", Some(E::NotUrl)),
            ("https://user:pass@idp.test/", Some(E::UserInformation)),
            ("https://idp.test/#x", Some(E::Fragment)),
            ("/keys", Some(E::NotUrl)),
            ("", Some(E::NotUrl)),
            ("https:///keys", Some(E::NotUrl)),
        ] {
            assert_eq!(IdpEndpoint::parse(text).err(), verdict, "{text}");
        }
        assert_eq!(Issuer::parse("https://idp.test/?x").err(), Some(E::Query));
        for (text, plain) in [
            ("https://idp.test/keys", false),
            ("http://127.0.0.1:8080/keys", false),
            ("http://[::1]:8080/keys", false),
            ("http://localhost/keys", false),
            ("http://idp.test/keys", true),
            ("http://127.0.0.1.evil.test/", true),
            ("http://localhost.evil.test/", true),
        ] {
            assert_eq!(
                IdpEndpoint::parse(text).unwrap().is_plain(),
                plain,
                "{text}"
            );
            assert_eq!(Issuer::parse(text).unwrap().is_plain(), plain, "{text}");
        }
    }

    #[test]
    fn the_issuer_must_be_written_as_the_provider_writes_it() {
        let read = |issuer: &str| {
            Description::parse(
                br#"{"issuer":"https://idp.test","jwks_uri":"https://idp.test/k"}"#,
                &Issuer::parse(issuer).unwrap(),
                false,
            )
        };
        assert_eq!(
            format!("{:?}", read("https://idp.test").unwrap().endpoints.jwks),
            "Some(https://idp.test/k)"
        );
        for other in ["https://idp.test/", "https://other.test"] {
            let why = read(other).unwrap_err();
            assert!(matches!(why, InvalidDiscovery::Issuer(_)), "{why}");
            let shown = format!("`issuer` is \"https://idp.test\", expected \"{other}\"");
            assert!(why.to_string().ends_with(&shown), "{why}");
        }
    }

    #[test]
    fn a_description_names_addresses_over_http() {
        let issuer = Issuer::parse("https://idp.test").unwrap();
        let read = Description::parse(
            br#"{"issuer":"https://idp.test","jwks_uri":"ldap://idp.test/k"}"#,
            &issuer,
            false,
        );
        assert_eq!(read.unwrap_err(), InvalidDiscovery::Endpoint(E::Scheme));
    }

    #[test]
    fn addresses_for_clients_with_a_certificate_win_if_there_is_one() {
        let issuer = Issuer::parse("https://idp.test").unwrap();
        let document = br#"{"issuer":"https://idp.test","userinfo_endpoint":"https://idp.test/u",
            "mtls_endpoint_aliases":{"userinfo_endpoint":"https://mtls.idp.test/u"}}"#;
        let shown = |with| {
            format!(
                "{:?}",
                Description::parse(document, &issuer, with)
                    .unwrap()
                    .endpoints
                    .userinfo
                    .unwrap()
            )
        };
        assert_eq!(
            (shown(false).as_str(), shown(true).as_str()),
            ("https://idp.test/u", "https://mtls.idp.test/u")
        );
    }
    #[test]
    fn a_description_may_name_another_issuer_for_access_tokens() {
        let issuer = Issuer::parse("https://idp.test/adfs").unwrap();
        let read = |value: &str| {
            let document =
                format!(r#"{{"issuer": "https://idp.test/adfs", "access_token_issuer": {value}}}"#);
            let read = Description::parse(document.as_bytes(), &issuer, false);
            read.unwrap().access_token_issuer
        };
        assert_eq!(
            read(r#""http://idp.test/adfs/services/trust""#).as_deref(),
            Some("http://idp.test/adfs/services/trust")
        );
        for none in ["null", "\"\"", "7", "[\"http://idp.test\"]"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
