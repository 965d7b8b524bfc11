//! One flight: make the cluster agree that this user stands with this document and this password.
//!
//! The order is fixed: ask as the user, else read, else write. Asking as the user costs no
//! privilege and settles the usual case with one call; reading before writing is what respects an
//! administrator who has disabled the user, and users that are not ours.

use super::{
    Adopt, BrokerError, Guest,
    budget::{Arrivals, Budget},
    derive::{Hash, Password},
    document::{Document, Owner, groups_of, owner},
    doubt::Doubts,
    order::Order,
};
use crate::{
    clock::{Clock, Timestamp},
    cluster::{self, CallError, Fate, SecurityApi, User, Whoami},
    keys::{CredentialKeys, Keyring},
    ledger::{Boarding, Ledger},
    model::{Group, Role},
    telemetry::{
        audit::{Audit, Event, Kind},
        chain,
        metrics::{Metrics, Step},
    },
};
use http::StatusCode;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tracing::{info, warn};
use zeroize::Zeroizing;

/// Flights that talk to the cluster at once, and how many of them for strangers. Enough to hide its
/// latency, too few to crowd out its other work.
const CONVERSATIONS: usize = 64;
const OF_STRANGERS: usize = 48;
/// How long a flight queues for a place. Whoever waited longer would get it when the request that
/// wanted it is about to give up.
const QUEUE: Duration = Duration::from_secs(1);

/// How long apart the store is asked whether another replica's write has landed, in milliseconds:
/// most do within tens of them, and none is waited for longer than half a second. A mark may stay
/// when its write has landed, and the wait is in vain: after the grace of a new period it must
/// leave time for the answer.
const BETWEEN_LOOKS: [u64; 4] = [30, 60, 120, 240];

/// Everything that a flight needs.
#[derive(Debug)]
pub(super) struct Ensure {
    pub(super) cluster: SecurityApi,
    pub(super) ledger: Ledger,
    pub(super) doubts: Doubts,
    pub(super) keys: Arc<Keyring>,
    pub(super) order: Order,
    pub(super) clock: Clock,
    pub(super) metrics: Metrics,
    audit: Audit,
    adopt: Adopt,
    budget: Budget,
    arrivals: Arrivals,
    conversations: Places,
    writes: Places,
    expiration: Duration,
    /// Whether passwords go as a cheap hash. Set to false for good by a cluster that refuses one
    /// and takes the password.
    hashed: AtomicBool,
}

impl Ensure {
    pub(super) fn new(
        cluster: SecurityApi,
        ledger: Ledger,
        keys: Arc<Keyring>,
        clock: Clock,
        config: &super::Config,
        metrics: Metrics,
        audit: Audit,
    ) -> Self {
        Self {
            cluster,
            ledger,
            keys,
            clock,
            metrics,
            audit,
            order: Order::new(),
            doubts: Doubts::new(config.expiration),
            adopt: config.adopt,
            budget: Budget::new(config.writes_per_minute),
            arrivals: Arrivals::new(config.new_per_minute),
            conversations: Places::new(CONVERSATIONS, OF_STRANGERS),
            // A cluster that hashes slowly has few threads for it; more only wait there instead of
            // here.
            writes: Places::new(
                config.writes_at_once,
                (config.writes_at_once * 3 / 4).max(1),
            ),
            expiration: config.expiration,
            hashed: AtomicBool::new(config.hash == super::HashMode::Auto),
        }
    }

    /// One flight. Afterwards the ledger knows what stands. A write begins only if it still may.
    pub(super) async fn fly(
        &self,
        document: &Document,
        guest: Guest,
        may_write: impl Fn(Timestamp) -> bool,
    ) -> Result<Flown, BrokerError> {
        let agreed = self.agree(document, guest, may_write).await;
        self.metrics.ensured(match &agreed {
            Ok(Agreement::Stood) => Step::Confirmed,
            Ok(Agreement::Written(reason)) => reason.step(),
            Ok(Agreement::TooLate) => return Ok(Flown::TooLate),
            Err(error) if error.is_final() => Step::Refused,
            Err(_) => Step::Failed,
        });
        match agreed {
            Ok(Agreement::Written(reason)) => {
                self.audited(document, reason.kind(), Some(reason.text()));
            }
            Ok(Agreement::Stood | Agreement::TooLate) => {
                self.audited(document, Kind::UserConfirmed, None);
            }
            // A write that failed has its own line; a refusal gets one with the request that is
            // turned away.
            Err(error) => return Err(error),
        }
        Ok(Flown::Agreed)
    }

