//! The metrics of proxy mode, under the names of elastauth 2. A series exists from its first
//! request on, so that the other mode exposes none.

use super::{
    durations::Durations,
    handles::registered,
    labels::{Label, Labels, MethodLabel, ProxyError, StatusLabel},
};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Metric, Registry},
};
use std::{marker::PhantomData, sync::OnceLock, time::Duration};

/// The families, of all clusters.
#[derive(Debug, Clone)]
pub(super) struct Families {
    requests: Family<Labels, Counter>,
    durations: Family<Labels, Durations>,
    errors: Family<Labels, Counter>,
    active: Gauge,
}

impl Families {
    pub(super) fn new(registry: &mut Registry) -> Self {
        Self {
            requests: registered(
                registry,
                "elastauth_proxy_requests",
                "Requests of proxy mode that are over, by method and class of the status",
            ),
            durations: registered(
                registry,
                "elastauth_proxy_request_duration_seconds",
                "How long requests of proxy mode waited for the head of their answer",
            ),
            errors: registered(
                registry,
                "elastauth_proxy_errors",
                "Requests of proxy mode that did not end with a whole answer of the cluster",
            ),
            active: registered(
                registry,
                "elastauth_proxy_active_requests",
                "Requests of proxy mode that are not over",
            ),
        }
    }

    pub(super) fn active(&self) -> &Gauge {
        &self.active
    }

    /// For the requests of this cluster; those that are for none have an empty name.
    pub(super) fn of(&self, cluster: &str) -> ProxySeries {
        let labels = vec![("cluster", cluster.to_owned().into())];
        ProxySeries {
            requests: OnDemand::new(&self.requests, &labels),
            durations: OnDemand::new(&self.durations, &labels),
            errors: OnDemand::new(&self.errors, &labels),
        }
    }
}

/// A request that is over.
#[derive(Debug, Clone, Copy)]
pub struct Proxied {
    /// What was asked.
    pub method: MethodLabel,
    /// What the client got.
    pub status: StatusLabel,
    /// How long it waited for the head of an answer, if there was one.
    pub answered_after: Option<Duration>,
    /// Why it has no whole answer of the cluster.
    pub error: Option<ProxyError>,
}

impl Proxied {
    /// One for each value of each label. For the comparison of documents with what is exposed.
    #[cfg(any(test, feature = "internals"))]
    pub fn all() -> impl Iterator<Item = Self> {
        let labels = <(MethodLabel, StatusLabel)>::all();
        let errors = ProxyError::all().map(Some).chain(std::iter::repeat(None));
        labels.zip(errors).map(|((method, status), error)| Self {
            method,
            status,
            answered_after: Some(Duration::ZERO),
            error,
        })
    }
}

/// The series of one cluster.
#[derive(Debug)]
pub(super) struct ProxySeries {
    requests: OnDemand<(MethodLabel, StatusLabel), Counter>,
    durations: OnDemand<(MethodLabel, StatusLabel), Durations>,
    errors: OnDemand<ProxyError, Counter>,
}

impl ProxySeries {
    pub(super) fn ended(&self, request: &Proxied) {
        let labels = (request.method, request.status);
        self.requests.get(labels).inc();
        if let Some(after) = request.answered_after {
            self.durations.get(labels).observe(after);
        }
        if let Some(error) = request.error {
            self.errors.get(error).inc();
        }
    }
}

/// Handles that are resolved when they are first used: most methods never come.
#[derive(Debug)]
struct OnDemand<L, M> {
    family: Family<Labels, M>,
    fixed: Labels,
    handles: Box<[OnceLock<M>]>,
    labels: PhantomData<L>,
}

impl<L: Label, M: Metric + Default + Clone> OnDemand<L, M> {
    fn new(family: &Family<Labels, M>, fixed: &Labels) -> Self {
        Self {
            family: family.clone(),
            fixed: fixed.clone(),
            handles: (0..L::COUNT).map(|_| OnceLock::new()).collect(),
            labels: PhantomData,
        }
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "`new` makes room for each set of labels"
    )]
    fn get(&self, labels: L) -> &M {
        self.handles[labels.index()].get_or_init(|| {
            let mut all = self.fixed.clone();
            labels.add_to(&mut all);
            self.family.get_or_create_owned(&all)
        })
    }
}
