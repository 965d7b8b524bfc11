//! The cold path: makes the cluster agree that this user has these roles and this password.
//!
//! This file repeats [`agree`] until its result is valid for the present password period;
//! `agree` has the steps of one attempt, in their fixed order.

mod agree;
mod confirm;
mod judge;
mod limits;
mod look;
mod plan;
mod report;
mod types;
mod write;

pub(crate) use types::Plan;

use super::{config::Config, error::BrokerError, places::Class, rotation::Period, state::State};
use crate::{cluster::SecurityApi, roles::Entitled, telemetry::ClusterTelemetry};
use agree::Attempt;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use types::AttemptResult;

/// Attempts in a row: one that a boundary or another replica overtakes, one for what is true then,
/// and one more for a cluster that is slower than a short period is long.
const ATTEMPTS: u32 = 3;
/// By how much a wait for a boundary is longer than it has to be: the clock that it is for and the
/// one that measures it are two.
const SLACK: Duration = Duration::from_millis(5);

#[derive(Debug)]
pub(super) struct Ensure {
    state: Arc<State>,
    agree: Attempt,
}

impl Ensure {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        config: &Config,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            agree: Attempt::new(Arc::clone(&state), cluster, config, telemetry),
            state,
        }
    }

    /// Makes the cluster agree. Afterwards the ledger knows it.
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
        mut period: Period,
    ) -> Result<(), BrokerError> {
        let user = entitled.identity().user();
        for attempt in 1..=ATTEMPTS {
            let document = self.state.document(&entitled, period);
            let agreed = self.agree.attempt(&document, class, period).await?;
            let too_late = agreed == AttemptResult::TooLate;
            if too_late {
                let rest = self.state.rotation.rest(period, self.state.clock.now());
                sleep(rest + SLACK).await;
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
                return Ok(());
            }
            // Not before the grace is over: others still use the old password.
            sleep(now.grace_left.unwrap_or_default()).await;
            period = now;
        }
        Err(BrokerError::Late)
    }

    /// What [`Self::run`] would find and do now. It asks, and changes nothing.
    pub(super) async fn plan(&self, entitled: &Entitled) -> Result<Plan, BrokerError> {
        let period = self.state.period(entitled.identity().user());
        let document = self.state.document(entitled, period);
        self.agree.plan(&document, period).await
    }
}