    /// Makes the cluster agree; says what that took.
    async fn agree(
        &self,
        document: &Document,
        guest: Guest,
        may_write: impl Fn(Timestamp) -> bool,
    ) -> Result<Agreement, BrokerError> {
        let mut boarding = self.ledger.board(document.aim()).await;
        if self.is_vouched_for(&boarding) {
            return Ok(Agreement::Stood);
        }
        let user = document.identity().user();
        if self.doubts.about(user, self.clock.now()) {
            boarding.keep_to_ourselves();
        }
        let password = self.password(document);
        let conversation = self.conversations.queue(guest).await?;
        let answer = self.ask(document, &password).await?;
        // Whoever queues for a write keeps nobody from asking: writes that hang must not hold up
        // those who have only to be confirmed.
        drop(conversation);
        let ours = match answer {
            Answer::Stands(_) => return Ok(self.stood(document, boarding).await),
            Answer::LogsIn => true,
            Answer::Refused => false,
        };
        // The place among the writes is taken before the user is read: between the last look and
        // the write there must be no queue, in which an administrator's switch would go unseen.
        let _place = self.writes.queue(guest).await?;
        // Nor the hash: it is ready by the time the cluster has answered.
        let (looked, hash) = tokio::join!(
            self.look(document, ours),
            self.hash_ahead(document, guest, &password)
        );
        let (found, reason) = looked?;
        let reason = reason?;
        if !ours
            && self
                .stands_after_all(document, &password, found.as_ref())
                .await?
        {
            return Ok(self.stood(document, boarding).await);
        }
        if !may_write(self.clock.now()) {
            return Ok(Agreement::TooLate);
        }
        if reason == Reason::Changed && !self.budget.take(user, self.clock.now()) {
            self.metrics.over_budget();
            return Err(BrokerError::WriteBudget);
        }
        if reason == Reason::Absent && !self.arrivals.take(self.clock.now()) {
            return Err(BrokerError::NewUsers);
        }
        self.write(document, &mut boarding, &password, hash, reason)
            .await
            .map(|()| Agreement::Written(reason))
    }

    /// The user stands as he should, and that is remembered.
    async fn stood(&self, document: &Document, boarding: Boarding) -> Agreement {
        let (boarding, waited) = self.landed(document, boarding).await;
        // What was seen before a wait answers those who wait and is not remembered: a contradiction
        // of meanwhile went to the boarding that is over.
        if !self.is_vouched_for(&boarding) && !waited {
            self.ledger.confirmed(&boarding, self.clock.now());
            self.metrics.remembered(self.ledger.len());
        }
        Agreement::Stood
    }

    /// Waits until another replica's write has landed, as far as that is heard of. What stands may
    /// be that very write, seen at one copy of the index before the other ones have it; a node that
    /// reads one of those would refuse the login.
    async fn landed(&self, document: &Document, mut boarding: Boarding) -> (Boarding, bool) {
        let mut waited = false;
        for pause in BETWEEN_LOOKS {
            if !self.ledger.others_write(&boarding, self.clock.now()) {
                break;
            }
            self.ledger.outdated(&boarding);
            sleep(Duration::from_millis(pause)).await;
            waited = true;
            // One flight, one boarding: the old one ends before the new one begins.
            drop(boarding);
            boarding = self.ledger.board(document.aim()).await;
            if self
                .doubts
                .about(document.identity().user(), self.clock.now())
            {
                boarding.keep_to_ourselves();
            }
        }
        (boarding, waited)
    }

    /// What a flight would find and do. It asks, and changes nothing.
    pub(super) async fn foresee(&self, document: &Document) -> Result<Plan, BrokerError> {
        let ours = match self.ask(document, &self.password(document)).await? {
            Answer::Stands(found) => {
                return Ok(Plan {
                    found: Some(*found),
                    next: Ok(Next::Stands),
                });
            }
            Answer::LogsIn => true,
            Answer::Refused => false,
        };
        let (found, reason) = self.look(document, ours).await?;
        let stands = !ours
            && reason.is_ok()
            && self
                .stands_after_all(document, &self.password(document), found.as_ref())
                .await?;
        Ok(Plan {
            found,
            next: if stands {
                Ok(Next::Stands)
            } else {
                reason.map(Next::Write)
            },
        })
    }

