//! The cluster's nodes, and which of them to ask next.
//!
//! A node that fails is ejected for a while that doubles each time. When the while is over the node
//! is on probation: one request at a time is let through, and its outcome decides. When no node is
//! left, the one whose ejection ends first is asked all the same: a wrong guess costs a failed
//! call, refusing to try costs a login.
//!
//! A write goes to the node that answered last. It may not be repeated elsewhere and is patient, so
//! a node that hangs would cost it its whole deadline; a read finds such a node out within a second
//! and asks another. A flight's write comes right after its reads.
//!
//! (A long file: the rules of choosing and their tests, which are nearly half of it, are read
//! together.)
//!
//! A verdict counts only for the state in which its turn began. So fifty requests that hang on one
//! dying node are one strike, and an answer that was under way when the node died does not bring it
//! back.
//!
//! The choice and the verdict share one table and its rules, so they share a file with the tests of
//! both; a third of it is tests.

use crate::{
    clock::{Clock, Timestamp},
    telemetry::{chain, metrics::NodeMetrics},
};
use http::Uri;
use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// The first ejection. A restarting node is back within seconds, a refused connection costs next to
/// nothing to find out.
const FIRST_EJECTION: Duration = Duration::from_secs(1);
/// The longest. A node that was away for an hour is used again a minute after it is back.
const LONGEST_EJECTION: Duration = Duration::from_mins(1);

/// How often at most it is told that a node goes and comes. Where one of them hangs, every other
/// that has to ask it for something fails now and then, too.
const TOLD_EVERY: Duration = Duration::from_mins(1);

/// One node: where it is.
#[derive(Clone)]
pub(super) struct Node {
    /// `scheme://host:port`, for logs.
    pub(super) name: Arc<str>,
    /// What stands before each path: the name and the prefix, without a trailing slash.
    base: Box<str>,
    /// Told when it is ejected and when it is back.
    metrics: NodeMetrics,
}

impl Node {
    /// Takes a base URL. User information and query are dropped; they belong to no request of ours.
    pub(super) fn new(url: &Uri, metrics: NodeMetrics) -> Self {
        let name = name_of(url);
        let base = format!("{name}{}", url.path().trim_end_matches('/')).into();
        Self {
            name: name.into(),
            base,
            metrics,
        }
    }

    pub(super) fn uri(&self, path_and_query: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{}{path_and_query}", self.base).parse()
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.base)
    }
}

/// A base URL as it may be shown: `scheme://host:port`, whatever else it carries.
pub(super) fn name_of(url: &Uri) -> String {
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!(
        "{}://{}{port}",
        url.scheme_str().unwrap_or_default(),
        url.host().unwrap_or_default()
    )
}

/// What a request does, as far as the choice of a node goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// It changes nothing, so it may be the one that tries a node on probation.
    Read,
    /// It may not be repeated elsewhere once it was sent, so it goes to a node on probation only
    /// when there is no healthy one.
    Write,
}

/// All nodes with their state.
pub(super) struct Nodes {
    all: Box<[Node]>,
    states: Mutex<Box<[State]>>,
    calls: AtomicUsize,
    /// The node that answered last.
    answered: AtomicUsize,
    clock: Clock,
}

#[derive(Debug, Clone, Default)]
struct State {
    /// Grows with each change, so that a verdict from before a change can be told.
    generation: u64,
    ejection: Option<Ejection>,
    /// When it was last told that it went.
    told: Option<Timestamp>,
}

#[derive(Debug, Clone)]
struct Ejection {
    since: Timestamp,
    wait: Duration,
    strikes: u32,
    /// Whether the log has it, so that it has the end as well.
    told: bool,
    /// A request is out to see whether the node is back.
    probed: bool,
}

impl Ejection {
    /// A clock that was set back ends the ejection: else it would last until the old time comes
    /// round again.
    fn is_over(&self, now: Timestamp) -> bool {
        now.since(self.since).is_none_or(|past| past >= self.wait)
    }
}

