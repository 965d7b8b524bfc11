//! The certificate and key files that a configuration names.

use super::{
    finding::{Finding, Place},
    types::Config,
};
use crate::{identity, ledger, net::tls, telemetry};
use http::Uri;
use std::error::Error;

/// What is wrong with the certificate and key files of a valid configuration. The start finds the
/// same, one at a time.
#[must_use]
pub(crate) fn check_files(config: &Config) -> Vec<Finding> {
    let mut faults = Vec::new();
    let mut check = |section: &str, result: Result<(), String>| {
        let fault = |why| Finding::new(&Place::Nowhere, format!("`{section}`: {why}"));
        faults.extend(result.err().map(fault));
    };
    for of_cluster in &config.clusters {
        if of_cluster.cluster.hosts.iter().any(is_https) {
            let cluster = tls::client(&of_cluster.cluster.tls);
            let section = match of_cluster.broker.cluster_name.as_str() {
                _ if config.clusters.len() == 1 => "elasticsearch.tls".to_owned(),
                name => format!("tls of the cluster {name}"),
            };
            check(&section, usable(cluster));
        }
    }
    for of_cluster in config.clusters.iter().filter(|_| config.proxy) {
        let proxy = &of_cluster.proxy;
        let own = proxy.target.iter();
        let own = own.map(|target| ("proxy.tls".to_owned(), target));
        let upstreams = proxy.upstreams.iter();
        let upstreams =
            upstreams.map(|one| (format!("tls of the upstream {}", one.name), &one.target));
        for (section, target) in own.chain(upstreams) {
            if target.urls.iter().any(is_https) {
                check(&section, usable(tls::client(&target.tls)));
            }
        }
    }
    // All clusters have the same Redis.
    let store = config
        .clusters
        .first()
        .map(|first| &first.broker.ledger.store);
    if let Some(ledger::StoreConfig::Redis(redis)) = store {
        check("redis", usable(redis.access()));
    }
    for provider in &config.identity.providers {
        if let identity::ProviderConfig::Oidc(oidc) = provider {
            for issuer in &oidc.providers {
                check("oidc.tls", usable(tls::client(&issuer.idp.http.tls)));
            }
        }
    }
    let mut listeners = config.listeners.iter();
    if let [one] = config.listeners.as_slice() {
        listeners = [].iter();
        check(
            "tls",
            one.tls
                .as_ref()
                .map_or(Ok(()), |tls| usable(tls::server(tls))),
        );
    }
    for listener in listeners {
        if let Some(tls) = &listener.tls {
            let section = format!("tls of {}", listener.listen);
            check(&section, usable(tls::server(tls)));
        }
    }
    if let telemetry::traces::Config::Otlp(otlp) = &config.traces
        && is_https(&otlp.endpoint)
    {
        let collector = tls::client(&otlp.http.tls);
        check("OTEL_EXPORTER_OTLP_CERTIFICATE", usable(collector));
    }
    faults
}

fn is_https(url: &Uri) -> bool {
    url.scheme_str() == Some("https")
}

fn usable<T>(result: Result<T, impl Error + 'static>) -> Result<(), String> {
    match result {
        Ok(_) => Ok(()),
        Err(error) => Err(telemetry::chain(&error)),
    }
}
