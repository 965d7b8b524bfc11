//! The health of one node: ejected when it fails, on probation afterwards, back when it answers.

use crate::{backoff::Backoff, clock::Timestamp};
use std::time::Duration;

/// The first ejection. A restarting node is back within seconds, and a refused connection is cheap
/// to find out.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// The longest. A node that was away for an hour is used again a minute after it is back.
const LONGEST_EJECTION: Duration = Duration::from_mins(1);
/// How often at most it is logged that a node goes and comes. Where one of them hangs, every other
/// that has to ask it for something fails now and then, too.
const LOGGED_EVERY: Duration = Duration::from_mins(1);

#[derive(Clone)]
pub(super) struct NodeHealth {
    /// Grows with each change. An outcome counts only for the generation in which its request
    /// began: fifty requests that hang on one dying node are one strike, and an answer that was
    /// under way when the node died does not bring it back.
    pub(super) generation: u64,
    pub(super) ejection: Option<Ejection>,
    backoff: Backoff,
    /// When it was last logged that the node is ejected.
    logged: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) struct Ejection {
    since: Timestamp,
    pub(super) wait: Duration,
    /// Whether the log has it, so that it gets the end as well.
    logged: bool,
    /// A request is under way to see whether the node is back.
    probed: bool,
}

/// An ejection that has just begun, or was renewed.
pub(super) struct Ejected {
    pub(super) wait: Duration,
    /// Whether it is worth a line of the log.
    pub(super) log: bool,
}

impl Ejection {
    /// A clock that was set back ends the ejection: else it would last until the old time comes
    /// again.
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since).is_none_or(|past| past >= self.wait)
    }
}

impl NodeHealth {
    pub(super) fn new() -> Self {
        Self {
            generation: 0,
            ejection: None,
            backoff: Backoff::new(FIRST_EJECTION, LONGEST_EJECTION),
            logged: None,
        }
    }

    pub(super) fn is_ejected(&self) -> bool {
        self.ejection.is_some()
    }

    /// Whether the ejection is over and nobody tries the node yet.
    pub(super) fn is_on_probation(&self, now: Timestamp) -> bool {
        self.ejection
            .as_ref()
            .is_some_and(|ejection| !ejection.probed && ejection.is_over(now))
    }

    #[cfg(test)]
    pub(super) fn strikes(&self) -> u32 {
        self.backoff.failures()
    }

    /// When the ejection ends.
    pub(super) fn returns(&self) -> Option<Timestamp> {
        self.ejection
            .as_ref()
            .map(|ejection| ejection.since.after(ejection.wait))
    }

    pub(super) fn probe(&mut self, under_way: bool) {
        if let Some(ejection) = &mut self.ejection {
            ejection.probed = under_way;
        }
    }

    /// The node answered. Whether the log has the ejection that this ends, if it ends one.
    pub(super) fn succeeded(&mut self) -> Option<bool> {
        let ejection = self.ejection.take()?;
        self.backoff.reset();
        self.generation = self.generation.wrapping_add(1);
        Some(ejection.logged)
    }

    /// The node failed.
    pub(super) fn failed(&mut self, now: Timestamp) -> Ejected {
        let before = self.ejection.take();
        let logged = before.as_ref().is_some_and(|before| before.logged);
        let recently = |at| now.since(at).is_some_and(|past| past < LOGGED_EVERY);
        // A node that goes again shortly after the log had it gets no line; if it stays away, it
        // gets one after all.
        let log = !logged && (before.is_some() || !self.logged.is_some_and(recently));
        let wait = self.backoff.failed();
        self.ejection = Some(Ejection {
            since: now,
            wait,
            logged: logged || log,
            probed: false,
        });
        if log {
            self.logged = Some(now);
        }
        self.generation = self.generation.wrapping_add(1);
        Ejected { wait, log }
    }
}
