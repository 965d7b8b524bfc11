//! What Redis has still to be told: the last word about each user, in the order of coming.

use std::collections::{HashMap, VecDeque};

/// About 400 bytes each. A Redis that stays away long enough to fill this has lost sight of the users anyway.
const MOST: usize = 10_000;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) key: String,
    pub(super) what: What,
    /// What the other replicas are told.
    pub(super) letter: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Nothing that lies there may be believed.
    Forget,
    /// A write has ended well; the value takes the place of one that begins so.
    Written { instead_of: Vec<u8>, value: Vec<u8> },
    /// The cluster was asked; the value takes the place of this one, or of nothing.
    Confirmed { instead_of: Vec<u8>, value: Vec<u8> },
}

impl What {
    /// Whether others may believe something else, and must hear of it.
    pub(super) fn is_news(&self) -> bool {
        !matches!(self, Self::Confirmed { .. })
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Pending {
    errands: HashMap<String, Errand>,
    order: VecDeque<String>,
}

impl Pending {
    /// Takes an errand in, in the place of an older one about the same user; says whether it had room.
    pub(super) fn put(&mut self, errand: Errand) -> bool {
        let full = self.errands.len() >= MOST;
        match self.errands.get_mut(&errand.key) {
            // A change must not be forgotten over a later look at the cluster.
            Some(older) if older.what.is_news() && !errand.what.is_news() => true,
            Some(older) => {
                *older = errand;
                true
            }
            None if full => false,
            None => {
                self.order.push_back(errand.key.clone());
                self.errands.insert(errand.key.clone(), errand);
                true
            }
        }
    }

    /// The oldest errand.
    pub(super) fn next(&mut self) -> Option<Errand> {
        let key = self.order.pop_front()?;
        self.errands.remove(&key)
    }

    /// One that could not be run goes back to the front, unless there is a newer one.
    pub(super) fn put_back(&mut self, errand: Errand) {
        match self.errands.get(&errand.key) {
            Some(newer) if newer.what.is_news() || !errand.what.is_news() => {}
            Some(_) => drop(self.errands.insert(errand.key.clone(), errand)),
            None => {
                self.order.push_front(errand.key.clone());
                self.errands.insert(errand.key.clone(), errand);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(key: &str, what: What) -> Errand {
        Errand { key: key.to_owned(), what, letter: vec![] }
    }

    fn confirmed() -> What {
        What::Confirmed { instead_of: vec![], value: vec![1] }
    }

    #[test]
    fn the_last_word_about_each_user_is_kept_in_the_order_of_coming() {
        let mut pending = Pending::default();
        let written = What::Written { instead_of: vec![1], value: vec![2] };
        assert!(pending.put(errand("a", confirmed())) && pending.put(errand("b", What::Forget)));
        assert!(pending.put(errand("a", written.clone())));
        assert!(pending.put(errand("b", confirmed())), "a change outlives a later look");
        assert_eq!(pending.next(), Some(errand("a", written)));
        pending.put_back(errand("c", confirmed()));
        assert_eq!(pending.next(), Some(errand("c", confirmed())));
        assert_eq!(pending.next(), Some(errand("b", What::Forget)));
        assert_eq!(pending.next(), None);
    }

    #[test]
    fn what_comes_back_does_not_undo_what_came_meanwhile() {
        let mut pending = Pending::default();
        pending.put(errand("a", What::Forget));
        pending.put_back(errand("a", confirmed()));
        assert_eq!(pending.next(), Some(errand("a", What::Forget)));
        pending.put(errand("a", confirmed()));
        pending.put_back(errand("a", What::Forget));
        assert_eq!(pending.next(), Some(errand("a", What::Forget)));
    }

    #[test]
    fn a_full_queue_takes_nobody_new() {
        let mut pending = Pending::default();
        for n in 0..MOST {
            assert!(pending.put(errand(&n.to_string(), What::Forget)));
        }
        assert!(!pending.put(errand("one more", What::Forget)));
        assert!(pending.put(errand("0", What::Forget)));
    }
}
