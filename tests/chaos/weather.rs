//! What happens to Redis, to the replicas and to the cluster, in an order that the seed decides. One thing at a time for each of the three.

use crate::{
    Chance, World,
    cluster::Cluster,
    plan,
    redis::Redis,
    report::Report,
    support::stage::{Plan, Stage},
};
use elastauth::demo::standin::{Endpoint, Fault, Misbehaviour, SERVICE_USER, StandIn, StoredUser};
use http::StatusCode;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

/// For how long a fault of the cluster excuses failures after it is over: the longest answer (2 s), and the second for which a failure answers the same question.
const AFTERMATH: Duration = Duration::from_secs(3);
/// For how long after trouble with Redis entries may be believed that nobody has contradicted: ten seconds, five until silence is noticed, one for the news.
const UNHEARD: Duration = Duration::from_secs(16);

/// The weather of the moment, and what is left of the last one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sky {
    cluster: Option<Trouble>,
    redis: Option<Trouble>,
    replica_ended: Option<Instant>,
}

#[derive(Debug, Clone)]
struct Trouble {
    what: &'static str,
    began: Instant,
    over: Option<Instant>,
}

impl Sky {
    /// Why a request that was asked then may fail for a user who is known: only while the cluster does not do its part.
    pub(crate) fn excuse(&self, asked: Instant) -> Option<&'static str> {
        let trouble = self.cluster.as_ref()?;
        let lasts = trouble.over.is_none_or(|over| asked < over + AFTERMATH);
        (lasts && Instant::now() > trouble.began).then_some(trouble.what)
    }

    /// Whether the cluster refused native users at some moment since then.
    pub(crate) fn security_is_away(&self, asked: Instant) -> bool {
        self.cluster
            .as_ref()
            .is_some_and(|trouble| trouble.what == "the security index is away" && trouble.over.is_none_or(|over| asked < over))
    }

    /// Whether a replica has ended just now.
    pub(crate) fn a_replica_has_ended(&self) -> bool {
        self.replica_ended.is_some_and(|at| at.elapsed() < Duration::from_secs(2))
    }

    /// For how long what another replica wrote may have gone unheard.
    pub(crate) fn unheard(&self) -> Option<Duration> {
        let trouble = self.redis.as_ref()?;
        trouble.over.is_none_or(|over| over.elapsed() < UNHEARD).then(|| UNHEARD + trouble.began.elapsed().min(UNHEARD))
    }
}

/// Lets all three have their weather until the end, then looks through every log. What is to live longer than the clients comes back.
pub(crate) async fn run(world: &Arc<World>, seed: u64, replicas: Vec<Stage>, redis: Redis) -> (Vec<Stage>, Redis) {
    let more = plan(&redis, &world.pace);
    let mut for_redis = ForRedis { world: Arc::clone(world), chance: Chance::new(seed, 2), redis };
    let mut for_replicas = ForReplicas { world: Arc::clone(world), chance: Chance::new(seed, 3), replicas, more };
    sleep(Duration::from_secs(2)).await;
    let lasts = async |chance: &mut Chance, least: u64, most: u64| {
        sleep(Duration::from_millis(least + chance.below(most - least))).await;
        Instant::now() + Duration::from_secs(3) < world.end
    };
    tokio::join!(
        async {
            while lasts(&mut for_redis.chance, 1_000, 6_000).await {
                for_redis.trouble().await;
            }
        },
        async {
            while lasts(&mut for_replicas.chance, 500, 5_000).await {
                for_replicas.trouble().await;
            }
        },
        async {
            // Real nodes have a weather of their own.
            let Cluster::StandIn(cluster) = &world.cluster else { return };
            let mut for_cluster = ForCluster { world: Arc::clone(world), chance: Chance::new(seed, 4), cluster: cluster.clone() };
            while lasts(&mut for_cluster.chance, 2_000, 6_000).await {
                for_cluster.trouble().await;
            }
        },
    );
    while Instant::now() < world.end + Duration::from_secs(1) {
        sleep(Duration::from_millis(50)).await;
    }
    for replica in &for_replicas.replicas {
        look_through(&world.report, &replica.elastauth.log());
    }
    (for_replicas.replicas, for_redis.redis)
}

struct ForRedis {
    world: Arc<World>,
    chance: Chance,
    redis: Redis,
}

