//! The composition root: which part gets which. No decisions.

mod clusters;
mod error;
mod first_check;

pub(crate) use error::StartError;

use crate::{
    clock::Clock,
    config::{Config, Widening},
    flow::Flow,
    identity::{ProviderConfig, Providers, oidc::Oidc},
    ledger::StoreConfig,
    serve::{self, Audience, ListenerControls, Server, Service},
    shutdown::Tasks,
    supervisor::PassedSocket,
    telemetry::{
        Telemetry,
        audit::{EventDetails, EventKind},
        metrics::Metrics,
    },
};
use clusters::Clusters;
use std::{
    future::Future,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};
use tracing::{info, warn};

/// How long the end waits for requests in hand and for writes in the air. A connection's first
/// request may come a second after the end has begun and wait a second and a half for a boundary of
/// passwords, and its write has 10 s; the rest is for its questions. What is longer is the
/// cluster's own affair.
const DRAIN: Duration = Duration::from_secs(15);

/// The same in proxy mode: a search may take as long as the cluster may take to answer it.
const PROXY_DRAIN: Duration = Duration::from_secs(30);

/// How long the end waits for the audit stream's disk, after everything else.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A running elastauth.
#[derive(Debug)]
pub struct App {
    /// The listeners for gateways, in the order of the configuration.
    servers: Vec<Server>,
    /// The listener for operators, where they have one of their own.
    admin: Option<Server>,
    telemetry: Telemetry,
    tasks: Tasks,
    /// How long running requests may take at the end.
    drain: Duration,
    controls: Controls,
}

/// Changes a running elastauth. Clones change the same one.
#[derive(Clone, Debug)]
pub struct Controls {
    service: Arc<Service>,
    clusters: Arc<Clusters>,
    listeners: Vec<ListenerControls>,
    admin: Option<ListenerControls>,
    metrics: Metrics,
}

impl Controls {
    /// Puts what can change while the program runs into force: role rules, who is a gateway,
    /// certificates, the accounts towards the cluster and Redis, the client's secret towards
    /// identity providers, and what is shown of all this. Connections and requests in hand go on.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used; then nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<(), StartError> {
        // A reload leaves their number and order as they are.
        let admin = config.admin_listener();
        let listeners = self.listeners.iter().zip(&config.listeners);
        let listeners = listeners.chain(self.admin.iter().zip(&admin));
        let changes = listeners.map(|(controls, config)| Ok((controls, controls.prepare(config)?)));
        let changes: Vec<_> = changes
            .collect::<Result<_, _>>()
            .map_err(StartError::Listen)?;
        let flow = &self.service.flow;
        let clusters = &flow.upstreams();
        let clusters =
            (self.clusters).prepare(Some(clusters), &config.clusters, &config.unmatched)?;
        let oidc = config
            .identity
            .providers
            .iter()
            .find_map(|provider| match provider {
                ProviderConfig::Oidc(oidc) => Some(oidc),
                ProviderConfig::Headers(_) => None,
            });
        let providers = oidc
            .map(Oidc::access)
            .transpose()
            .map_err(StartError::IdpTls)?;
        for (listener, change) in changes {
            listener.apply(change);
        }
        if let (Some(oidc), Some(access)) = (flow.providers.oidc(), providers) {
            oidc.replace(access);
        }
        flow.replace_upstreams(self.clusters.apply(clusters));
        let unprotected = config.unprotected.clone();
        self.service.unprotected.store(Arc::new(unprotected));
        let login_url = config.login_url.clone().map(Arc::new);
        self.service.login_url.store(login_url);
        self.service.shown.store(Arc::new(config.shown.clone()));
        Ok(())
    }

    /// Readiness is negative from now on; everything else goes on.
    pub(crate) fn leave(&self) {
        self.service.leaving.store(true, Relaxed);
    }

    /// Shows operators which keys have new values that require a restart.
    pub(crate) fn requires_restart(&self, keys: &[&'static str]) {
        self.service.requires_restart.store(Arc::new(keys.to_vec()));
    }

    /// Writes down that a change is not applied because of what it opens.
    pub(crate) fn held(&self, widening: &Widening) {
        let details = EventDetails {
            keys: widening.keys.clone(),
            reason: Some(widening.what),
            ..EventDetails::default()
        };
        let audit = &self.service.telemetry.audit;
        audit.write(EventKind::ChangeRequiresRestart, &details);
    }

    /// Where reloads are counted.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }
}

