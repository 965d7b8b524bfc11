//! Handles to the series of `prometheus-client`, resolved once at start: counting is one addition,
//! without a lock and without a look-up by name.
//!
//! The counters are not split between cores. A decision adds to four of them; a shared cache line
//! takes tens of millions of additions a second, and the whole service makes a hundredth of that in
//! decisions. `metrics::tests::what_a_decision_pays` measures it.

use super::labels::{Label, Labels};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};
use std::marker::PhantomData;

/// One handle for each set of values of closed labels.
#[derive(Debug, Clone)]
pub(super) struct Handles<L, M = Counter> {
    handles: Box<[M]>,
    labels: PhantomData<L>,
}

impl<L: Label, M> Handles<L, M> {
    /// All series of a family whose only open labels, beside `fixed`, are `L`.
    pub(super) fn resolve(family: &Family<Labels, M>, fixed: &Labels) -> Self
    where
        M: Metric + Default + Clone,
    {
        let handle = |set: L| {
            let mut labels = fixed.clone();
            set.add_to(&mut labels);
            family.get_or_create_owned(&labels)
        };
        Self {
            handles: L::all().map(handle).collect(),
            labels: PhantomData,
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`resolve` makes one handle for each set, in the order of their indices"
    )]
    pub(super) fn get(&self, labels: L) -> &M {
        &self.handles[labels.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &M> {
        self.handles.iter()
    }
}

/// A new metric of the registry.
pub(super) fn registered<M: Metric + Default + Clone>(
    registry: &mut Registry,
    name: &str,
    help: &str,
) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

/// Counts as one while it lives.
#[derive(Debug)]
pub struct Counted(Gauge);

impl Counted {
    pub(super) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}
