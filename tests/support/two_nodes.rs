//! A real cluster of two nodes, one of which can be killed and brought back.

use super::{
    elasticsearch::{Elasticsearch, admin},
    ports::{self, free_port},
    process::NotReady,
    wait::{Why, pause},
};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct TwoNodes {
    /// The elected master first.
    nodes: [Elasticsearch; 2],
}

impl TwoNodes {
    /// Starts both, and waits until the security index stands on both.
    pub(crate) async fn start() -> Self {
        ports::started(async || Self::start_once().await).await
    }

    async fn start_once() -> Result<Self, NotReady> {
        let transports = [free_port(), free_port()];
        let seeds = transports.map(|port| format!("127.0.0.1:{port}")).join(",");
        let settings = |name: &str, transport: u16| {
            vec![
                format!("node.name={name}"),
                "discovery.type=multi-node".to_owned(),
                format!("discovery.seed_hosts={seeds}"),
                "cluster.initial_master_nodes=one,two".to_owned(),
                format!("transport.port={transport}"),
                format!("http.port={}", free_port()),
            ]
        };
        let (one, two) = tokio::join!(
            Elasticsearch::start_with(settings("one", transports[0])),
            Elasticsearch::start_with(settings("two", transports[1]))
        );
        let (one, two) = (one?, two?);
        let master = two.cat("/_cat/master?h=node").await;
        let cluster = Self {
            nodes: if master == "one" {
                [one, two]
            } else {
                [two, one]
            },
        };
        cluster.whole().await;
        Ok(cluster)
    }

    /// The node that is not the master.
    pub(crate) fn other(&self) -> &Elasticsearch {
        &self.nodes[1]
    }

    /// Both, the master first. It is the only one of the two that may be master, for of two nodes
    /// one has the say.
    pub(crate) fn nodes(&mut self) -> &mut [Elasticsearch; 2] {
        &mut self.nodes
    }

    /// As a power cut would.
    pub(crate) fn kill_master(&mut self) {
        self.nodes[0].kill();
    }

    /// The same node with the same data.
    pub(crate) async fn bring_master_back(&mut self) {
        self.nodes[0].start_again().await;
    }

    /// Waits until both are in the cluster and the security index stands on both.
    pub(crate) async fn whole(&self) {
        let end = Instant::now() + Duration::from_mins(1);
        loop {
            let path =
                "/_cluster/health/.security?wait_for_nodes=2&wait_for_status=green&timeout=3s";
            let answer = self
                .other()
                .server()
                .get(path, &[("authorization", &admin())])
                .await;
            if answer.status.is_success() {
                return;
            }
            assert!(
                Instant::now() < end,
                "two nodes do not come together: {}",
                answer.text()
            );
            pause(Why::Again, Duration::from_millis(200)).await;
        }
    }
}
