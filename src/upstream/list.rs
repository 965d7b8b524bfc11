//! All clusters, and which one a request is for.

use super::{
    cluster::Upstream,
    index::Index,
    matching::{Match, TenantLabel},
    no_cluster::NoCluster,
    tenants::Tenants,
};
use crate::{
    broker::Predecessors,
    request::{Request, Unclear},
    telemetry::metrics::ClusterMetrics,
};
use std::{borrow::Cow, collections::HashMap, sync::Arc};

/// What becomes of a request that no cluster's rules fit (`clusters.unmatched`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// It is refused.
    #[default]
    Refuse,
    /// It is for the cluster of this name.
    Cluster(Box<str>),
}

/// A section of the configuration.
#[derive(Debug, Clone)]
pub(crate) enum Member {
    Cluster(Arc<Upstream>),
    /// One cluster for each label of a captured host.
    Tenants(Arc<Tenants>),
}

impl Member {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Cluster(upstream) => upstream.name(),
            Self::Tenants(tenants) => tenants.name(),
        }
    }

    /// The one cluster, or those of the tenants that are open.
    pub(crate) fn all(&self) -> Vec<Arc<Upstream>> {
        match self {
            Self::Cluster(upstream) => vec![Arc::clone(upstream)],
            Self::Tenants(tenants) => tenants.all(),
        }
    }

    /// Ends what goes on by itself: nobody is sent here any more. `successors` take note of what is
    /// in hand.
    pub(crate) fn end(&self, successors: &Predecessors) {
        match self {
            Self::Cluster(upstream) => upstream.end(successors),
            Self::Tenants(tenants) => tenants.end(successors),
        }
    }

    /// Whether both are the same one.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cluster(one), Self::Cluster(other)) => Arc::ptr_eq(one, other),
            (Self::Tenants(one), Self::Tenants(other)) => Arc::ptr_eq(one, other),
            (Self::Cluster(_), Self::Tenants(_)) | (Self::Tenants(_), Self::Cluster(_)) => false,
        }
    }
}

/// Which cluster a request is for.
#[derive(Debug, Clone)]
pub enum Chosen {
    /// This one.
    Cluster(Arc<Upstream>),
    /// That of a tenant, which may have to be opened.
    #[expect(private_interfaces, reason = "only the flow looks into it")]
    Tenant(Arc<Tenants>, TenantLabel),
}

impl Chosen {
    /// The cluster itself, if it is open.
    pub(crate) fn upstream(&self) -> Option<Arc<Upstream>> {
        match self {
            Self::Cluster(upstream) => Some(Arc::clone(upstream)),
            Self::Tenant(tenants, label) => tenants.get(label).map(|opened| opened.upstream),
        }
    }

    /// For logs and the audit stream.
    #[must_use]
    pub fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Cluster(upstream) => upstream.name().into(),
            Self::Tenant(tenants, label) => tenants.name_of(label).into(),
        }
    }

    /// What counts the decisions. The tenants of a section have theirs together: their number is
    /// not bounded.
    pub(crate) fn metrics(&self) -> &ClusterMetrics {
        match self {
            Self::Cluster(upstream) => upstream.broker().metrics(),
            Self::Tenant(tenants, _) => tenants.metrics(),
        }
    }
}

/// All clusters.
#[derive(Debug)]
pub struct Upstreams {
    all: Vec<Member>,
    index: Index,
    names: HashMap<Box<str>, usize>,
    unmatched: Option<usize>,
}

impl Upstreams {
    /// Their names differ, and no two [`Match`]es tie.
    #[must_use]
    pub(crate) fn new(all: Vec<(Match, Member)>, unmatched: &Unmatched) -> Self {
        let names = all.iter().map(|(_, member)| member.name().into());
        let names: HashMap<Box<str>, usize> = names.zip(0..).collect();
        let unmatched = match unmatched {
            Unmatched::Refuse => None,
            Unmatched::Cluster(name) => names.get(name).copied(),
        };
        let index = match all.as_slice() {
            // Whatever a request says, it is for this one.
            [(_, Member::Cluster(_))] if unmatched.is_some() => Index::default(),
            all => Index::new(all.iter().map(|(selector, _)| selector)),
        };
        Self {
            all: all.into_iter().map(|(_, member)| member).collect(),
            index,
            names,
            unmatched,
        }
    }

    /// The one that the request is for; no other one is ever tried.
    ///
    /// # Errors
    /// Why it is for none. A request that is unclear is not for the cluster of those that no rule
    /// fits: its gateway may have taken it for another one.
    pub fn choose(&self, request: &Request) -> Result<Chosen, NoCluster> {
        // Paths below `/elastauth/` are never passed on.
        let (place, label) = if let Some(name) = request.endpoint().cluster {
            if request.ends_in_the_clients_path() {
                return Err(NoCluster::Unclear(Unclear::Appended));
            }
            let place = self.names.get(name);
            (*place.ok_or_else(|| NoCluster::unknown(name))?, None)
        } else if self.index.is_empty() {
            (self.unmatched.ok_or(NoCluster::Unmatched)?, None)
        } else {
            match self
                .index
                .find(request.asked())
                .map_err(NoCluster::Unclear)?
            {
                Some(found) => (found.place, found.label),
                None => (self.unmatched.ok_or(NoCluster::Unmatched)?, None),
            }
        };
        match self.all.get(place).ok_or(NoCluster::Unmatched)? {
            Member::Cluster(upstream) => Ok(Chosen::Cluster(Arc::clone(upstream))),
            Member::Tenants(tenants) => {
                let label = label.ok_or_else(|| NoCluster::WithoutTenant(tenants.name().into()))?;
                let label = TenantLabel::parse(&label).ok_or(NoCluster::Label)?;
                Ok(Chosen::Tenant(Arc::clone(tenants), label))
            }
        }
    }

    /// The cluster of this name, or the tenant of `cluster/label` that is open.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Arc<Upstream>> {
        // The name of `elasticsearch.cluster_name` may have a `/` itself.
        if let Some(Member::Cluster(upstream)) = self.member(name) {
            return Some(Arc::clone(upstream));
        }
        let (section, label) = name.split_once('/')?;
        match self.member(section)? {
            Member::Tenants(tenants) => tenants.opened(label),
            Member::Cluster(_) => None,
        }
    }

    /// All sections.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Member> {
        self.all.iter()
    }

    /// All clusters, with the tenants that are open.
    pub fn iter(&self) -> impl Iterator<Item = Arc<Upstream>> {
        self.all.iter().flat_map(Member::all)
    }

    /// The section of this name.
    pub(crate) fn member(&self, name: &str) -> Option<&Member> {
        self.all.get(*self.names.get(name)?)
    }

    /// Closes the clusters of tenants that nobody has asked for within the last hour.
    pub(crate) fn close_idle(&self) {
        for member in &self.all {
            if let Member::Tenants(tenants) = member {
                tenants.close_idle();
            }
        }
    }

    /// Writes the state of the ledgers into the metrics.
    pub(crate) fn report_ledgers(&self) {
        for member in &self.all {
            let all = member.all();
            if let Some((first, others)) = all.split_first() {
                let others = others.iter().map(|upstream| upstream.broker().ledger());
                first.broker().report_ledgers(others);
            }
        }
    }
}

/// Every request is for this one.
impl From<Upstream> for Upstreams {
    fn from(only: Upstream) -> Self {
        let unmatched = Unmatched::Cluster(only.name().into());
        let only = Member::Cluster(Arc::new(only));
        Self::new(vec![(Match::default(), only)], &unmatched)
    }
}
