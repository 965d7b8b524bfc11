//! Which peers are trusted.
//!
//! Nothing in an auth request shows whether the gateway has deleted the client's own identity
//! headers, and no gateway signs what it sends. So a connection is trusted: by the address of its
//! peer, or by the file mode of a unix socket; and where gateways share a network with others, by a
//! key that the gateway sends, or by the names in its client certificate.

mod config;
mod providers;
#[cfg(test)]
mod tests;

pub use config::Config;
pub(crate) use config::{KnownKey, KnownName};
pub(crate) use providers::AllowedProviders;

use super::{peer::Peer, tls::CertificateNames};
use http::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv4Addr};

/// The header in which a gateway sends its key. All gateways can overwrite a client's header.
pub(crate) const KEY_HEADER: HeaderName = HeaderName::from_static("x-elastauth-key");

/// Decides which peers are trusted.
#[derive(Debug)]
pub struct Trust(Config);

/// Proof that a peer is trusted: [`Trust::admit`] makes it for the peer of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedPeer {
    peer: Peer,
    providers: AllowedProviders,
    standing: Standing,
}

/// As what a peer is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// As a gateway: it says who asks, and what was asked for.
    Gateway,
    /// As a client who asks for themselves. A token proves itself; nothing else that they send says
    /// who they are or where they come from.
    Client,
}

impl TrustedPeer {
    /// The operator of this machine, who plays a gateway (`elastauth explain`).
    pub(crate) fn operator() -> Self {
        Self {
            peer: Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            providers: AllowedProviders::default(),
            standing: Standing::Gateway,
        }
    }

    /// Somebody who asks for themselves, with a token.
    pub(crate) fn client(peer: Peer) -> Self {
        Self {
            peer,
            providers: AllowedProviders::default(),
            standing: Standing::Client,
        }
    }

    /// Whether identity headers and `X-Forwarded-*` count. Otherwise tokens alone do.
    pub(crate) fn is_gateway(&self) -> bool {
        self.standing == Standing::Gateway
    }

    /// Of which providers it may bring credentials.
    pub(crate) fn providers(&self) -> &AllowedProviders {
        &self.providers
    }

    #[cfg(test)]
    pub(crate) fn peer(&self) -> Peer {
        self.peer
    }
}

/// Why a peer is not trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It connects from outside `trusted_proxies`.
    #[error("the peer is not in `trusted_proxies`")]
    Peer,
    /// `tls.client_names` is set, and has none of the names of the peer's certificate.
    #[error("the peer's certificate has {0}, and none of these is in `tls.client_names`")]
    CertificateName(String),
    /// `gateway_keys` is set and the request shows no key.
    #[error("the request has no x-elastauth-key header and `gateway_keys` is set")]
    KeyMissing,
    /// The key is not one of `gateway_keys`.
    #[error("the key in x-elastauth-key is not one of `gateway_keys`")]
    KeyWrong,
    /// Two keys: one of them may be the client's.
    #[error(
        "the x-elastauth-key header occurs more than once; the gateway must replace the client's \
         own"
    )]
    KeyRepeated,
}

impl Trust {
    /// Takes the networks, keys and names. A network of IPv4 addresses in their IPv6 form means
    /// those IPv4 addresses.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self(config.unmapped())
    }

    /// Whether a peer connects from a gateway's network, or over a unix socket, whose file mode has
    /// let it in. What the peer sends is trusted only after [`Self::admit`].
    #[must_use]
    pub fn knows(&self, peer: Peer) -> bool {
        match peer {
            Peer::Ip(ip) => self.0.proxies.iter().any(|network| network.contains(&ip)),
            Peer::Unix => true,
        }
    }

    /// Whether a gateway has to send a key, too.
    #[must_use]
    pub(crate) fn asks_for_key(&self) -> bool {
        !self.0.gateway_keys.is_empty()
    }

    /// Decides whether the headers of a request are trusted. `certificate` has the names of the
    /// client certificate of the connection, which was verified.
    ///
    /// # Errors
    /// Why not. The address is checked first, so that other peers cannot try keys.
    pub fn admit(
        &self,
        peer: Peer,
        certificate: Option<&CertificateNames>,
        headers: &HeaderMap,
    ) -> Result<TrustedPeer, Distrust> {
        if !self.knows(peer) {
            return Err(Distrust::Peer);
        }
        let of_name = self.providers_of(certificate)?;
        let of_key = self.providers_by_key(headers)?;
        Ok(TrustedPeer {
            peer,
            providers: of_name.and(of_key),
            standing: Standing::Gateway,
        })
    }

    /// The same where clients come without a gateway: whoever is none may bring tokens, and nothing
    /// else of them is read. So is a peer of the gateways' networks that shows no key.
    ///
    /// # Errors
    /// Why not: a gateway's key or certificate is wrong.
    pub(crate) fn admit_client(
        &self,
        peer: Peer,
        certificate: Option<&CertificateNames>,
        headers: &HeaderMap,
    ) -> Result<TrustedPeer, Distrust> {
        match self.admit(peer, certificate, headers) {
            Err(Distrust::Peer | Distrust::KeyMissing) => Ok(TrustedPeer::client(peer)),
            admitted => admitted,
        }
    }

    /// Whether the names of a certificate let it in: those are all that a handshake shows.
    pub(crate) fn admits_certificate(&self, certificate: Option<&CertificateNames>) -> bool {
        self.providers_of(certificate).is_ok()
    }

    /// Of which providers the holder of a certificate may bring credentials.
    fn providers_of(
        &self,
        certificate: Option<&CertificateNames>,
    ) -> Result<AllowedProviders, Distrust> {
        let allowed = &self.0.client_names;
        if allowed.is_empty() {
            return Ok(AllowedProviders::default());
        }
        let known = certificate.and_then(|names| {
            let mut allowed = allowed.iter();
            allowed.find(|allowed| names.have(&allowed.name))
        });
        let known = known.ok_or_else(|| {
            let names = certificate.map(ToString::to_string);
            Distrust::CertificateName(names.unwrap_or_else(|| "no name".to_owned()))
        })?;
        Ok(known.providers.clone())
    }

    fn providers_by_key(&self, headers: &HeaderMap) -> Result<AllowedProviders, Distrust> {
        if self.0.gateway_keys.is_empty() {
            return Ok(AllowedProviders::default());
        }
        let mut shown = headers.get_all(KEY_HEADER).iter();
        let key = shown.next().ok_or(Distrust::KeyMissing)?;
        if shown.next().is_some() {
            return Err(Distrust::KeyRepeated);
        }
        // Every key is compared: the time must not tell which of them, or how many, came close.
        let mut matching = None;
        for known in &self.0.gateway_keys {
            if known.key.matches(key.as_bytes()) {
                matching = Some(known);
            }
        }
        let known = matching.ok_or(Distrust::KeyWrong)?;
        Ok(known.providers.clone())
    }

    /// The operator, as a gateway with the key of these headers, if they have one.
    pub(crate) fn operator(&self, headers: &HeaderMap) -> TrustedPeer {
        let shown = headers.get(KEY_HEADER).map(http::HeaderValue::as_bytes);
        let mut keys = self.0.gateway_keys.iter();
        let known = shown.and_then(|shown| keys.find(|known| known.key.matches(shown)));
        let providers = known.map(|known| known.providers.clone());
        TrustedPeer {
            providers: providers.unwrap_or_default(),
            ..TrustedPeer::operator()
        }
    }
}
