//! A stand-in for the security API of Elasticsearch or OpenSearch, on a real socket: for the
//! demonstration, and for tests that want a cluster to fail.
//!
//! It follows what was measured on a real Elasticsearch 9.5.3 and OpenSearch 2.19.4: validation
//! with the right errors, whole-document overwrite, hashes that are really verified, the 401 that
//! says nothing. Older versions are made of what is known of them. It is no model of a cluster's
//! speed, and it keeps everything in memory. Nothing outside of `demo` and the tests knows of it.

#![cfg_attr(
    not(any(test, feature = "internals")),
    allow(
        dead_code,
        unused_imports,
        reason = "most faults are for the tests alone"
    )
)]

mod accounts;
mod answer;
mod api;
mod backend;
mod body;
mod calls;
mod cluster;
mod fault;
mod keys;
mod node;
mod opensearch;
mod route;
#[cfg(test)]
mod tests;
mod users;
mod version;

pub use calls::{By, RecordedCall};
pub use cluster::SERVICE_USER;
pub use fault::{Endpoint, Fault, Misbehaviour};
pub use opensearch::InternalUser;
pub use users::StoredUser;
pub use version::Version;

use super::listener::{Lock as _, serve};
use crate::{secret::ExposeSecret as _, shutdown::Tasks};
use backend::Backend;
use cluster::Cluster;
use http::HeaderValue;
use node::StandInNode;
use opensearch::OpenSearch;
use std::{
    io, mem,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};
use tokio::net::TcpListener;
use tokio_rustls::{TlsAcceptor, rustls};
use tokio_util::sync::CancellationToken;

/// A running stand-in: one node of a cluster, and the cluster's users. Clones are the same node.
#[derive(Debug, Clone)]
pub struct StandIn {
    addr: SocketAddr,
    scheme: &'static str,
    node: Arc<StandInNode>,
}

impl StandIn {
    /// Elasticsearch with one node, on a free port of the loopback address.
    ///
    /// # Errors
    /// When the system gives no port, or no randomness for the service account's secrets.
    pub async fn start(tasks: &Tasks) -> io::Result<Self> {
        Self::start_version(tasks, Version::default()).await
    }

    /// The same in an older version.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_version(tasks: &Tasks, version: Version) -> io::Result<Self> {
        let cluster = Cluster::new(version)?;
        Self::listen(Backend::Elasticsearch(cluster), None, tasks).await
    }

    /// OpenSearch with its security plugin, and with one node.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_opensearch(tasks: &Tasks) -> io::Result<Self> {
        let cluster = OpenSearch::new("2.19.4")?;
        Self::listen(Backend::OpenSearch(cluster), None, tasks).await
    }

    /// The same over TLS.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_tls(tasks: &Tasks, config: Arc<rustls::ServerConfig>) -> io::Result<Self> {
        let cluster = Cluster::new(Version::default())?;
        Self::listen(Backend::Elasticsearch(cluster), Some(config.into()), tasks).await
    }

    /// One more node of the same cluster: the same users and accounts, its own address, calls and
    /// faults.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn start_node(&self) -> io::Result<Self> {
        Self::listen(self.node.backend.clone(), None, &self.node.tasks).await
    }

    async fn listen(backend: Backend, tls: Option<TlsAcceptor>, tasks: &Tasks) -> io::Result<Self> {
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = tcp.local_addr()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let stopped = CancellationToken::new();
        let node = Arc::new(StandInNode {
            backend,
            calls: Mutex::default(),
            faults: Mutex::default(),
            stopped: stopped.clone(),
            date: Mutex::default(),
            tasks: tasks.clone(),
        });
        serve(&node, tcp, tls, stopped, tasks);
        Ok(Self { addr, scheme, node })
    }

    /// Its base URL, such as `http://127.0.0.1:40123`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.addr)
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The password of [`SERVICE_USER`], drawn at the start.
    #[must_use]
    pub fn service_password(&self) -> &str {
        match &self.node.backend {
            Backend::Elasticsearch(cluster) => cluster.service_password.expose_secret(),
            Backend::OpenSearch(cluster) => cluster.service_password.expose_secret(),
        }
    }

    /// The service account's API key in its encoded form. OpenSearch has none.
    #[must_use]
    pub fn api_key(&self) -> &str {
        match &self.node.backend {
            Backend::Elasticsearch(cluster) => cluster.api_key.expose_secret(),
            Backend::OpenSearch(_) => "",
        }
    }

    /// Every call that reached this node, in the order of arrival; the latest 20,000.
    #[must_use]
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.calls_since(0)
    }

    /// The calls from this number on; with [`Self::count`] taken before, what an action caused.
    #[must_use]
    pub fn calls_since(&self, number: u64) -> Vec<RecordedCall> {
        let calls = self.node.calls.held();
        let since = calls.list.iter().filter(|call| call.number >= number);
        since.filter(|call| !call.is_check()).cloned().collect()
    }

    /// How many times elastauth has asked whether its own account is accepted.
    #[must_use]
    pub fn checks(&self) -> usize {
        let calls = self.node.calls.held();
        calls.list.iter().filter(|call| call.is_check()).count()
    }

    /// How many calls have reached this node since its start, checks included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.node.calls.held().next
    }

    /// The most calls that this node had at once since this was last asked.
    #[must_use]
    pub fn busiest(&self) -> u64 {
        let mut calls = self.node.calls.held();
        let open = calls.open;
        mem::replace(&mut calls.busiest, open)
    }

    /// Empties the record of calls; [`Self::count`] goes on.
    pub fn forget_calls(&self) {
        self.node.calls.held().list.clear();
    }

    /// Lets this node misbehave from the next call on. The first fault set that fits a call hits
    /// it.
    pub fn fault(&self, fault: Fault) {
        self.node.faults.held().add(fault);
    }

    /// Puts this `Date` on every answer of this node from now on, as one whose clock is off would.
    /// A real Elasticsearch sends none; a proxy in front of it may.
    pub fn set_date(&self, date: HeaderValue) {
        *self.node.date.held() = Some(date);
    }

    /// No faults any more. Calls that hang already go on hanging.
    pub fn clear_faults(&self) {
        self.node.faults.held().0.clear();
    }

    /// Takes back what was to happen to this user alone.
    pub fn clear_faults_about(&self, user: &str) {
        let mut faults = self.node.faults.held();
        faults.0.retain(|fault| fault.user.as_deref() != Some(user));
    }

    /// Closes the listener and all connections of this node: from now on nobody answers at its
    /// address.
    pub fn stop(&self) {
        self.node.stopped.cancel();
    }
}
