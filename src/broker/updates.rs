//! Updates of users: at most one a user at a time, finished even if nobody waits for it any more.

use super::{error::BrokerError, places::Class};
use crate::{
    clock::Clock,
    model::{Fingerprint, Generation, Username},
    shutdown::Tasks,
    single_flight::{Full, SingleFlight},
    telemetry::{metrics::ClusterMetrics, traces},
};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::sync::{Semaphore, oneshot};

/// Users with a running update or a fresh failure. Each waits for a handful of calls; more than
/// this is a flood, and refusing keeps it small.
const MOST: usize = 4_096;
/// How many of the running updates may be of new users: the others are for known users.
const NEW_USERS: usize = 3_072;
/// How long a failure answers those who ask for the same again: a cluster that is down is asked
/// once a second for a user, not once a request.
const FAILURE_LASTS: Duration = Duration::from_secs(1);

/// The question of work that is no update. No user has this fingerprint.
const ALONE: Fingerprint = Fingerprint([0; 16]);

#[derive(Debug)]
pub(super) struct Updates {
    flights: SingleFlight<Username, Fingerprint, Result<Generation, BrokerError>>,
    new_users: Arc<Semaphore>,
    metrics: ClusterMetrics,
}

/// What became of the wish to update a user to some fingerprint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The result of an update to this very fingerprint: the generation that the login has now.
    Same(Result<Generation, BrokerError>),
    /// An update to another fingerprint was running and has ended: ask again.
    Other,
}

impl Updates {
    pub(super) fn new(tasks: Tasks, clock: Clock, metrics: ClusterMetrics) -> Self {
        Self {
            flights: SingleFlight::new(MOST, kept_for, tasks, clock),
            new_users: Arc::new(Semaphore::new(NEW_USERS)),
            metrics,
        }
    }

    /// Waits for the running update of this user, or starts one with `work`. Dropping the wait does
    /// not touch the update.
    pub(super) async fn join<F>(
        &self,
        user: &Username,
        class: Class,
        fingerprint: Fingerprint,
        work: impl FnOnce() -> F,
    ) -> Joined
    where
        F: Future<Output = Result<Generation, BrokerError>> + Send + 'static,
    {
        let update = self.flights.join(user, fingerprint, || {
            let share = match class {
                Class::Known => None,
                Class::New => {
                    let share = Arc::clone(&self.new_users).try_acquire_owned();
                    Some(share.map_err(|_| BrokerError::Busy)?)
                }
            };
            let (work, counted) = (
                traces::with_current_span(work()),
                self.metrics.update_in_flight(),
            );
            Ok(async move {
                let result = work.await;
                drop((counted, share));
                result
            })
        });
        match update {
            Err(refused) => Joined::Same(Err(refused)),
            Ok(update) => {
                let same = update.is_for(&fingerprint);
                let result = update.result().await.unwrap_or(Err(BrokerError::Crashed));
                if same {
                    Joined::Same(result)
                } else {
                    Joined::Other
                }
            }
        }
    }

    /// Runs `work` on this user while no update of them runs; waits for one that does. Dropping the
    /// wait does not touch the work.
    pub(super) async fn alone<T, F>(
        &self,
        user: &Username,
        work: impl FnOnce() -> F,
    ) -> Result<T, BrokerError>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let mut work = Some(work);
        loop {
            let mut begun = None;
            let other = self.flights.join(user, ALONE, || {
                let work = work.take().ok_or(BrokerError::Crashed)?;
                let (done, result) = oneshot::channel();
                begun = Some(result);
                let (work, counted) = (
                    traces::with_current_span(work()),
                    self.metrics.update_in_flight(),
                );
                Ok::<_, BrokerError>(async move {
                    let _nobody_waits = done.send(work.await);
                    drop(counted);
                    Ok(Generation::default())
                })
            })?;
            match begun {
                Some(result) => return result.await.map_err(|_| BrokerError::Crashed),
                None => drop(other.result().await),
            }
        }
    }

    /// Runs `work` on this user if nothing runs on them, and nobody else does meanwhile; `None` if
    /// something does. Dropping the wait does not touch the work.
    pub(super) async fn if_idle<T, F>(
        &self,
        user: &Username,
        work: impl FnOnce() -> F,
    ) -> Option<Result<T, BrokerError>>
    where
        F: Future<Output = Result<T, BrokerError>> + Send + 'static,
        T: Send + 'static,
    {
        let mut begun = None;
        let joined = self.flights.join(user, ALONE, || {
            let (done, result) = oneshot::channel();
            begun = Some(result);
            let (work, counted) = (work(), self.metrics.update_in_flight());
            Ok::<_, BrokerError>(async move {
                let _nobody_waits = done.send(work.await);
                drop(counted);
                Ok(Generation::default())
            })
        });
        if let Err(refused) = joined {
            return Some(Err(refused));
        }
        Some(begun?.await.unwrap_or(Err(BrokerError::Crashed)))
    }

    /// Forgets a failure that would answer the next request.
    pub(super) fn forget_failure(&self, user: &Username) {
        self.flights.forget(user);
    }
}

/// How long a result answers the same question. Limits judge each request again: the one that keeps
/// the roles as they are may pass. So does the order of tokens: a newer token may say the same.
fn kept_for(result: &Result<Generation, BrokerError>) -> Option<Duration> {
    match result {
        Ok(_) | Err(BrokerError::WriteBudget | BrokerError::Outdated { .. }) => None,
        Err(_) => Some(FAILURE_LASTS),
    }
}

impl From<Full> for BrokerError {
    fn from(_: Full) -> Self {
        Self::Busy
    }
}

