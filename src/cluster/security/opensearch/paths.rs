//! The paths of the plugin's API that are called.

/// Whose login this is.
pub(crate) const AUTHINFO: &str = "/_plugins/_security/authinfo";
pub(super) const USERS: &str = "/_plugins/_security/api/internalusers";
pub(super) const ROLES: &str = "/_plugins/_security/api/roles";
