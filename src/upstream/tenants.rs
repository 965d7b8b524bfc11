//! The tenants of one section, one for each label that its `match.hosts` captures. A cluster is
//! opened when somebody with a role there first asks, so nobody without an identity can open any.

use super::{cluster::Upstream, matching::TenantLabel};
use crate::{
    broker::Predecessors,
    clock::{Clock, Timestamp},
    model::Username,
    rate::{Bucket, Rate},
    roles::Mapping,
    shutdown::Tasks,
    single_flight::{Full, Run, SingleFlight},
    telemetry::{chain, metrics::ClusterMetrics},
};
use quick_cache::sync::Cache;
use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};
use tracing::info;

/// Open clusters of a section. Each has a pool of connections, a ledger and a few tasks.
const MOST: usize = 64;
/// After so long without a request a cluster is closed. Opening it again costs its users a read
/// each.
const IDLE: Duration = Duration::from_hours(1);
/// Clusters that are set up at once: each reads a few files, and after a start all may be asked
/// for.
const OPENING: usize = MOST;
/// How long a request waits for that: it is answered within two seconds.
const WITHIN: Duration = Duration::from_millis(1_500);
/// How many tenants one user may open at once, and how long until one more. Somebody may ask for
/// tenants that do not exist, and each of them takes the place of another one.
const OPENED_BY_USER: u32 = 16;
const OPENED_AGAIN: Duration = Duration::from_secs(10);
/// Users who have opened a tenant lately. One who is forgotten may open as many again.
const OPENERS: usize = 10_000;

const IDLE_FOR_LONG: &str = "nobody asked for it for an hour";

/// The rules of a tenant; `None` where the label would make a role that no text may make.
type Rules = dyn Fn(&TenantLabel) -> Option<Mapping> + Send + Sync;
/// The cluster of a tenant.
type MakeCluster =
    dyn Fn(&TenantLabel) -> Result<Upstream, Box<dyn Error + Send + Sync>> + Send + Sync;

/// What a section gives its tenants.
pub(crate) struct TenantSource {
    pub(crate) mapping: Box<Rules>,
    pub(crate) nodes: TenantNodes,
}

/// Where the users of tenants are.
pub(crate) enum TenantNodes {
    /// In a cluster for each tenant.
    Own(Box<MakeCluster>),
    /// In one cluster. Only the roles differ, so one user must not use two tenants at once.
    Shared(Arc<Upstream>),
}

/// Why a tenant has no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTenant {
    /// There are too many.
    #[error(
        "requests of {MOST} tenants of the cluster `{0}` are in hand, which is all that are open \
         at once"
    )]
    Full(Box<str>),
    /// The same user has opened many.
    #[error(
        "the user has opened {OPENED_BY_USER} tenants of the cluster `{0}`, and may open one more \
         every {OPENED_AGAIN:?}"
    )]
    TooOften(Box<str>),
    /// It cannot be set up.
    #[error("the cluster `{0}` cannot be set up: {1}")]
    SetUp(Box<str>, Box<str>),
    /// The label makes no role.
    #[error("the label of the tenant `{0}` would make a role that no text may make")]
    Label(Box<str>),
}

/// The open clusters of a section.
pub(crate) struct Tenants {
    name: Box<str>,
    metrics: ClusterMetrics,
    source: RwLock<Arc<TenantSource>>,
    clock: Clock,
    open: RwLock<Open>,
    opening: SingleFlight<Box<str>, (), Result<Arc<Upstream>, Box<str>>>,
    openers: Mutex<Cache<Username, Bucket>>,
    /// The clusters that were closed.
    closed: Predecessors,
}

/// The clusters that are open, by label.
#[derive(Default)]
struct Open {
    tenants: HashMap<Box<str>, Tenant>,
    /// The section is gone: nothing is opened any more.
    has_ended: bool,
}

/// A tenant that somebody has asked for.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) upstream: Arc<Upstream>,
    /// Its rules, where those of the cluster are not its own.
    pub(crate) mapping: Option<Arc<Mapping>>,
}

