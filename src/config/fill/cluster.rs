//! The cluster and the account towards it.

use super::{Findings, Settings, identity_files};
use crate::{
    cluster::{Config, PasswordForm, ServiceAccount},
    config::{finding::Place, key::Key, table},
    net::tls,
};
use http::{Uri, uri::Scheme};
use std::net::IpAddr;

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let hosts = hosts(settings, findings);
    let account = account(settings, findings);
    let danger_skip_verify = settings.get(&table::ES_TLS_SKIP)?;
    if danger_skip_verify {
        let place = settings.place(&table::ES_TLS_SKIP);
        findings.warn(
            &place,
            "`elasticsearch.tls.insecure_skip_verify` is on: whoever stands on the way to the cluster can read and change everything",
        );
        if settings.given(&table::ES_TLS_CA) {
            findings.fault(
                &settings.place(&table::ES_TLS_CA),
                "`elasticsearch.tls.ca_cert` means nothing beside `insecure_skip_verify`; keep one of them",
            );
        }
    }
    let tls = tls::ClientConfig {
        ca_cert: settings.get(&table::ES_TLS_CA),
        identity: identity_files(settings, &table::ES_TLS_CERT, &table::ES_TLS_KEY, findings),
        danger_skip_verify,
    };
    Some(Config {
        hosts: hosts?,
        account: account?,
        tls,
        passwords: match settings.get::<&str>(&table::HASH)? {
            "off" => PasswordForm::Clear,
            _ => PasswordForm::Hash,
        },
    })
}

fn hosts(settings: &Settings, findings: &mut Findings) -> Option<Vec<Uri>> {
    let place = settings.place(&table::ES_HOSTS);
    if !settings.given(&table::ES_HOSTS) {
        missing(&table::ES_HOSTS, findings);
    }
    let hosts: Vec<Uri> = settings.get(&table::ES_HOSTS)?;
    if hosts.is_empty() {
        findings.fault(
            &place,
            "`elasticsearch.hosts` is an empty list; name the cluster's nodes",
        );
    }
    let plain: Vec<&Uri> = hosts
        .iter()
        .filter(|host| host.scheme() == Some(&Scheme::HTTP))
        .collect();
    if !plain.is_empty() && settings.get(&table::ES_TLS_ENABLED) == Some(true) {
        findings.fault(
            &place,
            "`elasticsearch.tls.enabled` is on and a host is `http`; write `https`",
        );
    } else if plain.iter().any(|host| !is_loopback(host)) {
        findings.warn(&place, "a host of the cluster is plain `http`: the service account's password and every user's travel in clear");
    }
    if plain.len() < hosts.len()
        && settings.given(&table::ES_TLS_ENABLED)
        && settings.get(&table::ES_TLS_ENABLED) == Some(false)
    {
        findings.warn(
            &settings.place(&table::ES_TLS_ENABLED),
            "`elasticsearch.tls.enabled: false` has no effect on a host that is `https`",
        );
    }
    let unused = [&table::ES_TLS_CA, &table::ES_TLS_CERT]
        .into_iter()
        .find(|key| settings.given(key));
    if let Some(key) = unused.filter(|_| !hosts.is_empty() && plain.len() == hosts.len()) {
        findings.fault(
            &settings.place(key),
            format!(
                "`{}` is set and every host is `http`; write `https`, or take it out",
                key.path
            ),
        );
    }
    Some(hosts)
}

fn account(settings: &Settings, findings: &mut Findings) -> Option<ServiceAccount> {
    let (name, password, key) = (&table::ES_USERNAME, &table::ES_PASSWORD, &table::ES_API_KEY);
    let username = settings.get::<String>(name);
    if username
        .as_ref()
        .is_some_and(|username| username.contains(':'))
    {
        findings.fault(
            &settings.place(name),
            "`elasticsearch.username` has a `:`, which ends a name in HTTP Basic",
        );
    }
    if settings.given(key) {
        for other in [name, password] {
            if settings.given(other) {
                findings.fault(
                    &settings.place(other),
                    format!(
                        "`{}` stands beside `{}`; keep one of them",
                        other.path, key.path
                    ),
                );
            }
        }
        return settings.get(key).map(ServiceAccount::ApiKey);
    }
    match (settings.given(name), settings.given(password)) {
        (true, true) => {}
        (true, false) => findings.fault(
            &settings.place(name),
            "`elasticsearch.username` needs `elasticsearch.password` beside it",
        ),
        (false, true) => findings.fault(
            &settings.place(password),
            "`elasticsearch.password` needs `elasticsearch.username` beside it",
        ),
        (false, false) => {
            findings
                .fault(&Place::Nowhere, "`elasticsearch.username` and `elasticsearch.password` are missing, or `elasticsearch.api_key`");
        }
    }
    Some(ServiceAccount::Basic {
        username: username?,
        password: settings.get(password)?,
    })
}

fn missing(key: &Key, findings: &mut Findings) {
    findings.fault(
        &Place::Nowhere,
        format!(
            "`{}` is missing; it must be {} (in the environment `{}`)",
            key.path,
            key.value_type.allowed(),
            key.variable()
        ),
    );
}

pub(super) fn is_loopback(host: &Uri) -> bool {
    let name = host.host().unwrap_or_default().trim_matches(['[', ']']);
    name == "localhost" || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
