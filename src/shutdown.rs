//! The end of the program: tasks that must finish are tracked here, and all of them learn of the
//! end at the same time.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Settings of the end.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// How long everything goes on as before while readiness says that the end is near.
    pub delay: Duration,
    /// How long running requests may take then; `None` is as long as the mode needs.
    pub timeout: Option<Duration>,
}

/// The tracked spawner. Clones share one end.
#[derive(Debug, Clone, Default)]
pub struct Tasks {
    ended: Arc<Ended>,
    ending: CancellationToken,
    tracker: TaskTracker,
}

/// Whether the end has begun. Each request asks: the token has a lock, which all would share.
#[derive(Debug, Default)]
struct Ended {
    itself: AtomicBool,
    within: Option<Arc<Ended>>,
}

impl Ended {
    fn is_set(&self) -> bool {
        self.itself.load(SeqCst) || self.within.as_ref().is_some_and(|within| within.is_set())
    }
}

impl Tasks {
    /// For a part that can end before the program does: it ends at the latest with the program,
    /// which waits for its tasks too.
    #[must_use]
    pub fn branch(&self) -> Self {
        Self {
            ended: Arc::new(Ended {
                itself: AtomicBool::new(false),
                within: Some(Arc::clone(&self.ended)),
            }),
            ending: self.ending.child_token(),
            tracker: self.tracker.clone(),
        }
    }

    /// Runs `work` on its own task; the program waits for it before it ends.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        // No task joins it: `work` reports through its own channel.
        drop(self.tracker.spawn(work));
    }

    /// Begins the end. Tasks that wait on [`Self::ending`] finish their current work.
    pub fn end(&self) {
        // First: whoever is woken by the token sees it.
        self.ended.itself.store(true, SeqCst);
        self.ending.cancel();
        self.tracker.close();
    }

    /// Begins the end when it is dropped.
    #[must_use]
    pub(crate) fn end_on_drop(&self) -> EndOnDrop {
        EndOnDrop(self.clone())
    }

    /// Resolves when the end has begun.
    pub async fn ending(&self) {
        self.ending.cancelled().await;
    }

    /// Whether the end has begun.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ended.is_set()
    }

    /// How many tasks are running.
    #[must_use]
    pub fn in_hand(&self) -> usize {
        self.tracker.len()
    }

    /// Waits for all tasks, at most `patience`; whether all have finished.
    pub async fn drained(&self, patience: Duration) -> bool {
        tokio::time::timeout(patience, self.tracker.wait())
            .await
            .is_ok()
    }
}

/// See [`Tasks::end_on_drop`].
#[derive(Debug)]
pub(crate) struct EndOnDrop(Tasks);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_branch_ends_alone_or_with_all_and_is_waited_for() {
        let tasks = Tasks::default();
        let (one, two) = (tasks.branch(), tasks.branch());
        one.end();
        assert!(one.is_ending() && !two.is_ending() && !tasks.is_ending());
        let late = one.clone();
        one.spawn(async move {
            late.ending().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
        });
        assert!(!tasks.drained(Duration::from_millis(10)).await);
        tasks.end();
        assert!(two.is_ending());
        assert!(tasks.drained(Duration::from_secs(2)).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_waits_for_running_tasks() {
        let tasks = Tasks::default();
        let (done, mut finished) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _nobody_left = done.send(());
        });
        tasks.end();
        assert!(tasks.is_ending());
        assert!(!tasks.drained(Duration::from_millis(10)).await);
        assert_eq!(tasks.in_hand(), 1);
        assert!(tasks.drained(Duration::from_secs(2)).await);
        assert_eq!(tasks.in_hand(), 0);
        assert!(finished.try_recv().is_ok());
    }
}
