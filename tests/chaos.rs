//! Everything at once: replicas of the running program, a real Redis between them, a cluster with weather, and clients who use each login as a gateway would. What
//! must hold is held for every answer: the right user, a login that the cluster takes, and never more roles in the cluster than the request's groups give.
//!
//! `cargo xtask chaos --seconds 300 --seed 7` runs it for longer; without anything it is short. The seed decides what happens and in which order; what meets what is up to
//! the machine.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop, and this one reports"
)]
#![allow(clippy::disallowed_methods, reason = "clients of the test's own run beside it, by the real clock")]

#[path = "chaos/clients.rs"]
mod clients;
#[path = "chaos/clocks.rs"]
mod clocks;
#[path = "chaos/gateway.rs"]
mod gateway;
#[path = "support/guide.rs"]
mod guide;
#[path = "chaos/known.rs"]
mod known;
#[path = "chaos/late.rs"]
mod late;
#[path = "chaos/meddler.rs"]
mod meddler;
#[path = "support/redis.rs"]
#[allow(dead_code, reason = "each test binary uses its own share")]
mod redis;
#[path = "chaos/redises.rs"]
mod redises;
#[path = "chaos/replicas.rs"]
mod replicas;
#[path = "chaos/report.rs"]
mod report;
#[path = "support/sentinel.rs"]
mod sentinel;
#[path = "support/program.rs"]
mod support;
#[path = "support/traefik.rs"]
#[allow(dead_code, reason = "each test binary uses its own share")]
mod traefik;
#[path = "chaos/weather.rs"]
mod weather;

pub(crate) use support::{
    http,
    process::{self, free_port},
};

use clients::Directory;
use elastauth::demo::standin::StandIn;
use known::Known;
use late::Lates;
use redises::Redises;
use report::Report;
use std::{
    collections::HashSet,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, RwLock},
    time::Duration,
};
use support::http::Server;
use tokio::time::Instant;

const REPLICAS: usize = 3;
/// Short enough that everybody's password changes several times in the short run, and long enough that what one replica remembers wrongly could be believed for a
/// while.
const ROTATION_MS: u64 = 10_000;
/// A busy machine may leave a client without a processor for half a second.
const GRACE_MS: u64 = 900;

/// What everybody shares.
pub(crate) struct World {
    pub(crate) cluster: StandIn,
    /// Where each replica is at the moment.
    pub(crate) gateways: RwLock<Vec<Server>>,
    pub(crate) directory: Directory,
    pub(crate) sky: Mutex<weather::Sky>,
    pub(crate) known: Known,
    pub(crate) lates: Lates,
    /// Replicas that were killed.
    pub(crate) killed: Mutex<HashSet<SocketAddr>>,
    pub(crate) report: Report,
    pub(crate) half: Instant,
    pub(crate) end: Instant,
}

impl World {
    pub(crate) fn sky(&self, change: impl FnOnce(&mut weather::Sky)) {
        change(&mut self.sky.lock().unwrap());
    }

    pub(crate) fn was_killed(&self, replica: &Server) -> bool {
        self.killed.lock().unwrap().contains(&replica.address())
    }
}

/// A small generator of numbers: the run can be repeated from its seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        Self(elastauth::model::mixed(seed ^ elastauth::model::mixed(stream + 1)))
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        elastauth::model::mixed(self.0) % most
    }
}

/// A file that `cargo xtask parts` makes.
pub(crate) fn part(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/parts").join(name);
    assert!(path.exists(), "{} is missing; `cargo xtask parts` fetches it", path.display());
    path
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

pub(crate) fn plan(redises: &Redises) -> String {
    format!(
        "cache: {{type: redis, expiration: 30s}}\nredis: {{sentinel: [{}], sentinel_master: main}}\n\
         credentials: {{rotation: {ROTATION_MS}ms, grace: {GRACE_MS}ms}}\nusers: {{writes_per_minute: 1000, new_per_minute: 1000000}}\nenable_metrics: true",
        redises.sentinels()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ever_notices() {
    let seconds = setting("ELASTAUTH_CHAOS_SECONDS").unwrap_or(30);
    let seed = setting("ELASTAUTH_CHAOS_SEED")
        .unwrap_or_else(|| u64::from(std::process::id()) ^ u64::from(std::time::UNIX_EPOCH.elapsed().unwrap().subsec_nanos()));
    println!("chaos: {seconds} s, seed {seed} (again: cargo xtask chaos --seconds {seconds} --seed {seed})");

    let redises = Redises::start().await;
    let replicas = replicas::start(&plan(&redises), &mut Chance::new(seed, 7)).await;
    let world = Arc::new(World {
        cluster: replicas[0].stage.cluster.clone(),
        gateways: RwLock::new(replicas.iter().map(|replica| replica.stage.gateway().clone()).collect()),
        directory: Directory::new(),
        sky: Mutex::default(),
        known: Known::default(),
        lates: Lates::default(),
        killed: Mutex::default(),
        report: Report::default(),
        half: Instant::now() + Duration::from_secs(seconds / 2),
        end: Instant::now() + Duration::from_secs(seconds),
    });
    let stalls = tokio::spawn(report::watch_for_stalls(Arc::clone(&world)));
    let traefik = gateway::start(&world).await;
    let clients = clients::start(&world, traefik.elasticsearch(), seed);
    let lasting = weather::run(&world, seed, replicas, redises).await;
    for client in clients {
        client.await.expect("a client that ends by itself");
    }
    stalls.abort();
    drop((lasting, traefik));
    clocks::sweep();
    let (report, verdict) = world.report.conclude();
    println!("{report}");
    assert!(verdict.is_empty(), "seed {seed}: {}", verdict.join("; "));
}
