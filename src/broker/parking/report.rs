//! What parking tells operators: log, metrics, audit.

use crate::{
    broker::{account_event::account_event, error::BrokerError},
    clock::Timestamp,
    cluster::{Account, CallError},
    rate::{Limiter, Rate},
    telemetry::{
        ClusterTelemetry,
        audit::{Audit, EventKind},
        chain,
        metrics::{ClusterMetrics, Scan},
    },
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tracing::{debug, info, warn};

#[derive(Debug)]
pub(super) struct Report {
    cluster: Arc<str>,
    metrics: ClusterMetrics,
    audit: Audit,
    /// For warnings: a cluster that is away fails every attempt.
    warnings: Limiter,
    /// What only an operator can change is said once, until it works.
    refused: AtomicBool,
}

impl Report {
    pub(super) fn new(telemetry: &ClusterTelemetry) -> Self {
        Self {
            cluster: Arc::clone(&telemetry.cluster),
            metrics: telemetry.metrics.clone(),
            audit: telemetry.audit.clone(),
            warnings: Limiter::new(Rate::a_minute(1)),
            refused: AtomicBool::new(false),
        }
    }

    /// A look through all users is complete.
    pub(super) fn listed(&self, due: usize, now: Timestamp) {
        self.refused.store(false, Ordering::Relaxed);
        self.metrics.scanned(Scan::Complete);
        self.metrics.parking_due(due, now);
    }

    /// A look through the users has failed.
    pub(super) fn not_listed(&self, error: &CallError, now: Timestamp) {
        self.metrics.scanned(Scan::Failed);
        let what = if error.is_refusal() {
            "the cluster does not let the service account list users, so the logins of users who \
             stay away do not end; grant it `cluster:admin/xpack/security/user/get`, as for \
             reading users, or set `credentials.park: false`"
        } else if error.is_too_big() {
            "the list of all users is longer than 64 MB, so the logins of users who stay away do \
             not end; grant the service account `cluster:admin/xpack/security/user/query` on \
             Elasticsearch 8.14 or later, which gives the list in pages"
        } else {
            self.warn(
                now,
                "users cannot be listed for parking; trying again",
                error,
            );
            return;
        };
        if !self.refused.swap(true, Ordering::Relaxed) {
            warn!(cluster = &*self.cluster, error = chain(error), "{what}");
        }
    }

    /// The users of a look through are parked, as far as they could be.
    pub(super) fn ended(&self, parked: u64, failed: u64) {
        if parked > 0 {
            let cluster = &*self.cluster;
            info!(cluster, parked, failed, "users who stayed away were parked");
        }
    }

    pub(super) fn parked(&self, account: &Account) {
        self.metrics.parked();
        debug!(user = account.name, "user parked");
        let kind = EventKind::UserParked;
        account_event(&self.audit, kind, &self.cluster, account, None);
    }

    pub(super) fn not_parked(&self, error: &BrokerError, now: Timestamp) {
        self.warn(now, "a user cannot be parked; trying again", error);
    }

    fn warn(&self, now: Timestamp, what: &str, error: &(dyn std::error::Error + 'static)) {
        if let Ok(suppressed) = self.warnings.take(now) {
            let suppressed = suppressed.map_or(0, std::num::NonZero::get);
            warn!(
                cluster = &*self.cluster,
                error = chain(error),
                suppressed,
                "{what}"
            );
        }
    }
}
