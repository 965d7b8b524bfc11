//! At most one change a user at a time, finished even if nobody waits for it any more.

use super::{BrokerError, Guest};
use crate::{
    clock::{Clock, Timestamp},
    model::{Fingerprint, Username},
    shutdown::Tasks,
    telemetry::{metrics::Metrics, traces},
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
/// How many of them may be strangers: the others are for those who are known.
const STRANGERS: usize = 3_072;
/// How long a failure answers those who ask for the same again: a cluster that is down is asked
/// once a second for a user, not once a request.
const FAILURE_LASTS: Duration = Duration::from_secs(1);

/// How a flight ended; `None` while it is in the air.
type Outcome = Option<Result<(), BrokerError>>;

/// The flights of one cluster.
#[derive(Debug)]
pub(super) struct Flights {
    table: Arc<Mutex<HashMap<Username, Flight>>>,
    strangers: Arc<Semaphore>,
    tasks: Tasks,
    clock: Clock,
    metrics: Metrics,
}

#[derive(Debug)]
enum Flight {
    Aloft {
        fingerprint: Fingerprint,
        landing: watch::Receiver<Outcome>,
    },
    Failed {
        fingerprint: Fingerprint,
        error: BrokerError,
        since: Timestamp,
    },
}

/// What became of the wish to have a user stand with some fingerprint.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Landing {
    /// A flight with this very aim ended so.
    Same(Result<(), BrokerError>),
    /// A flight with another aim was in the air and has ended: ask again.
    Other,
}

impl Flights {
    pub(super) fn new(tasks: Tasks, clock: Clock, metrics: Metrics) -> Self {
        Self {
            table: Arc::default(),
            strangers: Arc::new(Semaphore::new(STRANGERS)),
            tasks,
            clock,
            metrics,
        }
    }

    /// Joins the flight of this user or starts one with `work`, on its own task: a client that
    /// hangs up must not cut a change in half. Dropping the wait does not touch the flight.
    pub(super) async fn join<F>(
        &self,
        user: &Username,
        guest: Guest,
        fingerprint: Fingerprint,
        work: impl FnOnce() -> F,
    ) -> Landing
    where
        F: Future<Output = Result<(), BrokerError>> + Send + 'static,
    {
        let (aim, mut landing) = match self.board(user, guest, fingerprint, work) {
            Ok(boarded) => boarded,
            Err(refused) => return Landing::Same(Err(refused)),
        };
        // The sender is dropped without a word only by a crash.
        let outcome = landing
            .wait_for(Option::is_some)
            .await
            .ok()
            .and_then(|outcome| outcome.clone());
        if aim == fingerprint {
            Landing::Same(outcome.unwrap_or(Err(BrokerError::Crashed)))
        } else {
            Landing::Other
        }
    }

    /// Forgets a failure that would answer whoever asks next.
    pub(super) fn forgive(&self, user: &Username) {
        let mut table = lock(&self.table);
        if matches!(table.get(user), Some(Flight::Failed { .. })) {
            table.remove(user);
        }
    }