/// The nodes that one call has asked so far, and its place in the rotation.
#[derive(Debug)]
pub(super) struct Round {
    place: usize,
    asked: Vec<usize>,
}

/// Leave to ask one node, and the duty to say how it went. Dropped without a word it only frees the
/// probation for the next.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    nodes: &'a Nodes,
    index: usize,
    generation: u64,
    probe: bool,
    pub(super) node: &'a Node,
}

impl Nodes {
    pub(super) fn new(nodes: Vec<Node>, clock: Clock) -> Self {
        let states = vec![State::default(); nodes.len()].into();
        // Replicas that start together begin at different nodes.
        let calls = usize::from(random_byte());
        // Until one has answered it is none of them.
        Self {
            all: nodes.into(),
            states: Mutex::new(states),
            calls: AtomicUsize::new(calls),
            answered: AtomicUsize::new(usize::MAX),
            clock,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// Begins a call: the next place in the rotation, no node asked yet.
    pub(super) fn round(&self) -> Round {
        Round {
            place: self.calls.fetch_add(1, Ordering::Relaxed),
            asked: Vec::new(),
        }
    }

    /// The next node for this call; `None` when it has asked each once.
    pub(super) fn next(&self, round: &mut Round, purpose: Purpose) -> Option<Turn<'_>> {
        let now = self.clock.now();
        let mut states = self.states();
        let open = |index: usize, state: &State| {
            !round.asked.contains(&index)
                && state
                    .ejection
                    .as_ref()
                    .is_none_or(|e| purpose == Purpose::Read && !e.probed && e.is_over(now))
        };
        let eligible: Vec<usize> = states
            .iter()
            .enumerate()
            .filter(|(index, state)| open(*index, state))
            .map(|(index, _)| index)
            .collect();
        let in_turn = round
            .place
            .checked_rem(eligible.len())
            .and_then(|place| eligible.get(place).copied());
        let alive = Some(self.answered.load(Ordering::Relaxed))
            .filter(|index| purpose == Purpose::Write && eligible.contains(index));
        let chosen = alive.or(in_turn);
        let index = chosen.or_else(|| first_to_return(&states, &round.asked))?;
        round.asked.push(index);

        let (state, node) = (states.get_mut(index)?, self.all.get(index)?);
        let probe = state
            .ejection
            .as_mut()
            .filter(|e| !e.probed && e.is_over(now))
            .map(|e| e.probed = true)
            .is_some();
        Some(Turn {
            nodes: self,
            index,
            generation: state.generation,
            probe,
            node,
        })
    }

    fn states(&self) -> MutexGuard<'_, Box<[State]>> {
        // Nothing under this lock leaves a state half changed.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `change` if the node is still in the state in which the turn began.
    fn judge<T>(&self, turn: &Turn<'_>, change: impl FnOnce(&mut State) -> Option<T>) -> Option<T> {
        let mut states = self.states();
        let state = states
            .get_mut(turn.index)
            .filter(|state| state.generation == turn.generation)?;
        let changed = change(state)?;
        state.generation = state.generation.wrapping_add(1);
        Some(changed)
    }
}

impl Turn<'_> {
    /// The node answered.
    pub(super) fn went_well(self) {
        self.nodes.answered.store(self.index, Ordering::Relaxed);
        if let Some(ejection) = self.nodes.judge(&self, |state| state.ejection.take()) {
            self.node.metrics.up(true);
            if ejection.told {
                tracing::info!(node = %self.node.name, "cluster node is back");
            } else {
                tracing::debug!(node = %self.node.name, "cluster node is back");
            }
        }
    }