impl ForRedis {
    async fn trouble(&mut self) {
        // While replicas do not hear each other the bound is ten seconds, and a second else: the first half of a run is for the second.
        let heard = Instant::now() < self.world.half;
        let kind = self.chance.below(5);
        let what = ["killed", "paused", "emptied", "filled with other values", "full"]
            [usize::try_from(if heard { 2 + kind % 3 } else { kind }).unwrap()];
        let lasts = Duration::from_millis(300 + self.chance.below(4_000));
        self.world.report.weather(match what {
            "killed" => "Redis killed",
            "paused" => "Redis paused",
            "emptied" => "Redis emptied",
            "full" => "Redis full",
            _ => "Redis filled with other values",
        });
        // What is emptied or filled is heard all the same.
        let deaf = ["killed", "paused"].contains(&what);
        if deaf {
            self.world.sky(|sky| sky.redis = Some(Trouble { what, began: Instant::now(), over: None }));
        }
        match what {
            "killed" => self.redis.kill(),
            "paused" => self.redis.signal("STOP"),
            "emptied" => drop(self.redis.cli(&["FLUSHALL"])),
            "full" => {
                drop(self.redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]));
                drop(self.redis.cli(&["CONFIG", "SET", "maxmemory", "1"]));
            }
            _ => {
                let keys = self.redis.keys();
                for (n, key) in keys.iter().take(50).enumerate() {
                    // Values of others, and each other's.
                    match n % 2 {
                        0 => drop(self.redis.cli(&["SET", key, "x"])),
                        _ => drop(self.redis.cli(&["COPY", &keys[n - 1], key, "REPLACE"])),
                    }
                }
            }
        }
        sleep(lasts).await;
        match what {
            "killed" => self.redis.restart().await,
            "paused" => self.redis.signal("CONT"),
            "full" => drop(self.redis.cli(&["CONFIG", "SET", "maxmemory", "0"])),
            _ => {}
        }
        if deaf {
            self.world.sky(|sky| {
                if let Some(trouble) = &mut sky.redis {
                    trouble.over = Some(Instant::now());
                }
            });
        }
    }
}

struct ForReplicas {
    world: Arc<World>,
    chance: Chance,
    replicas: Vec<Stage>,
    more: String,
}

impl ForReplicas {
    async fn trouble(&mut self) {
        let which = usize::try_from(self.chance.below(self.replicas.len() as u64)).unwrap();
        let away = Duration::from_millis(self.chance.below(1_500));
        if self.chance.below(2) == 0 {
            self.world.report.weather("replica killed -9");
            self.world.sky(|sky| sky.replica_ended = Some(Instant::now()));
            self.replicas[which].elastauth.kill();
        } else {
            self.world.report.weather("replica told to end");
            let status = self.replicas[which].elastauth.terminate().await;
            assert!(status.success(), "{status}: {}", self.replicas[which].elastauth.log());
        }
        look_through(&self.world.report, &self.replicas[which].elastauth.log());
        sleep(away).await;
        let other = (which + 1) % self.replicas.len();
        let again = self.replicas[other].replica(Plan { more: &self.more, hosts: self.world.cluster.hosts(), ..Plan::default() }).await;
        self.world.gateways.write().unwrap()[which] = again.gateway().clone();
        self.replicas[which] = again;
    }
}

struct ForCluster {
    world: Arc<World>,
    chance: Chance,
    cluster: StandIn,
}

impl ForCluster {
    async fn trouble(&mut self) {
        use {Endpoint as E, Misbehaviour as M};
        let unavailable = M::Status(StatusCode::SERVICE_UNAVAILABLE);
        let slow = M::Delay(Duration::from_millis(50 + self.chance.below(350)));
        // Others overtake them. Longer than this and the grace together is beyond what a boundary of passwords can bear.
        let overtaken = M::Delay(Duration::from_millis(950 + self.chance.below(400)));
        let several = 1 + u32::try_from(self.chance.below(5)).unwrap();
        let (what, fault) = match self.chance.below(12) {
            0 => ("the cluster answers 503", Fault::new(E::Any, unavailable)),
            1 => ("the cluster takes no writes (429)", Fault::new(E::Write, M::Status(StatusCode::TOO_MANY_REQUESTS))),
            2 => ("the security index is away", Fault::new(E::Any, M::SecurityUnavailable)),
            3 => ("the cluster cuts connections before it acts", Fault::new(E::Any, M::CloseBefore).times(several)),
            4 => ("the cluster writes and cuts the connection", Fault::new(E::Write, M::CloseAfter).times(several)),
            5 => ("the cluster writes and says 500", Fault::new(E::Write, M::AppliedThen500).times(several)),
            6..=8 => ("a few writes take longer than the grace", Fault::new(E::Write, overtaken).times(several)),
            9 => ("the service account has another password", Fault::new(E::Check, M::Delay(Duration::ZERO))),
            _ => ("the cluster is slow", Fault::new(E::Any, slow)),
        };
        self.world.report.weather(what);
        self.world.sky(|sky| sky.cluster = Some(Trouble { what, began: Instant::now(), over: None }));
        let account = self.cluster.user(SERVICE_USER).expect("the service account");
        if what.starts_with("the service account") {
            self.cluster.set_user(StoredUser::new(SERVICE_USER, "another one").with_roles(&["superuser"]));
        } else {
            self.cluster.fault(fault);
        }
        sleep(Duration::from_millis(500 + self.chance.below(2_500))).await;
        self.cluster.clear_faults();
        self.cluster.set_user(account);
        self.world.sky(|sky| {
            if let Some(trouble) = &mut sky.cluster {
                trouble.over = Some(Instant::now());
            }
        });
    }
}

/// Every password begins alike, and is nowhere to be read.
fn look_through(report: &Report, log: &str) {
    for line in log.lines().filter(|line| line.contains("Ea1-") || line.contains("{PBKDF2}") || line.contains("panicked")) {
        report.violation("secret in a log", line.to_owned());
    }
}
