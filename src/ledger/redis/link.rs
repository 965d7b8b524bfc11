//! The connection to Redis: held by one task, which alone connects. Whoever asks finds it there or
//! does not, and never waits for it to come.
//!
//! The first answer that fails to come in time opens the circuit: everybody else finds the link
//! away until a new connection has answered.

use super::{
    DEADLINE, ERRAND,
    address::{Config, Node, Place},
    health::{Health, Part},
};
use crate::ledger::lock;
use arc_swap::ArcSwap;
use aws_lc_rs::rand;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ErrorKind, FromRedisValue, RedisError,
    RedisResult, ServerErrorKind, TlsCertificates, TlsMode,
    aio::{MultiplexedConnection, PubSub},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
    sentinel::{Sentinel, SentinelNodeConnectionInfo},
};
use secrecy::ExposeSecret as _;
use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

/// How long connecting may take: Sentinels, TLS and authentication included.
const CONNECT: Duration = Duration::from_secs(3);
/// The first wait before another try, doubled up to the last. The last is well below the ten
/// seconds that memory bridges.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LAST_WAIT: Duration = Duration::from_secs(3);
/// A connection that held so long was a good one: the waits begin anew.
const GOOD: Duration = Duration::from_secs(10);

/// Why the way to Redis cannot be set up. That Redis is away is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum SetUpError {
    /// A certificate or key file.
    #[error("{} cannot be read", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The files hold no usable certificates, or the addresses contradict each other.
    #[error("the addresses or certificates of Redis cannot be used")]
    Library(#[source] RedisError),
    /// A list of nodes is empty.
    #[error("no address of Redis is given")]
    Nowhere,
    /// The system has no randomness to give.
    #[error("the system's random source gave nothing")]
    NoRandomness,
}

/// Why Redis has not done as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskError {
    /// There is no connection.
    Away,
    /// It did not answer in time, or the connection broke: whether it has done it is not known.
    Late,
    /// It answered with an error.
    Refused(&'static str),
}

/// The one connection, and how to get another.
pub(super) struct Link {
    topology: ArcSwap<Topology>,
    health: Arc<Health>,
    live: Mutex<Option<Live>>,
    lost: Notify,
    /// Counts the connections; changes whenever a new one stands.
    number: watch::Sender<u64>,
}

#[derive(Clone)]
struct Live {
    number: u64,
    connection: Connection,
}

#[derive(Clone)]
enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Where Redis is, and with what each connection to it begins.
pub(super) enum Topology {
    One(Client),
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

impl Link {
    pub(super) fn new(config: &Config, health: Arc<Health>) -> Result<Self, SetUpError> {
        let topology = ArcSwap::from_pointee(Topology::new(config)?);
        Ok(Self {
            topology,
            health,
            live: Mutex::new(None),
            lost: Notify::new(),
            number: watch::Sender::new(0),
        })
    }

    /// From the next connection on. One that stands has shown what it had to show.
    pub(super) fn replace(&self, topology: Topology) {
        self.topology.store(Arc::new(topology));
    }

    /// Asks, if there is a connection.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Duration,
    ) -> Result<T, AskError> {
        let live = lock(&self.live).clone();
        let Some(Live {
            number,
            mut connection,
        }) = live
        else {
            return Err(AskError::Away);
        };
        let error = match timeout(deadline, connection.ask(command)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                self.lose(number, "it does not answer in time");
                return Err(AskError::Late);
            }
        };
        let Some((why, stays)) = refusal(&error) else {
            self.lose(number, "the connection is broken");
            return Err(AskError::Late);
        };
        if !stays {
            self.lose(number, why);
        }
        Err(AskError::Refused(why))
    }

    /// Whether a connection stands.
    pub(super) fn is_up(&self) -> bool {
        lock(&self.live).is_some()
    }

    /// Resolves when a connection stands.
    pub(super) async fn up(&self) {
        let mut numbers = self.number.subscribe();
        while lock(&self.live).is_none() {
            if numbers.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps a connection: connects, waits until it is lost, and connects again.
    pub(super) async fn keep(&self) {
        let mut waits = Waits::default();
        loop {
            match self.topology.load_full().connect().await {
                Ok(connection) => {
                    let since = Instant::now();
                    self.number.send_modify(|number| {
                        *number += 1;
                        *lock(&self.live) = Some(Live {
                            number: *number,
                            connection,
                        });
                    });
                    self.health.set(Part::Link, None);
                    self.lost.notified().await;
                    if since.elapsed() >= GOOD {
                        waits = Waits::default();
                    }
                }
                Err(why) => self.health.set(Part::Link, Some(why)),
            }
            waits.wait().await;
        }
    }

    /// A connection of its own that hears this channel.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<PubSub, &'static str> {
        timeout(CONNECT, self.topology.load_full().subscribe(channel))
            .await
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| told(&error))
    }

    fn lose(&self, number: u64, why: &'static str) {
        let mut live = lock(&self.live);
        // Many may notice at once; a newer connection has nothing to do with it.
        if live.as_ref().is_some_and(|live| live.number == number) {
            *live = None;
            drop(live);
            self.health.set(Part::Link, Some(why));
            self.lost.notify_one();
        }
    }
}

