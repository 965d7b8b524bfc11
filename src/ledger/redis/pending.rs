//! What Redis has still to be told: the last word about each user, changes first, else in the order
//! of coming.

use crate::model::Username;
use std::collections::{BTreeMap, HashMap};

/// About 500 bytes each. A Redis that stays away long enough to fill this has lost sight of the
/// users anyway.
const MOST: usize = 10_000;

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Errand {
    pub(super) key: String,
    pub(super) user: Username,
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
    /// Whether others may believe something else, and must hear of it. That somebody still stands
    /// as he did is good to know, and no more.
    pub(super) fn is_news(&self) -> bool {
        !matches!(self, Self::Confirmed { .. })
    }
}

/// The queue. News comes before what the cluster has only confirmed: others act on old facts until
/// they hear it.
#[derive(Debug, Default)]
pub(super) struct Pending {
    errands: HashMap<String, (Place, Errand)>,
    order: BTreeMap<Place, String>,
    /// The number of the next errand, and of the next that goes back to the front.
    back: i64,
    front: i64,
}

/// Where an errand stands in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    is_no_news: bool,
    number: i64,
}

impl Pending {
    /// Takes an errand in, in the place of an older one about the same user; says whether it had
    /// room.
    pub(super) fn put(&mut self, errand: Errand) -> bool {
        match self.errands.get(&errand.key) {
            // A change must not be forgotten over a later look at the cluster.
            Some((_, older)) if older.what.is_news() && !errand.what.is_news() => return true,
            Some((place, older)) if older.what.is_news() == errand.what.is_news() => {
                let place = *place;
                drop(self.errands.insert(errand.key.clone(), (place, errand)));
                return true;
            }
            Some(_) => {}
            // A change is worth more than what the cluster has only confirmed: that costs a call.
            None if self.errands.len() < MOST => {}
            None => {
                if !errand.what.is_news() || !self.drop_one_without_news() {
                    return false;
                }
            }
        }
        self.back += 1;
        self.place(self.back, errand);
        true
    }

    /// The oldest errand.
    pub(super) fn next(&mut self) -> Option<Errand> {
        let (_, key) = self.order.pop_first()?;
        self.errands.remove(&key).map(|(_, errand)| errand)
    }

    /// One that could not be run goes back to the front, or behind the others of its kind, unless
    /// there is a newer one.
    pub(super) fn put_back(&mut self, errand: Errand, behind: bool) {
        match self.errands.get(&errand.key) {
            Some((_, newer)) if newer.what.is_news() || !errand.what.is_news() => {}
            Some(_) | None if behind => {
                self.back += 1;
                self.place(self.back, errand);
            }
            Some(_) | None => {
                self.front -= 1;
                self.place(self.front, errand);
            }
        }
    }

    fn drop_one_without_news(&mut self) -> bool {
        let Some(last) = self.order.last_entry().filter(|last| last.key().is_no_news) else {
            return false;
        };
        self.errands.remove(&last.remove()).is_some()
    }

    fn place(&mut self, number: i64, errand: Errand) {
        let place = Place {
            is_no_news: !errand.what.is_news(),
            number,
        };
        self.order.insert(place, errand.key.clone());
        if let Some((before, _)) = self.errands.insert(errand.key.clone(), (place, errand)) {
            self.order.remove(&before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(key: &str, what: What) -> Errand {
        Errand {
            key: key.to_owned(),
            user: Username::parse("alice").unwrap(),
            what,
            letter: vec![],
        }
    }

    fn confirmed() -> What {
        What::Confirmed {
            instead_of: vec![],
            value: vec![1],
        }
    }

    #[test]
    fn the_last_word_about_each_user_is_kept_and_changes_come_first() {
        let mut pending = Pending::default();
        let written = What::Written {
            instead_of: vec![1],
            value: vec![2],
        };
        for key in ["x", "a", "y"] {
            assert!(pending.put(errand(key, confirmed())));
        }
        assert!(pending.put(errand("b", What::Forget)));
        assert!(pending.put(errand("a", written.clone())));
        assert!(
            pending.put(errand("b", confirmed())),
            "a change outlives a later look"
        );
        assert_eq!(pending.next(), Some(errand("b", What::Forget)));
        assert_eq!(pending.next(), Some(errand("a", written)));
        pending.put_back(errand("c", confirmed()), false);
        for key in ["c", "x", "y"] {
            assert_eq!(pending.next(), Some(errand(key, confirmed())));
        }
        assert_eq!(pending.next(), None);
        assert!(pending.errands.is_empty() && pending.order.is_empty());
    }

    #[test]
    fn what_comes_back_does_not_undo_what_came_meanwhile() {
        let mut pending = Pending::default();
        pending.put(errand("a", What::Forget));
        pending.put_back(errand("a", confirmed()), false);
        assert_eq!(pending.next(), Some(errand("a", What::Forget)));
        pending.put(errand("a", confirmed()));
        pending.put_back(errand("a", What::Forget), false);
        assert_eq!(pending.next(), Some(errand("a", What::Forget)));
    }

    #[test]
    fn what_is_refused_lets_the_others_pass() {
        let mut pending = Pending::default();
        for key in ["a", "b"] {
            pending.put(errand(key, What::Forget));
        }
        let refused = pending.next().unwrap();
        pending.put_back(refused, true);
        pending.put(errand("a", confirmed()));
        assert_eq!(
            [pending.next(), pending.next(), pending.next()],
            [
                Some(errand("b", What::Forget)),
                Some(errand("a", What::Forget)),
                None
            ]
        );
    }

    #[test]
    fn a_full_queue_takes_nobody_new() {
        let mut pending = Pending::default();
        for n in 0..MOST {
            assert!(pending.put(errand(&n.to_string(), What::Forget)));
        }
        assert!(!pending.put(errand("one more", What::Forget)));
        assert!(pending.put(errand("0", What::Forget)));
        // But what the cluster has only confirmed makes room for a change.
        pending.next();
        assert!(
            pending.put(errand("confirmed", confirmed()))
                && !pending.put(errand("another", confirmed()))
        );
        assert!(
            pending.put(errand("a change", What::Forget))
                && !pending.put(errand("one more", What::Forget))
        );
        assert_eq!(
            (
                pending.errands.len(),
                pending.order.len(),
                pending.errands.contains_key("confirmed")
            ),
            (MOST, MOST, false)
        );
    }
}
