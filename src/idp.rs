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
pub mod json;
mod jws;
mod key;
mod key_set;
mod provider;
#[cfg(test)]
pub(crate) mod tests;

pub use ask::Verdict;
pub use client_auth::{ClientAuth, InvalidSigningKey, SigningKey};
pub use endpoint::{
    EndpointKind, Endpoints, IdpEndpoint, InvalidDiscovery, InvalidEndpoint, Issuer,
};
pub use error::IdpError;
pub use jws::{Jws, MAX_TOKEN_BYTES, MalformedToken, Verified, has_shape};
pub use key::{Algorithm, PublicKey, UnusableKey};
pub use key_set::{InvalidKeySet, KeySet};
pub use provider::{Config, Idp, IdpAccess};
