//! What lasts from story to story: the scripted cluster, clocks, connections, and how a replica is
//! put together.

use super::{
    cluster::{self as scripted, Life},
    redis::Redis,
    request::request,
    setting::Setting,
};
use elastauth::internals::{
    broker::{self, Adopt, Broker, PreviousKey},
    clock::{Clock, Timestamp},
    cluster::{self, SecurityApi},
    flow::Flow,
    identity::{Providers, headers},
    ledger::{
        self, StoreConfig,
        redis::{RedisNode, Topology},
    },
    model::{Group, Role},
    net::tls,
    request::Request,
    roles::{self, Mapping},
    secret::SecretKey,
    shutdown::Tasks,
    telemetry::ClusterTelemetry,
    upstream::Upstream,
};
use http::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::JoinHandle;

const KEY: &str = "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a";
const NEXT_KEY: &str = "3e5a77c1d09b4f2286e4b1a9c05d7f13a86c2e94b7d05f31c92e6a40d8b17f5c";
/// Some moment to look for a boundary from.
const ONCE: u64 = 1_800_000_000_000;

/// What lasts from story to story: the scripted cluster, and connections to it.
pub(crate) struct Stage {
    pub(crate) cluster: scripted::Cluster,
    pub(crate) redis: Redis,
    /// The work of replicas of earlier stories, which has to end before the next one.
    pub(crate) earlier: Vec<Tasks>,
    pub(crate) clocks: Vec<Arc<AtomicU64>>,
    clients: HashMap<Life, SecurityApi>,
    story: u64,
    pub(crate) setting: Setting,
    pub(crate) boundary: u64,
    accepting: [JoinHandle<()>; 2],
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.accepting.iter().for_each(JoinHandle::abort);
    }
}

impl Stage {
    pub(crate) async fn new(setting: Setting) -> Self {
        let (cluster, at_cluster) = scripted::Cluster::open().await;
        let (redis, at_redis) = Redis::open();
        // One clock more than there are replicas: that of the prompter.
        let clocks = (0..=setting.ahead.len())
            .map(|_| Arc::new(AtomicU64::new(ONCE)))
            .collect();
        let accepting = [at_cluster, at_redis];
        let (clients, earlier) = (HashMap::new(), Vec::new());
        let mut stage = Self {
            cluster,
            redis,
            earlier,
            clocks,
            clients,
            story: 0,
            setting,
            boundary: ONCE,
            accepting,
        };
        if stage.setting.rotation > 0 {
            stage.boundary = stage.find_boundary().await;
        }
        stage
    }

    /// Takes away what the cluster has, and begins at this time.
    pub(crate) fn begin_story(&mut self, now: u64) {
        let opensearch = self.setting.opensearch;
        // A client of OpenSearch has a queue, and waits after conflicts: each story gets others.
        if opensearch {
            self.clients.clear();
            self.story += 1;
        }
        *self.cluster.state() = scripted::State {
            opensearch,
            story: self.story,
            now,
            ..scripted::State::default()
        };
    }

    /// Waits until nothing of earlier stories goes on. Whoever runs errands to Redis looks around
    /// for the last time some milliseconds after the end.
    pub(crate) async fn end_earlier(&mut self) {
        let earlier = std::mem::take(&mut self.earlier);
        for _ in 0..100 {
            if earlier.iter().all(|tasks| tasks.in_hand() == 0) {
                return;
            }
            tokio::time::advance(Duration::from_millis(20)).await;
            tokio::task::yield_now().await;
        }
    }

    /// The next moment at which the first user's password changes.
    async fn find_boundary(&mut self) -> u64 {
        let prompter = self.prompter();
        let user = self.setting.users[0];
        let first = self.period(&prompter, user, ONCE).await;
        let (mut old, mut new) = (ONCE, ONCE + self.setting.rotation);
        while new - old > 1 {
            let middle = u64::midpoint(old, new);
            if self.period(&prompter, user, middle).await == first {
                old = middle;
            } else {
                new = middle;
            }
        }
        new
    }

    /// A replica that only tells what would be written.
    pub(crate) fn prompter(&mut self) -> Arc<Flow> {
        let place = self.setting.ahead.len();
        self.flow(Life { place, number: 0 }, &Tasks::default())
    }

