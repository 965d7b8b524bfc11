//! Waiting by the real clock. Other programs have no clock that a test could set, so this is the
//! one place where tests sleep.

use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

/// How often a condition is looked at. Waits are level-triggered: what was missed once is seen the
/// next time.
const POLL: Duration = Duration::from_millis(10);

/// A machine with other work to do may be slow; no test that passes waits so long.
const WITHIN: Duration = Duration::from_secs(20);

/// Waits until something is seen.
///
/// # Panics
/// When it is not.
pub(crate) async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    find(what, WITHIN, async || seen().then_some(())).await;
}

/// Waits until `look` finds a value.
///
/// # Panics
/// When it does not within this time.
pub(crate) async fn find<T>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + within;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < end, "{what}: not seen within {within:?}");
        sleep(POLL).await;
    }
}

/// Why a test lets time pass instead of waiting for a condition.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    /// One of the program's own times ends: an expiration, a rotation, a failure that is
    /// remembered. The shipped program takes no other clock than the system's.
    Expires,
    /// What must not happen gives no sign that it has not.
    NothingHappens,
    /// Clients, gateways and faults of a test act at a speed of their own.
    Pace,
    /// A loop with several ends looks again.
    Again,
}

/// Lets time pass.
pub(crate) async fn pause(_why: Why, time: Duration) {
    sleep(time).await;
}

/// Lets time pass until this moment.
pub(crate) async fn pause_until(_why: Why, end: Instant) {
    sleep_until(end).await;
}
