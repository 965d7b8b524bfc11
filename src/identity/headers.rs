//! placeholder
use http::HeaderName;

/// Names of the identity headers, and whether the groups may be missing.
#[derive(Debug, Clone)]
pub struct Config {
    /// Carries the user name.
    pub user: HeaderName,
    /// Carries the groups, separated by commas.
    pub groups: HeaderName,
    /// Carries the mail address.
    pub email: HeaderName,
    /// Carries the full name.
    pub name: HeaderName,
    /// Refuse a request without the groups header (present and empty is fine): some gateways let a client make it vanish.
    pub groups_required: bool,
}
