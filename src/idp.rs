//! An identity provider as an outside party: what it says of itself, its keys, and what it answers
//! about a token.
//!
//! Here is how it is asked, and what an answer looks like. What a token must say to be believed is
//! not known here. Longer than other files, because the description, the keys and the questions
//! about tokens share one client, its bounds and its patience.

mod client_auth;
mod clock;
mod endpoint;
mod error;
mod fetched;
pub mod json;
mod jws;
mod key;
mod key_set;
#[cfg(test)]
pub(crate) mod tests;

pub use client_auth::{ClientAuth, InvalidSigningKey, SigningKey};
pub use endpoint::{BadDiscovery, Endpoint, InvalidEndpoint, Issuer, Overrides};
pub use error::{IdpError, What};
pub use jws::{BadToken, Jws, MAX_TOKEN_BYTES, Part, Verified, has_shape};
pub use key::{Algorithm, Key, OddKey};
pub use key_set::{BadKeySet, KeySet};

use crate::{
    clock::Clock,
    net::{
        client::{self, Answer, Call, Client},
        tls::TlsError,
    },
    shutdown::Tasks,
    telemetry::{
        metrics::Metrics,
        skew::{Skew, Witness},
    },
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use client_auth::encoded;
use endpoint::Discovered;
use fetched::{Age, Fetched, Landing, Pace, Wish};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// A fetch of keys or of the description. Nobody waits for the whole of it.
const FETCH: Duration = Duration::from_secs(5);
/// How long a request waits for a fetch or a call. A decision must be there within two seconds, and
/// a user may still have to be written.
const PATIENCE: Duration = Duration::from_millis(1_400);
/// A key set with a certificate chain for each of twenty keys has 100 KB.
const MAX_KEYS_BYTES: usize = 512 * 1024;
/// Keycloak's description has 7 KB.
const MAX_DISCOVERY_BYTES: usize = 128 * 1024;
/// As much as a token could hold, several times over: a user in a thousand groups.
const MAX_CLAIMS_BYTES: usize = 256 * 1024;
/// Calls about tokens on their way at once. Beyond it the provider is drowning, and shedding load
/// is the kinder answer.
const MAX_CALLS: usize = 64;

/// Settings of one provider.
#[derive(Debug, Clone)]
pub struct Config {
    /// What it calls itself.
    pub issuer: Issuer,
    /// What it calls us.
    pub client_id: Box<str>,
    /// How we show that we are this client.
    pub client_auth: ClientAuth,
    /// Addresses set by hand.
    pub endpoints: Overrides,
    /// TLS, headers of our own, the way out.
    pub http: client::Config,
    /// What an RSA key signs with that does not say so. Whoever has a list of allowed algorithms
    /// puts its first one for RSA here.
    pub rsa_unnamed: Algorithm,
    /// Between two fetches of the keys because of a key that is not known.
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
            endpoints: Overrides::default(),
            http: client::Config::default(),
            // The algorithm that OpenID Connect takes for granted. Entra ID names none.
            rsa_unnamed: Algorithm::Rs256,
            // A new key works after this even under a flood of tokens with made-up keys; one
            // request in five seconds harms nobody.
            cool_down: Duration::from_secs(5),
            keys_lifetime: Duration::from_mins(10),
        }
    }
}

/// One identity provider. Clones are the same one.
#[derive(Debug, Clone)]
pub struct Idp(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: Config,
    access: ArcSwap<Access>,
    clock: Clock,
    discovered: Arc<Fetched<Discovered>>,
    keys: Arc<Fetched<KeySet>>,
    /// Grows when a key is gone from the set.
    withdrawals: Arc<AtomicU64>,
    /// Who is told of each fetch of the keys, and under which name.
    watched: OnceLock<(Metrics, Skew, Arc<str>)>,
    calls: Semaphore,
}

/// How a provider is reached, and how we show there who we are. Made by [`Idp::access`].
#[derive(Debug)]
pub struct Access {
    client: Client,
    auth: ClientAuth,
}

/// What a provider says about a token.
#[expect(missing_debug_implementations, reason = "claims are people's affairs")]
pub enum Verdict {
    /// It knows it, and says this.
    Claims(Map<String, Value>),
    /// It does not, or no longer.
    Refused,
}

