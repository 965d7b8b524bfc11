//! What `elastauth init` has to know, and how it fails.

use super::names::{Address, HostName};
use http::Uri;
use ipnet::IpNet;

/// The guides of docs/gateways that have files for `init`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Gateway {
    Traefik,
    Caddy,
    Nginx,
    Haproxy,
    Envoy,
}

impl Gateway {
    /// As people write it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Traefik => "Traefik",
            Self::Caddy => "Caddy",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
        }
    }

    /// As folders and services are named.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Traefik => "traefik",
            Self::Caddy => "caddy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::Envoy => "envoy",
        }
    }
}

/// What the cluster is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ClusterKind {
    Elasticsearch,
    Opensearch,
}

/// Who says which user asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ProviderKind {
    /// Identity headers of Authelia, or of a service that works like it.
    Authelia,
    /// Tokens of an OpenID Connect provider.
    Oidc,
}

/// What elastauth runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Run {
    /// Containers: a compose file with the gateway and elastauth.
    Compose,
    /// A unit of systemd, beside the gateway.
    Systemd,
    /// The chart, with Traefik as the gateway.
    Kubernetes,
    /// The program alone, beside the gateway.
    Binary,
}

/// The provider, with what its files need.
#[derive(Debug)]
pub(super) enum Provider {
    Authelia {
        portal: HostName,
        kibana: HostName,
        authelia_at: Address,
        kibana_at: Address,
    },
    Oidc {
        issuer: String,
        client_id: String,
    },
}

impl Provider {
    pub(super) fn kind(&self) -> ProviderKind {
        match self {
            Self::Authelia { .. } => ProviderKind::Authelia,
            Self::Oidc { .. } => ProviderKind::Oidc,
        }
    }
}

/// Every answer, checked.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) gateway: Gateway,
    pub(super) run: Run,
    pub(super) provider: Provider,
    /// Under which name clients ask for Elasticsearch.
    pub(super) host: HostName,
    /// The nodes; at least one.
    pub(super) cluster: Vec<Uri>,
    pub(super) cluster_kind: ClusterKind,
    /// Its content.
    pub(super) cluster_ca: Option<Vec<u8>>,
    /// Where the gateway finds elastauth.
    pub(super) elastauth: Address,
    pub(super) gateway_address: Option<IpNet>,
    pub(super) replicas: u16,
    /// The address of a Redis that is there already.
    pub(super) redis: Option<String>,
}

/// Why nothing is written.
#[derive(Debug)]
pub(super) enum Failure {
    /// The command line is not enough, or wrong.
    Usage(String),
    /// The rest.
    Failed(String),
}
