//! From roles to a credential that works: a known user is answered from memory, anybody else after
//! the cluster was made to agree.

mod budget;
mod derive;
mod document;
mod doubt;
mod ensure;
mod flights;
mod moments;
mod names;
mod order;
mod rotation;

pub use ensure::{Next, Plan, Reason};
pub use rotation::{InvalidWindow, Window};

use crate::{
    clock::{Clock, Timestamp},
    cluster::SecurityApi,
    identity::Identity,
    keys::Keyring,
    ledger::{self, Entry, Forgotten, Ledger, redis},
    model::{Fingerprint, Username},
    roles::Entitled,
    secret::{NoRandomness, SecretKey},
    shutdown::Tasks,
    telemetry::{
        audit::Audit,
        metrics::{Lookup, Metrics},
        skew::Skew,
    },
};
use derive::Password;
use document::Document;
use ensure::{Ensure, Flown};
use flights::{Flights, Landing};
use http::HeaderValue;
use moments::believed;
use rotation::{Rotation, Turn};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};

/// How long a request waits for its user. Gateways begin to give up after 2 s, and Caddy never
/// does: we answer before.
const PATIENCE: Duration = Duration::from_millis(1_800);
/// How long a check is believed that a late write may have undone: at most one call a second for
/// each doubtful user.
const DOUBTFUL_FOR: Duration = Duration::from_secs(1);
/// Flights in a row: one that the boundary or another replica overtakes, one for what is true then,
/// and one more for a cluster that is slower than a short period is long.
const FLIGHTS: u32 = 3;
/// By how much a wait for a boundary is longer than it has to be: the clock that it is for and the
/// one that measures it are two.
const SLACK: Duration = Duration::from_millis(5);
/// Requests that wait at the boundary of two passwords. Each costs a timer and its connection.
const HELD: usize = 4_096;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key from which credentials are derived; `None` makes one for this process alone.
    pub secret_key: Option<SecretKey>,
    /// The key before it, for a change of keys without an outage.
    pub previous_key: Option<PreviousKey>,
    /// Part of every derivation, so that two clusters never share a password.
    pub cluster_name: String,
    /// The service account's own name, never to be written. `None` with an API key.
    pub service_account: Option<String>,
    /// How long a password lives; zero means for ever.
    pub rotation: Duration,
    /// In which part of the day passwords change; `None` spreads the changes over the whole period.
    /// With a window the period is counted in whole days.
    pub rotation_window: Option<Window>,
    /// How long nobody is answered at the boundary of two passwords; must exceed the replicas'
    /// clock skew.
    pub grace: Duration,
    /// How long the cluster's agreement is believed without asking again.
    pub expiration: Duration,
    /// In which form passwords are sent.
    pub hash: HashMode,
    /// Which users that elastauth has not written may be taken over.
    pub adopt: Adopt,
    /// How often one user may be written in a minute.
    pub writes_per_minute: u32,
    /// How many users the cluster may get anew in a minute.
    pub new_per_minute: u32,
    /// How many users may be written at the same time, from 1 to 64.
    pub writes_at_once: usize,
    /// Answer with a credential and never call the cluster.
    pub dry_run: bool,
    /// Where it is remembered to what the cluster has agreed.
    pub ledger: ledger::Config,
}

impl Config {
    /// The keys that all credentials and all stored facts follow from.
    ///
    /// # Errors
    /// When a key must be made and the system has no randomness.
    pub fn keyring(&self) -> Result<Keyring, NoRandomness> {
        let current = self.secret_key.clone().map_or_else(SecretKey::random, Ok)?;
        let previous = self.previous_key.as_ref().map(|previous| &previous.key);
        Ok(Keyring::new(&current, previous, &self.cluster_name))
    }
}

/// Why a broker cannot be started. That the cluster or a store is away is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A key must be made, and the system has no randomness.
    #[error("no key can be made")]
    Key(#[source] NoRandomness),
    /// The memory of users.
    #[error("the memory of users cannot be set up")]
    Ledger(#[source] ledger::StartError),
}

/// The key that is being replaced.
#[derive(Debug, Clone)]
pub struct PreviousKey {
    /// The key.
    pub key: SecretKey,
    /// When the change begins: each user moves to the present key at the first boundary of its
    /// passwords from here on. Replicas that all know both keys by then never contradict each
    /// other.
    pub until: Timestamp,
}

/// In which form passwords are sent to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashMode {
    /// As a cheap hash, and in clear where the cluster refuses the hash.
    #[default]
    Auto,
    /// In clear; the cluster hashes at its own cost.
    Off,
}

/// Which users that elastauth has not written may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adopt {
    /// None.
    Never,
    /// Those that the Go program wrote: metadata whose only key is `groups`.
    #[default]
    ElastauthGo,
    /// Any native user that is not reserved.
    Any,
}

