//! What elastauth remembers of the cluster, and where.

use super::filler::Filler;
use crate::{
    config::{choice::CacheType, key::ConfigKey, table},
    ledger::{
        Config, StoreConfig,
        redis::{self, RedisNode, Topology},
    },
    net::tls,
    secret::{ExposeSecret as _, SecretString},
};

/// The ways to name Redis; one of them is used.
const ADDRESSES: [&ConfigKey; 4] = [
    &table::REDIS_HOST,
    &table::REDIS_URL,
    &table::REDIS_SENTINEL,
    &table::REDIS_CLUSTER,
];

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let store = store(fill);
    Some(Config {
        capacity: fill.number(&table::CACHE_CAPACITY)?,
        store: store?,
    })
}

fn store(fill: &mut Filler<'_>) -> Option<StoreConfig> {
    let key = &table::CACHE_TYPE;
    let cache_type = fill.get(key)?;
    let has_key = fill.given(&table::SECRET_KEY);
    if cache_type != CacheType::Redis {
        // Nobody should assume that replicas share what they do not share.
        for key in ADDRESSES {
            if fill.given(key) {
                let warning = format!("`{}` has no effect without `cache.type: redis`", key.path);
                fill.warn(key, warning);
            }
        }
    }
    match cache_type {
        CacheType::Memory => Some(StoreConfig::Memory),
        CacheType::Redis => {
            if !has_key {
                fill.fault(
                    key,
                    "`cache.type: redis` needs `secret_key`: replicas that share a cache must \
                     derive the same passwords",
                );
            }
            Some(StoreConfig::Redis(Box::new(redis(fill)?)))
        }
        CacheType::File if has_key => Some(file(fill)),
        CacheType::File => {
            fill.warn(
                key,
                "`cache.type: file` has no effect without `secret_key`: the next start has another \
                 key and cannot use the file",
            );
            Some(StoreConfig::Memory)
        }
    }
}

/// No default below `/tmp`: everybody may put something there before elastauth does.
fn file(fill: &mut Filler<'_>) -> StoreConfig {
    let standard = fill.settings.standard.state_directory();
    let standard = standard.map(|folder| folder.join("cache"));
    let Some(folder) = fill.get(&table::CACHE_PATH).or(standard) else {
        fill.warn(
            &table::CACHE_TYPE,
            "`cache.type: file` has no effect without `cache.path`: users are remembered in \
             memory, and each start asks the cluster again; name a folder for elastauth alone, such as \
             `/var/lib/elastauth/cache`",
        );
        return StoreConfig::Memory;
    };
    // A file is of one cluster alone. Names of files of ours begin with `ledger`.
    let name = &fill.settings.name;
    StoreConfig::File(if name.is_empty() {
        folder
    } else {
        folder.join(format!("ledger.{name}"))
    })
}

fn redis(fill: &mut Filler<'_>) -> Option<redis::Config> {
    let given: Vec<&ConfigKey> = ADDRESSES
        .into_iter()
        .filter(|key| fill.given(key))
        .collect();
    if let [first, second, ..] = given.as_slice() {
        let fault = format!(
            "`{}` and `{}` are both set; there is one Redis, so remove one of them",
            second.path, first.path
        );
        fill.fault(second, fault);
    }
    let address = given.first().copied().unwrap_or(&table::REDIS_HOST);
    let topology = topology(fill, address)?;
    let database = fill.number::<u16>(&table::REDIS_DB)?;
    if matches!(topology, Topology::Cluster(_)) && database != 0 {
        fill.fault(
            &table::REDIS_DB,
            "a Redis cluster has database 0 only; remove `cache.redis_db`",
        );
    }
    let (username, password) = (
        fill.get(&table::REDIS_USERNAME),
        fill.get(&table::REDIS_PASSWORD),
    );
    fill.requires(&table::REDIS_USERNAME, &table::REDIS_PASSWORD);
    let tls = tls::ClientConfig {
        ca_cert: fill.get(&table::REDIS_TLS_CA),
        identity: fill.identity_files(&table::REDIS_TLS_CERT, &table::REDIS_TLS_KEY),
        ..tls::ClientConfig::default()
    };
    check_encryption(fill, address, topology.nodes(), password.is_some());
    Some(redis::Config {
        topology,
        database,
        username,
        password,
        tls,
    })
}

fn topology(fill: &mut Filler<'_>, address: &ConfigKey) -> Option<Topology> {
    let master = fill.get::<String>(&table::REDIS_SENTINEL_MASTER);
    if fill.given(&table::REDIS_SENTINEL) != fill.given(&table::REDIS_SENTINEL_MASTER) {
        let either = if fill.given(address) {
            address
        } else {
            &table::REDIS_SENTINEL_MASTER
        };
        fill.fault(
            either,
            "`redis.sentinel` and `redis.sentinel_master` need each other",
        );
    }
    if address == &table::REDIS_SENTINEL {
        let sentinels = nodes(fill, address)?;
        let master = master?;
        return Some(Topology::Sentinel { sentinels, master });
    }
    if address == &table::REDIS_CLUSTER {
        return nodes(fill, address).map(Topology::Cluster);
    }
    let host = || fill.get::<String>(address).map(SecretString::from);
    let text = fill.get::<SecretString>(address).or_else(host)?;
    node(fill, address, &text).map(Topology::Single)
}

/// TLS on every connection or on none, and what follows where there is none.
fn check_encryption(
    fill: &mut Filler<'_>,
    address: &ConfigKey,
    nodes: &[RedisNode],
    has_password: bool,
) {
    let encrypted = nodes.iter().filter(|node| node.is_encrypted()).count();
    if encrypted > 0 && encrypted < nodes.len() {
        fill.fault(
            address,
            "some addresses of Redis are `rediss://` and some are not; write `rediss://` for all \
             or for none",
        );
    }
    if encrypted > 0 {
        return;
    }
    for key in [&table::REDIS_TLS_CA, &table::REDIS_TLS_CERT] {
        if fill.given(key) {
            let fault = format!(
                "`{}` is set and no address of Redis is `rediss://`; write `rediss://`, or remove \
                 it",
                key.path
            );
            fill.fault(key, fault);
        }
    }
    if has_password && !nodes.iter().all(RedisNode::is_local) {
        fill.warn(
            address,
            "the connection to Redis is not encrypted, so its password is sent in clear; write \
             `rediss://`",
        );
    }
}

fn nodes(fill: &mut Filler<'_>, key: &ConfigKey) -> Option<Vec<RedisNode>> {
    let texts = fill.get::<Vec<SecretString>>(key)?;
    if texts.is_empty() {
        fill.fault(key, format!("`{}` is an empty list", key.path));
    }
    texts.iter().map(|text| node(fill, key, text)).collect()
}

fn node(fill: &mut Filler<'_>, key: &ConfigKey, text: &SecretString) -> Option<RedisNode> {
    let node = RedisNode::parse(text.expose_secret()).map_err(|error| {
        let fault = format!("`{}` is not an address of Redis; {error}", key.path);
        fill.fault(key, fault);
    });
    node.ok()
}
