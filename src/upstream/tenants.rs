//! The tenants of one section, one for each label that its `match.hosts` captures. A cluster is
//! opened when somebody with a role there first asks, so nobody without an identity can open any.

use super::{cluster::Upstream, matching::TenantLabel};
use crate::{
    clock::{Clock, Timestamp},
    roles::Mapping,
    telemetry::chain,
};
use std::{
    collections::HashMap,
    error::Error,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tracing::info;

/// Open clusters of a section. Each has a pool of connections, a ledger and a few tasks.
const MOST: usize = 64;
/// After so long without a request a cluster is closed. Opening it again costs its users a read
/// each.
const IDLE: Duration = Duration::from_hours(1);
/// And after so long where there is no room and nobody has a login there: somebody may ask for
/// tenants that do not exist.
const UNUSED: Duration = Duration::from_mins(1);

/// The rules of a tenant; `None` where the label would make a role that no text may make.
type Rules = dyn Fn(&TenantLabel) -> Option<Mapping> + Send + Sync;
/// The cluster of a tenant.
type Open = dyn Fn(&TenantLabel) -> Result<Upstream, Box<dyn Error + Send + Sync>> + Send + Sync;

/// What a section gives its tenants.
pub(crate) struct TenantSource {
    pub(crate) mapping: Box<Rules>,
    pub(crate) nodes: TenantNodes,
}

/// Where the users of tenants are.
pub(crate) enum TenantNodes {
    /// In a cluster for each tenant.
    Own(Box<Open>),
    /// In one cluster. Only the roles differ, so one user must not use two tenants at once.
    Shared(Arc<Upstream>),
}

/// Why a tenant has no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoTenant {
    /// There are too many.
    #[error(
        "{MOST} tenants of the cluster `{0}` were asked for within the last hour, which is all \
         that are open at once"
    )]
    Full(Box<str>),
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
    source: RwLock<Arc<TenantSource>>,
    clock: Clock,
    open: RwLock<HashMap<Box<str>, Tenant>>,
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
    pub(crate) fn new(name: &str, source: TenantSource, clock: Clock) -> Self {
        Self {
            name: name.into(),
            source: RwLock::new(Arc::new(source)),
            clock,
            open: RwLock::default(),
        }
    }

    /// The section's.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// That of a tenant's cluster.
    pub(crate) fn name_of(&self, label: &TenantLabel) -> String {
        format!("{}/{}", self.name, label.as_str())
    }

    /// Opens tenants by this from now on. Of the open clusters the `changed` ones stay, to which
    /// the caller has applied it. The others are closed: they were opened in the meantime, or their
    /// label is not valid any more.
    pub(crate) fn replace_source(&self, source: TenantSource, changed: &[Arc<Upstream>]) {
        // `open` takes it first as well, so nobody opens one by the old source after this.
        let mut open = self.write();
        let is_shared = matches!(source.nodes, TenantNodes::Shared(_));
        *self.source.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(source);
        if is_shared {
            // Their rules are made again.
            open.clear();
            return;
        }
        close(&mut open, "a reload has changed its section", |tenant| {
            let mut changed = changed.iter();
            !changed.any(|changed| Arc::ptr_eq(changed, &tenant.opened.upstream))
        });
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
        let tenant = open.get(label.as_str())?;
        tenant.asked_at.store(self.clock.now().0, Relaxed);
        Some(tenant.opened.clone())
    }

    /// The same, and nobody has asked for it.
    pub(super) fn opened(&self, label: &str) -> Option<Arc<Upstream>> {
        let open = self.read();
        let tenant = open.get(label)?;
        Some(Arc::clone(&tenant.opened.upstream))
    }

    /// All clusters that are open, in the order of their labels.
    pub(crate) fn all(&self) -> Vec<Arc<Upstream>> {
        if let Some(upstream) = self.shared() {
            return vec![upstream];
        }
        let open = self.read();
        let mut all: Vec<_> = open.iter().collect();
        all.sort_by_key(|(label, _)| *label);
        let upstreams = all.into_iter().map(|(_, tenant)| &tenant.opened.upstream);
        upstreams.map(Arc::clone).collect()
    }

    /// The labels of the tenants that are open, each with its own cluster.
    pub(crate) fn labels(&self) -> Vec<(TenantLabel, Arc<Upstream>)> {
        let open = self.read();
        let own = open
            .iter()
            .filter(|(_, tenant)| tenant.opened.mapping.is_none());
        let all = own.filter_map(|(label, tenant)| {
            let label = TenantLabel::parse(label)?;
            Some((label, Arc::clone(&tenant.opened.upstream)))
        });
        all.collect()
    }

    /// The tenant's cluster for somebody who has a role in it; it is opened if it is not open.
    ///
    /// # Errors
    /// See [`NoTenant`].
    pub(crate) fn open(&self, label: &TenantLabel) -> Result<Opened, NoTenant> {
        let now = self.clock.now();
        let mut open = self.write();
        // Read under the lock, so that no reload comes between it and the new entry.
        let source = self.source();
        if let Some(tenant) = open.get(label.as_str()) {
            return Ok(tenant.opened.clone());
        }
        if open.len() >= MOST {
            close_idle(&mut open, now);
        }
        let opened = match &source.nodes {
            TenantNodes::Shared(upstream) => {
                if open.len() >= MOST {
                    // Rules alone, which are made again when somebody asks.
                    open.clear();
                }
                let mapping = (source.mapping)(label);
                let mapping = mapping.ok_or_else(|| NoTenant::Label(label.as_str().into()))?;
                let mapping = Some(Arc::new(mapping));
                let upstream = Arc::clone(upstream);
                Opened { upstream, mapping }
            }
            TenantNodes::Own(cluster) => {
                if open.len() >= MOST {
                    let why = "there is no room and nobody has a login there";
                    close(&mut open, why, |tenant| {
                        let users = tenant.opened.upstream.broker().ledger().users();
                        tenant.idle(now) >= UNUSED && users == 0
                    });
                }
                if open.len() >= MOST {
                    return Err(NoTenant::Full(self.name.clone()));
                }
                let failed = |error: Box<dyn Error + Send + Sync>| {
                    NoTenant::SetUp(self.name_of(label).into(), chain(&*error).into())
                };
                let upstream = Arc::new(cluster(label).map_err(failed)?);
                info!(cluster = upstream.name(), "the cluster of a tenant is open");
                Opened {
                    upstream,
                    mapping: None,
                }
            }
        };
        let tenant = Tenant {
            opened: opened.clone(),
            asked_at: AtomicU64::new(now.0),
        };
        open.insert(label.as_str().into(), tenant);
        Ok(opened)
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
        close_idle(&mut self.write(), self.clock.now());
    }

    fn source(&self) -> Arc<TenantSource> {
        Arc::clone(&self.source.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<Box<str>, Tenant>> {
        self.open.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<Box<str>, Tenant>> {
        self.open.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tenant {
    /// A clock that was set back says nothing.
    fn idle(&self, now: Timestamp) -> Duration {
        let asked_at = Timestamp(self.asked_at.load(Relaxed));
        now.since(asked_at).unwrap_or_default()
    }
}

fn close_idle(open: &mut HashMap<Box<str>, Tenant>, now: Timestamp) {
    close(open, "nobody asked for it for an hour", |tenant| {
        tenant.idle(now) >= IDLE
    });
}

fn close(open: &mut HashMap<Box<str>, Tenant>, why: &str, is_outdated: impl Fn(&Tenant) -> bool) {
    open.retain(|_, tenant| {
        let closes = is_outdated(tenant);
        if closes {
            // The rules of a shared cluster leave it as it is.
            if tenant.opened.mapping.is_none() {
                let cluster = tenant.opened.upstream.name();
                info!(cluster, "the cluster of a tenant is closed: {why}");
                tenant.opened.upstream.end();
            }
        }
        !closes
    });
}

impl fmt::Debug for Tenants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenants")
            .field("name", &self.name)
            .field("open", &self.read().len())
            .finish_non_exhaustive()
    }
}
