//! The metrics of the components that belong to one cluster. Each series carries the cluster's name
//! from the configuration.

use super::{
    durations::Durations,
    handles::{Counted, Handles, registered},
    labels::{
        ActionEnd, Call, CallEnd, Labels, Lookup, ProviderLabel, Scan, Step, StoreMessage,
        UserAction,
    },
    proxy::{self, Proxied, ProxySeries},
};
use crate::{clock::Timestamp, outcome::Outcome};
use prometheus_client::{
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The clusters whose series are resolved, by name.
pub(super) type Clusters = Mutex<BTreeMap<Box<str>, ClusterMetrics>>;

/// The families, of all clusters.
#[derive(Debug)]
pub(super) struct Families {
    decisions: Family<Labels, Counter>,
    steps: Family<Labels, Counter>,
    calls: Family<Labels, Counter>,
    call_durations: Family<Labels, Durations>,
    nodes: Family<Labels, Gauge>,
    users: Family<Labels, Gauge>,
    store: Family<Labels, Gauge>,
    messages: Family<Labels, Counter>,
    lookups: Family<Labels, Counter>,
    updates: Family<Labels, Gauge>,
    held: Family<Labels, Gauge>,
    budget_refusals: Family<Labels, Counter>,
    actions: Family<Labels, Counter>,
    parked: Family<Labels, Counter>,
    parking_due: Family<Labels, Gauge>,
    parking_scans: Family<Labels, Counter>,
    parking_scanned_at: Family<Labels, Gauge>,
    proxy: proxy::Families,
}

impl Families {
    pub(super) fn new(
        registry: &mut Registry,
        decisions: Family<Labels, Counter>,
        proxy: proxy::Families,
    ) -> Self {
        Self {
            decisions,
            proxy,
            steps: registered(
                registry,
                "elastauth_ensure_steps",
                "Results of making the cluster agree on a user",
            ),
            calls: registered(
                registry,
                "elastauth_cluster_calls",
                "Calls to nodes of the cluster, each attempt counted",
            ),
            call_durations: registered(
                registry,
                "elastauth_cluster_call_duration_seconds",
                "How long calls to nodes of the cluster took",
            ),
            nodes: registered(
                registry,
                "elastauth_node_up",
                "1 while elastauth uses the node, 0 while it is ejected after failures",
            ),
            users: registered(
                registry,
                "elastauth_ledger_users",
                "Users in the memory cache of the ledger",
            ),
            store: registered(
                registry,
                "elastauth_store_up",
                "1 while the store of the ledger (Redis or the file) works, and with memory alone",
            ),
            messages: registered(
                registry,
                "elastauth_store_messages",
                "Messages between replicas that came again, are missing, or are of another version",
            ),
            lookups: registered(
                registry,
                "elastauth_ledger_lookups",
                "Look-ups of users in the ledger",
            ),
            updates: registered(
                registry,
                "elastauth_flights",
                "Updates in flight: users that elastauth reads from the cluster or writes to it now",
            ),
            held: registered(
                registry,
                "elastauth_held_requests",
                "Requests that wait until a password change is over",
            ),
            budget_refusals: registered(
                registry,
                "elastauth_write_budget_refusals",
                "Writes that elastauth refused because it wrote the same user too often",
            ),
            actions: registered(
                registry,
                "elastauth_user_actions",
                "What operators did to users of the cluster through this replica",
            ),
            parked: registered(
                registry,
                "elastauth_parked_users",
                "Users who stayed away and whom this replica parked",
            ),
            parking_due: registered(
                registry,
                "elastauth_parking_due_users",
                "Users who were to be parked at the end of the last look through the users",
            ),
            parking_scans: registered(
                registry,
                "elastauth_parking_scans",
                "Looks through the users of the cluster for those who are to be parked",
            ),
            parking_scanned_at: registered(
                registry,
                "elastauth_parking_scanned_timestamp_seconds",
                "When this replica last looked through all users, in seconds since 1970",
            ),
        }
    }

    /// Resolves every series of this cluster; they are exposed from now on.
    pub(super) fn of(&self, cluster: &str) -> ClusterMetrics {
        let labels = vec![("cluster", cluster.to_owned().into())];
        let store = self.store.get_or_create_owned(&labels);
        store.set(1);
        ClusterMetrics(Arc::new(ClusterSeries {
            decisions: Handles::resolve(&self.decisions, &labels),
            steps: Handles::resolve(&self.steps, &labels),
            calls: Handles::resolve(&self.calls, &labels),
            call_durations: Handles::resolve(&self.call_durations, &labels),
            users: self.users.get_or_create_owned(&labels),
            store,
            messages: Handles::resolve(&self.messages, &labels),
            lookups: Handles::resolve(&self.lookups, &labels),
            updates: self.updates.get_or_create_owned(&labels),
            held: self.held.get_or_create_owned(&labels),
            budget_refusals: self.budget_refusals.get_or_create_owned(&labels),
            actions: Handles::resolve(&self.actions, &labels),
            parked: self.parked.get_or_create_owned(&labels),
            parking_due: self.parking_due.get_or_create_owned(&labels),
            parking_scans: Handles::resolve(&self.parking_scans, &labels),
            parking_scanned_at: self.parking_scanned_at.clone(),
            nodes: self.nodes.clone(),
            proxied: self.proxy.of(cluster),
            labels,
        }))
    }
}

/// The metrics of one cluster. Clones count into the same series.
#[derive(Debug, Clone)]
pub struct ClusterMetrics(Arc<ClusterSeries>);

#[derive(Debug)]
struct ClusterSeries {
    decisions: Handles<(Outcome, ProviderLabel)>,
    steps: Handles<Step>,
    calls: Handles<(Call, CallEnd)>,
    call_durations: Handles<Call, Durations>,
    users: Gauge,
    store: Gauge,
    messages: Handles<StoreMessage>,
    lookups: Handles<Lookup>,
    updates: Gauge,
    held: Gauge,
    budget_refusals: Counter,
    actions: Handles<(UserAction, ActionEnd)>,
    parked: Counter,
    parking_due: Gauge,
    parking_scans: Handles<Scan>,
    /// Without a series before the first look: 0 would read as 1970.
    parking_scanned_at: Family<Labels, Gauge>,
    nodes: Family<Labels, Gauge>,
    proxied: ProxySeries,
    labels: Labels,
}

impl Default for ClusterMetrics {
    /// For tests: nobody reads them.
    fn default() -> Self {
        let registry = &mut Registry::default();
        let proxy = proxy::Families::new(registry);
        Families::new(registry, Family::default(), proxy).of("default")
    }
}

impl ClusterMetrics {
    /// The broker asked the ledger for a user. On the hot path: one addition.
    pub fn looked_up(&self, result: Lookup) {
        self.0.lookups.get(result).inc();
    }

    pub(super) fn decisions(&self) -> &Handles<(Outcome, ProviderLabel)> {
        &self.0.decisions
    }

    pub(super) fn lookups(&self) -> &Handles<Lookup> {
        &self.0.lookups
    }

    /// What the ledger holds, and whether its store works. Called before the metrics are exposed.
    pub fn ledger(&self, users: usize, store_up: bool) {
        self.0.users.set(i64::try_from(users).unwrap_or(i64::MAX));
        self.0.store.set(i64::from(store_up));
    }

    /// A message of another replica was not used, or one is missing.
    pub fn received(&self, message: StoreMessage) {
        self.0.messages.get(message).inc();
    }

    /// An attempt to make the cluster agree ended like this.
    pub fn ensured(&self, step: Step) {
        self.0.steps.get(step).inc();
    }

    /// A write was refused because its user was written too often.
    pub fn over_budget(&self) {
        self.0.budget_refusals.inc();
    }

    /// An operator has disabled, enabled or deleted a user, or tried to.
    pub fn acted(&self, action: UserAction, end: ActionEnd) {
        self.0.actions.get((action, end)).inc();
    }

    /// A user was parked.
    pub fn parked(&self) {
        self.0.parked.inc();
    }

    /// A look through the users ended.
    pub fn scanned(&self, result: Scan) {
        self.0.parking_scans.get(result).inc();
    }

    /// Who is to be parked after a complete look.
    pub fn parking_due(&self, users: usize, now: Timestamp) {
        let users = i64::try_from(users).unwrap_or(i64::MAX);
        self.0.parking_due.set(users);
        let labels = &self.0.labels;
        let at = self.0.parking_scanned_at.get_or_create_owned(labels);
        at.set(i64::try_from(now.0 / 1_000).unwrap_or(i64::MAX));
    }

    /// A call to a node ended.
    pub fn called(&self, call: Call, end: CallEnd, took: Duration) {
        self.0.calls.get((call, end)).inc();
        self.0.call_durations.get(call).observe(took);
    }

    /// The node at this index of the configuration. Its address may be secret, so it is no label.
    #[must_use]
    pub fn node(&self, index: usize) -> NodeMetrics {
        let mut labels = self.0.labels.clone();
        labels.push(("node", index.to_string().into()));
        let gauge = self.0.nodes.get_or_create_owned(&labels);
        gauge.set(1);
        NodeMetrics(gauge)
    }

    /// A request of proxy mode for this cluster is over.
    pub fn proxied(&self, request: &Proxied) {
        self.0.proxied.ended(request);
    }

    /// One more user is being updated, until the value is dropped.
    #[must_use]
    pub fn update_in_flight(&self) -> Counted {
        Counted::new(&self.0.updates)
    }

    /// One more request waits for the end of a password change, until the value is dropped.
    #[must_use]
    pub fn held_request(&self) -> Counted {
        Counted::new(&self.0.held)
    }
}

/// The metrics of one node.
#[derive(Debug, Clone, Default)]
pub struct NodeMetrics(Gauge);

impl NodeMetrics {
    /// Whether elastauth uses the node.
    pub fn up(&self, up: bool) {
        self.0.set(i64::from(up));
    }
}
