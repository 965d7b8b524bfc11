//! placeholder
pub mod headers;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// The providers in the order in which they are asked. Never empty.
    pub providers: Vec<ProviderConfig>,
}

/// The closed set of ways to learn who asks.
#[derive(Debug, Clone)]
pub enum ProviderConfig {
    /// Identity headers of an authentication service in front, such as Authelia.
    Headers(headers::Config),
}
