//! Periods that depend on the kind of cluster.

use std::time::Duration;

/// Periods on OpenSearch, where each write of a user makes the cluster check everybody's login
/// again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenSearchPeriods {
    /// How long a password lives; zero means for ever.
    pub rotation: Duration,
    /// How long a login may work after its period, where users are parked.
    pub park_within: Duration,
}

impl OpenSearchPeriods {
    /// Where the configuration says nothing.
    pub const ROTATION: Duration = Duration::from_hours(7 * 24);
    /// The longest default of `park_within`.
    pub const PARK_WITHIN: Duration = Duration::from_hours(24);
}

impl Default for OpenSearchPeriods {
    fn default() -> Self {
        Self {
            rotation: Self::ROTATION,
            park_within: Self::PARK_WITHIN,
        }
    }
}
