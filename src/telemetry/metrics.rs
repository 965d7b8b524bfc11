//! Numbers for Prometheus: what is counted, by whom it is counted, and how it is exposed.
//! docs/METRICS.md tells operators what each means.
//!
//! A [`Metrics`] is handed to whoever counts. Its names are those of the dashboards that users of
//! elastauth 2 have, where the number still exists, and ours.

mod cells;
mod labels;
mod process;

pub use labels::{AuditLine, Call, CallEnd, Logout, Lookup, Provider, Reload, SpanEnd, Step};

use super::skew::Witness;
use crate::{clock::Timestamp, outcome::Outcome};
use cells::{Counters, Derived, Times};
use labels::Nothing;
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{
        family::Family,
        gauge::{ConstGauge, Gauge},
        info::Info,
    },
    registry::Registry,
};
use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// The form of [`Metrics::expose`], for `Content-Type`. Every Prometheus reads it.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// All numbers of the process. Clones count into the same ones. The default is for tests: it counts
/// as any other and has started in 1970.
#[derive(Clone)]
pub struct Metrics(Arc<Numbers>);

struct Numbers {
    registry: Registry,
    decisions: Counters<Outcome, Provider>,
    decision_times: Times,
    steps: Counters<Step>,
    calls: Counters<Call, CallEnd>,
    call_times: Times<Call>,
    lookups: Counters<Lookup>,
    ledger_users: Gauge,
    store: Gauge,
    nodes: Family<Vec<(&'static str, String)>, Gauge>,
    keys: Family<Vec<(&'static str, String)>, Gauge>,
    flights: Gauge,
    held: Gauge,
    budget_refusals: Counters<Nothing>,
    logouts: Counters<Logout>,
    reloads: Counters<Reload>,
    audit: Counters<AuditLine>,
    unwritten: Counters<Nothing>,
    clocks: Family<Vec<(&'static str, &'static str)>, Gauge<f64, AtomicU64>>,
    spans: Counters<SpanEnd>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(Timestamp::default())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("decisions", &self.0.decisions.total())
            .finish_non_exhaustive()
    }
}

impl Metrics {
    /// All numbers at zero; `started` is when the process has begun.
    #[must_use]
    pub fn new(started: Timestamp) -> Self {
        Self::with(
            started,
            Counters::default(),
            Times::default(),
            Counters::default(),
        )
    }

    /// Numbers to which a known user's decision adds nothing. For the benchmark, which finds out
    /// what counting costs.
    #[must_use]
    pub fn without_decisions() -> Self {
        Self::with(
            Timestamp::default(),
            Counters::without_cells(),
            Times::without_cells(),
            Counters::without_cells(),
        )
    }

