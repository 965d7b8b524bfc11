//! The beginning of a body, kept for a second try.

use bytes::Bytes;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The longest body that is kept. Searches and single documents are shorter; a bulk request is not,
/// and costs no memory so.
const MAX: usize = 64 * 1024;
/// Of all bodies of the program. Beyond it a request is sent once.
const MAX_OF_ALL: usize = 32 * 1024 * 1024;

static OF_ALL: AtomicUsize = AtomicUsize::new(0);

/// The bytes are copied: a piece as it came holds the buffer that it was read into, however small
/// it is itself.
#[derive(Default)]
pub(super) struct Beginning {
    bytes: Vec<u8>,
    is_cut: bool,
}

impl Beginning {
    /// Whether all that has come is here.
    pub(super) fn is_all(&self) -> bool {
        !self.is_cut
    }

    /// The bytes from here on, if there are any.
    pub(super) fn from(&self, at: usize) -> Option<Bytes> {
        let rest = self.bytes.get(at..).filter(|rest| !rest.is_empty());
        rest.map(Bytes::copy_from_slice)
    }

    pub(super) fn add(&mut self, piece: &[u8]) {
        if self.is_cut {
            return;
        }
        let fits = self.bytes.len() + piece.len() <= MAX
            && OF_ALL.fetch_add(piece.len(), Relaxed) + piece.len() <= MAX_OF_ALL;
        if fits {
            self.bytes.extend_from_slice(piece);
            return;
        }
        if self.bytes.len() + piece.len() <= MAX {
            OF_ALL.fetch_sub(piece.len(), Relaxed);
        }
        self.forget();
    }

    pub(super) fn forget(&mut self) {
        self.is_cut = true;
        OF_ALL.fetch_sub(self.bytes.len(), Relaxed);
        self.bytes = Vec::new();
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the bound is of the whole program.
    #[test]
    fn a_body_costs_its_bytes_and_all_of_them_are_bounded() {
        let mut kept = Beginning::default();
        for _ in 0..MAX {
            kept.add(b"x");
        }
        assert!(kept.is_all());
        assert!(kept.bytes.capacity() <= 2 * MAX);
        assert_eq!(kept.from(0).unwrap().len(), MAX);
        assert_eq!(kept.from(MAX - 2).unwrap(), "xx");
        assert_eq!(kept.from(MAX), None);
        kept.add(b"");
        assert!(kept.is_all());
        kept.add(b"x");
        assert!(!kept.is_all());
        assert_eq!(kept.bytes.capacity(), 0);
        kept.add(b"x");
        assert_eq!(kept.from(0), None);
        drop(kept);

        let mut all = Vec::new();
        for _ in 0..=MAX_OF_ALL / MAX {
            let mut kept = Beginning::default();
            kept.add(&vec![0; MAX]);
            all.push(kept);
        }
        assert!(all.iter().any(|kept| !kept.is_all()));
        drop(all);
        let mut kept = Beginning::default();
        kept.add(b"x");
        assert!(kept.is_all());
    }
}
