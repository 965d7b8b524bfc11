//! What has been received from each replica: whether a message is new, and whether one is missing.
//!
//! The order of two messages of one replica is not certain: several tasks send at a time, and the
//! nodes of a Redis cluster each pass on what they were sent. So a late message counts, and what a
//! heartbeat says is held against what was received when the next heartbeat comes.
//!
//! Not noticed is a replica none of whose messages get through: that looks like one that has ended.

use crate::{
    clock::Timestamp,
    ledger::message::{Event, Message, Published, ReplicaId},
};
use std::{collections::HashMap, time::Duration};
use tokio::time::Instant;

/// As many replicas are remembered; those that were silent for the longest time are forgotten.
const MOST: usize = 256;
/// A subscription that has lasted so long has heard each living replica, whose heartbeats come
/// every two seconds: one that is new has just started.
const HEARS_ALL: Duration = Duration::from_secs(5);
/// As many numbers of a series can be told apart from copies. A replica sends fewer changes than
/// this between two heartbeats.
const WINDOW: u64 = 8_192;
const WORDS: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Senders {
    known: HashMap<ReplicaId, Sender>,
    /// Since when the subscription is complete.
    complete_since: Option<Instant>,
}

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    /// It has been received before, or is too old to tell.
    Again,
    /// It is new, and shows that a change was not received; until this time all were.
    NewAfterGap(Timestamp),
}

#[derive(Debug)]
struct Sender {
    changes: Window,
    others: Window,
    /// Every change up to this number was received or was not published.
    checked: u64,
    /// What the last heartbeat says is published; `None` where the next one is the first that
    /// counts.
    claimed: Option<u64>,
    /// When the last two heartbeats came, the older one first.
    heartbeats: [Timestamp; 2],
    /// Every change that was sent before this time was received.
    complete_at: Timestamp,
    heard: Timestamp,
}

impl Senders {
    /// Messages may have been missed since.
    pub(crate) fn interrupted(&mut self) {
        self.complete_since = None;
        // What was received is remembered: an interruption must not make old messages new.
        for sender in self.known.values_mut() {
            sender.claimed = None;
        }
    }

    /// From now on, every message is received.
    pub(crate) fn complete(&mut self) {
        self.complete_since = Some(Instant::now());
    }

    pub(crate) fn take(&mut self, message: &Message, now: Timestamp) -> Taken {
        if !self.known.contains_key(&message.from) && self.known.len() >= MOST {
            let silent = self.known.iter().min_by_key(|(_, sender)| sender.heard);
            if let Some(id) = silent.map(|(id, _)| *id) {
                self.known.remove(&id);
            }
        }
        let since = self.complete_since;
        let hears_all = since.is_some_and(|since| since.elapsed() >= HEARS_ALL);
        let sender = self.known.entry(message.from).or_insert_with(|| Sender {
            changes: Window::default(),
            others: Window::default(),
            checked: 0,
            claimed: hears_all.then_some(0),
            heartbeats: [now; 2],
            complete_at: now,
            heard: now,
        });
        let window = if message.event.is_change() {
            &mut sender.changes
        } else {
            &mut sender.others
        };
        if !window.take(message.number) {
            return Taken::Again;
        }
        sender.heard = now;
        match &message.event {
            Event::Heartbeat(_, published) => sender.check(published, now),
            Event::Changed(..) | Event::Confirmed(..) => Taken::New,
        }
    }
}

impl Sender {
    fn check(&mut self, published: &Published, now: Timestamp) -> Taken {
        let Some(claimed) = self.claimed else {
            self.checked = published.until;
            self.claimed = Some(published.until);
            self.heartbeats = [now; 2];
            self.complete_at = now;
            return Taken::New;
        };
        let count = claimed.saturating_sub(self.checked);
        let received = |number| self.changes.has(number) || published.unused.contains(&number);
        let is_complete = count <= WINDOW && (1..=count).all(|more| received(self.checked + more));
        let complete_at = self.complete_at;
        // A change may have been sent up to a second before the heartbeat that counts it.
        self.complete_at = self.heartbeats[0];
        self.heartbeats = [self.heartbeats[1], now];
        self.checked = self.checked.max(claimed);
        self.claimed = Some(claimed.max(published.until));
        if is_complete {
            Taken::New
        } else {
            Taken::NewAfterGap(complete_at)
        }
    }
}

/// Which of the latest numbers have been received.
#[derive(Debug)]
struct Window {
    top: u64,
    /// A ring: the number modulo [`WINDOW`] has its bit.
    bits: Box<[u64; WORDS]>,
}

impl Default for Window {
    fn default() -> Self {
        Self {
            top: 0,
            bits: Box::new([0; WORDS]),
        }
    }
}

