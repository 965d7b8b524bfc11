//! Proxy mode: where the requests for a cluster go on to, and who may name users there.

use super::{cluster::is_loopback, filler::Filler, matching};
use crate::{
    config::{
        key::ConfigKey,
        section::{
            self, UPSTREAM_HOST, UPSTREAM_HOSTS, UPSTREAM_NAME, UPSTREAM_PATHS, UPSTREAM_STRIP,
            UPSTREAM_TLS_CA, UPSTREAM_TLS_CERT, UPSTREAM_TLS_KEY, UPSTREAM_TLS_SKIP, UPSTREAM_URL,
        },
        settings::Settings,
        table,
        types::Tenants,
        value_type::{SectionsOf, all},
        yaml::shown,
    },
    identity::{self, ProviderConfig},
    net::tls,
    serve,
    upstream::{
        HostHeader, HostPattern, Match, PathPrefix, ProxyConfig, ProxyTarget, ProxyUpstream,
    },
};
use http::{Uri, uri::Scheme};
use ipnet::IpNet;

/// Each has connections of its own.
const MOST: usize = 32;

static KEYS: [&ConfigKey; 10] = [
    &table::PROXY_URL,
    &table::PROXY_TIMEOUT,
    &table::PROXY_MAX_IDLE,
    &table::PROXY_IDLE_TIMEOUT,
    &table::PROXY_HOST,
    &table::PROXY_TLS_ENABLED,
    &table::PROXY_TLS_SKIP,
    &table::PROXY_TLS_CA,
    &table::PROXY_TLS_CERT,
    &table::PROXY_TLS_KEY,
];

/// Whether requests are passed on.
pub(super) fn is_on(fill: &Filler<'_>) -> Option<bool> {
    fill.get(&table::PROXY_ENABLED)
}

/// Where those of a cluster go. `cluster_tls` is for its nodes.
pub(super) fn fill(fill: &mut Filler<'_>, cluster_tls: &tls::ClientConfig) -> Option<ProxyConfig> {
    if !is_on(fill)? {
        without_effect(fill);
        return Some(ProxyConfig::default());
    }
    if fill.get(&table::ES_DRY_RUN) == Some(true) {
        fill.warn(
            &table::ES_DRY_RUN,
            "`elasticsearch.dry_run` writes no users, so in proxy mode the cluster refuses every \
             request",
        );
    }
    if fill.get(&table::ENABLE_METRICS) == Some(true) && !fill.given(&table::ADMIN_LISTEN) {
        fill.warn(
            &table::ENABLE_METRICS,
            "`enable_metrics` without `admin.listen`: in proxy mode the metrics are shown to \
             processes of this machine alone; set `admin.listen` for others",
        );
    }
    let target = target(fill, cluster_tls);
    let host = fill.get(&table::PROXY_HOST);
    let upstreams = upstreams(fill, host.unwrap_or(HostHeader::Client));
    let timeout: std::time::Duration = fill.get(&table::PROXY_TIMEOUT)?;
    Some(ProxyConfig {
        timeout: (!timeout.is_zero()).then_some(timeout),
        max_idle_conns: fill.number(&table::PROXY_MAX_IDLE)?,
        idle_conn_timeout: fill.get(&table::PROXY_IDLE_TIMEOUT)?,
        host: host?,
        target: target?,
        upstreams: upstreams?,
    })
}

fn without_effect(fill: &mut Filler<'_>) {
    for key in KEYS.into_iter().chain([&table::ES_UPSTREAMS]) {
        if fill.given(key) {
            let warning = format!("`{}` has no effect without `proxy.enabled: true`", key.path);
            fill.warn(key, warning);
        }
    }
}

/// A URL instead of the nodes, where there is one.
#[expect(
    clippy::option_option,
    reason = "a filler says `None` for a fault, and the URL is optional"
)]
fn target(fill: &mut Filler<'_>, cluster_tls: &tls::ClientConfig) -> Option<Option<ProxyTarget>> {
    let of_tls = [
        &table::PROXY_TLS_ENABLED,
        &table::PROXY_TLS_SKIP,
        &table::PROXY_TLS_CA,
        &table::PROXY_TLS_CERT,
        &table::PROXY_TLS_KEY,
    ];
    let given = of_tls.into_iter().find(|key| fill.given(key));
    if !fill.given(&table::PROXY_URL) {
        if let Some(key) = given {
            let warning = format!(
                "`{}` has no effect without `proxy.elasticsearch_url`: requests go to \
                 `elasticsearch.hosts`, for which `elasticsearch.tls` counts",
                key.path
            );
            fill.warn(key, warning);
        }
        return Some(None);
    }
    let url: Uri = fill.get(&table::PROXY_URL)?;
    let is_plain = is_plain(&url);
    if is_plain && let Some(key) = given.filter(|key| fill.get(key) != Some(false)) {
        // No fault: elastauth 2 started with it.
        let warning = format!(
            "`{}` has no effect: `proxy.elasticsearch_url` is `http`; write `https`",
            key.path
        );
        fill.warn(key, warning);
    }
    if is_plain && !is_loopback(&url) {
        fill.warn(
            &table::PROXY_URL,
            "`proxy.elasticsearch_url` is plain `http`, so the logins of all users are sent in \
             clear; write `https`",
        );
    }
    let tls = if given.is_some() {
        tls(
            fill,
            &table::PROXY_TLS_SKIP,
            &table::PROXY_TLS_CA,
            [&table::PROXY_TLS_CERT, &table::PROXY_TLS_KEY],
        )
    } else {
        // It is the same cluster.
        cluster_tls.clone()
    };
    let urls = vec![url];
    Some(Some(ProxyTarget { urls, tls }))
}