    fn board<F>(
        &self,
        user: &Username,
        guest: Guest,
        fingerprint: Fingerprint,
        work: impl FnOnce() -> F,
    ) -> Result<(Fingerprint, watch::Receiver<Outcome>), BrokerError>
    where
        F: Future<Output = Result<(), BrokerError>> + Send + 'static,
    {
        let now = self.clock.now();
        let mut table = lock(&self.table);
        match table.get(user) {
            // A flight that crashed has dropped its end of the channel: the next one takes its
            // place.
            Some(Flight::Aloft {
                fingerprint,
                landing,
            }) if landing.has_changed().is_ok() => return Ok((*fingerprint, landing.clone())),
            Some(Flight::Failed {
                fingerprint: same,
                error,
                since,
            }) if *same == fingerprint && is_fresh(*since, now) => {
                return Err(error.clone());
            }
            Some(Flight::Aloft { .. } | Flight::Failed { .. }) | None => {}
        }
        if table.len() >= MOST {
            table.retain(|_, flight| match flight {
                Flight::Aloft { landing, .. } => landing.has_changed().is_ok(),
                Flight::Failed { since, .. } => is_fresh(*since, now),
            });
            // Failures are kept to spare the cluster a question. They must not keep anybody out.
            if table.len() >= MOST && guest == Guest::Known {
                table.retain(|_, flight| matches!(flight, Flight::Aloft { .. }));
            }
            if table.len() >= MOST && !table.contains_key(user) {
                return Err(BrokerError::Busy);
            }
        }
        let place = match guest {
            Guest::Known => None,
            Guest::Stranger => Some(
                Arc::clone(&self.strangers)
                    .try_acquire_owned()
                    .map_err(|_| BrokerError::Busy)?,
            ),
        };
        let (done, landing) = watch::channel(None);
        table.insert(
            user.clone(),
            Flight::Aloft {
                fingerprint,
                landing: landing.clone(),
            },
        );
        drop(table);
        let (user, table, clock, work) = (
            user.clone(),
            Arc::clone(&self.table),
            self.clock.clone(),
            traces::carried(work()),
        );
        let aloft = self.metrics.flight();
        self.tasks.spawn(async move {
            let result = work.await;
            drop((aloft, place));
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
                        Flight::Failed {
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
        Ok((fingerprint, landing))
    }
}

/// A failure from the future (a clock set back) is an old one: it would else keep its user out
/// until the old time comes round again.
fn is_fresh(since: Timestamp, now: Timestamp) -> bool {
    now.since(since).is_some_and(|age| age < FAILURE_LASTS)
}

fn lock(table: &Mutex<HashMap<Username, Flight>>) -> MutexGuard<'_, HashMap<Username, Flight>> {
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

    fn flights() -> (Arc<Flights>, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(1_000_000));
        (
            Arc::new(Flights::new(
                Tasks::default(),
                Clock::Manual(Arc::clone(&ms)),
                Metrics::default(),
            )),
            ms,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_at_once_are_one_flight() {
        let ((flights, _), writes) = (flights(), Arc::new(AtomicUsize::new(0)));
        let asks: Vec<_> = (0..50)
            .map(|_| {
                let (flights, writes) = (Arc::clone(&flights), Arc::clone(&writes));
                async move {
                    flights
                        .join(&user(), Guest::Known, ONE, || async move {
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
                .all(|landing| landing == Landing::Same(Ok(())))
        );
        assert_eq!(writes.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_aim_waits_for_the_one_in_the_air() {
        let ((flights, _), user) = (flights(), user());
        let first = flights.join(&user, Guest::Known, ONE, || async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        });
        let second = async {
            tokio::task::yield_now().await;
            flights
                .join(&user, Guest::Known, TWO, || async {
                    unreachable!("one flight a user")
                })
                .await
        };
        assert_eq!(
            tokio::join!(first, second),
            (Landing::Same(Ok(())), Landing::Other)
        );
    }

    #[tokio::test]
    async fn a_flight_that_crashed_leaves_the_way_free() {
        let (flights, _) = flights();
        let crash = || async { std::panic::resume_unwind(Box::new("crash")) };
        assert_eq!(
            flights.join(&user(), Guest::Known, ONE, crash).await,
            Landing::Same(Err(BrokerError::Crashed))
        );
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async { Ok(()) })
                .await,
            Landing::Same(Ok(()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_hangs_up_does_not_cut_the_work() {
        let ((flights, _), user, written) = (flights(), user(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&written);
        let wait = flights.join(&user, Guest::Known, ONE, || async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            count.fetch_add(1, Ordering::Relaxed);
            Ok(())
        });
        assert!(
            tokio::time::timeout(Duration::from_millis(10), wait)
                .await
                .is_err()
        );
        flights.tasks.end();
        assert!(flights.tasks.drained(Duration::from_secs(5)).await);
        assert_eq!(written.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_failure_answers_for_a_second_and_only_those_who_ask_for_the_same() {
        let (flights, ms) = flights();
        let failed = || Landing::Same(Err(BrokerError::Late));
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async {
                    Err(BrokerError::Late)
                })
                .await,
            failed()
        );
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async { Ok(()) })
                .await,
            failed()
        );
        ms.fetch_add(1_000, Ordering::Relaxed);
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async { Ok(()) })
                .await,
            Landing::Same(Ok(()))
        );
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async {
                    Err(BrokerError::Late)
                })
                .await,
            failed()
        );
        assert_eq!(
            flights
                .join(&user(), Guest::Known, TWO, || async { Ok(()) })
                .await,
            Landing::Same(Ok(()))
        );
    }

    #[tokio::test]
    async fn a_clock_set_back_ends_a_failure() {
        let (flights, ms) = flights();
        let failed = || Landing::Same(Err(BrokerError::Late));
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async {
                    Err(BrokerError::Late)
                })
                .await,
            failed()
        );
        ms.fetch_sub(500_000, Ordering::Relaxed);
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async { Ok(()) })
                .await,
            Landing::Same(Ok(()))
        );
    }

    #[tokio::test]
    async fn a_flood_of_strangers_leaves_room_for_those_who_are_known() {
        let (flights, _) = flights();
        let name = |n: usize| Username::parse(&format!("stranger-{n}")).unwrap();
        let mut waits = Vec::new();
        for n in 0..2 * MOST {
            let flights = Arc::clone(&flights);
            let mut wait = Box::pin(async move {
                flights
                    .join(
                        &name(n),
                        Guest::Stranger,
                        ONE,
                        std::future::pending::<Result<(), BrokerError>>,
                    )
                    .await
            });
            match futures_util::poll!(&mut wait) {
                std::task::Poll::Pending => waits.push(wait),
                std::task::Poll::Ready(landing) => {
                    assert_eq!(landing, Landing::Same(Err(BrokerError::Busy)));
                }
            }
        }
        assert_eq!(waits.len(), STRANGERS);
        // The other places are full of fresh failures.
        for n in 0..MOST {
            let failed = || async { Err(BrokerError::Late) };
            let landing = flights
                .join(
                    &Username::parse(&format!("known-{n}")).unwrap(),
                    Guest::Known,
                    ONE,
                    failed,
                )
                .await;
            assert_eq!(landing, Landing::Same(Err(BrokerError::Late)));
        }
        assert_eq!(
            flights
                .join(&user(), Guest::Known, ONE, || async { Ok(()) })
                .await,
            Landing::Same(Ok(()))
        );
    }
}
