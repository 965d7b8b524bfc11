//! The cluster, and the account that elastauth uses there.

use super::{filler::Filler, matching::EXAMPLE};
use crate::{
    cluster::{Config, ServiceAccount},
    config::{captures, table},
    net::{self, tls},
    secret::{ExposeSecret as _, SecretString},
};
use http::{Uri, uri::Scheme};

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let hosts = hosts(fill);
    let account = account(fill);
    let danger_skip_verify = fill.get(&table::ES_TLS_SKIP)?;
    if danger_skip_verify {
        fill.warn(
            &table::ES_TLS_SKIP,
            "`elasticsearch.tls.insecure_skip_verify` is on: anyone between elastauth and the \
             cluster can read and change everything; set `elasticsearch.tls.ca_cert` instead",
        );
        if fill.given(&table::ES_TLS_CA) {
            fill.fault(
                &table::ES_TLS_CA,
                "`elasticsearch.tls.ca_cert` has no effect with `insecure_skip_verify`; remove one \
                 of them",
            );
        }
    }
    let tls = tls::ClientConfig {
        ca_cert: fill.get(&table::ES_TLS_CA),
        identity: fill.identity_files(&table::ES_TLS_CERT, &table::ES_TLS_KEY),
        danger_skip_verify,
        cas: fill.cas.clone(),
    };
    Some(Config {
        kind: fill.get(&table::ES_KIND)?,
        hosts: hosts?,
        account: account?,
        tls,
        passwords: fill.get(&table::HASH)?,
    })
}

fn hosts(fill: &mut Filler<'_>) -> Option<Vec<Uri>> {
    let key = &table::ES_HOSTS;
    if !fill.given(key) {
        let (path, allowed) = (key.path, key.value_type.allowed());
        // Sections have no variables.
        let variable = if fill.settings.name.is_empty() {
            format!(" (in the environment `{}`)", key.variable())
        } else {
            String::new()
        };
        let fault = format!("`{path}` is missing; it must be {allowed}{variable}");
        fill.fault(key, fault);
    }
    let texts: Vec<String> = fill.get(key)?;
    // Where a capture is in the host, an example stands for it.
    let texts = texts
        .iter()
        .map(|text| captures::filled(text, None, EXAMPLE));
    let hosts: Vec<Uri> = texts.map(|text| text.parse().ok()).collect::<Option<_>>()?;
    if hosts.is_empty() {
        fill.fault(
            key,
            "`elasticsearch.hosts` is an empty list; name the nodes of the cluster",
        );
    }
    let is_http = |host: &&Uri| host.scheme() == Some(&Scheme::HTTP);
    let plain: Vec<&Uri> = hosts.iter().filter(is_http).collect();
    let tls_enabled = fill.get(&table::ES_TLS_ENABLED);
    if !plain.is_empty() && tls_enabled == Some(true) {
        fill.fault(
            key,
            "`elasticsearch.tls.enabled` is on and a host is `http`; write `https`",
        );
    } else if plain.iter().any(|host| !is_loopback(host)) {
        fill.warn(
            key,
            "a host of the cluster is plain `http`, so the password of the service account and \
             those of all users are sent in clear; write `https`",
        );
    }
    if plain.len() < hosts.len() && fill.given(&table::ES_TLS_ENABLED) && tls_enabled == Some(false)
    {
        fill.warn(
            &table::ES_TLS_ENABLED,
            "`elasticsearch.tls.enabled: false` has no effect on a host that is `https`",
        );
    }
    if !hosts.is_empty() && plain.len() == hosts.len() {
        let keys = [&table::ES_TLS_CA, &table::ES_TLS_CERT];
        if let Some(key) = keys.into_iter().find(|key| fill.given(key)) {
            let fault = format!(
                "`{}` is set and every host is `http`; write `https`, or remove it",
                key.path
            );
            fill.fault(key, fault);
        }
    }
    Some(hosts)
}

fn account(fill: &mut Filler<'_>) -> Option<ServiceAccount> {
    let (name, password, key) = (&table::ES_USERNAME, &table::ES_PASSWORD, &table::ES_API_KEY);
    let username = fill.get::<String>(name);
    if username.as_ref().is_some_and(|name| name.contains(':')) {
        fill.fault(
            name,
            "`elasticsearch.username` contains `:`, which ends a name in HTTP Basic",
        );
    }
    if fill.given(key) {
        for other in [name, password] {
            if fill.given(other) {
                let fault = format!(
                    "`{}` and `{}` are both set; remove one of them",
                    other.path, key.path
                );
                fill.fault(other, fault);
            }
        }
        let encoded: Option<SecretString> = fill.get(key);
        if encoded
            .as_ref()
            .is_some_and(|key| key.expose_secret().contains(':'))
        {
            fill.warn(
                key,
                "`elasticsearch.api_key` is in the form `id:key`, which the cluster refuses; write \
                 the value that the cluster calls `encoded`, the base64 of it",
            );
        }
        return encoded.map(ServiceAccount::ApiKey);
    }
    fill.requires(name, password);
    fill.requires(password, name);
    if !fill.given(name) && !fill.given(password) {
        fill.fault(
            name,
            "`elasticsearch.username` and `elasticsearch.password` are missing, or \
             `elasticsearch.api_key`",
        );
    }
    Some(ServiceAccount::Basic {
        username: username?,
        password: fill.get(password)?,
    })
}

pub(super) fn is_loopback(host: &Uri) -> bool {
    net::loopback::is_loopback(host.host().unwrap_or_default())
}
