//! A Redis, its replica, and three Sentinels that put the one in the other's place: the form in
//! which Redis is highly available. And what happens to it.

use crate::support::{Why, pause, pause_until};
use crate::{
    Chance, World,
    faults::Trouble,
    support::redis::{Redis, run_cli},
    support::sentinel::Sentinel,
};
use std::{sync::Arc, time::Duration};
use tokio::{task::block_in_place, time::Instant};

/// A primary that has not answered for so long is missed. Short, so that a run sees several of them
/// fall.
const MISSED: &str =
    "sentinel down-after-milliseconds main 700\nsentinel failover-timeout main 4000";
/// How long it may take until a primary and its replica stand again. Sentinel lets a primary that
/// comes back go on believing in itself for ten seconds.
const SETTLED: Duration = Duration::from_secs(40);

/// How long Sentinel has for it. One that has stood still itself promotes nobody for half a minute;
/// then the primary comes back, and falls another time.
const PROMOTED: Duration = Duration::from_secs(12);

pub(crate) struct Redises {
    nodes: [Redis; 2],
    sentinels: [Sentinel; 3],
}

impl Redises {
    pub(crate) async fn start() -> Self {
        // A replica waits for others to copy for with it, by default for five seconds.
        let common = ["--repl-diskless-sync-delay", "0"];
        let primary = Redis::start(&common).await;
        let port = primary.port.to_string();
        let replica =
            Redis::start(&[&common[..], &["--replicaof", "127.0.0.1", &port]].concat()).await;
        let watch = || Sentinel::start(primary.port, 2, MISSED);
        let sentinels = [watch().await, watch().await, watch().await];
        let redises = Self {
            nodes: [primary, replica],
            sentinels,
        };
        redises.settle(Instant::now() + SETTLED).await;
        redises
    }

    /// As `redis.sentinel` wants them.
    pub(crate) fn sentinels(&self) -> String {
        self.sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Whom Sentinel takes for the primary.
    fn primary(&self) -> usize {
        let output = sentinel_cli(
            &self.sentinels[0],
            &["--raw", "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"],
        );
        let port = output
            .lines()
            .nth(1)
            .and_then(|port| port.trim().parse::<u16>().ok());
        usize::from(port == Some(self.nodes[1].port))
    }

    /// Waits until the primary has a replica that copies from it, and every Sentinel knows of both
    /// and of the other Sentinels; until then at most.
    async fn settle(&self, until: Instant) -> bool {
        while Instant::now() < until {
            let about = cli(&self.nodes[self.primary()], &["INFO", "replication"]);
            let stands = about.contains("role:master") && about.contains("state=online");
            let known = |sentinel: &Sentinel| {
                let output = sentinel_cli(sentinel, &["INFO", "sentinel"]);
                output.contains("status=ok") && output.contains("slaves=1,sentinels=3")
            };
            if stands && self.sentinels.iter().all(known) {
                return true;
            }
            pause(Why::Again, Duration::from_millis(100)).await;
        }
        false
    }

    /// Waits until Sentinel has put another in this one's place; until then at most.
    async fn is_replaced(&self, primary: usize, until: Instant) -> bool {
        while Instant::now() < until {
            if self.primary() != primary {
                return true;
            }
            pause(Why::Again, Duration::from_millis(20)).await;
        }
        false
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Emptied,
    Filled,
    Full,
    FailedOver,
    HandedOver,
    Killed,
    Paused,
}

/// Those through which replicas go on hearing each other.
const HEARD: u64 = 3;
const KINDS: [Kind; 7] = [
    Kind::Emptied,
    Kind::Filled,
    Kind::Full,
    Kind::FailedOver,
    Kind::HandedOver,
    Kind::Killed,
    Kind::Paused,
];

impl Kind {
    fn text(self) -> &'static str {
        match self {
            Self::Emptied => "Redis emptied",
            Self::Filled => "Redis filled with other values",
            Self::Full => "Redis full",
            Self::FailedOver => "Redis killed, and its replica promoted by Sentinel",
            Self::HandedOver => "Redis handed over to its replica by an operator",
            Self::Killed => "Redis killed and started again",
            Self::Paused => "Redis paused",
        }
    }
}

pub(crate) struct ForRedis {
    pub(crate) world: Arc<World>,
    pub(crate) chance: Chance,
    pub(crate) redises: Redises,
    failed_over: bool,
}

impl ForRedis {
    pub(crate) fn new(world: &Arc<World>, chance: Chance, redises: Redises) -> Self {
        Self {
            world: Arc::clone(world),
            chance,
            redises,
            failed_over: false,
        }
    }