/// What a single flight does in general is tested there.
#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    const FIRST: Generation = Generation(0);
    const ONE: Fingerprint = Fingerprint([1; 16]);
    const TWO: Fingerprint = Fingerprint([2; 16]);

    fn updates() -> (Updates, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(1_000_000));
        let clock = Clock::Manual(Arc::clone(&ms));
        (
            Updates::new(Tasks::default(), clock, ClusterMetrics::default()),
            ms,
        )
    }

    fn user(name: &str) -> Username {
        Username::parse(name).unwrap()
    }

    impl Updates {
        async fn known(
            &self,
            wanted: Fingerprint,
            result: Result<Generation, BrokerError>,
        ) -> Joined {
            let work = || async { result };
            self.join(&user("alice"), Class::Known, wanted, work).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn another_fingerprint_waits_for_the_running_update() {
        let ((updates, _), user) = (updates(), user("alice"));
        let first = updates.join(&user, Class::Known, ONE, || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(FIRST)
        });
        let second = async {
            tokio::task::yield_now().await;
            let never = || async { unreachable!("one update a user") };
            updates.join(&user, Class::Known, TWO, never).await
        };
        assert_eq!(
            tokio::join!(first, second),
            (Joined::Same(Ok(FIRST)), Joined::Other)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_no_update_waits_for_one_and_others_wait_for_it() {
        let ((updates, _), user) = (updates(), user("alice"));
        let log = std::sync::Mutex::new(Vec::new());
        let step = |what| log.lock().unwrap().push(what);
        let first = async {
            let second_long = || async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(FIRST)
            };
            let joined = updates.join(&user, Class::Known, ONE, second_long).await;
            step("update");
            assert_eq!(joined, Joined::Same(Ok(FIRST)));
        };
        let alone = async {
            tokio::task::yield_now().await;
            let work = || async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                7
            };
            let done = updates.alone(&user, work).await;
            step("alone");
            assert_eq!(done, Ok(7));
        };
        let last = async {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            let never = || async { unreachable!("the work is under way") };
            let joined = updates.join(&user, Class::Known, ONE, never).await;
            step("joined");
            assert_eq!(joined, Joined::Other);
        };
        tokio::join!(first, alone, last);
        let log = log.into_inner().unwrap();
        assert_eq!(log.first(), Some(&"update"));
        let crash = || async { std::panic::resume_unwind(Box::new("crash")) };
        assert_eq!(
            updates.alone::<(), _>(&user, crash).await,
            Err(BrokerError::Crashed)
        );
        assert_eq!(updates.known(ONE, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
    }

    #[tokio::test]
    async fn an_update_that_crashed_keeps_nobody_out() {
        let (updates, _) = updates();
        let crash = || async { std::panic::resume_unwind(Box::new("crash")) };
        assert_eq!(
            updates.join(&user("alice"), Class::Known, ONE, crash).await,
            Joined::Same(Err(BrokerError::Crashed))
        );
        assert_eq!(updates.known(ONE, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
    }

    #[tokio::test]
    async fn a_failure_answers_for_a_second_and_only_those_who_ask_for_the_same() {
        let (updates, ms) = updates();
        let failed = || Joined::Same(Err(BrokerError::Late));
        assert_eq!(updates.known(ONE, Err(BrokerError::Late)).await, failed());
        assert_eq!(updates.known(ONE, Ok(FIRST)).await, failed());
        ms.fetch_add(1_000, Ordering::Relaxed);
        assert_eq!(updates.known(ONE, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
        assert_eq!(updates.known(ONE, Err(BrokerError::Late)).await, failed());
        assert_eq!(updates.known(TWO, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
    }

    #[tokio::test]
    async fn a_failure_ends_when_it_is_forgotten_or_the_clock_is_set_back() {
        let (updates, ms) = updates();
        let failed = || Joined::Same(Err(BrokerError::Late));
        assert_eq!(updates.known(ONE, Err(BrokerError::Late)).await, failed());
        updates.forget_failure(&user("alice"));
        assert_eq!(updates.known(ONE, Err(BrokerError::Late)).await, failed());
        ms.fetch_sub(500_000, Ordering::Relaxed);
        assert_eq!(updates.known(ONE, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
    }

    #[tokio::test]
    async fn a_refusal_that_judges_each_request_is_not_kept() {
        let (updates, _) = updates();
        let newest = crate::clock::Timestamp(1);
        for refused in [BrokerError::WriteBudget, BrokerError::Outdated { newest }] {
            let refusal = Joined::Same(Err(refused.clone()));
            assert_eq!(updates.known(ONE, Err(refused)).await, refusal);
            assert_eq!(updates.known(ONE, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
        }
    }

    #[tokio::test]
    async fn a_flood_of_new_users_leaves_room_for_known_users() {
        let (updates, _) = updates();
        let mut waits = Vec::new();
        for n in 0..2 * MOST {
            let name = user(&format!("new-{n}"));
            let pending = std::future::pending::<Result<Generation, BrokerError>>;
            let updates = &updates;
            let mut wait =
                Box::pin(async move { updates.join(&name, Class::New, ONE, pending).await });
            match futures_util::poll!(&mut wait) {
                std::task::Poll::Pending => waits.push(wait),
                std::task::Poll::Ready(result) => {
                    assert_eq!(result, Joined::Same(Err(BrokerError::Busy)));
                }
            }
        }
        assert_eq!(waits.len(), NEW_USERS);
        // The other places are full of fresh failures.
        for n in 0..MOST {
            let failed = || async { Err(BrokerError::Late) };
            let name = user(&format!("known-{n}"));
            assert_eq!(
                updates.join(&name, Class::Known, ONE, failed).await,
                Joined::Same(Err(BrokerError::Late))
            );
        }
        assert_eq!(updates.known(ONE, Ok(FIRST)).await, Joined::Same(Ok(FIRST)));
    }
}