    fn password(&self, document: &Document) -> Password {
        Password::derive(
            self.keys_of(document),
            document.identity().user(),
            document.epoch(),
        )
    }

    fn keys_of(&self, document: &Document) -> &CredentialKeys {
        &self.keys.of(document.key()).credentials
    }

    /// The hash of the password, for a write that is to be expected. It is worked out on a thread
    /// that answers nobody. Whom a limit is going to refuse costs no hash.
    async fn hash_ahead(
        &self,
        document: &Document,
        guest: Guest,
        password: &Password,
    ) -> Option<Zeroizing<String>> {
        let now = self.clock.now();
        let expected = match guest {
            Guest::Known => self.budget.has_one(document.identity().user(), now),
            Guest::Stranger => self.arrivals.has_one(now),
        };
        if !expected || !self.hashed.load(Ordering::Relaxed) {
            return None;
        }
        let hash = self.hash(document, password);
        spawn_blocking(move || hash.worked_out()).await.ok()
    }

    fn hash(&self, document: &Document, password: &Password) -> Hash {
        Hash::new(
            self.keys_of(document),
            document.identity().user(),
            document.epoch(),
            password,
        )
    }

    /// Reads the user, and judges whether and why it may be written.
    async fn look(
        &self,
        document: &Document,
        ours: bool,
    ) -> Result<(Option<User>, Result<Reason, BrokerError>), BrokerError> {
        let user = document.identity().user();
        let found = self
            .cluster
            .read_user(user)
            .await
            .map_err(|error| refused_or_failed("read the user", &error))?;
        let reason = found.as_ref().map_or(Ok(Reason::Absent), |found| {
            self.judge(document, found, ours)
        });
        Ok((found, reason))
    }

    /// Asks as the user whether the login works and what stands there.
    async fn ask(&self, document: &Document, password: &Password) -> Result<Answer, BrokerError> {
        let told = self
            .cluster
            .authenticate(&password.authorization(document.identity().user()))
            .await;
        Ok(Answer::of(
            told.map_err(|error| failed("ask as the user", &error))?,
            document,
        ))
    }

    /// Whether a user whose login a node has just refused stands all the same: by what another node
    /// says of him he should, and a node without its security index refuses everybody. Nothing is
    /// written on such a node's word; each is asked first.
    async fn stands_after_all(
        &self,
        document: &Document,
        password: &Password,
        found: Option<&User>,
    ) -> Result<bool, BrokerError> {
        if !found.is_some_and(|found| document.stands_as(found)) {
            return Ok(false);
        }
        let told = self
            .cluster
            .authenticate_anywhere(&password.authorization(document.identity().user()))
            .await;
        let told = told.map_err(|error| failed("ask as the user", &error))?;
        Ok(matches!(Answer::of(told, document), Answer::Stands(_)))
    }

    /// May the user that stands in the cluster be written, and why.
    fn judge(&self, document: &Document, found: &User, ours: bool) -> Result<Reason, BrokerError> {
        let mut owner = owner(found, self.adopt);
        if ours && owner != Owner::Reserved {
            // A login that only our key can make proves whose user it is and of which period,
            // whatever became of its metadata.
            owner = Owner::Elastauth {
                epoch: Some(document.epoch()),
                key_id: None,
            };
        }
        if owner == Owner::Reserved {
            return Err(BrokerError::ReservedName("a built-in user of the cluster"));
        }
        if !found.enabled {
            return Err(BrokerError::Disabled);
        }
        let somebody_elses = document.is_somebody_elses(found);
        if let Some(provider) = &somebody_elses
            && self.adopt != Adopt::Any
        {
            let asking = document.identity().provider().name().into();
            return Err(BrokerError::SomebodyElses {
                provider: Arc::clone(provider),
                asking,
            });
        }
        if somebody_elses.is_none()
            && let Owner::Elastauth { .. } = owner
            && let Some(newest) = document.is_outdated_by(found, self.clock.now())
        {
            self.order
                .found(document.identity(), newest, groups_of(found));
            return Err(BrokerError::Outdated { newest });
        }
        match owner {
            // Of the other key of this deployment: the first write under this one is as much by
            // nature as that of a new period.
            Owner::Elastauth {
                key_id: Some(id), ..
            } if *id != *document.key_id() && self.keys.knows(&id) => Ok(Reason::Rotated),
            // A later period than ours belongs to a replica with another clock or other settings:
            // that is pulling too.
            Owner::Elastauth { epoch, .. } if epoch >= Some(document.epoch()) => {
                Ok(Reason::Changed)
            }
            Owner::Elastauth { .. } => Ok(Reason::Rotated),
            Owner::Adoptable => Ok(Reason::Adopted),
            Owner::Foreign | Owner::Reserved => Err(BrokerError::Foreign),
        }
    }

