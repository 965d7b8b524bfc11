//! `users.prune_after`: from time to time a look through all users, and the deletion of those who
//! have stayed away.

use super::{
    due,
    report::Report,
    types::{AskedBy, PruneError, PruneOrder, Pruned},
    user::Pruner,
};
use crate::{
    backoff::random_byte,
    broker::{error::BrokerError, state::State},
    cluster::SecurityApi,
    model::Username,
};
use futures_util::{StreamExt as _, stream};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// From one round to the next: who is to go is noted in days, and a look at many users is some
/// work for the cluster.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// The same where the time is short, as part of it.
const PAUSES: u32 = 24;
/// Failures after which a cluster has its rest until the next round.
const FAILURES: usize = 8;
/// So few users may be more than half of all.
const FEW: usize = 10;

/// The task that prunes the users of one cluster.
#[derive(Debug)]
pub(crate) struct Rounds {
    state: Arc<State>,
    cluster: SecurityApi,
    pruner: Arc<Pruner>,
    report: Arc<Report>,
    order: PruneOrder,
}

impl Rounds {
    pub(crate) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        pruner: Arc<Pruner>,
        report: Arc<Report>,
        unseen: Duration,
    ) -> Self {
        Self {
            state,
            cluster,
            pruner,
            report,
            order: PruneOrder {
                by: AskedBy::Configuration,
                unseen,
            },
        }
    }

    /// Makes rounds until it is dropped. A deletion that has begun by then goes on.
    pub(crate) async fn run(self) {
        let every = LONGEST_PAUSE.min(self.order.unseen / PAUSES);
        // Replicas that were started together do not look together.
        sleep(every.mul_f64(f64::from(random_byte()) / 256.0)).await;
        loop {
            self.round().await;
            sleep(every.mul_f64(0.8 + f64::from(random_byte()) / 1_280.0)).await;
        }
    }

    async fn round(&self) {
        let now = || self.state.clock.now();
        match self.due().await {
            Ok((due, of)) if is_most(due.len(), of) => {
                self.report.too_many(due.len(), of, now());
            }
            Ok((due, _)) => self.delete(due).await,
            Err(why) => self.report.not_listed(&why, now()),
        }
    }

    async fn due(&self) -> Result<(Vec<Username>, usize), PruneError> {
        let kind = self.cluster.settle_kind().await;
        kind.map_err(BrokerError::of_admin_call)?;
        due::check(&self.state, self.order.unseen)?;
        Ok(due::all(&self.state, &self.cluster, self.order.unseen).await?)
    }

    async fn delete(&self, due: Vec<Username>) {
        let [deleted, kept, failed] = [(); 3].map(|()| AtomicUsize::new(0));
        let one = |user: Username| {
            let (deleted, kept, failed) = (&deleted, &kept, &failed);
            async move {
                if failed.load(Ordering::Relaxed) >= FAILURES {
                    return;
                }
                let count = match self.pruner.prune(&user, self.order).await {
                    Ok(Pruned::Deleted(_)) => deleted,
                    Ok(Pruned::Kept(_)) => kept,
                    Err(error) => {
                        self.report.not_pruned(&error, self.state.clock.now());
                        failed
                    }
                };
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        stream::iter(due)
            .for_each_concurrent(self.pruner.at_once(), one)
            .await;
        let [deleted, kept, failed] = [deleted, kept, failed].map(AtomicUsize::into_inner);
        self.report.ended(deleted, kept, failed);
    }
}

/// Whether so many are more than half of all. Most users do not leave within an hour: a clock has
/// jumped, or an old copy of the users was restored.
fn is_most(due: usize, of: usize) -> bool {
    due > FEW && due.saturating_mul(2) > of
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_users_are_more_than_half_of_them_and_more_than_a_few() {
        for (due, of, most) in [
            (0, 0, false),
            (10, 10, false),
            (11, 11, true),
            (11, 21, true),
            (11, 22, false),
            (5_000, 10_000, false),
            (5_001, 10_000, true),
        ] {
            assert_eq!(is_most(due, of), most, "{due} of {of}");
        }
    }
}