    /// Trouble after trouble. While replicas do not hear each other the bound is ten seconds, and a
    /// second else: the first half of a run is for the second.
    pub(crate) async fn run(&mut self) {
        loop {
            let begins = Instant::now() + Duration::from_millis(1_000 + self.chance.below(5_000));
            let lasts = Duration::from_millis(300 + self.chance.below(4_000));
            let kind = self.chance.below(KINDS.len() as u64);
            let heard = begins + lasts < self.world.half;
            pause_until(
                Why::Pace,
                if heard {
                    begins
                } else {
                    begins.min(self.world.half.max(Instant::now()))
                },
            )
            .await;
            if Instant::now() + Duration::from_secs(3) > self.world.end {
                break;
            }
            let kind = if heard { kind % HEARD } else { kind };
            let kind = if heard || self.failed_over {
                KINDS[usize::try_from(kind).unwrap()]
            } else {
                Kind::FailedOver
            };
            self.trouble(kind, lasts).await;
        }
        self.redises.settle(Instant::now() + SETTLED).await;
    }

    async fn trouble(&mut self, kind: Kind, lasts: Duration) {
        let primary = self.redises.primary();
        self.world.report.fault(kind.text());
        // What is emptied or filled is heard all the same.
        let deaf = ![Kind::Emptied, Kind::Filled, Kind::Full].contains(&kind);
        if deaf {
            self.world
                .faults(|faults| faults.redis = Some(Trouble::began(kind.text())));
        }
        match kind {
            Kind::Emptied => drop(cli(&self.redises.nodes[primary], &["FLUSHALL"])),
            Kind::Filled => self.fill(primary),
            Kind::Full => {
                cli(
                    &self.redises.nodes[primary],
                    &["CONFIG", "SET", "maxmemory-policy", "noeviction"],
                );
                cli(
                    &self.redises.nodes[primary],
                    &["CONFIG", "SET", "maxmemory", "1"],
                );
            }
            Kind::FailedOver | Kind::Killed => self.redises.nodes[primary].kill(),
            Kind::HandedOver => drop(sentinel_cli(
                &self.redises.sentinels[1],
                &["SENTINEL", "FAILOVER", "main"],
            )),
            Kind::Paused => block_in_place(|| self.redises.nodes[primary].signal("STOP")),
        }
        let replaced = [Kind::FailedOver, Kind::HandedOver].contains(&kind);
        if replaced
            && self
                .redises
                .is_replaced(primary, self.world.end.min(Instant::now() + PROMOTED))
                .await
        {
            self.world.report.count("Redis failovers");
            self.failed_over = true;
        }
        pause(Why::Pace, lasts).await;
        match kind {
            Kind::FailedOver | Kind::Killed => self.redises.nodes[primary].restart().await,
            Kind::Full => drop(cli(
                &self.redises.nodes[primary],
                &["CONFIG", "SET", "maxmemory", "0"],
            )),
            Kind::Paused => block_in_place(|| self.redises.nodes[primary].signal("CONT")),
            Kind::Emptied | Kind::Filled | Kind::HandedOver => {}
        }
        if deaf {
            // One that comes back believes for a while that it is still the primary, and so may
            // those who talk to it.
            self.redises
                .settle(self.world.end.min(Instant::now() + SETTLED))
                .await;
            if kind != Kind::FailedOver
                && kind != Kind::HandedOver
                && self.redises.primary() != primary
            {
                self.world.report.count("Redis failovers");
            }
            self.world.faults(|faults| {
                if let Some(trouble) = &mut faults.redis {
                    trouble.ends();
                }
            });
        }
    }

    /// Values of others, and each other's.
    fn fill(&self, primary: usize) {
        cli(&self.redises.nodes[primary], &["EVAL", FILL, "0"]);
    }
}

const FILL: &str = "local keys = redis.call('KEYS', 'elastauth:*') for n = 1, math.min(#keys, 100) \
    do if n % 2 == 1 then redis.call('SET', keys[n], 'x') \
    elseif keys[n + 1] then redis.call('COPY', keys[n + 1], keys[n], 'REPLACE') end end";

/// What one of them says. Another program is started for it, and clients must not wait for that.
fn cli(redis: &Redis, arguments: &[&str]) -> String {
    block_in_place(|| redis.cli(arguments))
}

fn sentinel_cli(sentinel: &Sentinel, arguments: &[&str]) -> String {
    block_in_place(|| run_cli(sentinel.port, &[], arguments))
}