    async fn write(
        &self,
        document: &Document,
        boarding: &mut Boarding,
        password: &Password,
        hash: Option<Zeroizing<String>>,
        reason: Reason,
    ) -> Result<(), BrokerError> {
        let user = document.identity().user();
        // From here on nobody may be answered on the strength of what stood before.
        self.ledger.begin_write(boarding, self.clock.now()).await;
        self.metrics.remembered(self.ledger.len());
        let mut outcome = if self.hashed.load(Ordering::Relaxed) {
            let hash = hash.unwrap_or_else(|| self.hash(document, password).worked_out());
            self.cluster
                .write_user(user, &document.body(cluster::Password::Hash(&hash)))
                .await
        } else {
            self.cluster
                .write_user(
                    user,
                    &document.body(cluster::Password::Clear(password.expose())),
                )
                .await
        };
        if outcome.as_ref().is_err_and(refuses_the_hash) && self.hashed.load(Ordering::Relaxed) {
            outcome = self
                .cluster
                .write_user(
                    user,
                    &document.body(cluster::Password::Clear(password.expose())),
                )
                .await;
            if outcome.is_ok() && self.hashed.swap(false, Ordering::Relaxed) {
                warn!(
                    "the cluster refuses hashed passwords; from now on it gets the password and hashes itself, which makes first logins slow"
                );
            }
        }
        match outcome {
            Ok(()) => {
                self.ledger.written(boarding, self.clock.now());
                self.metrics.remembered(self.ledger.len());
                let roles = document
                    .roles()
                    .iter()
                    .map(crate::model::Role::as_str)
                    .collect::<Vec<_>>()
                    .join(",");
                info!(user = ?user.as_str(), roles, reason = reason.text(), "user written to the cluster");
                Ok(())
            }
            Err(error) => {
                if error.fate() == Fate::Unknown {
                    self.doubts.begin(user, self.clock.now());
                }
                let error = refused_or_failed("write the user", &error);
                self.audited(document, Kind::WriteFailed, Some(&error.to_string()));
                Err(error)
            }
        }
    }

    /// Whether another replica has asked the cluster, or this one has before its restart, within
    /// the time for which that is believed. Then the cluster need not be asked again.
    fn is_vouched_for(&self, boarding: &Boarding) -> bool {
        let now = self.clock.now();
        let Some(seen) = boarding.vouched() else {
            return false;
        };
        let believed = super::moments::believed(boarding.user(), seen, self.expiration);
        let vouched = now.since(seen).is_some_and(|age| age < believed)
            && !self.doubts.about(boarding.user(), seen);
        if vouched {
            self.ledger.adopt(boarding, seen, now);
            self.metrics.remembered(self.ledger.len());
        }
        vouched
    }

    fn audited(&self, document: &Document, kind: Kind, reason: Option<&str>) {
        if !self.audit.is_on() {
            return;
        }
        let identity = document.identity();
        self.audit.tell(&Event {
            user: Some(identity.user().as_str()),
            provider: Some(identity.provider().name()),
            groups: identity.groups().iter().map(Group::as_str).collect(),
            roles: document.roles().iter().map(Role::as_str).collect(),
            reason,
            ..Event::new(kind)
        });
    }
}

/// Places that are queued for in the order of coming. Strangers have a queue of their own to their
/// share of the places: a flood of them is never in front of somebody who is known.
#[derive(Debug)]
struct Places {
    all: Semaphore,
    of_strangers: Semaphore,
}

