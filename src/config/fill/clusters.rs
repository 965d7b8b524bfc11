//! The clusters: the one of `elasticsearch`, and those of `clusters`, each with its own components.

use super::{broker, cluster, filler::Filler, matching, proxy, roles};
use crate::{
    config::{
        captures,
        finding::Place,
        key::ConfigKey,
        nearest::did_you_mean,
        raw::Raw,
        section,
        settings::{ReadValue, Settings},
        table,
        types::ClusterConfig,
        value::KeyValue,
        value_type::{SectionsOf, all},
        yaml::shown,
    },
    model::ClusterName,
    upstream::{Match, ProxyConfig, Unmatched},
};
use http::uri::Scheme;
use std::collections::HashMap;

/// Each has a task, a connection pool and a ledger of its own.
const MOST: usize = 1_000;
/// The name of the cluster of `elasticsearch` where `elasticsearch.cluster_name` says no other.
const DEFAULT: &str = "default";
/// What `clusters.unmatched` says instead of a name.
const REFUSE: &str = "refuse";

/// All clusters, and what becomes of a request that is for none.
pub(super) struct Clusters {
    pub(super) all: Vec<ClusterConfig>,
    pub(super) unmatched: Unmatched,
}

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Clusters> {
    let sections = fill.settings.sections(SectionsOf::Clusters);
    if sections.len() > MOST {
        let fault = format!(
            "`clusters` has {} clusters; it may have {MOST}",
            sections.len()
        );
        fill.fault(&table::CLUSTERS, fault);
        return None;
    }
    let of_elasticsearch = |key: &&ConfigKey| key.path.starts_with(section::ES);
    let mut keys = table::ALL.iter().copied().filter(of_elasticsearch);
    let has_general = sections.is_empty() || keys.any(|key| fill.given(key));
    let general: Option<String> = fill.get(&table::ES_CLUSTER_NAME);
    let general = general.filter(|_| has_general);
    if general.is_none() {
        proxy::check_general(fill);
    }
    // Every section is filled, so that all faults are reported.
    let mut filled = Vec::new();
    if let Some(name) = &general {
        let name = ClusterName::of_elasticsearch(name);
        let place = fill.settings.place(&table::ES_MATCH_HOSTS);
        filled.push(one(fill, name, None).map(|one| (one, place)));
    }
    for (at, own) in sections.iter().enumerate() {
        let earlier = sections.get(..at).unwrap_or_default();
        let name = name(fill, own, earlier, general.as_deref());
        filled.push(name.and_then(|name| {
            let settings = overlay(fill.settings, own);
            let one = one(&mut fill.section(&settings), name, Some(own))?;
            Some((one, own.place.clone()))
        }));
    }
    let filled: Vec<(ClusterConfig, Place)> = all(filled.into_iter())?;
    ties(fill, &filled);
    shared_nodes(fill, &filled);
    if let Some(name) = &general {
        named_as_tenants(fill, name, &filled);
    }
    let all: Vec<ClusterConfig> = filled.into_iter().map(|(one, _)| one).collect();
    let unmatched = unmatched(fill, &all)?;
    Some(Clusters { all, unmatched })
}

/// A cluster; `own` is its section, if it has one.
fn one(fill: &mut Filler<'_>, name: ClusterName, own: Option<&Settings>) -> Option<ClusterConfig> {
    let roles = roles::fill(fill, own);
    let broker = broker::fill(fill);
    let cluster = cluster::fill(fill);
    let selector = matching::selector(fill);
    let (selector, roles, cluster) = (selector?, roles?, cluster?);
    let proxy = proxy::fill(fill, &cluster.tls);
    let tenants = matching::tenants(fill, own, &selector, &roles);
    if let Some(Some(tenants)) = &tenants {
        proxy::check_tenants(fill, tenants);
    }
    let proxy = proxy?;
    let config = ClusterConfig {
        name,
        selector: with_hosts_of_upstreams(selector, &proxy),
        cluster,
        proxy,
        broker: broker?,
        roles,
        tenants: tenants?,
    };
    matching::check_tenants(fill, &config);
    Some(config)
}

