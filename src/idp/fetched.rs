//! A value that is fetched when it is first needed, never dropped, and fetched again when it has
//! aged or lacks what is looked for.
//!
//! At most one fetch is under way. A few may follow each other at once, and then one in each
//! cool-down; after a failed one there is a wait that doubles. Until then all requests get the
//! known value, so no number of requests makes more fetches than that.

use super::{endpoint::EndpointKind, error::IdpError};
use crate::{
    backoff::{Backoff, spread},
    clock::{Clock, Timestamp},
    rate::{Bucket, Rate},
    shutdown::Tasks,
    single_flight::{Full, Run, SingleFlight},
    telemetry::chain,
};
use std::{
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::timeout;

/// A provider that restarts is back in seconds.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// A provider that was away for an hour is found again within half a minute.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Fetches that may follow each other at once. A provider that changes its key while elastauth
/// starts, or while somebody tries tokens with made-up keys, is still heard at once.
const BURST: u32 = 3;

/// There is nothing yet that could age, or it is being fetched.
const NEVER: u64 = u64::MAX;

/// How often it may be fetched, and when it must.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between the beginnings of two fetches, when the burst is used up.
    pub(super) cool_down: Duration,
    /// After this it is fetched again, where the answer says nothing else.
    pub(super) lifetime: Duration,
    /// No answer can make it shorter,
    pub(super) shortest: Duration,
    /// or longer.
    pub(super) longest: Duration,
}

/// What was fetched, with its age.
#[derive(Debug)]
pub(super) struct Fetched<T> {
    what: EndpointKind,
    /// Whose it is, for logs.
    issuer: Arc<str>,
    state: Mutex<FetchState<T>>,
    /// From when on, in milliseconds, it should be fetched again even if it is not asked for, and
    /// when that was found out. Beside the lock, so that a look costs next to nothing.
    due: AtomicU64,
    due_since: AtomicU64,
    fetches: SingleFlight<(), (), ()>,
    pace: Pace,
    clock: Clock,
}

#[derive(Debug)]
struct FetchState<T> {
    value: Option<Arc<T>>,
    fetched_at: Timestamp,
    lifetime: Duration,
    /// What is left of the burst.
    bucket: Option<Bucket>,
    /// When the last fetch began if it failed, and how long the next one waits from then on.
    failed: Option<(Timestamp, Duration)>,
    backoff: Backoff,
    /// Why the last fetch failed, if it did.
    error: Option<IdpError>,
}

/// A fetch that is under way.
pub(super) type Fetch = Run<(), ()>;

/// It is too early for another fetch. The error is that of the last one, if it failed.
#[derive(Debug)]
pub(super) struct TooEarly(Option<IdpError>);

impl From<Full> for TooEarly {
    fn from(_: Full) -> Self {
        Self(Some(IdpError::Busy))
    }
}

/// How old a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    Fresh,
    /// To be fetched again; good enough meanwhile.
    Due,
    /// It was not asked for so long that it should not be used before another fetch is tried.
    Stale,
}

