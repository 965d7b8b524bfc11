//! Facts that replicas share through Redis.
//!
//! Redis is never on the way of a known user. An update asks it at most once and reports once, each
//! within [`DEADLINE`]; whatever else has to be reported waits in a bounded outbox. A Redis that is
//! slow, full, read-only, lost or lying costs calls to the cluster, never a login.
//!
//! What keeps the facts right while several replicas write:
//! - Before a write is sent, its replica stores "write pending" instead of the fact and reports it
//!   to the others, in one step. Only if that is still stored when the write has ended, the new
//!   fact replaces it; otherwise another replica wrote meanwhile, and nothing is left that could be
//!   wrong.
//! - A replica that finds "write pending" at the beginning of its own write leaves it there at the
//!   end: the other write may be lost, and take effect long after this one has ended. What is
//!   learnt meanwhile is used for ten seconds.
//! - A replica that only asked the cluster stores the answer only instead of what it knew to be
//!   stored before it asked: nothing has changed in Redis since. It has read that value, or has
//!   stored it, or another replica has reported it, and it has received every change since. A
//!   value follows from what it says, so it need not be read to be compared.
//! - Every replica receives a message of each change (`subscription`) and drops what it remembers.
//!   A replica without a subscription uses its memory for ten seconds.
//! - Every replica receives a message of each answer that was stored. A replica that remembers the
//!   same, and has received every change of it, uses it as long as if it had asked the cluster
//!   itself. Such a message makes no entry, revives none that was contradicted, and ends no pending
//!   write: it prolongs what is there.
//! - After an outage, nothing that was stored before it is used: changes may be missing.
//! - Messages have numbers, and heartbeats say how far they must have been received. A number that
//!   is missing is handled like an outage; a message that comes again is ignored (`senders`).
//!
//! So a user who is active on every replica costs one command in each `cache.expiration`, from the
//! replica whose recheck comes first. What two replicas ask in the same few milliseconds costs two.
//! An answer that cannot be stored, because something else is stored, is reported to nobody, and
//! the next update reads what is.

mod address;
mod connector;
mod health;
mod link;
mod namespace;
mod numbers;
mod outbox;
mod refusal;
mod scripts;
mod sender;
mod senders;
mod sentinels;
mod server;
mod state;
mod subscription;

pub use address::{Config, RedisNode, Topology};
pub use connector::DEADLINE;
pub(crate) use connector::SetUpError;
#[cfg(test)]
pub(super) use senders::{Senders, Taken};
pub(super) use state::Redis;

use super::{
    context::LedgerContext,
    memory::Memory,
    message::Event,
    seal,
    types::{Expected, Fact, Found, How, Kind, Others, PENDING_FOR, StoreState, Target},
    update::Update,
};
use crate::{
    clock::Timestamp,
    model::Username,
    rate::{Limiter, Rate},
};
use connector::Connector;
use health::{Health, Part};
use link::{AskError, Link};
use namespace::Namespace;
use numbers::Numbers;
use outbox::{Action, Outbox};
use std::{
    fmt,
    sync::{Arc, atomic::AtomicU64},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// User, password and certificates of a new configuration, ready to be used.
pub struct RedisAccess(Connector);

impl Config {
    /// Reads the certificates of the connection.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn access(&self) -> Result<RedisAccess, SetUpError> {
        Connector::new(self).map(RedisAccess)
    }
}

impl fmt::Debug for RedisAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisAccess").finish_non_exhaustive()
    }
}

impl Redis {
    /// Starts to connect, and does not wait for it.
    pub(super) fn start(
        config: &Config,
        memory: &Arc<Memory>,
        context: LedgerContext,
    ) -> Result<Arc<Self>, SetUpError> {
        let health = Arc::new(Health::new(context.clock.clone()));
        let tasks = context.tasks.clone();
        let redis = Arc::new(Self {
            link: Link::new(Connector::new(config)?, Arc::clone(&health)),
            health,
            namespace: Namespace::new(&context.keys.cluster)
                .map_err(|_| SetUpError::NoRandomness)?,
            memory: Arc::clone(memory),
            outbox: Outbox::default(),
            numbers: Numbers::default(),
            replays: Limiter::new(Rate::a_minute(1)),
            losses: Limiter::new(Rate::a_minute(1)),
            kept_for: context.expiration.saturating_mul(2),
            heartbeat_due: Notify::new(),
            outage_ended: AtomicU64::new(0),
            foreign_at: AtomicU64::new(0),
            has_logged_damage: false.into(),
            context,
        });
        // The connection is needed until the outbox has been sent, also after the end has begun.
        let sent = CancellationToken::new();
        let (linked, until) = (Arc::clone(&redis), sent.clone());
        tasks.spawn(async move {
            until.run_until_cancelled(linked.link.keep()).await;
        });
        let subscribed = Arc::clone(&redis);
        tasks.spawn(async move {
            tokio::select! {
                () = subscription::keep(&subscribed) => {}
                () = subscription::send_heartbeats(&subscribed) => {}
                () = subscribed.context.tasks.ending() => {}
            }
        });
        let sending = Arc::clone(&redis);
        tasks.spawn(async move {
            sender::run(&sending).await;
            sent.cancel();
        });
        Ok(redis)
    }

