//! At most one run of the same work at a time, finished even if no request waits for it any more.
//!
//! A run has its own task: a client that hangs up must not cut a change in half. Requests for the
//! same key join the run. A crash frees the key.

use crate::{
    clock::{Clock, Timestamp},
    shutdown::Tasks,
};
use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::watch;

/// The runs under way and the results that still answer, one a key.
#[derive(Debug)]
pub(crate) struct SingleFlight<K, Q, T> {
    runs: Arc<Mutex<HashMap<K, Run<Q, T>>>>,
    most: usize,
    /// How long a result answers the same question again.
    keep: fn(&T) -> Option<Duration>,
    tasks: Tasks,
    clock: Clock,
}

/// One run, under way or finished.
#[derive(Debug, Clone)]
pub(crate) struct Run<Q, T> {
    question: Q,
    finished: watch::Receiver<Option<Finished<T>>>,
}

#[derive(Debug, Clone)]
struct Finished<T> {
    result: T,
    at: Timestamp,
}

/// So many runs are under way that there is no room for one more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl<K, Q, T> SingleFlight<K, Q, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    Q: Copy + PartialEq + Send + Sync + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new(
        most: usize,
        keep: fn(&T) -> Option<Duration>,
        tasks: Tasks,
        clock: Clock,
    ) -> Self {
        Self {
            runs: Arc::default(),
            most,
            keep,
            tasks,
            clock,
        }
    }

    /// The run of this key: the one under way, whatever its question; else a kept result of the
    /// same question; else a new run. Dropping a [`Run`] does not end the work.
    ///
    /// `begin` is called under the lock of the table, so that what it looks at is looked at once.
    ///
    /// # Errors
    /// When there is no room, or `begin` refuses.
    pub(crate) fn join<F, E>(
        &self,
        key: &K,
        question: Q,
        begin: impl FnOnce() -> Result<F, E>,
    ) -> Result<Run<Q, T>, E>
    where
        F: Future<Output = T> + Send + 'static,
        E: From<Full>,
    {
        let now = self.clock.now();
        let mut runs = lock(&self.runs);
        if let Some(run) = runs.get(key)
            && (run.is_under_way() || run.question == question && run.answers(self.keep, now))
        {
            return Ok(run.clone());
        }
        if runs.len() >= self.most && !runs.contains_key(key) {
            runs.retain(|_, run| run.is_under_way() || run.answers(self.keep, now));
            // Results are kept to save work. They must not take the room of a run.
            if runs.len() >= self.most {
                runs.retain(|_, run| run.is_under_way());
            }
            if runs.len() >= self.most {
                return Err(Full.into());
            }
        }
        let work = begin()?;
        let (done, finished) = watch::channel(None);
        let run = Run { question, finished };
        runs.insert(key.clone(), run.clone());
        drop(runs);
        let (key, keep, runs, clock) = (
            key.clone(),
            self.keep,
            Arc::clone(&self.runs),
            self.clock.clone(),
        );
        self.tasks.spawn(async move {
            let result = work.await;
            if keep(&result).is_none() {
                lock(&runs).remove(&key);
            }
            let at = clock.now();
            done.send_replace(Some(Finished { result, at }));
        });
        Ok(run)
    }

    /// Removes a kept result, so that the next request begins a run.
    pub(crate) fn forget(&self, key: &K) {
        let mut runs = lock(&self.runs);
        if runs.get(key).is_some_and(|run| !run.is_under_way()) {
            runs.remove(key);
        }
    }
}

impl<Q: PartialEq, T: Clone> Run<Q, T> {
    /// Whether this run was begun for the same question.
    pub(crate) fn is_for(&self, question: &Q) -> bool {
        self.question == *question
    }

    /// Waits for the result; `None` if the run crashed.
    pub(crate) async fn result(mut self) -> Option<T> {
        let finished = self.finished.wait_for(Option::is_some).await.ok()?;
        finished.as_ref().map(|finished| finished.result.clone())
    }

    /// A run that crashed has dropped its end of the channel and left no result.
    fn is_under_way(&self) -> bool {
        self.finished.borrow().is_none() && self.finished.has_changed().is_ok()
    }

    /// A result from the future (a clock was set back) is an old one: it would otherwise answer
    /// until the old time is reached again.
    fn answers(&self, keep: fn(&T) -> Option<Duration>, now: Timestamp) -> bool {
        self.finished.borrow().as_ref().is_some_and(|finished| {
            let age = now.since(finished.at);
            keep(&finished.result).is_some_and(|lasts| age.is_some_and(|age| age < lasts))
        })
    }
}