    fn with(
        started: Timestamp,
        decisions: Counters<Outcome, Provider>,
        decision_times: Times,
        lookups: Counters<Lookup>,
    ) -> Self {
        let mut registry = Registry::default();
        let mut numbers = Numbers {
            registry: Registry::default(),
            decisions,
            decision_times,
            steps: Counters::default(),
            calls: Counters::default(),
            call_times: Times::default(),
            lookups,
            ledger_users: Gauge::default(),
            store: Gauge::default(),
            nodes: Family::default(),
            keys: Family::default(),
            flights: Gauge::default(),
            held: Gauge::default(),
            budget_refusals: Counters::default(),
            logouts: Counters::default(),
            reloads: Counters::default(),
            audit: Counters::default(),
            unwritten: Counters::default(),
            clocks: Family::default(),
            spans: Counters::default(),
        };
        let n = &numbers;
        registry.register(
            "elastauth_decisions",
            "Questions of gateways, by how they ended and who knew the user",
            n.decisions.clone(),
        );
        registry.register(
            "elastauth_decision_duration_seconds",
            "How long decisions took",
            n.decision_times.clone(),
        );
        registry.register(
            "elastauth_ensure_steps",
            "What making the cluster agree on a user came to",
            n.steps.clone(),
        );
        registry.register(
            "elastauth_cluster_calls",
            "Calls to nodes of the cluster, each attempt counted",
            n.calls.clone(),
        );
        registry.register(
            "elastauth_cluster_call_duration_seconds",
            "How long calls to nodes of the cluster took",
            n.call_times.clone(),
        );
        registry.register(
            "elastauth_node_up",
            "1 while the node is used, 0 while it is left out after failures",
            n.nodes.clone(),
        );
        registry.register(
            "elastauth_jwks_fetched_timestamp_seconds",
            "When the keys of an identity provider were last fetched, since 1970",
            n.keys.clone(),
        );
        registry.register(
            "elastauth_ledger_users",
            "Users that are remembered",
            n.ledger_users.clone(),
        );
        registry.register(
            "elastauth_store_up",
            "1 while Redis or the file behind the memory of users is in order, and with memory alone",
            n.store.clone(),
        );
        registry.register(
            "elastauth_ledger_lookups",
            "Look-ups of users in the ledger",
            n.lookups.clone(),
        );
        registry.register(
            "elastauth_flights",
            "Users for whom the cluster is being asked or told at this moment",
            n.flights.clone(),
        );
        registry.register(
            "elastauth_held_requests",
            "Requests that wait at the boundary of two passwords",
            n.held.clone(),
        );
        registry.register(
            "elastauth_write_budget_refusals",
            "Writes that were refused because one user was written too often",
            n.budget_refusals.clone(),
        );
        registry.register(
            "elastauth_oidc_logouts",
            "Sessions that identity providers said are over",
            n.logouts.clone(),
        );
        registry.register(
            "elastauth_reloads",
            "Reloads of the configuration",
            n.reloads.clone(),
        );
        registry.register(
            "elastauth_audit_lines",
            "Lines of the audit stream",
            n.audit.clone(),
        );
        registry.register(
            "elastauth_log_lines_suppressed",
            "Lines of refusals that were left out of the log",
            n.unwritten.clone(),
        );
        for witness in Witness::ALL {
            // There from the start, at zero: nobody has said anything else.
            drop(n.clocks.get_or_create(&vec![("witness", witness.text())]));
        }
        registry.register(
            "elastauth_clock_difference_seconds",
            "How far somebody else's clock is ahead of ours, the most of the last minute",
            n.clocks.clone(),
        );
        registry.register(
            "elastauth_spans",
            "Spans of recorded traces, by what became of them",
            n.spans.clone(),
        );
        let decisions = n.decisions.clone();
        registry.register(
            "elastauth_proxy_authentication",
            "The name that elastauth 2 gave to decisions",
            Derived::new("result", &["success", "failure"], move |result| {
                let granted = decisions.of(Outcome::Granted);
                if result == "success" {
                    granted
                } else {
                    decisions.total().saturating_sub(granted)
                }
            }),
        );
        let lookups = n.lookups.clone();
        registry.register(
            "elastauth_proxy_cache_hits",
            "The name that elastauth 2 gave to look-ups in the ledger",
            Derived::new("result", &["hit", "miss"], move |result| {
                let hits = lookups.of(Lookup::Hit);
                if result == "hit" {
                    hits
                } else {
                    lookups.total().saturating_sub(hits)
                }
            }),
        );
        registry.register(
            "elastauth_build",
            "What is running",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "process_start_time_seconds",
            "When the process has begun, since 1970",
            ConstGauge::new(seconds(started)),
        );
        registry.register_collector(Box::new(process::Process));
        numbers.registry = registry;
        Self(Arc::new(numbers))
    }

    /// All numbers in the text form of Prometheus.
    #[must_use]
    pub fn expose(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _infallible = prometheus_text::encode(&mut text, &self.0.registry);
        text
    }

    /// A question was answered. Four additions, no lock and no allocation: this is the hot path.
    pub fn decided(&self, outcome: Outcome, provider: Provider, took: Duration) {
        self.0.decisions.add(outcome, provider);
        self.0.decision_times.add(Nothing::It, took);
    }

