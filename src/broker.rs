//! From roles to a login that works.
//!
//! Two paths. The hot path, in this file, answers a known user from memory, without I/O. The cold
//! path, [`ensure`], makes the cluster agree; [`updates`] runs it at most once a user at a time.
//! What both need is in [`state`].

mod account_event;
mod account_view;
mod change;
mod config;
mod derive;
mod details;
mod document;
mod ensure;
mod error;
mod last_seen;
mod operators;
mod order;
mod parking;
mod periods;
mod places;
mod predecessors;
mod product;
mod prune;
mod recheck_times;
mod refusals;
mod revoke;
mod rewrite;
mod rotation;
mod slots;
mod state;
mod uncertain;
mod updates;
mod write;

pub(crate) use account_view::{AccountPage, AccountView, Standing};
pub(crate) use change::{Change, ChangeError, Changed, Order as ChangeOrder};
pub(crate) use config::WriteLimits;
pub use config::{Adopt, Config, PreviousKey};
pub(crate) use ensure::Plan;
pub use error::BrokerError;
pub(crate) use error::BrokerStartError;
pub use periods::OpenSearchPeriods;
pub(crate) use predecessors::Predecessors;
pub(crate) use prune::{AskedBy, Due, Kept, PruneError, PruneOrder, Pruned};
pub(crate) use revoke::Revocation;
pub use revoke::{Order as RevokeOrder, RevokeError, Revoked};
pub(crate) use rotation::{InvalidWindow, Window};

use crate::{
    clock::{Clock, Timestamp},
    cluster::SecurityApi,
    identity::Identity,
    keys::Slot,
    ledger::{self, Entry, Folders, Ledger},
    model::{Fingerprint, Generation, Username},
    roles::Entitled,
    shutdown::Tasks,
    telemetry::{
        ClusterTelemetry,
        metrics::{ClusterMetrics, Lookup},
    },
};
use change::Changer;
use details::Details;
use ensure::Ensure;
use http::HeaderValue;
use last_seen::LastSeen;
use order::{Order, Place};
use parking::Parking;
use places::{Class, WritePlaces};
use product::{PerProduct, Product};
use prune::{Pruner, Rounds};
use refusals::Refusals;
use revoke::Revoke;
use rotation::{Period, Rotation};
use slots::Slots;
use state::State;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep, timeout_at},
};
use uncertain::UncertainWrites;
use updates::{Joined, Updates};

/// How long a request waits for its user. Gateways begin to give up after 2 s, and Caddy never
/// does: we answer before.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_800);
/// Requests that wait at the boundary of two passwords. Each costs a timer and its connection.
const HELD: usize = 4_096;

/// How often it is looked whether brokers that have ended still write. Small against the 90 s for
/// which nobody is trusted after that.
const LOOK_FOR_PREDECESSORS: Duration = Duration::from_secs(1);

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

/// Gives entitled identities their logins in one cluster.
#[derive(Debug)]
pub struct Broker {
    state: Arc<State>,
    cluster: SecurityApi,
    ensure: Arc<Ensure>,
    revoke: Arc<Revoke>,
    changer: Arc<Changer>,
    pruner: Arc<Pruner>,
    updates: Arc<Updates>,
    tasks: Tasks,
    held: Semaphore,
    waiting: Semaphore,
    refusals: Refusals,
    metrics: ClusterMetrics,
    service_account: Option<Box<str>>,
    dry_run: bool,
}

impl Broker {
    /// Opens the ledger. `tasks` run the updates.
    ///
    /// # Errors
    /// See [`BrokerStartError`].
    #[cfg(any(test, feature = "internals"))]
    pub fn new(
        config: Config,
        cluster: SecurityApi,
        clock: Clock,
        tasks: Tasks,
        telemetry: ClusterTelemetry,
    ) -> Result<Self, BrokerStartError> {
        Self::with_folders(
            config,
            cluster,
            clock,
            tasks,
            telemetry,
            &Folders::default(),
        )
    }

