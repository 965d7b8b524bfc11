//! Tokens of OpenID Connect providers: who is asking, according to whom.
//!
//! A token's issuer chooses the provider that judges it; no other one is tried. A token that was
//! accepted is remembered by its digest until it expires, and is then answered without waiting for
//! anything. What a provider itself said about a token counts for a short while only.

pub(crate) mod claims;
pub(crate) mod config;
mod digest;
mod logout;
mod notice_shares;
mod policy;
mod presented;
mod provider;
pub(super) mod refused;
mod several;
#[cfg(test)]
mod tests;
mod tokens;

pub(crate) use config::{
    Asked, AuthorizedParties, Config, IdTokens, InvalidProviders, OidcProviderConfig, Validation,
};
pub(crate) use notice_shares::NoticeSource;
pub(crate) use presented::CookieName;
pub(crate) use refused::{LogoutError, NoUser, RefusedToken};
pub(crate) use tokens::Oidc;
