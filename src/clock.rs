//! The time of day, passed in: production reads the system's clock, a test sets its own.

mod day;
mod timestamp;

pub(crate) use day::{Day, Days};
pub use timestamp::Timestamp;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, UNIX_EPOCH},
};

/// Where the time comes from.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system's clock.
    #[default]
    System,
    /// Milliseconds that a test sets.
    #[cfg_attr(
        not(any(test, feature = "internals")),
        expect(dead_code, reason = "only tests make one")
    )]
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The time now. A system clock before 1970 reads as 1970.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(u64::try_from(self.exactly().as_millis()).unwrap_or(u64::MAX))
    }

    /// The same as the time since 1970, as exact as the clock is.
    #[must_use]
    pub fn exactly(&self) -> Duration {
        match self {
            #[expect(
                clippy::disallowed_methods,
                reason = "the one place that asks the system"
            )]
            Self::System => std::time::SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
            Self::Manual(ms) => Duration::from_millis(ms.load(Ordering::SeqCst)),
        }
    }
}