fn tls(
    fill: &mut Filler<'_>,
    skip: &ConfigKey,
    ca: &ConfigKey,
    [cert, key]: [&ConfigKey; 2],
) -> tls::ClientConfig {
    let danger_skip_verify = fill.get(skip).unwrap_or_default();
    if danger_skip_verify {
        let warning = format!(
            "`{}` is on: anyone in between can read and change everything, the logins of all \
             users included; set `{}` instead",
            skip.path, ca.path
        );
        fill.warn(skip, warning);
        if fill.given(ca) {
            let fault = format!(
                "`{}` has no effect with `insecure_skip_verify`; remove one of them",
                ca.path
            );
            fill.fault(ca, fault);
        }
    }
    tls::ClientConfig {
        ca_cert: fill.get(ca),
        identity: fill.identity_files(cert, key),
        danger_skip_verify,
        cas: fill.cas.clone(),
    }
}

fn upstreams(fill: &mut Filler<'_>, host: HostHeader) -> Option<Vec<ProxyUpstream>> {
    let sections = fill.settings.sections(SectionsOf::Upstreams);
    if sections.len() > MOST {
        let fault = format!(
            "`elasticsearch.upstreams` has {} upstreams; it may have {MOST}",
            sections.len()
        );
        fill.fault(&table::ES_UPSTREAMS, fault);
        return None;
    }
    let filled = sections.iter().map(|own| one(&mut fill.section(own), host));
    let filled: Vec<ProxyUpstream> = all(filled)?;
    for (at, (one, own)) in filled.iter().zip(sections).enumerate() {
        for other in filled.iter().take(at) {
            if other.name == one.name {
                let fault = format!("two upstreams have the name `{}`", one.name);
                fill.findings.fault(&own.place, fault);
            }
            if let Some(what) = one.selector.ties_with(&other.selector) {
                let fault = format!(
                    "the upstreams `{}` and `{}` are both for {what}; requests could be for \
                     either: give one of them another `match`",
                    other.name, one.name
                );
                fill.findings.fault(&own.place, fault);
            }
        }
    }
    Some(filled)
}

fn one(fill: &mut Filler<'_>, host: HostHeader) -> Option<ProxyUpstream> {
    let place = fill.settings.place.clone();
    let mut missing = |key: &ConfigKey, why: &str| {
        if !fill.given(key) {
            let fault = format!("an upstream needs a `{}`: {why}", key.path);
            fill.findings.fault(&place, fault);
        }
    };
    missing(&UPSTREAM_NAME, "logs call it by that name");
    missing(&UPSTREAM_URL, "that is where its requests go on to");
    let name = name(fill);
    let selector = selector(fill);
    let url = url(fill);
    let tls = tls(
        fill,
        &UPSTREAM_TLS_SKIP,
        &UPSTREAM_TLS_CA,
        [&UPSTREAM_TLS_CERT, &UPSTREAM_TLS_KEY],
    );
    let strip_prefix = fill.get(&UPSTREAM_STRIP)?;
    if strip_prefix && !fill.given(&UPSTREAM_PATHS) {
        fill.fault(
            &UPSTREAM_STRIP,
            "`strip_prefix` removes a prefix of `match.paths`, and there is none; remove it, or \
             name the paths",
        );
    }
    let urls = vec![url?];
    Some(ProxyUpstream {
        name: name?,
        target: ProxyTarget { urls, tls },
        selector: selector?,
        strip_prefix,
        host: fill.get(&UPSTREAM_HOST).unwrap_or(host),
    })
}

fn name(fill: &mut Filler<'_>) -> Option<Box<str>> {
    let name: String = fill.get(&UPSTREAM_NAME)?;
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if name.len() > 63 || !name.bytes().all(is_name) {
        let fault = format!(
            "`{}` is no name for an upstream; it must have 1 to 63 letters, digits, `-` and `_`",
            shown(&name)
        );
        fill.fault(&UPSTREAM_NAME, fault);
        return None;
    }
    Some(name.into())
}

fn url(fill: &mut Filler<'_>) -> Option<Uri> {
    let url: Uri = fill.get(&UPSTREAM_URL)?;
    if is_plain(&url) {
        let keys = [&UPSTREAM_TLS_CA, &UPSTREAM_TLS_CERT, &UPSTREAM_TLS_SKIP];
        if let Some(key) = keys.into_iter().find(|key| fill.given(key)) {
            let fault = format!(
                "`{}` is set and `url` is `http`; write `https`, or remove it",
                key.path
            );
            fill.fault(key, fault);
        }
        if !is_loopback(&url) {
            fill.warn(
                &UPSTREAM_URL,
                "the `url` of an upstream is plain `http`, so the logins of all users are sent in \
                 clear; write `https`",
            );
        }
    }
    Some(url)
}