/// The hosts of what is beside a cluster lead to the cluster, where hosts alone choose it.
fn with_hosts_of_upstreams(mut selector: Match, proxy: &ProxyConfig) -> Match {
    let by_hosts_alone =
        !selector.hosts.is_empty() && selector.paths.is_empty() && selector.header.is_none();
    let hosts = proxy
        .upstreams
        .iter()
        .flat_map(|upstream| &upstream.selector.hosts);
    for host in hosts.filter(|_| by_hosts_alone) {
        if !selector.hosts.contains(host) {
            selector.hosts.push(host.clone());
        }
    }
    selector
}

/// The general values, instead of which those of the section count. What the section does not say
/// of the cluster itself has its default there: nothing of `elasticsearch` is for another cluster.
fn overlay(general: &Settings, own: &Settings) -> Settings {
    let is_general = |path: &str| {
        let others = [&table::CLUSTERS, &table::LISTENERS];
        let mut others = others.iter().chain(&section::PROXY_OF_ONE);
        !path.starts_with(section::ES) && !others.any(|key| key.path == path)
    };
    let values = general.values.iter();
    let values = values.filter(|(path, _)| is_general(path));
    let mut values: HashMap<_, _> = values.map(|(path, value)| (*path, value.clone())).collect();
    for (_, key) in section::keys(SectionsOf::Clusters) {
        let counts = own.given(key) || section::is_of_one_cluster(key);
        if let Some(value) = own.found(key).filter(|_| counts) {
            values.insert(key.path, value.clone());
        }
    }
    if own.given(&table::ALLOWED_GROUPS) {
        for old in [&table::ENABLE_GROUP_WHITELIST, &table::GROUP_WHITELIST] {
            values.remove(old.path);
        }
    }
    let name = ReadValue {
        raw: Raw::text(&*own.name, own.place.clone()),
        value: Some(KeyValue::Text(own.name.to_string())),
    };
    values.insert(table::ES_CLUSTER_NAME.path, name);
    let providers = general.sections(SectionsOf::Providers).to_vec();
    let upstreams = own.sections(SectionsOf::Upstreams).to_vec();
    Settings {
        values,
        lists: [
            (SectionsOf::Providers, providers),
            (SectionsOf::Upstreams, upstreams),
        ]
        .into(),
        name: own.name.clone(),
        place: own.place.clone(),
        standard: general.standard.clone(),
        unread: general.unread,
    }
}

/// The name of a section. Passwords derive from it, so it is the name of no other cluster, and of
/// none that a person could take for it.
fn name(
    fill: &mut Filler<'_>,
    own: &Settings,
    earlier: &[Settings],
    general: Option<&str>,
) -> Option<ClusterName> {
    let mut fault = |text: String| fill.findings.fault(&own.place, text);
    let text = &*own.name;
    let mut others = earlier.iter().map(|other| &*other.name);
    let name = ClusterName::parse(text);
    if let Some(other) = others.find(|other| other.eq_ignore_ascii_case(text)) {
        fault(format!(
            "the clusters `{}` and `{}` differ in the case of letters only; give one of them \
             another name",
            shown(other),
            shown(text)
        ));
        return None;
    }
    if name.is_none() {
        fault(format!(
            "`{}` is no name for a cluster; it must have 1 to 63 small letters, digits, `-` and `_`",
            shown(text)
        ));
    } else if text == REFUSE {
        fault("`refuse` is no name for a cluster: `clusters.unmatched: refuse` names none".into());
    } else if let Some(general) = general.filter(|general| *general == text || text == DEFAULT) {
        fault(format!(
            "`clusters.{text}` has the name of the cluster of `elasticsearch`, which is `{}` \
             (`elasticsearch.cluster_name`) and is also known as `default`; give this one another \
             name, or move the keys of `elasticsearch` into it",
            shown(general)
        ));
    }
    name
}

/// Two clusters that are as specific as each other: nothing says which of them a request is for.
fn ties(fill: &mut Filler<'_>, all: &[(ClusterConfig, Place)]) {
    for (at, (one, place)) in all.iter().enumerate() {
        let earlier = all.iter().take(at);
        for (other, _) in earlier {
            if let Some(what) = one.selector.ties_with(&other.selector) {
                let fault = format!(
                    "the clusters `{}` and `{}` are both for {what}; requests could be for either: \
                     give one of them another `match`",
                    other.name, one.name
                );
                fill.findings.fault(place, fault);
            }
        }
    }
}

