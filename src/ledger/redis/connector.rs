//! How a connection to Redis is made: one server, Sentinels, or a cluster; and how long each step
//! may take.

use super::{
    address::{Config, RedisNode, Topology},
    refusal::reason,
};
use crate::backoff::Backoff;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ErrorKind, FromRedisValue, RedisError,
    RedisResult, TlsCertificates, TlsMode,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};
use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::time::timeout;

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
    /// The files hold no usable certificates, or the addresses contradict each other.
    #[error("the addresses or certificates of Redis cannot be used")]
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
    Single(Client),
    Sentinel {
        sentinel: tokio::sync::Mutex<Sentinel>,
        master: String,
        node: SentinelNodeConnectionInfo,
    },
    Cluster {
        client: ClusterClient,
        nodes: Vec<Client>,
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
        let tls = encrypted.then(|| certificates(config)).transpose()?;
        let client = |node: &RedisNode, config: &Config| node.client(config, tls.as_ref());
        let clients = |config: &Config| {
            let clients = nodes.iter().map(|node| client(node, config));
            clients.collect::<RedisResult<Vec<_>>>()
        };
        let info = |client: &Client| client.get_connection_info().clone();
        Ok(match &config.topology {
            Topology::Single(node) => Self::Single(client(node, config)?),
            Topology::Sentinel { master, .. } => {
                // A Sentinel is another server than the one that it names: it gets only the user of
                // its own URL.
                let bare = Config {
                    database: 0,
                    username: None,
                    password: None,
                    ..config.clone()
                };
                let sentinels = clients(&bare)?.iter().map(info).collect();
                // The library has no way to hand certificates of our own to the master's connection
                // but its address, which the Sentinel gives.
                let server = RedisNode {
                    database: None,
                    username: None,
                    password: None,
                    ..first.clone()
                };
                let settings = info(&client(&server, config)?).redis_settings().clone();
                let mut node =
                    SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
                if encrypted {
                    node = node.set_tls_mode(TlsMode::Secure);
                }
                Self::Sentinel {
                    sentinel: tokio::sync::Mutex::new(Sentinel::build(sentinels)?),
                    master: master.clone(),
                    node,
                }
            }
            Topology::Cluster(_) => {
                let nodes = clients(config)?;
                let mut builder = ClusterClient::builder(nodes.iter().map(info))
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
                if let Some(tls) = tls {
                    builder = builder.tls(TlsMode::Secure).certs(tls);
                }
                Self::Cluster {
                    client: builder.build()?,
                    nodes,
                }
            }
        })
    }

    /// A connection that has answered within [`DEADLINE`].
    pub(super) async fn connect(&self) -> Result<Connection, &'static str> {
        let connection = timeout(CONNECT, async {
            if let Self::Cluster { client, .. } = self {
                let connection = client.get_async_connection().await?;
                return Ok(Connection::Cluster(connection));
            }
            let servers = self.servers().await?;
            open(servers.first().ok_or_else(no_address)?).await
        });
        let mut connection = connection
            .await
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| reason(&error))?;
        let mut ping = Cmd::new();
        ping.arg("PING");
        timeout(DEADLINE, connection.ask::<()>(&ping))
            .await
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| reason(&error))?;
        Ok(connection)
    }

    pub(super) async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let mut last = no_address();
        for client in self.servers().await? {
            match client.get_async_pubsub().await {
                Ok(mut subscription) => {
                    subscription.subscribe(channel).await?;
                    return Ok(subscription);
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Which servers can be asked. Every node of a cluster passes on every message.
    async fn servers(&self) -> RedisResult<Vec<Client>> {
        Ok(match self {
            Self::Single(client) => vec![client.clone()],
            Self::Sentinel {
                sentinel,
                master,
                node,
            } => {
                let mut sentinel = sentinel.lock().await;
                vec![sentinel.async_master_for(master, Some(node)).await?]
            }
            Self::Cluster { nodes, .. } => nodes.clone(),
        })
    }
}

fn no_address() -> RedisError {
    (ErrorKind::InvalidClientConfig, "no address").into()
}

async fn open(client: &Client) -> RedisResult<Connection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(BACKGROUND));
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    Ok(Connection::Single(connection.await?))
}

fn certificates(config: &Config) -> Result<TlsCertificates, SetUpError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| SetUpError::File {
            path: path.to_owned(),
            source,
        })
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
