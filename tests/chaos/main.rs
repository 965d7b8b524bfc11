//! Everything at once: replicas of the running program, a real Redis between them, a cluster with
//! faults, and clients who use each login as a gateway would. What must hold is held for every
//! answer: the right user, a login that the cluster takes, and never more roles in the cluster than
//! the request's groups give.
//!
//! The cluster is a stand-in, which is fast and has every fault that one can think of, or two real
//! nodes that are killed, stopped and brought back.
//!
//! `cargo xtask chaos --seconds 300 --seed 7` runs it for longer, with `--cluster real` on the real
//! nodes; without anything it is short. The seed decides what happens and in which order; what
//! meets what is up to the machine.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop, and this one reports"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "clients of the test's own run beside it, by the real clock"
)]

mod calls;
mod clients;
mod clocks;
mod cluster;
mod directory;
mod faults;
mod gateway;
mod health;
mod judge;
mod known;
mod late;
mod meddler;
mod nodes;
mod outages;
mod past;
mod redises;
mod replicas;
mod report;
#[path = "../support/lib.rs"]
mod support;

use cluster::Cluster;
use directory::Directory;
use elastauth::internals::{demo::standin::SERVICE_USER, model::Username};
use known::Known;
use late::Lates;
use nodes::Nodes;
use outages::Outages;
use redises::Redises;
use replicas::Replica;
use report::Report;
use std::{
    collections::HashSet,
    net::SocketAddr,
    sync::{Arc, Mutex, RwLock},
    time::{Duration, UNIX_EPOCH},
};
use support::{http::Server, two_nodes::TwoNodes};
use tokio::time::Instant;

const REPLICAS: usize = 3;
/// A busy machine may leave a client without a processor for half a second.
const GRACE_MS: u64 = 900;
/// `cache.expiration`: each user is checked again at a time of their own in it.
const EXPIRATION_MS: u64 = 30_000;

/// How fast everything goes. What is measured is elastauth and not how a small machine starves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long a password lives, in milliseconds: short enough that everybody's changes several
    /// times in the short run, and long enough that what one replica remembers wrongly could be
    /// believed for a while.
    pub(crate) rotation: u64,
    /// By how much the replicas' clocks differ at most, in milliseconds.
    pub(crate) clocks: u64,
    /// How many users change their groups.
    pub(crate) changing: usize,
    /// How long a client waits between two requests, in milliseconds: so long, and up to so much
    /// longer.
    pub(crate) pause: (u64, u64),
    /// The same between two changes of somebody's groups.
    pub(crate) change: (u64, u64),
}

const OF_A_STAND_IN: Pace = Pace {
    rotation: 10_000,
    clocks: clocks::MOST,
    changing: 240,
    pause: (20, 60),
    change: (10, 40),
};
/// Two nodes on two processors take some hundred logins a second, and each of a client's is used
/// twice. A login is a long time on its way to them: with other clocks than its own replica's it
/// would come after the grace.
const OF_REAL_NODES: Pace = Pace {
    rotation: 17_000,
    clocks: 0,
    changing: 60,
    pause: (150, 300),
    change: (150, 300),
};

impl Pace {
    /// The number of the user's password period, counted as elastauth counts it, and how many
    /// milliseconds of it have gone.
    pub(crate) fn period(&self, user: &str) -> (u64, u64) {
        let now = known::ms(UNIX_EPOCH.elapsed().unwrap())
            + Username::parse(user).unwrap().place() % self.rotation;
        (now / self.rotation, now % self.rotation)
    }

    /// How many milliseconds ago the user's last moment was at which they are checked again,
    /// counted as elastauth counts it.
    pub(crate) fn moment(user: &str) -> u64 {
        let offset = elastauth::internals::model::mixed(Username::parse(user).unwrap().place())
            % EXPIRATION_MS;
        (known::ms(UNIX_EPOCH.elapsed().unwrap()) + EXPIRATION_MS - offset) % EXPIRATION_MS
    }

    /// How far a replica's clock is ahead.
    pub(crate) fn ahead(&self, chance: &mut Chance) -> u64 {
        chance.below(self.clocks.max(1))
    }
}

/// What everybody shares.
pub(crate) struct World {
    pub(crate) cluster: Cluster,
    pub(crate) pace: Pace,
    /// Where each replica is at the moment.
    pub(crate) gateways: RwLock<Vec<Server>>,
    pub(crate) directory: Directory,
    pub(crate) faults: Mutex<faults::Faults>,
    pub(crate) known: Known,
    pub(crate) lates: Lates,
    pub(crate) past: past::Past,
    /// Replicas that were killed.
    pub(crate) killed: Mutex<HashSet<SocketAddr>>,
    pub(crate) report: Report,
    pub(crate) half: Instant,
    pub(crate) end: Instant,
}

impl World {
    pub(crate) fn faults(&self, change: impl FnOnce(&mut faults::Faults)) {
        change(&mut self.faults.lock().unwrap());
    }

    /// Whether the cluster does not do its part at this moment.
    pub(crate) fn is_in_trouble(&self) -> bool {
        self.faults.lock().unwrap().cluster_is_in_trouble()
            || self
                .cluster
                .nodes()
                .is_some_and(|nodes| !nodes.health().is_whole())
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
        Self(elastauth::internals::model::mixed(
            seed ^ elastauth::internals::model::mixed(stream + 1),
        ))
    }

