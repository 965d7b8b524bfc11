//! The sections of `oidc.providers`, `listeners`, `clusters` and `elasticsearch.upstreams`: which
//! keys one may have.
//!
//! Most are keys of the one table: those of `oidc` or `elasticsearch` without that prefix, and
//! general keys under their own names, which then count for the section alone.

use super::{
    choice::texts,
    key::{ConfigKey, Status},
    table,
    value_type::{SectionsOf, ValueType},
};
use crate::upstream::HostHeader;

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

/// What logs call an upstream beside a cluster.
pub(super) static UPSTREAM_NAME: ConfigKey = ConfigKey::new(
    "name",
    ValueType::Text,
    "The name of the upstream in logs: letters, digits, `-` and `_`.",
);
/// Where its requests go on to.
pub(super) static UPSTREAM_URL: ConfigKey = ConfigKey::new(
    "url",
    ValueType::Url,
    "Where its requests go on to. A path is a prefix.",
);
/// The hosts by which clients ask for it.
pub(super) static UPSTREAM_HOSTS: ConfigKey = ConfigKey::new(
    "match.hosts",
    ValueType::List(&ValueType::Text),
    "The hosts that clients ask for, as `elasticsearch.match.hosts`.",
);
/// The beginnings of the paths by which clients ask for it.
pub(super) static UPSTREAM_PATHS: ConfigKey = ConfigKey::new(
    "match.paths",
    ValueType::List(&ValueType::Text),
    "Prefixes of the paths that clients ask for, as `elasticsearch.match.paths`.",
);
/// Whether it sees those beginnings.
pub(super) static UPSTREAM_STRIP: ConfigKey = ConfigKey {
    default: "false",
    ..ConfigKey::new(
        "strip_prefix",
        ValueType::Bool,
        "Whether the prefix of `match.paths` is removed.",
    )
};
/// Which `Host` it sees.
pub(super) static UPSTREAM_HOST: ConfigKey = ConfigKey::new(
    "host_header",
    ValueType::Choice(texts::<HostHeader>),
    "Which `Host` it sees, as `proxy.host_header`, which counts without a value.",
);
/// Whether any certificate of it is accepted.
pub(super) static UPSTREAM_TLS_SKIP: ConfigKey = ConfigKey {
    default: "false",
    ..ConfigKey::new(
        "tls.insecure_skip_verify",
        ValueType::Bool,
        "Accept any certificate of it.",
    )
};
/// Whose certificates it may have.
pub(super) static UPSTREAM_TLS_CA: ConfigKey = ConfigKey::new(
    "tls.ca_cert",
    ValueType::Path,
    "A PEM file of CAs that are trusted for it instead of the system's.",
);
/// What is shown to it.
pub(super) static UPSTREAM_TLS_CERT: ConfigKey = ConfigKey::new(
    "tls.client_cert",
    ValueType::Path,
    "A client certificate for it, PEM.",
);
/// The key of that certificate.
pub(super) static UPSTREAM_TLS_KEY: ConfigKey = ConfigKey::new(
    "tls.client_key",
    ValueType::Path,
    "The private key of the client certificate, PEM.",
);

/// The keys of an upstream beside a cluster.
static OF_UPSTREAMS: [&ConfigKey; 10] = [
    &UPSTREAM_NAME,
    &UPSTREAM_URL,
    &UPSTREAM_HOSTS,
    &UPSTREAM_PATHS,
    &UPSTREAM_STRIP,
    &UPSTREAM_HOST,
    &UPSTREAM_TLS_SKIP,
    &UPSTREAM_TLS_CA,
    &UPSTREAM_TLS_CERT,
    &UPSTREAM_TLS_KEY,
];

/// What of proxy mode is about the cluster of `elasticsearch` alone: in a section, what is not
/// given has its default.
pub(super) static PROXY_OF_ONE: [&ConfigKey; 6] = [
    &table::PROXY_URL,
    &table::PROXY_TLS_ENABLED,
    &table::PROXY_TLS_SKIP,
    &table::PROXY_TLS_CA,
    &table::PROXY_TLS_CERT,
    &table::PROXY_TLS_KEY,
];

/// Files that are read again at a reload although another path needs a restart: the connections of
/// proxy mode are made again from them.
pub(super) static READ_AGAIN: [&ConfigKey; 6] = [
    &table::PROXY_TLS_CA,
    &table::PROXY_TLS_CERT,
    &table::PROXY_TLS_KEY,
    &UPSTREAM_TLS_CA,
    &UPSTREAM_TLS_CERT,
    &UPSTREAM_TLS_KEY,
];

/// Whether a key is about the cluster of `elasticsearch` alone.
pub(super) fn is_of_one_cluster(key: &ConfigKey) -> bool {
    key.path.starts_with(ES) || PROXY_OF_ONE.contains(&key)
}

/// Beside the role rules, what a cluster of `clusters` may have instead of the general value.
static MAY_DIFFER: [&ConfigKey; 16] = [
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
    &table::PROXY_TIMEOUT,
    &table::PROXY_MAX_IDLE,
    &table::PROXY_IDLE_TIMEOUT,
    &table::PROXY_HOST,
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
        SectionsOf::Clusters => of_one_cluster()
            .chain(PROXY_OF_ONE)
            .chain(RULES)
            .chain(MAY_DIFFER)
            .collect(),
        SectionsOf::Upstreams => OF_UPSTREAMS.to_vec(),
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
