//! How long an update tries again where the cluster is away for a moment: a node that restarts, an
//! election, a full queue. A newcomer does not have to notice.

use std::time::Duration;
use tokio::time::{Instant, sleep};

const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(super) struct Patience {
    ends: Instant,
    /// Doubled each time. Not spread: each update begins at a time of its own.
    next_wait: Duration,
    /// Whether this update has taken its write from the limits: a write that is tried again is the
    /// same one.
    pub(super) has_taken: bool,
}

impl Patience {
    pub(super) fn of(tries_for: Duration) -> Self {
        Self {
            ends: Instant::now() + tries_for,
            next_wait: FIRST_WAIT,
            has_taken: false,
        }
    }

    /// Waits until the next attempt; says whether there is time for one.
    pub(super) async fn wait(&mut self) -> bool {
        let wait = self.next_wait;
        self.next_wait = (wait * 2).min(LONGEST_WAIT);
        let in_time = Instant::now() + wait < self.ends;
        if in_time {
            sleep(wait).await;
        }
        in_time
    }
}
