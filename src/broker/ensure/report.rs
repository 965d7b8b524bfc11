//! What an update tells operators: log, metrics, audit.

use super::types::{AttemptResult, Reason};
use crate::{
    broker::{document::Document, error::BrokerError},
    model::Group,
    telemetry::{
        ClusterTelemetry,
        audit::{Audit, EventDetails, EventKind},
        chain,
        metrics::{ClusterMetrics, Step},
    },
};
use std::sync::Arc;
use tracing::info;

#[derive(Debug)]
pub(super) struct Report {
    cluster: Arc<str>,
    metrics: ClusterMetrics,
    audit: Audit,
}

impl Report {
    pub(super) fn new(telemetry: &ClusterTelemetry) -> Self {
        Self {
            cluster: Arc::clone(&telemetry.cluster),
            metrics: telemetry.metrics.clone(),
            audit: telemetry.audit.clone(),
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
            Ok(AttemptResult::Written(reason)) => {
                let (step, kind) = match reason {
                    Reason::Absent => (Step::WrittenFirst, EventKind::UserWritten),
                    Reason::Changed => (Step::WrittenChanged, EventKind::UserWritten),
                    Reason::Rotated => (Step::WrittenRotated, EventKind::UserRotated),
                    Reason::Adopted => (Step::WrittenAdopted, EventKind::UserAdopted),
                };
                self.metrics.ensured(step);
                let user = document.target.user.as_str();
                let roles: Vec<&str> = document.account.roles.iter().map(String::as_str).collect();
                let (roles, reason) = (roles.join(","), reason.text());
                info!(?user, roles, reason, "user written to the cluster");
                self.audit(document, kind, Some(reason));
            }
            Ok(AttemptResult::TooLate | AttemptResult::OtherGeneration(_)) => {}
            Err(error) if error.is_final() => self.metrics.ensured(Step::Refused),
            Err(_) => self.metrics.ensured(Step::Failed),
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
        if !self.audit.is_on() {
            return;
        }
        let identity = &document.identity;
        let details = EventDetails {
            cluster: Some(&self.cluster),
            user: Some(identity.user().as_str()),
            provider: Some(identity.provider().name()),
            groups: identity.groups().iter().map(Group::as_str).collect(),
            roles: document.account.roles.iter().map(String::as_str).collect(),
            reason,
            ..EventDetails::default()
        };
        self.audit.write(kind, &details);
    }
}
