//! What is counted, and what is allowed.

use crate::support::{Why, pause};
use crate::{World, nodes::ON_ITS_WAY};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// A machine that leaves a ready task without a processor for so long says nothing about the
/// program.
const STALL: Duration = Duration::from_millis(250);
/// So many of each kind of violation are shown in full.
const SHOWN: usize = 5;

/// What must not be.
const KINDS: [&str; 8] = [
    "wrong identity",
    "excess roles",
    "missing roles",
    "rejected login",
    "failed answer",
    "work lost at an end",
    "secret in a log",
    "complaint of a clock",
];

#[derive(Debug, Default)]
pub(crate) struct Report(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    numbers: BTreeMap<&'static str, u64>,
    /// What the documented bounds allow, by its reason.
    allowed: BTreeMap<String, u64>,
    violations: BTreeMap<&'static str, Vec<String>>,
    times: Vec<Duration>,
    faults: BTreeMap<&'static str, u64>,
    /// How often something was so, and for how long at most.
    lasted: BTreeMap<&'static str, (u64, Duration)>,
    /// Calls of elastauth to the cluster in each second.
    calls: BTreeMap<&'static str, Vec<u64>>,
    last_stall: Option<Instant>,
    last_look: Option<Instant>,
    worst_stall: Duration,
    /// What replicas have said.
    logs: Vec<String>,
}

impl Report {
    pub(crate) fn count(&self, what: &'static str) {
        *self.0.lock().unwrap().numbers.entry(what).or_default() += 1;
    }

    pub(crate) fn allowed(&self, what: &'static str, why: &str) {
        *self
            .0
            .lock()
            .unwrap()
            .allowed
            .entry(format!("{what}: {why}"))
            .or_default() += 1;
    }

    pub(crate) fn violation(&self, what: &'static str, detail: String) {
        self.0
            .lock()
            .unwrap()
            .violations
            .entry(what)
            .or_default()
            .push(detail);
    }

    pub(crate) fn answered(&self, took: Duration) {
        self.0.lock().unwrap().times.push(took);
    }

    pub(crate) fn fault(&self, what: &'static str) {
        *self.0.lock().unwrap().faults.entry(what).or_default() += 1;
    }

    pub(crate) fn lasted(&self, what: &'static str, time: Duration) {
        let mut counts = self.0.lock().unwrap();
        let (times, longest) = counts.lasted.entry(what).or_default();
        (*times, *longest) = (*times + 1, time.max(*longest));
    }

    /// So many calls of elastauth have reached the cluster within a second.
    pub(crate) fn called(&self, phase: &'static str, calls: u64) {
        self.0
            .lock()
            .unwrap()
            .calls
            .entry(phase)
            .or_default()
            .push(calls);
    }

    /// Whether the machine itself has stood still since then, or shortly before, or does so now.
    pub(crate) fn has_stalled_since(&self, then: Instant) -> bool {
        let counts = self.0.lock().unwrap();
        let before = counts
            .last_stall
            .is_some_and(|at| at + Duration::from_secs(2) > then);
        before || counts.last_look.is_some_and(|at| at.elapsed() >= STALL)
    }

    /// What a replica has said in its life, for the story of whatever must not be.
    pub(crate) fn keep_log(&self, log: &str) {
        self.0.lock().unwrap().logs.push(log.to_owned());
    }

    /// The report, and what must not be.
    pub(crate) fn conclude(&self) -> (String, Vec<String>) {
        let mut counts = self.0.lock().unwrap();
        counts.times.sort();
        let at = |share: f64| {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                clippy::cast_precision_loss,
                reason = "a share of a list's length"
            )]
            let place = (counts.times.len() as f64 * share) as usize;
            counts
                .times
                .get(place.min(counts.times.len().saturating_sub(1)))
                .copied()
                .unwrap_or_default()
        };
        let mut text = String::from("chaos report\n");
        for (what, count) in &counts.numbers {
            let _ = writeln!(text, "  {what}: {count}");
        }
        let _ = writeln!(
            text,
            "  granted in: median {:?}, 99 % {:?}, longest {:?}",
            at(0.5),
            at(0.99),
            at(1.0)
        );
        let _ = writeln!(
            text,
            "  the machine's worst stall: {:?}",
            counts.worst_stall
        );
        let _ = writeln!(text, "faults");
        for (what, count) in &counts.faults {
            let _ = writeln!(text, "  {what}: {count}");
        }
        for (what, (times, longest)) in &counts.lasted {
            let _ = writeln!(text, "  {what}: {times} times, for {longest:?} at most");
        }
        for (phase, calls) in &counts.calls {
            let (most, sum) = (
                calls.iter().max().copied().unwrap_or_default(),
                calls.iter().sum::<u64>(),
            );
            let _ = writeln!(
                text,
                "  calls of elastauth a second {phase}: {} in the mean, {most} at most",
                sum / calls.len() as u64
            );
        }
        let _ = writeln!(text, "allowed by the documented bounds");
        for (what, count) in &counts.allowed {
            let _ = writeln!(text, "  {what}: {count}");
        }
        let _ = writeln!(text, "violations");
        let mut verdict = Vec::new();
        for what in KINDS {
            let found = counts
                .violations
                .get(what)
                .map(Vec::as_slice)
                .unwrap_or_default();
            let _ = writeln!(text, "  {what}: {}", found.len());
            for one in found.iter().take(SHOWN) {
                let _ = writeln!(text, "    {one}");
                let about = one.split([' ', ',']).next().unwrap_or_default();
                for line in counts
                    .logs
                    .iter()
                    .flat_map(|log| log.lines())
                    .filter(|line| is_about(line, about))
                {
                    let _ = writeln!(text, "      {line}");
                }
            }
            if !found.is_empty() {
                verdict.push(format!("{what}: {}", found.len()));
            }
        }
        // A moment of some milliseconds, once in a password period: more than that would be
        // something else.
        let on_its_way: u64 = counts
            .allowed
            .iter()
            .filter(|(what, _)| what.ends_with(ON_ITS_WAY))
            .map(|(_, count)| count)
            .sum();
        if on_its_way * 1_000
            > counts
                .numbers
                .get("used at once")
                .copied()
                .unwrap_or_default()
        {
            verdict.push(format!("{on_its_way} times {ON_ITS_WAY}"));
        }
        if counts.numbers.get("granted").copied().unwrap_or_default() < 100 {
            verdict.push("too few answers to say anything".to_owned());
        }
        // Sentinel promotes nobody for half a minute after it has itself stood still.
        if !counts.numbers.contains_key("Redis failovers")
            && counts.worst_stall < Duration::from_secs(1)
        {
            verdict.push("Redis was not failed over".to_owned());
        }
        (text, verdict)
    }
}

/// Whether a line of a log names this user, and not another one whose name only begins so.
fn is_about(line: &str, user: &str) -> bool {
    line.match_indices(user)
        .any(|(at, _)| !line[at + user.len()..].starts_with(|next: char| next.is_ascii_digit()))
}

/// Notices when the machine stands still: a client that gets no processor uses its login too late,
/// whatever the program does.
pub(crate) async fn watch_for_stalls(world: Arc<World>) {
    loop {
        let before = Instant::now();
        pause(Why::Pace, Duration::from_millis(10)).await;
        let late = before.elapsed().saturating_sub(Duration::from_millis(10));
        let mut counts = world.report.0.lock().unwrap();
        counts.worst_stall = counts.worst_stall.max(late);
        counts.last_look = Some(Instant::now());
        if late >= STALL {
            counts.last_stall = counts.last_look;
        }
    }
}
