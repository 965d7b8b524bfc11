//! Passes the requests of clients on to the nodes: over connections and within bounds of their own,
//! so that they take nothing from the questions about users, with the same judgement on which node
//! works.
//!
//! A request goes to a second node only if not a byte of it was written to the first. No answer in
//! time tells nothing about a node: it may be a search that takes long.

mod shares;

pub(crate) use shares::Share;

use super::nodes::{ClusterNode, Nodes, Purpose};
use crate::{
    clock::Clock,
    net::{
        client::streaming::{Answer, Link, LinkLimits, NotAnswered, Origin, StreamError, Upload},
        peer::Peer,
    },
    telemetry::metrics::NodeMetrics,
};
use arc_swap::ArcSwap;
use http::{HeaderMap, Method, Request, Uri, header::HOST, uri::PathAndQuery};
use shares::{ShareLimits, Shares, UsedUp};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Exchanges under way at once, long ones and tunnels included. Each has two sockets, and a process
/// has some ten thousand.
const MAX_EXCHANGES: usize = 4_096;
/// What one user may have of them. The longest are uploads that a client sends slowly.
const OF_USER: usize = MAX_EXCHANGES / 8;
/// What one address may have that no gateway or balancer has: as many as it may have connections.
const OF_ADDRESS: usize = MAX_EXCHANGES / 4;
/// TCP to one address. In a data centre it takes a millisecond, and a lost packet is repeated after
/// one second at the latest.
const CONNECT: Duration = Duration::from_millis(1_400);
/// Two round trips and a signature.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Where requests are passed on to.
pub(crate) struct Origins(Arc<Nodes>);

/// Settings of the exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ForwardLimits {
    /// Until the head of the answer; `None` waits for ever.
    pub(crate) timeout: Option<Duration>,
    /// Connections that are kept to each node.
    pub(crate) max_idle: usize,
    /// How long they are kept without use.
    pub(crate) idle: Duration,
}

/// Passes requests on.
pub(crate) struct Forwarder {
    nodes: Arc<Nodes>,
    links: ArcSwap<Vec<Link>>,
    limits: ForwardLimits,
    under_way: Arc<AtomicUsize>,
    shares: Shares,
}

/// The connections of a [`Forwarder`].
pub(crate) struct Links(Vec<Link>);

/// A client's request as it leaves.
pub(crate) struct Outbound<'a> {
    pub(crate) method: Method,
    pub(crate) target: &'a PathAndQuery,
    /// All of them but `Host`, if that is the node's own.
    pub(crate) headers: HeaderMap,
    pub(crate) upload: &'a Upload,
    /// Whether it asks for another protocol.
    pub(crate) asks_for_upgrade: bool,
}

/// An answer that has begun, and whose it is.
pub(crate) struct Forwarded {
    pub(crate) answer: Answer,
    /// The node, as `scheme://host:port`.
    pub(crate) node: Arc<str>,
    pub(crate) place: ExchangePlace,
}

/// One of the exchanges under way. Dropping it makes room for another.
#[derive(Debug)]
pub(crate) struct ExchangePlace(Arc<AtomicUsize>);

/// Why there is no answer of a node.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ForwardError {
    #[error("{MAX_EXCHANGES} requests are under way already")]
    Busy,
    #[error("{OF_USER} requests of this user are under way already")]
    BusyUser,
    #[error("{OF_ADDRESS} requests from this address are under way already")]
    BusyAddress,
    /// The node's own prefix and the client's path make no target together.
    #[error("the path cannot be put behind the prefix of {0}")]
    Target(Arc<str>),
    /// The last of the nodes that were tried.
    #[error("no usable answer from {node}")]
    Node {
        node: Arc<str>,
        #[source]
        why: StreamError,
    },
}

impl ForwardError {
    /// Whether certainly no server has got anything of the request.
    pub(crate) fn is_unsent(&self) -> bool {
        match self {
            Self::Busy | Self::BusyUser | Self::BusyAddress | Self::Target(_) => true,
            Self::Node { why, .. } => matches!(why, StreamError::Connect(_)),
        }
    }
}

impl Origins {
    pub(super) fn of(nodes: Arc<Nodes>) -> Self {
        Self(nodes)
    }

    /// Servers beside the cluster, with a health of their own.
    pub(crate) fn new(cluster: Arc<str>, urls: &[Uri], clock: Clock) -> Self {
        let nodes = urls.iter();
        let nodes = nodes.map(|url| ClusterNode::new(url, NodeMetrics::default()));
        Self(Arc::new(Nodes::new(cluster, nodes.collect(), clock)))
    }

    /// The name of the cluster.
    pub(crate) fn cluster(&self) -> Arc<str> {
        Arc::clone(self.0.cluster())
    }
}

