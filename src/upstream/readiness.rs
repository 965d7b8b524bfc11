//! Whether a cluster accepts elastauth's own account, asked at most about once a second. Each
//! cluster has one of its own: one that hangs delays no other.

use crate::{
    clock::Clock,
    shutdown::Tasks,
    single_flight::{Full, Run, SingleFlight},
};
use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::time::timeout;

/// Asks the cluster whether it accepts elastauth's own account.
pub(crate) type ClusterCheck =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), NotReady>> + Send>> + Send + Sync>;

/// Why a cluster is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotReady {
    /// Goes to trusted peers: it must name no address.
    pub(crate) why: String,
    /// Whether the cluster has answered and refuses the account.
    pub(crate) is_refusal: bool,
}

impl NotReady {
    fn unanswered(why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            is_refusal: false,
        }
    }
}

/// Whether any cluster has accepted elastauth's own account since the start. Clones are the same
/// one: all clusters of a program have it together, and one that a reload replaces does not begin
/// again.
#[derive(Debug, Clone, Default)]
pub(crate) struct Accepted(Arc<AtomicBool>);

impl Accepted {
    pub(crate) fn note(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn is_noted(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// How long a probe waits. Kubernetes gives a probe one second by default, and a cluster that hangs
/// must not make the replica miss it.
const DEADLINE: Duration = Duration::from_millis(500);

/// How long an answer of the cluster is good for all probes.
const SHARED: Duration = Duration::from_secs(1);

/// The check that is under way, or its result.
pub(super) struct Readiness {
    check: ClusterCheck,
    tasks: Tasks,
    runs: SingleFlight<(), (), Result<(), NotReady>>,
}

impl Readiness {
    pub(super) fn new(check: ClusterCheck, tasks: Tasks, clock: Clock) -> Self {
        Self {
            check,
            runs: SingleFlight::new(1, |_| Some(SHARED), tasks.clone(), clock),
            tasks,
        }
    }

    /// Joins the check that is under way or was made within the last second, or begins one. Probes
    /// that hang up do not each begin another. It runs from now on, whether the answer is awaited
    /// or not.
    pub(super) fn ask(&self) -> impl Future<Output = Result<(), NotReady>> + use<> {
        let begin = || {
            let (mut call, tasks) = ((self.check)(), self.tasks.clone());
            Ok::<_, Full>(async move {
                let Ok(result) = timeout(DEADLINE, &mut call).await else {
                    // To its own end, which is not far: cut here, the cluster's client would never
                    // learn that a node hangs, and would ask it again for every third probe.
                    tasks.spawn(async move { drop(call.await) });
                    let why = format!("no answer within {DEADLINE:?}");
                    return Err(NotReady::unanswered(why));
                };
                result
            })
        };
        let run = self.runs.join(&(), (), begin);
        async move {
            let result = match run {
                Ok(run) => Run::result(run).await,
                Err(Full) => None,
            };
            result.unwrap_or_else(|| Err(NotReady::unanswered("the check crashed")))
        }
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    fn readiness(check: ClusterCheck) -> (Readiness, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(1_000_000));
        let clock = Clock::Manual(Arc::clone(&ms));
        (Readiness::new(check, Tasks::default(), clock), ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_probes_is_one_call_a_second() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let (readiness, ms) = readiness(Arc::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            Box::pin(async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                Err(NotReady::unanswered("down"))
            })
        }));
        for _ in 0..50 {
            // A probe that hangs up leaves the check to the others.
            assert!(
                timeout(Duration::from_millis(1), readiness.ask())
                    .await
                    .is_err()
            );
        }
        for _ in 0..50 {
            assert_eq!(readiness.ask().await, Err(NotReady::unanswered("down")));
        }
        assert_eq!(calls.load(Ordering::SeqCst), 1);
        ms.fetch_add(1_000, Ordering::SeqCst);
        assert!(readiness.ask().await.is_err());
        assert_eq!(calls.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_hangs_or_crashes_is_a_failed_one() {
        let (hangs, _) = readiness(Arc::new(|| Box::pin(std::future::pending())));
        let late = Err(NotReady::unanswered("no answer within 500ms"));
        assert_eq!(hangs.ask().await, late);
        let (crashes, _) = readiness(Arc::new(|| Box::pin(async { panic!("a test's panic") })));
        let why = Err(NotReady::unanswered("the check crashed"));
        assert_eq!(crashes.ask().await, why);
    }

    #[tokio::test(start_paused = true)]
    async fn a_check_that_is_late_is_not_cut() {
        let ended = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ended);
        let (readiness, _) = readiness(Arc::new(move || {
            let counted = Arc::clone(&counted);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(1_500)).await;
                counted.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        }));
        assert_eq!(
            readiness.ask().await,
            Err(NotReady::unanswered("no answer within 500ms"))
        );
        readiness.tasks.end();
        assert!(readiness.tasks.drained(Duration::from_secs(2)).await);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }
}
