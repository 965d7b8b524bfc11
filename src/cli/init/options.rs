//! The flags of `elastauth init`.

use super::types::{ClusterKind, Gateway, ProviderKind, Run};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The folder to write. It must not exist, or be empty.
    #[arg(default_value = "elastauth-setup", value_name = "FOLDER")]
    pub(super) folder: PathBuf,
    /// The gateway that will ask elastauth.
    #[arg(long, value_enum)]
    pub(super) gateway: Option<Gateway>,
    /// How elastauth runs.
    #[arg(long, value_enum)]
    pub(super) run: Option<Run>,
    /// Who says which user asks.
    #[arg(long, value_enum)]
    pub(super) provider: Option<ProviderKind>,
    /// The name under which clients reach Elasticsearch: `elasticsearch.example.org`.
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
    /// The name under which browsers reach Kibana. For `authelia`.
    #[arg(long, value_name = "NAME")]
    pub(super) kibana_host: Option<String>,
    /// The name of Authelia's sign-in page. For `authelia`.
    #[arg(long, value_name = "NAME")]
    pub(super) auth_host: Option<String>,
    /// Where Authelia listens. For `authelia`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) authelia: Option<String>,
    /// Where Kibana listens. For `authelia`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) kibana: Option<String>,
    /// The issuer of the tokens. For `oidc`.
    #[arg(long, value_name = "URL")]
    pub(super) issuer: Option<String>,
    /// The client that tokens are for. For `oidc`.
    #[arg(long, value_name = "ID")]
    pub(super) client_id: Option<String>,
    /// The cluster: `https://elasticsearch:9200`, several nodes with commas between them.
    #[arg(long, value_name = "URL")]
    pub(super) cluster: Option<String>,
    /// What the cluster is: each has another call that makes elastauth's account.
    #[arg(long, value_enum)]
    pub(super) cluster_kind: Option<ClusterKind>,
    /// A PEM file with the CA of the cluster's certificate, if it is not one of the system's.
    #[arg(long, value_name = "FILE")]
    pub(super) cluster_ca: Option<String>,
    /// The address from which the gateway connects, if it is on another machine.
    #[arg(long, value_name = "ADDRESS", requires = "elastauth")]
    pub(super) gateway_address: Option<String>,
    /// Where the gateway finds elastauth. For `systemd` and `binary`.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) elastauth: Option<String>,
    /// How many elastauth will run. More than one use Redis.
    #[arg(long, value_name = "NUMBER")]
    pub(super) replicas: Option<String>,
    /// A Redis that is there already. The compose file has one of its own.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) redis: Option<String>,
    /// Ask nothing: the default counts for what is left out.
    #[arg(long)]
    pub(super) yes: bool,
}
