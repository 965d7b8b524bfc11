//! What clients of a measurement need: to be many at once, chance, and patience.

use super::now;
use std::time::{Duration, Instant};

/// Runs `work` for each number below `clients`, all at once; what each has brought.
pub(super) fn at_once<T: Send>(
    clients: usize,
    work: impl Fn(usize) -> anyhow::Result<T> + Sync,
) -> anyhow::Result<Vec<T>> {
    let work = &work;
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..clients)
            .map(|client| scope.spawn(move || work(client)))
            .collect();
        running
            .into_iter()
            .map(|client| {
                client
                    .join()
                    .map_err(|_| anyhow::anyhow!("a client crashed"))?
            })
            .collect()
    })
}

/// The headers of a user's question.
pub(super) fn identity(user: &str) -> String {
    format!("Remote-User: {user}\r\nRemote-Groups: dev\r\nRemote-Email: {user}@example.org\r\n")
}

pub(super) fn rest_until(moment: Instant) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a client has a thread of its own"
    )]
    std::thread::sleep(moment.saturating_duration_since(now()));
}

/// Numbers that look like chance, the same ones in each run.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: usize) -> Self {
        Self((seed as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    /// Any number below this one (xorshift64*).
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap_or(0) % end.max(1)
    }

    /// Any time up to this one.
    pub(super) fn at_most(&mut self, longest: Duration) -> Duration {
        longest * u32::try_from(self.below(1_001)).unwrap_or(0) / 1_000
    }
}
