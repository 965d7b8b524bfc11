//! How it goes with Redis, for readiness and for the log: a line when trouble begins, one when it is over.

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
}

const PARTS: [Part; 5] = [Part::Link, Part::Reads, Part::Writes, Part::News, Part::Queue];

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
}

impl Health {
    pub(super) fn new(clock: Clock) -> Self {
        // Nothing stands yet: readiness says so, and the log waits for the first try.
        let known = Known { trouble: vec![(Part::Link, "it has not been reached yet")], told: None };
        Self { clock, known: Mutex::new(known) }
    }

    /// Notes what is wrong with a part, or that nothing is. The texts are constants: Redis does not write our log.
    pub(super) fn set(&self, part: Part, trouble: Option<&'static str>) {
        let mut known = lock(&self.known);
        let before = known.trouble.iter().find(|(of, _)| *of == part).map(|(_, why)| *why);
        if before == trouble {
            return;
        }
        known.trouble.retain(|(of, _)| *of != part);
        known.trouble.extend(trouble.map(|why| (part, why)));
        let now = self.clock.now();
        let quiet = known.told.is_some_and(|(at, _)| now.since(at).is_some_and(|age| age < QUIET));
        match trouble {
            Some(why) if !quiet => {
                known.told = Some((now, true));
                warn!("Redis is in trouble: {why}; logins go on, and the cluster is asked more often");
            }
            None if known.trouble.is_empty() && known.told.is_none_or(|(_, trouble)| trouble) => {
                known.told = Some((now, false));
                info!("Redis is there");
            }
            Some(_) | None => {}
        }
    }

    /// What is wrong, the most fundamental first.
    pub(super) fn state(&self) -> Result<(), String> {
        let known = lock(&self.known);
        let worst = PARTS.iter().find_map(|part| known.trouble.iter().find(|(of, _)| of == part));
        worst.map_or(Ok(()), |(_, why)| Err((*why).to_owned()))
    }
}
