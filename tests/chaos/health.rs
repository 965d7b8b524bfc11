//! What is known of the two nodes from looking at them, what is done to them, and what follows from
//! it: why elastauth could not do what it was asked for.

use http::StatusCode;
use std::time::Duration;
use tokio::time::Instant;

const STARVED: &str = "the machine leaves the nodes too little";
/// A question that takes longer shows a machine on which three of them, one after another, may not
/// fit between the grace and what a gateway waits.
const SLOW: Duration = Duration::from_millis(250);
/// How long a failure answers the same question, and for how long who asked before may still be
/// waiting.
const A_FAILURE_LASTS: Duration = Duration::from_secs(1);
/// Updates that have waited with the cluster end after it is back, and those who joined them get
/// their failure then.
const AFTERMATH: Duration = Duration::from_secs(3);
/// The cluster's own time-outs: so long what was given up may still be carried out.
pub(crate) const CARRIED_OUT_LATE: Duration = Duration::from_secs(90);

/// Why a login could not be looked at, or was refused by the cluster itself.
pub(crate) const BLIND: &str =
    "a node without the security index refuses whom it does not remember";

#[derive(Debug, Default)]
pub(crate) struct Health {
    nodes: [Node; 2],
    /// What happens to a node at the moment, or did last.
    outage: Option<Outage>,
    account: Option<Outage>,
}

#[derive(Debug, Default)]
struct Node {
    /// When it could last read its users, could not, did not answer at all.
    sees: Option<Instant>,
    blind: Option<Instant>,
    blind_since: Option<Instant>,
    silent: Option<Instant>,
    /// When it last took its time for that.
    slow: Option<Instant>,
    /// When it last failed to write although it was there.
    unwritten: Option<Instant>,
    /// It was killed and does not listen yet.
    is_gone: bool,
}

#[derive(Debug)]
struct Outage {
    what: &'static str,
    began: Instant,
    /// When it stops to be a reason: for writes that is not always when the cluster is whole again.
    excuses_until: Option<Instant>,
    over: Option<Instant>,
}

impl Health {
    /// A node was asked about a user whom nobody touches, and said this, or nothing. For how long
    /// it could not read, where it can again.
    pub(crate) fn read(
        &mut self,
        place: usize,
        status: Option<StatusCode>,
        took: Duration,
    ) -> Option<Duration> {
        let (now, node) = (Instant::now(), &mut self.nodes[place]);
        if took > SLOW {
            node.slow = Some(now);
        }
        match status {
            Some(StatusCode::OK) => {
                node.sees = Some(now);
                let blind = node.blind_since.take()?.elapsed();
                println!("{} node {place} reads its users again", clock());
                return Some(blind);
            }
            Some(status) => {
                if node.blind_since.is_none() {
                    println!("{} node {place} cannot read its users: {status}", clock());
                }
                node.blind = Some(now);
                node.blind_since.get_or_insert(now);
            }
            None => {
                if node.silent < node.sees {
                    println!("{} node {place} says nothing", clock());
                }
                node.silent = Some(now);
            }
        }
        None
    }

    /// A node was asked to write a user, and has, or not.
    pub(crate) fn wrote(&mut self, place: usize, written: bool, took: Duration) {
        let (now, node) = (Instant::now(), &mut self.nodes[place]);
        if took > SLOW {
            node.slow = Some(now);
        }
        if !written && !node.is_gone {
            node.unwritten = Some(now);
        }
    }

    /// Whether it answered and could read its users when it was last asked.
    pub(crate) fn is_well(&self, place: usize) -> bool {
        let node = &self.nodes[place];
        node.silent.max(node.blind) <= node.sees
    }

    /// Whether it could not read its users a moment ago.
    pub(crate) fn was_blind(&self, place: usize) -> bool {
        self.nodes[place]
            .blind
            .is_some_and(|at| at.elapsed() < Duration::from_millis(200))
    }

