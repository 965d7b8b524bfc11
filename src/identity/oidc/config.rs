//! Settings of the token providers. `config` fills them in.

use super::{claims::ClaimMapping, presented::CookieName};
use crate::{
    identity::types::Provider,
    idp::{self, EndpointKind},
};
use http::HeaderName;
use std::{sync::Arc, time::Duration};

/// Settings of all identity providers together.
#[derive(Debug, Clone)]
pub struct Config {
    /// The providers. A token's issuer chooses one; no two have the same issuer or name.
    pub providers: Vec<OidcProviderConfig>,
    /// The cookie that may hold an access token; `None` looks at none.
    pub access_token_cookie: Option<CookieName>,
    /// The cookie that may hold an ID token; `None` looks at none.
    pub id_token_cookie: Option<CookieName>,
    /// Headers that hold a token and nothing else, as some gateways send them.
    pub token_headers: Vec<HeaderName>,
    /// How many bytes remembered tokens may take. Beyond it the least used are verified or asked
    /// about again, which costs time and never a login.
    pub remembered_bytes: usize,
}

impl Config {
    /// One cookie for each kind, under the names that elastauth 2 has, and 64 MB for tokens.
    ///
    /// # Errors
    /// When a token could belong to two providers, or a provider could accept no token.
    pub fn new(providers: Vec<OidcProviderConfig>) -> Result<Self, InvalidProviders> {
        let repeats = |same: fn(&OidcProviderConfig, &OidcProviderConfig) -> bool| {
            providers.iter().enumerate().any(|(index, one)| {
                providers
                    .iter()
                    .take(index)
                    .any(|earlier| same(one, earlier))
            })
        };
        if repeats(|one, other| one.name == other.name) {
            return Err(InvalidProviders::SameName);
        }
        if providers.iter().any(|one| *one.name == *Provider::HEADERS) {
            return Err(InvalidProviders::NameOfHeaders);
        }
        if repeats(|one, other| {
            one.idp.issuer.expected().is_some()
                && one.idp.issuer.expected() == other.idp.issuer.expected()
        }) {
            return Err(InvalidProviders::SameIssuer);
        }
        let asks = |one: &&OidcProviderConfig| one.validation.check(false).is_some();
        if providers
            .iter()
            .any(|one| matches!(one.validation, Validation::Both(_)))
            && providers.iter().filter(asks).count() > 1
        {
            return Err(InvalidProviders::Unroutable);
        }
        if providers.iter().any(|one| one.algorithms.is_empty()) {
            return Err(InvalidProviders::NoAlgorithm);
        }
        Ok(Self {
            providers,
            token_headers: Vec::new(),
            access_token_cookie: CookieName::parse("access_token"),
            id_token_cookie: CookieName::parse("id_token"),
            // Room for 100,000 tokens of users with two or three groups, or 4,000 of users with
            // 300: more than a large company has alive at one time.
            remembered_bytes: 64 * 1024 * 1024,
        })
    }
}

/// Why providers cannot be configured together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProviders {
    #[error("two providers have the same name")]
    SameName,
    #[error(
        "a provider is named `{}`, which is the name of identity headers",
        Provider::HEADERS
    )]
    NameOfHeaders,
    #[error("two providers have the same issuer; a token's issuer must say which one judges it")]
    SameIssuer,
    #[error(
        "a provider has `token_validation: both` and another one is asked about tokens too: a \
         token that is not signed does not name its provider, so only one may take such tokens"
    )]
    Unroutable,
    #[error("a provider has no algorithm that is allowed")]
    NoAlgorithm,
}

