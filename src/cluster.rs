//! placeholder
use crate::{net::tls, secret::SecretString};
use http::Uri;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// Base URLs of the cluster's nodes, `http` or `https`, at least one; a path is a prefix.
    pub hosts: Vec<Uri>,
    /// As whom elastauth itself calls.
    pub account: Account,
    /// TLS towards the nodes.
    pub tls: tls::ClientConfig,
}

/// The service account.
#[derive(Debug, Clone)]
pub enum Account {
    /// A native or file realm user.
    Basic {
        /// Its name.
        username: String,
        /// Its password.
        password: SecretString,
    },
    /// An API key in its encoded form (`base64(id:key)`).
    ApiKey(SecretString),
}
