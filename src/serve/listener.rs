//! A listener: its address, its certificates, and for whom it is.

use super::{
    accept::{self, Intake},
    connection::Audience,
    limits::ListenerLimits,
    service::Service,
};
use crate::{
    net::tls::{self, TlsError},
    shutdown::Tasks,
};
use arc_swap::ArcSwap;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Settings of a listener.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS; plain HTTP where absent.
    pub tls: Option<tls::ServerConfig>,
}

/// A listener that is bound and not yet served.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Certificates>,
    asks_for_certificate: bool,
    service: Arc<Service>,
    pub(super) limits: ListenerLimits,
    audience: Audience,
}

/// What a listener shows and asks for in TLS handshakes; it can be replaced while it serves. Clones
/// belong to the same listener.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<ArcSwap<rustls::ServerConfig>>);

impl Certificates {
    /// Applies to connections from now on. Those that are open keep what they agreed on.
    pub fn replace(&self, tls: rustls::ServerConfig) {
        self.0.store(Arc::new(tls));
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Certificates or keys could not be used.
    #[error("TLS cannot be set up for the listener")]
    Tls(#[source] TlsError),
    /// The address is in use, or not of this machine.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
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
    pub fn bind(
        config: &Config,
        audience: Audience,
        service: Arc<Service>,
    ) -> Result<Self, ServeError> {
        let tls = config
            .tls
            .as_ref()
            .map(tls::server)
            .transpose()
            .map_err(ServeError::Tls)?
            .map(|tls| Certificates(Arc::new(ArcSwap::from_pointee(tls))));
        let (listener, addr) =
            accept::listen(config.listen).map_err(|source| ServeError::Listen {
                addr: config.listen,
                source,
            })?;
        Ok(Self {
            listener,
            addr,
            asks_for_certificate: (config.tls.as_ref()).is_some_and(|tls| tls.client_ca.is_some()),
            tls,
            service,
            limits: ListenerLimits::default(),
            audience,
        })
    }

    /// Where it listens; with port 0 in the settings, on which port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its certificates, where it uses TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        self.tls.clone()
    }

    /// Serves until `tasks` end; then takes no more connections and lets each finish its requests.
    /// Connections are tasks of `tasks`: whoever waits for those has waited for all answers.
    pub async fn run(self, tasks: Tasks) {
        let acceptor = || self.tls.as_ref().map(Certificates::acceptor);
        let intake = Intake::new(
            self.service,
            self.limits,
            self.audience,
            self.asks_for_certificate,
            tasks,
        );
        accept::run(self.listener, acceptor, intake).await;
    }
}