    /// The node failed.
    pub(super) fn failed(self, why: &(dyn std::error::Error + 'static)) {
        let now = self.nodes.clock.now();
        let ejected = self.nodes.judge(&self, |state| {
            let before = state.ejection.take();
            let (strikes, told) = before.map_or((0, false), |e| (e.strikes, e.told));
            // A node that goes again shortly after it was told is left to the next line; if it
            // stays away, that is told after all.
            let tell = !told
                && (strikes > 0
                    || state
                        .told
                        .and_then(|at| now.since(at))
                        .is_none_or(|past| past >= TOLD_EVERY));
            let wait = wait_after(strikes, random_byte());
            state.ejection = Some(Ejection {
                since: now,
                wait,
                strikes: strikes.saturating_add(1),
                told: told || tell,
                probed: false,
            });
            if tell {
                state.told = Some(now);
            }
            Some((tell, wait))
        });
        let node = &self.node.name;
        if ejected.is_some() {
            self.node.metrics.up(false);
        }
        match ejected {
            Some((true, wait)) => {
                tracing::warn!(%node, reason = %chain(why), ejected_ms = wait.as_millis(), "cluster node is ejected");
            }
            // Said once, when it went; that it is still away, or away again for a moment, is no
            // news.
            Some((false, wait)) => {
                tracing::debug!(%node, reason = %chain(why), ejected_ms = wait.as_millis(), "cluster node is still away");
            }
            None => {}
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(state) = self
                .nodes
                .states()
                .get_mut(self.index)
                .filter(|state| state.generation == self.generation)
            && let Some(ejection) = &mut state.ejection
        {
            ejection.probed = false;
        }
    }
}

impl fmt::Debug for Nodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.all.iter()).finish()
    }
}

fn first_to_return(states: &[State], asked: &[usize]) -> Option<usize> {
    let end = |state: &State| state.ejection.as_ref().map(|e| e.since.after(e.wait));
    let left = states
        .iter()
        .enumerate()
        .filter(|(index, _)| !asked.contains(index));
    left.min_by_key(|(_, state)| end(state))
        .map(|(index, _)| index)
}

/// Doubles with each strike up to the longest, then 20 % more or less, so that replicas do not come
/// back to a node in step.
fn wait_after(strikes: u32, random: u8) -> Duration {
    let wait = FIRST_EJECTION
        .saturating_mul(1_u32.checked_shl(strikes.min(16)).unwrap_or(u32::MAX))
        .min(LONGEST_EJECTION);
    wait * (800 + u32::from(random) * 400 / 255) / 1_000
}

