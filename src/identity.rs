//! Who is asking: the configured providers, one after the other.

pub(crate) mod headers;
pub(crate) mod oidc;
mod providers;
mod rejected;
mod types;

pub use providers::{Config, ProviderConfig, Providers};
pub(crate) use rejected::Rejected;
#[cfg(test)]
pub(crate) use types::Field;
pub(crate) use types::{Identity, Provider};
