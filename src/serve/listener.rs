//! A listener: its address, its certificates, which of its peers are gateways, and for whom it is.

use super::{
    accept::{self, Intake},
    connection::{Audience, SharedTrust},
    limits::{ClientLimits, ListenerLimits},
    listen::{Listen, Listening},
    service::Service,
};
use crate::{
    net::{
        tls::{self, TlsError},
        trust::{self, Trust},
    },
    shutdown::Tasks,
    supervisor::PassedSocket,
};
use arc_swap::ArcSwap;
use ipnet::IpNet;
use std::{io, sync::Arc, time::Duration};
use tokio_rustls::TlsAcceptor;

/// Settings of a listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: Listen,
    /// Whether another process of this user may listen there too.
    pub reuse_port: bool,
    /// TLS; plain HTTP where absent.
    pub tls: Option<tls::ServerConfig>,
    /// Which of its peers are gateways.
    pub trust: trust::Config,
    /// Balancers, which say with the PROXY protocol for whom they open a connection.
    pub balancers: Vec<IpNet>,
    /// Bounds in proxy mode.
    pub clients: ClientLimits,
}

/// A listener that is bound and not yet served.
#[derive(Debug)]
pub struct Server {
    listening: Listening,
    listen: Listen,
    tls: Option<Certificates>,
    trust: SharedTrust,
    balancers: Vec<IpNet>,
    service: Arc<Service>,
    pub(super) limits: ListenerLimits,
    audience: Audience,
}

/// What can be replaced while a listener serves. Clones belong to the same listener.
#[derive(Debug, Clone)]
pub(crate) struct ListenerControls {
    tls: Option<Certificates>,
    trust: SharedTrust,
}

/// What a listener shows and asks for in TLS handshakes.
#[derive(Debug, Clone)]
struct Certificates(Arc<ArcSwap<TlsSetup>>);

#[derive(Debug)]
struct TlsSetup {
    tls: Arc<rustls::ServerConfig>,
    /// Whether only clients with a certificate get through.
    asks_for_certificate: bool,
}

impl TlsSetup {
    fn new(config: &tls::ServerConfig) -> Result<Self, TlsError> {
        Ok(Self {
            tls: Arc::new(tls::server(config)?),
            asks_for_certificate: config.client_ca.is_some(),
        })
    }
}

/// A change that is prepared: nothing in it can fail any more.
#[derive(Debug)]
pub(crate) struct ListenerChange {
    tls: Option<TlsSetup>,
    trust: Trust,
}

impl ListenerControls {
    /// Reads the files of the new settings. A listener stays with TLS, or without it.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub(crate) fn prepare(&self, config: &Config) -> Result<ListenerChange, ServeError> {
        let tls = match (&self.tls, &config.tls) {
            (Some(_), Some(files)) => Some(TlsSetup::new(files).map_err(ServeError::Tls)?),
            _ => None,
        };
        Ok(ListenerChange {
            tls,
            trust: Trust::new(config.trust.clone()),
        })
    }

    /// Applies: certificates to connections from now on, trust to the next request of every
    /// connection.
    pub(crate) fn apply(&self, change: ListenerChange) {
        if let (Some(Certificates(current)), Some(new)) = (&self.tls, change.tls) {
            current.store(Arc::new(new));
        }
        self.trust.store(Arc::new(change.trust));
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificates or keys could not be used.
    #[error("TLS cannot be set up for the listener")]
    Tls(#[source] TlsError),
    /// The address is in use, or not of this machine.
    #[error("cannot listen on {listen}")]
    Listen {
        /// Where.
        listen: Listen,
        /// What the system says.
        source: io::Error,
    },
}

impl Server {
    /// Binds the listener, inside a runtime. Whoever connects from now on waits until
    /// [`Self::run`].
    ///
    /// # Errors
    /// See [`ServeError`].
    #[cfg(any(test, feature = "internals"))]
    pub fn bind(
        config: &Config,
        audience: Audience,
        service: Arc<Service>,
    ) -> Result<Self, ServeError> {
        Self::bind_or_take(config, None, audience, service)
    }

    /// The same, on the socket that is passed for it where there is one.
    ///
    /// # Errors
    /// See [`ServeError`].
    pub(crate) fn bind_or_take(
        config: &Config,
        passed: Option<PassedSocket>,
        audience: Audience,
        service: Arc<Service>,
    ) -> Result<Self, ServeError> {
        let tls = config.tls.as_ref().map(TlsSetup::new).transpose();
        let tls = tls.map_err(ServeError::Tls)?;
        let listening = match passed {
            Some(passed) => Listening::passed(passed, &config.listen),
            None => Listening::bind(&config.listen, config.reuse_port),
        };
        let (listening, listen) = listening.map_err(|source| ServeError::Listen {
            listen: config.listen.clone(),
            source,
        })?;
        Ok(Self {
            listening,
            listen,
            tls: tls.map(|tls| Certificates(Arc::new(ArcSwap::from_pointee(tls)))),
            trust: Arc::new(ArcSwap::from_pointee(Trust::new(config.trust.clone()))),
            balancers: config.balancers.clone(),
            service,
            limits: match audience {
                Audience::Clients => ListenerLimits::of_clients(&config.clients),
                Audience::Gateways | Audience::Operators => ListenerLimits::default(),
            },
            audience,
        })
    }

    /// Requests that are passed on may take so long at the end.
    pub(crate) fn with_drain(mut self, drain: Duration) -> Self {
        if self.audience == Audience::Clients {
            self.limits.drain = drain;
        }
        self
    }

    /// Where it listens; with port 0 in the settings, on which port.
    #[must_use]
    pub fn listen(&self) -> &Listen {
        &self.listen
    }

    /// The same, where it is an address.
    #[cfg(any(test, feature = "demo", feature = "internals"))]
    #[must_use]
    pub fn tcp_addr(&self) -> Option<std::net::SocketAddr> {
        self.listen.tcp()
    }

    /// What can be replaced while it serves.
    #[must_use]
    pub(crate) fn controls(&self) -> ListenerControls {
        ListenerControls {
            tls: self.tls.clone(),
            trust: Arc::clone(&self.trust),
        }
    }

    /// Serves until `tasks` end; then takes no more connections and lets each finish its requests.
    /// Connections are tasks of `tasks`: whoever waits for those has waited for all answers.
    pub async fn run(self, tasks: Tasks) {
        let tls = self.tls;
        let handshake = || {
            let tls = tls.as_ref()?.0.load_full();
            Some(accept::Handshake {
                acceptor: TlsAcceptor::from(Arc::clone(&tls.tls)),
                asks_for_certificate: tls.asks_for_certificate,
            })
        };
        let intake = Intake::new(
            self.service,
            self.trust,
            &self.limits,
            self.audience,
            self.balancers,
            tasks,
        );
        accept::run(self.listening, handshake, Arc::new(intake)).await;
    }
}
