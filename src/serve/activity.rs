//! Signs of life of a connection.

use http::Version;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// A page of Kibana has some tens of requests under way when it is closed. Each that is cancelled
/// costs a connection to the cluster.
const MOST_CANCELLED: u32 = 200;

/// Counts a request as cancelled if it is dropped before its answer.
pub(super) struct Unanswered<'a>(Option<&'a Activity>);

impl Unanswered<'_> {
    pub(super) fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if let Some(activity) = self.0 {
            activity.cancelled();
        }
    }
}

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
    /// Requests that ended before they had a whole answer.
    cancelled: AtomicU32,
    /// The answer is written, and what comes is thrown away.
    lingers: AtomicBool,
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

    /// Whether what was read is the beginning of a head that is not complete.
    pub(super) fn head_begun(&self, has_begun: bool) {
        self.begun.store(has_begun, Relaxed);
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

    /// The client has gone back on a request before the end of its answer.
    pub(super) fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// A request that is not answered yet.
    pub(super) fn unanswered(&self) -> Unanswered<'_> {
        Unanswered(Some(self))
    }

    /// Whether the peer sends requests in order to cancel them: more than people do who close
    /// pages, and most of all that it sent.
    pub(super) fn cancels_too_much(&self) -> bool {
        let cancelled = self.cancelled.load(Relaxed);
        cancelled >= MOST_CANCELLED && cancelled > self.requests() / 2
    }

    pub(super) fn lingers(&self) {
        self.lingers.store(true, Relaxed);
    }

    pub(super) fn is_lingering(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    pub(super) fn answer_cut(&self) {
        self.cut.store(true, Relaxed);
    }

    /// Whether the connection must not end as it does behind a whole answer.
    pub(super) fn is_cut(&self) -> bool {
        self.cut.load(Relaxed)
    }

    pub(super) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Relaxed)
    }

    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Relaxed)
    }

    /// Whether a request has begun and is not whole.
    pub(super) fn is_in_header(&self) -> bool {
        self.begun.load(Relaxed) && !self.multiplexed.load(Relaxed)
    }
}
