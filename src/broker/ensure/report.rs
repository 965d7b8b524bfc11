//! What an update tells operators: log, metrics, audit.

use super::types::{AttemptResult, Reason};
use crate::{
    broker::{account_event::account_event, document::Document, error::BrokerError},
    clock::Timestamp,
    cluster::Account,
    rate::{Limiter, Rate},
    telemetry::{
        ClusterTelemetry,
        audit::{Audit, EventKind},
        chain,
        metrics::{ClusterMetrics, Step},
    },
};
use std::sync::Arc;
use tracing::{info, warn};

#[derive(Debug)]
pub(super) struct Report {
    cluster: Arc<str>,
    metrics: ClusterMetrics,
    audit: Audit,
    other_keys: Limiter,
    other_periods: Limiter,
}

impl Report {
    pub(super) fn new(telemetry: &ClusterTelemetry) -> Self {
        Self {
            cluster: Arc::clone(&telemetry.cluster),
            metrics: telemetry.metrics.clone(),
            audit: telemetry.audit.clone(),
            other_keys: Limiter::new(Rate::a_minute(1)),
            other_periods: Limiter::new(Rate::a_minute(1)),
        }
    }

    /// An attempt has ended. A refusal is audited with the request that it refuses, a failed write
    /// by [`Self::write_failed`].
    pub(super) fn ended(&self, document: &Document, agreed: &Result<AttemptResult, BrokerError>) {
        match agreed {
            Ok(AttemptResult::Confirmed) => {
                self.metrics.ensured(Step::Confirmed);
                self.audit(document, EventKind::UserConfirmed, None);
            }
            Ok(AttemptResult::Written(reason, differs)) => {
                let (step, kind) = match reason {
                    Reason::Absent => (Step::WrittenFirst, EventKind::UserWritten),
                    Reason::Changed | Reason::Described => {
                        (Step::WrittenChanged, EventKind::UserWritten)
                    }
                    Reason::Seen => (Step::WrittenSeen, EventKind::UserWritten),
                    Reason::Rotated => (Step::WrittenRotated, EventKind::UserRotated),
                    Reason::Adopted => (Step::WrittenAdopted, EventKind::UserAdopted),
                };
                self.metrics.ensured(step);
                let user = document.target.user.as_str();
                let roles: Vec<&str> = document.account.roles.iter().map(String::as_str).collect();
                let (roles, reason) = (roles.join(","), reason.text());
                let differs = Some(differs.to_string()).filter(|differs| !differs.is_empty());
                let cluster = &*self.cluster;
                info!(
                    ?user,
                    roles, reason, differs, cluster, "user written to the cluster"
                );
                self.audit(document, kind, Some(reason));
            }
            Ok(AttemptResult::TooLate | AttemptResult::OtherGeneration(_)) => {}
            Err(error) if error.is_final() => self.metrics.ensured(Step::Refused),
            Err(_) => self.metrics.ensured(Step::Failed),
        }
    }

    /// Two deployments that write each other's users are a fault of their configurations, and so is
    /// a replica whose clock is far off: what one of them writes, the other undoes.
    pub(super) fn other_writer(
        &self,
        document: &Document,
        found: &Account,
        knows_key: impl Fn(&str) -> bool,
        now: Timestamp,
    ) {
        let Some(marker) = found.origin.marker() else {
            return;
        };
        let user = document.target.user.as_str();
        let theirs = marker.key_id.as_deref().unwrap_or_default();
        if !theirs.is_empty() && !knows_key(theirs) {
            if self.other_keys.take(now).is_ok() {
                let ours = document.key_id().unwrap_or_default();
                warn!(
                    ?user,
                    key_id = theirs,
                    our_key_id = ours,
                    "the user was written with another key; two deployments with different \
                     `secret_key`s must not share a cluster, or each undoes what the other has \
                     written (after a change of the key this ends by itself)"
                );
            }
        } else if let Some(period) = marker.epoch
            // The next period is that of a replica whose clock is a little ahead.
            && period > document.target.epoch + 1
            && self.other_periods.take(now).is_ok()
        {
            warn!(
                ?user,
                period,
                our_period = document.target.epoch,
                "the user was written for a password period that is yet to come; compare the \
                 clocks and `credentials.rotation` of all replicas"
            );
        }
    }

    pub(super) fn write_failed(&self, document: &Document, error: &BrokerError) {
        self.audit(document, EventKind::WriteFailed, Some(&chain(error)));
    }

    pub(super) fn over_write_budget(&self, error: &BrokerError) {
        if *error == BrokerError::WriteBudget {
            self.metrics.over_budget();
        }
    }

    fn audit(&self, document: &Document, kind: EventKind, reason: Option<&str>) {
        account_event(&self.audit, kind, &self.cluster, &document.account, reason);
    }
}
