//! For the benchmark: what parking costs in calls to the cluster, counted. Two real brokers that do
//! not hear each other stand before the stand-in of the demonstration, with the defaults: a period
//! of 24 h, a recheck in each hour, users parked within an hour.
//!
//! `parking_calls USERS` plays some days in a few minutes: time is set, not waited for, so the
//! counts do not depend on the machine. Each line of the output is one period of one kind of
//! users, with and without parking.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../tests/support/request.rs"]
mod request;

use elastauth::internals::{
    broker::{self, Adopt, Broker},
    clock::Clock,
    cluster::{self, SecurityApi},
    demo::standin::{SERVICE_USER, StandIn},
    flow::Flow,
    identity::{Providers, headers},
    ledger::{self, StoreConfig},
    model::{Role, mixed},
    net::tls,
    roles::{self, Mapping},
    secret::SecretKey,
    shutdown::Tasks,
    telemetry::ClusterTelemetry,
    upstream::Upstream,
};
use http::{HeaderMap, HeaderValue, Method};
use std::{
    cmp::Reverse,
    collections::BinaryHeap,
    fmt,
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::task::{JoinSet, yield_now};

const KEY: &str = "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a";
const START: u64 = 1_800_000_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;
const DAY: u64 = 24 * HOUR;
/// Replicas without a store between them.
const REPLICAS: usize = 2;
/// How far time is set at once: two replicas that park one user within it both write them, and on a
/// real cluster a write takes about so long.
const STEP: u64 = 20;
/// After so many looks at which nothing has happened, all waits for time to pass.
const QUIET: u32 = 40;
/// So many looks are enough to see that nothing begins.
const GLANCE: u32 = 3;

/// When users ask. Each asks both replicas in turn.
#[derive(Debug, Clone, Copy)]
enum Habit {
    /// Every two minutes, day and night.
    Always,
    /// Every half minute for eight hours a day. They come between seven and ten.
    Office,
    /// On the first day only.
    Gone,
}

impl Habit {
    /// When the user asks next, after `now`; all in milliseconds since the first day began.
    fn next(self, user: u64, now: u64) -> Option<u64> {
        let (every, comes, stays) = match self {
            Self::Always => (120 * SECOND, 0, DAY),
            Self::Office => (30 * SECOND, 7 * HOUR + user % (3 * HOUR), 8 * HOUR),
            Self::Gone => (10 * HOUR, 0, DAY),
        };
        let next = now + every;
        let day = next / DAY * DAY;
        let next = if next < day + comes {
            day + comes
        } else if next < day + comes + stays {
            next
        } else {
            day + DAY + comes
        };
        let comes_again = !matches!(self, Self::Gone) || next < DAY;
        comes_again.then_some(next)
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Calls {
    logins: u64,
    reads: u64,
    writes: u64,
    lists: u64,
}

impl Calls {
    fn all(self) -> u64 {
        self.logins + self.reads + self.writes + self.lists
    }
}

impl AddAssign for Calls {
    fn add_assign(&mut self, other: Self) {
        self.logins += other.logins;
        self.reads += other.reads;
        self.writes += other.writes;
        self.lists += other.lists;
    }
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} calls: {} logins, {} reads, {} writes, {} lists",
            self.all(),
            self.logins,
            self.reads,
            self.writes,
            self.lists
        )
    }
}

fn main() {
    let users = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let users = users.expect("usage: parking_calls USERS");
    for (what, habit) in [
        ("active day and night", Habit::Always),
        ("active for eight hours a day", Habit::Office),
        ("gone after the first day", Habit::Gone),
    ] {
        println!("{users} users, {what}; calls of {REPLICAS} replicas without a store:");
        let [off, on] = [false, true].map(|park| play(users, habit, park));
        for (day, (off, on)) in off.into_iter().zip(on).enumerate().skip(1) {
            println!("  period {day}, parking off: {off}");
            println!("  period {day}, parking on:  {on}");
            let added = on.all().cast_signed() - off.all().cast_signed();
            let all = match off.all() {
                0 => String::new(),
                all => format!(", {:+.2} % of all", (ratio(on.all(), all) - 1.0) * 100.0),
            };
            println!("  period {day}, added: {added} calls{all}");
        }
    }
}

/// The calls of each day. The first one makes the users.
fn play(users: u64, habit: Habit, park: bool) -> Vec<Calls> {
    // Of users who are gone, the later periods are of interest as well.
    let days = if matches!(habit, Habit::Gone) { 3 } else { 2 };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        // Sockets are looked at after each task.
        .event_interval(1)
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut world = World::new(park).await;
        let days = world.live(users, habit, days).await;
        world.tasks.end();
        days
    })
}

struct World {
    cluster: StandIn,
    replicas: Vec<Arc<Flow>>,
    /// Of the replicas.
    tasks: Tasks,
    /// How many of them run while nothing happens.
    idle: usize,
    clock: Arc<AtomicU64>,
    next_call: u64,
    /// While it waits, tokio does not move the time by itself.
    _holds_time: std::sync::mpsc::Sender<()>,
}