fn lock<T>(runs: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change of the table is one step: a panic elsewhere leaves it whole.
    runs.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    type Outcome = Result<u8, &'static str>;

    impl From<Full> for &'static str {
        fn from(_: Full) -> Self {
            "full"
        }
    }

    /// Failures answer for a second.
    fn keep(outcome: &Outcome) -> Option<Duration> {
        outcome.is_err().then_some(Duration::from_secs(1))
    }

    fn flights(most: usize) -> (SingleFlight<u32, u8, Outcome>, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(1_000_000));
        let clock = Clock::Manual(Arc::clone(&ms));
        (SingleFlight::new(most, keep, Tasks::default(), clock), ms)
    }

    impl SingleFlight<u32, u8, Outcome> {
        async fn ask(&self, question: u8, outcome: Outcome) -> Option<Outcome> {
            let begin = || Ok::<_, &'static str>(async move { outcome });
            self.join(&1, question, begin).unwrap().result().await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn fifty_at_once_are_one_run() {
        let ((flights, _), count) = (flights(10), AtomicUsize::new(0));
        let runs: Vec<_> = (0..50)
            .map(|_| {
                let begin = || {
                    count.fetch_add(1, Ordering::Relaxed);
                    Ok::<_, &'static str>(async {
                        tokio::time::sleep(Duration::from_millis(30)).await;
                        Ok(7)
                    })
                };
                flights.join(&1, 1, begin).unwrap()
            })
            .collect();
        for one in runs {
            assert_eq!(one.result().await, Some(Ok(7)));
        }
        assert_eq!(count.into_inner(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn another_question_joins_the_run_under_way_and_sees_that_it_is_another() {
        let (flights, _) = flights(10);
        let first = flights.join(&1, 1, || Ok::<_, &'static str>(async { Ok(7) }));
        let second = flights.join(&1, 2, || {
            Err::<std::future::Pending<Outcome>, _>("there must be one run only")
        });
        let (first, second) = (first.unwrap(), second.unwrap());
        assert!(first.is_for(&1) && !second.is_for(&2));
        assert_eq!(
            (first.result().await, second.result().await),
            (Some(Ok(7)), Some(Ok(7)))
        );
    }

    #[tokio::test]
    async fn a_run_that_crashed_frees_its_key() {
        let (flights, _) = flights(10);
        let crash = || Ok::<_, &str>(async { std::panic::resume_unwind(Box::new("crash")) });
        assert_eq!(flights.join(&1, 1, crash).unwrap().result().await, None);
        assert_eq!(flights.ask(1, Ok(7)).await, Some(Ok(7)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_is_finished_even_if_no_request_waits() {
        let ((flights, _), written) = (flights(10), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&written);
        drop(flights.join(&1, 1, || {
            Ok::<_, &str>(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                count.fetch_add(1, Ordering::Relaxed);
                Ok(7)
            })
        }));
        flights.tasks.end();
        assert!(flights.tasks.drained(Duration::from_secs(5)).await);
        assert_eq!(written.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_kept_result_answers_the_same_question_until_it_expires() {
        let (flights, ms) = flights(10);
        assert_eq!(flights.ask(1, Err("down")).await, Some(Err("down")));
        ms.fetch_add(999, Ordering::Relaxed);
        assert_eq!(flights.ask(1, Ok(7)).await, Some(Err("down")));
        ms.fetch_add(1, Ordering::Relaxed);
        assert_eq!(flights.ask(1, Ok(7)).await, Some(Ok(7)));
        assert_eq!(flights.ask(1, Err("down")).await, Some(Err("down")));
        assert_eq!(flights.ask(2, Ok(8)).await, Some(Ok(8)));
        assert_eq!(flights.ask(1, Ok(9)).await, Some(Ok(9)), "not kept");
    }

    #[tokio::test]
    async fn a_kept_result_ends_when_it_is_forgotten_or_the_clock_is_set_back() {
        let (flights, ms) = flights(10);
        assert_eq!(flights.ask(1, Err("down")).await, Some(Err("down")));
        flights.forget(&1);
        assert_eq!(flights.ask(1, Err("again")).await, Some(Err("again")));
        ms.fetch_sub(500_000, Ordering::Relaxed);
        assert_eq!(flights.ask(1, Ok(7)).await, Some(Ok(7)));
    }

    #[tokio::test]
    async fn runs_are_bounded_and_kept_results_take_no_room() {
        let (flights, _) = flights(3);
        let pending = || Ok::<_, &str>(std::future::pending::<Outcome>());
        let failed = || Ok::<_, &str>(async { Err("down") });
        for key in 0..2 {
            assert!(flights.join(&key, 1, pending).is_ok());
        }
        let run = flights.join(&2, 1, failed).unwrap();
        assert_eq!(run.result().await, Some(Err("down")));
        assert!(flights.join(&3, 1, pending).is_ok());
        assert_eq!(flights.join(&4, 1, pending).unwrap_err(), "full");
        assert!(flights.join(&0, 1, pending).is_ok(), "joins its own run");
    }
}