    pub(super) fn state(&self) -> Result<(), &'static str> {
        self.health.state()
    }

    pub(super) fn replace(&self, access: RedisAccess) {
        self.link.replace(access.0);
    }

    /// What is stored about the user, where that is known without asking.
    pub(super) fn as_remembered(&self, update: &Update) -> Option<Found> {
        let StoreState::At(at) = update.begun.stored else {
            return None;
        };
        let age = self.context.clock.now().since(at);
        if age.is_some_and(|age| age >= self.kept_for) {
            return None;
        }
        Some(Found {
            fact: Some(Fact::about(&update.target, Kind::Present, at)),
            value: Some(self.value(&update.target, Kind::Present, at)),
        })
    }

    /// What is stored about the user; `None` where Redis could not be asked.
    pub(super) async fn look(&self, target: &Target) -> Option<Found> {
        let look = scripts::look(&self.namespace.name(self.keys(target), &target.user));
        match self.link.ask::<Option<Vec<u8>>>(&look, DEADLINE).await {
            Ok(value) => {
                self.health.set(Part::Reads, None);
                let fact = value.as_deref().and_then(|value| self.open(target, value));
                Some(Found { fact, value })
            }
            Err(error) => {
                self.failed(Part::Reads, &error);
                None
            }
        }
    }

    /// Stores "write pending" and reports it to the other replicas. If that cannot be done in time,
    /// the stored fact is removed later instead; the write does not wait for it.
    pub(super) async fn begin_write(&self, target: &Target, now: Timestamp) -> Expected {
        let (namespace, keys) = (&self.namespace, self.keys(target));
        let pending = self.value(target, Kind::WritePending, now);
        let changed = Event::Changed(target.user.clone(), target.fingerprint);
        let Ok((message, number)) = self.message(keys, changed) else {
            return Expected::Unknown;
        };
        let begin = scripts::begin(
            &namespace.name(keys, &target.user),
            &pending,
            PENDING_FOR,
            &namespace.channel,
            &message,
        );
        match self.link.ask::<Option<Vec<u8>>>(&begin, DEADLINE).await {
            Ok(old) => {
                number.published();
                self.health.set(Part::Writes, None);
                match old.and_then(|old| self.open(target, &old)) {
                    Some(fact) if fact.generation > target.generation => {
                        Expected::LaterLogin(fact.generation)
                    }
                    Some(fact) if fact.is_pending() => Expected::OtherWrite,
                    Some(_) | None => Expected::Value(pending),
                }
            }
            Err(error) => {
                self.failed(Part::Writes, &error);
                // To forget takes no memory: it works where Redis is full.
                drop(number);
                let entry = namespace.forgetting(keys, &target.user);
                if !matches!(error, AskError::Refused(_))
                    || sender::forget(self, &entry, DEADLINE).await.is_err()
                {
                    self.put(entry);
                }
                Expected::Unknown
            }
        }
    }

    /// Removes what is stored about the user, under whichever key, and reports it to the others.
    pub(super) fn forget(&self, user: &Username) -> Others {
        for keys in self.context.keys.all() {
            self.forget_under(&keys.store, user);
        }
        self.others()
    }

    /// What other replicas learn of a change.
    pub(super) fn others(&self) -> Others {
        if self.link.is_up() {
            Others::Reported
        } else {
            Others::ReportedLater
        }
    }

    /// The user is as the update wanted it; `uncontradicted` unless another replica has reported
    /// something else meanwhile.
    pub(super) fn present(&self, update: &Update, now: Timestamp, how: How, uncontradicted: bool) {
        let target = &update.target;
        let (user, fingerprint) = (target.user.clone(), target.fingerprint);
        let (instead_of, event) = match (how, &update.expected, &update.found) {
            (How::Written, Expected::Unknown, _) => {
                self.forget_under(self.keys(target), &user);
                return;
            }
            (How::Written, expected, _) => {
                let instead_of = match expected {
                    Expected::Value(pending) if uncontradicted => seal::subject(pending).to_vec(),
                    Expected::Value(_)
                    | Expected::OtherWrite
                    | Expected::LaterLogin(_)
                    | Expected::Unknown => Vec::new(),
                };
                (instead_of, Event::Changed(user, fingerprint))
            }
            (How::Confirmed, _, Some(found))
                if uncontradicted
                    && !found.fact.is_some_and(|fact| fact.is_pending())
                    && !self.was_confirmed_meanwhile(update) =>
            {
                let instead_of = found.value.clone().unwrap_or_default();
                (instead_of, Event::Confirmed(user, fingerprint, now))
            }
            (How::Confirmed, _, _) => return,
        };
        let store = Action::Store {
            how,
            instead_of,
            value: self.value(target, Kind::Present, now),
        };
        let keys = self.keys(target);
        self.put(self.namespace.entry(keys, &target.user, store, event));
    }
}
