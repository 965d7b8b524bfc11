//! How long each step with Redis may take.

use crate::backoff::Backoff;
use std::time::Duration;

/// How long an update waits for Redis. A Redis in the same network answers within a millisecond;
/// the cluster's own answer takes several.
pub const DEADLINE: Duration = Duration::from_millis(50);
/// How long a command of the outbox may take: nobody waits for it.
pub(super) const BACKGROUND: Duration = Duration::from_secs(1);
/// How long connecting may take: Sentinels, TLS and authentication included.
pub(super) const CONNECT: Duration = Duration::from_secs(3);

/// Between two tries to connect or to subscribe. The longest is well below the ten seconds that
/// memory bridges.
pub(super) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(3))
}
