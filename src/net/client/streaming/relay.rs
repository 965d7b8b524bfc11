//! Wakes the task that waits for a connection.
//!
//! The parts of hyper wake each other. Where one task polls them all, such a wake-up would only
//! have it polled once more for nothing.

use futures_util::task::AtomicWaker;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Wake, Waker},
};

#[derive(Default)]
pub(super) struct Relay {
    task: AtomicWaker,
    is_muted: AtomicBool,
    /// Somebody wanted to wake the task meanwhile: one of the parts, or the system.
    missed: AtomicBool,
}

impl Relay {
    /// From now on this task is woken.
    pub(super) fn register(&self, task: &Waker) {
        self.task.register(task);
    }

    /// From now on none is.
    pub(super) fn forget(&self) {
        drop(self.task.take());
    }

    /// Does something that wakes no task, and says whether it, or the system, would have. Whoever
    /// waits afterwards has to look again in this case.
    pub(super) fn muted<T>(&self, work: impl FnOnce() -> T) -> (T, bool) {
        self.is_muted.store(true, SeqCst);
        let done = work();
        self.is_muted.store(false, SeqCst);
        (done, self.missed.swap(false, SeqCst))
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_muted.load(SeqCst) {
            self.missed.store(true, SeqCst);
            // Otherwise it may not be seen any more.
            if self.is_muted.load(SeqCst) {
                return;
            }
        }
        self.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Counted(AtomicUsize);

    impl Wake for Counted {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    #[test]
    fn a_wake_up_reaches_the_task_or_whoever_muted_it() {
        let (relay, count) = (Arc::<Relay>::default(), Arc::<Counted>::default());
        let waker = Waker::from(Arc::clone(&relay));
        let times = || count.0.load(SeqCst);
        waker.wake_by_ref();
        relay.register(&Waker::from(Arc::clone(&count)));
        assert_eq!(relay.muted(|| waker.wake_by_ref()), ((), true));
        assert_eq!(relay.muted(|| ()), ((), false));
        assert_eq!(times(), 0);
        waker.wake_by_ref();
        assert_eq!(times(), 1);
        relay.register(&Waker::from(Arc::clone(&count)));
        relay.forget();
        waker.wake_by_ref();
        assert_eq!(times(), 1);
    }
}
