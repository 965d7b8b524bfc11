//! Something fetched when it is first needed, kept for ever, and fetched again when it has aged or
//! somebody misses something in it.
//!
//! At most one fetch is in the air. After a good one there is a cool-down, after a failed one a
//! wait that doubles; whoever asks in that time gets what is there. So no number of requests makes
//! more than one fetch in a cool-down. A fetch runs on its own task: it does not end with the
//! client that caused it.

use super::IdpError;
use crate::{
    clock::{Clock, Timestamp},
    shutdown::Tasks,
    telemetry::chain,
};
use std::{
    fmt,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// The first wait after a failure. A provider that restarts is back in seconds.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// The longest. A provider that was away for an hour is found again within half a minute.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// There is nothing yet that could age, or somebody is fetching it.
const NEVER: u64 = u64::MAX;

/// How often it may be fetched, and when it must.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Between the beginning of a good fetch and the next.
    pub(super) cool_down: Duration,
    /// After this it is fetched again, where the answer says nothing else.
    pub(super) lifetime: Duration,
    /// No answer can make it shorter,
    pub(super) shortest: Duration,
    /// or longer.
    pub(super) longest: Duration,
}

/// What was fetched, with its age.
pub(super) struct Fetched<T> {
    /// Whose it is, for logs.
    issuer: Arc<str>,
    state: Mutex<State<T>>,
    /// From when on, in milliseconds, it should be fetched again even if nobody asks for it. Beside
    /// the lock, so that a look costs next to nothing.
    due: AtomicU64,
    pace: Pace,
    clock: Clock,
    tasks: Tasks,
}

struct State<T> {
    value: Option<Arc<T>>,
    /// When the value came.
    came: Timestamp,
    /// How long it is good from then on.
    lifetime: Duration,
    /// When the last fetch began, and how long the next one waits from then on.
    began: Option<(Timestamp, Duration)>,
    failures: u32,
    error: Option<IdpError>,
    landing: Option<Landing>,
}

/// Turns true when the fetch is over.
pub(super) type Landing = watch::Receiver<bool>;

/// How old a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// Good.
    Fresh,
    /// To be fetched again; good enough meanwhile.
    Due,
    /// Nobody has asked for so long that it should not be used without trying first.
    Stale,
}

/// What came of the wish for a fetch.
pub(super) enum Wish {
    /// It is in the air.
    Aloft(Landing),
    /// It is too early for another one. The error is that of the last one, if it failed.
    TooEarly(Option<IdpError>),
}

impl<T: Send + Sync + 'static> Fetched<T> {
    pub(super) fn new(issuer: Arc<str>, pace: Pace, clock: Clock, tasks: Tasks) -> Self {
        let state = State {
            value: None,
            came: Timestamp::default(),
            lifetime: pace.lifetime,
            began: None,
            failures: 0,
            error: None,
            landing: None,
        };
        Self {
            issuer,
            state: Mutex::new(state),
            due: AtomicU64::new(NEVER),
            pace,
            clock,
            tasks,
        }
    }

    /// What is there.
    pub(super) fn current(&self) -> Option<(Arc<T>, Age)> {
        let now = self.clock.now();
        let state = self.state();
        let value = Arc::clone(state.value.as_ref()?);
        // A clock that was set back makes it due: nobody knows its age.
        let age = match now.since(state.came) {
            Some(past) if past < state.lifetime => Age::Fresh,
            // While the provider is away, nobody waits for it: what is known goes on.
            Some(past) if past >= state.lifetime * 2 && state.failures == 0 => Age::Stale,
            Some(_) | None => Age::Due,
        };
        Some((value, age))
    }

    /// Whether it has aged and nobody is fetching it. For those who live off what was made of it
    /// earlier and would not notice.
    pub(super) fn is_due(&self) -> bool {
        self.clock.now().0 >= self.due.load(Ordering::Relaxed)
    }

    /// Why the last fetch failed, if it did.
    pub(super) fn error(&self) -> Option<IdpError> {
        self.state().error.clone()
    }

    /// Joins the fetch that is in the air or begins one, if it is not too early.
    pub(super) fn fetch<F>(
        self: &Arc<Self>,
        make: impl FnOnce() -> F,
        replaced: impl FnOnce(&T, &T) + Send + 'static,
    ) -> Wish
    where
        F: Future<Output = Result<(T, Option<Duration>), IdpError>> + Send + 'static,
    {
        let now = self.clock.now();
        let mut state = self.state();
        // A fetch that crashed has dropped its end of the channel: the next one takes its place.
        if let Some(landing) = state
            .landing
            .as_ref()
            .filter(|landing| landing.has_changed().is_ok())
        {
            return Wish::Aloft(landing.clone());
        }
        if let Some((began, wait)) = state.began
            && now.since(began).is_some_and(|past| past < wait)
        {
            return Wish::TooEarly(state.error.clone());
        }
        let (done, landing) = watch::channel(false);
        state.landing = Some(landing.clone());
        state.began = Some((now, self.pace.cool_down));
        self.due.store(NEVER, Ordering::Relaxed);
        drop(state);
        let (this, work) = (Arc::clone(self), make());
        self.tasks.spawn(async move {
            let outcome = work.await;
            this.land(now, outcome, replaced);
            done.send_replace(true);
        });
        Wish::Aloft(landing)
    }

    fn land(
        &self,
        began: Timestamp,
        outcome: Result<(T, Option<Duration>), IdpError>,
        replaced: impl FnOnce(&T, &T),
    ) {
        let mut state = self.state();
        state.landing = None;
        match outcome {
            Ok((value, max_age)) => {
                let lifetime = max_age
                    .unwrap_or(self.pace.lifetime)
                    .clamp(self.pace.shortest, self.pace.longest);
                if let Some(old) = &state.value {
                    replaced(old, &value);
                }
                if state.failures > 0 {
                    tracing::info!(issuer = %self.issuer, "the identity provider is back");
                }
                state.value = Some(Arc::new(value));
                state.came = self.clock.now();
                // Replicas that start together do not ask together.
                state.lifetime = spread(lifetime, random_byte());
                state.failures = 0;
                state.error = None;
                self.due
                    .store(state.came.after(state.lifetime).0, Ordering::Relaxed);
            }
            Err(error) => {
                if state.failures == 0 {
                    tracing::warn!(issuer = %self.issuer, reason = %chain(&error), known = state.value.is_some(), "the identity provider cannot be asked");
                }
                let doubled = FIRST_BACKOFF.saturating_mul(
                    1_u32
                        .checked_shl(state.failures.min(16))
                        .unwrap_or(u32::MAX),
                );
                let wait = spread(doubled.min(LONGEST_BACKOFF), random_byte());
                state.began = Some((began, wait));
                if state.value.is_some() {
                    self.due.store(began.after(wait).0, Ordering::Relaxed);
                }
                state.failures = state.failures.saturating_add(1);
                state.error = Some(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Nothing under this lock leaves a state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> fmt::Debug for Fetched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetched")
            .field("pace", &self.pace)
            .finish_non_exhaustive()
    }
}

/// A tenth less up to a tenth more.
fn spread(wait: Duration, random: u8) -> Duration {
    wait * (900 + u32::from(random) * 200 / 255) / 1_000
}

/// Spreads things out; nothing depends on it being hard to guess.
fn random_byte() -> u8 {
    let mut byte = [0];
    let _spread_less = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}