impl Connection {
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

impl Topology {
    pub(super) fn new(config: &Config) -> Result<Self, SetUpError> {
        let nodes = match &config.place {
            Place::One(node) => std::slice::from_ref(node),
            Place::Sentinel {
                sentinels: nodes, ..
            }
            | Place::Cluster(nodes) => nodes,
        };
        let encrypted = nodes.iter().any(|node| node.encrypted);
        let tls = if encrypted {
            Some(certificates(config)?)
        } else {
            None
        };
        let first = nodes.first().ok_or(SetUpError::Nowhere)?;
        // A Sentinel is another server than the one that it names: it gets the user of its own URL
        // alone.
        let bare = Config {
            database: 0,
            username: None,
            password: None,
            ..config.clone()
        };
        let own = match &config.place {
            Place::Sentinel { .. } => &bare,
            Place::One(_) | Place::Cluster(_) => config,
        };
        let clients = nodes
            .iter()
            .map(|node| node.connection(own, tls.as_ref()))
            .collect::<RedisResult<Vec<_>>>()
            .map_err(SetUpError::Library)?;
        match &config.place {
            Place::One(_) => clients
                .into_iter()
                .next()
                .map(Self::One)
                .ok_or(SetUpError::Nowhere),
            Place::Sentinel { master, .. } => {
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
            Place::Cluster(_) => {
                let infos: Vec<_> = clients
                    .iter()
                    .map(|client| client.get_connection_info().clone())
                    .collect();
                let mut builder = ClusterClient::builder(infos)
                    .connection_timeout(ERRAND)
                    .response_timeout(ERRAND)
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

    /// A connection that has answered in the time that flights give it.
    async fn connect(&self) -> Result<Connection, &'static str> {
        let connection = timeout(CONNECT, async {
            Ok::<_, RedisError>(match self {
                Self::One(client) => Connection::One(open(client).await?),
                Self::Sentinel { .. } => Connection::One(open(&self.master().await?).await?),
                Self::Cluster { client, .. } => {
                    Connection::Cluster(client.get_async_connection().await?)
                }
            })
        });
        let mut connection = connection
            .await
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| told(&error))?;
        let mut ping = Cmd::new();
        ping.arg("PING");
        timeout(DEADLINE, connection.ask::<()>(&ping))
            .await
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| told(&error))?;
        Ok(connection)
    }

    async fn subscribe(&self, channel: &str) -> RedisResult<PubSub> {
        let clients = match self {
            Self::One(client) => std::slice::from_ref(client),
            Self::Sentinel { .. } => &[self.master().await?],
            // Every node of a cluster hears everything.
            Self::Cluster { nodes, .. } => nodes,
        };
        let mut last = RedisError::from((ErrorKind::InvalidClientConfig, "no address"));
        for client in clients {
            match client.get_async_pubsub().await {
                Ok(mut heard) => {
                    heard.subscribe(channel).await?;
                    return Ok(heard);
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
            Self::One(client) => Ok(client.clone()),
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
        .set_response_timeout(Some(ERRAND));
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

/// What an error answer means, and whether the connection is worth keeping after it. `None` where
/// it is no answer of Redis. The texts are ours: whatever stands at the other end does not write
/// our log.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's kinds are open; what is not named here is no answer of Redis"
)]
fn refusal(error: &RedisError) -> Option<(&'static str, bool)> {
    Some(match error.kind() {
        // After a failover the old master is somebody's replica: look for the new one.
        ErrorKind::Server(ServerErrorKind::ReadOnly) => ("it is read-only", false),
        ErrorKind::Server(ServerErrorKind::MasterDown) => ("it has lost its master", false),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => ("it is still loading", false),
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            ("its ACL does not allow elastauth what it needs", true)
        }
        ErrorKind::Server(ServerErrorKind::ClusterDown) => ("its cluster is down", true),
        ErrorKind::Server(_) => ("it refuses a command", true),
        ErrorKind::AuthenticationFailed => {
            ("it does not take the user name or the password", false)
        }
        ErrorKind::Extension => match error.code() {
            Some("OOM") => ("it is full", true),
            Some("NOAUTH" | "WRONGPASS") => {
                ("it does not take the user name or the password", false)
            }
            Some("MISCONF") => ("it cannot save and takes no writes", true),
            Some(_) | None => ("it refuses a command", true),
        },
        _ => return None,
    })
}

fn told(error: &RedisError) -> &'static str {
    match refusal(error) {
        Some((why, _)) => why,
        None if error.is_connection_refusal() => "it cannot be connected to",
        None if error.is_timeout() => "it does not answer in time",
        None if error.kind() == ErrorKind::MasterNameNotFoundBySentinel => {
            "its Sentinels know no master of that name"
        }
        None => "it cannot be connected to",
    }
}

/// Waits that double, each shortened by chance, so that replicas do not come back all at once.
#[derive(Debug, Default)]
pub(super) struct Waits(u32);

impl Waits {
    pub(super) async fn wait(&mut self) {
        let whole = FIRST_WAIT
            .saturating_mul(1 << self.0.min(10))
            .min(LAST_WAIT);
        self.0 = self.0.saturating_add(1);
        let mut chance = [0_u8];
        // Without randomness all wait the same: nothing worse.
        let _unlucky = rand::fill(&mut chance);
        sleep(whole.mul_f32(0.5 + f32::from(chance[0]) / 512.0)).await;
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
