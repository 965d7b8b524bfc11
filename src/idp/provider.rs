//! One identity provider: its settings, its keys and addresses as far as they are known, and how it
//! is reached.

use super::{
    client_auth::ClientAuth,
    endpoint::{Description, EndpointKind, Endpoints, Issuer},
    error::IdpError,
    fetched::{Fetched, Pace},
    key::Algorithm,
    key_set::KeySet,
};
use crate::{
    clock::Clock,
    net::{
        client::{self, Client},
        tls::TlsError,
    },
    shutdown::Tasks,
    telemetry::{Telemetry, clocks::ClockCheck, metrics::Metrics},
};
use arc_swap::ArcSwap;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Calls about tokens under way at once. Beyond it the provider is overloaded, and refusing is
/// better than waiting.
const MAX_CALLS: usize = 64;

/// Settings of one provider.
#[derive(Debug, Clone)]
pub struct Config {
    /// The provider's own name for itself.
    pub issuer: Issuer,
    /// The provider's name for elastauth.
    pub client_id: Box<str>,
    /// How elastauth shows that it is this client.
    pub client_auth: ClientAuth,
    /// Addresses set by hand.
    pub endpoints: Endpoints,
    /// TLS, additional headers, the outbound proxy.
    pub http: client::Config,
    /// The algorithm of an RSA key that does not name its own. Where there is a list of allowed
    /// algorithms, this is its first one for RSA.
    pub rsa_unnamed: Algorithm,
    /// Between two fetches of the keys because of a key that is not known. A few may come at once.
    pub cool_down: Duration,
    /// How old keys may be before they are fetched again, where the provider says nothing else.
    pub keys_lifetime: Duration,
}

impl Config {
    /// The settings that rarely matter, at their defaults.
    #[must_use]
    pub fn new(issuer: Issuer, client_id: &str, client_auth: ClientAuth) -> Self {
        Self {
            issuer,
            client_id: client_id.into(),
            client_auth,
            endpoints: Endpoints::default(),
            http: client::Config::default(),
            // The default of OpenID Connect. Entra ID names none.
            rsa_unnamed: Algorithm::Rs256,
            // A new key works after this even under a flood of tokens with made-up keys, and a
            // provider can answer one request in five seconds.
            cool_down: Duration::from_secs(5),
            keys_lifetime: Duration::from_mins(10),
        }
    }
}

/// One identity provider. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Idp(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: Config,
    pub(super) access: ArcSwap<IdpAccess>,
    pub(super) clock: Clock,
    pub(super) discovered: Arc<Fetched<Description>>,
    pub(super) keys: Arc<Fetched<KeySet>>,
    /// Grows when a key is gone from the set.
    pub(super) withdrawals: Arc<AtomicU64>,
    /// Whether it was told that keys come in clear.
    pub(super) plain_keys: AtomicBool,
    /// The operator's name for it.
    pub(super) name: Arc<str>,
    pub(super) metrics: Metrics,
    pub(super) clocks: ClockCheck,
    pub(super) calls: Semaphore,
}

/// How a provider is reached, and how elastauth authenticates there. Made by [`Idp::access`].
#[derive(Debug)]
pub struct IdpAccess {
    pub(super) client: Client,
    pub(super) auth: ClientAuth,
}

impl Idp {
    /// Asks nothing yet: a provider that is away at start-up is no error.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub(crate) fn new(
        config: Config,
        name: &Arc<str>,
        clock: Clock,
        tasks: Tasks,
        telemetry: &Telemetry,
    ) -> Result<Self, TlsError> {
        let access = ArcSwap::from_pointee(Self::access(&config)?);
        let keys = Pace {
            cool_down: config.cool_down,
            lifetime: config.keys_lifetime,
            // Some say `no-store` or zero, some a day. A withdrawn key must not live that long.
            shortest: Duration::from_mins(1),
            longest: Duration::from_hours(1),
        };
        let discovered = Pace {
            lifetime: Duration::from_hours(12),
            longest: Duration::from_hours(12),
            ..keys
        };
        let issuer: Arc<str> = Arc::from(config.issuer.as_str());
        Ok(Self(Arc::new(Inner {
            access,
            discovered: Arc::new(Fetched::new(
                EndpointKind::Discovery,
                Arc::clone(&issuer),
                discovered,
                clock.clone(),
                tasks.clone(),
            )),
            keys: Arc::new(Fetched::new(
                EndpointKind::Keys,
                issuer,
                keys,
                clock.clone(),
                tasks,
            )),
            withdrawals: Arc::default(),
            plain_keys: AtomicBool::new(false),
            name: Arc::clone(name),
            metrics: telemetry.metrics.clone(),
            clocks: telemetry.clocks.clone(),
            calls: Semaphore::new(MAX_CALLS),
            clock,
            config,
        })))
    }

    /// Takes from the settings what may change while the program runs: TLS, additional headers, the
    /// client's secret or key.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub(crate) fn access(config: &Config) -> Result<IdpAccess, TlsError> {
        Ok(IdpAccess {
            client: Client::new(config.http.clone())?,
            auth: config.client_auth.clone(),
        })
    }

    /// Uses it from the next call on.
    pub(crate) fn replace(&self, access: IdpAccess) {
        self.0.access.store(Arc::new(access));
    }

    #[must_use]
    pub(crate) fn issuer(&self) -> &Issuer {
        &self.0.config.issuer
    }

    /// The provider's name for elastauth.
    #[must_use]
    pub(crate) fn client_id(&self) -> &str {
        &self.0.config.client_id
    }

    /// Grows whenever a key is gone from the set: tokens that were verified before must be verified
    /// again.
    #[must_use]
    pub(crate) fn withdrawals(&self) -> u64 {
        self.0.withdrawals.load(Ordering::Acquire)
    }

    /// Why it could not be asked the last time, if it could not. Known keys stay in use.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<IdpError> {
        self.0.keys.error().or_else(|| self.0.discovered.error())
    }
}
