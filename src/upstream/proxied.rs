//! Where the requests of clients are passed on to in proxy mode: the cluster, or a server beside it
//! such as Kibana, which host and path choose.

use super::{
    index::Index,
    matching::{Match, PathPrefix},
};
use crate::{
    clock::Clock,
    cluster::{self, ForwardLimits, Forwarder, Links, Origins},
    net::tls::{self, FilesDigest, TlsError},
    request::{Request, Unclear},
    shutdown::Tasks,
};
use arc_swap::ArcSwap;
use http::{
    Uri,
    uri::{InvalidUri, PathAndQuery, Scheme},
};
use std::{
    borrow::Cow,
    fmt, io,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::time::sleep;

/// How often connections that nobody uses are looked for.
const SWEEP: Duration = Duration::from_secs(5);

/// Settings of proxy mode, for one cluster.
#[derive(Debug, Clone)]
pub struct ProxyConfig {
    /// Until the head of an answer, counted from the end of the request; `None` waits for ever.
    pub timeout: Option<Duration>,
    /// Connections that are kept to each server.
    pub max_idle_conns: usize,
    /// How long they are kept without use.
    pub idle_conn_timeout: Duration,
    /// Which `Host` the cluster gets.
    pub host: HostHeader,
    /// Instead of the nodes of the cluster.
    pub target: Option<ProxyTarget>,
    /// Servers beside the cluster.
    pub upstreams: Vec<ProxyUpstream>,
}

impl ProxyConfig {
    /// The server beside the cluster that a request is for; `None` for the cluster itself.
    ///
    /// # Errors
    /// If the request does not say clearly what could choose between two.
    pub(crate) fn beside(&self, request: &Request) -> Result<Option<&ProxyUpstream>, Unclear> {
        if self.upstreams.is_empty() {
            return Ok(None);
        }
        let index = Index::new(self.upstreams.iter().map(|one| &one.selector));
        let found = index.find(request.asked())?;
        Ok(found.and_then(|found| self.upstreams.get(found.place)))
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            timeout: Some(Duration::from_secs(30)),
            max_idle_conns: 100,
            idle_conn_timeout: Duration::from_secs(90),
            host: HostHeader::Client,
            target: None,
            upstreams: Vec::new(),
        }
    }
}

/// Which `Host` a server gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(dead_code, reason = "the configuration has no key for it yet")]
pub enum HostHeader {
    /// The one that the client asked for.
    Client,
    /// That of the server's URL.
    Upstream,
}

/// One or more servers that are the same.
#[derive(Debug, Clone)]
pub struct ProxyTarget {
    /// Where they are.
    pub urls: Vec<Uri>,
    /// TLS towards them.
    pub tls: tls::ClientConfig,
}

/// A server beside the cluster, for some hosts or paths.
#[derive(Debug, Clone)]
pub struct ProxyUpstream {
    /// For logs and metrics.
    pub name: Box<str>,
    /// Which requests are for it.
    pub selector: Match,
    /// Where it is.
    pub target: ProxyTarget,
    /// Which `Host` it gets.
    pub host: HostHeader,
    /// Whether it does not see the prefix that has chosen it.
    pub strip_prefix: bool,
}

