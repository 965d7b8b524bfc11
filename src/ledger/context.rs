//! What a ledger is given by the program that it runs in.

use crate::{
    clock::Clock,
    keys::Keyring,
    shutdown::Tasks,
    telemetry::{clocks::ClockCheck, metrics::ClusterMetrics},
};
use std::{sync::Arc, time::Duration};

/// What a ledger needs beside its own settings.
#[derive(Debug, Clone)]
pub struct LedgerContext {
    /// Of the deployment.
    pub keys: Arc<Keyring>,
    /// How long an entry is used at most.
    pub expiration: Duration,
    /// The time.
    pub clock: Clock,
    /// Run what a store does in the background.
    pub tasks: Tasks,
    /// Learns the time of other replicas.
    pub clocks: ClockCheck,
    /// Count messages of other replicas that were not used.
    pub metrics: ClusterMetrics,
}