    pub(crate) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        elastauth::internals::model::mixed(self.0) % most
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}"))
    })
}

pub(crate) fn plan(redises: &Redises, pace: &Pace) -> String {
    format!(
        "cache: {{type: redis, expiration: {EXPIRATION_MS}ms}}\n\
         redis: {{sentinel: [{}], sentinel_master: main}}\n\
         credentials: {{rotation: {}ms, grace: {GRACE_MS}ms}}\n\
         users: {{writes_per_minute: 1000, new_per_minute: 1000000}}\nenable_metrics: true",
        redises.sentinels(),
        pace.rotation
    )
}

/// One run at a time: each wants the whole machine.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[tokio::test(flavor = "multi_thread")]
async fn nobody_ever_notices() {
    let _turn = TURN.lock().await;
    let run = Run::new(30, "", OF_A_STAND_IN);
    let redises = Redises::start().await;
    let replicas = run.replicas(&redises, None).await;
    let world = run.world(
        Cluster::StandIn(replicas[0].stage.cluster.clone()),
        &replicas,
    );
    run.through(&world, replicas, redises).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "two nodes, three replicas and their clients want two processors for themselves: cargo xtask chaos --cluster real"]
async fn nobody_notices_what_two_real_nodes_go_through() {
    let _turn = TURN.lock().await;
    let run = Run::new(45, " --cluster real", OF_REAL_NODES);
    let (redises, mut two) = tokio::join!(Redises::start(), TwoNodes::start());
    let nodes = Arc::new(Nodes::new(two.nodes()).await);
    let replicas = run.replicas(&redises, Some(&nodes.urls())).await;
    let password = replicas[0].stage.cluster.service_password().to_owned();
    two.other()
        .service_account_with(SERVICE_USER, &password)
        .await;
    let world = run.world(Cluster::Nodes(Arc::clone(&nodes)), &replicas);
    for place in 0..2 {
        tokio::spawn(nodes::watch_reads(
            Arc::clone(&world),
            Arc::clone(&nodes),
            place,
        ));
        tokio::spawn(nodes::watch_writes(
            Arc::clone(&world),
            Arc::clone(&nodes),
            place,
        ));
    }
    tokio::spawn(calls::watch(Arc::clone(&world)));
    let outages = Outages {
        world: Arc::clone(&world),
        nodes,
        cluster: two,
        password,
        chance: Chance::new(run.seed, 6),
    };
    let outages = tokio::spawn(outages.run());
    run.through(&world, replicas, redises).await;
    outages.await.expect("nodes that come back");
}

/// One run, as its seed has it.
struct Run {
    seconds: u64,
    seed: u64,
    pace: Pace,
}

impl Run {
    fn new(usual: u64, how: &str, pace: Pace) -> Self {
        let seconds = setting("ELASTAUTH_CHAOS_SECONDS").unwrap_or(usual);
        let seed = setting("ELASTAUTH_CHAOS_SEED").unwrap_or_else(|| {
            u64::from(std::process::id()) ^ u64::from(UNIX_EPOCH.elapsed().unwrap().subsec_nanos())
        });
        println!(
            "chaos: {seconds} s, seed {seed} (again: cargo xtask chaos --seconds {seconds} --seed \
             {seed}{how})"
        );
        Self {
            seconds,
            seed,
            pace,
        }
    }

    async fn replicas(&self, redises: &Redises, hosts: Option<&Vec<String>>) -> Vec<Replica> {
        replicas::start(
            &plan(redises, &self.pace),
            hosts,
            &self.pace,
            &mut Chance::new(self.seed, 7),
        )
        .await
    }

    fn world(&self, cluster: Cluster, replicas: &[Replica]) -> Arc<World> {
        Arc::new(World {
            cluster,
            pace: self.pace,
            gateways: RwLock::new(
                replicas
                    .iter()
                    .map(|replica| replica.stage.gateway().clone())
                    .collect(),
            ),
            directory: Directory::new(&self.pace),
            faults: Mutex::default(),
            known: Known::default(),
            lates: Lates::default(),
            past: past::Past::default(),
            killed: Mutex::default(),
            report: Report::default(),
            half: Instant::now() + Duration::from_secs(self.seconds / 2),
            end: Instant::now() + Duration::from_secs(self.seconds),
        })
    }

    async fn through(&self, world: &Arc<World>, replicas: Vec<Replica>, redises: Redises) {
        let stalls = tokio::spawn(report::watch_for_stalls(Arc::clone(world)));
        let traefik = gateway::start(world).await;
        let clients = clients::start(world, traefik.elasticsearch(), self.seed);
        let lasting = faults::run(world, self.seed, replicas, redises).await;
        for client in clients {
            client.await.expect("a client that ends by itself");
        }
        past::ends(world).await;
        stalls.abort();
        drop((lasting, traefik));
        clocks::sweep();
        let (report, verdict) = world.report.conclude();
        println!("{report}");
        assert!(
            verdict.is_empty(),
            "seed {}: {}",
            self.seed,
            verdict.join("; ")
        );
    }
}
