//! The two nodes, and one Traefik in front of them that asks elastauth in three ways.

use crate::support::{
    authelia::Authelia,
    elastauth::Elastauth,
    elasticsearch::Elasticsearch,
    guide,
    http::{Answer, Server},
    opensearch::Opensearch,
    ports::{self, free_port},
    relay::Relay,
    traefik::Traefik,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::fmt::Write as _;
use tokio::sync::{Mutex, MutexGuard, OnceCell};

pub(super) const SECRET_KEY: &str =
    "8d0c5fa17b3e49628a6e1f4dc0b97352e4a81d6f3c705b9e2f48a6d71c93b05e";
pub(super) const GATEWAY_KEY: &str = "5b1c09aa7d2e4f6d8b3a9c1e";
const INDEX: &str = "/logs-app";
/// elastauth's account in both.
const SERVICE: &str = "svc-side-by-side";
/// Of that account in OpenSearch, with a cheap hash: each write makes the node check it again.
const CHEAP: (&str, &str) = (
    "others-of-the-tests",
    "$2b$04$abcdefghijklmnopqrstuuY6FuFvtuFfUdzV6WsjkV6uoUKyCbX0O",
);

/// One of the two clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Elasticsearch,
    Opensearch,
}

impl Kind {
    /// The name of its section.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Elasticsearch => "es",
            Self::Opensearch => "os",
        }
    }

    pub(super) fn other(self) -> Self {
        match self {
            Self::Elasticsearch => Self::Opensearch,
            Self::Opensearch => Self::Elasticsearch,
        }
    }
}

/// What somebody may do in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Viewer,
    Editor,
}

/// A way through Traefik to one of the clusters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) host: &'static str,
    pub(super) prefix: &'static str,
    pub(super) to: Kind,
}

const fn way(host: &'static str, prefix: &'static str, to: Kind) -> Way {
    Way { host, prefix, to }
}

pub(super) const BY_HOST: [Way; 2] = [
    way("es.example.org", "", Kind::Elasticsearch),
    way("os.example.org", "", Kind::Opensearch),
];
pub(super) const BY_PATH: [Way; 2] = [
    way("elasticsearch.example.org", "/es", Kind::Elasticsearch),
    way("elasticsearch.example.org", "/os", Kind::Opensearch),
];
pub(super) const BY_ENDPOINT: [Way; 2] = [
    way("named-es.example.org", "", Kind::Elasticsearch),
    way("named-os.example.org", "", Kind::Opensearch),
];

/// The nodes that the tests of this file share. One test has them at a time: some stop one.
pub(super) struct Pair {
    pub(super) elasticsearch: Elasticsearch,
    pub(super) opensearch: Opensearch,
    password: String,
}

impl Pair {
    async fn taken() -> MutexGuard<'static, Self> {
        static PAIR: OnceCell<Mutex<Pair>> = OnceCell::const_new();
        let pair = PAIR.get_or_init(async || Mutex::new(Self::start().await));
        pair.await.lock().await
    }

    async fn start() -> Self {
        // It has to come back at its port.
        let started = ports::started(async || {
            Elasticsearch::start_with(vec![format!("http.port={}", free_port())]).await
        });
        let other = ports::started(async || {
            Opensearch::start_with(vec![format!("http.port={}", free_port())]).await
        });
        let (elasticsearch, opensearch) = tokio::join!(started, other);
        let index = json!({ "mappings": { "properties": { "n": { "type": "long" } } } });
        elasticsearch.put(INDEX, &index).await;
        opensearch.put(INDEX, &index).await;
        for (role, privileges) in [("logs-viewer", &["read"][..]), ("logs-editor", &["all"])] {
            let role = format!("/_security/role/{role}");
            let privileges = json!([{ "names": ["logs-*"], "privileges": privileges }]);
            let role_of_logs = json!({ "indices": privileges });
            elasticsearch.put(&role, &role_of_logs).await;
        }
        let role = ["elastauth_users"];
        let account = json!({ "hash": CHEAP.1, "opendistro_security_roles": role });
        opensearch.put_user(SERVICE, &account).await;
        let password = elasticsearch.service_account(SERVICE).await;
        Self {
            elasticsearch,
            opensearch,
            password,
        }
    }

    /// Gives elastauth's account in Elasticsearch what `users` needs beyond logins.
    pub(super) async fn may_change_users(&self) {
        let rights = ["set_enabled", "delete"];
        let rights = rights.map(|right| format!("cluster:admin/xpack/security/user/{right}"));
        let cluster = &self.elasticsearch;
        let role = "/_security/role/elastauth-changes";
        cluster.put(role, &json!({ "cluster": rights })).await;
        let account = json!({ "roles": ["elastauth", "elastauth-changes"] });
        let path = format!("/_security/user/{SERVICE}");
        cluster.put(&path, &account).await;
    }

    /// Who a login of elastauth is.
    pub(super) async fn whoami(&self, kind: Kind, login: &str) -> Answer {
        match kind {
            Kind::Elasticsearch => self.elasticsearch.authenticate(login).await,
            Kind::Opensearch => self.opensearch.authenticate(login).await,
        }
    }
}

