//! How elastauth is set up for the demonstration: what a configuration file would say, in code.

use super::{
    clusters::{DemoCluster, DemoClusters},
    error::DemoError,
    issuer, standin,
};
use crate::{
    broker, cluster,
    config::{ClusterConfig, Config},
    identity::{
        self,
        oidc::{self, OidcProviderConfig},
    },
    idp::{self, IdpEndpoint, Issuer},
    ledger,
    model::{ClusterName, Group, Role},
    net::{tls, trust},
    roles,
    secret::SecretString,
    serve, shutdown, telemetry,
    upstream::{HostPattern, Match, ProxyConfig, Unmatched},
};
use http::HeaderName;
use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

/// How long elastauth trusts what it has seen. One hour by default; here so short that a person
/// sees what comes after it.
pub(super) const EXPIRATION: Duration = Duration::from_secs(2);

/// elastauth on a free port of the loopback address, asked by a gateway about these stand-ins.
pub(super) fn behind_a_gateway(clusters: &DemoClusters) -> Result<Config, DemoError> {
    let header = HeaderName::from_static;
    let headers = identity::headers::Config {
        users: vec![header("remote-user")],
        groups: header("remote-groups"),
        email: header("remote-email"),
        name: header("remote-name"),
        groups_required: true,
        ..identity::headers::Config::default()
    };
    let loopback = ["127.0.0.0/8", "::1/128"]
        .into_iter()
        .filter_map(|network| network.parse().ok())
        .collect();
    let trust = trust::Config {
        proxies: loopback,
        ..trust::Config::default()
    };
    config(clusters, identity::ProviderConfig::Headers(headers), trust)
}

/// elastauth in front of these stand-ins, at `listen` or a free port of the loopback address. The
/// identity provider shows its keys at `keys`.
pub(super) fn alone(
    clusters: &DemoClusters,
    keys: SocketAddr,
    listen: Option<SocketAddr>,
    access_log: telemetry::access_log::Format,
) -> Result<Config, DemoError> {
    let keys = IdpEndpoint::parse(&format!("http://{keys}/keys"));
    let issuer = Issuer::compared(issuer::NAME);
    let mut idp = idp::Config::new(issuer, "elastauth", idp::ClientAuth::NameOnly);
    idp.endpoints.jwks = Some(keys.map_err(|_| DemoError::Address)?);
    let provider = OidcProviderConfig::new("sso", idp);
    let tokens = oidc::Config::new(vec![provider]);
    let tokens = tokens.map_err(|error| DemoError::Start(error.into()))?;
    let provider = identity::ProviderConfig::Oidc(tokens);
    // Clients connect by themselves: no header of theirs says who they are.
    let mut config = config(clusters, provider, trust::Config::default())?;
    config.proxy = true;
    config.access_log = access_log;
    for listener in &mut config.listeners {
        if let Some(listen) = listen {
            listener.listen = listen.into();
        }
    }
    Ok(config)
}

fn config(
    clusters: &DemoClusters,
    provider: identity::ProviderConfig,
    trust: trust::Config,
) -> Result<Config, DemoError> {
    let sections = clusters.both().map(section).into_iter();
    Ok(Config {
        listeners: vec![serve::Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into(),
            reuse_port: false,
            tls: None,
            trust: trust.clone(),
            balancers: Vec::new(),
            clients: serve::ClientLimits::default(),
        }],
        shutdown: shutdown::Config::default(),
        login_url: None,
        trust,
        identity: identity::Config {
            providers: vec![provider],
        },
        clusters: sections.collect::<Result<_, _>>()?,
        proxy: false,
        unmatched: Unmatched::Cluster(clusters.logs.name.into()),
        telemetry: telemetry::log::Config {
            level: telemetry::log::Level::Warn,
            ..telemetry::log::Config::default()
        },
        audit: telemetry::audit::Config::default(),
        access_log: telemetry::access_log::Format::Off,
        traces: telemetry::traces::Config::Off,
        admin: serve::AdminConfig::default(),
        unprotected: Vec::new(),
        shown: serde_json::Value::Null,
    })
}

/// What the section of a cluster says.
fn section(of: &DemoCluster) -> Result<ClusterConfig, DemoError> {
    let selector = Match {
        hosts: vec![HostPattern::parse(of.host).map_err(|_| DemoError::Address)?],
        ..Match::default()
    };
    let account = cluster::ServiceAccount::Basic {
        username: standin::SERVICE_USER.to_owned(),
        password: SecretString::from(of.standin.service_password()),
    };
    let mapped = |(group, roles): (&str, &[&str])| {
        let roles = roles.iter().filter_map(|role| Role::parse(role));
        Some((Group::parse(group)?, roles.collect()))
    };
    Ok(ClusterConfig {
        name: ClusterName::of_elasticsearch(of.name),
        selector,
        proxy: ProxyConfig::default(),
        tenants: None,
        cluster: cluster::Config {
            kind: if of.standin.is_opensearch() {
                cluster::Kind::Opensearch
            } else {
                cluster::Kind::Elasticsearch
            },
            hosts: vec![of.standin.url().parse().map_err(|_| DemoError::Address)?],
            account,
            tls: tls::ClientConfig::default(),
            passwords: cluster::PasswordForm::Hash,
        },
        broker: broker::Config {
            // Drawn at the start: nothing of a demonstration needs to be the same tomorrow.
            secret_key: None,
            previous_key: None,
            cluster_name: of.name.to_owned(),
            service_account: Some(standin::SERVICE_USER.to_owned()),
            rotation_window: None,
            opensearch: broker::OpenSearchPeriods::default(),
            rotation: Duration::from_hours(24),
            grace: Duration::from_millis(500),
            park_within: None,
            prune_after: None,
            expiration: EXPIRATION,
            adopt: broker::Adopt::Never,
            // People click: ten a minute would be reached by toggling groups.
            writes_per_minute: 120,
            new_per_minute: 10_000,
            tries_for: Duration::from_millis(1_500),
            writes_at_once: 16,
            dry_run: false,
            ledger: ledger::Config {
                capacity: 1_000,
                store: ledger::StoreConfig::Memory,
            },
        },
        roles: roles::Config {
            group_mappings: of.mappings.into_iter().filter_map(mapped).collect(),
            ..roles::Config::default()
        },
    })
}
