//! An identity provider as an outside party: what it says of itself, its keys, and what it answers
//! about a token.
//!
//! How it is asked and what an answer looks like is known here. Which tokens are accepted is decided
//! by `identity::oidc`.

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
pub use endpoint::{BadDiscovery, Endpoint, InvalidEndpoint, Issuer, Overrides};
pub use error::{IdpError, What};
pub use jws::{BadToken, Jws, MAX_TOKEN_BYTES, Part, Verified, has_shape};
pub use key::{Algorithm, Key, OddKey};
pub use key_set::{BadKeySet, KeySet};
pub use provider::{Access, Config, Idp};
