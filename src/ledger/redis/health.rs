//! The state of Redis, for readiness and for the log: a line when trouble begins, one when it is
//! over.

use crate::{
    clock::{Clock, Timestamp},
    ledger::types::lock,
};
use std::{collections::BTreeMap, sync::Mutex, time::Duration};
use tracing::{info, warn};

/// A Redis that comes and goes gets one line in this time, not one each time.
const QUIET: Duration = Duration::from_secs(10);

/// What can fail by itself, the most fundamental first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Link,
    Reads,
    Writes,
    Subscription,
    Outbox,
    Keys,
}

pub(super) struct Health {
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    trouble: BTreeMap<Part, &'static str>,
    /// When the log last had a line, and whether that was of trouble.
    logged: Option<(Timestamp, bool)>,
    /// There was trouble too soon after that. If it lasts, it is logged the next time it is set.
    unlogged: bool,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        // There is no connection yet: readiness says so, and the log waits for the first try.
        let known = Known {
            trouble: BTreeMap::from([(Part::Link, "it has not been reached yet")]),
            ..Known::default()
        };
        Self {
            clock,
            known: Mutex::new(known),
        }
    }

    /// Notes what is wrong with a part, or that nothing is. The texts are constants: Redis does not
    /// write our log.
    pub(super) fn set(&self, part: Part, trouble: Option<&'static str>) {
        let mut known = lock(&self.known);
        let before = known.trouble.remove(&part);
        known.trouble.extend(trouble.map(|why| (part, why)));
        if before == trouble && !(trouble.is_some() && known.unlogged) {
            return;
        }
        let now = self.clock.now();
        let quiet = known
            .logged
            .is_some_and(|(at, _)| now.since(at).is_some_and(|age| age < QUIET));
        match trouble {
            Some(why) if !quiet => {
                (known.logged, known.unlogged) = (Some((now, true)), false);
                warn!(
                    "Redis is in trouble: {why}; logins go on, and the cluster is asked more often"
                );
            }
            Some(_) => known.unlogged = true,
            None if known.trouble.is_empty() => {
                known.unlogged = false;
                if known.logged.is_none_or(|(_, trouble)| trouble) {
                    known.logged = Some((now, false));
                    info!("Redis is available");
                }
            }
            None => {}
        }
    }

    /// What is wrong, the most fundamental first.
    pub(super) fn state(&self) -> Result<(), &'static str> {
        let known = lock(&self.known);
        let worst = known.trouble.first_key_value();
        worst.map_or(Ok(()), |(_, why)| Err(*why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    };

    #[test]
    fn trouble_that_comes_back_at_once_and_lasts_is_logged_after_a_while() {
        let ms = Arc::new(AtomicU64::new(1_000));
        let health = Health::new(Clock::Manual(Arc::clone(&ms)));
        let logged = || {
            lock(&health.known)
                .logged
                .map(|(at, trouble)| (at.0, trouble))
        };
        health.set(Part::Link, None);
        assert_eq!(logged(), Some((1_000, false)));
        health.set(Part::Link, Some("away"));
        assert_eq!(
            logged(),
            Some((1_000, false)),
            "a line was written just now"
        );
        ms.store(12_000, Ordering::SeqCst);
        health.set(Part::Link, Some("away"));
        assert_eq!(logged(), Some((12_000, true)));
        ms.store(60_000, Ordering::SeqCst);
        health.set(Part::Link, Some("away"));
        assert_eq!(logged(), Some((12_000, true)), "once");
        health.set(Part::Link, None);
        assert_eq!((logged(), health.state()), (Some((60_000, false)), Ok(())));
    }
}
