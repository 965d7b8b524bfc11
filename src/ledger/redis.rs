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
//!
//! So a user who is active on every replica costs one command in each `cache.expiration`, from the
//! replica whose recheck comes first. What two replicas ask in the same few milliseconds costs two.
//! An answer that cannot be stored, because something else is stored, is reported to nobody, and
//! the next update reads what is.

mod address;
mod connector;
mod health;
mod invalid;
mod limits;
mod link;
mod names;
mod outbox;
mod refusal;
mod scripts;
mod sender;
mod state;
mod subscription;

pub use address::{Config, InvalidAddress, Node, Topology};
pub use connector::SetUpError;
pub use limits::DEADLINE;

use super::{
    memory::Memory,
    message::Event,
    seal,
    types::{Expected, Fact, Found, How, Kind, Others, PENDING_FOR, StoreState, Target},
    update::Update,
};
use crate::{
    clock::{Clock, Timestamp},
    keys::Keyring,
    model::Username,
    shutdown::Tasks,
    telemetry::clocks::ClockCheck,
};
use connector::Connector;
use health::{Health, Part};
use link::{AskError, Link};
use names::Names;
use outbox::Action;
use scripts::millis;
use state::State;
use std::{fmt, sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// The store.
pub(super) struct Redis(Arc<State>);

/// User, password and certificates of a new configuration, ready to be used.
pub struct Access(Connector);

impl Config {
    /// Reads the certificates of the connection.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn access(&self) -> Result<Access, SetUpError> {
        Connector::new(self).map(Access)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl Redis {
    /// Starts to connect, and does not wait for it.
    pub(super) fn start(
        config: &Config,
        keys: Arc<Keyring>,
        expiration: Duration,
        memory: Arc<Memory>,
        clock: Clock,
        tasks: &Tasks,
        clocks: &ClockCheck,
    ) -> Result<Self, SetUpError> {
        let health = Arc::new(Health::new(clock.clone()));
        let link = Link::new(Connector::new(config)?, Arc::clone(&health));
        let names = Names::new(keys).map_err(|_| SetUpError::NoRandomness)?;
        let state = Arc::new(State::new(
            link,
            health,
            names,
            expiration,
            memory,
            clock,
            clocks.clone(),
        ));
        // The connection is needed until the outbox has been sent, also after the end has begun.
        let sent = CancellationToken::new();
        let (linked, until) = (Arc::clone(&state), sent.clone());
        tasks.spawn(async move {
            until.run_until_cancelled(linked.link.keep()).await;
        });
        let (subscribed, ending) = (Arc::clone(&state), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = subscription::keep(&subscribed) => {}
                () = subscription::send_heartbeats(&subscribed) => {}
                () = ending.ending() => {}
            }
        });
        let (sending, ending) = (Arc::clone(&state), tasks.clone());
        tasks.spawn(async move {
            sender::run(&sending, &ending).await;
            sent.cancel();
        });
        Ok(Self(state))
    }

    pub(super) fn state(&self) -> Result<(), String> {
        self.0.health.state()
    }

    pub(super) fn replace(&self, access: Access) {
        self.0.link.replace(access.0);
    }

    /// What is stored about the user, where that is known without asking.
    pub(super) fn as_remembered(&self, update: &Update) -> Option<Found> {
        let (state, target) = (&self.0, &update.target);
        let StoreState::At(at) = update.begun.stored else {
            return None;
        };
        let age = state.clock.now().since(at);
        if age.is_some_and(|age| age >= state.kept_for) {
            return None;
        }
        Some(Found {
            fact: Some(Fact::about(target, Kind::Present, at)),
            value: Some(state.names.value(target, Kind::Present, at)),
        })
    }

    /// What is stored about the user; `None` where Redis could not be asked.
    pub(super) async fn look(&self, target: &Target) -> Option<Found> {
        let (state, key) = (&self.0, self.0.names.of(target));
        match state.link.ask(&state.scripts.look(&key), DEADLINE).await {
            Ok(value) => {
                state.health.set(Part::Reads, None);
                let value: Option<Vec<u8>> = value;
                let fact = value.as_deref().and_then(|value| state.open(target, value));
                Some(Found { fact, value })
            }
            Err(error) => {
                state.failed(Part::Reads, &error);
                None
            }
        }
    }

    /// Stores "write pending" and reports it to the other replicas. If that cannot be done in time
    /// it is done later, without holding up the write.
    pub(super) async fn begin_write(&self, target: &Target, now: Timestamp) -> Expected {
        let state = &self.0;
        let pending = state.names.value(target, Kind::WritePending, now);
        let changed = Event::Changed(target.user.clone(), target.fingerprint);
        let Some(message) = state.names.message(state.names.keys_of(target), changed) else {
            return Expected::Unknown;
        };
        let key = state.names.of(target);
        let begin = state.scripts.begin(
            &key,
            &pending,
            millis(PENDING_FOR),
            state.names.channel(),
            &message,
        );
        match state.link.ask::<Option<Vec<u8>>>(&begin, DEADLINE).await {
            Ok(old) => {
                state.health.set(Part::Writes, None);
                let old = old.and_then(|old| state.open(target, &old));
                if old.is_some_and(|fact| fact.is_pending()) {
                    Expected::OtherWrite
                } else {
                    Expected::Value(pending)
                }
            }
            Err(error) => {
                state.failed(Part::Writes, &error);
                // To forget takes no memory: it works where Redis is full.
                if let Some(entry) = state
                    .names
                    .forgetting(state.names.keys_of(target), &target.user)
                    && (!matches!(error, AskError::Refused(_))
                        || sender::forget(state, &entry, DEADLINE).await.is_err())
                {
                    state.put(entry);
                }
                Expected::Unknown
            }
        }
    }

    /// Removes what is stored about the user, under whichever key, and reports it to the others.
    pub(super) fn forget(&self, user: &Username) -> Others {
        self.0.forget(self.0.names.all_keys(), user);
        if self.0.link.is_up() {
            Others::Reported
        } else {
            Others::ReportedLater
        }
    }

    /// The user is as the update wanted it; `uncontradicted` unless another replica has reported
    /// something else meanwhile.
    pub(super) fn present(&self, update: &Update, now: Timestamp, how: How, uncontradicted: bool) {
        let (state, target) = (&self.0, &update.target);
        let value = state.names.value(target, Kind::Present, now);
        let (user, fingerprint) = (target.user.clone(), target.fingerprint);
        let (action, event) = match (how, &update.expected, &update.found) {
            (How::Written, Expected::Unknown, _) => {
                state.forget([state.names.keys_of(target)].into_iter(), &user);
                return;
            }
            (How::Written, expected, _) => {
                let instead_of = match expected {
                    Expected::Value(pending) if uncontradicted => seal::subject(pending).to_vec(),
                    Expected::Value(_) | Expected::OtherWrite | Expected::Unknown => Vec::new(),
                };
                let action = Action::Written { instead_of, value };
                (action, Event::Changed(user, fingerprint))
            }
            (How::Confirmed, _, Some(found))
                if uncontradicted
                    && !found.fact.is_some_and(|fact| fact.is_pending())
                    && !state.was_confirmed_meanwhile(update) =>
            {
                let instead_of = found.value.clone().unwrap_or_default();
                let action = Action::Confirmed { instead_of, value };
                (action, Event::Confirmed(user, fingerprint, now))
            }
            (How::Confirmed, _, _) => return,
        };
        if let Some(entry) = state.names.entry(target, action, event) {
            state.put(entry);
        }
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}