impl Idp {
    /// Prepares to ask. Nothing is asked yet: that it is away at start-up is no fault.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn new(config: Config, clock: Clock, tasks: Tasks) -> Result<Self, TlsError> {
        let access = ArcSwap::from_pointee(Self::access(&config)?);
        let keys = Pace {
            cool_down: config.cool_down,
            lifetime: config.keys_lifetime,
            // Some say `no-store` or zero, some a day. A withdrawn key must not live that long.
            shortest: Duration::from_mins(1),
            longest: Duration::from_hours(1),
        };
        let name = Arc::from(config.issuer.as_str());
        let discovered = Pace {
            lifetime: Duration::from_hours(12),
            longest: Duration::from_hours(12),
            ..keys
        };
        Ok(Self(Arc::new(Inner {
            access,
            discovered: Arc::new(Fetched::new(
                Arc::clone(&name),
                discovered,
                clock.clone(),
                tasks.clone(),
            )),
            keys: Arc::new(Fetched::new(name, keys, clock.clone(), tasks)),
            withdrawals: Arc::default(),
            watched: OnceLock::new(),
            calls: Semaphore::new(MAX_CALLS),
            clock,
            config,
        })))
    }

    /// Takes from the settings what may change while the program runs: TLS, headers of our own, the
    /// client's secret or key.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub fn access(config: &Config) -> Result<Access, TlsError> {
        Ok(Access {
            client: Client::new(config.http.clone())?,
            auth: config.client_auth.clone(),
        })
    }

    /// Uses it from the next call on.
    pub fn replace(&self, access: Access) {
        self.0.access.store(Arc::new(access));
    }

    /// Tells these numbers when its keys were fetched, under the operator's name for it, and
    /// compares its clock with ours.
    pub fn watch(&self, metrics: &Metrics, skew: &Skew, name: &Arc<str>) {
        // Whoever has come first keeps the place: there is one set of numbers in a process.
        let _first = self
            .0
            .watched
            .set((metrics.clone(), skew.clone(), Arc::clone(name)));
    }

    /// What it calls itself.
    #[must_use]
    pub fn issuer(&self) -> &Issuer {
        &self.0.config.issuer
    }

    /// What it calls us.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.0.config.client_id
    }

    /// Grows whenever a key is gone from the set: what was verified before is to be verified again.
    #[must_use]
    pub fn withdrawals(&self) -> u64 {
        self.0.withdrawals.load(Ordering::Acquire)
    }

    /// The keys in which a token's key should be. Known keys are there at once; for one that is
    /// not, the set is fetched again, at most once in a cool-down.
    ///
    /// The set that comes may still lack the key: then the provider has none of that name.
    ///
    /// # Errors
    /// When nothing is known and the provider cannot be asked, or when it could have got a new key
    /// meanwhile and cannot be asked.
    pub async fn keys(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<KeySet>, IdpError> {
        let knows = |set: &KeySet| set.candidates(kid, algorithm).next().is_some();
        let there = self.0.keys.current();
        match &there {
            Some((set, Age::Fresh)) if knows(set) => return Ok(Arc::clone(set)),
            Some((set, Age::Due)) if knows(set) => {
                let _goes_on_without_us = self.fetch_keys();
                return Ok(Arc::clone(set));
            }
            // A name that is there with another algorithm is a forged header, not a new key.
            Some((set, Age::Fresh)) if kid.is_some_and(|kid| set.names(kid)) => {
                return Ok(Arc::clone(set));
            }
            Some(_) | None => {}
        }
        let failed = match self.fetch_keys() {
            Wish::Aloft(landing) => landed(landing, What::Keys).await.err(),
            Wish::TooEarly(error) => error,
        };
        match self.0.keys.current() {
            Some((set, _)) if knows(&set) => Ok(set),
            // Also where the fetch has landed and failed: then it has left its error behind.
            Some((set, _)) => match failed.or_else(|| self.fetch_error()) {
                None => Ok(set),
                Some(error) => Err(error),
            },
            None => Err(failed
                .or_else(|| self.fetch_error())
                .unwrap_or(IdpError::Late(What::Keys))),
        }
    }

    /// Has the keys fetched again if they have aged. Costs a glance if not, and waits for nothing.
    ///
    /// Remembered tokens need no keys; but whoever lives off them alone would never hear that a key
    /// was withdrawn.
    pub fn keep_fresh(&self) {
        if self.0.keys.is_due() {
            let _goes_on_without_us = self.fetch_keys();
        }
    }

    /// Why it could not be asked the last time, if it could not. Known keys go on.
    #[must_use]
    pub fn trouble(&self) -> Option<IdpError> {
        self.fetch_error().or_else(|| self.0.discovered.error())
    }

    /// Reads what tokens will need, for an operator who wants to know before the first one comes:
    /// where `asked` is, and how many `keys` there are. No token is asked about.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn try_out(
        &self,
        asked: Option<What>,
        keys: bool,
    ) -> Result<Option<usize>, IdpError> {
        if let Some(what) = asked {
            self.endpoint(what, FETCH).await?;
        }
        if !keys {
            return Ok(None);
        }
        self.read_keys().await.map(|(keys, _)| Some(keys.len()))
    }

    fn fetch_error(&self) -> Option<IdpError> {
        self.0.keys.error()
    }

    fn fetch_keys(&self) -> Wish {
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
        let uri = self.endpoint(What::Keys, FETCH).await?;
        let answer = self
            .get(What::Keys, &uri, HeaderMap::new(), FETCH, MAX_KEYS_BYTES)
            .await?;
        if answer.status != StatusCode::OK {
            return Err(IdpError::Status(What::Keys, answer.status));
        }
        let keys =
            KeySet::parse(&answer.body, self.0.config.rsa_unnamed).map_err(IdpError::Keys)?;
        tracing::debug!(issuer = %self.issuer(), keys = keys.len(), "the identity provider's keys are read");
        if let Some((metrics, _, name)) = self.0.watched.get() {
            metrics.keys_fetched(name, self.0.clock.now());
        }
        Ok((keys, max_age(&answer.headers)))
    }

    async fn read_discovery(&self) -> Result<(Discovered, Option<Duration>), IdpError> {
        let uri = self
            .issuer()
            .discovery()
            .map_err(|why| IdpError::Discovery(BadDiscovery::Endpoint(why)))?;
        let answer = self
            .get(
                What::Discovery,
                &uri,
                HeaderMap::new(),
                FETCH,
                MAX_DISCOVERY_BYTES,
            )
            .await?;
        if answer.status != StatusCode::OK {
            return Err(IdpError::Status(What::Discovery, answer.status));
        }
        let with_certificate = self.0.config.http.tls.identity.is_some();
        let read = Discovered::parse(&answer.body, self.issuer(), with_certificate)
            .map_err(IdpError::Discovery)?;
        Ok((read, None))
    }

    /// Where something is: as configured, else as the provider says.
    async fn endpoint(&self, what: What, patience: Duration) -> Result<Endpoint, IdpError> {
        let Overrides {
            jwks,
            userinfo,
            introspection,
        } = &self.0.config.endpoints;
        let configured = match what {
            What::Keys => jwks,
            What::Userinfo => userinfo,
            What::Introspection => introspection,
            What::Discovery => &None,
        };
        if let Some(endpoint) = configured {
            return Ok(endpoint.clone());
        }
        let said = |discovered: &Discovered| {
            let endpoint = match what {
                What::Keys => &discovered.jwks,
                What::Userinfo => &discovered.userinfo,
                What::Introspection => &discovered.introspection,
                What::Discovery => &None,
            };
            endpoint.clone().ok_or(IdpError::NoEndpoint(what))
        };
        if let Some((discovered, age)) = self.0.discovered.current() {
            if age != Age::Fresh {
                let _goes_on_without_us = self.discover();
            }
            return said(&discovered);
        }
        let failed = match self.discover() {
            Wish::Aloft(landing) => timeout(patience, landed(landing, What::Discovery))
                .await
                .ok()
                .and_then(Result::err),
            Wish::TooEarly(error) => error,
        };
        match self.0.discovered.current() {
            Some((discovered, _)) => said(&discovered),
            None => Err(failed
                .or_else(|| self.0.discovered.error())
                .unwrap_or(IdpError::Late(What::Discovery))),
        }
    }

    fn discover(&self) -> Wish {
        let this = self.clone();
        self.0
            .discovered
            .fetch(|| async move { this.read_discovery().await }, |_, _| {})
    }

    /// Who belongs to an access token (OpenID Connect Core 1.0, §5.3).
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub async fn userinfo(&self, token: &str) -> Result<Verdict, IdpError> {
        const WHAT: What = What::Userinfo;
        let _room = self.0.calls.try_acquire().map_err(|_| IdpError::Busy)?;
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| IdpError::Unsendable)?;
        bearer.set_sensitive(true);
        let asking = async {
            let uri = self.endpoint(WHAT, PATIENCE).await?;
            self.get(
                WHAT,
                &uri,
                HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]),
                PATIENCE,
                MAX_CLAIMS_BYTES,
            )
            .await
        };
        let answer = timeout(PATIENCE, asking)
            .await
            .map_err(|_| IdpError::Late(WHAT))??;
        match answer.status {
            StatusCode::OK => claims(WHAT, &answer).map(Verdict::Claims),
            // Dex answers a bad token with 403, others with 400.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Ok(Verdict::Refused)
            }
            status => Err(IdpError::Status(WHAT, status)),
        }
    }

    /// What a token is worth (RFC 7662). `active` is judged here, everything else by the caller.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub async fn introspect(&self, token: &str) -> Result<Verdict, IdpError> {
        const WHAT: What = What::Introspection;
        let _room = self.0.calls.try_acquire().map_err(|_| IdpError::Busy)?;
        let asking = async {
            let uri = self.endpoint(WHAT, PATIENCE).await?;
            let config = &self.0.config;
            let shown = self
                .0
                .access
                .load()
                .auth
                .shown(&config.client_id, &config.issuer, self.0.clock.now())
                .ok_or(IdpError::Unsendable)?;
            let mut form = format!("token={}&token_type_hint=access_token", encoded(token));
            for (name, value) in &shown.form {
                form.extend(["&", name, "=", &encoded(value)]);
            }
            let mut headers = shown.headers;
            headers.insert(
                header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            );
            self.ask(
                WHAT,
                Method::POST,
                &uri,
                headers,
                form.into(),
                PATIENCE,
                MAX_CLAIMS_BYTES,
            )
            .await
        };
        let answer = timeout(PATIENCE, asking)
            .await
            .map_err(|_| IdpError::Late(WHAT))??;
        match answer.status {
            StatusCode::OK => {
                let claims = claims(WHAT, &answer)?;
                Ok(if claims.get("active") == Some(&Value::Bool(true)) {
                    Verdict::Claims(claims)
                } else {
                    Verdict::Refused
                })
            }
            // Some answer so when they are shown a token of a kind that they do not introspect.
            StatusCode::BAD_REQUEST if !says_our_client(&answer.body) => Ok(Verdict::Refused),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(IdpError::OurClient(WHAT))
            }
            status => Err(IdpError::Status(WHAT, status)),
        }
    }

    async fn get(
        &self,
        what: What,
        uri: &Endpoint,
        headers: HeaderMap,
        within: Duration,
        max_bytes: usize,
    ) -> Result<Answer, IdpError> {
        self.ask(
            what,
            Method::GET,
            uri,
            headers,
            Bytes::new(),
            within,
            max_bytes,
        )
        .await
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one call with all that differs between four"
    )]
    async fn ask(
        &self,
        what: What,
        method: Method,
        uri: &Endpoint,
        headers: HeaderMap,
        body: Bytes,
        timeout: Duration,
        max_bytes: usize,
    ) -> Result<Answer, IdpError> {
        let call = Call {
            method,
            uri: uri.uri().clone(),
            headers,
            body,
            timeout,
            max_bytes,
        };
        let asked = self.0.clock.now();
        let answer = self
            .0
            .access
            .load_full()
            .client
            .call(call)
            .await
            .map_err(|error| IdpError::Call(what, error))?;
        if let (Some((_, skew, _)), Some(date)) = (self.0.watched.get(), answer.headers.get(header::DATE))
            // A cache on the way hands on what was the time when it got the answer.
            && !answer.headers.contains_key(header::AGE)
        {
            skew.dated(Witness::IdentityProvider, date, asked);
        }
        Ok(answer)
    }
}

/// Waits for a fetch, but not for ever.
async fn landed(mut landing: Landing, what: What) -> Result<(), IdpError> {
    match timeout(PATIENCE, landing.wait_for(|over| *over)).await {
        // A fetch that crashed has closed its channel; what is there decides.
        Ok(_over) => Ok(()),
        Err(_elapsed) => Err(IdpError::Late(what)),
    }
}

fn claims(what: What, answer: &Answer) -> Result<Map<String, Value>, IdpError> {
    let kind = answer
        .headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if kind.starts_with(b"application/jwt")
        || kind.starts_with(b"application/token-introspection+jwt")
    {
        return Err(IdpError::Signed(what));
    }
    json::object(&answer.body).map_err(|why| IdpError::Claims(what, why))
}

fn says_our_client(body: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(body).ok();
    let error = error
        .as_ref()
        .and_then(|error| error.get("error"))
        .and_then(Value::as_str);
    matches!(
        error,
        Some("invalid_client" | "invalid_client_metadata" | "unauthorized_client")
    )
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
                found = seconds
                    .trim_matches('"')
                    .parse()
                    .ok()
                    .map(Duration::from_secs);
            }
            _ => {}
        }
    }
    found
}
