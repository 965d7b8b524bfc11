//! What operators see: the log, the audit stream, the metrics and the traces.

pub(crate) mod access_log;
pub(crate) mod audit;
pub(crate) mod clocks;
mod ecs;
pub(crate) mod log;
mod losses;
pub(crate) mod metrics;
pub(crate) mod traces;

pub(crate) use log::chain;

use crate::{clock::Clock, net::tls::TlsError};
use access_log::AccessLog;
use audit::Audit;
use clocks::ClockCheck;
use metrics::{ClusterMetrics, Metrics};
use std::{io, sync::Arc, time::Duration};
use traces::Traces;

/// Where every component reports. Clones report to the same places. The default is for tests and
/// for one-off commands: nobody reads its metrics, and it writes no audit stream and no traces.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Telemetry {
    pub metrics: Metrics,
    pub audit: Audit,
    pub access_log: AccessLog,
    pub clocks: ClockCheck,
    pub traces: Traces,
}

/// The part of [`Telemetry`] for components that belong to one cluster.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "the types say it")]
pub struct ClusterTelemetry {
    pub cluster: Arc<str>,
    pub metrics: ClusterMetrics,
    pub audit: Audit,
    pub clocks: ClockCheck,
}

/// Why nothing can be reported.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The system gives no thread for the audit stream.
    #[error("the audit stream cannot be started")]
    Audit(#[source] io::Error),
    /// The system gives no thread for the access log.
    #[error("the access log cannot be started")]
    AccessLog(#[source] io::Error),
    /// A certificate or key file for the collector of traces.
    #[error("TLS to the trace collector cannot be set up")]
    Traces(#[source] TlsError),
}

impl Telemetry {
    /// Starts the audit stream, the access log and the export of traces. `tolerance` is the
    /// difference between clocks that does no harm.
    ///
    /// # Errors
    /// See [`TelemetryError`].
    pub fn start(
        audit: &audit::Config,
        access_log: access_log::Format,
        traces: traces::Config,
        clock: &Clock,
        tolerance: Duration,
    ) -> Result<Self, TelemetryError> {
        let metrics = Metrics::new(clock.now());
        Ok(Self {
            audit: Audit::start(audit, clock.clone(), metrics.clone())
                .map_err(TelemetryError::Audit)?,
            access_log: AccessLog::start(access_log, clock.clone(), metrics.clone())
                .map_err(TelemetryError::AccessLog)?,
            clocks: ClockCheck::new(clock.clone(), tolerance, metrics.clone()),
            traces: Traces::start(traces, clock.clone(), metrics.clone())
                .map_err(TelemetryError::Traces)?,
            metrics,
        })
    }

    /// For the components of one cluster: their metrics carry its name.
    #[must_use]
    pub fn of_cluster(&self, name: &str) -> ClusterTelemetry {
        ClusterTelemetry {
            cluster: name.into(),
            metrics: self.metrics.cluster(name),
            audit: self.audit.clone(),
            clocks: self.clocks.clone(),
        }
    }

    /// For the components of a tenant's cluster. Its metrics are those of the section: labels are
    /// for what the configuration names.
    #[must_use]
    pub(crate) fn of_tenant(&self, section: &str, name: &str) -> ClusterTelemetry {
        ClusterTelemetry {
            cluster: name.into(),
            ..self.of_cluster(section)
        }
    }

    /// Sends the remaining spans and writes the remaining lines, each stream within `patience`. For
    /// the end of the program, when nothing reports any more.
    pub async fn finish(&self, patience: Duration) {
        self.traces.finish().await;
        self.access_log.flush(patience).await;
        self.audit.flush(patience).await;
    }
}
