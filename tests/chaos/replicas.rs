//! What happens to the replicas: killed, asked to end and followed by another one, and their clocks
//! set, always so that they differ by less than the grace.

use crate::support::{Why, pause};
use crate::{
    Chance, Pace, REPLICAS, World,
    clocks::{self, Wall},
    faults::look_through,
    support::{
        http::Server,
        stage::{GATEWAY_KEY, Plan, Stage},
    },
};
use http::Method;
use serde_json::Value;
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::Instant};

/// Replicas send their time every two seconds; the library looks every second, and Redis may have
/// been away until just now.
const NOTICED: Duration = Duration::from_secs(30);

/// A replica and its clock.
pub(crate) struct Replica {
    pub(crate) stage: Stage,
    wall: Wall,
}

/// All of them, with clocks of their own, for the stand-in of the first or for other hosts.
pub(crate) async fn start(
    more: &str,
    hosts: Option<&Vec<String>>,
    pace: &Pace,
    chance: &mut Chance,
) -> Vec<Replica> {
    let mut replicas: Vec<Replica> = Vec::new();
    for _ in 0..REPLICAS {
        let ahead = pace.ahead(chance);
        let wall = Wall::ahead(ahead);
        let plan = Plan {
            more,
            hosts: hosts.cloned(),
            environment: &wall.environment(),
            ..Plan::default()
        };
        let stage = match replicas.first() {
            None => Stage::planned(plan).await,
            Some(first) => first.stage.replica(plan).await,
        };
        clocks::shows(stage.gateway(), ahead).await;
        replicas.push(Replica { stage, wall });
    }
    replicas
}

pub(crate) struct ForReplicas {
    world: Arc<World>,
    chance: Chance,
    more: String,
    replicas: Vec<Replica>,
    /// Those that were asked to end, and finish what they have in hand.
    leaving: Vec<JoinHandle<Stage>>,
}

impl ForReplicas {
    pub(crate) fn new(
        world: &Arc<World>,
        chance: Chance,
        more: String,
        replicas: Vec<Replica>,
    ) -> Self {
        Self {
            world: Arc::clone(world),
            chance,
            more,
            replicas,
            leaving: Vec::new(),
        }
    }

    pub(crate) async fn run(&mut self) {
        loop {
            pause(
                Why::Pace,
                Duration::from_millis(500 + self.chance.below(4_500)),
            )
            .await;
            if Instant::now() + Duration::from_secs(3) > self.world.end {
                return;
            }
            let which = usize::try_from(self.chance.below(REPLICAS as u64)).unwrap();
            match self
                .chance
                .below(if self.world.pace.clocks > 0 { 3 } else { 2 })
            {
                0 => self.is_killed(which).await,
                1 => self.is_asked_to_end(which).await,
                _ => self.has_its_clock_set(which).await,
            }
        }
    }

    async fn is_killed(&mut self, which: usize) {
        self.world.report.fault("replica killed -9");
        self.world
            .faults(|faults| faults.replica_killed = Some(Instant::now()));
        self.world
            .killed
            .lock()
            .unwrap()
            .insert(self.replicas[which].stage.gateway().address());
        self.replicas[which].stage.elastauth.kill();
        look_through(
            &self.world.report,
            &self.replicas[which].stage.elastauth.log(),
        );
        pause(Why::Pace, Duration::from_millis(self.chance.below(1_500))).await;
        self.replicas[which] = self.another(which).await;
    }

    async fn is_asked_to_end(&mut self, which: usize) {
        self.world.report.fault("replica asked to end (SIGTERM)");
        let asked = Instant::now();
        self.replicas[which].stage.elastauth.ask_to_end();
        pause(Why::Pace, Duration::from_millis(self.chance.below(500))).await;
        let next = self.another(which).await;
        let Replica { mut stage, wall } = std::mem::replace(&mut self.replicas[which], next);
        let world = Arc::clone(&self.world);
        self.leaving.push(tokio::spawn(async move {
            let status = stage.elastauth.ended().await;
            let log = stage.elastauth.log();
            if status.success()
                && log.contains("some work did not finish in time")
                && world.report.has_stalled_since(asked)
            {
                world
                    .report
                    .allowed("work lost at an end", "the machine stood still");
            } else if !status.success() || log.contains("some work did not finish in time") {
                world.report.violation(
                    "work lost at an end",
                    format!("{status}: {}", log.lines().last().unwrap_or_default()),
                );
            }
            look_through(&world.report, &log);
            drop(wall);
            stage
        }));
    }

    /// Starts one more, whose clock is somewhere else, and lets it take this one's place.
    async fn another(&mut self, which: usize) -> Replica {
        let wall = Wall::ahead(self.world.pace.ahead(&mut self.chance));
        let other = (which + 1) % self.replicas.len();
        let hosts = self.world.cluster.hosts();
        let plan = Plan {
            more: &self.more,
            hosts,
            environment: &wall.environment(),
            ..Plan::default()
        };
        let stage = self.replicas[other].stage.replica(plan).await;
        self.world.gateways.write().unwrap()[which] = stage.gateway().clone();
        Replica { stage, wall }
    }

    async fn has_its_clock_set(&mut self, which: usize) {
        self.world.report.fault("replica's clock set");
        let ahead = self.world.pace.ahead(&mut self.chance);
        self.world.known.a_clock_is_set();
        self.replicas[which].wall.set(ahead);
        clocks::shows(self.replicas[which].stage.gateway(), ahead).await;
        self.world.known.a_clock_is_set();
    }

    /// After the last client: within the grace nobody has complained of a clock; one that is far
    /// ahead is noticed by the others, and reported where operators look.
    pub(crate) async fn conclude(mut self) -> Vec<Stage> {
        let mut stages = Vec::new();
        for leaving in self.leaving.drain(..) {
            stages.push(leaving.await.expect("a replica that ends"));
        }
        for replica in &self.replicas {
            look_through(&self.world.report, &replica.stage.elastauth.log());
        }
        self.replicas[0].wall.set(20_000);
        for replica in &self.replicas[1..] {
            until_noticed(replica.stage.gateway()).await;
        }
        self.world
            .report
            .count("replicas that noticed a clock beyond the grace, after the end");
        stages.extend(self.replicas.drain(..).map(|replica| replica.stage));
        stages
    }
}

async fn until_noticed(replica: &Server) {
    let until = Instant::now() + NOTICED;
    loop {
        let answer = replica
            .try_ask(
                Method::GET,
                "/elastauth/ready",
                &[("x-elastauth-key", GATEWAY_KEY)],
                None,
            )
            .await;
        let asked = answer.map_or(Value::Null, |answer| {
            answer.json()["checks"]["clock"].clone()
        });
        if asked["status"] == "DEGRADED" {
            return;
        }
        assert!(
            Instant::now() < until,
            "a clock that is far ahead is not noticed: {asked}"
        );
        pause(Why::Again, Duration::from_millis(100)).await;
    }
}
