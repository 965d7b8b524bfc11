//! What has still to be reported to Redis: the latest about each user, changes first, else in the
//! order of coming.

use crate::{
    keys::StoreKeyId,
    ledger::{
        message::Event,
        types::{How, lock},
    },
    model::Username,
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};
use tokio::sync::Notify;

/// About 500 bytes each. If Redis stays away long enough to fill this, nothing that it has about
/// the users is used any more.
const MOST: usize = 10_000;

/// What is to be stored about one user, and reported to the other replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OutboxEntry {
    pub(super) key: String,
    pub(super) user: Username,
    pub(super) action: Action,
    /// Which of the deployment's keys closes the message. It gets its number when it is sent.
    pub(super) keys: StoreKeyId,
    pub(super) event: Event,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing that is stored may be used.
    Forget,
    /// The user is present. `instead_of` is what must be stored for `value` to replace it: after a
    /// write the beginning of the stored value; after a confirmation the whole value, or empty if
    /// nothing may be stored.
    Store {
        how: How,
        instead_of: Vec<u8>,
        value: Vec<u8>,
    },
}

impl Action {
    /// Whether other replicas may use something else until they know. A confirmation only spares
    /// them a call.
    pub(super) fn is_change(&self) -> bool {
        !matches!(
            self,
            Self::Store {
                how: How::Confirmed,
                ..
            }
        )
    }
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    pub(super) filled: Notify,
}

impl Outbox {
    /// Takes an entry instead of an older one about the same user; says whether there was room.
    pub(super) fn put(&self, entry: OutboxEntry) -> bool {
        let had_room = lock(&self.queue).put(entry);
        self.filled.notify_one();
        had_room
    }

    pub(super) fn next(&self) -> Option<OutboxEntry> {
        lock(&self.queue).next()
    }

    /// One that could not be sent goes back to the front, or behind the others of its kind, unless
    /// there is a newer one.
    pub(super) fn put_back(&self, entry: OutboxEntry, behind: bool) {
        lock(&self.queue).put_back(entry, behind);
    }
}

/// Changes come before confirmations: other replicas use old facts until they know.
#[derive(Debug, Default)]
struct Queue {
    entries: HashMap<String, (Position, OutboxEntry)>,
    order: BTreeMap<Position, String>,
    /// The number of the latest entry, and of the latest that went back to the front.
    back: i64,
    front: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    is_confirmation: bool,
    number: i64,
}

impl Queue {
    fn put(&mut self, entry: OutboxEntry) -> bool {
        let is_change = entry.action.is_change();
        match self.entries.get(&entry.key) {
            // A change must not be forgotten over a later look at the cluster.
            Some((_, older)) if older.action.is_change() && !is_change => return true,
            Some((position, older)) if older.action.is_change() == is_change => {
                let position = *position;
                self.entries.insert(entry.key.clone(), (position, entry));
                return true;
            }
            Some(_) => {}
            None if self.entries.len() < MOST => {}
            None => {
                if !is_change || !self.drop_a_confirmation() {
                    return false;
                }
            }
        }
        self.back += 1;
        self.place(self.back, entry);
        true
    }

    /// The entry to send next: changes before confirmations, older before newer.
    fn next(&mut self) -> Option<OutboxEntry> {
        let (_, key) = self.order.pop_first()?;
        self.entries.remove(&key).map(|(_, entry)| entry)
    }

    fn put_back(&mut self, entry: OutboxEntry, behind: bool) {
        match self.entries.get(&entry.key) {
            Some((_, newer)) if newer.action.is_change() || !entry.action.is_change() => {}
            Some(_) | None if behind => {
                self.back += 1;
                self.place(self.back, entry);
            }
            Some(_) | None => {
                self.front -= 1;
                self.place(self.front, entry);
            }
        }
    }

