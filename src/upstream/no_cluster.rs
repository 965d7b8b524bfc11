//! Why a request is for no cluster.

use crate::request::Unclear;

/// Why a request is for no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCluster {
    /// The path of the endpoint names a cluster that does not exist.
    #[error("there is no cluster `{0}`")]
    Unknown(Box<str>),
    /// No rule fits.
    #[error("no cluster's `match` fits this host, path and header")]
    Unmatched,
    /// What could decide is not clear.
    #[error("{0}; an unclear request is for no cluster")]
    Unclear(Unclear),
    /// A capture took something else than a label.
    #[error("the captured part of the host has a character that no DNS label has")]
    Label,
    /// The endpoint names a cluster of tenants, and only a host names a tenant.
    #[error("the cluster `{0}` has tenants, which only a host can name")]
    WithoutTenant(Box<str>),
}

/// As much of a cluster's name in a path as an error repeats; real names are shorter.
const MAX_SHOWN_BYTES: usize = 63;

impl NoCluster {
    pub(super) fn unknown(name: &str) -> Self {
        let shown = name.bytes().take(MAX_SHOWN_BYTES);
        let shown: String = shown.map(|byte| byte.escape_ascii().to_string()).collect();
        Self::Unknown(shown.into())
    }
}
