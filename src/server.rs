//! The listeners and what stands behind them: questions of gateways, health, and what operators
//! look at.
//!
//! A raw service with no router in front: a question may have any method, path and query, and costs
//! nothing but its decision.

mod accept;
mod admin;
mod connection;
mod decide;
mod forward_auth;
mod health;
mod logout;
mod observe;
mod throttle;

pub use admin::{Config as AdminConfig, Show};
pub use health::Check;

use crate::{
    clock::{Clock, Timestamp},
    flow::Flow,
    net::{
        tls::{self, TlsError},
        trust::Trust,
    },
    request::Protocol,
    respond::{IdentityHeaders, Response},
    shutdown::Tasks,
    telemetry::Telemetry,
};
use admin::{Admin, Page};
use arc_swap::ArcSwap;
use connection::Connection;
use health::{Endpoint, Readiness};
use http::{HeaderValue, Version, header::CONNECTION, request};
use hyper::body::Incoming;
use observe::Observer;
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// TLS; plain HTTP where absent.
    pub tls: Option<tls::ServerConfig>,
}

/// What the server asks, and what its answers need.
#[derive(Debug)]
pub struct Service {
    flow: Flow,
    trust: ArcSwap<Trust>,
    identity_headers: IdentityHeaders,
    readiness: Readiness,
    clock: Clock,
    started: Timestamp,
    logouts: logout::Pace,
    observer: Observer,
    telemetry: Telemetry,
    admin: Admin,
}

/// What a [`Service`] is made of. Nothing is optional, so that no part can be forgotten.
#[expect(missing_debug_implementations, reason = "it is taken apart at once")]
#[expect(missing_docs, reason = "the types say it")]
pub struct Parts {
    pub flow: Flow,
    pub trust: Trust,
    pub identity_headers: IdentityHeaders,
    pub check: Check,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub admin: AdminConfig,
    /// Shows the effective configuration, with `***` for every secret.
    pub show: Show,
}

impl Service {
    /// Puts it together; the service starts now.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            flow,
            trust,
            identity_headers,
            check,
            clock,
            telemetry,
            admin,
            show,
        } = parts;
        Self {
            flow,
            trust: ArcSwap::from_pointee(trust),
            identity_headers,
            readiness: Readiness::new(check),
            started: clock.now(),
            clock,
            logouts: logout::Pace::default(),
            observer: Observer::new(telemetry.clone()),
            telemetry,
            admin: Admin::new(&admin, show),
        }
    }

    /// The decisions.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// From the next request on, of kept connections too, these peers are believed.
    pub fn replace_trust(&self, trust: Trust) {
        self.trust.store(Arc::new(trust));
    }
}

/// For whom a listener is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Audience {
    /// Everything that is not an own endpoint is a question.
    Gateways,
    /// Nothing is a question.
    Operators,
}

/// A listener that is bound and not yet served.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Certificates>,
    service: Arc<Service>,
    limits: Limits,
    audience: Audience,
}

/// What a listener shows and asks for in TLS handshakes; it can be replaced while it serves. Clones
/// belong to the same listener.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<ArcSwap<rustls::ServerConfig>>);

impl Certificates {
    fn new(tls: rustls::ServerConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(tls)))
    }

    /// From the next connection on. Those that are open keep what they agreed on.
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
    /// The address is taken, or not ours.
    #[error("cannot listen on {addr}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

impl Server {
    /// Binds the listener. Whoever connects from now on waits until [`Self::run`].
    ///
    /// # Errors
    /// See [`ServeError`].
    #[expect(
        clippy::unused_async,
        reason = "binding needs the runtime, and waits where it is done by name"
    )]
    pub async fn bind(config: &Config, service: Arc<Service>) -> Result<Self, ServeError> {
        Self::bind_for(Audience::Gateways, config, service)
    }

    /// Binds the listener of `admin.listen`, which answers operators and decides nothing. Whoever
    /// reaches it is answered: its address is its protection.
    ///
    /// # Errors
    /// See [`ServeError`].
    #[expect(clippy::unused_async, reason = "as above")]
    pub async fn bind_admin(config: &Config, service: Arc<Service>) -> Result<Self, ServeError> {
        Self::bind_for(Audience::Operators, config, service)
    }

    fn bind_for(
        audience: Audience,
        config: &Config,
        service: Arc<Service>,
    ) -> Result<Self, ServeError> {
        let tls = config
            .tls
            .as_ref()
            .map(tls::server)
            .transpose()
            .map_err(ServeError::Tls)?;
        let tls = tls.map(Certificates::new);
        let (listener, addr) =
            accept::listen(config.listen).map_err(|source| ServeError::Listen {
                addr: config.listen,
                source,
            })?;
        Ok(Self {
            listener,
            addr,
            tls,
            service,
            limits: Limits::default(),
            audience,
        })
    }

    /// Where it listens; with port 0 in the settings, on which port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its certificates, where it speaks TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<Certificates> {
        self.tls.clone()
    }

    /// Serves until `tasks` end; then takes no more connections and lets each finish what it has in
    /// hand. Connections are tasks of `tasks`: whoever waits for those has waited for all answers.
    pub async fn run(self, tasks: Tasks) {
        accept::run(self, tasks).await;
    }
}

