//! The shipped program between a client and the stand-in cluster, on real sockets; nothing that has
//! to be fetched first.

#![allow(dead_code, reason = "each test binary uses its own share")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the bans are for the program; a test waits for other programs by the real clock"
)]

pub(crate) mod elastauth;
pub(crate) mod http;
pub(crate) mod idp;
pub(crate) mod multiplexed;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod stage;
pub(crate) mod tls;

use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Waits until something is seen, as often as it takes within ten seconds.
///
/// # Panics
/// When it is not.
pub(crate) async fn until(what: &str, mut seen: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !seen() {
        assert!(Instant::now() < end, "{what} was not seen");
        sleep(Duration::from_millis(10)).await;
    }
}
