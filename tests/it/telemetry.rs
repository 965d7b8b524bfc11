//! What operators see of a login: the audit stream and the numbers, on real sockets against the
//! stand-in cluster.

use elastauth::internals::{
    app::App,
    broker::{self, Adopt, Broker},
    clock::Clock,
    cluster::{self, SecurityApi},
    config,
    demo::standin::StandIn,
    flow::Flow,
    identity::{self, headers},
    ledger,
    model::{ClusterName, Group, Role},
    net::{tls, trust},
    roles::{self, Mapping},
    secret::SecretKey,
    serve::{self, AdminConfig, Audience, Server, Service},
    shutdown::Tasks,
    telemetry::{
        Telemetry,
        audit::{self, Audit, AuditTarget, Grants},
        metrics::Metrics,
    },
    upstream::{Match, Unmatched, Upstream},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

const KEY: &str = "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a";
const LONG: Duration = Duration::from_secs(10);

struct Deployment {
    cluster: StandIn,
    addr: SocketAddr,
    audit: Audit,
    path: PathBuf,
    _folder: TempDir,
    tasks: Tasks,
}

fn loopback_alone() -> trust::Config {
    trust::Config {
        proxies: vec!["127.0.0.0/8".parse().unwrap()],
        ..trust::Config::default()
    }
}

fn listener(listen: SocketAddr) -> serve::Config {
    serve::Config {
        listen: listen.into(),
        reuse_port: false,
        tls: None,
        trust: loopback_alone(),
        balancers: Vec::new(),
        clients: serve::ClientLimits::default(),
    }
}

impl Drop for Deployment {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

impl Deployment {
    async fn new(grants: Grants) -> Self {
        let (clock, tasks, metrics) = (Clock::System, Tasks::default(), Metrics::default());
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        let config = audit::Config {
            target: AuditTarget::File(path.clone()),
            grants,
            ..audit::Config::default()
        };
        let audit = Audit::start(&config, clock.clone(), metrics.clone()).unwrap();
        let telemetry = Telemetry {
            metrics,
            audit: audit.clone(),
            ..Telemetry::default()
        };
        let of_cluster = telemetry.of_cluster("default");
        let standin = StandIn::start(&tasks).await.unwrap();
        let cluster =
            SecurityApi::new(&cluster_config(&standin), clock.clone(), &of_cluster).unwrap();
        let broker = Broker::new(
            broker_config(),
            cluster.clone(),
            clock.clone(),
            tasks.clone(),
            of_cluster,
        )
        .unwrap();
        let role = |name: &str| Role::parse(name).unwrap();
        let mapping = Mapping::new(roles::Config {
            default_roles: vec![role("viewer")],
            group_mappings: vec![(Group::parse("dev").unwrap(), vec![role("editor")])],
            ..roles::Config::default()
        });
        let names = headers::Config::default();
        let upstream = Upstream::new("default", mapping, broker);
        let flow = Flow::new(identity::Providers::headers(names.clone()), upstream.into());
        let service = Service::new(serve::ServiceParts {
            proxy: false,
            flow,
            identity_headers: names,
            login_url: None,
            clock,
            telemetry,
            admin: AdminConfig {
                listen: None,
                metrics: true,
                ..AdminConfig::default()
            },
            unprotected: Vec::new(),
            shown: json!({}),
        });
        let config = listener(([127, 0, 0, 1], 0).into());
        let server = Server::bind(&config, Audience::Gateways, Arc::new(service)).unwrap();
        let (addr, ending) = (server.tcp_addr().unwrap(), tasks.clone());
        tasks.spawn(async move { server.run(ending).await });
        Self {
            cluster: standin,
            addr,
            audit,
            path,
            _folder: folder,
            tasks,
        }
    }

    async fn get(&self, path: &str, headers: &str) -> String {
        get(self.addr, path, headers).await
    }

    /// The status of a question.
    async fn ask(&self, user: &str, groups: &str) -> u16 {
        let asked = "x-forwarded-host: kibana.example.org\r\n\
            x-forwarded-uri: /app/x?token=hidden\r\nx-request-id: 0af7651916cd43dd\r\n";
        let answer = self
            .get(
                "/elastauth",
                &format!("remote-user: {user}\r\nremote-groups: {groups}\r\n{asked}"),
            )
            .await;
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn audited(&self) -> Vec<Value> {
        self.audit.flush(LONG).await;
        let text = std::fs::read_to_string(&self.path).unwrap();
        assert!(
            !text.contains("Basic ") && !text.contains("PBKDF2") && !text.contains("hidden"),
            "{text}"
        );
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    async fn number(&self, series: &str) -> u64 {
        let text = self.get("/elastauth/metrics", "").await;
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        found
            .unwrap_or_else(|| panic!("{series} is not in {text}"))
            .parse()
            .unwrap()
    }
}

fn cluster_config(standin: &StandIn) -> cluster::Config {
    let account = cluster::ServiceAccount::Basic {
        username: "elastauth".to_owned(),
        password: standin.service_password().to_owned().into(),
    };
    cluster::Config {
        kind: cluster::Kind::Elasticsearch,
        hosts: vec![standin.url().parse().unwrap()],
        account,
        tls: tls::ClientConfig::default(),
        passwords: cluster::PasswordForm::Hash,
    }
}

fn broker_config() -> broker::Config {
    broker::Config {
        secret_key: Some(SecretKey::parse(KEY).unwrap()),
        cluster_name: "default".to_owned(),
        service_account: Some("elastauth".to_owned()),
        previous_key: None,
        rotation: Duration::ZERO,
        rotation_window: None,
        opensearch: broker::OpenSearchPeriods::default(),
        grace: Duration::ZERO,
        park_within: None,
        prune_after: None,
        expiration: Duration::from_hours(1),
        adopt: Adopt::ElastauthGo,
        writes_per_minute: 1,
        new_per_minute: 10_000,
        tries_for: Duration::from_millis(1_500),
        writes_at_once: 16,
        dry_run: false,
        ledger: ledger::Config {
            capacity: 100,
            store: ledger::StoreConfig::Memory,
        },
    }
}

/// The whole answer, as text.
async fn get(addr: SocketAddr, path: &str, headers: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(LONG, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    text
}

fn fields_of(line: &Value, fields: &[&str]) -> Value {
    fields.iter().map(|field| line[field].clone()).collect()
}

#[tokio::test]
async fn the_stream_tells_each_change_of_a_user_and_not_each_request() {
    let deployment = Deployment::new(Grants::Changes).await;
    for _ in 0..3 {
        assert_eq!(deployment.ask("alice", "dev").await, 200);
    }
    assert_eq!(deployment.ask("alice", "").await, 200);
    let lines = deployment.audited().await;
    let fields = ["event", "user", "provider", "groups", "roles", "reason"];
    assert_eq!(
        lines
            .iter()
            .map(|line| fields_of(line, &fields))
            .collect::<Vec<_>>(),
        [
            json!([
                "user_written",
                "alice",
                "authelia",
                ["dev"],
                ["editor", "viewer"],
                "first login"
            ]),
            json!([
                "user_written",
                "alice",
                "authelia",
                null,
                ["viewer"],
                "changed"
            ]),
        ]
    );
}

#[tokio::test]
async fn the_stream_tells_who_was_refused_and_why() {
    let deployment = Deployment::new(Grants::Changes).await;
    assert_eq!(deployment.ask("elastic", "dev").await, 403);
    assert_eq!(deployment.ask("alice,bob", "dev").await, 400);
    // The one change a minute that this deployment allows, and then one too many.
    for (groups, status) in [("dev", 200), ("", 200), ("dev", 503)] {
        assert_eq!(deployment.ask("alice", groups).await, status);
    }
    assert_eq!(
        deployment.get("/", "").await.split(' ').nth(1),
        Some("401"),
        "nobody is nobody's affair"
    );
    let lines = deployment.audited().await;
    let refused: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "refused")
        .collect();
    assert_eq!(
        refused
            .iter()
            .map(|line| fields_of(line, &["outcome", "user"]))
            .collect::<Vec<_>>(),
        [
            json!(["reserved_name", "elastic"]),
            json!(["malformed", null]),
            json!(["write_budget", "alice"])
        ]
    );
    let fields = ["peer", "host", "uri", "request_id", "provider"];
    assert_eq!(
        fields_of(refused[0], &fields),
        json!([
            "127.0.0.1",
            "kibana.example.org",
            "/app/x",
            "0af7651916cd43dd",
            "authelia"
        ])
    );
    assert_eq!(
        deployment
            .number("elastauth_write_budget_refusals_total{cluster=\"default\"}")
            .await,
        1
    );
}

#[tokio::test]
async fn each_grant_is_audited_where_that_is_wanted() {
    let deployment = Deployment::new(Grants::All).await;
    for _ in 0..3 {
        assert_eq!(deployment.ask("alice", "dev").await, 200);
    }
    let lines = deployment.audited().await;
    let granted: Vec<_> = lines
        .iter()
        .filter(|line| line["event"] == "granted")
        .collect();
    assert_eq!(granted.len(), 3);
    let fields = ["user", "roles", "uri", "request_id"];
    assert_eq!(
        fields_of(granted[0], &fields),
        json!(["alice", ["editor", "viewer"], "/app/x", "0af7651916cd43dd"])
    );
}

#[tokio::test]
async fn the_numbers_follow_a_login() {
    let deployment = Deployment::new(Grants::Changes).await;
    for _ in 0..3 {
        assert_eq!(deployment.ask("alice", "dev").await, 200);
    }
    assert_eq!(deployment.ask("elastic", "dev").await, 403);
    assert!(!deployment.cluster.calls().is_empty());
    for (series, count) in [
        (
            "elastauth_decisions_total{cluster=\"default\",outcome=\"granted\",provider=\"authelia\"}",
            3,
        ),
        (
            "elastauth_decisions_total{cluster=\"default\",outcome=\"reserved_name\",provider=\"authelia\"}",
            1,
        ),
        ("elastauth_decision_duration_seconds_count", 4),
        (
            "elastauth_ensure_steps_total{cluster=\"default\",step=\"written_first\"}",
            1,
        ),
        (
            "elastauth_cluster_calls_total{cluster=\"default\",call=\"authenticate\",status_class=\"4xx\"}",
            1,
        ),
        (
            "elastauth_cluster_calls_total{cluster=\"default\",call=\"read_user\",status_class=\"4xx\"}",
            1,
        ),
        (
            "elastauth_cluster_calls_total{cluster=\"default\",call=\"write_user\",status_class=\"2xx\"}",
            1,
        ),
        (
            "elastauth_ledger_lookups_total{cluster=\"default\",result=\"hit\"}",
            2,
        ),
        (
            "elastauth_ledger_lookups_total{cluster=\"default\",result=\"miss\"}",
            2,
        ),
        ("elastauth_ledger_users{cluster=\"default\"}", 1),
        ("elastauth_node_up{cluster=\"default\",node=\"0\"}", 1),
        ("elastauth_flights{cluster=\"default\"}", 0),
        ("elastauth_held_requests{cluster=\"default\"}", 0),
        ("elastauth_audit_lines_total{result=\"lost\"}", 0),
    ] {
        assert_eq!(deployment.number(series).await, count, "{series}");
    }
}

#[tokio::test]
async fn the_whole_program_shows_itself_on_a_listener_of_its_own_and_writes_its_last_lines() {
    let tasks = Tasks::default();
    let standin = StandIn::start(&tasks).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.jsonl");
    let loopback: SocketAddr = ([127, 0, 0, 1], 0).into();
    let config = config::Config {
        listeners: vec![listener(loopback)],
        shutdown: elastauth::internals::shutdown::Config::default(),
        login_url: None,
        trust: loopback_alone(),
        identity: identity::Config {
            providers: vec![identity::ProviderConfig::Headers(headers::Config::default())],
        },
        clusters: vec![config::ClusterConfig {
            name: ClusterName::of_elasticsearch("default"),
            selector: Match::default(),
            proxy: elastauth::internals::upstream::ProxyConfig::default(),
            tenants: None,
            cluster: cluster_config(&standin),
            broker: broker_config(),
            roles: roles::Config {
                default_roles: vec![Role::parse("viewer").unwrap()],
                ..roles::Config::default()
            },
        }],
        proxy: false,
        unmatched: Unmatched::Cluster("default".into()),
        telemetry: elastauth::internals::telemetry::log::Config::default(),
        audit: audit::Config {
            target: AuditTarget::File(path.clone()),
            ..audit::Config::default()
        },
        access_log: elastauth::internals::telemetry::access_log::Format::Off,
        traces: elastauth::internals::telemetry::traces::Config::Off,
        admin: AdminConfig {
            listen: Some(loopback),
            metrics: true,
            ..AdminConfig::default()
        },
        unprotected: Vec::new(),
        shown: json!({"secret_key": "***"}),
    };
    let app = App::start(config).unwrap();
    let (gateways, admin) = (app.addr().unwrap(), app.admin_addr().unwrap());
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let running = app.run_until(async move { drop(ended.await) });
    let story = async {
        assert!(
            get(gateways, "/elastauth", "remote-user: alice\r\n")
                .await
                .starts_with("HTTP/1.1 200 ")
        );
        let metrics = get(admin, "/elastauth/metrics", "").await;
        assert!(
            metrics.contains(
                "elastauth_decisions_total{cluster=\"default\",outcome=\"granted\",provider=\"authelia\"} 1\n"
            ),
            "{metrics}"
        );
        assert!(
            metrics.contains(
                "elastauth_cluster_calls_total{cluster=\"default\",call=\"write_user\",status_class=\"2xx\"} 1\n"
            ),
            "{metrics}"
        );
        assert!(
            get(admin, "/elastauth/config", "")
                .await
                .contains("\"***\"")
        );
        assert!(
            get(gateways, "/elastauth/config", "")
                .await
                .starts_with("HTTP/1.1 404 ")
        );
        assert!(
            get(admin, "/elastauth", "remote-user: alice\r\n")
                .await
                .starts_with("HTTP/1.1 404 ")
        );
        end.send(()).unwrap();
    };
    timeout(LONG, async { tokio::join!(running, story) })
        .await
        .unwrap();
    assert!(
        std::fs::read_to_string(&path)
            .unwrap()
            .contains("\"event\":\"user_written\",\"cluster\":\"default\",\"user\":\"alice\"")
    );
    tasks.end();
}
