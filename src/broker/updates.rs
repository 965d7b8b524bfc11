//! At most one change a user at a time, finished even if nobody waits for it any more.

use super::{error::BrokerError, places::Class};
use crate::{
    clock::{Clock, Timestamp},
    model::{Fingerprint, Username},
    shutdown::Tasks,
    telemetry::{metrics::ClusterMetrics, traces},
};
use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, watch};

/// Users with work in hand or a fresh failure. Each waits for a handful of calls; more than this is
/// a flood, and shedding keeps it small.
const MOST: usize = 4_096;
/// How many of them may be new users: the others are for known users.
const NEW_USERS: usize = 3_072;
/// How long a failure answers those who ask for the same again: a cluster that is down is asked
/// once a second for a user, not once a request.
const FAILURE_LASTS: Duration = Duration::from_secs(1);

/// The result of an update; `None` while it runs.
type Outcome = Option<Result<(), BrokerError>>;

/// The updates of one cluster.
#[derive(Debug)]
pub(super) struct Updates {
    table: Arc<Mutex<HashMap<Username, Entry>>>,
    new_users: Arc<Semaphore>,
    tasks: Tasks,
    clock: Clock,
    metrics: ClusterMetrics,
}

#[derive(Debug)]
enum Entry {
    Running {
        fingerprint: Fingerprint,
        result: watch::Receiver<Outcome>,
    },
    Failed {
        fingerprint: Fingerprint,
        error: BrokerError,
        since: Timestamp,
    },
}

/// What became of the wish to update a user to some fingerprint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Joined {
    /// The result of an update to this very fingerprint.
    Same(Result<(), BrokerError>),
    /// An update to another fingerprint was running and has ended: ask again.
    Other,
}

impl Updates {
    pub(super) fn new(tasks: Tasks, clock: Clock, metrics: ClusterMetrics) -> Self {
        Self {
            table: Arc::default(),
            new_users: Arc::new(Semaphore::new(NEW_USERS)),
            tasks,
            clock,
            metrics,
        }
    }

    /// Joins the update of this user or starts one with `work`, on its own task: a client that
    /// hangs up must not cut a change in half. Dropping the wait does not touch the update.
    pub(super) async fn join<F>(
        &self,
        user: &Username,
        class: Class,
        fingerprint: Fingerprint,
        work: impl FnOnce() -> F,
    ) -> Joined
    where
        F: Future<Output = Result<(), BrokerError>> + Send + 'static,
    {
        let (target, mut result) = match self.start(user, class, fingerprint, work) {
            Ok(started) => started,
            Err(refused) => return Joined::Same(Err(refused)),
        };
        // The sender is dropped without a word only by a crash.
        let outcome = result
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|outcome| outcome.clone());
        if target == fingerprint {
            Joined::Same(outcome.unwrap_or(Err(BrokerError::Crashed)))
        } else {
            Joined::Other
        }
    }

    /// Forgets a failure that would answer whoever asks next.
    pub(super) fn forget_failure(&self, user: &Username) {
        let mut table = lock(&self.table);
        if matches!(table.get(user), Some(Entry::Failed { .. })) {
            table.remove(user);
        }
    }

    fn start<F>(
        &self,
        user: &Username,
        class: Class,
        fingerprint: Fingerprint,
        work: impl FnOnce() -> F,
    ) -> Result<(Fingerprint, watch::Receiver<Outcome>), BrokerError>
    where
        F: Future<Output = Result<(), BrokerError>> + Send + 'static,
    {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        match table.get(user) {
            // An update that crashed has dropped its end of the channel: the next one takes its
            // place.
            Some(Entry::Running {
                fingerprint,
                result,
            }) if result.has_changed().is_ok() => return Ok((*fingerprint, result.clone())),
            Some(Entry::Failed {
                fingerprint: same,
                error,
                since,
            }) if *same == fingerprint && is_fresh(*since, now) => {
                return Err(error.clone());
            }
            Some(Entry::Running { .. } | Entry::Failed { .. }) | None => {}
        }
        if table.len() >= MOST {
            table.retain(|_, entry| match entry {
                Entry::Running { result, .. } => result.has_changed().is_ok(),
                Entry::Failed { since, .. } => is_fresh(*since, now),
            });
            // Failures are kept to spare the cluster a question. They must not keep anybody out.
            if table.len() >= MOST && class == Class::Known {
                table.retain(|_, entry| matches!(entry, Entry::Running { .. }));
            }
            if table.len() >= MOST && !table.contains_key(user) {
                return Err(BrokerError::Busy);
            }
        }
        let place = match class {
            Class::Known => None,
            Class::New => Some(
                Arc::clone(&self.new_users)
                    .try_acquire_owned()
                    .map_err(|_| BrokerError::Busy)?,
            ),
        };
        let (done, result) = watch::channel(None);
        table.insert(
            user.clone(),
            Entry::Running {
                fingerprint,
                result: result.clone(),
            },
        );
        drop(table);
        let (user, table, clock, work) = (
            user.clone(),
            Arc::clone(&self.table),
            self.clock.clone(),
            traces::carried(work()),
        );
        let counted = self.metrics.update_in_flight();
        self.tasks.spawn(async move {
            let result = work.await;
            drop((counted, place));
            let mut table = lock(&table);
            match &result {
                // The limit judges each request anew: the one that keeps the roles as they are may
                // pass. So does the order: a newer token may say the same.
                Ok(()) | Err(BrokerError::WriteBudget | BrokerError::Outdated { .. }) => {
                    table.remove(&user)
                }
                Err(error) => {
                    let since = clock.now();
                    table.insert(
                        user,
                        Entry::Failed {
                            fingerprint,
                            error: error.clone(),
                            since,
                        },
                    )
                }
            };
            drop(table);
            done.send_replace(Some(result));
        });
        Ok((fingerprint, result))
    }
}

