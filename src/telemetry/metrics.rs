//! Metrics for Prometheus: what is counted, and how it is exposed. docs/METRICS.md explains each to
//! operators.

mod cluster;
mod durations;
mod handles;
mod labels;
mod legacy;
mod process;
mod proxy;

pub use cluster::ClusterMetrics;
pub(crate) use cluster::NodeMetrics;
pub(crate) use handles::Counted;
pub(crate) use labels::{
    ActionEnd, AuditLine, Bound, Call, CallEnd, ClockSource, Logout, Lookup, MethodLabel,
    ProviderLabel, ProxyError, Reload, Scan, SpanEnd, StatusLabel, Step, StoreMessage, UserAction,
};
pub use proxy::Proxied;

use crate::{clock::Timestamp, outcome::Outcome};
use cluster::Clusters;
use durations::Durations;
use handles::{Handles, registered};
use labels::{Label, Labels};
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{
        counter::Counter,
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::{Metric, Registry},
};
use std::{
    sync::{Arc, PoisonError, atomic::AtomicU64},
    time::Duration,
};

/// The form of [`Metrics::expose`], for `Content-Type`. Every Prometheus reads it.
pub(crate) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The metrics of the process. Clones count into the same ones. The default is for tests: it counts
/// like any other and started in 1970.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<ProcessSeries>);

#[derive(Debug)]
struct ProcessSeries {
    registry: Registry,
    /// Decisions on requests that are for no cluster, as far as is known.
    unassigned: Handles<(Outcome, ProviderLabel)>,
    decision_durations: Durations,
    keys_fetched: Family<Labels, Gauge>,
    logouts: Handles<Logout>,
    connections_refused: Handles<Bound>,
    reloads: Handles<Reload>,
    audit_lines: Handles<AuditLine>,
    access_lines: Handles<AuditLine>,
    suppressed: Counter,
    clock_differences: Handles<ClockSource, Gauge<f64, AtomicU64>>,
    spans: Handles<SpanEnd>,
    families: cluster::Families,
    clusters: Arc<Clusters>,
    proxy: proxy::Families,
    /// Of requests that are for no cluster.
    proxied_nowhere: proxy::ProxySeries,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Timestamp::default())
    }
}

impl Metrics {
    /// Everything at zero; `started` is when the process started.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        let mut registry = Registry::default();
        let r = &mut registry;
        let decisions: Family<Labels, Counter> = registered(
            r,
            "elastauth_decisions",
            "Decisions for gateways, by cluster, outcome and the provider that identified the user",
        );
        let unassigned = Handles::resolve(&decisions, &vec![("cluster", "".into())]);
        let clusters = Arc::<Clusters>::default();
        r.register_collector(Box::new(legacy::LegacyNames {
            unassigned: unassigned.clone(),
            clusters: Arc::clone(&clusters),
        }));
        r.register_collector(Box::new(process::Process));
        r.register(
            "elastauth_build",
            "The running version",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        r.register(
            "process_start_time_seconds",
            "When the process started, in seconds since 1970",
            ConstGauge::new(Duration::from_millis(started.0).as_secs_f64()),
        );
        let proxy = proxy::Families::new(r);
        Self(Arc::new(ProcessSeries {
            unassigned,
            proxied_nowhere: proxy.of(""),
            decision_durations: registered(
                r,
                "elastauth_decision_duration_seconds",
                "How long decisions took",
            ),
            families: cluster::Families::new(r, decisions, proxy.clone()),
            keys_fetched: registered(
                r,
                "elastauth_jwks_fetched_timestamp_seconds",
                "When elastauth last fetched the keys of an identity provider, since 1970",
            ),
            logouts: by_label(
                r,
                "elastauth_oidc_logouts",
                "Logout tokens of identity providers",
            ),
            connections_refused: by_label(
                r,
                "elastauth_connections_refused",
                "Connections that were closed at once, by the bound that was reached",
            ),
            reloads: by_label(r, "elastauth_reloads", "Reloads of the configuration"),
            audit_lines: by_label(r, "elastauth_audit_lines", "Lines of the audit stream"),
            access_lines: by_label(r, "elastauth_access_log_lines", "Lines of the access log"),
            suppressed: registered(
                r,
                "elastauth_log_lines_suppressed",
                "Refusals that the log left out because there were too many of their kind",
            ),
            clock_differences: by_label(
                r,
                "elastauth_clock_difference_seconds",
                "How far another clock is ahead of ours, the most of the last minute",
            ),
            spans: by_label(
                r,
                "elastauth_spans",
                "Spans of recorded traces, by what became of them",
            ),
            clusters,
            proxy,
            registry,
        }))
    }

