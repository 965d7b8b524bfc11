//! Who is asking: the configured providers, one after the other.

pub mod headers;
pub mod oidc;
mod providers;
mod rejected;
mod types;

pub use providers::{Config, ProviderConfig, Providers};
pub use rejected::Rejected;
pub use types::{Field, Identity, Provider};
