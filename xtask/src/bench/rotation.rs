//! Rotation under load: is any login rejected, and how long does anybody wait for a new password?

use super::{
    clients::{Dice, at_once, identity, rest_until},
    median, millis, now, percentile,
    rounds::in_turn,
    server::{Connection, Elastauth},
    standin::{Judge, StandIn},
};
use anyhow::{Context, ensure};
use std::{
    sync::{Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(12);
const CONNECTIONS: usize = 64;
const USERS: usize = 320;
/// Thousands of times as often as by default, so that a round has hundreds of boundaries.
const ROTATION: Duration = Duration::from_secs(6);
/// The default of `credentials.grace`.
const GRACE: Duration = Duration::from_millis(500);
/// How long after its answer a login is used for the last time, at most.
const LATER: Duration = Duration::from_millis(300);
/// Between a client's visits, at most. So 64 clients make some 1,500 visits a second, of three
/// requests each, and the machine has time left to answer.
const PAUSE: Duration = Duration::from_millis(80);

/// 64 clients of 320 known users in turn before an elastauth that rotates every six seconds and one
/// that never does. Each login is used on its cluster at once and once more up to 300 ms later.
pub(super) fn run() -> anyhow::Result<()> {
    let (rotating, still) = (
        Scene::start(&format!("{}s", ROTATION.as_secs()))?,
        Scene::start("0")?,
    );
    let (mut tails, mut whole) = (Vec::new(), Round::default());
    for round in 0..ROUNDS {
        let (mut with, mut without) =
            in_turn(round, || rotating.round(round), || still.round(round))?;
        println!("round {}: rotating: {}", round + 1, with.told());
        println!("round {}: still: {}", round + 1, without.told());
        tails.push(percentile(&mut with.usual, 0.99) / percentile(&mut without.usual, 0.99));
        without.usual.clear();
        whole.add(with);
        whole.add(without);
    }
    println!(
        "rotation, rejected logins: {} of {} uses (aim: 0); {} by clients that used them too late",
        whole.rejected, whole.uses, whole.late
    );
    println!("rotation, failed answers: {} (aim: 0)", whole.failed);
    println!(
        "rotation, answers that waited over a boundary: {}, median {:.0} ms, longest {:.0} ms, with a grace of {} ms",
        whole.held.len(),
        percentile(&mut whole.held, 0.5),
        percentile(&mut whole.held, 1.0),
        GRACE.as_millis()
    );
    println!(
        "rotation, first answers of users who come back after a boundary that nobody has seen: median {:.0} ms, longest {:.0} ms (they may come within the last \
         second of a period, in which nothing is written)",
        percentile(&mut whole.back, 0.5),
        percentile(&mut whole.back, 1.0)
    );
    println!(
        "rotation, p99 of the other answers against p99 without rotation: {}",
        median(&mut tails).1
    );
    Ok(())
}

/// elastauth, a cluster of its own, and the login that each user has.
struct Scene {
    cluster: StandIn,
    elastauth: Elastauth,
    users: Vec<Mutex<Option<Known>>>,
}

/// A user's latest login in this round, and when it was first answered.
struct Known {
    login: String,
    since: Instant,
    /// Whether it is the first of the round.
    first: bool,
}

/// What a login says about its answer.
enum Sight {
    /// It is the user's first one in the round; those who asked at the same time have it too.
    Back,
    /// Nobody had it when the question was asked: the answer has waited for it.
    New,
    Usual,
}

/// What a round has shown. Times in milliseconds.
#[derive(Default)]
struct Round {
    usual: Vec<f64>,
    held: Vec<f64>,
    back: Vec<f64>,
    failed: u64,
    uses: u64,
    rejected: u64,
    /// Rejected, but used later than the grace allows: the client's own delay.
    late: u64,
}

struct Login {
    text: String,
    answered: Instant,
}

impl Scene {
    fn start(rotation: &str) -> anyhow::Result<Self> {
        let cluster = StandIn::start(2)?;
        let elastauth = cluster.elastauth(&format!(
            "credentials:\n  rotation: {rotation}\nusers:\n  new_per_minute: 1000000\n"
        ))?;
        let scene = Self {
            cluster,
            elastauth,
            users: (0..USERS).map(|_| Mutex::default()).collect(),
        };
        // From here on they are known.
        at_once(CONNECTIONS, |client| {
            let mut gate = Connection::open(scene.elastauth.address)?;
            for user in (client..USERS).step_by(CONNECTIONS) {
                let status = gate.ask(
                    "/elastauth/forward-auth",
                    &identity(&format!("user-{user}")),
                )?;
                ensure!(status == 200, "user-{user} got {status} at the first login");
            }
            Ok(())
        })?;
        Ok(scene)
    }

    fn round(&self, round: usize) -> anyhow::Result<Round> {
        for user in &self.users {
            *user.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        let mut whole = Round::default();
        for one in at_once(CONNECTIONS, |client| {
            self.client(Dice::new(round * CONNECTIONS + client))
        })? {
            whole.add(one);
        }
        Ok(whole)
    }

    /// Asks and uses logins at once; each is used again somewhat later, whatever the next question
    /// waits for.
    fn client(&self, mut dice: Dice) -> anyhow::Result<Round> {
        let later = dice.at_most(LATER);
        std::thread::scope(|scope| {
            let (again, logins) = mpsc::channel::<Login>();
            let second = scope.spawn(move || {
                let (mut judge, mut found) = (self.cluster.judge()?, Round::default());
                for login in logins {
                    rest_until(login.answered + later);
                    found.try_out(&mut judge, &login)?;
                }
                anyhow::Ok(found)
            });
            let first = self.visits(dice, &again);
            drop(again);
            let mut found = second
                .join()
                .map_err(|_| anyhow::anyhow!("a client crashed"))??;
            found.add(first?);
            Ok(found)
        })
    }

    fn visits(&self, mut dice: Dice, again: &mpsc::Sender<Login>) -> anyhow::Result<Round> {
        let (mut gate, mut judge) = (
            Connection::open(self.elastauth.address)?,
            self.cluster.judge()?,
        );
        let (mut found, end) = (Round::default(), now() + ROUND);
        while now() < end {
            let (user, asked) = (dice.below(USERS), now());
            let (status, login) = gate.ask_for(
                "/elastauth/forward-auth",
                &identity(&format!("user-{user}")),
            )?;
            let (took, answered) = (millis(asked.elapsed()), now());
            if status == 200 {
                let text = login.context("a grant without a login")?;
                match self.sight(user, &text, asked) {
                    Sight::Back => found.back.push(took),
                    Sight::New => found.held.push(took),
                    Sight::Usual => found.usual.push(took),
                }
                let login = Login { text, answered };
                found.try_out(&mut judge, &login)?;
                again.send(login)?;
            } else {
                found.failed += 1;
            }
            rest_until(now() + dice.at_most(PAUSE));
        }
        Ok(found)
    }

    fn sight(&self, user: usize, login: &str, asked: Instant) -> Sight {
        let Some(known) = self.users.get(user) else {
            return Sight::Usual;
        };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.login != login) {
            *known = Some(Known {
                login: login.to_owned(),
                since: now(),
                first: known.is_none(),
            });
        }
        match &*known {
            Some(Known { since, first, .. }) if asked <= *since => {
                if *first {
                    Sight::Back
                } else {
                    Sight::New
                }
            }
            _ => Sight::Usual,
        }
    }
}

impl Round {
    fn try_out(&mut self, judge: &mut Judge, login: &Login) -> anyhow::Result<()> {
        self.uses += 1;
        if !judge.takes(&login.text)? {
            *if login.answered.elapsed() < GRACE {
                &mut self.rejected
            } else {
                &mut self.late
            } += 1;
        }
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.usual.extend(other.usual);
        self.held.extend(other.held);
        self.back.extend(other.back);
        self.failed += other.failed;
        self.uses += other.uses;
        self.rejected += other.rejected;
        self.late += other.late;
    }

    fn told(&mut self) -> String {
        let mut all: Vec<f64> = self.usual.iter().chain(&self.held).copied().collect();
        let whole = format!(
            "{} answers, p50 {:.2} p99 {:.2} ms",
            all.len(),
            percentile(&mut all, 0.5),
            percentile(&mut all, 0.99)
        );
        if self.held.is_empty() {
            return whole;
        }
        let (held, longest) = (self.held.len(), percentile(&mut self.held, 1.0));
        let (p50, p99) = (
            percentile(&mut self.usual, 0.5),
            percentile(&mut self.usual, 0.99),
        );
        format!(
            "{whole}; {held} of them held, at most {longest:.0} ms, the others p50 {p50:.2} p99 {p99:.2} ms"
        )
    }
}
