//! Whether an exchange with a client moves, and which side has to move it.
//!
//! A client that is slow is left alone. One that lets the other side wait and moves next to nothing
//! in a whole interval holds a connection to the cluster for nothing, and is cut off.

use crate::net::client::streaming::UploadWatch;
use std::{
    mem,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

/// What is known of one exchange.
#[derive(Debug, Default)]
pub(super) struct Progress {
    upload: OnceLock<UploadWatch>,
    /// Bytes of the answer that were handed to the connection.
    sent: AtomicU64,
    /// The connection has not asked for more since: the client does not read.
    is_unread: AtomicBool,
    last: Mutex<Look>,
}

/// Both ways, as they were at some time.
#[derive(Debug, Default)]
struct Look {
    upload: Way,
    answer: Way,
}

#[derive(Debug, Default, Clone, Copy)]
struct Way {
    bytes: u64,
    /// Whether the client is waited for.
    waits: bool,
}

impl Way {
    fn stalls_since(self, before: Self, least: u64) -> bool {
        self.waits && before.waits && self.bytes.saturating_sub(before.bytes) < least
    }
}

impl Progress {
    /// The request has a body.
    pub(super) fn watch(&self, upload: UploadWatch) {
        let _only = self.upload.set(upload);
    }

    /// The answer begins, or so many bytes more of it are there for the client.
    pub(super) fn handed_on(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Relaxed);
        self.is_unread.store(true, Relaxed);
    }

    /// The client has taken what was there, and the cluster has no more yet.
    pub(super) fn waits_for_cluster(&self) {
        self.is_unread.store(false, Relaxed);
    }

    /// Looks once in each interval. Whether the client was waited for at the last look and is now,
    /// and has moved less than `least` bytes in between.
    pub(super) fn is_stalled(&self, least: u64) -> bool {
        let (bytes, waits) = self.upload.get().map_or((0, false), UploadWatch::now);
        let upload = Way { bytes, waits };
        let answer = Way {
            bytes: self.sent.load(Relaxed),
            waits: self.is_unread.load(Relaxed),
        };
        let mut looked = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let before = mem::replace(&mut *looked, Look { upload, answer });
        upload.stalls_since(before.upload, least) || answer.stalls_since(before.answer, least)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: u64 = 1_000;

    #[test]
    fn a_client_that_does_not_read_is_stalled_at_the_second_look() {
        let progress = Progress::default();
        assert!(!progress.is_stalled(LEAST));
        progress.handed_on(0);
        assert!(!progress.is_stalled(LEAST));
        assert!(progress.is_stalled(LEAST));
    }

    #[test]
    fn a_slow_reader_is_left_alone_and_a_drip_is_not() {
        let progress = Progress::default();
        for (bytes, is_stalled) in [(1, false), (1_000, false), (5_000, false), (999, true)] {
            progress.handed_on(bytes);
            assert_eq!(progress.is_stalled(LEAST), is_stalled, "{bytes}");
        }
    }

    #[test]
    fn a_slow_cluster_is_not_the_client() {
        let progress = Progress::default();
        progress.handed_on(10);
        assert!(!progress.is_stalled(LEAST));
        progress.waits_for_cluster();
        for _ in 0..9 {
            assert!(!progress.is_stalled(LEAST));
        }
        // The cluster has sent something in the meantime.
        progress.handed_on(10);
        assert!(!progress.is_stalled(LEAST));
    }
}
