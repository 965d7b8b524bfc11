//! The cold path: makes the cluster agree that this user has these roles and this password.
//!
//! This file repeats [`agree`] until its result is valid for the present password period;
//! `agree` has the steps of one attempt, in their fixed order.

mod agree;
mod confirm;
mod describe;
mod fresh_logins;
mod judge;
mod limits;
mod look;
mod patience;
mod plan;
mod report;
mod types;

pub(crate) use types::Plan;

use super::{
    config::{Config, WriteLimits},
    error::BrokerError,
    places::{Class, WritePlaces},
    rotation::{Period, SLACK},
    slots::PARKING_ENDS,
    state::State,
};
use crate::{
    cluster::SecurityApi, model::Generation, roles::Entitled, telemetry::ClusterTelemetry,
};
use agree::Attempt;
use patience::Patience;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use types::{AttemptResult, Reason};

/// Attempts in a row: one that a boundary or another replica overtakes, one for what is true then,
/// and one more for a cluster that is slower than a short period is long.
const ATTEMPTS: u32 = 3;
/// Generations tried in one attempt: the remembered one, the stored one, the cluster's, and one
/// more for a login that is revoked meanwhile.
const GENERATIONS: u32 = 4;

#[derive(Debug)]
pub(super) struct Ensure {
    state: Arc<State>,
    agree: Attempt,
    tries_for: Duration,
}

impl Ensure {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        writes: Arc<WritePlaces>,
        config: &Config,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            agree: Attempt::new(Arc::clone(&state), cluster, writes, config, telemetry),
            tries_for: config.tries_for,
            state,
        }
    }

    /// Writes within these limits from now on.
    pub(super) fn replace_limits(&self, limits: WriteLimits) {
        self.agree.replace_limits(limits);
    }

    /// Makes the cluster agree. Afterwards the ledger knows it. The result is the generation of the
    /// login: a higher one than `generation` where that one is revoked.
    ///
    /// An attempt is repeated in three cases. A new password period has begun meanwhile: a slow
    /// write may have undone what another replica wrote for it, and the request that started this
    /// update may be gone. A write would have begun shortly before a boundary: it waits for the new
    /// period. Another replica has contradicted meanwhile: what the cluster has answered here may
    /// be older than that.
    pub(super) async fn run(
        self: Arc<Self>,
        entitled: Entitled,
        class: Class,
        mut generation: Generation,
        mut period: Period,
    ) -> Result<Generation, BrokerError> {
        let user = entitled.identity().user();
        let mut patience = Patience::of(self.tries_for);
        let mut looked_again = false;
        let was_known = self.state.is_known(user, period);
        for attempt in 1..=ATTEMPTS {
            let agreed = self
                .attempt(&entitled, class, &mut generation, period, &mut patience)
                .await?;
            let too_late = agreed == AttemptResult::TooLate;
            if too_late {
                sleep(self.state.rest(period) + SLACK).await;
            }
            let now = self.state.period(user);
            if now.is_same(period) {
                let nothing_remembered = || {
                    self.state
                        .ledger
                        .recall(user, self.state.clock.now())
                        .is_none()
                };
                // Too late and still the same period: a clock was set back meanwhile.
                if too_late || (attempt < ATTEMPTS && nothing_remembered()) {
                    continue;
                }
                // Another replica may be parking the user. If that usually takes effect soon, it is
                // waited for, once: see the top of `parking`. Nobody who was not there before is
                // parked.
                if !was_known && !looked_again {
                    looked_again = true;
                    let overlap = self.state.beware_of_parking(user, period);
                    if attempt < ATTEMPTS
                        && !matches!(agreed, AttemptResult::Written(Reason::Absent, _))
                        && overlap.is_some_and(|overlap| overlap.is_likely)
                    {
                        sleep(PARKING_ENDS).await;
                        continue;
                    }
                }
                return Ok(generation);
            }
            // Not before the grace is over: others still use the old password.
            sleep(now.grace_left.unwrap_or_default()).await;
            period = now;
        }
        Err(BrokerError::Late)
    }

    /// One attempt, made again with the later login while that is found to be revoked, and after a
    /// while where the cluster was away. Each begins with the first step, so that no write follows
    /// an old read.
    async fn attempt(
        &self,
        entitled: &Entitled,
        class: Class,
        generation: &mut Generation,
        period: Period,
        patience: &mut Patience,
    ) -> Result<AttemptResult, BrokerError> {
        let mut generations = 1..GENERATIONS;
        loop {
            let document = self.state.document(entitled, *generation, period);
            match self.agree.attempt(&document, class, period, patience).await {
                Ok(AttemptResult::OtherGeneration(later)) if generations.next().is_some() => {
                    *generation = later;
                }
                Ok(AttemptResult::OtherGeneration(_)) => return Err(BrokerError::Late),
                Err(error) if self.agree.may_pass(&error) && patience.wait().await => {}
                result => return result,
            }
        }
    }

    /// Writes names, mail and groups of a user who has been answered with this login. Runs while no
    /// update of the user does. What has changed meanwhile is left to the next request.
    pub(super) async fn describe(self: Arc<Self>, entitled: Entitled, generation: Generation) {
        let period = self.state.period(entitled.identity().user());
        if period.grace_left.is_none() {
            let document = self.state.document(&entitled, generation, period);
            self.agree.describe(&document, period).await;
        }
    }

    /// What [`Self::run`] would find and do now. It asks, and changes nothing.
    pub(super) async fn plan(&self, entitled: &Entitled) -> Result<Plan, BrokerError> {
        let user = entitled.identity().user();
        let (period, mut generation) =
            (self.state.period(user), self.state.ledger.generation(user));
        let mut more = 1..GENERATIONS;
        loop {
            let document = self.state.document(entitled, generation, period);
            let plan = self.agree.plan(&document).await?;
            let later = plan
                .found
                .as_ref()
                .map_or(generation, |found| self.state.generation_in(&found.account));
            if later <= generation || more.next().is_none() {
                return Ok(plan);
            }
            generation = later;
        }
    }
}
