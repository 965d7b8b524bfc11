//! What happens to Redis, to the replicas and to the cluster, in an order that the seed decides.
//! One thing at a time for each of the three.

use crate::support::{Why, pause, pause_until};
use crate::{
    Chance, World,
    cluster::Cluster,
    plan,
    redises::{ForRedis, Redises},
    replicas::{ForReplicas, Replica},
    report::Report,
    support::stage::Stage,
};
use elastauth::internals::demo::standin::{
    Endpoint, Fault, Misbehaviour, SERVICE_USER, StandIn, StoredUser,
};
use http::StatusCode;
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::Instant;

/// For how long a fault of the cluster excuses questions that come after it is over: the second for
/// which a failure answers the same question, and one for what was on its way.
const AFTERMATH: Duration = Duration::from_secs(2);
/// For how long entries may be believed that nobody can contradict: ten seconds, and one for the
/// news.
const UNHEARD: Duration = Duration::from_secs(11);
/// How long it may take, after Redis is well again, until all replicas hear each other through it:
/// a wait between two tries, and a try that was under way.
const AGAIN: Duration = Duration::from_secs(6);

/// The faults of the moment, and what is left of the last ones.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) cluster: Option<Trouble>,
    pub(crate) redis: Option<Trouble>,
    pub(crate) replica_killed: Option<Instant>,
}

#[derive(Clone)]
pub(crate) struct Trouble {
    what: &'static str,
    began: Instant,
    over: Option<Instant>,
}

impl fmt::Debug for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} since {:?}", self.what, self.began.elapsed())?;
        self.over.map_or(Ok(()), |over| {
            write!(f, ", over since {:?}", over.elapsed())
        })
    }
}

impl Trouble {
    pub(crate) fn began(what: &'static str) -> Self {
        Self {
            what,
            began: Instant::now(),
            over: None,
        }
    }

    pub(crate) fn ends(&mut self) {
        self.over = Some(Instant::now());
    }
}

impl Faults {
    /// Why a request that was asked then may fail for a user who is known: only while the cluster
    /// does not do its part.
    pub(crate) fn excuse(&self, asked: Instant) -> Option<&'static str> {
        let trouble = self.cluster.as_ref()?;
        let lasts = trouble.over.is_none_or(|over| asked < over + AFTERMATH);
        (lasts && Instant::now() > trouble.began).then_some(trouble.what)
    }

    /// Whether the cluster does not do its part at this moment.
    pub(crate) fn cluster_is_in_trouble(&self) -> bool {
        self.cluster
            .as_ref()
            .is_some_and(|trouble| trouble.over.is_none())
    }

    /// Whether the cluster refused native users at some moment since then.
    pub(crate) fn security_is_away(&self, asked: Instant) -> bool {
        self.cluster.as_ref().is_some_and(|trouble| {
            trouble.what == "the security index is away"
                && trouble.over.is_none_or(|over| asked < over)
        })
    }

    /// Whether a replica was killed just now.
    pub(crate) fn a_replica_was_killed(&self) -> bool {
        self.replica_killed
            .is_some_and(|at| at.elapsed() < Duration::from_secs(2))
    }

    /// How long ago what another replica has written may have been, and still be unheard.
    pub(crate) fn unheard(&self) -> Option<Duration> {
        let trouble = self.redis.as_ref()?;
        trouble
            .over
            .is_none_or(|over| over.elapsed() < UNHEARD + AGAIN)
            .then_some(UNHEARD)
    }
}