/// A node in two clusters: each would write the same users, with its own passwords and rules.
fn shared_nodes(fill: &mut Filler<'_>, all: &[(ClusterConfig, Place)]) {
    let mut known: HashMap<Node, (usize, &ClusterName)> = HashMap::new();
    for (at, (one, place)) in all.iter().enumerate() {
        for (host, node) in nodes(one) {
            let (other_at, other) = *known.entry(node).or_insert((at, &one.name));
            if other_at != at {
                let fault = format!(
                    "the clusters `{other}` and `{}` both have the node `{host}`, where each would \
                     overwrite the other's users; remove it from one of them, or make them one \
                     cluster",
                    one.name
                );
                fill.findings.fault(place, fault);
            }
        }
    }
}

/// Host, port and path, and whether the host has a capture: a tenant's node may be in a section of
/// its own, to which that tenant's host then leads.
type Node = (String, u16, String, bool);

/// The nodes, each with its text.
fn nodes(cluster: &ClusterConfig) -> impl Iterator<Item = (String, Node)> {
    let written = cluster.tenants.iter().flat_map(|tenants| &tenants.hosts);
    let mut written = written.map(|text| &**text);
    cluster.cluster.hosts.iter().map(move |uri| {
        let written = written.next();
        let has_capture = written.is_some_and(|text| captures::names(text).next().is_some());
        let host = uri.host().unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let default = if uri.scheme() == Some(&Scheme::HTTP) {
            80
        } else {
            443
        };
        let port = uri.port_u16().unwrap_or(default);
        let path = uri.path().trim_end_matches('/').to_owned();
        let text = written.map_or_else(|| uri.to_string(), ToOwned::to_owned);
        (text, (host, port, path, has_capture))
    })
}

/// The cluster of a tenant is called `section/label`, and passwords derive from that name.
fn named_as_tenants(fill: &mut Filler<'_>, general: &str, all: &[(ClusterConfig, Place)]) {
    let Some((section, _)) = general.split_once('/') else {
        return;
    };
    let mut sections = all.iter().map(|(cluster, _)| cluster);
    if sections.any(|cluster| cluster.tenants.is_some() && cluster.name.as_str() == section) {
        let fault = format!(
            "`elasticsearch.cluster_name` is `{}`, and the clusters of the tenants of \
             `clusters.{section}` have names that begin with `{section}/`, so a tenant could have \
             the passwords of this cluster; give the section another name",
            shown(general)
        );
        fill.fault(&table::ES_CLUSTER_NAME, fault);
    }
}

fn unmatched(fill: &mut Filler<'_>, all: &[ClusterConfig]) -> Option<Unmatched> {
    let key = &table::UNMATCHED;
    let to = |cluster: &ClusterConfig| Unmatched::Cluster(cluster.name.as_str().into());
    if !fill.given(key) {
        return Some(match all {
            [only] if only.selector.is_empty() => to(only),
            _ => Unmatched::Refuse,
        });
    }
    let text: String = fill.get(key)?;
    if text == REFUSE {
        return Some(Unmatched::Refuse);
    }
    let mut meant = all.iter().filter(|cluster| cluster.name.as_str() == text);
    let Some(cluster) = meant.next() else {
        let names: Vec<&str> = all.iter().map(|cluster| cluster.name.as_str()).collect();
        let near = did_you_mean(&text, names.iter().copied(), "");
        let fault = format!(
            "`clusters.unmatched` is neither `refuse` nor the name of a cluster; there are \
             `{}`{near}",
            names.join("`, `")
        );
        fill.fault(key, fault);
        return None;
    };
    if cluster.tenants.is_some() {
        fill.fault(
            key,
            "`clusters.unmatched` names a cluster whose section has a capture, and a request that \
             its `match` does not fit has no text for it; name another cluster, or `refuse`",
        );
    }
    Some(to(cluster))
}