pub(super) struct Scene {
    pub(super) pair: MutexGuard<'static, Pair>,
    /// All ways to a node lead over its own.
    fronts: [Relay; 2],
    authelia: Authelia,
    traefik: Traefik,
    /// Two sections, told apart by hosts.
    pub(super) by_host: Elastauth,
    /// The block `elasticsearch` and one section, told apart by paths.
    pub(super) by_path: Elastauth,
}

impl Scene {
    pub(super) async fn new() -> Self {
        let pair = Pair::taken().await;
        let fronts = [
            Relay::to(pair.elasticsearch.port()).await,
            Relay::to(pair.opensearch.port()).await,
        ];
        let clusters = fronts
            .each_ref()
            .map(|front| format!("http://127.0.0.1:{}", front.port));
        let by_host = elastauth(&sections(&pair.password, &clusters)).await;
        let by_path = elastauth(&block_and_section(&pair.password, &clusters)).await;
        let authelia = Authelia::start().await;
        let asked = [&by_host, &by_path].map(Elastauth::port);
        let dynamic = dynamic(authelia.port, asked, &clusters);
        let traefik = Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await;
        Self {
            pair,
            fronts,
            authelia,
            traefik,
            by_host,
            by_path,
        }
    }

    pub(super) fn front(&self, kind: Kind) -> &Relay {
        let [elasticsearch, opensearch] = &self.fronts;
        match kind {
            Kind::Elasticsearch => elasticsearch,
            Kind::Opensearch => opensearch,
        }
    }

    /// Signs somebody in, or changes their groups. Returns the cookie.
    pub(super) fn sign_in(&self, user: &str, groups: &str) -> String {
        self.authelia.sign_in(user, groups)
    }

    pub(super) fn server(&self, host: &str) -> Server {
        self.traefik.elasticsearch().clone().host(host)
    }

    /// Searches the index through Traefik.
    pub(super) async fn search(&self, way: Way, cookie: &str) -> Answer {
        let path = format!("{}{INDEX}/_search", way.prefix);
        let server = self.server(way.host);
        server.get(&path, &[("cookie", cookie)]).await
    }

    /// Writes a document through Traefik.
    async fn write(&self, way: Way, cookie: &str) -> Answer {
        let path = format!("{}{INDEX}/_doc", way.prefix);
        let (headers, document) = ([("cookie", cookie)], json!({ "n": 1 }));
        let server = self.server(way.host);
        let asked = server.ask(Method::POST, &path, &headers, Some(&document));
        asked.await
    }

    /// Reads and writes there. It is the cluster that refuses a viewer's document.
    pub(super) async fn assert_may(&self, way: Way, cookie: &str, level: Level) {
        let found = self.search(way, cookie).await;
        let log = || self.by_host.log() + &self.by_path.log();
        let said = found.text();
        assert_eq!(
            found.status,
            StatusCode::OK,
            "{way:?} {cookie}: {said}\n{}",
            log()
        );
        let product = found.header("x-elastic-product").is_some();
        assert_eq!(product, way.to == Kind::Elasticsearch, "{way:?}");
        let written = self.write(way, cookie).await;
        let (status, said) = (written.status, written.text());
        match level {
            Level::Editor => assert_eq!(status, StatusCode::CREATED, "{way:?} {cookie}: {said}"),
            Level::Viewer => assert!(
                status == StatusCode::FORBIDDEN && said.contains("security_exception"),
                "{way:?} {cookie}: {status} {said}"
            ),
        }
    }

    /// What `by_host` says of one cluster.
    pub(super) async fn readiness(&self, kind: Kind) -> Value {
        let ready = self.observed("ready").await;
        assert_eq!(ready.status, StatusCode::OK, "no replica leaves service");
        ready.json()["checks"]["clusters"][kind.name()].clone()
    }

    /// How many calls to this cluster have failed so far, as `by_host` counts them.
    pub(super) async fn failed_calls(&self, kind: Kind) -> u64 {
        let metrics = self.observed("metrics").await.text();
        let of_cluster = format!("elastauth_cluster_calls_total{{cluster=\"{}\"", kind.name());
        let failed = |line: &&str| {
            let classes = ["5xx", "not_sent", "lost"];
            line.starts_with(&of_cluster) && classes.iter().any(|class| line.contains(class))
        };
        let counts = metrics.lines().filter(failed);
        let counts = counts.map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.map(|count| count.expect("a count")).sum()
    }

    async fn observed(&self, page: &str) -> Answer {
        let path = format!("/elastauth/{page}");
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        self.by_host.server().get(&path, &key).await
    }
}