impl App {
    /// Puts the parts together and listens, inside a runtime. Nothing is asked of anybody yet.
    ///
    /// # Errors
    /// When a file cannot be used or the address is taken.
    #[cfg(any(test, feature = "demo", feature = "internals"))]
    pub fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(config, Vec::new())
    }

    /// The same, on the sockets that a supervisor passes.
    ///
    /// # Errors
    /// When a file cannot be used, the address is taken, or a passed socket is for no listener of
    /// the configuration.
    pub(crate) fn start_on(config: Config, passed: Vec<PassedSocket>) -> Result<Self, StartError> {
        let (clock, tasks) = (Clock::System, Tasks::default());
        let (admin_listener, listeners) = (config.admin_listener(), config.listeners);
        let graces = config.clusters.iter().map(|cluster| cluster.broker.grace);
        let grace = graces.min().unwrap_or_default();
        let telemetry = Telemetry::start(
            &config.audit,
            config.access_log,
            config.traces,
            &clock,
            grace,
        )
        .map_err(StartError::Telemetry)?;
        // Identity headers in answers have the names of those in requests, where there are any.
        let mut providers = config.identity.providers.iter();
        let names = providers.find_map(|provider| match provider {
            ProviderConfig::Headers(names) => Some(names.clone()),
            ProviderConfig::Oidc(_) => None,
        });
        let identity_headers = names.unwrap_or_default();
        let providers = Providers::new(config.identity, &clock, &tasks, &telemetry)
            .map_err(StartError::IdpTls)?;
        let clusters = Clusters::new(
            clock.clone(),
            tasks.clone(),
            telemetry.clone(),
            config.proxy,
        );
        let upstreams = clusters.start(&config.clusters, &config.unmatched)?;
        let service = Service::new(serve::ServiceParts {
            proxy: config.proxy,
            flow: Flow::new(providers, upstreams),
            identity_headers,
            login_url: config.login_url,
            clock,
            telemetry: telemetry.clone(),
            admin: config.admin.clone(),
            unprotected: config.unprotected,
            shown: config.shown,
        });
        let service = Arc::new(service);
        let mut sockets = sockets(passed, admin_listener.as_ref(), &listeners)?.into_iter();
        let mut bind = |config: &serve::Config, audience| {
            let socket = sockets.next().flatten();
            Server::bind_or_take(config, socket, audience, Arc::clone(&service))
        };
        let admin = admin_listener
            .map(|config| bind(&config, Audience::Operators))
            .transpose()
            .map_err(StartError::Admin)?;
        let audience = if config.proxy {
            Audience::Clients
        } else {
            Audience::Gateways
        };
        let drain = config.shutdown.timeout;
        let drain = drain.unwrap_or(if config.proxy { PROXY_DRAIN } else { DRAIN });
        let servers: Vec<Server> = listeners
            .iter()
            .map(|config| bind(config, audience).map(|server| server.with_drain(drain)))
            .collect::<Result<_, _>>()
            .map_err(StartError::Listen)?;
        let controls = Controls {
            listeners: servers.iter().map(Server::controls).collect(),
            admin: admin.as_ref().map(Server::controls),
            service,
            clusters: Arc::new(clusters),
            metrics: telemetry.metrics.clone(),
        };
        Ok(Self {
            servers,
            admin,
            telemetry,
            tasks,
            drain,
            controls,
        })
    }

    /// The three decisions without a listener, for a look at what they would say.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn flow(config: Config) -> Result<Flow, StartError> {
        let (clock, tasks) = (Clock::System, Tasks::default());
        let mut clusters = config.clusters;
        for cluster in &mut clusters {
            cluster.broker.ledger.store = StoreConfig::Memory;
            cluster.broker.park_within = None;
        }
        let all = Clusters::new(clock.clone(), tasks.clone(), Telemetry::default(), false);
        let upstreams = all.start(&clusters, &config.unmatched)?;
        let providers = Providers::new(config.identity, &clock, &tasks, &Telemetry::default())
            .map_err(StartError::IdpTls)?;
        Ok(Flow::new(providers, upstreams))
    }

    /// The first address where it listens for gateways; `None` where there are unix sockets alone.
    #[cfg(any(test, feature = "demo", feature = "internals"))]
    #[must_use]
    pub fn addr(&self) -> Option<std::net::SocketAddr> {
        self.servers.iter().find_map(Server::tcp_addr)
    }

    /// Where it answers operators, if that is elsewhere.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn admin_addr(&self) -> Option<std::net::SocketAddr> {
        self.admin.as_ref().and_then(Server::tcp_addr)
    }

    /// What changes it while it runs.
    #[must_use]
    pub fn controls(&self) -> Controls {
        self.controls.clone()
    }

    /// How long running requests may take at its end.
    #[must_use]
    pub fn drain(&self) -> Duration {
        self.drain
    }

    /// What its end waits for.
    #[must_use]
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Serves until `end` resolves, then finishes what is in hand: requests first, and every write
    /// to the cluster that has begun.
    pub async fn run_until(self, end: impl Future<Output = ()>) {
        let Self {
            servers,
            admin,
            telemetry,
            tasks,
            drain,
            controls,
        } = self;
        for server in &servers {
            info!(listen = %server.listen(), version = env!("CARGO_PKG_VERSION"), "elastauth answers");
        }
        for upstream in controls.service.flow.upstreams().iter() {
            clusters::check(&upstream);
        }
        let service = Arc::clone(&controls.service);
        controls.clusters.sweep(move || service.flow.upstreams());
        for server in servers {
            tasks.spawn(server.run(tasks.clone()));
        }
        if let Some(admin) = admin {
            info!(listen = %admin.listen(), "pages for operators");
            tasks.spawn(admin.run(tasks.clone()));
        }
        end.await;
        info!("ending: no new connections, finishing what is in hand");
        tasks.end();
        if !tasks.drained(drain).await {
            warn!(
                tasks = tasks.in_hand(),
                "some work did not finish in time and is given up"
            );
        }
        telemetry.finish(LAST_WORDS).await;
    }
}

/// The socket that is passed for each listener, that of operators first. Sockets have the names of
/// keys.
fn sockets(
    passed: Vec<PassedSocket>,
    admin: Option<&serve::Config>,
    listeners: &[serve::Config],
) -> Result<Vec<Option<PassedSocket>>, StartError> {
    let admin = admin.map(|config| serve::Wanted {
        names: vec!["admin.listen".to_owned()],
        listen: &config.listen,
    });
    let listeners = listeners.iter().enumerate().map(|(at, config)| {
        let own = (at == 0).then(|| "listen".to_owned());
        serve::Wanted {
            names: own.into_iter().chain([format!("listeners.{at}")]).collect(),
            listen: &config.listen,
        }
    });
    let wanted: Vec<_> = admin.into_iter().chain(listeners).collect();
    serve::assign(passed, &wanted).map_err(StartError::Passed)
}
