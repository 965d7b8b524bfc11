//! The clusters of a configuration: how each is put together, and what a reload does to them. One
//! that stays keeps its connections and what it remembers of its users.

use super::{error::StartError, first_check};
use crate::{
    broker::{self, Broker, Predecessors, WriteLimits},
    clock::Clock,
    cluster::{self, ClusterAccess, SecurityApi},
    config::ClusterConfig,
    ledger::{self, Folders, StoreConfig, redis::RedisAccess},
    roles::Mapping,
    shutdown::Tasks,
    telemetry::{ClusterTelemetry, Telemetry},
    upstream::{
        Accepted, Member, Proxied, ProxiedTls, TenantLabel, TenantNodes, TenantSource, Tenants,
        Unmatched, Upstream, Upstreams,
    },
};
use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::time::sleep;
use tracing::info;

/// Requests that wait for clusters at once, all clusters together. Traefik has one connection with
/// 1,000 requests on it, and those for other clusters must find room there.
const WAITING: usize = 800;
/// Those of one cluster: enough to begin some thousand logins a second.
const MOST_WAITING: usize = 384;
const LEAST_WAITING: usize = 32;

/// Connections that are kept, shared out among the clusters: 6 MB where each has one node. What
/// comes out is the bound of each node, also of those of further tenants.
const CONNECTIONS: usize = 256;
/// Those to a node of one cluster. One that is asked now and then needs no more.
const LEAST_CONNECTIONS: usize = 4;

/// How often idle tenants are looked for.
const SWEEP: Duration = Duration::from_mins(5);

/// The running clusters.
#[derive(Debug)]
pub(super) struct Clusters {
    parts: Parts,
    /// What each was made of, by name.
    made_of: Mutex<HashMap<Box<str>, String>>,
}

/// What every cluster is made with.
#[derive(Debug, Clone)]
struct Parts {
    clock: Clock,
    tasks: Tasks,
    telemetry: Telemetry,
    accepted: Accepted,
    folders: Folders,
    /// The clusters that a reload has ended.
    predecessors: Predecessors,
    /// Whether requests are passed on to the clusters.
    proxy: bool,
}

/// What a reload makes of the clusters, ready to be applied.
pub(super) struct Prepared {
    upstreams: Upstreams,
    made_of: HashMap<Box<str>, String>,
    changes: Vec<(Arc<Upstream>, Changes)>,
    /// With the clusters of tenants that are in `changes`.
    sources: Vec<(Arc<Tenants>, TenantSource, Vec<Arc<Upstream>>)>,
    added: Vec<Arc<Upstream>>,
    removed: Vec<Member>,
}

/// What a cluster that stays gets of a new configuration.
struct Changes {
    cluster: ClusterAccess,
    redis: Option<RedisAccess>,
    limits: WriteLimits,
    mapping: Mapping,
    proxied: Option<ProxiedTls>,
}

impl Clusters {
    pub(super) fn new(clock: Clock, tasks: Tasks, telemetry: Telemetry, proxy: bool) -> Self {
        Self {
            parts: Parts {
                clock,
                tasks,
                telemetry,
                accepted: Accepted::default(),
                folders: Folders::default(),
                predecessors: Predecessors::default(),
                proxy,
            },
            made_of: Mutex::default(),
        }
    }

    /// All clusters of the configuration that the program starts with.
    pub(super) fn start(
        &self,
        clusters: &[ClusterConfig],
        unmatched: &Unmatched,
    ) -> Result<Upstreams, StartError> {
        let prepared = self.prepare(None, clusters, unmatched)?;
        *self.made_of.lock().unwrap_or_else(PoisonError::into_inner) = prepared.made_of;
        Ok(prepared.upstreams)
    }

