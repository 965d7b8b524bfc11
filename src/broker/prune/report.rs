//! What pruning tells operators: log, metrics, audit.

use super::types::{AskedBy, PruneError, PruneOrder, Pruned};
use crate::{
    clock::Timestamp,
    model::Username,
    rate::{Limiter, Rate},
    telemetry::{
        ClusterTelemetry,
        audit::{Audit, EventDetails, EventKind},
        chain,
        metrics::{ActionEnd, ClusterMetrics, UserAction},
    },
};
use std::{num::NonZero, sync::Arc};
use tracing::{error, info, warn};

/// Said in place of an operator's address.
const BY_CONFIGURATION: &str = "users.prune_after";

#[derive(Debug)]
pub(crate) struct Report {
    cluster: Arc<str>,
    metrics: ClusterMetrics,
    audit: Audit,
    /// For warnings: a cluster that is away fails every attempt.
    warnings: Limiter,
    /// For what no warning may hide.
    errors: Limiter,
}

impl Report {
    pub(crate) fn new(telemetry: &ClusterTelemetry) -> Self {
        Self {
            cluster: Arc::clone(&telemetry.cluster),
            metrics: telemetry.metrics.clone(),
            audit: telemetry.audit.clone(),
            warnings: Limiter::new(Rate::a_minute(1)),
            errors: Limiter::new(Rate::a_minute(1)),
        }
    }

    /// Of one user. Who is kept is no event: nothing has happened to them.
    pub(super) fn pruned(
        &self,
        user: &Username,
        order: PruneOrder,
        result: &Result<Pruned, PruneError>,
    ) {
        let (cluster, user) = (&*self.cluster, user.as_str());
        let (action, peer) = match order.by {
            AskedBy::Operator(peer) => (UserAction::Prune, Some(peer)),
            AskedBy::Configuration => (UserAction::PruneAfter, None),
        };
        let (end, failure) = match result {
            Ok(Pruned::Kept(_)) => return self.metrics.acted(action, ActionEnd::Refused),
            Ok(Pruned::Deleted(_)) => (ActionEnd::Done, None),
            Err(PruneError::Change(why)) if !why.is_refusal() => {
                (ActionEnd::Failed, Some(chain(why)))
            }
            Err(why) => (ActionEnd::Refused, Some(chain(why))),
        };
        self.metrics.acted(action, end);
        if failure.is_none() {
            let by = peer.map(|peer| peer.to_string());
            let by = by.as_deref().unwrap_or(BY_CONFIGURATION);
            info!(cluster, user, by, "a user who stayed away was deleted");
        }
        let by_configuration = peer.is_none().then_some(BY_CONFIGURATION);
        let details = EventDetails {
            cluster: Some(cluster),
            user: Some(user),
            peer,
            reason: failure.as_deref().or(by_configuration),
            ..EventDetails::default()
        };
        self.audit.write(EventKind::UserPruned, &details);
    }

    pub(super) fn too_many(&self, due: usize, of: usize, now: Timestamp) {
        self.metrics
            .acted(UserAction::PruneAfter, ActionEnd::Refused);
        if self.errors.take(now).is_ok() {
            error!(
                cluster = &*self.cluster,
                due,
                of,
                "`users.prune_after` would delete more than half of all users at once, so it \
                 deletes nobody; if the clock of this machine is right and they have stayed away, \
                 run `elastauth users prune`, which shows them first"
            );
        }
    }

    pub(super) fn ended(&self, deleted: usize, kept: usize, failed: usize) {
        if deleted + failed > 0 {
            info!(
                cluster = &*self.cluster,
                deleted, kept, failed, "a round of `users.prune_after` ended"
            );
        }
    }

    pub(super) fn not_listed(&self, error: &PruneError, now: Timestamp) {
        let what = "users cannot be looked through for `users.prune_after`; trying again later";
        self.warn(now, what, error);
    }

    pub(super) fn not_pruned(&self, error: &PruneError, now: Timestamp) {
        let what = "`users.prune_after` cannot delete a user; trying again later";
        self.warn(now, what, error);
    }

    fn warn(&self, now: Timestamp, what: &str, error: &(dyn std::error::Error + 'static)) {
        if let Ok(suppressed) = self.warnings.take(now) {
            let suppressed = suppressed.map_or(0, NonZero::get);
            warn!(
                cluster = &*self.cluster,
                error = chain(error),
                suppressed,
                "{what}"
            );
        }
    }
}