/// Why requests cannot be passed on.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// Certificates or keys could not be used.
    #[error("TLS towards a server cannot be set up")]
    Tls(#[source] TlsError),
    /// TLS cannot ask for a server of this name.
    #[error("the name of a server is none that a certificate can have")]
    Name(#[source] io::Error),
}

/// The servers of one cluster, with the connections to them.
pub(crate) struct Proxied {
    own: Server,
    index: Index,
    beside: Vec<Server>,
}

/// A server, or several that are the same.
pub(crate) struct Server {
    /// `None` for the cluster itself.
    pub(crate) name: Option<Box<str>>,
    pub(crate) forwarder: Forwarder,
    pub(crate) host: HostHeader,
    /// The prefixes that it does not see.
    stripped: Vec<PathPrefix>,
    /// `None` has that of the cluster.
    tls: Option<tls::ClientConfig>,
    /// What the connections were made with.
    files: ArcSwap<Option<FilesDigest>>,
}

/// New connections for each server whose files of TLS have changed.
pub(crate) struct ProxiedTls(Vec<Option<(Links, Option<FilesDigest>)>>);

impl Proxied {
    /// Prepares the connections; none is made yet. `nodes` are those of the cluster.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub(crate) fn new(
        config: &ProxyConfig,
        nodes: Origins,
        cluster: &cluster::Config,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Result<Arc<Self>, ProxyError> {
        let limits = ForwardLimits {
            timeout: config.timeout,
            max_idle: config.max_idle_conns,
            idle: config.idle_conn_timeout,
        };
        let cluster_name = nodes.cluster();
        let server = |target: &ProxyTarget, name, host| {
            server(target, (&cluster_name, name), host, limits, clock)
        };
        let own = match &config.target {
            None => Server {
                name: None,
                forwarder: forwarder(nodes, &cluster.hosts, &cluster.tls, limits)?,
                host: config.host,
                stripped: Vec::new(),
                files: ArcSwap::from_pointee(digest(&cluster.hosts, &cluster.tls)),
                tls: None,
            },
            Some(target) => server(target, None, config.host)?,
        };
        let beside = config.upstreams.iter().map(|one| {
            let name = Some(one.name.clone());
            let mut server = server(&one.target, name, one.host)?;
            if one.strip_prefix {
                server.stripped.clone_from(&one.selector.paths);
            }
            Ok(server)
        });
        let proxied = Arc::new(Self {
            own,
            index: Index::new(config.upstreams.iter().map(|one| &one.selector)),
            beside: beside.collect::<Result<_, _>>()?,
        });
        sweep(Arc::downgrade(&proxied), tasks);
        Ok(proxied)
    }

    /// The one that a request is for.
    ///
    /// # Errors
    /// If the request does not say clearly what could choose between two.
    pub(crate) fn choose(&self, request: &Request) -> Result<&Server, Unclear> {
        if self.beside.is_empty() {
            return Ok(&self.own);
        }
        let found = self.index.find(request.asked())?;
        Ok(found
            .and_then(|found| self.beside.get(found.place))
            .unwrap_or(&self.own))
    }

    /// Reads the files of TLS again, where they have changed. `cluster` has those towards the
    /// nodes.
    ///
    /// # Errors
    /// See [`ProxyError`].
    pub(crate) fn tls(&self, cluster: &cluster::Config) -> Result<ProxiedTls, ProxyError> {
        let one = |server: &Server| {
            let config = server.tls.as_ref().unwrap_or(&cluster.tls);
            let files = digest(server.forwarder.urls(), config);
            if files.is_some() && *server.files.load_full() == files {
                return Ok(None);
            }
            let tls = tls_towards(server.forwarder.urls(), config)?;
            let links = server.forwarder.links(tls).map_err(ProxyError::Name)?;
            Ok(Some((links, files)))
        };
        self.servers()
            .map(one)
            .collect::<Result<_, _>>()
            .map(ProxiedTls)
    }

    /// Uses them from the next request on. Exchanges under way finish as they began.
    pub(crate) fn replace_tls(&self, tls: ProxiedTls) {
        for (server, changed) in self.servers().zip(tls.0) {
            if let Some((links, files)) = changed {
                server.forwarder.replace(links);
                server.files.store(Arc::new(files));
            }
        }
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        [&self.own].into_iter().chain(&self.beside)
    }
}

impl Server {
    /// What it gets of this path and query.
    ///
    /// # Errors
    /// Where nothing is left that is a target.
    pub(crate) fn target<'a>(
        &self,
        asked: &'a PathAndQuery,
    ) -> Result<Cow<'a, PathAndQuery>, InvalidUri> {
        let text = asked.as_str();
        let rest = self.stripped.iter().filter_map(|prefix| {
            let rest = text.strip_prefix(prefix.as_str())?;
            (rest.is_empty() || rest.starts_with(['/', '?'])).then_some(rest)
        });
        match rest.min_by_key(|rest| rest.len()) {
            None => Ok(Cow::Borrowed(asked)),
            Some(rest) if rest.starts_with('/') => rest.parse().map(Cow::Owned),
            Some(rest) => format!("/{rest}").parse().map(Cow::Owned),
        }
    }
}

fn server(
    target: &ProxyTarget,
    (cluster, name): (&Arc<str>, Option<Box<str>>),
    host: HostHeader,
    limits: ForwardLimits,
    clock: &Clock,
) -> Result<Server, ProxyError> {
    let origins = Origins::new(Arc::clone(cluster), &target.urls, clock.clone());
    Ok(Server {
        name,
        forwarder: forwarder(origins, &target.urls, &target.tls, limits)?,
        host,
        stripped: Vec::new(),
        files: ArcSwap::from_pointee(digest(&target.urls, &target.tls)),
        tls: Some(target.tls.clone()),
    })
}

fn forwarder(
    origins: Origins,
    urls: &[Uri],
    tls: &tls::ClientConfig,
    limits: ForwardLimits,
) -> Result<Forwarder, ProxyError> {
    let tls = tls_towards(urls, tls)?;
    Forwarder::new(origins, tls, limits).map_err(ProxyError::Name)
}

fn digest<'a>(
    urls: impl IntoIterator<Item = &'a Uri>,
    tls: &tls::ClientConfig,
) -> Option<FilesDigest> {
    if speak_tls(urls) {
        FilesDigest::of(tls)
    } else {
        Some(FilesDigest::PLAIN)
    }
}

fn speak_tls<'a>(urls: impl IntoIterator<Item = &'a Uri>) -> bool {
    let mut urls = urls.into_iter();
    urls.any(|url| url.scheme() == Some(&Scheme::HTTPS))
}

/// With plain `http` alone no file is read.
fn tls_towards<'a>(
    urls: impl IntoIterator<Item = &'a Uri>,
    tls: &tls::ClientConfig,
) -> Result<rustls::ClientConfig, ProxyError> {
    if speak_tls(urls) {
        tls::client(tls)
    } else {
        tls::client_without_trust()
    }
    .map_err(ProxyError::Tls)
}

impl fmt::Debug for Proxied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.servers().map(|server| &server.name))
            .finish()
    }
}

/// Closes connections that nobody uses, as long as there is the proxy.
fn sweep(proxied: Weak<Proxied>, tasks: &Tasks) {
    let ending = tasks.clone();
    tasks.spawn(async move {
        loop {
            tokio::select! {
                () = ending.ending() => return,
                () = sleep(SWEEP) => {}
            }
            let Some(proxied) = proxied.upgrade() else {
                return;
            };
            for server in proxied.servers() {
                server.forwarder.sweep();
            }
        }
    });
}
