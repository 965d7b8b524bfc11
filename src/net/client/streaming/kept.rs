//! Connections that wait for another request.

use super::{connection::Connection, types::LinkLimits};
use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::time::Instant;

/// The one that was used last is used next, so that those that are not needed grow old.
#[derive(Debug)]
pub(super) struct Kept {
    limits: LinkLimits,
    idle: Mutex<VecDeque<(Connection, Instant)>>,
}

impl Kept {
    pub(super) fn new(limits: LinkLimits) -> Self {
        Self {
            limits,
            idle: Mutex::default(),
        }
    }

    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.locked();
        let now = Instant::now();
        let mut at = idle.len();
        while let Some(before) = at.checked_sub(1) {
            at = before;
            let (connection, since) = idle.get(at)?;
            if connection.is_closed() || now.duration_since(*since) >= self.limits.idle {
                let_go(idle.remove(at));
            } else {
                return idle.remove(at).map(|(connection, _)| connection);
            }
        }
        None
    }

    /// Both messages are whole. A connection on which something is left over is closed.
    pub(super) fn put(&self, mut connection: Connection) {
        if self.limits.max_idle == 0 {
            return connection.let_go();
        }
        if !connection.becomes_ready() {
            return;
        }
        let mut idle = self.locked();
        if idle.len() >= self.limits.max_idle {
            let_go(idle.pop_front());
        }
        idle.push_back((connection, Instant::now()));
    }

    /// Closes those that were not used for a while.
    pub(super) fn sweep(&self) {
        let now = Instant::now();
        let is_old = |since: Instant| now.duration_since(since) >= self.limits.idle;
        let mut idle = self.locked();
        idle.retain_mut(|(connection, _)| !connection.has_ended());
        while idle.front().is_some_and(|(_, since)| is_old(*since)) {
            let_go(idle.pop_front());
        }
    }

    fn locked(&self) -> MutexGuard<'_, VecDeque<(Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn let_go(old: Option<(Connection, Instant)>) {
    if let Some((connection, _)) = old {
        connection.let_go();
    }
}
