//! The cluster's nodes, and which of them to ask next.
//!
//! A node that fails is ejected for a while that doubles each time. When the while is over the node
//! is on probation: one request at a time is let through, and its outcome decides. When no node is
//! left, the one whose ejection ends first is asked nevertheless: a wrong guess costs a failed
//! call, refusing to try costs a login.
//!
//! A write goes to the node that answered last. It may not be repeated elsewhere and is patient, so
//! a node that hangs would cost it its whole deadline; a read finds such a node out within a second
//! and asks another. A write comes right after the reads of the same update.

mod health;
mod node;
#[cfg(test)]
mod tests;

pub(super) use node::ClusterNode;

use crate::{backoff::random_byte, clock::Clock, telemetry::chain};
use health::NodeHealth;
use std::{
    error::Error,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// What a request does, as far as the choice of a node goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It changes nothing, so it may be the one that tries a node on probation.
    Read,
    /// It may not be repeated elsewhere once it was sent, so it goes to a node on probation only
    /// when there is no healthy one.
    Write,
}

/// All nodes with their health.
pub(super) struct Nodes {
    /// The name of the cluster, for the log.
    cluster: Arc<str>,
    all: Box<[ClusterNode]>,
    health: Mutex<Box<[NodeHealth]>>,
    calls: AtomicUsize,
    /// The node that answered last; none of them until one has.
    answered: AtomicUsize,
    clock: Clock,
}

/// The nodes that one call has asked so far, and its place in the rotation.
pub(super) struct Round {
    place: usize,
    /// Mostly there is one.
    first: Option<usize>,
    others: Vec<usize>,
}

/// Leave to ask one node, and the duty to report the outcome. Dropped without a report it only
/// frees the probation for the next request.
pub(super) struct Lease<'a> {
    nodes: &'a Nodes,
    pub(super) index: usize,
    generation: u64,
    probe: bool,
    pub(super) node: &'a ClusterNode,
}

impl Nodes {
    pub(super) fn new(cluster: Arc<str>, nodes: Vec<ClusterNode>, clock: Clock) -> Self {
        Self {
            cluster,
            health: Mutex::new(vec![NodeHealth::new(); nodes.len()].into()),
            all: nodes.into(),
            // Replicas that start together begin at different nodes.
            calls: AtomicUsize::new(random_byte().into()),
            answered: AtomicUsize::new(usize::MAX),
            clock,
        }
    }

    pub(super) fn cluster(&self) -> &Arc<str> {
        &self.cluster
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ClusterNode> {
        self.all.iter()
    }

    /// Begins a call: the next place in the rotation, no node asked yet.
    pub(super) fn round(&self) -> Round {
        Round {
            place: self.calls.fetch_add(1, Ordering::Relaxed),
            first: None,
            others: Vec::new(),
        }
    }

    /// The next node for this call; `None` when it has asked each once.
    pub(super) fn next(&self, round: &mut Round, purpose: Purpose) -> Option<Lease<'_>> {
        let mut all = self.health();
        let is_any_away = all.iter().any(NodeHealth::is_ejected);
        let now = is_any_away.then(|| self.clock.now());
        let is_on_probation =
            |health: &NodeHealth| now.is_some_and(|now| health.is_on_probation(now));
        // Every request of a client comes here: nothing is collected.
        let not_asked = || {
            let all = all.iter().enumerate();
            all.filter(|(index, _)| !round.has_asked(*index))
        };
        let open = || {
            let open = not_asked().filter(|(_, health)| {
                !health.is_ejected() || purpose == Purpose::Read && is_on_probation(health)
            });
            open.map(|(index, _)| index)
        };
        let answered = self.answered.load(Ordering::Relaxed);
        let answered = (purpose == Purpose::Write && open().any(|index| index == answered))
            .then_some(answered);
        let in_order = || {
            let place = round.place.checked_rem(open().count())?;
            open().nth(place)
        };
        let first_to_return = || {
            let first = not_asked().min_by_key(|(_, health)| health.returns());
            first.map(|(index, _)| index)
        };
        let index = answered.or_else(in_order).or_else(first_to_return)?;
        round.asks(index);

        let (health, node) = (all.get_mut(index)?, self.all.get(index)?);
        let probe = is_on_probation(health);
        if probe {
            health.probe(true);
        }
        Some(Lease {
            nodes: self,
            index,
            generation: health.generation,
            probe,
            node,
        })
    }

    fn health(&self) -> MutexGuard<'_, Box<[NodeHealth]>> {
        // Nothing under this lock leaves a health half changed.
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    fn has_asked(&self, index: usize) -> bool {
        self.first == Some(index) || self.others.contains(&index)
    }

    fn asks(&mut self, index: usize) {
        if self.first.is_none() {
            self.first = Some(index);
        } else {
            self.others.push(index);
        }
    }
}

impl Lease<'_> {
    /// The node answered.
    pub(super) fn succeeded(self) {
        self.nodes.answered.store(self.index, Ordering::Relaxed);
        let Some(logged) = self.change(NodeHealth::succeeded).flatten() else {
            return;
        };
        self.node.metrics.up(true);
        let (cluster, node) = (&*self.nodes.cluster, &self.node.name);
        if logged {
            tracing::info!(cluster, %node, "cluster node is back");
        } else {
            tracing::debug!(cluster, %node, "cluster node is back");
        }
    }

    /// The node failed.
    pub(super) fn failed(self, why: &(dyn Error + 'static)) {
        let now = self.nodes.clock.now();
        let Some(ejected) = self.change(|health| health.failed(now)) else {
            return;
        };
        self.node.metrics.up(false);
        let (cluster, node) = (&*self.nodes.cluster, &self.node.name);
        let (reason, ejected_ms) = (chain(why), ejected.wait.as_millis());
        if ejected.log {
            tracing::warn!(cluster, %node, %reason, ejected_ms, "cluster node is ejected");
        } else {
            tracing::debug!(cluster, %node, %reason, ejected_ms, "cluster node is still away");
        }
    }

    /// Changes the node's health if it is still the one with which the lease began.
    fn change<T>(&self, change: impl FnOnce(&mut NodeHealth) -> T) -> Option<T> {
        let mut all = self.nodes.health();
        let health = all.get_mut(self.index)?;
        (health.generation == self.generation).then(|| change(health))
    }
}

impl Drop for Lease<'_> {
    fn drop(&mut self) {
        if self.probe {
            self.change(|health| health.probe(false));
        }
    }
}