    /// The mark of the period in which this user is at some moment.
    pub(crate) async fn period(&self, prompter: &Flow, user: &str, moment: u64) -> Value {
        self.clocks[self.setting.ahead.len()].store(moment, Ordering::SeqCst);
        let request = auth_request(user, "dev");
        let document = prompter
            .explain(&prompter.choose(&request).unwrap(), &request, false)
            .await
            .unwrap()
            .document
            .unwrap();
        let of_opensearch = document["attributes"].as_object().map(scripted::mark_of);
        mark(of_opensearch.as_ref().or(document["metadata"].as_object()))
    }

    pub(crate) fn flow(&mut self, life: Life, tasks: &Tasks) -> Arc<Flow> {
        let setting = &self.setting;
        let clock = Clock::Manual(Arc::clone(&self.clocks[life.place]));
        let key = |text| SecretKey::parse(text).unwrap();
        let mut config = broker::Config {
            secret_key: Some(key(if setting.key_change { NEXT_KEY } else { KEY })),
            previous_key: setting.key_change.then(|| PreviousKey {
                key: key(KEY),
                until: Timestamp(self.boundary),
            }),
            cluster_name: "default".to_owned(),
            service_account: Some("elastauth".to_owned()),
            rotation: Duration::from_millis(setting.rotation),
            rotation_window: None,
            opensearch: broker::OpenSearchPeriods {
                rotation: Duration::from_millis(setting.rotation),
                ..broker::OpenSearchPeriods::default()
            },
            grace: Duration::from_millis(setting.grace),
            park_within: setting
                .park_within
                .filter(|_| life.place < setting.ahead.len())
                .map(Duration::from_millis),
            prune_after: None,
            expiration: Duration::from_millis(setting.expiration),
            adopt: Adopt::ElastauthGo,
            writes_per_minute: 10,
            new_per_minute: 10_000,
            // Each attempt would multiply the orders.
            tries_for: Duration::ZERO,
            writes_at_once: 16,
            dry_run: false,
            ledger: ledger::Config {
                capacity: 100,
                store: StoreConfig::Memory,
            },
        };
        let (url, addresses) = (self.cluster.url(life), setting.addresses);
        let kind = if setting.opensearch {
            cluster::Kind::Opensearch
        } else {
            cluster::Kind::Elasticsearch
        };
        let client = self.clients.entry(life).or_insert_with(|| {
            let account = cluster::ServiceAccount::Basic {
                username: "elastauth".to_owned(),
                password: "of the account".to_owned().into(),
            };
            let hosts = vec![url.parse().unwrap(); addresses];
            SecurityApi::new(
                &cluster::Config {
                    kind,
                    hosts,
                    account,
                    tls: tls::ClientConfig::default(),
                    passwords: cluster::PasswordForm::Clear,
                },
                clock.clone(),
                &ClusterTelemetry::default(),
            )
            .unwrap()
        });
        config.ledger.store = match setting.redis {
            // The prompter remembers nothing.
            Some(_) if life.place < setting.ahead.len() => {
                let redis = ledger::redis::Config {
                    topology: Topology::Single(RedisNode::parse(&self.redis.url(life)).unwrap()),
                    database: 0,
                    username: None,
                    password: None,
                    tls: tls::ClientConfig::default(),
                };
                StoreConfig::Redis(Box::new(redis))
            }
            Some(_) | None => StoreConfig::Memory,
        };
        let broker = Broker::new(
            config,
            client.clone(),
            clock,
            tasks.clone(),
            ClusterTelemetry::default(),
        )
        .unwrap();
        let role = |name: &str| Role::parse(name).unwrap();
        let mapping = Mapping::new(roles::Config {
            default_roles: vec![role("viewer")],
            group_mappings: vec![
                (Group::parse("dev").unwrap(), vec![role("editor")]),
                (
                    Group::parse("admins").unwrap(),
                    vec![role("kibana_admin"), role("superuser")],
                ),
            ],
            ..roles::Config::default()
        });
        let upstream = Upstream::new("default", mapping, broker);
        Arc::new(Flow::new(
            Providers::headers(headers::Config::default()),
            upstream.into(),
        ))
    }
}

/// Period and key of a document.
pub(crate) fn mark(metadata: Option<&serde_json::Map<String, Value>>) -> Value {
    let mark = metadata.and_then(|metadata| metadata.get("elastauth"));
    json!([
        mark.map(|mark| &mark["epoch"]),
        mark.map(|mark| &mark["key"])
    ])
}

pub(crate) fn auth_request(user: &str, groups: &str) -> Request {
    let mut headers = HeaderMap::new();
    headers.insert("remote-user", HeaderValue::from_str(user).unwrap());
    headers.insert("remote-groups", HeaderValue::from_str(groups).unwrap());
    request(headers)
}
