//! An identity provider as an outside party: what it says of itself, its keys, and what it answers
//! about a token.
//!
//! This room asks the provider and parses its answers. `identity::oidc` decides which tokens are
//! accepted.

mod ask;
mod client_auth;
mod endpoint;
mod error;
mod fetch;
mod fetched;
pub(crate) mod json;
mod jws;
mod key;
mod key_set;
mod provider;
mod redirect;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use ask::Verdict;
pub(crate) use client_auth::{ClientAuth, SigningKey};
pub(crate) use endpoint::{
    Description, EndpointKind, Endpoints, IdpEndpoint, InvalidEndpoint, Issuer,
};
pub(crate) use error::IdpError;
pub(crate) use fetch::PATIENCE;
pub(crate) use jws::{Jws, MalformedToken, TokenForm, Verified};
pub(crate) use key::Algorithm;
#[cfg(test)]
pub(crate) use key_set::KeySet;
pub(crate) use provider::{Config, Idp, IdpAccess};
