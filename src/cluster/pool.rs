//! The nodes of a cluster, and how a request gets to one of them: deadlines, bounds, failover.
//!
//! Reads go from node to node; a write goes to a second node only where the first cannot have it or
//! has refused the account.

mod forwarder;
mod node_client;
mod nodes;

pub(crate) use forwarder::{
    ExchangePlace, ForwardError, ForwardLimits, Forwarded, Forwarder, Links, Origins, Outbound,
    Share,
};
pub(super) use node_client::{Ask, NodeAnswer};

use super::error::{CallError, CallFailure};
use crate::{
    clock::Clock,
    net::client::ConnectionLimits,
    telemetry::{ClusterTelemetry, metrics::Call},
};
use http::Uri;
use node_client::{NodeClient, Patience};
use nodes::{ClusterNode, Nodes, Purpose};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

/// Reads under way at once. Elasticsearch checks one credential a thread and core, so more would
/// only wait over there.
const MAX_READS: usize = 128;
/// Writes under way at once, apart from the reads: without a master each hangs for the whole of its
/// deadline.
const MAX_WRITES: usize = 64;
/// Connections kept to each node; beyond it they are closed after use. Each takes some 25 KB.
pub(super) const MAX_IDLE: usize = 32;

/// How long each thing may take.
pub(super) struct Timeouts {
    /// TCP alone. In a data centre it takes a millisecond; one lost packet is repeated after 200 ms
    /// or, for the first, after a second.
    pub(super) connect: Duration,
    /// Until a write's body has left: TCP, TLS and a free connection. Until then it may go to
    /// another node.
    pub(super) send: Duration,
    /// One attempt of a read where there is another node to ask. Requests wait at a gateway for it,
    /// and a healthy node takes 2 to 20 ms.
    pub(super) attempt: Duration,
    /// A read with all its attempts, and the one attempt of a single host.
    pub(super) read: Duration,
    /// One attempt to list users, and all of them together: nobody waits for it, and an answer may
    /// have megabytes.
    pub(super) list: Duration,
    /// A write from the first attempt to the whole answer. The first one on a fresh cluster creates
    /// the security index and takes seconds; and a write given up leaves its user uncertain, so
    /// patience is cheaper than a second try.
    pub(super) write: Duration,
    /// Until there is room for one more call. Beyond it the cluster is overloaded, and shedding
    /// load helps it more.
    pub(super) room: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(700),
            send: Duration::from_millis(1_500),
            attempt: Duration::from_secs(1),
            read: Duration::from_secs(3),
            list: Duration::from_secs(30),
            write: Duration::from_secs(10),
            room: Duration::from_secs(1),
        }
    }
}

/// The nodes with the connections to them.
pub(super) struct Pool {
    client: NodeClient,
    nodes: Arc<Nodes>,
    timeouts: Timeouts,
    reads: Semaphore,
    writes: Semaphore,
}

impl Pool {
    pub(super) fn new(
        hosts: &[Uri],
        tls: rustls::ClientConfig,
        clock: Clock,
        (timeouts, max_idle): (Timeouts, usize),
        telemetry: &ClusterTelemetry,
    ) -> Self {
        let nodes = hosts
            .iter()
            .enumerate()
            .map(|(index, host)| ClusterNode::new(host, telemetry.metrics.node(index)))
            .collect();
        let limits = ConnectionLimits {
            connect: timeouts.connect,
            max_idle,
        };
        Self {
            client: NodeClient::new(tls, limits, telemetry),
            nodes: Arc::new(Nodes::new(Arc::clone(&telemetry.cluster), nodes, clock)),
            timeouts,
            reads: Semaphore::new(MAX_READS),
            writes: Semaphore::new(MAX_WRITES),
        }
    }

    /// The same nodes, with the same health, for the requests of clients.
    pub(super) fn origins(&self) -> Origins {
        Origins::of(Arc::clone(&self.nodes))
    }

    /// From the next call on, over connections of its own. Calls under way finish as they began.
    pub(super) fn replace_tls(&self, tls: rustls::ClientConfig) {
        self.client.replace_tls(tls);
    }

    /// Asks one node after the other, each at most once, until one gives an answer that
    /// `understand` can use.
    pub(super) async fn read<T>(
        &self,
        ask: &Ask<'_>,
        understand: impl Fn(&NodeAnswer) -> Result<T, CallFailure>,
    ) -> Result<T, CallError> {
        let timeouts = &self.timeouts;
        let (whole, attempt) = if ask.call == Call::ListUsers {
            (timeouts.list, timeouts.list)
        } else if self.nodes.len() > 1 {
            (timeouts.read, timeouts.attempt)
        } else {
            (timeouts.read, timeouts.read)
        };
        let end = Instant::now() + whole;
        let _room = self.room(&self.reads, ask.call).await?;
        self.round(ask, Purpose::Read, end, attempt, understand)
            .await
    }

    /// Asks one node. Another one only where the first cannot have got the request, or has refused
    /// the account: never do two hosts carry out a write.
    pub(super) async fn write<T>(
        &self,
        ask: &Ask<'_>,
        understand: impl Fn(&NodeAnswer) -> Result<T, CallFailure>,
    ) -> Result<T, CallError> {
        let _room = self.room(&self.writes, ask.call).await?;
        // Counted from here: a write that had to wait for room gets no less time to be answered.
        let whole = self.timeouts.write;
        self.round(
            ask,
            Purpose::Write,
            Instant::now() + whole,
            whole,
            understand,
        )
        .await
    }

    async fn round<T>(
        &self,
        ask: &Ask<'_>,
        purpose: Purpose,
        end: Instant,
        attempt: Duration,
        understand: impl Fn(&NodeAnswer) -> Result<T, CallFailure>,
    ) -> Result<T, CallError> {
        let mut round = self.nodes.round();
        let mut last = None;
        while let Some(lease) = self.nodes.next(&mut round, purpose) {
            let patience = Patience {
                whole: attempt.min(end.saturating_duration_since(Instant::now())),
                send: (purpose == Purpose::Write).then_some(self.timeouts.send),
            };
            let result = self.client.attempt(lease, ask, patience, &understand).await;
            let worth_another = |error: &CallError| match purpose {
                Purpose::Read => error.is_worth_another_node(),
                Purpose::Write => error.is_not_sent() || error.is_refusal(),
            };
            match result {
                Err(error) if worth_another(&error) && Instant::now() < end => {
                    last = Some(error.after(last));
                }
                done => return done,
            }
        }
        Err(last.unwrap_or_else(|| CallError::of_cluster(ask.call, CallFailure::Unsendable)))
    }

    async fn room<'a>(
        &self,
        room: &'a Semaphore,
        call: Call,
    ) -> Result<SemaphorePermit<'a>, CallError> {
        let permit = timeout(self.timeouts.room, room.acquire()).await;
        permit
            .ok()
            .and_then(Result::ok)
            .ok_or_else(|| CallError::of_cluster(call, CallFailure::Busy))
    }
}