/// Whether this replica knows the user. Anybody with a gateway's trust can make names up, so
/// strangers have places of their own, and a flood of them keeps nobody else waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    /// Something is remembered of him.
    Known,
    /// Nothing is; the cluster may know him all the same.
    Stranger,
}

/// A login that works now. Made by [`Broker::credential`] alone.
#[derive(Debug, Clone)]
pub struct Credential {
    authorization: HeaderValue,
}

impl Credential {
    /// The value of `Authorization`, marked sensitive.
    #[must_use]
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }
}

/// Why there is no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The name belongs to the cluster itself or to elastauth's own account.
    #[error("the name is reserved: {0}")]
    ReservedName(&'static str),
    /// An administrator has disabled the user in the cluster.
    #[error("the user is disabled in the cluster")]
    Disabled,
    /// The cluster has a user of that name that elastauth has not written.
    #[error(
        "the cluster has a user of that name which elastauth has not written; `users.adopt` decides whether it may be taken over"
    )]
    Foreign,
    /// The user was written for somebody else: of another provider, or another subject of the same
    /// one.
    #[error(
        "the user in the cluster was written for {}; if both are the same person, delete the user there or set `users.adopt: any`, else give one of the providers a `username_prefix`",
        if *.provider == *.asking { format!("another subject of the provider `{provider}`") } else { format!("a user of the provider `{provider}`, and `{asking}` asks") }
    )]
    SomebodyElses {
        /// The provider for whose user it was written.
        provider: std::sync::Arc<str>,
        /// The provider whose user asks.
        asking: std::sync::Arc<str>,
    },
    /// A later token of the user was seen, and says something else about the groups.
    #[error(
        "a newer token of the user has other groups ({newest}); this one does not count any more"
    )]
    Outdated {
        /// The moment of that one.
        newest: Timestamp,
    },
    /// The user was written too often within a minute.
    #[error(
        "the user's groups change too often: the limit of writes a minute is reached; two sessions of one user with different groups?"
    )]
    WriteBudget,
    /// Too many users were made within a minute.
    #[error(
        "more users come for the first time than `users.new_per_minute` allows; a roll-out, or somebody who makes names up?"
    )]
    NewUsers,
    /// The cluster refused elastauth's own account.
    #[error(
        "the cluster refuses the service account: {0}; if that lasts for more than some seconds (a cluster that has just started refuses everybody), \
         look at elasticsearch.username, .password or .api_key, and its privileges to read and write users"
    )]
    ServiceAccount(std::sync::Arc<str>),
    /// The cluster could not be asked, or its answer could not be used.
    #[error("the cluster did not do its part: {0}")]
    Cluster(std::sync::Arc<str>),
    /// It takes longer than a gateway waits; the work goes on and the next request may find it
    /// done.
    #[error("the cluster did not answer in time")]
    Late,
    /// Too many requests wait for the cluster.
    #[error("too many requests wait for the cluster")]
    Busy,
    /// The work on the user ended without a result: a bug.
    #[error("the work on the user ended without a result")]
    Crashed,
}

impl BrokerError {
    /// Whether it is a word about the user and not about the weather.
    fn is_final(&self) -> bool {
        matches!(
            self,
            Self::ReservedName(_)
                | Self::Disabled
                | Self::Foreign
                | Self::SomebodyElses { .. }
                | Self::Outdated { .. }
                | Self::WriteBudget
                | Self::NewUsers
        )
    }
}

/// Makes the cluster agree.
#[derive(Debug)]
pub struct Broker {
    ensure: Arc<Ensure>,
    flights: Flights,
    rotation: Arc<Rotation>,
    held: Semaphore,
    expiration: Duration,
    service_account: Option<Box<str>>,
    dry_run: bool,
}