impl World {
    async fn new(park: bool) -> Self {
        let (holds_time, held) = std::sync::mpsc::channel::<()>();
        drop(tokio::task::spawn_blocking(move || held.recv()));
        let tasks = Tasks::default();
        let cluster = StandIn::start(&Tasks::default()).await.unwrap();
        let clock = Arc::new(AtomicU64::new(START));
        let replicas = (0..REPLICAS)
            .map(|_| replica(&cluster, &clock, &tasks, park))
            .collect::<Vec<_>>();
        Self {
            cluster,
            replicas,
            idle: tasks.in_hand(),
            tasks,
            clock,
            next_call: 0,
            _holds_time: holds_time,
        }
    }

    async fn live(&mut self, users: u64, habit: Habit, days: u64) -> Vec<Calls> {
        let mut asks: BinaryHeap<_> = (0..users)
            .map(|n| {
                // Users come at times that have nothing to do with their names.
                let chance = mixed(n + 1);
                let first = chance % (120 * SECOND);
                Reverse((habit.next(chance, first).unwrap_or(first), n, 0_usize))
            })
            .collect();
        let (mut counts, mut answers) = (Vec::new(), JoinSet::new());
        for step in 0..days * DAY / STEP {
            let now = step * STEP;
            self.clock.store(START + now, Ordering::SeqCst);
            if step > 0 {
                tokio::time::advance(Duration::from_millis(STEP)).await;
            }
            while let Some(Reverse((at, user, asked))) = asks.peek().copied()
                && at <= now
            {
                asks.pop();
                if let Some(next) = habit.next(mixed(user + 1), at) {
                    asks.push(Reverse((next, user, asked + 1)));
                }
                answers.spawn(ask(Arc::clone(&self.replicas[asked % REPLICAS]), user));
            }
            self.rest().await;
            while let Some(answer) = answers.try_join_next() {
                answer.unwrap();
            }
            // The record holds 20,000 calls.
            if (now + STEP).is_multiple_of(HOUR / 6) {
                let day = usize::try_from(now / DAY).unwrap();
                counts.resize(day + 1, Calls::default());
                counts[day] += self.calls();
            }
        }
        counts
    }

    /// Until all waits for time to pass.
    async fn rest(&self) {
        for _ in 0..GLANCE {
            yield_now().await;
        }
        let (mut quiet, mut seen) = (0, self.cluster.count());
        while self.tasks.in_hand() > self.idle && quiet < QUIET {
            yield_now().await;
            let count = self.cluster.count();
            quiet = if count == seen { quiet + 1 } else { 0 };
            seen = count;
        }
    }

    fn calls(&mut self) -> Calls {
        let mut calls = Calls::default();
        for call in self.cluster.calls_since(self.next_call) {
            self.next_call = call.number + 1;
            match call.method {
                Method::PUT => calls.writes += 1,
                _ if call.path == "/_security/_authenticate" => calls.logins += 1,
                _ if call.path.contains("_query") => calls.lists += 1,
                _ => calls.reads += 1,
            }
        }
        self.cluster.forget_calls();
        calls
    }
}

async fn ask(replica: Arc<Flow>, user: u64) {
    let mut headers = HeaderMap::new();
    let name = HeaderValue::try_from(format!("user-{user}")).unwrap();
    headers.insert("remote-user", name);
    headers.insert("remote-groups", HeaderValue::from_static("dev"));
    let request = request::request(headers);
    let upstream = replica.choose(&request).unwrap();
    let answer = replica.decide(&upstream, &request).await;
    assert!(answer.is_ok(), "user-{user}: {answer:?}");
}

fn replica(cluster: &StandIn, clock: &Arc<AtomicU64>, tasks: &Tasks, park: bool) -> Arc<Flow> {
    let clock = Clock::Manual(Arc::clone(clock));
    let account = cluster::ServiceAccount::Basic {
        username: SERVICE_USER.to_owned(),
        password: cluster.service_password().to_owned().into(),
    };
    let security = SecurityApi::new(
        &cluster::Config {
            kind: cluster::Kind::Elasticsearch,
            hosts: vec![cluster.url().parse().unwrap()],
            account,
            tls: tls::ClientConfig::default(),
            passwords: cluster::PasswordForm::Clear,
        },
        clock.clone(),
        &ClusterTelemetry::default(),
    )
    .unwrap();
    let config = broker::Config {
        secret_key: Some(SecretKey::parse(KEY).unwrap()),
        previous_key: None,
        cluster_name: "default".to_owned(),
        service_account: Some(SERVICE_USER.to_owned()),
        rotation: Duration::from_hours(24),
        rotation_window: None,
        opensearch: broker::OpenSearchPeriods::default(),
        grace: Duration::from_millis(500),
        park_within: park.then_some(Duration::from_hours(1)),
        prune_after: None,
        expiration: Duration::from_hours(1),
        adopt: Adopt::ElastauthGo,
        writes_per_minute: 10,
        new_per_minute: 1_000_000,
        tries_for: broker::Config::TRIES_FOR,
        writes_at_once: 16,
        dry_run: false,
        ledger: ledger::Config {
            capacity: 1_000_000,
            store: StoreConfig::Memory,
        },
    };
    let telemetry = ClusterTelemetry::default();
    let broker = Broker::new(config, security, clock, tasks.clone(), telemetry).unwrap();
    let mapping = Mapping::new(roles::Config {
        default_roles: vec![Role::parse("viewer").unwrap()],
        ..roles::Config::default()
    });
    let upstream = Upstream::new("default", mapping, broker);
    Arc::new(Flow::new(
        Providers::headers(headers::Config::default()),
        upstream.into(),
    ))
}

#[expect(clippy::cast_precision_loss, reason = "some hundred thousands")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}
