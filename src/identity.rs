//! Who is asking: the configured providers, one after the other.

mod encoded_text;
pub(crate) mod group_list;
pub(crate) mod headers;
pub(crate) mod oidc;
mod placeholder;
mod providers;
mod rejected;
mod types;
pub(crate) mod user_name;

pub use providers::{Config, ProviderConfig, Providers};
pub(crate) use rejected::Rejected;
#[cfg(test)]
pub(crate) use types::Field;
pub(crate) use types::{Identity, Note, Provider};