impl Places {
    fn new(all: usize, of_strangers: usize) -> Self {
        Self {
            all: Semaphore::new(all),
            of_strangers: Semaphore::new(of_strangers),
        }
    }

    /// A place, for as long as it is held. Whoever queues too long gives up.
    async fn queue(
        &self,
        guest: Guest,
    ) -> Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>), BrokerError> {
        let queue = async {
            let own = match guest {
                Guest::Known => None,
                Guest::Stranger => Some(self.of_strangers.acquire().await.ok()?),
            };
            Some((own, self.all.acquire().await.ok()?))
        };
        timeout(QUEUE, queue)
            .await
            .ok()
            .flatten()
            .ok_or(BrokerError::Busy)
    }
}

/// How a flight ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flown {
    /// The cluster has the user as he should be.
    Agreed,
    /// It has not, and the period of the password is too near its end to write.
    TooLate,
}

/// What it took to make the cluster agree.
enum Agreement {
    /// Nothing: the user stood as he should.
    Stood,
    /// A write.
    Written(Reason),
    /// It would take a write, and that may not begin any more.
    TooLate,
}

/// What asking as the user gave.
enum Answer {
    /// The login works and the very document stands.
    Stands(Box<User>),
    /// The login works, and something else stands.
    LogsIn,
    /// The login does not work: no such user, another password, disabled, or the security index is
    /// away. All look alike.
    Refused,
}

impl Answer {
    fn of(told: Whoami, document: &Document) -> Self {
        match told {
            // Another realm or another name (anonymous access) says nothing about the native user.
            Whoami::Is { user: found, realm }
                if realm == "native" && found.username == document.identity().user().as_str() =>
            {
                if document.stands_as(&found) {
                    Self::Stands(Box::new(found))
                } else {
                    Self::LogsIn
                }
            }
            Whoami::Is { .. } | Whoami::Refused => Self::Refused,
        }
    }
}

/// What was found in the cluster, and what follows from it.
#[derive(Debug)]
pub struct Plan {
    /// The user as it stands now, if there is one.
    pub found: Option<User>,
    /// What the next request does.
    pub next: Result<Next, BrokerError>,
}

/// What has to happen before a user may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the user stands as it should.
    Stands,
    /// The whole user is written.
    Write(Reason),
}

/// Why a user is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The cluster has no user of that name.
    Absent,
    /// Roles, groups, names or mail are others than those of this request.
    Changed,
    /// The user stands with the password of another period or key.
    Rotated,
    /// The user was somebody else's and is taken over.
    Adopted,
}

impl Reason {
    /// A word for a log line.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Absent => "first login",
            Self::Changed => "changed",
            Self::Rotated => "new password period",
            Self::Adopted => "taken over",
        }
    }

    fn step(self) -> Step {
        match self {
            Self::Absent => Step::WrittenFirst,
            Self::Changed => Step::WrittenChanged,
            Self::Rotated => Step::WrittenRotated,
            Self::Adopted => Step::WrittenAdopted,
        }
    }

    fn kind(self) -> Kind {
        match self {
            Self::Absent | Self::Changed => Kind::UserWritten,
            Self::Rotated => Kind::UserRotated,
            Self::Adopted => Kind::UserAdopted,
        }
    }
}

/// Whether a cluster that answers so may take the same user with the password in clear. Older
/// versions call it a validation error.
fn refuses_the_hash(error: &CallError) -> bool {
    error.status() == Some(StatusCode::BAD_REQUEST)
        && matches!(
            error.error_type(),
            Some("illegal_argument_exception" | "validation_exception" | "parse_exception")
        )
}

/// What failed, with all that is known; whoever waits for the flight says it in its own line.
fn failed(step: &str, error: &CallError) -> BrokerError {
    BrokerError::Cluster(told(step, error).into())
}

/// The same for a call of the service account, whose refusal is a matter of its own.
fn refused_or_failed(step: &str, error: &CallError) -> BrokerError {
    // By all nodes, as far as they answer: one alone says so without its security index, too.
    if error.is_refusal() {
        BrokerError::ServiceAccount(told(step, error).into())
    } else {
        failed(step, error)
    }
}

fn told(step: &str, error: &CallError) -> String {
    format!("cannot {step}: {}", chain(error))
}
