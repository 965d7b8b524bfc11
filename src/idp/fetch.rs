//! The provider's keys and its description of itself, fetched when they are needed.

use super::{
    endpoint::{Description, EndpointKind, IdpEndpoint, InvalidDiscovery},
    error::IdpError,
    fetched::{Age, Fetch, TooEarly},
    key::Algorithm,
    key_set::KeySet,
    provider::Idp,
};
use http::{HeaderMap, StatusCode, header};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// A fetch of keys or of the description. No request waits for the whole of it.
pub(super) const FETCH: Duration = Duration::from_secs(5);
/// How long a request waits for a fetch or a call. A decision must be there within two seconds, and
/// a user may still have to be written.
pub(crate) const PATIENCE: Duration = Duration::from_millis(1_400);
/// A key set with a certificate chain for each of twenty keys has 100 KB.
const MAX_KEYS_BYTES: usize = 512 * 1024;
/// Keycloak's description has 7 KB.
pub(super) const MAX_DISCOVERY_BYTES: usize = 128 * 1024;

impl Idp {
    /// The keys in which a token's key should be. Known keys are there at once; for an unknown one
    /// the set is fetched again, within the bounds of [`super::fetched`].
    ///
    /// The set may still lack the key: then the provider has none of that name.
    ///
    /// # Errors
    /// When nothing is known and the provider cannot be asked, or when it could have a new key by
    /// now and cannot be asked yet.
    pub(crate) async fn keys(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, IdpError> {
        let keys = &self.0.keys;
        let knows = |set: &KeySet| set.candidates(kid, algorithm).next().is_some();
        match keys.current() {
            Some((set, Age::Fresh)) if knows(&set) => return Ok(set),
            Some((set, Age::Due)) if knows(&set) => {
                let _goes_on_in_the_background = self.fetch_keys();
                return Ok(set);
            }
            Some(_) | None => {}
        }
        let failed = keys.wait(self.fetch_keys(), PATIENCE).await;
        match (keys.current(), failed) {
            (Some((set, _)), None) => Ok(set),
            (Some((set, _)), Some(_)) if knows(&set) => Ok(set),
            // The name is there with another algorithm, seconds ago: a forged header.
            (Some((set, _)), Some(IdpError::TooSoon(_)))
                if kid.is_some_and(|kid| set.names(kid)) =>
            {
                Ok(set)
            }
            (_, failed) => Err(failed.unwrap_or(IdpError::Late(EndpointKind::Keys))),
        }
    }

    /// Keys that are newer than `these`, in which a key has not made the signature that it should
    /// have made: some providers change a key and keep its name. `None` where there are none, or
    /// where the keys were fetched so often of late that they cannot be old.
    pub(crate) async fn newer_keys(&self, these: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let keys = &self.0.keys;
        let newer = || {
            let (set, _) = keys.current()?;
            (!Arc::ptr_eq(&set, these)).then_some(set)
        };
        if let Some(newer) = newer() {
            return Some(newer);
        }
        // Without an answer, what is known decides.
        let _failed = keys.wait(self.fetch_keys(), PATIENCE).await;
        newer()
    }

    /// Fetches the keys in the background if they have aged; costs one look if not.
    ///
    /// Remembered tokens need no keys. Without this, a request with such a token would never learn
    /// that a key was withdrawn.
    pub(crate) fn keep_fresh(&self) {
        if self.0.keys.is_due() {
            let _goes_on_in_the_background = self.fetch_keys();
        }
    }

    /// Reads the keys before the first token needs them, and says how many there are.
    ///
    /// # Errors
    /// Why they cannot be used.
    pub(crate) async fn count_keys(&self) -> Result<usize, IdpError> {
        self.read_keys().await.map(|(keys, _)| keys.count())
    }

    fn fetch_keys(&self) -> Result<Fetch, TooEarly> {
        let this = self.clone();
        let withdrawals = Arc::clone(&self.0.withdrawals);
        let replaced = move |old: &KeySet, new: &KeySet| {
            if !new.keeps_all_of(old) {
                withdrawals.fetch_add(1, Ordering::AcqRel);
            }
        };
        self.0
            .keys
            .fetch(|| async move { this.read_keys().await }, replaced)
    }

    async fn read_keys(&self) -> Result<(KeySet, Option<Duration>), IdpError> {
        let uri = self.endpoint(EndpointKind::Keys).await?;
        let answer = self.fetch(EndpointKind::Keys, &uri, MAX_KEYS_BYTES).await?;
        if answer.status != StatusCode::OK {
            return Err(IdpError::Status(EndpointKind::Keys, answer.status));
        }
        let keys =
            KeySet::parse(&answer.body, self.0.config.rsa_unnamed).map_err(IdpError::Keys)?;
        tracing::debug!(
            issuer = %self.issuer(),
            keys = keys.count(),
            "the identity provider's keys are read"
        );
        self.0
            .metrics
            .keys_fetched(&self.0.name, self.0.clock.now());
        Ok((keys, max_age(&answer.headers)))
    }

    /// Where something is: as configured, else as the provider says.
    pub(super) async fn endpoint(&self, what: EndpointKind) -> Result<IdpEndpoint, IdpError> {
        if let Some(endpoint) = self.0.config.endpoints.get(what) {
            return Ok(endpoint.clone());
        }
        let known = self.describe().await?;
        let endpoint = known
            .endpoints
            .get(what)
            .ok_or(IdpError::NoEndpoint(what))?;
        // Keys may come in clear, with a warning. Secrets follow nobody from TLS to plain http.
        if what.gets_secrets() && endpoint.is_plain() && !self.issuer().is_plain() {
            return Err(IdpError::Downgrade(what));
        }
        Ok(endpoint.clone())
    }

    /// What the provider says of itself, as far as it is known.
    pub(crate) fn description(&self) -> Option<Arc<Description>> {
        self.0.discovered.current().map(|(known, _)| known)
    }

    /// The same, fetched if it is not known.
    ///
    /// # Errors
    /// When nothing is known and it cannot be fetched.
    pub(crate) async fn describe(&self) -> Result<Arc<Description>, IdpError> {
        let discovered = &self.0.discovered;
        match discovered.current() {
            Some((known, Age::Fresh)) => Ok(known),
            Some((known, Age::Due | Age::Stale)) => {
                let _goes_on_in_the_background = self.discover();
                Ok(known)
            }
            None => {
                let failed = discovered.wait(self.discover(), PATIENCE).await;
                self.description()
                    .ok_or_else(|| failed.unwrap_or(IdpError::Late(EndpointKind::Discovery)))
            }
        }
    }

    /// Fetches the description in the background.
    pub(crate) fn begin_to_describe(&self) {
        let _goes_on_in_the_background = self.discover();
    }

    fn discover(&self) -> Result<Fetch, TooEarly> {
        let this = self.clone();
        self.0
            .discovered
            .fetch(|| async move { this.read_discovery().await }, |_, _| {})
    }

    async fn read_discovery(&self) -> Result<(Description, Option<Duration>), IdpError> {
        const WHAT: EndpointKind = EndpointKind::Discovery;
        let uri = self
            .issuer()
            .discovery()
            .map_err(|why| IdpError::Discovery(InvalidDiscovery::Endpoint(why)))?;
        let answer = self.fetch(WHAT, &uri, MAX_DISCOVERY_BYTES).await?;
        if answer.status != StatusCode::OK {
            return Err(IdpError::Status(WHAT, answer.status));
        }
        let with_certificate = self.0.config.http.tls.identity.is_some();
        let read = Description::parse(&answer.body, self.issuer(), with_certificate)
            .map_err(IdpError::Discovery)?;
        let configured = self.0.config.endpoints.jwks.is_some();
        if !configured
            && !self.issuer().is_plain()
            && read
                .endpoints
                .jwks
                .as_ref()
                .is_some_and(IdpEndpoint::is_plain)
            && !self.0.plain_keys.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(
                issuer = %self.issuer(),
                "the provider's description names a plain http address for its keys: whoever is \
                 between elastauth and the provider can sign tokens for anybody; correct the \
                 provider's own address, or set `jwks_uri` with https"
            );
        }
        Ok((read, None))
    }
}

/// `max-age`, where the answer may be kept.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for directive in headers
        .get_all(header::CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(','))
    {
        let directive = directive.trim().to_ascii_lowercase();
        match directive.split_once('=') {
            None if directive == "no-store" || directive == "no-cache" => {
                return Some(Duration::ZERO);
            }
            Some(("max-age", seconds)) => {
                let seconds = seconds.trim_matches('"').parse();
                found = seconds.ok().map(Duration::from_secs);
            }
            _ => {}
        }
    }
    found
}
