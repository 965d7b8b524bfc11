//! One cluster: its name, its role rules, its broker.

use super::{
    proxied::Proxied,
    readiness::{Accepted, ClusterCheck, NotReady, Readiness},
};
use crate::{
    broker::{Broker, Predecessors},
    cluster::SecurityApi,
    roles::Mapping,
    shutdown::EndOnDrop,
};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// A cluster that requests can be for.
#[derive(Debug)]
pub struct Upstream {
    name: Box<str>,
    mapping: ArcSwap<Mapping>,
    broker: Broker,
    readiness: Readiness,
    accepted: Accepted,
    proxied: Option<Arc<Proxied>>,
    /// What goes on by itself ends with it: a reload that fails drops what it has made.
    _ends: Option<EndOnDrop>,
}

impl Upstream {
    /// The cluster is the one that `broker` writes to.
    #[must_use]
    pub fn new(name: &str, mapping: Mapping, broker: Broker) -> Self {
        let check = check(broker.security().clone());
        Self {
            name: name.into(),
            mapping: ArcSwap::from_pointee(mapping),
            readiness: Readiness::new(check, broker.tasks().clone(), broker.clock().clone()),
            broker,
            accepted: Accepted::default(),
            proxied: None,
            _ends: None,
        }
    }

    /// The same, one of several clusters of a program, which have `accepted` together. The tasks of
    /// its broker are its own.
    pub(crate) fn among(self, accepted: Accepted) -> Self {
        let ends = Some(self.broker.tasks().end_on_drop());
        Self {
            accepted,
            _ends: ends,
            ..self
        }
    }

    /// The same, to which requests are passed on as well.
    #[must_use]
    pub(crate) fn with_proxied(self, proxied: Arc<Proxied>) -> Self {
        Self {
            proxied: Some(proxied),
            ..self
        }
    }

    /// Where requests are passed on to, in proxy mode.
    pub(crate) fn proxied(&self) -> Option<&Arc<Proxied>> {
        self.proxied.as_ref()
    }

    /// The same, with another answer to whether it is ready.
    #[cfg(test)]
    pub(crate) fn with_check(self, check: ClusterCheck) -> Self {
        let (tasks, clock) = (self.broker.tasks().clone(), self.broker.clock().clone());
        Self {
            readiness: Readiness::new(check, tasks, clock),
            ..self
        }
    }

    /// The name in the configuration, for logs, metrics and the audit stream; that of a tenant is
    /// `cluster/label`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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

    /// Whether the cluster accepts elastauth's own account. It is asked from now on, and the
    /// answer can be awaited.
    pub(crate) fn is_ready(&self) -> impl Future<Output = Result<(), NotReady>> + use<> {
        let (asked, accepted) = (self.readiness.ask(), self.accepted.clone());
        async move {
            let state = asked.await;
            if state.is_ok() {
                accepted.note();
            }
            state
        }
    }

    /// Where it is noted that the account was accepted.
    pub(crate) fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Whether any of the clusters that have [`Accepted`] together has accepted elastauth's own
    /// account since the start.
    pub(crate) fn was_accepted(&self) -> bool {
        self.accepted.is_noted()
    }

    /// Ends what goes on by itself: nobody is sent here any more. Requests and writes in hand are
    /// finished, of which `successors` take note.
    pub(crate) fn end(&self, successors: &Predecessors) {
        self.broker.tasks().end();
        self.broker.precedes(successors);
    }
}

fn check(cluster: SecurityApi) -> ClusterCheck {
    Arc::new(move || {
        let cluster = cluster.clone();
        Box::pin(async move {
            let checked = cluster.check().await;
            checked.map_err(|error| NotReady {
                why: error.without_address(),
                is_refusal: error.is_refusal(),
            })
        })
    })
}
