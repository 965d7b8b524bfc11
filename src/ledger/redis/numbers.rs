//! The numbers of the messages that this replica sends, and which of them Redis has published.

use crate::ledger::{
    message::{Published, UNUSED},
    types::lock,
};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Mutex,
};

/// Both series.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    changes: Mutex<Changes>,
    others: Mutex<u64>,
}

#[derive(Debug, Default)]
struct Changes {
    last: u64,
    /// Those whose result is not known yet.
    open: BTreeSet<u64>,
    /// Those that Redis may not have published, in the order of their results.
    unused: VecDeque<u64>,
}

/// The number of one message. If it is dropped without [`Self::published`], nobody must have
/// received that message.
#[derive(Debug)]
pub(super) struct Number<'a> {
    value: u64,
    /// Of a change: where its result is noted.
    changes: Option<&'a Mutex<Changes>>,
}

impl Numbers {
    pub(super) fn next(&self, is_change: bool) -> Number<'_> {
        if is_change {
            let mut changes = lock(&self.changes);
            changes.last += 1;
            let value = changes.last;
            changes.open.insert(value);
            return Number {
                value,
                changes: Some(&self.changes),
            };
        }
        let mut last = lock(&self.others);
        *last += 1;
        Number {
            value: *last,
            changes: None,
        }
    }

    pub(super) fn published_changes(&self) -> Published {
        let changes = lock(&self.changes);
        let first_open = changes.open.first();
        let until = first_open.map_or(changes.last, |open| open - 1);
        let unused = changes.unused.iter().copied();
        Published {
            until,
            unused: unused.filter(|number| *number <= until).collect(),
        }
    }
}

impl Number<'_> {
    pub(super) fn value(&self) -> u64 {
        self.value
    }

    /// Redis has published the message.
    pub(super) fn published(mut self) {
        if let Some(changes) = self.changes.take() {
            lock(changes).open.remove(&self.value);
        }
    }
}

impl Drop for Number<'_> {
    fn drop(&mut self) {
        if let Some(changes) = self.changes {
            let mut changes = lock(changes);
            changes.open.remove(&self.value);
            changes.unused.push_back(self.value);
            if changes.unused.len() > UNUSED {
                changes.unused.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published(numbers: &Numbers) -> (u64, Vec<u64>) {
        let Published { until, unused } = numbers.published_changes();
        (until, unused)
    }

    #[test]
    fn what_is_told_ends_before_the_first_open_change() {
        let numbers = Numbers::default();
        assert_eq!(published(&numbers), (0, vec![]));
        let [one, two, three] = [(); 3].map(|()| numbers.next(true));
        assert_eq!([one.value(), two.value(), three.value()], [1, 2, 3]);
        three.published();
        assert_eq!(published(&numbers), (0, vec![]));
        one.published();
        assert_eq!(published(&numbers), (1, vec![]));
        drop(two);
        assert_eq!(published(&numbers), (3, vec![2]));
    }

    #[test]
    fn other_messages_have_a_series_of_their_own() {
        let numbers = Numbers::default();
        let [one, two] = [(); 2].map(|()| numbers.next(false).value());
        assert_eq!((one, two, published(&numbers)), (1, 2, (0, vec![])));
    }

    #[test]
    fn the_latest_unused_numbers_are_told() {
        let numbers = Numbers::default();
        for _ in 0..UNUSED + 3 {
            drop(numbers.next(true));
        }
        let (until, unused) = published(&numbers);
        assert_eq!(
            (until, unused.len(), unused.first()),
            (19, UNUSED, Some(&4))
        );
    }
}
