//! Handles to the series of `prometheus-client`, resolved once at start: counting is one addition,
//! without a lock and without a look-up by name.
//!
//! The counters are not split between cores. A decision adds to four of them; a shared cache line
//! takes tens of millions of additions a second, and the whole service makes a hundredth of that in
//! decisions. `metrics::tests::what_a_decision_pays` measures it.

use super::labels::Label;
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};
use std::{borrow::Cow, marker::PhantomData};

/// The labels of one series.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// One handle for each value of a closed label.
#[derive(Debug, Clone)]
pub(super) struct Handles<L, M = Counter> {
    handles: Box<[M]>,
    label: PhantomData<L>,
}

impl<L: Label, M> Handles<L, M> {
    pub(super) fn new(handle: impl FnMut(L) -> M) -> Self {
        Self {
            handles: L::ALL.iter().copied().map(handle).collect(),
            label: PhantomData,
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`new` makes one handle for each value, in the order of their indices"
    )]
    pub(super) fn get(&self, label: L) -> &M {
        &self.handles[label.index()]
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &M> {
        self.handles.iter()
    }
}

impl<L: Label, M: Metric + Default + Clone> Handles<L, M> {
    /// All series of a family whose only open label, beside `fixed`, is `L`.
    pub(super) fn resolve(family: &Family<Labels, M>, fixed: &Labels) -> Self {
        Self::new(|label| {
            let mut labels = fixed.clone();
            labels.push((L::NAME, label.text().into()));
            family.get_or_create_owned(&labels)
        })
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
