//! Changes that a running program leaves for a restart, because they remove or widen a barrier: a
//! line that was lost in an editor must not open the door.
//!
//! What narrows applies at once, and so does the usual change of a key, a certificate or a group.
//! Keys that always require a restart need no rule here.

use super::{
    key::ConfigKey,
    table,
    types::{ClusterConfig, Config},
};
use crate::{
    broker::Adopt,
    identity::{ProviderConfig, oidc::OidcProviderConfig},
    ledger::StoreConfig,
    roles, serve,
    upstream::Unmatched,
};
use http::{Uri, uri::Scheme};

/// A change that a running program does not apply: the keys that keep their old values, and what
/// the new ones would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Widening {
    pub keys: Vec<&'static str>,
    pub what: &'static str,
}

/// A barrier: the keys that make it, and whether a new configuration removes or widens it.
pub(super) struct Barrier {
    pub(super) keys: &'static [&'static ConfigKey],
    pub(super) widens: fn(before: &Config, after: &Config) -> bool,
    pub(super) what: &'static str,
}

pub(super) static ALL: [Barrier; 17] = [
    Barrier {
        keys: &[&table::GATEWAY_KEYS, &table::LISTENERS],
        widens: |before, after| {
            any_listener(before, after, |before, after| {
                !before.trust.gateway_keys.is_empty() && after.trust.gateway_keys.is_empty()
            })
        },
        what: "gateways would no longer have to show a key",
    },
    Barrier {
        keys: &[&table::GATEWAY_KEYS, &table::LISTENERS],
        widens: |before, after| {
            any_listener(before, after, |before, after| {
                after.trust.frees_a_key(&before.trust)
            })
        },
        what: "a gateway's key would be good for more providers",
    },
    Barrier {
        keys: &[&table::TLS_CLIENT_CA, &table::LISTENERS],
        widens: |before, after| {
            any_listener(before, after, |before, after| {
                client_ca(before) && !client_ca(after)
            })
        },
        what: "clients would no longer have to show a certificate",
    },
    Barrier {
        keys: &[
            &table::TLS_CLIENT_NAMES,
            &table::TLS_CLIENT_CA,
            &table::LISTENERS,
        ],
        widens: |before, after| {
            any_listener(before, after, |before, after| {
                after.trust.accepts_more_names(&before.trust)
            })
        },
        what: "certificates would be a gateway's that are none now, or be good for more providers",
    },
    Barrier {
        keys: &[&table::TRUSTED_PROXIES, &table::LISTENERS],
        widens: |before, after| {
            any_listener(before, after, |before, after| {
                after.trust.trusts_more_addresses(&before.trust)
            })
        },
        what: "addresses would be trusted that are not trusted now",
    },
    Barrier {
        keys: &[
            &table::ALLOWED_GROUPS,
            &table::ENABLE_GROUP_WHITELIST,
            &table::GROUP_WHITELIST,
            &table::CLUSTERS,
        ],
        widens: |before, after| {
            let added = |before: &ClusterConfig, after: &ClusterConfig| {
                after.roles.admits_all_unlike(&before.roles)
            };
            let changed = |before: &ClusterConfig, after: &ClusterConfig| {
                after.roles.admits_unnamed_groups(&before.roles)
            };
            any_cluster(before, after, changed, added)
        },
        what: "users could enter whose groups are not named",
    },
    Barrier {
        keys: &[&table::DEFAULT_ROLES, &table::CLUSTERS],
        widens: |before, after| {
            let widens = |before: &ClusterConfig, after: &ClusterConfig| {
                after.roles.makes_everybody_administrator(&before.roles)
            };
            any_cluster(before, after, widens, widens)
        },
        what: "every user could become an administrator of the cluster",
    },
    Barrier {
        keys: &[
            &table::GROUP_MAPPINGS,
            &table::USER_MAPPINGS,
            &table::CLUSTERS,
        ],
        widens: |before, after| {
            let added = |before: &ClusterConfig, after: &ClusterConfig| {
                after.roles.maps_unnamed_to_administrator(&before.roles)
            };
            let changed = |before: &ClusterConfig, after: &ClusterConfig| {
                after.roles.maps_to_administrator(&before.roles)
            };
            any_cluster(before, after, changed, added)
        },
        what: "users would become administrators of the cluster who are none now",
    },
    Barrier {
        keys: &[&table::ES_TLS_CA, &table::CLUSTERS],
        widens: |before, after| {
            let changed = |before: &ClusterConfig, after: &ClusterConfig| {
                before.cluster.tls.ca_cert.is_some() && after.cluster.tls.ca_cert.is_none()
            };
            any_cluster(before, after, changed, |_, _| false)
        },
        what: "the cluster would be checked with the CAs of the system",
    },
    Barrier {
        keys: &[&table::CLUSTERS],
        widens: |before, after| {
            let widens = |before: &ClusterConfig, after: &ClusterConfig| {
                let skips = |config: &ClusterConfig| config.cluster.tls.danger_skip_verify;
                skips(after) && !skips(before)
            };
            any_cluster(before, after, widens, widens)
        },
        what: "the certificate of a cluster would no longer be verified",
    },
    Barrier {
        keys: &[&table::CLUSTERS],
        widens: |before, after| {
            let widens = |before: &ClusterConfig, after: &ClusterConfig| {
                let (before, after) = (&before.cluster.hosts, &after.cluster.hosts);
                before.iter().any(|host| !is_plain(host))
                    && after
                        .iter()
                        .any(|host| is_plain(host) && !before.contains(host))
            };
            any_cluster(before, after, widens, widens)
        },
        what: "the service account of a cluster would be sent in clear",
    },
    Barrier {
        keys: &[&table::CLUSTERS],
        widens: |before, after| {
            let widens = |before: &ClusterConfig, after: &ClusterConfig| {
                before.broker.adopt != after.broker.adopt && after.broker.adopt != Adopt::Never
            };
            any_cluster(before, after, widens, widens)
        },
        what: "other existing users of a cluster could be taken over",
    },
    Barrier {
        keys: &[&table::UNMATCHED, &table::CLUSTERS],
        widens: |before, after| {
            before.unmatched == Unmatched::Refuse && after.unmatched != Unmatched::Refuse
        },
        what: "requests that are for no cluster would no longer be refused",
    },
    Barrier {
        keys: &[&table::REDIS_TLS_CA],
        widens: |before, after| redis_ca(before) && !redis_ca(after),
        what: "Redis would be checked with the CAs of the system",
    },
    Barrier {
        keys: &[&table::OIDC_TLS_CA, &table::OIDC_PROVIDERS],
        widens: |before, after| {
            any_issuer(before, after, |old, new| {
                let has_ca = |issuer: &OidcProviderConfig| issuer.idp.http.tls.ca_cert.is_some();
                has_ca(old) && !has_ca(new)
            })
        },
        what: "an issuer would be checked with the CAs of the system",
    },
    Barrier {
        keys: &[&table::OIDC_PROVIDERS, &table::CLUSTERS],
        widens: |before, after| {
            let added = |old: &roles::Config, new: &roles::Config| new.admits_all_unlike(old);
            any_rules(
                before,
                after,
                |old, new| new.admits_unnamed_groups(old),
                added,
            )
        },
        what: "users of an issuer could enter whose groups are not named",
    },
    Barrier {
        keys: &[&table::OIDC_PROVIDERS, &table::CLUSTERS],
        widens: |before, after| {
            let changed = |old: &roles::Config, new: &roles::Config| {
                new.makes_everybody_administrator(old) || new.maps_to_administrator(old)
            };
            let added = |old: &roles::Config, new: &roles::Config| {
                new.makes_everybody_administrator(old) || new.maps_unnamed_to_administrator(old)
            };
            any_rules(before, after, changed, added)
        },
        what: "users of an issuer would become administrators of the cluster who are none now",
    },
];