    /// Makes what is new. Nothing that runs has changed yet.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub(super) fn prepare(
        &self,
        running: Option<&Upstreams>,
        clusters: &[ClusterConfig],
        unmatched: &Unmatched,
    ) -> Result<Prepared, StartError> {
        let known = self.made_of.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut all, mut made_of, mut kept) = (Vec::new(), HashMap::new(), HashSet::new());
        let (mut changes, mut sources, mut added) = (Vec::new(), Vec::new(), Vec::new());
        let share = Share::of(clusters.len());
        for config in clusters {
            let name = config.name.as_str();
            let signature = signature(config);
            let member = running.and_then(|running| running.member(name));
            let member = member.filter(|_| known.get(name) == Some(&signature));
            let member = match member {
                Some(Member::Cluster(upstream)) => {
                    changes.push((Arc::clone(upstream), changes_of(upstream, config)?));
                    Member::Cluster(Arc::clone(upstream))
                }
                Some(Member::Tenants(tenants)) => {
                    let mut staying = Vec::new();
                    for (label, upstream) in tenants.labels() {
                        if let Some(config) = config.for_tenant(&label) {
                            let change = changes_of(&upstream, &config)?;
                            staying.push(Arc::clone(&upstream));
                            changes.push((upstream, change));
                        }
                    }
                    let shared = tenants.shared();
                    if let Some(upstream) = &shared {
                        changes.push((Arc::clone(upstream), changes_of(upstream, config)?));
                    }
                    let source = self.parts.source(config, share, shared)?;
                    sources.push((Arc::clone(tenants), source, staying));
                    Member::Tenants(Arc::clone(tenants))
                }
                None => self.parts.member(config, share)?,
            };
            if running
                .and_then(|running| running.member(name))
                .is_some_and(|old| old.is(&member))
            {
                kept.insert(name);
            } else {
                added.extend(member.all());
            }
            made_of.insert(name.into(), signature);
            all.push((config.selector.clone(), member));
        }
        let removed = running.into_iter().flat_map(Upstreams::members);
        let removed = removed.filter(|member| !kept.contains(member.name()));
        Ok(Prepared {
            removed: removed.cloned().collect(),
            upstreams: Upstreams::new(all, unmatched),
            made_of,
            changes,
            sources,
            added,
        })
    }

    /// Puts the changes into force, and returns what requests are for from now on. Requests in hand
    /// are finished with the clusters that they were for.
    pub(super) fn apply(&self, prepared: Prepared) -> Upstreams {
        for (upstream, changes) in prepared.changes {
            upstream.security().replace(changes.cluster);
            if let (Some(proxied), Some(tls)) = (upstream.proxied(), changes.proxied) {
                proxied.replace_tls(tls);
            }
            if let Some(access) = changes.redis {
                upstream.broker().ledger().replace_access(access);
            }
            upstream.broker().replace_limits(changes.limits);
            upstream.replace_mapping(changes.mapping);
        }
        for (tenants, source, staying) in prepared.sources {
            tenants.replace_source(source, &staying);
        }
        let predecessors = &self.parts.predecessors;
        for member in prepared.removed {
            info!(cluster = member.name(), "a cluster was removed");
            member.end(predecessors);
        }
        for upstream in &prepared.added {
            info!(cluster = upstream.name(), "a cluster was added");
            // One of those that were removed may have been the same under other settings.
            upstream.broker().succeeds(predecessors);
            check(upstream);
        }
        *self.made_of.lock().unwrap_or_else(PoisonError::into_inner) = prepared.made_of;
        prepared.upstreams
    }

    /// Closes tenants that nobody asks for any more, until the program ends. `upstreams` gives
    /// what is in force.
    pub(super) fn sweep(&self, upstreams: impl Fn() -> Arc<Upstreams> + Send + 'static) {
        let ending = self.parts.tasks.clone();
        self.parts.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = ending.ending() => return,
                    () = sleep(SWEEP) => {}
                }
                upstreams().close_idle();
            }
        });
    }
}

impl Parts {
    fn member(&self, config: &ClusterConfig, share: Share) -> Result<Member, StartError> {
        let name = config.name.as_str();
        if config.tenants.is_some() {
            let source = self.source(config, share, None)?;
            let metrics = self.telemetry.of_cluster(name).metrics;
            let (clock, tasks) = (self.clock.clone(), self.tasks.clone());
            let tenants = Tenants::new(name, source, clock, tasks, metrics);
            return Ok(Member::Tenants(Arc::new(tenants)));
        }
        let telemetry = self.telemetry.of_cluster(name);
        let upstream = self.upstream(name, config, share, telemetry)?;
        Ok(Member::Cluster(Arc::new(upstream)))
    }

    /// What a section with a capture gives its tenants. `shared` is the one cluster that runs for
    /// all of them already.
    fn source(
        &self,
        config: &ClusterConfig,
        share: Share,
        shared: Option<Arc<Upstream>>,
    ) -> Result<TenantSource, StartError> {
        let name = config.name.as_str();
        let rules = config.clone();
        let mapping = Box::new(move |label: &TenantLabel| {
            rules
                .for_tenant(label)
                .map(|config| Mapping::new(config.roles))
        });
        let separate = config
            .tenants
            .as_ref()
            .is_some_and(|tenants| tenants.separate);
        if !separate {
            let upstream = if let Some(upstream) = shared {
                upstream
            } else {
                let telemetry = self.telemetry.of_cluster(name);
                Arc::new(self.upstream(name, config, share, telemetry)?)
            };
            let nodes = TenantNodes::Shared(upstream);
            return Ok(TenantSource { mapping, nodes });
        }
        let (parts, config) = (self.clone(), config.clone());
        let open = move |label: &TenantLabel| {
            let section = config.name.as_str();
            let own = config.for_tenant(label);
            let own = own.ok_or("the label would make a role that no text may make")?;
            let name = format!("{section}/{}", label.as_str());
            let telemetry = parts.telemetry.of_tenant(section, &name);
            let upstream = parts.upstream(&name, &own, share, telemetry)?;
            upstream.broker().succeeds(&parts.predecessors);
            Ok(upstream)
        };
        let nodes = TenantNodes::Own(Box::new(open));
        Ok(TenantSource { mapping, nodes })
    }