    /// The ledger was asked for a user.
    pub fn looked_up(&self, result: Lookup) {
        self.0.lookups.add(result, Nothing::It);
    }

    /// So many users are remembered.
    pub fn remembered(&self, users: usize) {
        self.0
            .ledger_users
            .set(i64::try_from(users).unwrap_or(i64::MAX));
    }

    /// What stands behind the memory of users is in order, or is not. Looked at when somebody wants
    /// the numbers.
    pub fn store_is_up(&self, up: bool) {
        self.0.store.set(i64::from(up));
    }

    /// Making the cluster agree has come to this.
    pub fn ensured(&self, step: Step) {
        self.0.steps.add(step, Nothing::It);
    }

    /// A write was refused because its user was written too often.
    pub fn over_budget(&self) {
        self.0.budget_refusals.add(Nothing::It, Nothing::It);
    }

    /// A node was called.
    pub fn called(&self, call: Call, end: CallEnd, took: Duration) {
        self.0.calls.add(call, end);
        self.0.call_times.add(call, took);
    }

    /// A node, by its place in the configuration: an address is nothing for a label.
    #[must_use]
    pub fn node(&self, place: usize) -> Node {
        let gauge = self
            .0
            .nodes
            .get_or_create(&vec![("node", place.to_string())])
            .clone();
        gauge.set(1);
        Node(gauge)
    }

    /// The keys of the identity provider of this name were fetched. The name is the operator's, so
    /// there are as many as the configuration has.
    pub fn keys_fetched(&self, provider: &str, at: Timestamp) {
        let gauge = self
            .0
            .keys
            .get_or_create(&vec![("provider", provider.to_owned())])
            .clone();
        gauge.set(i64::try_from(at.0 / 1_000).unwrap_or(i64::MAX));
    }

    /// One more flight, until the value is dropped.
    #[must_use]
    pub fn flight(&self) -> InHand {
        InHand::new(&self.0.flights)
    }

    /// One more request that waits at the boundary of two passwords, until the value is dropped.
    #[must_use]
    pub fn held(&self) -> InHand {
        InHand::new(&self.0.held)
    }

    /// An identity provider said that a session is over.
    pub fn logged_out(&self, result: Logout) {
        self.0.logouts.add(result, Nothing::It);
    }

    /// The configuration was read again.
    pub fn reloaded(&self, result: Reload) {
        self.0.reloads.add(result, Nothing::It);
    }

    /// Lines of the audit stream were written, or lost.
    pub fn audited(&self, result: AuditLine, lines: u64) {
        self.0.audit.add_many(result, Nothing::It, lines);
    }

    /// Somebody else's clock is so far ahead of ours.
    pub(super) fn clock_differs(&self, witness: Witness, ahead_ms: i64) {
        let seconds = Duration::from_millis(ahead_ms.unsigned_abs()).as_secs_f64();
        self.0
            .clocks
            .get_or_create(&vec![("witness", witness.text())])
            .set(if ahead_ms < 0 { -seconds } else { seconds });
    }

    /// Spans were sent, or lost.
    pub fn spans(&self, end: SpanEnd, spans: u64) {
        self.0.spans.add_many(end, Nothing::It, spans);
    }

    /// A refusal was left out of the log.
    pub fn suppressed(&self) {
        self.0.unwritten.add(Nothing::It, Nothing::It);
    }
}

/// Whether a node of the cluster is used.
#[derive(Debug, Clone, Default)]
pub struct Node(Gauge);

impl Node {
    /// It is, or is not.
    pub fn up(&self, up: bool) {
        self.0.set(i64::from(up));
    }
}

/// Counts as one for as long as it lives.
#[derive(Debug)]
pub struct InHand(Gauge);

impl InHand {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds(moment: Timestamp) -> f64 {
    Duration::from_millis(moment.0).as_secs_f64()
}

#[cfg(test)]
mod tests;
