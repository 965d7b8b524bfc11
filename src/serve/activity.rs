//! Signs of life of a connection.

use http::Version;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// Written on the hot path, so a few relaxed stores and nothing more.
#[derive(Default)]
pub(super) struct Activity {
    /// Requests so far.
    requests: AtomicU32,
    /// Something was read after the last request and the last answer: the beginning of another
    /// request.
    begun: AtomicBool,
    /// The peer does not take what is written.
    stalled: AtomicBool,
    /// HTTP/2 reads at any time, and watches silent peers itself.
    multiplexed: AtomicBool,
    /// Requests that are passed on and not yet answered to the end.
    exchanges: AtomicU32,
    /// An answer was cut off whose end the client sees by the end of the connection.
    cut: AtomicBool,
}

impl Activity {
    /// A whole request came.
    pub(super) fn request(&self, version: Version) {
        self.requests.fetch_add(1, Relaxed);
        self.begun.store(false, Relaxed);
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Relaxed);
        }
    }

    pub(super) fn read(&self) {
        self.begun.store(true, Relaxed);
    }

    /// Only an answer is written, so what was read before it was the rest of a request that nobody
    /// waits for: its body.
    pub(super) fn written(&self) {
        self.begun.store(false, Relaxed);
        self.stalled.store(false, Relaxed);
    }

    /// All that was written is with the system. Asked after each poll of the connection, so it says
    /// nothing about what was read.
    pub(super) fn flushed(&self) {
        self.stalled.store(false, Relaxed);
    }

    /// A write has to wait for the peer.
    pub(super) fn write_blocked(&self) {
        self.stalled.store(true, Relaxed);
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Relaxed)
    }

    pub(super) fn exchange_begins(&self) {
        self.exchanges.fetch_add(1, Relaxed);
    }

    pub(super) fn exchange_ends(&self) {
        self.exchanges.fetch_sub(1, Relaxed);
    }

    /// Whether a request is passed on just now.
    pub(super) fn has_exchanges(&self) -> bool {
        self.exchanges.load(Relaxed) != 0
    }

    pub(super) fn answer_cut(&self) {
        self.cut.store(true, Relaxed);
    }

    /// Whether the connection must not end as it does behind a whole answer.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Whether a request has begun and is not whole.
    pub(super) fn is_in_header(&self) -> bool {
        self.begun.load(Relaxed) && !self.multiplexed.load(Relaxed)
    }
}
