//! Whether the cluster accepts the logins that elastauth writes.
//!
//! It may take a write and refuse the login: its native realm is not in use, or something in
//! between changes `Authorization`. The first write of a process is followed by a login. While that
//! is refused, nobody gets a login that was never accepted, and no user is written twice.

use std::sync::atomic::{AtomicU8, Ordering};

const UNKNOWN: u8 = 0;
const REFUSED: u8 = 1;
const ACCEPTED: u8 = 2;

#[derive(Debug)]
pub(super) struct FreshLogins(AtomicU8);

impl FreshLogins {
    /// Nothing is known of them yet.
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(UNKNOWN))
    }

    /// A login that only elastauth can have written was accepted.
    pub(super) fn accepted(&self) {
        // Most logins change nothing here, and a load is cheaper than a store.
        if self.0.load(Ordering::Relaxed) != ACCEPTED {
            self.0.store(ACCEPTED, Ordering::Relaxed);
        }
    }

    /// A login was refused right after its write.
    pub(super) fn refused(&self) {
        self.0.store(REFUSED, Ordering::Relaxed);
    }

    /// Whether the next write has to be followed by a login.
    pub(super) fn need_proof(&self) -> bool {
        self.0.load(Ordering::Relaxed) != ACCEPTED
    }

    /// Whether the last one was refused.
    pub(super) fn are_refused(&self) -> bool {
        self.0.load(Ordering::Relaxed) == REFUSED
    }
}