fn selector(fill: &mut Filler<'_>) -> Option<Match> {
    let hosts = matching::patterns(fill, &UPSTREAM_HOSTS, "host", HostPattern::parse);
    let paths = matching::patterns(fill, &UPSTREAM_PATHS, "path", PathPrefix::parse);
    let (hosts, paths) = (hosts?, paths?);
    if hosts.iter().any(|host| host.capture().is_some()) {
        fill.fault(
            &UPSTREAM_HOSTS,
            "an upstream has one `url`, so a capture in braces would lead all tenants there; use \
             `*` if that is meant",
        );
    }
    if hosts.is_empty() && paths.is_empty() {
        let place = fill.settings.place.clone();
        fill.findings.fault(
            &place,
            "an upstream needs a `match` with `hosts` or `paths`: without it nothing says which \
             requests are for it and which for the cluster",
        );
        return None;
    }
    Some(Match {
        hosts,
        paths,
        header: None,
    })
}

/// One URL for the clusters of all tenants would bring the logins of one to another.
pub(super) fn check_tenants(fill: &mut Filler<'_>, tenants: &Tenants) {
    if !tenants.separate || is_on(fill) != Some(true) {
        return;
    }
    for key in [&table::PROXY_URL, &table::ES_UPSTREAMS] {
        if fill.given(key) {
            let fault = format!(
                "`{}` is one place, and each tenant of this section has nodes of its own; give \
                 each tenant a section",
                key.path
            );
            fill.fault(key, fault);
        }
    }
}

/// What is for the cluster of `elasticsearch`, where there is none.
pub(super) fn check_general(fill: &mut Filler<'_>) {
    for key in section::PROXY_OF_ONE {
        if fill.given(key) {
            let fault = format!(
                "`{}` is for the cluster of `elasticsearch`, and there are those of `clusters` \
                 alone; write it into their sections",
                key.path
            );
            fill.fault(key, fault);
        }
    }
}

/// Clients connect to elastauth themselves: whoever is in a trusted network may name any user.
/// Returns the listeners where that is so.
pub(super) fn check_exposure(
    fill: &mut Filler<'_>,
    listeners: &[serve::Config],
    identity: &identity::Config,
) -> Vec<String> {
    if is_on(fill) != Some(true) {
        return Vec::new();
    }
    let mut providers = identity.providers.iter();
    let headers = providers.any(|provider| matches!(provider, ProviderConfig::Headers(_)));
    let danger = if headers {
        "may name themselves any user (`Remote-User`)"
    } else if chooses_by_header(fill) {
        "may choose a cluster by the header that a gateway sets (`match.header`)"
    } else {
        return Vec::new();
    };
    let mut exposed = Vec::new();
    for (at, listener) in listeners.iter().enumerate() {
        let trust = &listener.trust;
        let has_ca = listener
            .tls
            .as_ref()
            .is_some_and(|tls| tls.client_ca.is_some());
        let is_closed = listener.listen.is_local() && listener.balancers.is_empty();
        if !trust.gateway_keys.is_empty() || has_ca || is_closed {
            continue;
        }
        let Some(wide) = trust.proxies.iter().find(|network| is_wide(network)) else {
            continue;
        };
        let own = fill.settings.sections(SectionsOf::Listeners).get(at);
        let place = place_of_trust(fill, own);
        let warning = format!(
            "DANGER: in proxy mode clients connect to elastauth themselves, and every client in \
             {wide} {danger}; set `trusted_proxies` to the addresses of your gateways, or to `[]` \
             if clients bring tokens, or set `gateway_keys`"
        );
        fill.findings.warn(&place, warning);
        if headers {
            exposed.push(listener.listen.to_string());
        }
    }
    exposed
}

/// Whether a header of the gateway leads to one of the clusters.
fn chooses_by_header(fill: &Filler<'_>) -> bool {
    let key = &table::ES_MATCH_HEADER_NAME;
    let sections = fill.settings.sections(SectionsOf::Clusters);
    fill.given(key) || sections.iter().any(|section| section.given(key))
}

fn place_of_trust(fill: &Filler<'_>, own: Option<&Settings>) -> crate::config::finding::Place {
    let key = &table::TRUSTED_PROXIES;
    match own.filter(|own| own.given(key)) {
        Some(own) => own.place(key),
        None if fill.given(key) => fill.settings.place(key),
        None => fill.settings.place(&table::PROXY_ENABLED),
    }
}

/// More than the hosts of one switch.
fn is_wide(network: &IpNet) -> bool {
    match network {
        IpNet::V4(v4) => v4.prefix_len() < 24 && !v4.network().is_loopback(),
        IpNet::V6(v6) => v6.prefix_len() < 64,
    }
}

fn is_plain(url: &Uri) -> bool {
    url.scheme() == Some(&Scheme::HTTP)
}