    /// A cluster with a broker of its own, which can end before the program does.
    fn upstream(
        &self,
        name: &str,
        config: &ClusterConfig,
        share: Share,
        telemetry: ClusterTelemetry,
    ) -> Result<Upstream, StartError> {
        let clock = &self.clock;
        let max_idle = share.connections;
        let cluster = SecurityApi::keeping(max_idle, &config.cluster, clock.clone(), &telemetry)
            .map_err(StartError::ClusterTls)?;
        let tasks = self.tasks.branch();
        let origins = cluster.origins();
        let broker = Broker::with_folders(
            config.broker.clone(),
            cluster,
            clock.clone(),
            tasks,
            telemetry,
            &self.folders,
        )?;
        let broker = match share.waiting {
            None => broker,
            Some(most) => broker.with_waiting(most),
        };
        let mapping = Mapping::new(config.roles.clone());
        let upstream = Upstream::new(name, mapping, broker).among(self.accepted.clone());
        if !self.proxy {
            return Ok(upstream);
        }
        let tasks = upstream.broker().tasks();
        let proxied = Proxied::new(&config.proxy, origins, &config.cluster, clock, tasks)
            .map_err(StartError::Proxy)?;
        Ok(upstream.with_proxied(proxied))
    }
}

/// Asks the cluster until it accepts the service account.
pub(super) fn check(upstream: &Upstream) {
    let (tasks, accepted) = (upstream.broker().tasks(), upstream.accepted().clone());
    first_check::start(
        upstream.name(),
        upstream.security().clone(),
        accepted,
        tasks,
    );
}

/// What cannot be changed in a running cluster. One that differs in it is another cluster: the old
/// one is removed, and the new one knows nobody. Every field is named, so that a new one is either
/// here or applied in place.
fn signature(config: &ClusterConfig) -> String {
    let ClusterConfig {
        name: _,
        selector: _,
        cluster,
        broker,
        roles: _,
        proxy,
        tenants,
    } = config;
    let cluster::Config {
        kind,
        hosts,
        account: _,
        tls: _,
        passwords,
    } = cluster;
    let broker::Config {
        // They change with a restart only.
        secret_key: _,
        previous_key: _,
        cluster_name,
        service_account,
        rotation,
        opensearch,
        rotation_window,
        grace,
        park_within,
        prune_after,
        expiration,
        adopt,
        // They are applied in place.
        writes_per_minute: _,
        new_per_minute: _,
        writes_at_once: _,
        tries_for,
        dry_run,
        ledger,
    } = broker;
    let ledger::Config { capacity, store } = ledger;
    let store = match store {
        StoreConfig::Memory => ("memory", None),
        // Another address of it is applied in place.
        StoreConfig::Redis(_) => ("redis", None),
        StoreConfig::File(folder) | StoreConfig::TransientFile(folder) => ("file", Some(folder)),
    };
    let of_cluster = (kind, hosts, passwords, tenants, proxy);
    let of_time = (
        rotation,
        opensearch,
        rotation_window,
        grace,
        park_within,
        expiration,
        tries_for,
    );
    let of_writes = (adopt, prune_after, dry_run);
    let of_users = (cluster_name, service_account, capacity, store);
    format!("{:?}", (of_cluster, of_time, of_writes, of_users))
}

/// What one of several clusters may have of what is bounded for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Share {
    /// `None` where there is one cluster.
    waiting: Option<usize>,
    /// Kept to each node.
    connections: usize,
}

impl Share {
    fn of(clusters: usize) -> Self {
        let waiting = (WAITING / clusters.max(1)).clamp(LEAST_WAITING, MOST_WAITING);
        Self {
            waiting: (clusters > 1).then_some(waiting),
            connections: (CONNECTIONS / clusters.max(1)).max(LEAST_CONNECTIONS),
        }
    }
}

