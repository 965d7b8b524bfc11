//! What is remembered of the cluster, and where.

use super::{Findings, Settings, identity_files};
use crate::{
    config::{key::Key, table},
    ledger::{
        Config, StoreConfig,
        redis::{self, InvalidAddress, Node, Place},
    },
    net::tls,
    secret::{ExposeSecret as _, SecretString},
};

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let store = store(settings, findings);
    Some(Config {
        capacity: settings
            .get::<u64>(&table::CACHE_CAPACITY)
            .and_then(|users| usize::try_from(users).ok())?,
        store: store?,
    })
}

/// What stands behind the memory.
fn store(settings: &Settings, findings: &mut Findings) -> Option<StoreConfig> {
    let kind = settings.get::<&str>(&table::CACHE_TYPE)?;
    let place = settings.place(&table::CACHE_TYPE);
    let keyless = !settings.given(&table::SECRET_KEY);
    if kind != "redis" {
        // Nobody should believe that replicas share what they do not share.
        for key in [
            &table::REDIS_HOST,
            &table::REDIS_URL,
            &table::REDIS_SENTINEL,
            &table::REDIS_CLUSTER,
        ] {
            if settings.given(key) {
                findings.warn(
                    &settings.place(key),
                    format!("`{}` has no effect without `cache.type: redis`", key.path),
                );
            }
        }
    }
    match kind {
        "redis" => {
            if keyless {
                let text = "`cache.type: redis` needs `secret_key`: replicas that share a memory must derive the same passwords";
                findings.fault(&place, text);
            }
            Some(StoreConfig::Redis(Box::new(redis(settings, findings)?)))
        }
        "file" if keyless => {
            findings
                .warn(&place, "`cache.type: file` has no effect without `secret_key`: what one start remembers means nothing to the next");
            Some(StoreConfig::Memory)
        }
        "file" => Some(StoreConfig::File(settings.get(&table::CACHE_PATH)?)),
        _ => Some(StoreConfig::Memory),
    }
}

fn redis(settings: &Settings, findings: &mut Findings) -> Option<redis::Config> {
    let ways = [
        &table::REDIS_HOST,
        &table::REDIS_URL,
        &table::REDIS_SENTINEL,
        &table::REDIS_CLUSTER,
    ];
    let given: Vec<&Key> = ways.into_iter().filter(|key| settings.given(key)).collect();
    if let [first, second, ..] = given.as_slice() {
        let text = format!(
            "`{}` stands beside `{}`; Redis is in one place",
            second.path, first.path
        );
        findings.fault(&settings.place(second), text);
    }
    let master = settings.get::<String>(&table::REDIS_SENTINEL_MASTER);
    if settings.given(&table::REDIS_SENTINEL) != settings.given(&table::REDIS_SENTINEL_MASTER) {
        let key = given
            .first()
            .copied()
            .unwrap_or(&table::REDIS_SENTINEL_MASTER);
        findings.fault(
            &settings.place(key),
            "`redis.sentinel` and `redis.sentinel_master` need each other",
        );
    }
    let place = match given.first() {
        Some(key) if key.path == table::REDIS_SENTINEL.path => {
            let sentinels = nodes(settings, key, findings);
            Place::Sentinel {
                sentinels: sentinels?,
                master: master?,
            }
        }
        Some(key) if key.path == table::REDIS_CLUSTER.path => {
            Place::Cluster(nodes(settings, key, findings)?)
        }
        Some(key) if key.path == table::REDIS_URL.path => {
            let url = settings.get::<SecretString>(key)?;
            Place::One(node(settings, key, url.expose_secret(), findings)?)
        }
        Some(_) | None => {
            let host = settings.get::<String>(&table::REDIS_HOST)?;
            Place::One(node(settings, &table::REDIS_HOST, &host, findings)?)
        }
    };
    let database = settings
        .get::<u64>(&table::REDIS_DB)
        .and_then(|number| u16::try_from(number).ok())?;
    if matches!(place, Place::Cluster(_)) && database != 0 {
        findings.fault(
            &settings.place(&table::REDIS_DB),
            "a Redis cluster has no database but 0; take `cache.redis_db` out",
        );
    }
    let (username, password) = (
        settings.get(&table::REDIS_USERNAME),
        settings.get(&table::REDIS_PASSWORD),
    );
    if settings.given(&table::REDIS_USERNAME) && !settings.given(&table::REDIS_PASSWORD) {
        findings.fault(
            &settings.place(&table::REDIS_USERNAME),
            "`cache.redis_username` needs `cache.redis_password` beside it",
        );
    }
    let tls = tls::ClientConfig {
        ca_cert: settings.get(&table::REDIS_TLS_CA),
        identity: identity_files(
            settings,
            &table::REDIS_TLS_CERT,
            &table::REDIS_TLS_KEY,
            findings,
        ),
        danger_skip_verify: false,
    };
    let nodes = match &place {
        Place::One(node) => std::slice::from_ref(node),
        Place::Sentinel {
            sentinels: nodes, ..
        }
        | Place::Cluster(nodes) => nodes,
    };
    let where_it_stands = settings.place(given.first().copied().unwrap_or(&table::REDIS_HOST));
    if nodes
        .iter()
        .any(|node| node.is_encrypted() != nodes.first().is_some_and(Node::is_encrypted))
    {
        findings.fault(
            &where_it_stands,
            "some addresses of Redis are `rediss://` and some are not; write all of them one way",
        );
    }
    if !nodes.iter().any(Node::is_encrypted) {
        for key in [&table::REDIS_TLS_CA, &table::REDIS_TLS_CERT]
            .into_iter()
            .filter(|key| settings.given(key))
        {
            findings.fault(
                &settings.place(key),
                format!(
                    "`{}` is set and no address of Redis is `rediss://`",
                    key.path
                ),
            );
        }
        if password.is_some() && !nodes.iter().all(Node::is_local) {
            findings.warn(
                &where_it_stands,
                "Redis is spoken to without TLS: its password travels in clear; write `rediss://`",
            );
        }
    }
    if tls.ca_cert.is_some() && matches!(place, Place::Sentinel { .. }) {
        findings.warn(
            &settings.place(&table::REDIS_TLS_CA),
            "`redis.tls.ca_cert` holds for the Sentinels; the server that they name is checked with the system's CAs",
        );
    }
    Some(redis::Config {
        place,
        database,
        username,
        password,
        tls,
    })
}

fn nodes(settings: &Settings, key: &Key, findings: &mut Findings) -> Option<Vec<Node>> {
    let texts = settings.get::<Vec<SecretString>>(key)?;
    if texts.is_empty() {
        findings.fault(
            &settings.place(key),
            format!("`{}` is an empty list", key.path),
        );
    }
    texts
        .iter()
        .map(|text| node(settings, key, text.expose_secret(), findings))
        .collect()
}

fn node(settings: &Settings, key: &Key, text: &str, findings: &mut Findings) -> Option<Node> {
    let node = Node::parse(text);
    if let Err(error @ InvalidAddress) = &node {
        findings.fault(
            &settings.place(key),
            format!("`{}` is no address of Redis; {error}", key.path),
        );
    }
    node.ok()
}
