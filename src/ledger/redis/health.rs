//! How it goes with Redis, for readiness and for the log: a line when trouble begins, one when it
//! is over.

use crate::{
    clock::{Clock, Timestamp},
    ledger::lock,
};
use std::{sync::Mutex, time::Duration};
use tracing::{info, warn};

/// A Redis that comes and goes gets a line in this time, not one each time.
const QUIET: Duration = Duration::from_secs(10);

/// What can go wrong by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Link,
    Reads,
    Writes,
    News,
    Queue,
    Keys,
}

const PARTS: [Part; 6] = [
    Part::Link,
    Part::Reads,
    Part::Writes,
    Part::News,
    Part::Queue,
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
    told: Option<(Timestamp, bool)>,
    /// There was trouble too soon after that. If it lasts, the next word of it is told.
    untold: bool,
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        // Nothing stands yet: readiness says so, and the log waits for the first try.
        let known = Known {
            trouble: vec![(Part::Link, "it has not been reached yet")],
            told: None,
            untold: false,
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
        if before == trouble && !(trouble.is_some() && known.untold) {
            return;
        }
        known.trouble.retain(|(of, _)| *of != part);
        known.trouble.extend(trouble.map(|why| (part, why)));
        let now = self.clock.now();
        let quiet = known
            .told
            .is_some_and(|(at, _)| now.since(at).is_some_and(|age| age < QUIET));
        match trouble {
            Some(why) if !quiet => {
                (known.told, known.untold) = (Some((now, true)), false);
                warn!(
                    "Redis is in trouble: {why}; logins go on, and the cluster is asked more often"
                );
            }
            Some(_) => known.untold = true,
            None if known.trouble.is_empty() => {
                known.untold = false;
                if known.told.is_none_or(|(_, trouble)| trouble) {
                    known.told = Some((now, false));
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
    fn trouble_that_comes_back_at_once_and_stays_is_told_after_a_while() {
        let ms = Arc::new(AtomicU64::new(1_000));
        let health = Health::new(Clock::Manual(Arc::clone(&ms)));
        let told = || {
            lock(&health.known)
                .told
                .map(|(at, trouble)| (at.0, trouble))
        };
        health.set(Part::Link, None);
        assert_eq!(told(), Some((1_000, false)));
        health.set(Part::Link, Some("away"));
        assert_eq!(told(), Some((1_000, false)), "a line was written just now");
        ms.store(12_000, Ordering::SeqCst);
        health.set(Part::Link, Some("away"));
        assert_eq!(told(), Some((12_000, true)));
        ms.store(60_000, Ordering::SeqCst);
        health.set(Part::Link, Some("away"));
        assert_eq!(told(), Some((12_000, true)), "once");
        health.set(Part::Link, None);
        assert_eq!((told(), health.state()), (Some((60_000, false)), Ok(())));
    }
}