/// Bounds of the listener. They are not settings: each follows from how gateways behave, and tests
/// make them short.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Open connections of peers in `trusted_proxies`. A busy gateway keeps hundreds; each costs
    /// some 10 KB here.
    connections: usize,
    /// Open connections of all other peers together: probes and mistakes. They cannot take the
    /// gateways' places.
    strangers: usize,
    /// A TLS handshake: two round trips and a signature.
    handshake: Duration,
    /// The first request of a connection, and the rest of any that has begun.
    header: Duration,
    /// A connection without a request. Longer than gateways keep theirs (Envoy: one hour), because
    /// Envoy does not retry on another where one is cut.
    idle: Duration,
    /// A decision. Gateways begin to give up after 2 s (`HAProxy`); Caddy never does.
    decision: Duration,
    /// The rest of a connection that has been told to end: a decision, and the time to write its
    /// answer.
    leaving: Duration,
    /// Gateways pass on what clients send, and hyper's own limit of 100 turns that into a 431 for
    /// the user. nginx and Traefik take more than this from a client, but each slot costs every
    /// request a little.
    headers: usize,
    /// All headers of a request together. Envoy takes 60 KB from a client, nginx 32 KB, `HAProxy`
    /// 15 KB.
    header_bytes: u32,
    /// Requests at once on one HTTP/2 connection. Traefik has only one connection and queues what
    /// exceeds this.
    streams: u32,
    /// How often HTTP/2 asks a silent peer whether it is there, and how long it waits for the
    /// answer: a gateway that lost power frees its place.
    ping: Duration,
    pong: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            strangers: 500,
            handshake: Duration::from_secs(5),
            header: Duration::from_secs(10),
            idle: Duration::from_mins(75),
            decision: Duration::from_secs(2),
            leaving: Duration::from_secs(5),
            headers: 500,
            header_bytes: 64 * 1024,
            streams: 1_000,
            ping: Duration::from_mins(1),
            pong: Duration::from_secs(20),
        }
    }
}

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Health(Endpoint),
    Operators(Page),
    /// An identity provider ends a session.
    Logout,
    /// A name of elastauth 1. It does not stand below `/elastauth/`, so a client's own path may
    /// look like it.
    Old(Old),
    Decision(Protocol),
}

/// The endpoints of elastauth 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Old {
    Health,
    Page(Page),
}

/// Everything that has no name of its own here is a question: Caddy and Envoy put the client's own
/// path and query behind the configured one.
fn place(path: &str) -> Place {
    match path {
        "/elastauth/health" => Place::Health(Endpoint::Health),
        "/elastauth/live" => Place::Health(Endpoint::Live),
        "/elastauth/ready" => Place::Health(Endpoint::Ready),
        "/elastauth/metrics" => Place::Operators(Page::Metrics),
        "/elastauth/config" => Place::Operators(Page::Config),
        "/elastauth/docs" => Place::Operators(Page::Docs),
        "/elastauth/api/openapi.yaml" | "/elastauth/openapi.yaml" => {
            Place::Operators(Page::OpenApi)
        }
        logout::PATH => Place::Logout,
        "/health" => Place::Old(Old::Health),
        "/metrics" => Place::Old(Old::Page(Page::Metrics)),
        "/config" => Place::Old(Old::Page(Page::Config)),
        "/elastauth/auth-request" => Place::Decision(Protocol::AuthRequest),
        _ if admin::user_to_recheck(path).is_some() => Place::Operators(Page::Recheck),
        _ => match path.strip_prefix("/elastauth/ext-authz") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Place::Decision(Protocol::ExtAuthz)
            }
            _ => Place::Decision(Protocol::ForwardAuth),
        },
    }
}

/// Answers one request. It cannot fail: a failure is an answer too.
async fn answer(
    connection: Arc<Connection>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    connection.pulse.called(request.version());
    // But for one place the body is held and never read: some gateways announce one that does not
    // come.
    let (request, body) = request.into_parts();
    let place = place(request.uri.path());
    if let (Audience::Gateways, Place::Logout, Some(oidc)) = (
        connection.audience,
        place,
        connection.service.flow.providers().oidc(),
    ) {
        return Ok(Box::pin(logout::answer(&connection, oidc, &request, body)).await);
    }
    let version = request.version;
    let mut response = match connection.audience {
        Audience::Gateways => to_gateway(&connection, request, place).await,
        Audience::Operators => to_operator(&connection, &request, place).await,
    };
    // A first request that came when the end had begun, answered before its connection could be
    // told to leave.
    if connection.tasks.is_ending() && version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn to_gateway(connection: &Connection, request: request::Parts, place: Place) -> Response {
    match place {
        Place::Decision(protocol) => forward_auth::answer(connection, request, protocol).await,
        Place::Health(endpoint) => health::answer(connection, &request, endpoint).await,
        Place::Operators(page) if !admin::is_a_question(&request) => {
            admin::answer(connection, &request, page)
        }
        Place::Old(Old::Health) if admin::is_plainly_old(connection, &request) => {
            health::answer(connection, &request, Endpoint::Health).await
        }
        Place::Old(Old::Page(page))
            if admin::is_plainly_old(connection, &request)
                && connection.service.admin.has(page) =>
        {
            admin::answer(connection, &request, page)
        }
        // Without a provider of tokens nobody can log anybody out, and the path is like any other.
        Place::Logout | Place::Operators(_) | Place::Old(_) => {
            forward_auth::answer(connection, request, Protocol::ForwardAuth).await
        }
    }
}

async fn to_operator(connection: &Connection, request: &request::Parts, place: Place) -> Response {
    match place {
        Place::Health(endpoint) => health::answer(connection, request, endpoint).await,
        Place::Old(Old::Health) => health::answer(connection, request, Endpoint::Health).await,
        Place::Operators(page) | Place::Old(Old::Page(page)) => {
            admin::answer(connection, request, page)
        }
        Place::Decision(_) | Place::Logout => admin::nothing_here(connection.service.clock.now()),
    }
}

#[cfg(test)]
mod tests;