/// Spreads things out; nothing depends on it being hard to guess, so a system without randomness
/// only spreads less.
fn random_byte() -> u8 {
    let mut byte = [0];
    let _spread_less = aws_lc_rs::rand::fill(&mut byte);
    let [byte] = byte;
    byte
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[derive(Debug, thiserror::Error)]
    #[error("gone")]
    struct Gone;

    fn nodes(count: usize) -> (Nodes, Arc<AtomicU64>) {
        let time = Arc::new(AtomicU64::new(1_000_000));
        let url = |i| format!("http://es{i}:9200").parse::<Uri>().unwrap();
        (
            Nodes::new(
                (0..count)
                    .map(|i| Node::new(&url(i), NodeMetrics::default()))
                    .collect(),
                Clock::Manual(Arc::clone(&time)),
            ),
            time,
        )
    }

    fn pass(time: &AtomicU64, wait: Duration) {
        time.fetch_add(u64::try_from(wait.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Asks once and says whom.
    fn ask(nodes: &Nodes, purpose: Purpose) -> Turn<'_> {
        nodes.next(&mut nodes.round(), purpose).unwrap()
    }

    fn eject(nodes: &Nodes, index: usize) {
        let mut round = nodes.round();
        while let Some(turn) = nodes.next(&mut round, Purpose::Read) {
            if turn.index == index {
                return turn.failed(&Gone);
            }
        }
        panic!("node {index} was not to be had");
    }

    #[test]
    fn a_url_is_shown_without_what_it_may_hide() {
        for (url, name, path) in [
            ("http://es:9200", "http://es:9200", "http://es:9200/_x"),
            (
                "https://u:secret@es:9200/a/b/?c=d",
                "https://es:9200",
                "https://es:9200/a/b/_x",
            ),
            (
                "https://[::1]:9200/",
                "https://[::1]:9200",
                "https://[::1]:9200/_x",
            ),
            ("https://es", "https://es", "https://es/_x"),
        ] {
            let node = Node::new(&url.parse().unwrap(), NodeMetrics::default());
            assert_eq!(
                (&*node.name, node.uri("/_x").unwrap().to_string().as_str()),
                (name, path)
            );
            assert!(!format!("{node:?}").contains("secret"));
        }
    }

    #[test]
    fn healthy_nodes_take_turns_and_a_call_asks_each_once() {
        let (nodes, _) = nodes(3);
        let mut first: Vec<usize> = (0..6).map(|_| ask(&nodes, Purpose::Read).index).collect();
        first.sort_unstable();
        assert_eq!(first, [0, 0, 1, 1, 2, 2]);

        let mut round = nodes.round();
        let mut asked: Vec<usize> =
            std::iter::from_fn(|| nodes.next(&mut round, Purpose::Read).map(|turn| turn.index))
                .collect();
        asked.sort_unstable();
        assert_eq!(asked, [0, 1, 2]);
    }

    #[test]
    fn an_ejected_node_rests_and_is_then_tried_by_one_request_at_a_time() {
        let (nodes, time) = nodes(2);
        eject(&nodes, 0);
        assert!((0..10).all(|_| ask(&nodes, Purpose::Read).index == 1));

        pass(&time, Duration::from_millis(1_201));
        let turns: Vec<Turn<'_>> = (0..10).map(|_| ask(&nodes, Purpose::Read)).collect();
        assert_eq!(
            turns.iter().filter(|turn| turn.index == 0).count(),
            1,
            "one probe is out"
        );
        drop(turns);

        let probe = std::iter::repeat_with(|| ask(&nodes, Purpose::Read))
            .find(|turn| turn.index == 0)
            .unwrap();
        probe.went_well();
        assert_eq!(
            (0..10)
                .filter(|_| ask(&nodes, Purpose::Read).index == 0)
                .count(),
            5,
            "a probe given up left the way free; it is back"
        );
    }

    #[test]
    fn a_write_does_not_try_out_a_node_while_a_healthy_one_is_there() {
        let (nodes, time) = nodes(2);
        eject(&nodes, 0);
        pass(&time, Duration::from_secs(5));
        assert!((0..10).all(|_| ask(&nodes, Purpose::Write).index == 1));
        eject(&nodes, 1);
        assert_eq!(
            ask(&nodes, Purpose::Write).index,
            0,
            "no healthy one is left"
        );
    }

    #[test]
    fn a_write_goes_to_the_node_that_answered_last() {
        let (nodes, _) = nodes(3);
        for _ in 0..6 {
            let turn = ask(&nodes, Purpose::Read);
            let index = turn.index;
            turn.went_well();
            assert_eq!(ask(&nodes, Purpose::Write).index, index);
        }
        let last = ask(&nodes, Purpose::Write).index;
        eject(&nodes, last);
        assert_ne!(ask(&nodes, Purpose::Write).index, last);
    }

    #[test]
    fn with_all_ejected_the_first_to_return_is_asked() {
        let (nodes, time) = nodes(3);
        for index in [2, 0, 1] {
            eject(&nodes, index);
            pass(&time, Duration::from_millis(500));
        }
        let turn = ask(&nodes, Purpose::Write);
        assert_eq!(turn.index, 2);
        turn.went_well();
        assert_eq!(
            ask(&nodes, Purpose::Write).index,
            2,
            "it answered, so it is back before its time"
        );
    }

    #[test]
    fn many_failures_at_once_are_one_strike_and_a_late_answer_does_not_count() {
        let (nodes, time) = nodes(1);
        let mut turns: Vec<Turn<'_>> = (0..50).map(|_| ask(&nodes, Purpose::Read)).collect();
        let late = turns.pop().unwrap();
        for turn in turns {
            turn.failed(&Gone);
        }
        assert_eq!(nodes.states()[0].ejection.as_ref().unwrap().strikes, 1);
        late.went_well();
        assert!(nodes.states()[0].ejection.is_some());

        let waits: Vec<Duration> = std::iter::repeat_with(|| {
            pass(&time, Duration::from_mins(2));
            ask(&nodes, Purpose::Read).failed(&Gone);
            nodes.states()[0].ejection.as_ref().unwrap().wait
        })
        .take(20)
        .collect();
        assert!(
            waits[0] >= Duration::from_millis(1_600) && waits[0] <= Duration::from_millis(2_400),
            "{waits:?}"
        );
        assert!(
            waits[19] >= Duration::from_secs(48) && waits[19] <= Duration::from_secs(72),
            "{waits:?}"
        );
    }

    /// What the log has of coming and going.
    fn logged(story: impl FnOnce()) -> Vec<String> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(Arc::new(log.reopen().unwrap()))
            .with_ansi(false)
            .without_time()
            .finish();
        // While there is just one subscriber, `tracing` lets the thread that meets an event first
        // decide for all whether anybody listens, and tests beside this one listen to nothing. With
        // a second one it asks both.
        let _second = tracing::Dispatch::new(tracing_subscriber::registry());
        tracing::subscriber::with_default(subscriber, story);
        std::fs::read_to_string(log.path())
            .unwrap()
            .lines()
            .map(|line| line.trim().to_owned())
            .collect()
    }

    #[test]
    fn coming_and_going_are_each_logged_once_with_the_cause() {
        let log = logged(|| {
            let (nodes, time) = nodes(1);
            let turns: Vec<Turn<'_>> = (0..5).map(|_| ask(&nodes, Purpose::Read)).collect();
            for turn in turns {
                turn.failed(&Gone);
            }
            pass(&time, Duration::from_secs(5));
            ask(&nodes, Purpose::Read).failed(&Gone);
            let turns: Vec<Turn<'_>> = (0..5).map(|_| ask(&nodes, Purpose::Read)).collect();
            turns.into_iter().for_each(Turn::went_well);
        });
        assert_eq!(log.len(), 2, "{log:?}");
        assert!(
            log[0].starts_with("WARN")
                && log[0].contains("node=http://es0:9200 reason=gone ejected_ms="),
            "{log:?}"
        );
        assert!(
            log[1].starts_with("INFO") && log[1].contains("cluster node is back"),
            "{log:?}"
        );
    }

    #[test]
    fn a_node_that_comes_and_goes_is_told_once_a_minute_and_one_that_stays_away_in_any_case() {
        let log = logged(|| {
            let (nodes, time) = nodes(1);
            for _ in 0..30 {
                ask(&nodes, Purpose::Read).failed(&Gone);
                ask(&nodes, Purpose::Read).went_well();
                pass(&time, Duration::from_secs(1));
            }
            // It goes for the last time, and fails again when it is tried.
            ask(&nodes, Purpose::Read).failed(&Gone);
            pass(&time, Duration::from_secs(2));
            ask(&nodes, Purpose::Read).failed(&Gone);
            pass(&time, Duration::from_mins(2));
            ask(&nodes, Purpose::Read).went_well();
            ask(&nodes, Purpose::Read).failed(&Gone);
        });
        let levels: Vec<&str> = log
            .iter()
            .map(|line| line.split_once(' ').unwrap().0)
            .collect();
        assert_eq!(levels, ["WARN", "INFO", "WARN", "INFO", "WARN"], "{log:?}");
    }

    #[test]
    fn a_clock_set_back_ends_an_ejection() {
        let (nodes, time) = nodes(2);
        eject(&nodes, 0);
        time.store(5, Ordering::SeqCst);
        assert!((0..10).any(|_| ask(&nodes, Purpose::Read).index == 0));
    }

    #[test]
    fn the_wait_doubles_and_is_spread_by_a_fifth() {
        let wait = |strikes, random| wait_after(strikes, random).as_millis();
        assert_eq!(
            [wait(0, 0), wait(0, 255), wait(1, 0), wait(3, 255)],
            [800, 1_200, 1_600, 9_600]
        );
        assert_eq!([wait(6, 0), wait(u32::MAX, 255)], [48_000, 72_000]);
    }
}
