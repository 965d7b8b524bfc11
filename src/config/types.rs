//! What reading the configuration gives.

use super::finding::{Finding, Findings, Place};
use crate::{
    broker, cluster, identity,
    model::ClusterName,
    net::trust,
    roles, serve, shutdown, telemetry,
    upstream::{Match, ProxyConfig, Unmatched},
};

/// The configuration of each component.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "one field a component, and the component's type says the rest"
)]
pub struct Config {
    /// The listeners for gateways; at least one.
    pub listeners: Vec<serve::Config>,
    pub shutdown: shutdown::Config,
    /// Whether requests are passed on to the clusters, and not only decided about.
    pub proxy: bool,
    pub login_url: Option<serve::LoginUrl>,
    /// For listeners that say nothing else, and for the one of operators.
    pub trust: trust::Config,
    pub identity: identity::Config,
    /// At least one.
    pub clusters: Vec<ClusterConfig>,
    /// What becomes of a request that is for none of them.
    pub unmatched: Unmatched,
    pub telemetry: telemetry::log::Config,
    pub audit: telemetry::audit::Config,
    pub access_log: telemetry::access_log::Format,
    pub traces: telemetry::traces::Config,
    pub admin: serve::AdminConfig,
    /// Listeners where any neighbour in a private network may name themselves anybody.
    pub unprotected: Vec<String>,
    /// The effective configuration for people, with `***` for every secret.
    pub shown: serde_json::Value,
}

impl Config {
    /// The listener for operators, if they have one of their own. Plain HTTP: scrapers of the same
    /// host or network, as the address says.
    pub(crate) fn admin_listener(&self) -> Option<serve::Config> {
        self.admin.listen.map(|listen| serve::Config {
            listen: listen.into(),
            reuse_port: self.listeners.iter().any(|listener| listener.reuse_port),
            tls: None,
            trust: trust::Config {
                client_names: Vec::new(),
                ..self.trust.clone()
            },
            balancers: Vec::new(),
            clients: serve::ClientLimits::default(),
        })
    }
}

/// One cluster: its nodes, who writes users there, and who has which roles.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "one field a component, and the component's type says the rest"
)]
pub struct ClusterConfig {
    pub name: ClusterName,
    pub selector: Match,
    pub cluster: cluster::Config,
    pub broker: broker::Config,
    pub roles: roles::Config,
    /// Where its requests are passed on to in proxy mode.
    pub proxy: ProxyConfig,
    /// Of a section whose hosts have a capture.
    pub tenants: Option<Tenants>,
}

/// A capture in the hosts of a section, which stands for a tenant. What the section uses it for is
/// in [`ClusterConfig`] as it is written, or with an example; [`ClusterConfig::for_tenant`] puts a
/// tenant's label there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenants {
    /// Its name.
    pub capture: Box<str>,
    /// The nodes as they are written.
    pub hosts: Vec<Box<str>>,
    /// Whether each tenant has nodes of its own. Otherwise all of them are users of one cluster,
    /// and only the roles differ.
    pub separate: bool,
}

/// A configuration that was checked as a whole.
#[derive(Debug)]
pub struct Checked {
    /// The configuration, or everything that is wrong with it: at least one fault.
    pub outcome: Result<Config, Vec<Finding>>,
    /// What is legal, and weak or old.
    pub warnings: Vec<Finding>,
}

impl Checked {
    /// Without a configuration there is a fault, and with a fault no configuration.
    pub(super) fn new(config: Option<Config>, findings: Findings) -> Self {
        let (mut faults, warnings) = findings.sorted();
        let outcome = match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => {
                if faults.is_empty() {
                    // A filler that asks for another type; the test of the defaults finds it.
                    let lost = "a value was lost; this is a bug of elastauth";
                    faults.push(Finding::new(&Place::Nowhere, lost));
                }
                Err(faults)
            }
        };
        Self { outcome, warnings }
    }
}
