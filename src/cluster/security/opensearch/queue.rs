//! Who waits for a write, and what one call takes of them.

use super::entry::Entry;
use crate::{
    cluster::{
        error::{CallError, CallFailure},
        security::client::Client,
    },
    telemetry::metrics::Call,
};
use std::{
    collections::{HashSet, VecDeque},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::Instant};

/// Of one call. Some 300 KB.
pub(super) const MOST_ENTRIES: usize = 500;
const MOST_BYTES: usize = 1024 * 1024;
/// Who waits at once. Beyond it the cluster is overloaded.
const MOST_WAITING: usize = 10_000;
/// How long after a conflict other replicas are expected to write. Whoever writes alone is held up
/// for so long.
const CONTENDED: Duration = Duration::from_secs(10);
/// From when on a write is not begun any more.
const PATIENCE: Duration = Duration::from_secs(10);
/// What lies at most between the read of a user and the place in this queue: a hash, and a word to
/// other replicas.
const SINCE_READ: Duration = Duration::from_secs(2);

pub(super) type Written = Result<(), CallError>;

pub(super) struct Shared {
    pub(super) client: Arc<Client>,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether a task writes, until nothing waits.
    writing: bool,
    /// Calls that have ended, and when the last one did.
    calls: u64,
    ended: Option<Instant>,
    /// The last conflict with another writer.
    conflict: Option<Instant>,
}

pub(super) struct Waiting {
    pub(super) entry: Entry,
    pub(super) until: Instant,
    /// How many calls had ended when the user was read. Since the next one, somebody else may have
    /// written the user.
    pub(super) calls: u64,
    pub(super) result: oneshot::Sender<Written>,
}

impl Shared {
    pub(super) fn new(client: Arc<Client>) -> Self {
        let queue = Mutex::default();
        Self { client, queue }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody writes already.
    pub(super) fn add(
        &self,
        entry: Entry,
        result: oneshot::Sender<Written>,
    ) -> Result<bool, CallError> {
        let mut queue = self.queue();
        if queue.waiting.len() >= MOST_WAITING {
            return Err(busy());
        }
        // The last call may have ended after the user was read.
        let is_sure = !entry.is_over_a_user()
            || queue
                .ended
                .is_none_or(|ended| ended.elapsed() >= SINCE_READ);
        let waiting = Waiting {
            entry,
            until: Instant::now() + PATIENCE,
            calls: queue.calls - u64::from(!is_sure),
            result,
        };
        queue.waiting.push_back(waiting);
        Ok(mem::replace(&mut queue.writing, true))
    }

    pub(super) fn calls(&self) -> u64 {
        self.queue().calls
    }

    pub(super) fn call_ended(&self) {
        let mut queue = self.queue();
        queue.calls += 1;
        queue.ended = Some(Instant::now());
    }

    pub(super) fn met_a_conflict(&self) {
        self.queue().conflict = Some(Instant::now());
    }

    /// Whether other replicas write too, as far as conflicts tell.
    pub(super) fn is_contended(&self) -> bool {
        let last = self.queue().conflict;
        last.is_some_and(|last| last.elapsed() < CONTENDED)
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        !self.queue().writing
    }

    /// What one call takes; nothing if nothing waits, and then nobody writes. Who has waited too
    /// long is told so, and who waits no more is left out.
    pub(super) fn next(&self) -> Vec<Waiting> {
        let now = Instant::now();
        let mut queue = self.queue();
        let (mut batch, mut bytes) = (Vec::<Waiting>::new(), 0);
        let (mut names, mut later) = (HashSet::new(), VecDeque::new());
        while let Some(waiting) = queue.waiting.pop_front() {
            if waiting.result.is_closed() {
                continue;
            }
            if waiting.until < now {
                let _gone = waiting.result.send(Err(busy()));
                continue;
            }
            let fits = bytes + waiting.entry.bytes() <= MOST_BYTES || batch.is_empty();
            if batch.len() == MOST_ENTRIES || !fits {
                queue.waiting.push_front(waiting);
                break;
            }
            // Two writes of one user are two writes, in their order.
            if names.insert(waiting.entry.name.clone()) {
                bytes += waiting.entry.bytes();
                batch.push(waiting);
            } else {
                later.push_back(waiting);
            }
        }
        later.append(&mut queue.waiting);
        queue.waiting = later;
        queue.writing = !batch.is_empty();
        batch
    }

    /// Nobody writes any more, and nobody waits for it.
    pub(super) fn stop(&self) {
        let mut queue = self.queue();
        if mem::take(&mut queue.writing) {
            queue.waiting.clear();
        }
    }
}

pub(super) fn answer(part: Vec<Waiting>, result: &Written) {
    for waiting in part {
        let _gone = waiting.result.send(result.clone());
    }
}

pub(super) fn busy() -> CallError {
    CallError::of_cluster(Call::WriteUser, CallFailure::Busy)
}
