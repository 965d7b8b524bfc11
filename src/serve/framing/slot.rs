//! What the stream of a connection and whoever answers its requests say to each other.

use super::types::FramingFault;
use futures_util::task::AtomicWaker;
use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU8, Ordering::SeqCst},
    },
    task::Context,
};

const OPEN: u8 = 0;
const STAYS: u8 = 1;
const SWITCHES: u8 = 2;

#[derive(Debug, Default)]
pub(crate) struct FramingSlot {
    fault: OnceLock<FramingFault>,
    /// The answer to the request that asks for an upgrade: there is one at most.
    answer: AtomicU8,
    /// The stream has bytes that came before the answer, and hyper does not read again by itself.
    is_waiting: AtomicBool,
    waits: AtomicWaker,
}

impl FramingSlot {
    pub(crate) fn set_fault(&self, fault: FramingFault) {
        // The first one ends the connection.
        let _first = self.fault.set(fault);
    }

    pub(crate) fn fault(&self) -> Option<FramingFault> {
        self.fault.get().copied()
    }

    /// A request that asks for an upgrade is answered. From then on the connection speaks another
    /// protocol, or it does not.
    pub(crate) fn answer_upgrade(&self, switches: bool) {
        let answer = if switches { SWITCHES } else { STAYS };
        self.answer.store(answer, SeqCst);
    }

    /// The next request may be able to pass: the one before it is answered.
    pub(crate) fn answered(&self) {
        // Mostly nobody waits, and to wake the connection costs a request more than all of this.
        if self.is_waiting.load(SeqCst) {
            self.is_waiting.store(false, SeqCst);
            self.waits.wake();
        }
    }

    /// Wakes this task when an answer comes that [`Self::take_answer`], asked afterwards, has not.
    pub(crate) fn wait(&self, context: &Context<'_>) {
        self.waits.register(context.waker());
        self.is_waiting.store(true, SeqCst);
    }

    pub(crate) fn take_answer(&self) -> Option<bool> {
        match self.answer.swap(OPEN, SeqCst) {
            OPEN => None,
            answer => Some(answer == SWITCHES),
        }
    }
}
