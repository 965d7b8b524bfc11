//! The client of an identity provider, against a fake one on a real socket that answers wrongly,
//! hangs, is slow and rotates its keys.

mod ask;
pub(crate) mod fake;
mod fetch;
mod keys;
pub(crate) mod signer;

use super::fetch::PATIENCE;
use super::{
    endpoint::InvalidDiscovery,
    json::InvalidJson,
    key::{PublicKey, UnusableKey},
    key_set::InvalidKeySet,
    *,
};
use crate::{
    clock::Clock,
    net::client::HttpError,
    shutdown::Tasks,
    telemetry::{Telemetry, metrics::Metrics},
};
use fake::{FakeIdp, Manner};
use http::{HeaderValue, StatusCode};
use signer::{Signer, key_set};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64 as Ms, Ordering},
    },
    time::Duration,
};

/// A provider, a client of it, and the time.
pub(crate) struct Stage {
    pub(crate) fake: FakeIdp,
    pub(crate) idp: Idp,
    ms: Arc<Ms>,
    metrics: Metrics,
}

impl Stage {
    async fn new(keys: &[&Signer]) -> Self {
        Self::with(keys, |_| {}).await
    }

    async fn with(keys: &[&Signer], change: impl FnOnce(&mut Config)) -> Self {
        let fake = FakeIdp::start(key_set(keys)).await;
        let ms = Arc::new(Ms::new(1_800_000_000_000));
        let mut config = Config::new(
            Issuer::parse(&fake.issuer()).unwrap(),
            "elastauth",
            ClientAuth::SecretBasic("s:3cret&".to_owned().into()),
        );
        change(&mut config);
        let telemetry = Telemetry::default();
        let idp = Idp::new(
            config,
            &Arc::from("main"),
            Clock::Manual(Arc::clone(&ms)),
            Tasks::default(),
            &telemetry,
        )
        .unwrap();
        Self {
            fake,
            idp,
            ms,
            metrics: telemetry.metrics,
        }
    }

    fn set_back(&self, time: Duration) {
        self.ms
            .fetch_sub(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn pass(&self, time: Duration) {
        self.ms
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    async fn knows(&self, kid: &str) -> Result<bool, IdpError> {
        let keys = self.idp.keys(Some(kid), Algorithm::Es256).await?;
        Ok(keys
            .candidates(Some(kid), Algorithm::Es256)
            .next()
            .is_some())
    }

    /// Waits until a fetch that goes on in the background has been asked for.
    async fn until_fetched(&self, times: usize) {
        while self.fake.count("/keys") < times {
            tokio::task::yield_now().await;
        }
    }
}