/// Settings of one identity provider.
#[derive(Debug, Clone)]
pub struct OidcProviderConfig {
    /// The operator's name for it: in logs, and where role rules are for one provider alone.
    pub name: Arc<str>,
    /// Where it is and how it is asked.
    pub idp: idp::Config,
    /// How a token is judged.
    pub validation: Validation,
    /// For whom a token must be issued: one of these must be in `aud`. Empty means the client's own
    /// name.
    pub audiences: Vec<Box<str>>,
    /// To whom it may be issued.
    pub authorized_parties: AuthorizedParties,
    /// Where ID tokens are accepted.
    pub id_tokens: IdTokens,
    /// Accept only access tokens that say so in their header (`at+jwt`, RFC 9068).
    pub require_at_jwt: bool,
    /// The signature algorithms that are accepted. None of them has a shared secret.
    pub algorithms: Vec<idp::Algorithm>,
    /// How far the provider's clock may be off.
    pub leeway: Duration,
    /// How long an answer of the provider about a token counts. Zero: each request asks.
    pub cache: Duration,
    /// Which claim is used for what.
    pub claims: ClaimMapping,
}

impl OidcProviderConfig {
    /// Strict defaults around what only the operator knows.
    #[must_use]
    pub fn new(name: &str, idp: idp::Config) -> Self {
        Self {
            name: name.into(),
            idp,
            validation: Validation::Jwks,
            audiences: Vec::new(),
            authorized_parties: AuthorizedParties::default(),
            id_tokens: IdTokens::default(),
            require_at_jwt: false,
            algorithms: idp::Algorithm::ALL.to_vec(),
            leeway: Duration::from_secs(30),
            // So long may a user who has signed out still get in by an earlier answer.
            cache: Duration::from_secs(30),
            claims: ClaimMapping::default(),
        }
    }
}

/// How a token is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// By its signature. A token that is not signed is refused.
    #[default]
    Jwks,
    /// A signed token by its signature; then the provider is asked whose it is, and its answer
    /// counts. For any other token its answer alone counts.
    Userinfo,
    /// The provider is asked about every token, by introspection.
    Introspection,
    /// A signed token by its signature, and that is final. Any other is asked about.
    Both(Asked),
}

/// What is done with one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenCheck {
    Signature,
    SignatureThenUserinfo,
    Userinfo,
    Introspection,
    IntrospectionThenUserinfo,
}

impl Validation {
    /// What the provider is asked for: tokens are refused while one of these is not known.
    pub(crate) fn endpoints(self) -> &'static [EndpointKind] {
        use EndpointKind::{Introspection, Keys, Userinfo};
        match self {
            Self::Jwks => &[Keys],
            Self::Userinfo | Self::Both(Asked::Userinfo) => &[Keys, Userinfo],
            Self::Introspection => &[Introspection],
            Self::Both(Asked::IntrospectionThenUserinfo) => &[Keys, Introspection, Userinfo],
        }
    }

    /// What is done with a token; `None` refuses it.
    pub(super) fn check(self, signed: bool) -> Option<TokenCheck> {
        Some(match (self, signed) {
            (Self::Jwks, false) => return None,
            (Self::Jwks | Self::Both(_), true) => TokenCheck::Signature,
            (Self::Userinfo, true) => TokenCheck::SignatureThenUserinfo,
            (Self::Userinfo | Self::Both(Asked::Userinfo), false) => TokenCheck::Userinfo,
            (Self::Introspection, _) => TokenCheck::Introspection,
            (Self::Both(Asked::IntrospectionThenUserinfo), false) => {
                TokenCheck::IntrospectionThenUserinfo
            }
        })
    }
}

/// What is asked about a token that is not signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Asked {
    /// Whose it is. The answer does not say which client it was issued to.
    #[default]
    Userinfo,
    /// Whether it is active, and then whose it is: where introspection has no groups, as with
    /// Authelia.
    IntrospectionThenUserinfo,
}

/// To whom a token may be issued (`azp`, or `client_id` where there is no `azp`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuthorizedParties {
    /// The client itself or one of the audiences. Keycloak puts every client in whose roles a user
    /// is into `aud`, so `aud` alone does not say that a token was meant for us.
    #[default]
    Audiences,
    /// These, and the token must say which.
    These(Vec<Box<str>>),
    /// To any client.
    Any,
}

/// Where ID tokens are accepted. They say who signed in somewhere, not that their holder may act
/// for that user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdTokens {
    /// Nowhere.
    Never,
    /// In the cookie that is there for them, and in headers for tokens alone.
    #[default]
    InCookie,
    /// Wherever an access token is accepted.
    Anywhere,
}