    /// The metrics of the cluster with this name of the configuration.
    #[must_use]
    pub fn cluster(&self, name: &str) -> ClusterMetrics {
        let mut clusters = (self.0.clusters.lock()).unwrap_or_else(PoisonError::into_inner);
        clusters
            .entry(name.into())
            .or_insert_with(|| self.0.families.of(name))
            .clone()
    }

    /// All metrics in the text form of Prometheus.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = prometheus_text::encode(&mut text, &self.0.registry);
        text
    }

    /// A gateway got a decision on a request for this cluster, as far as it is known. On the hot
    /// path: three additions, no lock and no allocation.
    pub fn decided(
        &self,
        cluster: Option<&ClusterMetrics>,
        outcome: Outcome,
        provider: ProviderLabel,
        took: Duration,
    ) {
        let decisions = cluster.map_or(&self.0.unassigned, ClusterMetrics::decisions);
        decisions.get((outcome, provider)).inc();
        self.0.decision_durations.observe(took);
    }

    /// The keys of the identity provider with this name of the configuration were fetched.
    pub fn keys_fetched(&self, provider: &str, at: Timestamp) {
        let labels = vec![("provider", provider.to_owned().into())];
        let gauge = self.0.keys_fetched.get_or_create_owned(&labels);
        gauge.set(i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX));
    }

    /// An identity provider sent a logout token.
    pub fn logged_out(&self, result: Logout) {
        self.0.logouts.get(result).inc();
    }

    /// A listener has closed a connection at once.
    pub fn connection_refused(&self, bound: Bound) {
        self.0.connections_refused.get(bound).inc();
    }

    /// The configuration was read again.
    pub fn reloaded(&self, result: Reload) {
        self.0.reloads.get(result).inc();
    }

    /// Lines of the audit stream were written, or lost.
    pub fn audited(&self, result: AuditLine, lines: u64) {
        self.0.audit_lines.get(result).inc_by(lines);
    }

    /// Lines of the access log were written, or lost.
    pub fn access_logged(&self, result: AuditLine, lines: u64) {
        self.0.access_lines.get(result).inc_by(lines);
    }

    /// One more request of proxy mode is not over, until the value is dropped.
    #[must_use]
    pub fn proxied_request(&self) -> Counted {
        Counted::new(self.0.proxy.active())
    }

    /// A request of proxy mode is over that was for no cluster.
    pub fn proxied_nowhere(&self, request: &Proxied) {
        self.0.proxied_nowhere.ended(request);
    }

    /// Another clock is this far ahead of ours.
    pub(super) fn clock_differs(&self, source: ClockSource, ahead_ms: i64) {
        let seconds = Duration::from_millis(ahead_ms.unsigned_abs()).as_secs_f64();
        let seconds = if ahead_ms < 0 { -seconds } else { seconds };
        self.0.clock_differences.get(source).set(seconds);
    }

    /// Spans were sent, or lost.
    pub fn spans(&self, end: SpanEnd, spans: u64) {
        self.0.spans.get(end).inc_by(spans);
    }

    /// The log left out a refusal.
    pub fn suppressed(&self) {
        self.0.suppressed.inc();
    }
}

/// A new family with closed labels only. All its series are exposed from the start, at zero.
fn by_label<L: Label, M>(registry: &mut Registry, name: &str, help: &str) -> Handles<L, M>
where
    M: Metric + Default + Clone,
    Family<Labels, M>: Metric,
{
    Handles::resolve(&registered(registry, name, help), &Labels::new())
}

#[cfg(test)]
mod tests;
