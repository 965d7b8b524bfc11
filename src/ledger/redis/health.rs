//! The state of Redis, for readiness and for the log: a line when trouble begins, one when it is
//! over.

use crate::{
    clock::{Clock, Timestamp},
    ledger::types::lock,
};
use std::{sync::Mutex, time::Duration};
use tracing::{info, warn};

/// A Redis that comes and goes gets one line in this time, not one each time.
const QUIET: Duration = Duration::from_secs(10);

/// What can fail by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Link,
    Reads,
    Writes,
    Subscription,
    Outbox,
    Keys,
}

const PARTS: [Part; 6] = [
    Part::Link,
    Part::Reads,
    Part::Writes,
    Part::Subscription,
    Part::Outbox,
    Part::Keys,
];

#[derive(Debug)]
pub(super) struct Health {
    clock: Clock,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    trouble: Vec<(Part, &'static str)>,
    /// When the log last had a line, and whether that was of trouble.
    logged: Option<(Timestamp, bool)>,
    /// There was trouble too soon after that. If it lasts, it is logged the next time it is set.
    unlogged: bool,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        // There is no connection yet: readiness says so, and the log waits for the first try.
        let known = Known {
            trouble: vec![(Part::Link, "it has not been reached yet")],
            logged: None,
            unlogged: false,
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
        let before = known
            .trouble
            .iter()
            .find(|(of, _)| *of == part)
            .map(|(_, why)| *why);
        if before == trouble && !(trouble.is_some() && known.unlogged) {
            return;
        }
        known.trouble.retain(|(of, _)| *of != part);
        known.trouble.extend(trouble.map(|why| (part, why)));
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
                    info!("Redis is there");
                }
            }
            None => {}
        }
    }

    /// What is wrong, the most fundamental first.
    pub(super) fn state(&self) -> Result<(), String> {
        let known = lock(&self.known);
        let worst = PARTS
            .iter()
            .find_map(|part| known.trouble.iter().find(|(of, _)| of == part));
        worst.map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
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