/// Whether that is so of a listener, as it was and as it would be; the one of operators too. Their
/// number and order is the same: it changes only with a restart.
fn any_listener(
    before: &Config,
    after: &Config,
    widens: impl Fn(&serve::Config, &serve::Config) -> bool,
) -> bool {
    let admins = before.admin_listener().zip(after.admin_listener());
    let mut listeners = before.listeners.iter().zip(&after.listeners);
    listeners.any(|(before, after)| widens(before, after))
        || admins.is_some_and(|(before, after)| widens(&before, &after))
}

fn client_ca(config: &serve::Config) -> bool {
    let tls = config.tls.as_ref();
    tls.is_some_and(|tls| tls.client_ca.is_some())
}

/// Whether that is so of a cluster, as it was and as it would be. One whose name is new is the one
/// that has had a node of it, if there was one. Otherwise nothing says what it was: `added`
/// compares it with each of the others, so the strictest of them counts.
fn any_cluster(
    before: &Config,
    after: &Config,
    widens: impl Fn(&ClusterConfig, &ClusterConfig) -> bool,
    added: impl Fn(&ClusterConfig, &ClusterConfig) -> bool,
) -> bool {
    after.clusters.iter().any(|new| {
        let mut same = before.clusters.iter().filter(|old| old.name == new.name);
        if let Some(old) = same.next() {
            return widens(old, new);
        }
        let is_renamed =
            |old: &&ClusterConfig| nodes(old).any(|node| nodes(new).any(|n| n == node));
        let mut renamed = before.clusters.iter().filter(is_renamed).peekable();
        if renamed.peek().is_some() {
            return renamed.any(|old| widens(old, new));
        }
        before.clusters.iter().any(|old| added(old, new))
    })
}

