//! Why the parts cannot be put together.

use crate::{
    broker,
    net::tls::TlsError,
    serve::{PassedError, ServeError},
    telemetry,
    upstream::ProxyError,
};

/// Why the program cannot start. Outside parties are never a reason: start-up does not wait for
/// any.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A certificate or key file towards the cluster.
    #[error("TLS towards the cluster cannot be set up")]
    ClusterTls(#[source] TlsError),
    /// A certificate or key file towards an identity provider.
    #[error("TLS towards an identity provider cannot be set up")]
    IdpTls(#[source] TlsError),
    /// The keys or the memory of users.
    #[error(transparent)]
    Broker(#[from] broker::BrokerStartError),
    /// A certificate or key file towards a server that requests are passed on to.
    #[error("requests cannot be passed on")]
    Proxy(#[source] ProxyError),
    /// A socket of the supervisor.
    #[error("a socket that the supervisor passes cannot be used")]
    Passed(#[source] PassedError),
    /// A listener.
    #[error("a listener cannot be set up")]
    Listen(#[source] ServeError),
    /// The listener for operators.
    #[error("the listener of admin.listen cannot be set up")]
    Admin(#[source] ServeError),
    /// The audit stream or the export of traces.
    #[error("reports cannot be set up")]
    Telemetry(#[source] telemetry::TelemetryError),
}