/// Lets all three have their faults until the end, then looks through every log. What is to live
/// longer than the clients comes back.
pub(crate) async fn run(
    world: &Arc<World>,
    seed: u64,
    replicas: Vec<Replica>,
    redises: Redises,
) -> (Vec<Stage>, Redises) {
    let more = plan(&redises, &world.pace);
    let mut for_redis = ForRedis::new(world, Chance::new(seed, 2), redises);
    let mut for_replicas = ForReplicas::new(world, Chance::new(seed, 3), more, replicas);
    let for_cluster = async {
        // Real nodes have faults of their own.
        let Cluster::StandIn(cluster) = &world.cluster else {
            return;
        };
        ForCluster {
            world: Arc::clone(world),
            cluster: cluster.clone(),
            chance: Chance::new(seed, 4),
        }
        .run()
        .await;
    };
    pause(Why::Pace, Duration::from_secs(2)).await;
    tokio::join!(for_redis.run(), for_replicas.run(), for_cluster);
    pause_until(Why::Pace, world.end + Duration::from_secs(1)).await;
    (for_replicas.conclude().await, for_redis.redises)
}

struct ForCluster {
    world: Arc<World>,
    cluster: StandIn,
    chance: Chance,
}

impl ForCluster {
    async fn run(&mut self) {
        loop {
            pause(
                Why::Pace,
                Duration::from_millis(2_000 + self.chance.below(4_000)),
            )
            .await;
            if Instant::now() + Duration::from_secs(3) > self.world.end {
                return;
            }
            self.trouble().await;
        }
    }

    async fn trouble(&mut self) {
        use {Endpoint as E, Misbehaviour as M};
        let unavailable = M::Status(StatusCode::SERVICE_UNAVAILABLE);
        let slow = M::Delay(Duration::from_millis(50 + self.chance.below(350)));
        // Others overtake them. No write begins in the last 600 ms before a boundary; that and the
        // grace together are what a boundary can bear, less the difference of two clocks.
        let overtaken = M::Delay(Duration::from_millis(950 + self.chance.below(200)));
        let several = 1 + u32::try_from(self.chance.below(5)).unwrap();
        let (what, fault) = match self.chance.below(12) {
            0 => ("the cluster answers 503", Fault::new(E::Any, unavailable)),
            1 => (
                "the cluster takes no writes (429)",
                Fault::new(E::Write, M::Status(StatusCode::TOO_MANY_REQUESTS)),
            ),
            2 => (
                "the security index is away",
                Fault::new(E::Any, M::SecurityUnavailable),
            ),
            3 => (
                "the cluster cuts connections before it acts",
                Fault::new(E::Any, M::CloseBefore).times(several),
            ),
            4 => (
                "the cluster writes and cuts the connection",
                Fault::new(E::Write, M::CloseAfter).times(several),
            ),
            5 => (
                "the cluster writes and says 500",
                Fault::new(E::Write, M::AppliedThen500).times(several),
            ),
            6..=8 => (
                "a few writes take longer than the grace",
                Fault::new(E::Write, overtaken).times(several),
            ),
            9 => (
                "the service account has another password",
                Fault::new(E::Check, M::Delay(Duration::ZERO)),
            ),
            _ => ("the cluster is slow", Fault::new(E::Any, slow)),
        };
        self.world.report.fault(what);
        self.world
            .faults(|faults| faults.cluster = Some(Trouble::began(what)));
        let account = self
            .cluster
            .user(SERVICE_USER)
            .expect("the service account");
        if what.starts_with("the service account") {
            self.cluster
                .set_user(StoredUser::new(SERVICE_USER, "another one").with_roles(&["superuser"]));
        } else {
            self.cluster.fault(fault);
        }
        pause(
            Why::Pace,
            Duration::from_millis(500 + self.chance.below(2_500)),
        )
        .await;
        self.cluster.clear_faults();
        self.cluster.set_user(account);
        self.world.faults(|faults| {
            if let Some(trouble) = &mut faults.cluster {
                trouble.ends();
            }
        });
    }
}

/// Every password begins alike, and is nowhere to be read; nothing has crashed; and no clock was
/// far enough from another to be distinguished.
pub(crate) fn look_through(report: &Report, log: &str) {
    report.keep_log(log);
    for line in log.lines() {
        if line.contains("Ea1-") || line.contains("{PBKDF2}") || line.contains("panicked") {
            report.violation("secret in a log", line.to_owned());
        }
        if line.contains("differ by more than") {
            report.violation("complaint of a clock", line.to_owned());
        }
    }
}
