//! The settings of the traces.

use super::context::Sampler;
use crate::net::client;
use http::Uri;
use std::time::Duration;

/// Settings of the traces.
#[derive(Debug, Clone, Default)]
pub enum Config {
    /// No traces.
    #[default]
    Off,
    /// Traces to a collector.
    Otlp(Box<Otlp>),
}

/// Where spans go, and which.
#[derive(Debug, Clone)]
pub struct Otlp {
    /// The collector, with the whole path.
    pub endpoint: Uri,
    /// How elastauth connects to it. The headers may be secret.
    pub http: client::Config,
    /// For one batch, with all attempts.
    pub timeout: Duration,
    /// The attributes of this program, sent with each batch.
    pub resource: Vec<(String, String)>,
    /// Which traces are recorded.
    pub sampler: Sampler,
    /// How many finished spans may wait. More are lost, and counted.
    pub queue: usize,
    /// The most spans in one request.
    pub batch: usize,
    /// The longest that a span waits for others.
    pub delay: Duration,
}
