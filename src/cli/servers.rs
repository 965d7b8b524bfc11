//! The part of `elastauth check --online` for proxy mode: does each server to which requests go on
//! answer? The nodes of the clusters are tried as such.

use super::online::Tried;
use crate::{
    config::{ClusterConfig, Config},
    net::{
        client::{self, Client, HttpCall},
        tls,
    },
    telemetry::chain,
    upstream::ProxyTarget,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use std::time::Duration;

/// For a connection and the head of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Asks each once, as nobody.
pub(super) async fn run(config: &Config) -> Vec<Tried> {
    let mut tried = Vec::new();
    for cluster in config.clusters.iter().filter(|_| config.proxy) {
        for (name, target) in servers(cluster) {
            for url in &target.urls {
                let what = format!("{name} {}", url.to_string().trim_end_matches('/'));
                tried.push(Tried::new(what, answers(url, &target.tls).await));
            }
        }
    }
    tried
}

fn servers(cluster: &ClusterConfig) -> impl Iterator<Item = (String, &ProxyTarget)> {
    let own = cluster.proxy.target.iter();
    let own = own.map(|target| ("proxy.elasticsearch_url".to_owned(), target));
    let upstreams = cluster.proxy.upstreams.iter();
    own.chain(upstreams.map(|one| (format!("upstream {}", one.name), &one.target)))
}

/// Whatever the status is: without a login a cluster answers 401, and Kibana redirects.
async fn answers(url: &Uri, tls: &tls::ClientConfig) -> Result<String, String> {
    let config = client::Config {
        tls: tls.clone(),
        ..client::Config::default()
    };
    let client = Client::new(config).map_err(|error| chain(&error))?;
    let call = HttpCall {
        method: Method::GET,
        uri: url.clone(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        timeout: PATIENCE,
        send_timeout: None,
        max_bytes: 1024 * 1024,
    };
    match client.send(call).await {
        Ok(answer) => Ok(format!("it answers ({})", answer.status.as_u16())),
        Err(error) => Err(chain(&error)),
    }
}
