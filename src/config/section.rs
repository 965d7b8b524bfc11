//! The sections of `oidc.providers`: which keys one may have.
//!
//! They are keys of the one table: those of `oidc` without that prefix, and the role rules under
//! their own names.

use super::{
    key::{ConfigKey, Status},
    table,
};

/// What all providers share; a section has none of it.
pub(super) static SHARED: [&ConfigKey; 4] = [
    &table::OIDC_PROVIDERS,
    &table::OIDC_ACCESS_COOKIE,
    &table::OIDC_ID_COOKIE,
    &table::OIDC_TOKEN_HEADERS,
];

/// Role rules. If a section has one of them, none of the general ones applies to its users.
pub(super) static RULES: [&ConfigKey; 5] = [
    &table::DEFAULT_ROLES,
    &table::DEFAULT_ROLES_APPLY,
    &table::GROUP_MAPPINGS,
    &table::USER_MAPPINGS,
    &table::ALLOWED_GROUPS,
];

/// The keys of one provider alone.
pub(super) fn of_one_provider() -> impl Iterator<Item = &'static ConfigKey> {
    table::ALL.iter().copied().filter(|key| {
        key.path.starts_with(WITHIN) && key.status == Status::Current && !SHARED.contains(key)
    })
}

/// Every key of a section, with its name there.
pub(super) fn keys() -> impl Iterator<Item = (&'static str, &'static ConfigKey)> {
    of_one_provider().chain(RULES).map(|key| (name(key), key))
}

/// The name of a key within a section.
pub(super) fn name(key: &ConfigKey) -> &'static str {
    key.path.strip_prefix(WITHIN).unwrap_or(key.path)
}

const WITHIN: &str = "oidc.";