    /// Opens the ledger; `folders` are those of all brokers of the program. `tasks` run the
    /// updates.
    ///
    /// # Errors
    /// See [`BrokerStartError`].
    pub(crate) fn with_folders(
        config: Config,
        cluster: SecurityApi,
        clock: Clock,
        tasks: Tasks,
        telemetry: ClusterTelemetry,
        folders: &Folders,
    ) -> Result<Self, BrokerStartError> {
        let keys = Arc::new(config.keyring().map_err(BrokerStartError::Key)?);
        let context = ledger::LedgerContext {
            keys: Arc::clone(&keys),
            expiration: config.expiration,
            clock: clock.clone(),
            tasks: tasks.clone(),
            clocks: telemetry.clocks.clone(),
            metrics: telemetry.metrics.clone(),
        };
        let ledger = Ledger::start(&config.ledger, context, folders);
        let ledger = ledger.map_err(BrokerStartError::Redis)?;
        let key_since = config
            .previous_key
            .as_ref()
            .map_or(Timestamp(0), |previous| previous.until);
        let rotation = |product, period| {
            let window = config.rotation_window.as_ref();
            Rotation::new(
                product,
                period,
                window,
                key_since,
                config.grace,
                clock.now(),
            )
        };
        let last_seen = |product, rotation| LastSeen::new(product, rotation, config.expiration);
        let state = Arc::new(State {
            keys,
            cluster: cluster.clone(),
            rotations: PerProduct {
                elasticsearch: rotation(Product::Elasticsearch, config.rotation),
                opensearch: rotation(Product::OpenSearch, config.opensearch.rotation),
            },
            last_seen: PerProduct {
                elasticsearch: last_seen(Product::Elasticsearch, config.rotation),
                opensearch: last_seen(Product::OpenSearch, config.opensearch.rotation),
            },
            ledger,
            uncertain: UncertainWrites::new(config.expiration),
            order: Order::new(),
            details: Details::new(),
            expiration: config.expiration,
            parking: config.park_within.map(|within| PerProduct {
                elasticsearch: Slots::new(within),
                opensearch: Slots::shared(config.opensearch.park_within),
            }),
            clock: clock.clone(),
        });
        let writes = Arc::new(WritePlaces::new(config.writes_at_once));
        let metrics = telemetry.metrics.clone();
        let updates = Arc::new(Updates::new(tasks.clone(), clock.clone(), metrics));
        if state.parking.is_some() && !config.dry_run {
            let parking = Parking::new(
                Arc::clone(&state),
                cluster.clone(),
                Arc::clone(&updates),
                Arc::clone(&writes),
                &telemetry,
            );
            let ending = tasks.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = ending.ending() => {}
                    () = parking.run() => {}
                }
            });
        }
        let report = Arc::new(prune::Report::new(&telemetry));
        let pruner = Arc::new(Pruner::new(
            Arc::clone(&state),
            cluster.clone(),
            Arc::clone(&updates),
            Arc::clone(&report),
        ));
        if let Some(unseen) = config.prune_after.filter(|_| !config.dry_run) {
            let (state, pruner) = (Arc::clone(&state), Arc::clone(&pruner));
            let rounds = Rounds::new(state, cluster.clone(), pruner, report, unseen);
            let ending = tasks.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = ending.ending() => {}
                    () = rounds.run() => {}
                }
            });
        }
        Ok(Self {
            pruner,
            revoke: Arc::new(Revoke::new(
                Arc::clone(&state),
                cluster.clone(),
                Arc::clone(&writes),
                &telemetry,
            )),
            changer: Arc::new(Changer::new(
                Arc::clone(&state),
                cluster.clone(),
                &telemetry,
            )),
            ensure: Arc::new(Ensure::new(
                Arc::clone(&state),
                cluster.clone(),
                writes,
                &config,
                &telemetry,
            )),
            state,
            refusals: Refusals::new(cluster.clone(), clock),
            cluster,
            updates,
            tasks,
            held: Semaphore::new(HELD),
            waiting: Semaphore::new(Semaphore::MAX_PERMITS),
            metrics: telemetry.metrics,
            service_account: config.service_account.map(Box::from),
            dry_run: config.dry_run,
        })
    }

    /// At most so many requests wait for this cluster at once; others are refused. Gateways have a
    /// bounded number of requests under way, and a cluster that hangs must not hold all of them.
    #[must_use]
    pub(crate) fn with_waiting(self, most: usize) -> Self {
        Self {
            waiting: Semaphore::new(most),
            ..self
        }
    }

    /// The login of an entitled identity. A known user is answered without waiting; otherwise the
    /// cluster is made to agree first.
    ///
    /// # Errors
    /// See [`BrokerError`]; [`BrokerError::Late`] after 1.8 s, while the update goes on.
    pub async fn credential(&self, entitled: &Entitled) -> Result<Credential, BrokerError> {
        let user = entitled.identity().user();
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            let now = self.state.clock.now();
            let place = self.in_order(entitled, now)?;
            let period = self.state.period_at(user, now);
            if let Some(wait) = period.grace_left {
                self.hold(wait, deadline).await?;
                continue;
            }
            let entry = self.state.ledger.recall(user, now);
            let generation = self.state.generation(user, entry.as_ref());
            let fingerprint = self.state.fingerprint(entitled, generation, period);
            let lookup = self.look_up(user, entry, now, fingerprint);
            self.metrics.looked_up(lookup);
            if lookup == Lookup::Hit {
                return Ok(self.grant(entitled, place, generation, period));
            }
            self.permits(entitled)?;
            if self.dry_run {
                return Ok(self.grant(entitled, place, generation, period));
            }
            let _waits = self.waiting.try_acquire().map_err(|_| BrokerError::Busy)?;
            let class = if lookup == Lookup::Miss {
                Class::New
            } else {
                Class::Known
            };
            let update = self.updates.join(user, class, fingerprint, || {
                Arc::clone(&self.ensure).run(entitled.clone(), class, generation, period)
            });
            match timeout_at(deadline, update)
                .await
                .map_err(|_| BrokerError::Late)?
            {
                Joined::Same(Ok(generation)) if self.still_holds(entitled, generation, period) => {
                    self.describe_later(entitled, generation);
                    return Ok(self.grant(entitled, place, generation, period));
                }
                // The update was for an older token with the same roles; this one is newer.
                Joined::Same(Err(BrokerError::Outdated { newest }))
                    if entitled.identity().as_of() >= Some(newest) => {}
                Joined::Same(Err(error)) => return Err(error),
                // The result is not valid any more, or it was for another fingerprint: look again.
                Joined::Same(Ok(_)) | Joined::Other => {}
            }
        }
    }

    /// Whether the cluster certainly refuses a login of this user. For a second after it has
    /// accepted one, it is asked only `again`.
    pub(crate) async fn refuses(&self, user: &Username, login: &Credential, again: bool) -> bool {
        let login = login.authorization();
        self.refusals.refuses(user, login, again).await
    }

    /// Takes note of an identity that gets no role: older tokens of the same person are refused
    /// from now on, because they would give what the person no longer has.
    ///
    /// # Errors
    /// [`BrokerError::Outdated`] if it is itself older than one that has roles.
    pub fn without_role(&self, identity: &Identity) -> Result<(), BrokerError> {
        let (order, now) = (&self.state.order, self.state.clock.now());
        order
            .check(identity, None, now)
            .map_err(|newest| BrokerError::Outdated { newest })?;
        order.judged(identity, &[], now);
        Ok(())
    }

    fn in_order(&self, entitled: &Entitled, now: Timestamp) -> Result<Place, BrokerError> {
        self.state
            .order
            .check(entitled.identity(), Some(entitled.roles()), now)
            .map_err(|newest| BrokerError::Outdated { newest })
    }

    /// What the next request of this identity would find in the cluster and do there. It asks, and
    /// changes nothing.
    ///
    /// # Errors
    /// When the name may not be written at all, or the cluster cannot be asked.
    pub async fn foresee(&self, entitled: &Entitled) -> Result<Plan, BrokerError> {
        self.permits(entitled)?;
        self.ensure.plan(entitled).await
    }

    /// Whether a user of this name may be written at all.
    ///
    /// # Errors
    /// [`BrokerError::ReservedName`] with the rule.
    pub fn permits(&self, entitled: &Entitled) -> Result<(), BrokerError> {
        self.permits_name(entitled.identity().user())
    }

    fn permits_name(&self, user: &Username) -> Result<(), BrokerError> {
        let own = || {
            (self.service_account.as_deref() == Some(user.as_str()))
                .then_some("elastauth's own account")
        };
        match self.cluster.reserves(user).or_else(own) {
            Some(rule) => Err(BrokerError::ReservedName(rule)),
            None => Ok(()),
        }
    }

    /// The cluster that the logins are for.
    #[must_use]
    pub fn security(&self) -> &SecurityApi {
        &self.cluster
    }

    /// What users that are written now carry of the key. Not a secret.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.state.keys.of(Slot::Current).credentials.id
    }

    /// Writes within these limits from now on.
    pub(crate) fn replace_limits(&self, limits: WriteLimits) {
        self.ensure.replace_limits(limits);
    }

    /// Nobody is sent here any more, and another broker may be for the same cluster.
    pub(crate) fn precedes(&self, successors: &Predecessors) {
        successors.add(&self.state);
    }

    /// Checks every user, at most once a second, as long as writes of these may take effect.
    pub(crate) fn succeeds(&self, predecessors: &Predecessors) {
        if !predecessors.warn(&self.state) {
            return;
        }
        let (state, predecessors) = (Arc::clone(&self.state), predecessors.clone());
        let ending = self.tasks.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = ending.ending() => return,
                    () = sleep(LOOK_FOR_PREDECESSORS) => if !predecessors.warn(&state) {
                        return;
                    }
                }
            }
        });
    }

    /// What is remembered, and the store behind it.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.state.ledger
    }

    pub(crate) fn metrics(&self) -> &ClusterMetrics {
        &self.metrics
    }

    /// Writes the state of the ledger into the metrics, with that of `others` whose series are the
    /// same.
    pub(crate) fn report_ledgers<'a>(&'a self, others: impl IntoIterator<Item = &'a Ledger>) {
        let (mut users, mut works) = (0, true);
        for ledger in others.into_iter().chain([&self.state.ledger]) {
            users += ledger.users();
            works &= ledger.store_state().is_ok();
        }
        self.metrics.ledger(users, works);
    }

    /// The clock by which it lives.
    pub(crate) fn clock(&self) -> &Clock {
        &self.state.clock
    }

    /// What runs its updates.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// The user that a write would put into the cluster at this moment, without its password.
    #[must_use]
    pub fn would_write(&self, entitled: &Entitled) -> serde_json::Value {
        let user = entitled.identity().user();
        let (period, generation) = (self.state.period(user), self.state.ledger.generation(user));
        let document = self.state.document(entitled, generation, period);
        self.cluster.document(&document.account)
    }

    /// Whether the user is remembered with this fingerprint, from a check that is still trusted.
    fn look_up(
        &self,
        user: &Username,
        entry: Option<Entry>,
        now: Timestamp,
        wanted: Fingerprint,
    ) -> Lookup {
        match entry {
            None => Lookup::Miss,
            Some(Entry::Present {
                fingerprint, seen, ..
            }) if fingerprint == wanted && self.state.is_fresh(user, seen, now) => Lookup::Hit,
            Some(Entry::Present { .. } | Entry::WritePending) => Lookup::Stale,
        }
    }

    /// Whether the result of an update may be answered on: the password period is the same, and
    /// nobody has begun to write the user since. That the ledger has forgotten the entry already is
    /// no objection.
    fn still_holds(&self, entitled: &Entitled, generation: Generation, then: Period) -> bool {
        let (user, now) = (entitled.identity().user(), self.state.clock.now());
        let wanted = self.state.fingerprint(entitled, generation, then);
        let agrees = match self.state.ledger.recall(user, now) {
            None => true,
            Some(Entry::WritePending) => false,
            Some(Entry::Present { fingerprint, .. }) => fingerprint == wanted,
        };
        agrees && self.state.period_at(user, now) == then
    }

    /// Waits out the boundary of two passwords, within the request's own deadline. The number of
    /// waiting requests is bounded.
    async fn hold(&self, wait: Duration, deadline: Instant) -> Result<(), BrokerError> {
        let _place = self.held.try_acquire().map_err(|_| BrokerError::Busy)?;
        let _counted = self.metrics.held_request();
        timeout_at(deadline, sleep(wait))
            .await
            .map_err(|_| BrokerError::Late)
    }

    /// Writes names, mail and groups that the check of the user has found to differ. No request
    /// waits for it, and none is refused if it fails.
    fn describe_later(&self, entitled: &Entitled, generation: Generation) {
        let now = self.state.clock.now();
        if !self.state.details.take(entitled.identity().user(), now) {
            return;
        }
        let (updates, ensure) = (Arc::clone(&self.updates), Arc::clone(&self.ensure));
        let entitled = entitled.clone();
        self.tasks.spawn(async move {
            let user = entitled.identity().user().clone();
            let work = || ensure.describe(entitled, generation);
            let _next_hour = updates.alone(&user, work).await;
        });
    }

    /// The login, once it is sure that the identity gets it: older tokens with other roles are
    /// refused from now on.
    fn grant(
        &self,
        entitled: &Entitled,
        place: Place,
        generation: Generation,
        period: Period,
    ) -> Credential {
        let identity = entitled.identity();
        if place == Place::Newest {
            let now = self.state.clock.now();
            self.state.order.granted(identity, entitled.roles(), now);
        }
        let login = derive::granted(entitled, generation, period);
        let password = self.state.password(&login, period.key);
        Credential {
            authorization: password.authorization(login.user),
        }
    }
}