struct Tenant {
    opened: Opened,
    /// In milliseconds since 1970.
    asked_at: AtomicU64,
}

impl Tenants {
    /// `tasks` set clusters up, and `metrics` are those of the section.
    pub(crate) fn new(
        name: &str,
        source: TenantSource,
        clock: Clock,
        tasks: Tasks,
        metrics: ClusterMetrics,
    ) -> Self {
        Self {
            name: name.into(),
            metrics,
            source: RwLock::new(Arc::new(source)),
            opening: SingleFlight::new(OPENING, |_| None, tasks, clock.clone()),
            clock,
            open: RwLock::default(),
            openers: Mutex::new(Cache::new(OPENERS)),
            closed: Predecessors::default(),
        }
    }

    /// The section's.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn metrics(&self) -> &ClusterMetrics {
        &self.metrics
    }

    /// That of a tenant's cluster.
    pub(crate) fn name_of(&self, label: &TenantLabel) -> String {
        format!("{}/{}", self.name, label.as_str())
    }

    /// Opens tenants by this from now on. Of the open clusters the `changed` ones stay, to which
    /// the caller has applied it. The others are closed: they were opened in the meantime, or their
    /// label is not valid any more.
    pub(crate) fn replace_source(&self, source: TenantSource, changed: &[Arc<Upstream>]) {
        // `keep` takes it first as well, so nobody opens one by the old source after this.
        let mut open = self.write();
        let is_shared = matches!(source.nodes, TenantNodes::Shared(_));
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(source);
        if is_shared {
            // Their rules are made again.
            open.tenants.clear();
            return;
        }
        self.close(&mut open, "a reload has changed its section", |tenant| {
            let mut changed = changed.iter();
            !changed.any(|changed| Arc::ptr_eq(changed, &tenant.opened.upstream))
        });
    }

    /// The section is gone. `successors` take note of what is in hand.
    pub(crate) fn end(&self, successors: &Predecessors) {
        let shared = self.shared();
        let mut open = self.write();
        open.has_ended = true;
        if let Some(upstream) = shared {
            open.tenants.clear();
            upstream.end(successors);
            return;
        }
        self.close(&mut open, "a reload has removed its section", |_| true);
        drop(open);
        successors.take_over(&self.closed);
    }

    /// The tenant's role rules, whether its cluster is open or not.
    ///
    /// # Errors
    /// [`NoTenant::Label`].
    pub(crate) fn mapping(&self, label: &TenantLabel) -> Result<Mapping, NoTenant> {
        let mapping = (self.source().mapping)(label);
        mapping.ok_or_else(|| NoTenant::Label(label.as_str().into()))
    }

    /// The tenant's cluster, if it is open.
    pub(crate) fn get(&self, label: &TenantLabel) -> Option<Opened> {
        let open = self.read();
        let tenant = open.tenants.get(label.as_str())?;
        tenant.asked_at.store(self.clock.now().0, Relaxed);
        Some(tenant.opened.clone())
    }

    /// The same, and nobody has asked for it.
    pub(super) fn opened(&self, label: &str) -> Option<Arc<Upstream>> {
        let open = self.read();
        let tenant = open.tenants.get(label)?;
        Some(Arc::clone(&tenant.opened.upstream))
    }

    /// All clusters that are open, in the order of their labels.
    pub(crate) fn all(&self) -> Vec<Arc<Upstream>> {
        if let Some(upstream) = self.shared() {
            return vec![upstream];
        }
        let open = self.read();
        let mut all: Vec<_> = open.tenants.iter().collect();
        all.sort_by_key(|(label, _)| *label);
        let upstreams = all.into_iter().map(|(_, tenant)| &tenant.opened.upstream);
        upstreams.map(Arc::clone).collect()
    }

    /// The labels of the tenants that are open, each with its own cluster.
    pub(crate) fn labels(&self) -> Vec<(TenantLabel, Arc<Upstream>)> {
        let open = self.read();
        let own = open
            .tenants
            .iter()
            .filter(|(_, tenant)| tenant.opened.mapping.is_none());
        let all = own.filter_map(|(label, tenant)| {
            let label = TenantLabel::parse(label)?;
            Some((label, Arc::clone(&tenant.opened.upstream)))
        });
        all.collect()
    }

    /// The tenant's cluster for somebody who has a role in it; it is opened if it is not open, on
    /// behalf of this user.
    ///
    /// # Errors
    /// See [`NoTenant`].
    pub(crate) async fn open(
        &self,
        label: &TenantLabel,
        by: Option<&Username>,
    ) -> Result<Opened, NoTenant> {
        loop {
            if let Some(opened) = self.get(label) {
                return Ok(opened);
            }
            let source = self.source();
            let opened = match &source.nodes {
                TenantNodes::Shared(upstream) => {
                    let mapping = (source.mapping)(label);
                    let mapping = mapping.ok_or_else(|| NoTenant::Label(label.as_str().into()))?;
                    Opened {
                        upstream: Arc::clone(upstream),
                        mapping: Some(Arc::new(mapping)),
                    }
                }
                TenantNodes::Own(_) => Opened {
                    upstream: self.made(label, by, &source).await?,
                    mapping: None,
                },
            };
            // Otherwise a reload has come between.
            if let Some(opened) = self.keep(label, &source, opened)? {
                return Ok(opened);
            }
        }
    }

    /// A cluster for the tenant. Its files are read on a thread of their own: a file system that
    /// hangs keeps nobody else waiting.
    async fn made(
        &self,
        label: &TenantLabel,
        by: Option<&Username>,
        source: &Arc<TenantSource>,
    ) -> Result<Arc<Upstream>, NoTenant> {
        let begin = || {
            if let Some(user) = by {
                self.take_turn(user)?;
            }
            let (source, label) = (Arc::clone(source), label.clone());
            Ok(async move {
                let work = spawn_blocking(move || match &source.nodes {
                    TenantNodes::Own(make) => make(&label).map_err(|error| chain(&*error)),
                    TenantNodes::Shared(_) => Err("its tenants have one cluster".to_owned()),
                });
                let made = work.await;
                let made = made.unwrap_or_else(|_| Err("its set-up crashed".to_owned()));
                made.map(Arc::new).map_err(Box::from)
            })
        };
        let run = self.opening.join(&label.as_str().into(), (), begin);
        let run = run.map_err(|why| match why {
            NotBegun::Full => NoTenant::Full(self.name.clone()),
            NotBegun::TooOften => NoTenant::TooOften(self.name.clone()),
        })?;
        let made = timeout(WITHIN, Run::result(run)).await;
        let made = made.unwrap_or_else(|_| Some(Err("its files are not read in time".into())));
        let made = made.unwrap_or_else(|| Err("its set-up crashed".into()));
        made.map_err(|why| NoTenant::SetUp(self.name_of(label).into(), why))
    }

    /// Whether the user may open one more.
    fn take_turn(&self, user: &Username) -> Result<(), NotBegun> {
        // Held over look and change.
        let openers = self.openers.lock().unwrap_or_else(PoisonError::into_inner);
        let rate = Rate::burst(OPENED_BY_USER, OPENED_AGAIN);
        let bucket = rate.after_taking_one(openers.get(user), self.clock.now());
        openers.insert(user.clone(), bucket.ok_or(NotBegun::TooOften)?);
        Ok(())
    }

    /// Puts the tenant into the table; the one that is there counts. `None` where the source is not
    /// in force any more.
    fn keep(
        &self,
        label: &TenantLabel,
        source: &Arc<TenantSource>,
        opened: Opened,
    ) -> Result<Option<Opened>, NoTenant> {
        let now = self.clock.now();
        let mut open = self.write();
        if let Some(tenant) = open.tenants.get(label.as_str()) {
            return Ok(Some(tenant.opened.clone()));
        }
        if open.has_ended {
            let why = "a reload has removed its section".into();
            return Err(NoTenant::SetUp(self.name_of(label).into(), why));
        }
        // Read under the lock, so that no reload comes between it and the new entry.
        if !Arc::ptr_eq(source, &self.source()) {
            return Ok(None);
        }
        if opened.mapping.is_some() {
            if open.tenants.len() >= MOST {
                // Rules alone, which are made again when somebody asks.
                open.tenants.clear();
            }
        } else {
            self.make_room(&mut open, now)?;
            let upstream = &opened.upstream;
            upstream.broker().succeeds(&self.closed);
            info!(cluster = upstream.name(), "the cluster of a tenant is open");
        }
        let tenant = Tenant {
            opened: opened.clone(),
            asked_at: AtomicU64::new(now.0),
        };
        open.tenants.insert(label.as_str().into(), tenant);
        Ok(Some(opened))
    }

    /// Closes those that nobody asks for any more, and then the one that was asked for least
    /// recently, first of those without users.
    fn make_room(&self, open: &mut Open, now: Timestamp) -> Result<(), NoTenant> {
        if open.tenants.len() < MOST {
            return Ok(());
        }
        self.close(open, IDLE_FOR_LONG, |tenant| tenant.idle(now) >= IDLE);
        if open.tenants.len() < MOST {
            return Ok(());
        }
        let free = open.tenants.values().filter(|tenant| !tenant.is_in_hand());
        let oldest = free.min_by_key(|tenant| {
            let has_users = tenant.opened.upstream.broker().ledger().users() > 0;
            (has_users, tenant.asked_at.load(Relaxed))
        });
        let oldest = oldest.map(|tenant| Arc::clone(&tenant.opened.upstream));
        let oldest = oldest.ok_or_else(|| NoTenant::Full(self.name.clone()))?;
        self.close(open, "another one needs its place", |tenant| {
            Arc::ptr_eq(&tenant.opened.upstream, &oldest)
        });
        Ok(())
    }

    /// The cluster of all tenants, where they have one together.
    pub(crate) fn shared(&self) -> Option<Arc<Upstream>> {
        match &self.source().nodes {
            TenantNodes::Shared(upstream) => Some(Arc::clone(upstream)),
            TenantNodes::Own(_) => None,
        }
    }

    /// Closes the clusters that nobody has asked for within the last hour.
    pub(crate) fn close_idle(&self) {
        let now = self.clock.now();
        self.close(&mut self.write(), IDLE_FOR_LONG, |tenant| {
            tenant.idle(now) >= IDLE
        });
    }

    fn close(&self, open: &mut Open, why: &str, is_outdated: impl Fn(&Tenant) -> bool) {
        open.tenants.retain(|_, tenant| {
            let closes = is_outdated(tenant);
            // The rules of a shared cluster leave it as it is.
            if closes && tenant.opened.mapping.is_none() {
                let cluster = tenant.opened.upstream.name();
                info!(cluster, "the cluster of a tenant is closed: {why}");
                tenant.opened.upstream.end(&self.closed);
            }
            !closes
        });
    }

    fn source(&self) -> Arc<TenantSource> {
        Arc::clone(&self.source.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self) -> RwLockReadGuard<'_, Open> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Open> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    /// Whether a request holds it.
    fn is_in_hand(&self) -> bool {
        Arc::strong_count(&self.opened.upstream) > 1
    }

    /// A clock that was set back says nothing.
    fn idle(&self, now: Timestamp) -> Duration {
        let asked_at = Timestamp(self.asked_at.load(Relaxed));
        now.since(asked_at).unwrap_or_default()
    }
}

/// Why no cluster is set up.
enum NotBegun {
    Full,
    TooOften,
}

impl From<Full> for NotBegun {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants")
            .field("name", &self.name)
            .field("open", &self.read().tenants.len())
            .finish_non_exhaustive()
    }
}