impl<T: Send + Sync + 'static> Fetched<T> {
    pub(super) fn new(
        what: EndpointKind,
        issuer: Arc<str>,
        pace: Pace,
        clock: Clock,
        tasks: Tasks,
    ) -> Self {
        let state = FetchState {
            value: None,
            fetched_at: Timestamp::default(),
            lifetime: pace.lifetime,
            bucket: None,
            failed: None,
            backoff: Backoff::new(FIRST_BACKOFF, LONGEST_BACKOFF),
            error: None,
        };
        Self {
            what,
            issuer,
            state: Mutex::new(state),
            due: AtomicU64::new(NEVER),
            due_since: AtomicU64::new(0),
            fetches: SingleFlight::new(1, |()| None, tasks, clock.clone()),
            pace,
            clock,
        }
    }

    pub(super) fn current(&self) -> Option<(Arc<T>, Age)> {
        let now = self.clock.now();
        let state = self.state();
        let value = Arc::clone(state.value.as_ref()?);
        // A clock that was set back makes it due: its age is not known.
        let age = match now.since(state.fetched_at) {
            Some(past) if past < state.lifetime => Age::Fresh,
            // While the provider is away, no request waits for it: known keys are used.
            Some(past) if past >= state.lifetime * 2 && state.error.is_none() => Age::Stale,
            Some(_) | None => Age::Due,
        };
        Some((value, age))
    }

    /// Whether it has aged and is not being fetched. After a clock was set back its age is not
    /// known, and it is due.
    pub(super) fn is_due(&self) -> bool {
        let now = self.clock.now().0;
        now >= self.due.load(Ordering::Relaxed) || now < self.due_since.load(Ordering::Relaxed)
    }

    fn set_due(&self, since: Timestamp, wait: Duration) {
        self.due_since.store(since.0, Ordering::Relaxed);
        self.due.store(since.after(wait).0, Ordering::Relaxed);
    }

    pub(super) fn error(&self) -> Option<IdpError> {
        self.state().error.clone()
    }

    /// Joins the fetch that is under way or begins one, if it is not too early.
    pub(super) fn fetch<F>(
        self: &Arc<Self>,
        work: impl FnOnce() -> F,
        replaced: impl FnOnce(&T, &T) + Send + 'static,
    ) -> Result<Fetch, TooEarly>
    where
        F: Future<Output = Result<(T, Option<Duration>), IdpError>> + Send + 'static,
    {
        self.fetches.join(&(), (), || {
            let now = self.clock.now();
            let mut state = self.state();
            let waits = (state.failed)
                .is_some_and(|(began, wait)| now.since(began).is_some_and(|past| past < wait));
            let rate = Rate::burst(BURST, self.pace.cool_down);
            let taken = rate.after_taking_one(state.bucket, now);
            let Some(bucket) = taken.filter(|_| !waits) else {
                return Err(TooEarly(state.error.clone()));
            };
            state.bucket = Some(bucket);
            self.due_since.store(0, Ordering::Relaxed);
            self.due.store(NEVER, Ordering::Relaxed);
            let (this, work) = (Arc::clone(self), work());
            Ok(async move {
                let result = work.await;
                this.finished(now, result, replaced);
            })
        })
    }

    /// Waits for a fetch; why it brought nothing, if so. A fetch that crashed is no error here:
    /// what is there decides.
    pub(super) async fn wait(
        &self,
        fetch: Result<Fetch, TooEarly>,
        patience: Duration,
    ) -> Option<IdpError> {
        match fetch {
            Err(TooEarly(error)) => Some(error.unwrap_or(IdpError::TooSoon(self.what))),
            Ok(fetch) => match timeout(patience, fetch.result()).await {
                Ok(_finished) => self.error(),
                Err(_elapsed) => Some(IdpError::Late(self.what)),
            },
        }
    }

    fn finished(
        &self,
        began: Timestamp,
        result: Result<(T, Option<Duration>), IdpError>,
        replaced: impl FnOnce(&T, &T),
    ) {
        let mut state = self.state();
        match result {
            Ok((value, max_age)) => {
                let lifetime = max_age
                    .unwrap_or(self.pace.lifetime)
                    .clamp(self.pace.shortest, self.pace.longest);
                if let Some(old) = &state.value {
                    replaced(old, &value);
                }
                if state.error.take().is_some() {
                    tracing::info!(issuer = %self.issuer, "the identity provider is back");
                }
                state.value = Some(Arc::new(value));
                state.fetched_at = self.clock.now();
                // Replicas that start together do not ask together.
                state.lifetime = spread(lifetime, 10);
                state.backoff.reset();
                state.failed = None;
                self.set_due(state.fetched_at, state.lifetime);
            }
            Err(error) => {
                if state.error.is_none() {
                    tracing::warn!(
                        issuer = %self.issuer,
                        reason = %chain(&error),
                        known = state.value.is_some(),
                        "the identity provider cannot be asked"
                    );
                }
                let wait = state.backoff.failed();
                state.failed = Some((began, wait));
                if state.value.is_some() {
                    self.set_due(began, wait);
                }
                state.error = Some(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, FetchState<T>> {
        // Nothing under this lock leaves a state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