fn changes_of(upstream: &Upstream, config: &ClusterConfig) -> Result<Changes, StartError> {
    let cluster = upstream
        .security()
        .access(&config.cluster)
        .map_err(StartError::ClusterTls)?;
    let redis = match &config.broker.ledger.store {
        StoreConfig::Redis(redis) => Some(redis.access().map_err(broker::BrokerStartError::Redis)?),
        StoreConfig::Memory | StoreConfig::File(..) | StoreConfig::TransientFile(..) => None,
    };
    let proxied = upstream
        .proxied()
        .map(|proxied| proxied.tls(&config.cluster));
    Ok(Changes {
        proxied: proxied.transpose().map_err(StartError::Proxy)?,
        cluster,
        redis,
        limits: config.broker.limits(),
        mapping: Mapping::new(config.roles.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Flags, Sources};

    /// A section with tenants; `hosts` are its nodes.
    fn config(hosts: &str, role: &str) -> config::Config {
        let text = format!(
            "secret_key: 5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847\n\
             clusters:\n  one:\n    hosts: [\"{hosts}\"]\n    username: e\n    \
             password: p\n    match: {{hosts: [\"{{tenant}}.example\"]}}\n    \
             default_roles: [\"{role}\"]\n"
        );
        let sources = Sources::given(Flags::default(), &[]);
        let checked = config::check(&sources.with_file("config.yml", text.as_bytes()));
        checked.outcome.expect("a valid configuration")
    }

    fn clusters() -> Clusters {
        Clusters::new(Clock::System, Tasks::default(), Telemetry::default(), false)
    }

    fn started(clusters: &Clusters, config: &config::Config) -> (Upstreams, Arc<Tenants>) {
        let upstreams = clusters.start(&config.clusters, &config.unmatched).unwrap();
        let Some(Member::Tenants(tenants)) = upstreams.member("one") else {
            panic!("a section with tenants")
        };
        let tenants = Arc::clone(tenants);
        (upstreams, tenants)
    }

    fn label(text: &str) -> TenantLabel {
        TenantLabel::parse(text).unwrap()
    }

    async fn opened(tenants: &Tenants, name: &str) -> Arc<Upstream> {
        tenants.open(&label(name), None).await.unwrap().upstream
    }

    fn rules(upstream: &Upstream) -> String {
        format!("{:?}", upstream.mapping())
    }

    #[test]
    fn many_clusters_have_a_small_share_each_and_none_has_nothing() {
        let share = |waiting, connections| Share {
            waiting,
            connections,
        };
        for (clusters, expected) in [
            (0, share(None, 256)),
            (1, share(None, 256)),
            (2, share(Some(384), 128)),
            (8, share(Some(100), 32)),
            (100, share(Some(32), 4)),
        ] {
            assert_eq!(Share::of(clusters), expected, "{clusters}");
        }
    }

    #[tokio::test]
    async fn a_tenant_that_is_opened_during_a_reload_is_closed_and_opened_by_the_new_rules() {
        let nodes = "http://{tenant}.test:9200";
        let (clusters, before) = (clusters(), config(nodes, "{tenant}-old"));
        let (running, tenants) = started(&clusters, &before);
        let known = opened(&tenants, "known").await;
        let after = config(nodes, "{tenant}-new");
        let prepared = clusters.prepare(Some(&running), &after.clusters, &after.unmatched);
        let late = opened(&tenants, "late").await;
        clusters.apply(prepared.unwrap());
        let stays = tenants.get(&label("known")).unwrap().upstream;
        assert!(Arc::ptr_eq(&stays, &known) && rules(&stays).contains("known-new"));
        assert!(tenants.get(&label("late")).is_none() && rules(&late).contains("late-old"));
        let late = opened(&tenants, "late").await;
        assert!(rules(&late).contains("late-new"), "{}", rules(&late));
        // A label that makes no role any more has no cluster.
        let user = opened(&tenants, "user").await;
        assert!(rules(&user).contains("user-new"));
        let invalid = config(nodes, "super{tenant}");
        let prepared = clusters.prepare(Some(&running), &invalid.clusters, &invalid.unmatched);
        clusters.apply(prepared.unwrap());
        assert!(tenants.get(&label("user")).is_none());
        assert!(tenants.open(&label("user"), None).await.is_err());
        assert!(rules(&tenants.get(&label("known")).unwrap().upstream).contains("superknown"));
    }

    #[tokio::test]
    async fn the_cluster_that_tenants_share_is_changed_too() {
        let node = "http://one.test:9200";
        let (clusters, before) = (clusters(), config(node, "{tenant}-old"));
        let (running, tenants) = started(&clusters, &before);
        let shared = tenants.shared().unwrap();
        let of_acme = async || {
            let opened = tenants.open(&label("acme"), None).await.unwrap();
            format!("{:?}", opened.mapping.unwrap())
        };
        assert!(of_acme().await.contains("acme-old"));
        let after = config(node, "{tenant}-new");
        let prepared = clusters.prepare(Some(&running), &after.clusters, &after.unmatched);
        let prepared = prepared.unwrap();
        assert!(matches!(prepared.changes.as_slice(), [(one, _)] if Arc::ptr_eq(one, &shared)));
        clusters.apply(prepared);
        let stays = tenants.shared().unwrap();
        assert!(Arc::ptr_eq(&stays, &shared) && rules(&stays).contains("{tenant}-new"));
        assert!(of_acme().await.contains("acme-new"));
    }
}
