//! The server on real sockets. Behind its broker there is no cluster, so a valid auth
//! request ends in 503; answers that grant are tested where they are made.

mod http1;
mod multiplexed;
mod operators;
mod over_time;
mod tokens;

use super::{
    AdminConfig, Audience, ClientLimits, Config, Listen, Server, Service, ServiceParts,
    limits::{ListenerLimits, PeerLimits, RoomLimits},
};
use crate::{
    broker::{self, Broker},
    clock::Clock,
    cluster::{self, SecurityApi},
    flow::Flow,
    identity::{Providers, headers},
    ledger,
    net::{tls, trust},
    roles::{self, Mapping},
    secret::GatewayKey,
    shutdown::Tasks,
    telemetry::{ClusterTelemetry, Telemetry, audit::Audit},
    upstream::{ClusterCheck, NotReady, Upstream},
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

/// No answer takes this long, on the slowest machine.
const LONG: Duration = Duration::from_secs(10);

const SHORT: Duration = Duration::from_millis(100);

fn short_headers() -> ListenerLimits {
    let usual = ListenerLimits::default();
    let short = |limits| PeerLimits {
        header: SHORT,
        ..limits
    };
    ListenerLimits {
        of_trusted: short(usual.of_trusted),
        of_untrusted: short(usual.of_untrusted),
        ..usual
    }
}

/// What a test wants differently.
struct Setup {
    proxies: &'static str,
    keys: &'static [&'static str],
    limits: ListenerLimits,
    tls: Option<tls::ServerConfig>,
    check: ClusterCheck,
    admin: AdminConfig,
    audit: Audit,
    providers: Providers,
    unprotected: Vec<String>,
    listen: Listen,
    balancers: Vec<ipnet::IpNet>,
    client_names: Vec<trust::KnownName>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            proxies: "127.0.0.0/8",
            keys: &[],
            limits: ListenerLimits::default(),
            tls: None,
            check: Arc::new(|| Box::pin(async { Ok(()) })),
            admin: AdminConfig::default(),
            audit: Audit::default(),
            providers: Providers::headers(headers::Config::default()),
            unprotected: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 0)).into(),
            balancers: Vec::new(),
            client_names: Vec::new(),
        }
    }
}

/// A server that runs until it is dropped.
struct Running {
    addr: SocketAddr,
    tasks: Tasks,
    /// The listener for operators, where it is another.
    admin: Option<Box<Running>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

impl Setup {
    fn start(self) -> Running {
        let trust = trust::Config {
            proxies: vec![self.proxies.parse().unwrap()],
            gateway_keys: self
                .keys
                .iter()
                .map(|key| trust::KnownKey {
                    key: GatewayKey::parse(key).unwrap(),
                    providers: trust::AllowedProviders::default(),
                })
                .collect(),
            client_names: self.client_names,
        };
        let telemetry = Telemetry {
            audit: self.audit,
            ..Telemetry::default()
        };
        let upstream = upstream(&telemetry.of_cluster("default")).with_check(self.check);
        let flow = Flow::new(self.providers, upstream.into());
        let tasks = Tasks::default();
        let admin_listener = self.admin.listen;
        let service = Service::new(ServiceParts {
            proxy: false,
            flow,
            identity_headers: headers::Config::default(),
            login_url: None,
            clock: Clock::System,
            telemetry,
            admin: self.admin,
            unprotected: self.unprotected,
            shown: serde_json::json!({"elasticsearch": {"password": "***"}}),
        });
        let service = Arc::new(service);
        let config = Config {
            listen: self.listen,
            reuse_port: false,
            tls: self.tls,
            trust: trust.clone(),
            balancers: self.balancers,
            clients: ClientLimits::default(),
        };
        let mut server = Server::bind(&config, Audience::Gateways, Arc::clone(&service)).unwrap();
        server.limits = self.limits;
        let addr = server.tcp_addr().unwrap_or(([0, 0, 0, 0], 0).into());
        let ending = tasks.clone();
        tasks.spawn(async move { server.run(ending).await });
        let admin = match admin_listener {
            None => None,
            Some(listen) => {
                let config = Config {
                    listen: listen.into(),
                    reuse_port: false,
                    tls: None,
                    trust,
                    balancers: Vec::new(),
                    clients: ClientLimits::default(),
                };
                let server = Server::bind(&config, Audience::Operators, service).unwrap();
                let (addr, ending) = (server.tcp_addr().unwrap(), tasks.clone());
                tasks.spawn(async move { server.run(ending).await });
                Some(Box::new(Running {
                    addr,
                    tasks: tasks.clone(),
                    admin: None,
                }))
            }
        };
        Running { addr, tasks, admin }
    }
}

/// A broker whose cluster refuses every connection.
fn upstream(telemetry: &ClusterTelemetry) -> Upstream {
    let account = cluster::ServiceAccount::Basic {
        username: "elastauth".to_owned(),
        password: "unused".into(),
    };
    // Nobody listens on the port that TCP reserves for its multiplexer.
    let hosts = vec![http::Uri::from_static("http://127.0.0.1:1")];
    let cluster = SecurityApi::new(
        &cluster::Config {
            kind: cluster::Kind::Elasticsearch,
            hosts,
            account,
            tls: tls::ClientConfig::default(),
            passwords: cluster::PasswordForm::Hash,
        },
        Clock::System,
        telemetry,
    )
    .unwrap();
    let config = broker::Config {
        secret_key: None,
        previous_key: None,
        cluster_name: "default".to_owned(),
        service_account: None,
        rotation_window: None,
        opensearch: broker::OpenSearchPeriods::default(),
        rotation: Duration::ZERO,
        grace: Duration::ZERO,
        park_within: None,
        prune_after: None,
        expiration: Duration::from_hours(1),
        adopt: broker::Adopt::Never,
        writes_per_minute: 10,
        new_per_minute: 10_000,
        tries_for: Duration::from_millis(1_500),
        writes_at_once: 16,
        dry_run: false,
        ledger: ledger::Config {
            capacity: 10,
            store: ledger::StoreConfig::Memory,
        },
    };
    let broker = Broker::new(
        config,
        cluster.clone(),
        Clock::System,
        Tasks::default(),
        telemetry.clone(),
    )
    .unwrap();
    let mapping = Mapping::new(roles::Config {
        default_roles: vec![crate::model::Role::parse("viewer").unwrap()],
        ..roles::Config::default()
    });
    Upstream::new("default", mapping, broker)
}

impl Running {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends `bytes` on a connection of its own and reads one answer.
    async fn ask(&self, bytes: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        Answer::read(&mut stream).await
    }
}

/// An answer of HTTP/1.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Self {
        timeout(LONG, Self::read_patiently(stream))
            .await
            .expect("an answer in time")
    }

    async fn read_patiently(stream: &mut (impl AsyncRead + Unpin)) -> Self {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = stream.read_u8().await.unwrap_or_else(|error| {
                panic!("{error} after {:?}", String::from_utf8_lossy(&head))
            });
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok())
            .unwrap();
        let mut answer = Self {
            status,
            head,
            body: String::new(),
        };
        let mut body = vec![
            0;
            answer
                .header("content-length")
                .map_or(0, |length| length.parse().unwrap())
        ];
        stream.read_exact(&mut body).await.unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

/// Whether the other side has closed, within the time that a test waits for anything.
async fn closes(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest)).await.is_ok()
}
