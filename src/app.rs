//! The composition root: which part gets which. No decisions.

use crate::{
    broker::Broker,
    clock::Clock,
    cluster::{CallError, Cluster},
    config::Config,
    flow::Flow,
    identity::{ProviderConfig, Providers},
    ledger::{self, Ledger},
    net::{tls::TlsError, trust::Trust},
    respond::IdentityHeaders,
    roles::Mapping,
    secret::NoRandomness,
    server::{self, Check, ServeError, Server, Service},
    shutdown::Tasks,
    telemetry::{
        audit::{self, Audit},
        metrics::Metrics,
        skew::Skew,
    },
};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tracing::{info, warn};

/// How long the end waits for requests in hand and for writes in the air. A write has 10 s; what is longer is the cluster's own affair.
const DRAIN: Duration = Duration::from_secs(12);

/// How long the end waits for the audit stream's disk, after everything else.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running elastauth.
#[derive(Debug)]
pub struct App {
    server: Server,
    /// The listener for operators, where they have one of their own.
    admin: Option<Server>,
    audit: Audit,
    tasks: Tasks,
}

/// Why the program cannot start. Outside parties are never a reason: start-up does not wait for any.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key file towards the cluster.
    #[error("TLS towards the cluster cannot be set up")]
    ClusterTls(#[source] TlsError),
    /// A certificate or key file towards an identity provider.
    #[error("TLS towards an identity provider cannot be set up")]
    IdpTls(#[source] TlsError),
    /// No key can be made.
    #[error("no key can be made")]
    Key(#[source] NoRandomness),
    /// The memory of users.
    #[error("the memory of users cannot be set up")]
    Ledger(#[source] ledger::StartError),
    /// The listener.
    #[error("the listener cannot be set up")]
    Listen(#[source] ServeError),
    /// The listener for operators.
    #[error("the listener of admin.listen cannot be set up")]
    Admin(#[source] ServeError),
    /// The audit stream.
    #[error("the audit stream cannot be set up")]
    Audit(#[source] audit::StartError),
}

impl App {
    /// Puts the parts together and listens. Nothing is asked of anybody yet.
    ///
    /// # Errors
    /// When a file cannot be used or the address is taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let (clock, tasks) = (Clock::System, Tasks::default());
        let metrics = Metrics::new(clock.now());
        let skew = Skew::new(clock.clone(), config.broker.grace, metrics.clone());
        let cluster = Cluster::watched(config.cluster, clock.clone(), &metrics, &skew).map_err(StartError::ClusterTls)?;
        let ledger = Ledger::start(&config.ledger, config.store, &clock, &tasks, &skew).map_err(StartError::Ledger)?;
        // Identity headers in answers have the names of those in questions, where there are such.
        let names = config.identity.providers.iter().find_map(|provider| match provider {
            ProviderConfig::Headers(names) => Some(names.clone()),
            ProviderConfig::Oidc(_) => None,
        });
        let answered_under = names.unwrap_or_default();
        let providers = Providers::new(config.identity, &clock, &tasks).map_err(StartError::IdpTls)?;
        let audit = Audit::start(&config.audit, clock.clone(), metrics.clone()).map_err(StartError::Audit)?;
        let broker = Broker::watched(config.broker, cluster.clone(), ledger, clock.clone(), tasks.clone(), metrics.clone(), audit.clone())
            .map_err(StartError::Key)?;
        let service = Service::new(
            Flow::new(providers, Mapping::new(config.roles), broker),
            Trust::new(config.trust),
            IdentityHeaders::from(&answered_under),
            check(cluster),
            clock,
        )
        .watched(metrics, audit.clone())
        .with_skew(skew)
        .with_admin(&config.admin, Arc::new(move || config.shown.clone()));
        let service = Arc::new(service);
        let admin = match config.admin.listen {
            None => None,
            // Plain HTTP: scrapers of the same host or network, as the address says.
            Some(listen) => {
                let config = server::Config { listen, tls: None };
                Some(Server::bind_admin(&config, Arc::clone(&service)).await.map_err(StartError::Admin)?)
            }
        };
        let server = Server::bind(&config.server, service).await.map_err(StartError::Listen)?;
        Ok(Self { server, admin, audit, tasks })
    }

    /// The three decisions without a listener, for a look at what they would say.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn flow(config: Config) -> Result<Flow, StartError> {
        let (clock, tasks) = (Clock::System, Tasks::default());
        let cluster = Cluster::new(config.cluster, clock.clone()).map_err(StartError::ClusterTls)?;
        let broker =
            Broker::new(config.broker, cluster, Ledger::new(&config.ledger), clock.clone(), tasks.clone()).map_err(StartError::Key)?;
        let providers = Providers::new(config.identity, &clock, &tasks).map_err(StartError::IdpTls)?;
        Ok(Flow::new(providers, Mapping::new(config.roles), broker))
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where it answers operators, if that is elsewhere.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Server::local_addr)
    }

    /// Serves until `end` resolves, then finishes what is in hand: requests first, and every write to the cluster that has begun.
    pub async fn run_until(self, end: impl Future<Output = ()>) {
        let Self { server, admin, audit, tasks } = self;
        info!(listen = %server.local_addr(), version = env!("CARGO_PKG_VERSION"), "elastauth answers");
        tasks.spawn(server.run(tasks.clone()));
        if let Some(admin) = admin {
            info!(listen = %admin.local_addr(), "pages for operators");
            tasks.spawn(admin.run(tasks.clone()));
        }
        end.await;
        info!("ending: no new connections, finishing what is in hand");
        tasks.end();
        if !tasks.drained(DRAIN).await {
            warn!("some work did not finish in time and is given up");
        }
        audit.flush(LAST_WORDS).await;
    }
}

/// What readiness asks of the cluster. Its text goes to trusted peers and names no address.
fn check(cluster: Cluster) -> Check {
    Arc::new(move || {
        let cluster = cluster.clone();
        Box::pin(async move {
            cluster.check().await.map_err(|error| match error {
                CallError::NotSent { why, .. } => why.to_string(),
                CallError::Lost { why, .. } => why.to_string(),
                CallError::Status { status, .. } => format!("it answers elastauth's own account with {status}"),
            })
        })
    })
}
