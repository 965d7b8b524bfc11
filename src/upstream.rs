//! One cluster, as a decision sees it: which requests are for it, which roles it gives, and the
//! broker that gives the logins. Nothing that can fill or fail is shared between two of them.

mod index;
mod matching;

#[allow(unused_imports, reason = "the configuration will read them")]
pub use matching::{HeaderMatch, HostPattern, Match, PathPrefix};
#[allow(unused_imports, reason = "the configuration will read them")]
pub(crate) use matching::{InvalidHeaderMatch, InvalidHostPattern, InvalidPathPrefix, TenantLabel};

use crate::{
    broker::Broker,
    cluster::SecurityApi,
    identity::Identity,
    request::{Request, Unclear},
    roles::{Entitled, Mapping, NotEntitled},
};
use arc_swap::ArcSwap;
use index::Index;
use std::{collections::HashMap, sync::Arc};

/// A cluster that requests can be for.
#[derive(Debug)]
pub struct Upstream {
    name: Box<str>,
    selector: Match,
    mapping: ArcSwap<Mapping>,
    broker: Broker,
}

impl Upstream {
    /// The cluster is the one that `broker` writes to.
    #[must_use]
    pub fn new(name: &str, selector: Match, mapping: Mapping, broker: Broker) -> Self {
        Self {
            name: name.into(),
            selector,
            mapping: ArcSwap::from_pointee(mapping),
            broker,
        }
    }

    /// The name in the configuration, for logs, metrics and the audit stream.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which roles the identity has in this cluster.
    ///
    /// # Errors
    /// See [`NotEntitled`].
    pub fn entitle(&self, identity: Identity) -> Result<Entitled, NotEntitled> {
        self.mapping.load().entitle(identity)
    }

    /// The role rules in force.
    #[must_use]
    pub fn mapping(&self) -> Arc<Mapping> {
        self.mapping.load_full()
    }

    /// Applies these rules from the next request on. Requests under way keep theirs.
    pub fn replace_mapping(&self, mapping: Mapping) {
        self.mapping.store(Arc::new(mapping));
    }

    /// What gives the logins.
    #[must_use]
    pub fn broker(&self) -> &Broker {
        &self.broker
    }

    /// What the broker talks to.
    #[must_use]
    pub fn security(&self) -> &SecurityApi {
        self.broker.security()
    }
}

/// What becomes of a request that no cluster's rules fit (`clusters.unmatched`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// It is refused.
    #[default]
    Refuse,
    /// It is for the cluster of this name.
    Cluster(Box<str>),
}

/// Why a request is for no cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoCluster {
    /// The path of the endpoint names a cluster that does not exist.
    #[error("there is no cluster `{0}`")]
    Unknown(Box<str>),
    /// No rule fits.
    #[error("no cluster's `match` fits this host, path and header")]
    Unmatched,
    /// What could decide is not clear.
    #[error("{0}; an unclear request is for no cluster")]
    Unclear(Unclear),
}

/// As much of a cluster's name in a path as an error repeats; real names are shorter.
const MAX_SHOWN_BYTES: usize = 63;

impl NoCluster {
    fn unknown(name: &str) -> Self {
        let shown = name.bytes().take(MAX_SHOWN_BYTES);
        let shown: String = shown.map(|byte| byte.escape_ascii().to_string()).collect();
        Self::Unknown(shown.into())
    }
}

/// All clusters.
#[derive(Debug)]
pub struct Upstreams {
    all: Vec<Upstream>,
    index: Index,
    names: HashMap<Box<str>, usize>,
    unmatched: Option<usize>,
}

impl Upstreams {
    /// Their names differ, and no two [`Match`]es tie.
    #[must_use]
    pub fn new(all: Vec<Upstream>, unmatched: &Unmatched) -> Self {
        let names = all.iter().map(|upstream| upstream.name.clone());
        let names: HashMap<_, _> = names.zip(0..).collect();
        let unmatched = match unmatched {
            Unmatched::Refuse => None,
            Unmatched::Cluster(name) => names.get(name).copied(),
        };
        let index = if all.len() == 1 && unmatched.is_some() {
            // Whatever a request says, it is for this one.
            Index::default()
        } else {
            Index::new(all.iter().map(|upstream| &upstream.selector))
        };
        Self {
            all,
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
    pub fn choose(&self, request: &Request) -> Result<&Upstream, NoCluster> {
        if let Some(name) = request.endpoint().cluster {
            return self.named(name).ok_or_else(|| NoCluster::unknown(name));
        }
        let place = if self.index.is_empty() {
            self.unmatched
        } else {
            let found = self
                .index
                .find(request.asked())
                .map_err(NoCluster::Unclear)?;
            found.map(|found| found.place).or(self.unmatched)
        };
        let place = place.ok_or(NoCluster::Unmatched)?;
        self.all.get(place).ok_or(NoCluster::Unmatched)
    }

    /// The cluster of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Upstream> {
        self.all.get(*self.names.get(name)?)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.all.iter()
    }
}

/// Every request is for this one.
impl From<Upstream> for Upstreams {
    fn from(only: Upstream) -> Self {
        let unmatched = Unmatched::Cluster(only.name.clone());
        Self::new(vec![only], &unmatched)
    }
}