/// The nodes, whether they speak TLS or not.
fn nodes(config: &ClusterConfig) -> impl Iterator<Item = (String, Option<u16>)> {
    config.cluster.hosts.iter().map(|uri| {
        let host = uri.host().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        (host, uri.port_u16())
    })
}

fn is_plain(host: &Uri) -> bool {
    host.scheme() == Some(&Scheme::HTTP)
}

/// All clusters have the same Redis.
fn redis_ca(config: &Config) -> bool {
    config
        .clusters
        .iter()
        .any(|cluster| match &cluster.broker.ledger.store {
            StoreConfig::Redis(redis) => redis.tls.ca_cert.is_some(),
            StoreConfig::Memory | StoreConfig::File(..) | StoreConfig::TransientFile(..) => false,
        })
}

/// Whether that is so of an issuer, as it was and as it would be.
fn any_issuer(
    before: &Config,
    after: &Config,
    widens: impl Fn(&OidcProviderConfig, &OidcProviderConfig) -> bool,
) -> bool {
    issuers(before).any(|old| {
        let mut same = issuers(after).filter(|new| new.name == old.name);
        same.any(|new| widens(old, new))
    })
}

/// Whether that is so of the rules for the users of an issuer in a cluster.
fn any_rules(
    before: &Config,
    after: &Config,
    widens: impl Fn(&roles::Config, &roles::Config) -> bool,
    added: impl Fn(&roles::Config, &roles::Config) -> bool,
) -> bool {
    any_issuer(before, after, |old, new| {
        any_cluster(
            before,
            after,
            |before, after| widens(rules(before, old), rules(after, new)),
            |before, after| added(rules(before, old), rules(after, new)),
        )
    })
}

fn issuers(config: &Config) -> impl Iterator<Item = &OidcProviderConfig> {
    let providers = config.identity.providers.iter();
    providers.flat_map(|provider| match provider {
        ProviderConfig::Oidc(oidc) => oidc.providers.as_slice(),
        ProviderConfig::Headers(_) => &[],
    })
}

/// The rules for the users of an issuer in a cluster: the issuer's own, or those for all.
fn rules<'a>(cluster: &'a ClusterConfig, issuer: &OidcProviderConfig) -> &'a roles::Config {
    let own = cluster.roles.by_provider.get(&*issuer.name);
    own.unwrap_or(&cluster.roles)
}