impl Window {
    /// Whether the number is new; then it is noted.
    fn take(&mut self, number: u64) -> bool {
        if number == 0 || self.top.saturating_sub(number) >= WINDOW || self.has(number) {
            return false;
        }
        if number > self.top {
            // The places of those in between had older numbers.
            let first = number.saturating_sub(WINDOW - 1).max(self.top + 1);
            for passed in first..=number {
                let (word, bit) = self.place(passed);
                *word &= !bit;
            }
            self.top = number;
        }
        let (word, bit) = self.place(number);
        *word |= bit;
        true
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        let is_set = self.bits.get(word).is_some_and(|word| word & bit != 0);
        number <= self.top && self.top - number < WINDOW && is_set
    }

    fn place(&mut self, number: u64) -> (&mut u64, u64) {
        let (word, bit) = place(number);
        #[expect(clippy::indexing_slicing, reason = "a place is within the window")]
        (&mut self.bits[word], bit)
    }
}

fn place(number: u64) -> (usize, u64) {
    let at = number % WINDOW;
    let word = usize::try_from(at / 64).unwrap_or_default();
    (word, 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ledger::types::NO_FINGERPRINT, model::Username};
    use Taken::{Again, New, NewAfterGap};

    fn change(number: u64) -> Message {
        Message {
            from: [1; 8],
            number,
            event: Event::Changed(Username::parse("alice").unwrap(), NO_FINGERPRINT),
        }
    }

    fn heartbeat(number: u64, until: u64, unused: &[u64]) -> Message {
        let published = Published {
            until,
            unused: unused.to_vec(),
        };
        Message {
            from: [1; 8],
            number,
            event: Event::Heartbeat(Timestamp(0), published),
        }
    }

    /// The results of these messages, one a second.
    fn taken(messages: &[Message]) -> Vec<Taken> {
        let mut senders = Senders::default();
        let mut second = 0;
        let take = |message| {
            second += 1;
            senders.take(message, Timestamp(second))
        };
        messages.iter().map(take).collect()
    }

    #[test]
    fn late_and_unused_numbers_are_no_gap() {
        let told = [
            heartbeat(1, 7, &[]),
            change(9),
            change(11),
            heartbeat(2, 11, &[10]),
            // It comes after the heartbeat that counts it.
            change(8),
            heartbeat(3, 11, &[10]),
            heartbeat(4, 11, &[10]),
        ];
        assert_eq!(taken(&told), [New; 7]);
    }

    #[test]
    fn a_missing_change_is_noticed_once_at_the_second_heartbeat() {
        let told = [
            heartbeat(1, 0, &[]),
            change(1),
            heartbeat(2, 1, &[]),
            heartbeat(3, 3, &[2]),
            heartbeat(4, 3, &[2]),
            heartbeat(5, 3, &[2]),
        ];
        assert_eq!(
            taken(&told),
            [New, New, New, New, NewAfterGap(Timestamp(1)), New]
        );
    }

    #[test]
    fn a_message_that_comes_again_is_known() {
        let told = [
            heartbeat(1, 0, &[]),
            change(1),
            heartbeat(1, 0, &[]),
            change(1),
            change(WINDOW + 1),
            // Forgotten, and too old to be new.
            change(1),
            change(2),
            change(2),
        ];
        assert_eq!(
            taken(&told),
            [New, New, Again, Again, New, Again, New, Again]
        );
    }

    #[test]
    fn an_interruption_ends_what_must_have_been_received_and_not_what_was() {
        let mut senders = Senders::default();
        let mut take = |message, interrupt| {
            if interrupt {
                senders.interrupted();
            }
            senders.take(&message, Timestamp(0))
        };
        assert_eq!(take(heartbeat(1, 0, &[]), false), New);
        assert_eq!(take(heartbeat(2, 5, &[]), false), New);
        assert_eq!(take(heartbeat(1, 0, &[]), true), Again);
        assert_eq!(take(heartbeat(3, 8, &[]), true), New);
        assert_eq!(take(heartbeat(4, 8, &[]), false), New);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_starts_is_heard_from_its_first_change() {
        let mut senders = Senders::default();
        senders.complete();
        tokio::time::advance(HEARS_ALL).await;
        assert_eq!(senders.take(&heartbeat(1, 1, &[]), Timestamp(0)), New);
        let second = senders.take(&heartbeat(2, 1, &[]), Timestamp(0));
        assert_eq!(second, NewAfterGap(Timestamp(0)));
    }

    #[test]
    fn the_table_of_replicas_has_a_bound() {
        let mut senders = Senders::default();
        for (second, id) in (0..300_u64).enumerate() {
            let mut message = heartbeat(1, 0, &[]);
            message.from = id.to_be_bytes();
            senders.take(&message, Timestamp(second as u64));
        }
        assert_eq!(senders.known.len(), MOST);
        assert!(!senders.known.contains_key(&0_u64.to_be_bytes()));
    }
}
