//! One cluster, as a decision sees it: which requests are for it, which roles it gives, and the
//! broker that gives the logins. Nothing that can fill or fail is shared between two of them.

use crate::{
    broker::Broker,
    cluster::SecurityApi,
    identity::Identity,
    request::Request,
    roles::{Entitled, Mapping, NotEntitled},
};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// A cluster that requests can be for.
#[derive(Debug)]
pub struct Upstream {
    name: Box<str>,
    selector: Selector,
    mapping: ArcSwap<Mapping>,
    broker: Broker,
}

/// Which requests are for a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// All of them.
    Every,
}

impl Selector {
    fn selects(self, _request: &Request) -> bool {
        match self {
            Self::Every => true,
        }
    }
}

impl Upstream {
    /// The cluster is the one that `broker` writes to.
    #[must_use]
    pub fn new(name: &str, selector: Selector, mapping: Mapping, broker: Broker) -> Self {
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

/// All clusters, in the order in which they are asked whether a request is for them.
#[derive(Debug)]
pub struct Upstreams(Vec<Upstream>);

impl Upstreams {
    /// In the order in which they are asked.
    #[must_use]
    pub fn new(upstreams: Vec<Upstream>) -> Self {
        Self(upstreams)
    }

    /// The first one that selects the request; no other one is ever tried.
    #[must_use]
    pub fn choose(&self, request: &Request) -> Option<&Upstream> {
        self.iter()
            .find(|upstream| upstream.selector.selects(request))
    }

    /// The cluster of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<&Upstream> {
        self.iter().find(|upstream| &*upstream.name == name)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.0.iter()
    }
}

impl From<Upstream> for Upstreams {
    fn from(only: Upstream) -> Self {
        Self(vec![only])
    }
}