async fn elastauth(clusters: &str) -> Elastauth {
    let config = format!(
        "listen: 127.0.0.1:0
trusted_proxies: [127.0.0.1/32]
gateway_keys: [{GATEWAY_KEY}]
secret_key: {SECRET_KEY}
enable_metrics: true
users: {{writes_per_minute: 1000}}
{clusters}"
    );
    let key = format!("{GATEWAY_KEY}\n");
    Elastauth::start_anywhere(&config, &[("gateway.key", &key)]).await
}

/// Staff edits in Elasticsearch and views in OpenSearch; guests the other way round.
fn sections(password: &str, [es, os]: &[String; 2]) -> String {
    let (secret, _) = CHEAP;
    format!(
        "clusters:
  es:
    hosts: [\"{es}\"]
    username: {SERVICE}
    password: {password}
    match: {{hosts: [es.example.org]}}
    group_mappings: {{staff: [logs-editor], guests: [logs-viewer]}}
  os:
    hosts: [\"{os}\"]
    username: {SERVICE}
    password: {secret}
    match: {{hosts: [os.example.org]}}
    group_mappings: {{staff: [viewer], guests: [editor]}}
"
    )
}

fn block_and_section(password: &str, [es, os]: &[String; 2]) -> String {
    let (secret, _) = CHEAP;
    format!(
        "group_mappings: {{staff: [logs-editor], guests: [logs-viewer]}}
elasticsearch:
  hosts: [\"{es}\"]
  username: {SERVICE}
  password: {password}
  match: {{paths: [/es]}}
clusters:
  os:
    kind: opensearch
    hosts: [\"{os}\"]
    username: {SERVICE}
    password: {secret}
    match: {{paths: [/os]}}
    group_mappings: {{staff: [viewer], guests: [editor]}}
"
    )
}

/// The guide's middlewares, with that of elastauth once for each way to ask it.
fn dynamic(authelia: u16, [by_host, by_path]: [u16; 2], [es, os]: &[String; 2]) -> String {
    const OWN: &str = "    elastauth:\n";
    const NEXT: &str = "    # The application needs the login";
    const ADDRESS: &str = "http://elastauth:5000/elastauth/forward-auth";
    let authelia = format!("http://127.0.0.1:{authelia}");
    let guide = guide::file(
        "traefik/dynamic.yml",
        &[("http://authelia:9091", &authelia)],
    );
    let (mut text, _) = guide
        .split_once("\n  routers:")
        .map(|(head, rest)| (head.to_owned(), rest))
        .expect("the guide's routers");
    let (_, own) = guide.split_once(OWN).expect("the guide's middleware");
    let (own, _) = own.split_once(NEXT).expect("what follows it");
    text.push_str("\n    strip:\n      stripPrefix: {prefixes: [/es, /os]}\n");
    for (name, address) in [
        ("hosts", format!("{by_host}/elastauth/forward-auth")),
        ("paths", format!("{by_path}/elastauth/forward-auth")),
        ("named-es", format!("{by_host}/elastauth/clusters/es")),
        ("named-os", format!("{by_host}/elastauth/clusters/os")),
    ] {
        assert!(own.contains(ADDRESS), "{own}");
        let own = own.replace(ADDRESS, &format!("http://127.0.0.1:{address}"));
        let _ = write!(
            text,
            "    elastauth-{name}:\n{own}\n    sso-{name}:\n      chain:\n        middlewares: \
             [clean, authelia, gateway-key, elastauth-{name}, forget]\n"
        );
    }
    text.push_str("\n  routers:\n");
    let routers = [
        ("es", "Host(`es.example.org`)", "sso-hosts", "es"),
        ("os", "Host(`os.example.org`)", "sso-hosts", "os"),
        (
            "named-es",
            "Host(`named-es.example.org`)",
            "sso-named-es",
            "es",
        ),
        (
            "named-os",
            "Host(`named-os.example.org`)",
            "sso-named-os",
            "os",
        ),
        (
            "path-es",
            "Host(`elasticsearch.example.org`) && PathPrefix(`/es`)",
            "sso-paths, strip",
            "es",
        ),
        (
            "path-os",
            "Host(`elasticsearch.example.org`) && PathPrefix(`/os`)",
            "sso-paths, strip",
            "os",
        ),
        (
            "no-path",
            "Host(`elasticsearch.example.org`)",
            "sso-paths",
            "es",
        ),
        (
            "early",
            "Host(`early.example.org`) && PathPrefix(`/es`)",
            "strip, sso-paths",
            "es",
        ),
    ];
    for (name, rule, middlewares, service) in routers {
        let _ = write!(
            text,
            "    {name}:\n      rule: {rule}\n      entryPoints: [websecure]\n      middlewares: \
             [{middlewares}]\n      service: {service}\n"
        );
    }
    text.push_str("\n  services:\n");
    for (name, url) in [("es", es), ("os", os)] {
        let _ = write!(
            text,
            "    {name}:\n      loadBalancer:\n        servers:\n          - url: {url}\n"
        );
    }
    text
}
