//! Users who stay away are parked: their login of a period that is over is ended.
//!
//! A login follows from the period, and the cluster takes a user's old one until somebody writes
//! the user again. Usually that is the next request. Where none comes, the user is written as they
//! were found, with a login of which no request is ever answered: so nothing that was handed out
//! works after `credentials.park_within`, and whoever comes back is written as at any change of
//! period.
//!
//! One task for each cluster looks through its users again and again, and parks those who are due,
//! each in a slot of their own ([`Slots`]). All replicas do so, each at a time of its own; whoever
//! is first has the work. What another replica does to a user is noticed
//! - by reading the user right before the write: they have come back, or are parked;
//! - through the store that replicas share, where there is one;
//! - without it, and if we have read before the other replica wrote: by that replica. When it
//!   confirms or writes a user for the first time in a period, and the user's slot is open, it
//!   looks once more when a parking has usually ended. Until a slow one must have ended, it asks
//!   once a second whenever the user does ([`Slots::overlap`]).

mod due;
mod park;
mod report;

use super::{places::WritePlaces, slots::Slots, state::State, updates::Updates};
use crate::{
    backoff::{Backoff, random_byte},
    clock::Timestamp,
    cluster::{CallError, ListedUser, SecurityApi},
    telemetry::ClusterTelemetry,
};
use due::is_over;
use futures_util::{StreamExt as _, stream};
use park::Parker;
use report::Report;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::time::sleep;

/// Users parked at once by one replica, where each has a slot of their own. With ten milliseconds for each that is some hundreds a
/// second, while ten thousand users are due at some ten a second.
const AT_ONCE: usize = 4;
/// The same where all users have one slot: those who are written at once are one request.
const AT_ONCE_IN_SHARED_SLOT: usize = 256;
/// Users who are parked after one look: a bound for memory. The others come after the next one.
const DUE: usize = 100_000;
/// Failures after which a cluster has its rest until the next look.
const FAILURES: u64 = 8;
/// Longest wait after a look that failed. The first one is a twentieth of the time between slots.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The task that parks the users of one cluster.
#[derive(Debug)]
pub(super) struct Parking {
    state: Arc<State>,
    cluster: SecurityApi,
    updates: Arc<Updates>,
    parker: Arc<Parker>,
    report: Arc<Report>,
}

impl Parking {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        updates: Arc<Updates>,
        writes: Arc<WritePlaces>,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        let report = Arc::new(Report::new(telemetry));
        let parker = Parker::new(
            Arc::clone(&state),
            cluster.clone(),
            writes,
            Arc::clone(&report),
        );
        Self {
            state,
            cluster,
            updates,
            parker: Arc::new(parker),
            report,
        }
    }

    /// Looks and parks until it is dropped. Updates that have begun by then go on.
    pub(super) async fn run(self) {
        let Some(mut slots) = self.state.slots(self.state.product()) else {
            return;
        };
        let backoff_of = |every: Duration| Backoff::new(every / 20, LONGEST_WAIT.min(every));
        let mut backoff = backoff_of(slots.every());
        // Replicas that were started together do not look together.
        sleep(slots.every().mul_f64(f64::from(random_byte()) / 256.0)).await;
        loop {
            let looked = self.due(slots).await;
            // The cluster may have said only now what it is.
            if let Some(now) = self.state.slots(self.state.product())
                && now != slots
            {
                (slots, backoff) = (now, backoff_of(now.every()));
                continue;
            }
            match looked {
                Ok(due) => {
                    backoff.reset();
                    let now = self.state.clock.now();
                    self.report.listed(due.len(), now);
                    // A little less than the time between slots, and not always the same: users
                    // whose slot opens during a look must not miss theirs each time.
                    let every = slots.every();
                    let pause = every.mul_f64(0.8 + f64::from(random_byte()) / 1_280.0);
                    let next = now.after(pause);
                    self.park(slots, due, next).await;
                    sleep(next.since(self.state.clock.now()).unwrap_or_default()).await;
                }
                Err(error) => {
                    self.report.not_listed(&error, self.state.clock.now());
                    sleep(backoff.failed()).await;
                }
            }
        }
    }

    /// Looks through all users: who is to be parked, by the beginning of their next slot.
    async fn due(&self, slots: Slots) -> Result<Vec<(Timestamp, ListedUser)>, CallError> {
        let (mut due, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = self.cluster.list_users(after.as_deref()).await?;
            let now = self.state.clock.now();
            for user in page.users {
                let period = self.state.period_at(&user.name, now);
                if due.len() < DUE && is_over(&user.marker, period, &self.state.keys) {
                    due.push((self.slot(slots, &user, now), user));
                }
            }
            // A cluster that repeats itself must not keep us for ever.
            if page.next.is_none() || page.next <= after {
                break;
            }
            after = page.next;
        }
        due.sort_unstable_by_key(|(slot, _)| *slot);
        Ok(due)
    }

    /// When the user's slot begins that is open, or the next one in which they may be parked.
    fn slot(&self, slots: Slots, user: &ListedUser, now: Timestamp) -> Timestamp {
        let period = self.state.period_at(&user.name, now);
        let age = period.age(now).unwrap_or_default();
        let rotation = self.state.rotations.of(period.product);
        let wait = slots.earliest(rotation, period).saturating_sub(age);
        slots.current_or_next(&user.name, now.after(wait))
    }

    /// Parks those whose slot begins before the next look, each in their slot. Who is not parked is
    /// found again.
    async fn park(&self, slots: Slots, mut due: Vec<(Timestamp, ListedUser)>, next: Timestamp) {
        due.truncate(due.partition_point(|(slot, _)| *slot < next));
        let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let part_of_all = part(slots);
        let one = |(slot, user): (Timestamp, ListedUser)| {
            let (done, failed) = (&done, &failed);
            async move {
                if failed.load(Ordering::Relaxed) >= FAILURES {
                    return;
                }
                let part = if slots.is_shared() {
                    part_of_all
                } else {
                    part(slots)
                };
                let begins = slot.after(part);
                sleep(begins.since(self.state.clock.now()).unwrap_or_default()).await;
                let (parker, name) = (Arc::clone(&self.parker), user.name.clone());
                let work = || async move { parker.park(&user).await };
                match self.updates.if_idle(&name, work).await {
                    // An update is running: they have come back.
                    None | Some(Ok(false)) => {}
                    Some(Ok(true)) => drop(done.fetch_add(1, Ordering::Relaxed)),
                    Some(Err(error)) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                        self.report.not_parked(&error, self.state.clock.now());
                    }
                }
            }
        };
        let at_once = if slots.is_shared() {
            AT_ONCE_IN_SHARED_SLOT
        } else {
            AT_ONCE
        };
        stream::iter(due).for_each_concurrent(at_once, one).await;
        self.report.ended(done.into_inner(), failed.into_inner());
    }
}

/// How far into a slot to begin: two replicas that have found the same users do not read them at
/// the same time.
fn part(slots: Slots) -> Duration {
    slots.open() / 2 * u32::from(random_byte()) / 256
}