    /// A change is worth more than a confirmation, whose loss costs a call.
    fn drop_a_confirmation(&mut self) -> bool {
        let last = self.order.last_entry();
        let Some(last) = last.filter(|last| last.key().is_confirmation) else {
            return false;
        };
        self.entries.remove(&last.remove()).is_some()
    }

    fn place(&mut self, number: i64, entry: OutboxEntry) {
        let position = Position {
            is_confirmation: !entry.action.is_change(),
            number,
        };
        self.order.insert(position, entry.key.clone());
        if let Some((before, _)) = self.entries.insert(entry.key.clone(), (position, entry)) {
            self.order.remove(&before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::types::NO_FINGERPRINT;

    fn entry(key: &str, action: Action) -> OutboxEntry {
        OutboxEntry {
            key: key.to_owned(),
            user: Username::parse("alice").unwrap(),
            action,
            keys: [0; 6],
            event: Event::Changed(Username::parse("alice").unwrap(), NO_FINGERPRINT),
        }
    }

    fn confirmed() -> Action {
        Action::Store {
            how: How::Confirmed,
            instead_of: vec![],
            value: vec![1],
        }
    }

    #[test]
    fn the_latest_about_each_user_is_kept_and_changes_come_first() {
        let mut queue = Queue::default();
        let written = Action::Store {
            how: How::Written,
            instead_of: vec![1],
            value: vec![2],
        };
        for key in ["x", "a", "y"] {
            assert!(queue.put(entry(key, confirmed())));
        }
        assert!(queue.put(entry("b", Action::Forget)));
        assert!(queue.put(entry("a", written.clone())));
        assert!(
            queue.put(entry("b", confirmed())),
            "a change outlives a later look"
        );
        assert_eq!(queue.next(), Some(entry("b", Action::Forget)));
        assert_eq!(queue.next(), Some(entry("a", written)));
        queue.put_back(entry("c", confirmed()), false);
        for key in ["c", "x", "y"] {
            assert_eq!(queue.next(), Some(entry(key, confirmed())));
        }
        assert_eq!(queue.next(), None);
        assert!(queue.entries.is_empty() && queue.order.is_empty());
    }

    #[test]
    fn an_entry_that_comes_back_does_not_undo_a_newer_one() {
        let mut queue = Queue::default();
        queue.put(entry("a", Action::Forget));
        queue.put_back(entry("a", confirmed()), false);
        assert_eq!(queue.next(), Some(entry("a", Action::Forget)));
        queue.put(entry("a", confirmed()));
        queue.put_back(entry("a", Action::Forget), false);
        assert_eq!(queue.next(), Some(entry("a", Action::Forget)));
    }

    #[test]
    fn an_entry_that_is_refused_lets_others_pass() {
        let mut queue = Queue::default();
        for key in ["a", "b"] {
            queue.put(entry(key, Action::Forget));
        }
        let refused = queue.next().unwrap();
        queue.put_back(refused, true);
        queue.put(entry("a", confirmed()));
        assert_eq!(
            [queue.next(), queue.next(), queue.next()],
            [
                Some(entry("b", Action::Forget)),
                Some(entry("a", Action::Forget)),
                None
            ]
        );
    }

    #[test]
    fn a_full_queue_takes_no_new_user() {
        let mut queue = Queue::default();
        for n in 0..MOST {
            assert!(queue.put(entry(&n.to_string(), Action::Forget)));
        }
        assert!(!queue.put(entry("one more", Action::Forget)));
        assert!(queue.put(entry("0", Action::Forget)));
        // But what the cluster has only confirmed makes room for a change.
        queue.next();
        assert!(
            queue.put(entry("confirmed", confirmed())) && !queue.put(entry("another", confirmed()))
        );
        assert!(
            queue.put(entry("a change", Action::Forget))
                && !queue.put(entry("one more", Action::Forget))
        );
        assert_eq!(
            (
                queue.entries.len(),
                queue.order.len(),
                queue.entries.contains_key("confirmed")
            ),
            (MOST, MOST, false)
        );
    }
}
