//! Connections that wait for another request.

use super::{types::LinkLimits, upload::Outgoing};
use hyper::client::conn::http1::SendRequest;
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

pub(super) type Sender = SendRequest<Outgoing>;

/// The one that was used last is used next, so that those that are not needed grow old.
#[derive(Debug)]
pub(super) struct Kept {
    limits: LinkLimits,
    idle: Mutex<VecDeque<(Sender, Instant)>>,
}

impl Kept {
    pub(super) fn new(limits: LinkLimits) -> Self {
        Self {
            limits,
            idle: Mutex::default(),
        }
    }

    /// A connection that is ready: both messages of its last exchange are whole, hyper has read
    /// nothing behind them, and the server has not closed it.
    pub(super) fn take(&self) -> Option<Sender> {
        let mut idle = self.locked();
        let now = Instant::now();
        let mut at = idle.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let (sender, since) = idle.get(at)?;
            if sender.is_closed() || now.duration_since(*since) >= self.limits.idle {
                idle.remove(at);
            } else if sender.is_ready() {
                return idle.remove(at).map(|(sender, _)| sender);
            }
            // Otherwise its answer came before its request was whole, and the rest still goes out.
        }
        None
    }

    /// The answer is whole. hyper may not have seen the end of both messages yet.
    pub(super) fn put(&self, sender: Sender) {
        if sender.is_closed() || self.limits.max_idle == 0 {
            return;
        }
        let mut idle = self.locked();
        if idle.len() >= self.limits.max_idle {
            idle.pop_front();
        }
        idle.push_back((sender, Instant::now()));
    }

    /// Closes those that were not used for a while.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let mut idle = self.locked();
        idle.retain(|(sender, since)| {
            !sender.is_closed() && now.duration_since(*since) < self.limits.idle
        });
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<(Sender, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