impl Broker {
    /// Opens the ledger. `tasks` run the work.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(
        config: Config,
        cluster: SecurityApi,
        clock: Clock,
        tasks: Tasks,
    ) -> Result<Self, StartError> {
        Self::watched(
            config,
            cluster,
            clock,
            tasks,
            Metrics::default(),
            Audit::default(),
            &Skew::default(),
        )
    }

    /// The same, counted and audited.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub fn watched(
        config: Config,
        cluster: SecurityApi,
        clock: Clock,
        tasks: Tasks,
        metrics: Metrics,
        audit: Audit,
        skew: &Skew,
    ) -> Result<Self, StartError> {
        let keys = Arc::new(config.keyring().map_err(StartError::Key)?);
        let ledger = Ledger::start(
            &config.ledger,
            &keys,
            config.expiration,
            &clock,
            &tasks,
            skew,
        )
        .map_err(StartError::Ledger)?;
        let key_since = config
            .previous_key
            .as_ref()
            .map_or(Timestamp(0), |previous| previous.until);
        let rotation = Rotation::new(
            config.rotation,
            config.rotation_window.as_ref(),
            key_since,
            config.grace,
            clock.now(),
        );
        Ok(Self {
            flights: Flights::new(tasks, clock.clone(), metrics.clone()),
            ensure: Arc::new(Ensure::new(
                cluster, ledger, keys, clock, &config, metrics, audit,
            )),
            rotation: Arc::new(rotation),
            held: Semaphore::new(HELD),
            expiration: config.expiration,
            service_account: config.service_account.map(Box::from),
            dry_run: config.dry_run,
        })
    }

    /// The login of an entitled identity. A known user is answered without waiting; otherwise the
    /// cluster is made to agree first.
    ///
    /// # Errors
    /// See [`BrokerError`]; [`BrokerError::Late`] after 1.8 s, while the work goes on.
    pub async fn credential(&self, entitled: &Entitled) -> Result<Credential, BrokerError> {
        let user = entitled.identity().user();
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.in_order(entitled.identity())?;
            let now = self.ensure.clock.now();
            let turn = self.rotation.turn(user, now);
            if let Some(wait) = turn.hold {
                self.hold(wait, deadline).await?;
                continue;
            }
            let fingerprint = derive::fingerprint(
                &self.ensure.keys.of(turn.key).credentials,
                entitled.identity(),
                entitled.roles(),
                turn.epoch,
            );
            let lookup = self.look_up(user, now, fingerprint);
            self.ensure.metrics.looked_up(lookup);
            if lookup == Lookup::Hit {
                return Ok(self.login(user, turn));
            }
            self.permits(entitled)?;
            if self.dry_run {
                return Ok(self.login(user, turn));
            }
            let guest = if lookup == Lookup::Miss {
                Guest::Stranger
            } else {
                Guest::Known
            };
            let flight = self.flights.join(user, guest, fingerprint, || {
                let (ensure, rotation, entitled) = (Arc::clone(&self.ensure), Arc::clone(&self.rotation), entitled.clone());
                async move { through_the_boundary(&ensure, &rotation, &entitled, guest, turn).await }
            });
            match timeout_at(deadline, flight)
                .await
                .map_err(|_| BrokerError::Late)?
            {
                Landing::Same(Ok(())) if self.still_holds(user, fingerprint, turn) => {
                    return Ok(self.login(user, turn));
                }
                // That was an older token with the same groups, whose flight this one has joined.
                Landing::Same(Err(BrokerError::Outdated { newest }))
                    if entitled.identity().as_of() >= Some(newest) => {}
                Landing::Same(Err(error)) => return Err(error),
                // Another session's flight has landed, or what this one made stands no more: look
                // again.
                Landing::Same(Ok(())) | Landing::Other => {}
            }
        }
    }

    /// Takes note of an identity, whether it gets a login or not: what is older and has other
    /// groups counts no more.
    ///
    /// # Errors
    /// [`BrokerError::Outdated`] if it is itself older than one that was seen.
    pub fn in_order(&self, identity: &Identity) -> Result<(), BrokerError> {
        self.ensure
            .order
            .admit(identity)
            .map_err(|newest| BrokerError::Outdated { newest })
    }

    /// What the next request of this identity would find in the cluster and do there. It asks, and
    /// changes nothing.
    ///
    /// # Errors
    /// When the name may not be written at all, or the cluster cannot be asked.
    pub async fn foresee(&self, entitled: &Entitled) -> Result<Plan, BrokerError> {
        self.permits(entitled)?;
        let user = entitled.identity().user();
        self.ensure
            .foresee(&document(
                &self.ensure,
                entitled,
                self.rotation.turn(user, self.ensure.clock.now()),
            ))
            .await
    }

    /// Lets the next request of this user ask the cluster, whatever is remembered of him here, in
    /// the store or by other replicas.
    #[must_use]
    pub fn recheck(&self, user: &Username) -> Forgotten {
        self.flights.forgive(user);
        self.ensure.ledger.forget(user)
    }

    /// Whether a user of this name may be written at all.
    ///
    /// # Errors
    /// [`BrokerError::ReservedName`] with the rule.
    pub fn permits(&self, entitled: &Entitled) -> Result<(), BrokerError> {
        names::permit(entitled.identity().user(), self.service_account.as_deref())
            .map_err(BrokerError::ReservedName)
    }

    /// Whether the store behind the ledger is there.
    ///
    /// # Errors
    /// What is wrong with it, without an address.
    pub fn store_state(&self) -> Result<&'static str, String> {
        self.ensure.ledger.store_state()
    }

    /// Shows Redis what a new configuration has for it, from the next connection on.
    pub fn replace_access(&self, access: redis::Access) {
        self.ensure.ledger.replace_access(access);
    }

    /// The user that a write would put into the cluster at this moment, without its password.
    #[must_use]
    pub fn would_write(&self, entitled: &Entitled) -> serde_json::Value {
        let turn = self
            .rotation
            .turn(entitled.identity().user(), self.ensure.clock.now());
        document(&self.ensure, entitled, turn).without_password()
    }

    /// Whether this user stands in the cluster with this fingerprint, as far as that is still
    /// believed.
    fn look_up(&self, user: &Username, now: Timestamp, wanted: Fingerprint) -> Lookup {
        let (fingerprint, seen) = match self.ensure.ledger.recall(user, now) {
            Some(Entry::Stands { fingerprint, seen }) => (fingerprint, seen),
            Some(Entry::InFlux) => return Lookup::Stale,
            None => return Lookup::Miss,
        };
        let believed = if self.ensure.doubts.about(user, seen) {
            DOUBTFUL_FOR
        } else {
            believed(user, seen, self.expiration)
        };
        // An entry from the future (a clock set back) has no age and is not believed.
        let fresh = now.since(seen).is_some_and(|age| age < believed);
        if fresh && fingerprint == wanted {
            Lookup::Hit
        } else {
            Lookup::Stale
        }
    }

    /// Whether a flight that has just landed may be answered on: the same password period, and
    /// nobody has begun to write the user since. A ledger that has already forgotten the entry says
    /// nothing against it.
    fn still_holds(&self, user: &Username, fingerprint: Fingerprint, then: Turn) -> bool {
        let now = self.ensure.clock.now();
        let turn = self.rotation.turn(user, now);
        let stands = match self.ensure.ledger.recall(user, now) {
            None => true,
            Some(Entry::InFlux) => false,
            Some(Entry::Stands {
                fingerprint: theirs,
                ..
            }) => theirs == fingerprint,
        };
        stands && turn == then
    }

    /// Waits out the boundary of two passwords, within the request's own deadline and in bounded
    /// company.
    async fn hold(&self, wait: Duration, deadline: Instant) -> Result<(), BrokerError> {
        let _place = self.held.try_acquire().map_err(|_| BrokerError::Busy)?;
        let _counted = self.ensure.metrics.held();
        timeout_at(deadline, sleep(wait))
            .await
            .map_err(|_| BrokerError::Late)
    }

    fn login(&self, user: &Username, turn: Turn) -> Credential {
        let keys = &self.ensure.keys.of(turn.key).credentials;
        Credential {
            authorization: Password::derive(keys, user, turn.epoch).authorization(user),
        }
    }
}

