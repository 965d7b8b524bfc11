//! How a connection to Redis is made: one server, Sentinels, or a cluster; and how long each step
//! may take.

use super::{
    address::{Config, RedisNode, Topology},
    refusal::reason,
    sentinels::Sentinels,
    server::{Driver, Server},
};
use crate::{
    backoff::Backoff,
    net::tls::{self, TlsError},
};
use redis::{
    ClientTlsConfig, Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, TlsCertificates,
    TlsMode,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};
use std::{
    future::pending,
    io, mem,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long an update waits for Redis. A Redis in the same network answers within a millisecond;
/// the cluster's own answer takes several.
pub const DEADLINE: Duration = Duration::from_millis(50);
/// How long a command of the outbox may take: nobody waits for it.
pub(super) const BACKGROUND: Duration = Duration::from_secs(1);
/// How long connecting may take: Sentinels, TLS and authentication included.
pub(super) const CONNECT: Duration = Duration::from_secs(3);

/// Between two tries to connect or to subscribe. The longest is well below the ten seconds that
/// memory bridges.
pub(super) fn backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(3))
}

/// Why the connection to Redis cannot be set up. That Redis is not available is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A certificate or key file.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: io::Error,
    },
    /// The files hold no usable certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The library takes the certificates or the addresses of a cluster for unusable.
    #[error("the addresses or certificates of the Redis cluster cannot be used")]
    Library(#[from] RedisError),
    /// A list of nodes is empty.
    #[error("no address of Redis is given")]
    NoAddress,
    /// The system has no randomness.
    #[error("the system's random source gave nothing")]
    NoRandomness,
}

#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Where Redis is, and how a connection to it begins.
pub(super) enum Connector {
    Single(Server),
    Sentinel(Sentinels),
    Cluster {
        /// The library alone knows which node has which key. It opens these connections itself, so
        /// they trust CAs only.
        client: Box<ClusterClient>,
        nodes: Vec<Server>,
    },
}

impl Connection {
    pub(super) async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

impl Connector {
    pub(super) fn new(config: &Config) -> Result<Self, SetUpError> {
        let nodes = config.topology.nodes();
        let first = nodes.first().ok_or(SetUpError::NoAddress)?;
        let encrypted = nodes.iter().any(RedisNode::is_encrypted);
        let trust = encrypted.then(|| tls::client(&config.tls)).transpose()?;
        let trust = trust.map(|trust| TlsConnector::from(Arc::new(trust)));
        let server = |node: &RedisNode, config: &Config| Server::new(node, config, trust.clone());
        Ok(match &config.topology {
            Topology::Single(node) => Self::Single(server(node, config)),
            Topology::Sentinel { master, .. } => {
                // A Sentinel is another server than the one that it names: it gets only the user of
                // its own URL, and the server that it names does not.
                let sentinels = Config {
                    database: 0,
                    username: None,
                    password: None,
                    ..config.clone()
                };
                let sentinels = nodes.iter().map(|node| server(node, &sentinels)).collect();
                let bare = RedisNode {
                    database: None,
                    username: None,
                    password: None,
                    ..first.clone()
                };
                let template = server(&bare, config);
                Self::Sentinel(Sentinels::new(sentinels, master.clone(), template))
            }
            Topology::Cluster(_) => {
                let infos = nodes.iter().map(|node| node.connection_info(config));
                let infos = infos.collect::<RedisResult<Vec<_>>>()?;
                let mut builder = ClusterClient::builder(infos)
                    .connection_timeout(BACKGROUND)
                    .response_timeout(BACKGROUND)
                    .retries(2);
                let (username, password) = first.login(config);
                if let Some(username) = username {
                    builder = builder.username(username);
                }
                if let Some(password) = password {
                    builder = builder.password(password);
                }
                if encrypted {
                    builder = builder.tls(TlsMode::Secure).certs(certificates(config)?);
                }
                Self::Cluster {
                    client: Box::new(builder.build()?),
                    nodes: nodes.iter().map(|node| server(node, config)).collect(),
                }
            }
        })
    }

    /// A connection that has answered within [`DEADLINE`], and what drives it.
    pub(super) async fn connect(&self) -> Result<(Connection, Driver), &'static str> {
        let opened = timeout(CONNECT, self.open())
            .await
            .map_err(|_| "it does not answer in time")?;
        let (mut connection, mut driver) = opened.map_err(|error| reason(&error))?;
        let mut ping = Cmd::new();
        ping.arg("PING");
        let answer = tokio::select! {
            answer = timeout(DEADLINE, connection.ask::<()>(&ping)) => answer,
            () = &mut driver => return Err("it closes the connection"),
        };
        answer
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| reason(&error))?;
        Ok((connection, driver))
    }

    async fn open(&self) -> RedisResult<(Connection, Driver)> {
        let (connection, driver) = match self {
            Self::Single(server) => server.connect(BACKGROUND).await?,
            Self::Sentinel(sentinels) => sentinels.master().await?.connect(BACKGROUND).await?,
            Self::Cluster { client, .. } => {
                // The library drives these connections.
                let connection = Connection::Cluster(client.get_async_connection().await?);
                return Ok((connection, Box::pin(pending())));
            }
        };
        Ok((Connection::Single(connection), driver))
    }

    /// Every node of a cluster passes on every message.
    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let nodes = match self {
            Self::Single(server) => return server.subscribe(channel).await,
            Self::Sentinel(sentinels) => {
                return sentinels.master().await?.subscribe(channel).await;
            }
            Self::Cluster { nodes, .. } => nodes,
        };
        let mut last = (ErrorKind::InvalidClientConfig, "no address").into();
        for node in nodes {
            match timeout(BACKGROUND, node.subscribe(channel)).await {
                Ok(Ok(subscription)) => return Ok(subscription),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::Error::from(io::ErrorKind::TimedOut).into(),
            }
        }
        Err(last)
    }
}

/// As the library takes them.
fn certificates(config: &Config) -> Result<TlsCertificates, SetUpError> {
    let read = |path: &Path| {
        let text = tls::read_file(path).map_err(|source| SetUpError::File {
            path: path.to_owned(),
            source,
        });
        text.map(|mut text| mem::take(&mut *text))
    };
    let client_tls = config.tls.identity.as_ref().map(|files| {
        Ok::<_, SetUpError>(ClientTlsConfig {
            client_cert: read(&files.cert)?,
            client_key: read(&files.key)?,
        })
    });
    Ok(TlsCertificates {
        client_tls: client_tls.transpose()?,
        root_cert: config.tls.ca_cert.as_deref().map(read).transpose()?,
    })
}