/// A failure from the future (a clock set back) is an old one: it would else keep its user out
/// until the old time comes round again.
fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    now.since(since).is_some_and(|age| age < FAILURE_LASTS)
}

fn lock(table: &Mutex<HashMap<Username, Entry>>) -> MutexGuard<'_, HashMap<Username, Entry>> {
    // Each change of the table is one step: a panic elsewhere leaves it whole.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    const ONE: Fingerprint = Fingerprint([1; 16]);
    const TWO: Fingerprint = Fingerprint([2; 16]);

    fn user() -> Username {
        Username::parse("alice").unwrap()
    }

    fn updates() -> (Arc<Updates>, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(1_000_000));
        (
            Arc::new(Updates::new(
                Tasks::default(),
                Clock::Manual(Arc::clone(&ms)),
                ClusterMetrics::default(),
            )),
            ms,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_at_once_are_one_update() {
        let ((updates, _), writes) = (updates(), Arc::new(AtomicUsize::new(0)));
        let asks: Vec<_> = (0..50)
            .map(|_| {
                let (updates, writes) = (Arc::clone(&updates), Arc::clone(&writes));
                async move {
                    updates
                        .join(&user(), Class::Known, ONE, || async move {
                            tokio::time::sleep(Duration::from_millis(30)).await;
                            writes.fetch_add(1, Ordering::Relaxed);
                            Ok(())
                        })
                        .await
                }
            })
            .collect();
        let mut set = tokio::task::JoinSet::new();
        for ask in asks {
            set.spawn(ask);
        }
        assert!(
            set.join_all()
                .await
                .into_iter()
                .all(|result| result == Joined::Same(Ok(())))
        );
        assert_eq!(writes.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_fingerprint_waits_for_the_running_update() {
        let ((updates, _), user) = (updates(), user());
        let first = updates.join(&user, Class::Known, ONE, || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        let second = async {
            tokio::task::yield_now().await;
            updates
                .join(&user, Class::Known, TWO, || async {
                    unreachable!("one update a user")
                })
                .await
        };
        assert_eq!(
            tokio::join!(first, second),
            (Joined::Same(Ok(())), Joined::Other)
        );
    }

    #[tokio::test]
    async fn an_update_that_crashed_keeps_nobody_out() {
        let (updates, _) = updates();
        let crash = || async { std::panic::resume_unwind(Box::new("crash")) };
        assert_eq!(
            updates.join(&user(), Class::Known, ONE, crash).await,
            Joined::Same(Err(BrokerError::Crashed))
        );
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async { Ok(()) })
                .await,
            Joined::Same(Ok(()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_up_does_not_cut_the_work() {
        let ((updates, _), user, written) = (updates(), user(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&written);
        let wait = updates.join(&user, Class::Known, ONE, || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), wait)
                .await
                .is_err()
        );
        updates.tasks.end();
        assert!(updates.tasks.drained(Duration::from_secs(5)).await);
        assert_eq!(written.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_answers_for_a_second_and_only_those_who_ask_for_the_same() {
        let (updates, ms) = updates();
        let failed = || Joined::Same(Err(BrokerError::Late));
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async {
                    Err(BrokerError::Late)
                })
                .await,
            failed()
        );
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async { Ok(()) })
                .await,
            failed()
        );
        ms.fetch_add(1_000, Ordering::Relaxed);
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async { Ok(()) })
                .await,
            Joined::Same(Ok(()))
        );
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async {
                    Err(BrokerError::Late)
                })
                .await,
            failed()
        );
        assert_eq!(
            updates
                .join(&user(), Class::Known, TWO, || async { Ok(()) })
                .await,
            Joined::Same(Ok(()))
        );
    }

    #[tokio::test]
    async fn a_clock_set_back_ends_a_failure() {
        let (updates, ms) = updates();
        let failed = || Joined::Same(Err(BrokerError::Late));
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async {
                    Err(BrokerError::Late)
                })
                .await,
            failed()
        );
        ms.fetch_sub(500_000, Ordering::Relaxed);
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async { Ok(()) })
                .await,
            Joined::Same(Ok(()))
        );
    }

    #[tokio::test]
    async fn a_flood_of_new_users_leaves_room_for_known_users() {
        let (updates, _) = updates();
        let name = |n: usize| Username::parse(&format!("new-{n}")).unwrap();
        let mut waits = Vec::new();
        for n in 0..2 * MOST {
            let updates = Arc::clone(&updates);
            let mut wait = Box::pin(async move {
                updates
                    .join(
                        &name(n),
                        Class::New,
                        ONE,
                        std::future::pending::<Result<(), BrokerError>>,
                    )
                    .await
            });
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
            let result = updates
                .join(
                    &Username::parse(&format!("known-{n}")).unwrap(),
                    Class::Known,
                    ONE,
                    failed,
                )
                .await;
            assert_eq!(result, Joined::Same(Err(BrokerError::Late)));
        }
        assert_eq!(
            updates
                .join(&user(), Class::Known, ONE, || async { Ok(()) })
                .await,
            Joined::Same(Ok(()))
        );
    }
}