    /// Why a request that was asked then could not be answered, whether it needed a write or not:
    /// one of the nodes that can say who somebody is does for what needs none.
    pub(crate) fn excuse(&self, asked: Instant, writes: bool) -> Option<&'static str> {
        let within = |outage: &&Outage| outage.excuses_until.is_none_or(|until| asked < until);
        let of = |outage: &Option<Outage>| outage.as_ref().filter(within).map(|outage| outage.what);
        if let (true, Some(why)) = (writes, of(&self.account).or_else(|| of(&self.outage))) {
            return Some(why);
        }
        let lately = |at: Option<Instant>| at.is_some_and(|at| at + A_FAILURE_LASTS >= asked);
        if self
            .nodes
            .iter()
            .all(|node| lately(node.blind) || lately(node.silent))
        {
            let in_calm =
                self.nodes.iter().all(|node| !lately(node.blind)) && of(&self.outage).is_none();
            return Some(if in_calm {
                STARVED
            } else {
                "no node could say who anybody is"
            });
        }
        let starved = self
            .nodes
            .iter()
            .any(|node| lately(node.slow) || lately(node.unwritten));
        (writes && starved).then_some(STARVED)
    }

    /// Whether a node refused every native user, or hung, at some moment since then.
    pub(crate) fn is_unwell(&self, asked: Instant) -> Option<&'static str> {
        let since =
            |at: Option<Instant>| at.is_some_and(|at| at + Duration::from_millis(200) >= asked);
        if self.nodes.iter().any(|node| since(node.blind)) {
            return Some(BLIND);
        }
        self.nodes
            .iter()
            .any(|node| since(node.silent))
            .then_some("a node was away or hung under the gateway's request")
    }

    /// Whether what was given up may still be carried out.
    pub(crate) fn may_carry_out_late(&self) -> bool {
        self.outage.as_ref().is_some_and(|outage| {
            outage
                .over
                .is_none_or(|over| over.elapsed() < CARRIED_OUT_LATE)
        })
    }

    pub(crate) fn is_whole(&self) -> bool {
        let calm =
            |outage: &Option<Outage>| outage.as_ref().is_none_or(|outage| outage.over.is_some());
        calm(&self.outage) && calm(&self.account)
    }

    /// What the nodes go through now, for who counts.
    pub(crate) fn phase(&self) -> &'static str {
        match &self.outage {
            Some(outage) if outage.over.is_none() => "while a node is away or hangs",
            Some(outage)
                if outage
                    .over
                    .is_some_and(|over| over.elapsed() < Duration::from_secs(5)) =>
            {
                "in the five seconds after"
            }
            Some(_) | None => "in calm",
        }
    }

    /// Writes may wait until it is over, or only for a moment at its begin.
    pub(crate) fn outage_begins(&mut self, place: usize, what: &'static str, writes_wait: bool) {
        println!("{} {what} (node {place})", clock());
        let began = Instant::now();
        let excuses_until = (!writes_wait).then_some(began + AFTERMATH);
        self.outage = Some(Outage {
            what,
            began,
            excuses_until,
            over: None,
        });
    }

    pub(crate) fn outage_is_over(&mut self) {
        println!("{} whole again", clock());
        if let Some(outage) = &mut self.outage {
            outage.ends();
        }
    }

    pub(crate) fn account_begins(&mut self, what: &'static str) {
        println!("{} {what}", clock());
        self.account = Some(Outage {
            what,
            began: Instant::now(),
            excuses_until: None,
            over: None,
        });
    }

    pub(crate) fn account_is_over(&mut self) {
        println!("{} the old password again", clock());
        if let Some(outage) = &mut self.account {
            outage.ends();
        }
    }

    /// Whether it was killed and does not listen yet.
    pub(crate) fn is_gone(&mut self, place: usize, is_gone: bool) {
        println!(
            "{} node {place} {}",
            clock(),
            if is_gone {
                "is killed"
            } else {
                "listens again"
            }
        );
        self.nodes[place].is_gone = is_gone;
    }

    /// What is known of the nodes, for a message.
    pub(crate) fn detail(&self) -> String {
        let ago = |at: Option<Instant>| {
            at.map_or("never".to_owned(), |at| format!("{:.1?} ago", at.elapsed()))
        };
        let node = |node: &Node| {
            let (sees, blind, silent) = (ago(node.sees), ago(node.blind), ago(node.silent));
            format!(
                "saw its users {sees}, blind {blind}, silent {silent}, slow {}, wrote nothing {}",
                ago(node.slow),
                ago(node.unwritten)
            )
        };
        let outage = |outage: &Option<Outage>| {
            outage
                .as_ref()
                .map(|o| {
                    format!(
                        "{} since {:.1?}, over {}",
                        o.what,
                        o.began.elapsed(),
                        ago(o.over)
                    )
                })
                .unwrap_or_default()
        };
        let [zero, one] = &self.nodes;
        format!(
            "{} [0: {}] [1: {}] {}; {}",
            clock(),
            node(zero),
            node(one),
            outage(&self.outage),
            outage(&self.account)
        )
    }
}

impl Outage {
    fn ends(&mut self) {
        let now = Instant::now();
        self.over = Some(now);
        self.excuses_until.get_or_insert(now + AFTERMATH);
    }
}

/// The time of day as the logs have it, to be held against them.
fn clock() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}