/// What this user is to stand with in this period.
fn document(ensure: &Ensure, entitled: &Entitled, turn: Turn) -> Document {
    let keys = &ensure.keys.of(turn.key).credentials;
    let (identity, roles) = (entitled.identity(), entitled.roles());
    let fingerprint = derive::fingerprint(keys, identity, roles, turn.epoch);
    Document::new(entitled, fingerprint, turn, keys.id())
}

/// A flight, and one more where a new password period has begun meanwhile: a write that was slow
/// may have undone what another replica wrote for that period, and whoever asked for it here may be
/// gone. Where a write would begin shortly before a boundary, it waits for the new period. And one
/// more where another replica has said something else while it was in the air: what the cluster has
/// answered may be older than that.
async fn through_the_boundary(
    ensure: &Ensure,
    rotation: &Rotation,
    entitled: &Entitled,
    guest: Guest,
    mut turn: Turn,
) -> Result<(), BrokerError> {
    let user = entitled.identity().user();
    for flight in 1..=FLIGHTS {
        let may_write = |now| rotation.may_write(user, turn, now);
        let flown = ensure
            .fly(&document(ensure, entitled, turn), guest, may_write)
            .await?;
        if flown == Flown::TooLate {
            sleep(rotation.rest(user, turn, ensure.clock.now()) + SLACK).await;
        }
        let now = rotation.turn(user, ensure.clock.now());
        if (now.epoch, now.key) == (turn.epoch, turn.key) {
            let is_forgotten = || ensure.ledger.recall(user, ensure.clock.now()).is_none();
            match flown {
                Flown::Agreed if flight < FLIGHTS && is_forgotten() => continue,
                Flown::Agreed => return Ok(()),
                // A clock that was set back meanwhile: the period still has an end to wait for, or
                // time enough for a write.
                Flown::TooLate => continue,
            }
        }
        // Not before the grace is over: others still use what stands.
        sleep(now.hold.unwrap_or_default()).await;
        turn = Turn { hold: None, ..now };
    }
    Err(BrokerError::Late)
}
