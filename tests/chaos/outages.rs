//! What happens to the nodes of the real cluster, one thing at a time, in an order that the seed
//! decides. Each ends with a cluster that is whole again.

use crate::support::{Why, pause};
use crate::{Chance, World, nodes::Nodes, support::two_nodes::TwoNodes};
use elastauth::internals::demo::standin::SERVICE_USER;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// An outage that begins later than this before the end would be seen only in part.
const LEAST: Duration = Duration::from_secs(8);
const MASTER: usize = 0;

pub(crate) struct Outages {
    pub(crate) world: Arc<World>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) cluster: TwoNodes,
    /// What the service account logs in with.
    pub(crate) password: String,
    pub(crate) chance: Chance,
}

impl Outages {
    /// Until the end; the nodes come back, for they live longer than the clients.
    pub(crate) async fn run(mut self) -> TwoNodes {
        // Each kind once, from a place that the seed decides, and so on.
        let mut kind = self.chance.below(7);
        pause(Why::Pace, Duration::from_secs(4)).await;
        while Instant::now() + LEAST < self.world.end {
            match kind % 7 {
                0 => self.killed(1).await,
                1 => self.stopped(1_000, 5_000).await,
                2 => self.killed(MASTER).await,
                3 => self.other_password().await,
                4 => self.stutters().await,
                5 => self.lost().await,
                _ => self.stopped(11_000, 14_000).await,
            }
            kind += 1;
            pause(
                Why::Pace,
                Duration::from_millis(2_500 + self.chance.below(4_000)),
            )
            .await;
        }
        self.cluster
    }

    /// As by a power cut, and back with the same data.
    async fn killed(&mut self, which: usize) {
        let what = [
            "the master is away: no writes",
            "a node was killed under a write",
        ][which];
        self.world
            .report
            .fault(["the master killed -9", "the other node killed -9"][which]);
        let away = Duration::from_millis(self.chance.below(6_000));
        self.nodes
            .health()
            .outage_begins(which, what, which == MASTER);
        self.nodes.health().is_gone(which, true);
        self.cluster.nodes()[which].kill();
        pause(Why::Pace, away).await;
        self.cluster.nodes()[which].start_again().await;
        self.nodes.health().is_gone(which, false);
        self.cluster.whole().await;
        self.nodes.health().outage_is_over();
    }

    /// The node that is not the master starts and does not find it: it listens, and refuses
    /// everybody.
    async fn lost(&mut self) {
        self.world
            .report
            .fault("the other node did not find the master");
        self.nodes
            .health()
            .outage_begins(1, "a node was killed under a write", false);
        self.nodes.health().is_gone(1, true);
        self.cluster.nodes()[1].kill();
        // Under another name no cluster takes it, though it knows the master's address from before.
        self.cluster.nodes()[1]
            .start_again_with(&["cluster.name=lost", "discovery.initial_state_timeout=1s"])
            .await;
        pause(
            Why::Pace,
            Duration::from_millis(2_000 + self.chance.below(4_000)),
        )
        .await;
        self.cluster.nodes()[1].kill();
        self.cluster.nodes()[1].start_again().await;
        self.nodes.health().is_gone(1, false);
        self.cluster.whole().await;
        self.nodes.health().outage_is_over();
    }

    /// It says nothing and closes nothing, as a node that swaps or collects garbage.
    async fn stopped(&mut self, least_ms: u64, most_ms: u64) {
        let which = usize::try_from(self.chance.below(2)).unwrap();
        let lasts = Duration::from_millis(least_ms + self.chance.below(most_ms - least_ms));
        self.world
            .report
            .fault(match (which, lasts < Duration::from_secs(10)) {
                (MASTER, true) => "the master stopped for seconds",
                (MASTER, false) => "the master stopped for longer than a write is waited for",
                (_, true) => "the other node stopped for seconds",
                (_, false) => "the other node stopped for longer than a write is waited for",
            });
        self.nodes
            .health()
            .outage_begins(which, "a node hangs, and a write waits for both", true);
        self.cluster.nodes()[which].signal("STOP");
        pause(Why::Pace, lasts).await;
        self.cluster.nodes()[which].signal("CONT");
        self.cluster.whole().await;
        self.nodes.health().outage_is_over();
    }

    /// A node that gets half of the time.
    async fn stutters(&mut self) {
        let which = usize::try_from(self.chance.below(2)).unwrap();
        self.world.report.fault("a node stutters");
        self.nodes.health().outage_begins(
            which,
            "a node stutters, and a write waits for both",
            true,
        );
        for _ in 0..4 + self.chance.below(8) {
            self.cluster.nodes()[which].signal("STOP");
            pause(
                Why::Pace,
                Duration::from_millis(100 + self.chance.below(500)),
            )
            .await;
            self.cluster.nodes()[which].signal("CONT");
            pause(Why::Pace, Duration::from_millis(200)).await;
        }
        self.nodes.health().outage_is_over();
    }

    async fn other_password(&mut self) {
        self.world
            .report
            .fault("the service account has another password");
        self.nodes
            .health()
            .account_begins("the service account has another password");
        self.nodes
            .set_password(SERVICE_USER, "another password")
            .await;
        pause(
            Why::Pace,
            Duration::from_millis(1_000 + self.chance.below(4_000)),
        )
        .await;
        self.nodes.set_password(SERVICE_USER, &self.password).await;
        self.nodes.health().account_is_over();
    }
}
