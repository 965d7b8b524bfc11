//! How a connection to Redis is made: one server, Sentinels, or a cluster.

use super::{
    address::{Config, Node, Topology},
    limits::{BACKGROUND, CONNECT, DEADLINE},
    refusal::reason,
};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ErrorKind, FromRedisValue, RedisError,
    RedisResult, TlsCertificates, TlsMode,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};
use secrecy::ExposeSecret as _;
use std::{
    io,
    path::{Path, PathBuf},
};
use tokio::time::timeout;

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
    Library(#[source] RedisError),
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
        let nodes = match &config.topology {
            Topology::Single(node) => std::slice::from_ref(node),
            Topology::Sentinel {
                sentinels: nodes, ..
            }
            | Topology::Cluster(nodes) => nodes,
        };
        let encrypted = nodes.iter().any(|node| node.encrypted);
        let tls = if encrypted {
            Some(certificates(config)?)
        } else {
            None
        };
        let first = nodes.first().ok_or(SetUpError::NoAddress)?;
        // A Sentinel is another server than the one that it names: it gets only the user of its own
        // URL.
        let bare = Config {
            database: 0,
            username: None,
            password: None,
            ..config.clone()
        };
        let own = match &config.topology {
            Topology::Sentinel { .. } => &bare,
            Topology::Single(_) | Topology::Cluster(_) => config,
        };
        let clients = nodes
            .iter()
            .map(|node| node.connection(own, tls.as_ref()))
            .collect::<RedisResult<Vec<_>>>()
            .map_err(SetUpError::Library)?;
        match &config.topology {
            Topology::Single(_) => clients
                .into_iter()
                .next()
                .map(Self::Single)
                .ok_or(SetUpError::NoAddress),
            Topology::Sentinel { master, .. } => {
                let infos: Vec<_> = clients
                    .iter()
                    .map(|client| client.get_connection_info().clone())
                    .collect();
                let sentinel = Sentinel::build(infos).map_err(SetUpError::Library)?;
                // The library has no way to hand certificates of our own to the master's connection
                // but its address, which the Sentinel gives.
                let server = Node {
                    database: None,
                    username: None,
                    password: None,
                    ..first.clone()
                };
                let settings = server
                    .connection(config, tls.as_ref())
                    .map_err(SetUpError::Library)?
                    .get_connection_info()
                    .redis_settings()
                    .clone();
                let mut node =
                    SentinelNodeConnectionInfo::default().set_redis_connection_info(settings);
                if encrypted {
                    node = node.set_tls_mode(TlsMode::Secure);
                }
                Ok(Self::Sentinel {
                    sentinel: tokio::sync::Mutex::new(sentinel),
                    master: master.clone(),
                    node,
                })
            }
            Topology::Cluster(_) => {
                let infos: Vec<_> = clients
                    .iter()
                    .map(|client| client.get_connection_info().clone())
                    .collect();
                let mut builder = ClusterClient::builder(infos)
                    .connection_timeout(BACKGROUND)
                    .response_timeout(BACKGROUND)
                    .retries(2);
                if let Some(username) = first.username.as_ref().or(config.username.as_ref()) {
                    builder = builder.username(username);
                }
                if let Some(password) = first.password.as_ref().or(config.password.as_ref()) {
                    builder = builder.password(password.expose_secret());
                }
                if let Some(tls) = tls {
                    builder = builder.tls(TlsMode::Secure).certs(tls);
                }
                Ok(Self::Cluster {
                    client: builder.build().map_err(SetUpError::Library)?,
                    nodes: clients,
                })
            }
        }
    }

    /// A connection that has answered within [`DEADLINE`].
    pub(super) async fn connect(&self) -> Result<Connection, &'static str> {
        let connection = timeout(CONNECT, async {
            Ok::<_, RedisError>(match self {
                Self::Single(client) => Connection::Single(open(client).await?),
                Self::Sentinel { .. } => Connection::Single(open(&self.master().await?).await?),
                Self::Cluster { client, .. } => {
                    Connection::Cluster(client.get_async_connection().await?)
                }
            })
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
        let clients = match self {
            Self::Single(client) => std::slice::from_ref(client),
            Self::Sentinel { .. } => &[self.master().await?],
            // Every node of a cluster passes on every message.
            Self::Cluster { nodes, .. } => nodes,
        };
        let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
        for client in clients {
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

    async fn master(&self) -> RedisResult<Client> {
        match self {
            Self::Sentinel {
                sentinel,
                master,
                node,
            } => {
                sentinel
                    .lock()
                    .await
                    .async_master_for(master, Some(node))
                    .await
            }
            Self::Single(client) => Ok(client.clone()),
            Self::Cluster { nodes, .. } => nodes.first().cloned().ok_or(RedisError::from((
                ErrorKind::InvalidClientConfig,
                "no address",
            ))),
        }
    }
}

async fn open(client: &Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(BACKGROUND));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

fn certificates(config: &Config) -> Result<TlsCertificates, SetUpError> {
    let read = |path: &Path| {
        std::fs::read(path).map_err(|source| SetUpError::File {
            path: path.to_owned(),
            source,
        })
    };
    let identity = config.tls.identity.as_ref();
    Ok(TlsCertificates {
        client_tls: identity
            .map(|files| {
                Ok::<_, SetUpError>(ClientTlsConfig {
                    client_cert: read(&files.cert)?,
                    client_key: read(&files.key)?,
                })
            })
            .transpose()?,
        root_cert: config.tls.ca_cert.as_deref().map(read).transpose()?,
    })
}
