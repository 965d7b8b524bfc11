//! The sections of `oidc.providers`, `listeners` and `clusters`: which keys one may have.
//!
//! Most are keys of the one table: those of `oidc` or `elasticsearch` without that prefix, and
//! general keys under their own names, which then count for the section alone.

use super::{
    key::{ConfigKey, Status},
    table,
    value_type::{SectionsOf, ValueType},
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

/// Where a listener of `listeners` listens.
pub(super) static ADDRESS: ConfigKey = ConfigKey::new(
    "address",
    ValueType::Listen,
    "Where the listener listens, as `listen`.",
);
/// The file of its unix socket.
pub(super) static UNIX: ConfigKey = ConfigKey::new(
    "unix",
    ValueType::Path,
    "The file of the unix socket of the listener, instead of an `address`.",
);
/// The mode of that file.
pub(super) static UNIX_MODE: ConfigKey = ConfigKey {
    default: "0660",
    ..ConfigKey::new(
        "unix_mode",
        ValueType::Text,
        "The mode of that file: whoever may write to it is a gateway.",
    )
};
/// Whether a listener uses TLS.
pub(super) static TLS_ENABLED: ConfigKey = ConfigKey::new(
    "tls.enabled",
    ValueType::Bool,
    "Whether the listener uses TLS; without a value it does if it has a certificate.",
);

/// The keys of a listener.
static OF_LISTENERS: [&ConfigKey; 11] = [
    &ADDRESS,
    &UNIX,
    &UNIX_MODE,
    &TLS_ENABLED,
    &table::TLS_CERT,
    &table::TLS_KEY,
    &table::TLS_CLIENT_CA,
    &table::TLS_CLIENT_NAMES,
    &table::TRUSTED_PROXIES,
    &table::GATEWAY_KEYS,
    &table::PROXY_PROTOCOL,
];

/// Beside the role rules, what a cluster of `clusters` may have instead of the general value.
static MAY_DIFFER: [&ConfigKey; 12] = [
    &table::ROTATION,
    &table::GRACE,
    &table::ROTATION_WINDOW,
    &table::ROTATION_TIME_ZONE,
    &table::PARK,
    &table::PARK_WITHIN,
    &table::HASH,
    &table::ADOPT,
    &table::WRITES_PER_MINUTE,
    &table::NEW_PER_MINUTE,
    &table::WRITES_AT_ONCE,
    &table::PRUNE_AFTER,
];

/// The keys of one cluster alone: in a section, what is not given has its default.
pub(super) fn of_one_cluster() -> impl Iterator<Item = &'static ConfigKey> {
    table::ALL.iter().copied().filter(|key| {
        key.path.starts_with(ES) && key.status == Status::Current && *key != &table::ES_CLUSTER_NAME
    })
}

/// The keys of one provider alone.
pub(super) fn of_one_provider() -> impl Iterator<Item = &'static ConfigKey> {
    table::ALL.iter().copied().filter(|key| {
        key.path.starts_with(OIDC) && key.status == Status::Current && !SHARED.contains(key)
    })
}

/// Every key of a section, with its name there.
pub(super) fn keys(of: SectionsOf) -> impl Iterator<Item = (&'static str, &'static ConfigKey)> {
    let keys: Vec<&'static ConfigKey> = match of {
        SectionsOf::Providers => of_one_provider().chain(RULES).collect(),
        SectionsOf::Listeners => OF_LISTENERS.to_vec(),
        SectionsOf::Clusters => of_one_cluster().chain(RULES).chain(MAY_DIFFER).collect(),
    };
    keys.into_iter().map(|key| (name(key), key))
}

/// The name of a key within a section.
pub(super) fn name(key: &ConfigKey) -> &'static str {
    let within = [OIDC, ES].into_iter();
    let mut names = within.filter_map(|within| key.path.strip_prefix(within));
    names.next().unwrap_or(key.path)
}

const OIDC: &str = "oidc.";
/// Before the keys of the cluster of `elasticsearch`.
pub(super) const ES: &str = "elasticsearch.";