impl Forwarder {
    /// Prepares the connections; none is made yet.
    ///
    /// # Errors
    /// If TLS cannot ask for a server of such a name.
    pub(crate) fn new(
        origins: Origins,
        tls: rustls::ClientConfig,
        limits: ForwardLimits,
    ) -> Result<Self, io::Error> {
        let Origins(nodes) = origins;
        Ok(Self {
            links: ArcSwap::from_pointee(links(&nodes, tls, limits)?),
            nodes,
            limits,
            under_way: Arc::default(),
            shares: Shares::new(ShareLimits {
                of_user: OF_USER,
                of_address: OF_ADDRESS,
            }),
        })
    }

    /// Other connections to the same nodes.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub(crate) fn links(&self, tls: rustls::ClientConfig) -> Result<Links, io::Error> {
        links(&self.nodes, tls, self.limits).map(Links)
    }

    /// Uses them from the next request on. Exchanges under way finish as they began.
    pub(crate) fn replace(&self, links: Links) {
        self.links.store(Arc::new(links.0));
    }

    /// Where the nodes are.
    pub(crate) fn urls(&self) -> impl Iterator<Item = &Uri> {
        self.nodes.iter().map(|node| &node.url)
    }

    /// Closes connections that were not used for a while.
    pub(crate) fn sweep(&self) {
        self.links.load().iter().for_each(Link::sweep);
    }

    /// A share of the exchanges, which a request has to hold until its answer has ended.
    ///
    /// # Errors
    /// If the user or the address has none left.
    pub(crate) fn share(&self, user: &str, address: Option<Peer>) -> Result<Share, ForwardError> {
        self.shares
            .take(user, address)
            .map_err(|used_up| match used_up {
                UsedUp::User => ForwardError::BusyUser,
                UsedUp::Address => ForwardError::BusyAddress,
            })
    }

    /// Sends a request to a node, and to the next one where that certainly has not got it.
    ///
    /// # Errors
    /// Why there is no answer.
    pub(crate) async fn forward(&self, outbound: Outbound<'_>) -> Result<Forwarded, ForwardError> {
        let place = ExchangePlace::take(&self.under_way).ok_or(ForwardError::Busy)?;
        let Outbound {
            method,
            target,
            headers,
            upload,
            asks_for_upgrade,
        } = outbound;
        let is_named = headers.contains_key(HOST);
        let mut request = Request::new(upload.outgoing());
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        let links = self.links.load_full();
        let mut round = self.nodes.round();
        let mut last = ForwardError::Busy;
        while let Some(lease) = self.nodes.next(&mut round, Purpose::Read) {
            let Some(link) = links.get(lease.index) else {
                break;
            };
            let node = Arc::clone(&lease.node.name);
            let Ok(uri) = lease.node.target(target) else {
                return Err(ForwardError::Target(node));
            };
            *request.uri_mut() = uri;
            if !is_named {
                request
                    .headers_mut()
                    .insert(HOST, lease.node.authority.clone());
            }
            let sent = link.send(request, upload, asks_for_upgrade, self.limits.timeout);
            match sent.await {
                Ok(answer) => {
                    let node = Arc::clone(&lease.node.name);
                    lease.succeeded();
                    return Ok(Forwarded {
                        answer,
                        node,
                        place,
                    });
                }
                Err(NotAnswered { why, unsent }) => {
                    if tells_against_node(&why) {
                        lease.failed(&why);
                    }
                    last = ForwardError::Node { node, why };
                    match unsent {
                        Some(unsent) => request = *unsent,
                        None => break,
                    }
                }
            }
        }
        Err(last)
    }
}

/// A kept connection ends with the node's own idle time, too, and what is malformed may be the
/// fault of one application.
fn tells_against_node(why: &StreamError) -> bool {
    match why {
        StreamError::Connect(_) | StreamError::Cut { kept: false, .. } => true,
        StreamError::Cut { kept: true, .. }
        | StreamError::TimedOut
        | StreamError::Upload(_)
        | StreamError::Malformed(_) => false,
    }
}

fn links(
    nodes: &Nodes,
    tls: rustls::ClientConfig,
    limits: ForwardLimits,
) -> Result<Vec<Link>, io::Error> {
    let tls = Arc::new(tls);
    let limits = LinkLimits {
        connect: CONNECT,
        handshake: HANDSHAKE,
        max_idle: limits.max_idle,
        idle: limits.idle,
    };
    let link = |node: &ClusterNode| {
        let origin = Origin::new(&node.url, &tls).map_err(io::Error::other)?;
        Ok(Link::new(origin, limits))
    };
    nodes.iter().map(link).collect()
}

impl ExchangePlace {
    fn take(under_way: &Arc<AtomicUsize>) -> Option<Self> {
        let taken = Self(Arc::clone(under_way));
        (under_way.fetch_add(1, Relaxed) < MAX_EXCHANGES).then_some(taken)
    }
}

impl Drop for ExchangePlace {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests;
