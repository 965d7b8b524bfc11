//! Which requests a cluster is for, and what a capture in its hosts stands for.

use super::{filler::Filler, roles::rules_texts};
use crate::{
    config::{
        captures,
        key::ConfigKey,
        section,
        settings::Settings,
        table,
        types::{ClusterConfig, Tenants},
    },
    model::Group,
    roles,
    upstream::{HeaderMatch, HostPattern, Match, PathPrefix, TenantLabel},
};
use http::{HeaderName, header};
use std::{collections::BTreeSet, fmt::Display};

/// Clients send these with values of their own, and gateways pass them on.
const OF_CLIENTS: [HeaderName; 4] = [
    header::AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::USER_AGENT,
];

/// A label to check a section with.
pub(super) const EXAMPLE: &str = "tenant";

pub(super) fn selector(fill: &mut Filler<'_>) -> Option<Match> {
    let hosts = patterns(fill, &table::ES_MATCH_HOSTS, "host", HostPattern::parse);
    let paths = patterns(fill, &table::ES_MATCH_PATHS, "path", PathPrefix::parse);
    let header = header_match(fill);
    Some(Match {
        hosts: hosts?,
        paths: paths?,
        header: header?,
    })
}

pub(super) fn patterns<T, E: Display>(
    fill: &mut Filler<'_>,
    key: &ConfigKey,
    what: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<Vec<T>> {
    if !fill.given(key) {
        return Some(Vec::new());
    }
    let texts: Vec<String> = fill.get(key)?;
    if texts.is_empty() {
        let fault = format!(
            "`{}` is an empty list; name a {what}, or leave it out",
            key.path
        );
        fill.fault(key, fault);
    }
    let mut patterns = Vec::with_capacity(texts.len());
    for (at, text) in (1..).zip(&texts) {
        match parse(text) {
            Ok(pattern) => patterns.push(pattern),
            Err(why) => {
                let fault = format!("`{}`: item {at} is no {what}: {why}", key.path);
                fill.fault(key, fault);
            }
        }
    }
    (patterns.len() == texts.len()).then_some(patterns)
}

/// `None` where the value is faulty.
#[expect(
    clippy::option_option,
    reason = "a filler says `None` for a fault, and the header is optional"
)]
fn header_match(fill: &mut Filler<'_>) -> Option<Option<HeaderMatch>> {
    let (name, value) = (&table::ES_MATCH_HEADER_NAME, &table::ES_MATCH_HEADER_VALUE);
    fill.requires(name, value);
    fill.requires(value, name);
    if !fill.given(name) || !fill.given(value) {
        return Some(None);
    }
    let text: String = fill.get(name)?;
    let parsed = HeaderMatch::new(&text, &fill.get::<String>(value)?);
    let is_of_clients = |own: &HeaderName| own.as_str().eq_ignore_ascii_case(text.trim());
    if OF_CLIENTS.iter().any(is_of_clients) {
        let fault = format!(
            "`{}` names a header that clients send; choose one that only the gateway sets, and \
             have the gateway remove it from the client's request",
            name.path
        );
        fill.fault(name, fault);
    }
    parsed.map(Some).map_err(|why| fill.invalid(name, why)).ok()
}

/// What each tenant has for itself, where the section has a capture and uses it. `None` where there
/// is a fault.
#[expect(
    clippy::option_option,
    reason = "a filler says `None` for a fault, and a capture is optional"
)]
pub(super) fn tenants(
    fill: &mut Filler<'_>,
    own: Option<&Settings>,
    selector: &Match,
    roles: &roles::Config,
) -> Option<Option<Tenants>> {
    let key = &table::ES_MATCH_HOSTS;
    let mut captures: Vec<&str> = selector
        .hosts
        .iter()
        .filter_map(HostPattern::capture)
        .collect();
    captures.dedup();
    if let [first, second, ..] = captures.as_slice() {
        let fault = format!(
            "`{}` has the captures `{{{first}}}` and `{{{second}}}`; give them one name",
            key.path
        );
        fill.fault(key, fault);
        return None;
    }
    let capture = captures.first().copied();
    let hosts = fill
        .get::<Vec<String>>(&table::ES_HOSTS)
        .unwrap_or_default();
    let hosts_use = uses(fill, &table::ES_HOSTS, &hosts, capture);
    // Braces in a name had no meaning before there were captures, and have none in general rules.
    let mut own_rules_use = Some(false);
    for key in own
        .iter()
        .flat_map(|own| section::RULES.into_iter().filter(|key| own.given(key)))
    {
        let found = uses(fill, key, &rules_texts(fill, key), capture);
        own_rules_use = own_rules_use.zip(found).map(|(one, more)| one || more);
    }
    let (separate, own_rules_use) = (hosts_use?, own_rules_use?);
    let Some(capture) = capture else {
        return Some(None);
    };
    let roles_use = own_rules_use || roles.names_capture(capture);
    if !separate && !roles_use {
        return Some(None);
    }
    if selector.hosts.iter().any(|host| host.capture().is_none()) {
        let fault = format!(
            "`{}` has hosts with `{{{capture}}}` and hosts without it, for which nothing could be \
             put where the section uses `{{{capture}}}`; move them into another section",
            key.path
        );
        fill.fault(key, fault);
        return None;
    }
    if !separate {
        let warning = format!(
            "`{{{capture}}}` is in role names or groups and not in `elasticsearch.hosts`, so all \
             tenants are users of one cluster: whoever visits two of them gets the roles of the \
             last one written, and each visit writes the user; use `{{{capture}}}` in \
             `elasticsearch.hosts` too, or give each tenant a section"
        );
        fill.warn(key, warning);
    }
    Some(Some(Tenants {
        capture: capture.into(),
        hosts: hosts.into_iter().map(Box::from).collect(),
        separate,
    }))
}

/// Whether one of the texts has the capture. `None` where one has another one.
fn uses(
    fill: &mut Filler<'_>,
    key: &ConfigKey,
    texts: &[String],
    capture: Option<&str>,
) -> Option<bool> {
    let names: Vec<&str> = texts
        .iter()
        .flat_map(|text| captures::names(text))
        .collect();
    if let Some(other) = names.iter().find(|name| Some(**name) != capture) {
        let fault = format!(
            "`{}` has `{{{other}}}`, and no host of `elasticsearch.match.hosts` has a capture of \
             that name, as in `{{{other}}}.es.example.com`",
            key.path
        );
        fill.fault(key, fault);
        return None;
    }
    Some(!names.is_empty())
}

/// Whether a section with a capture is valid for a tenant, and what it says for another one too.
pub(super) fn check_tenants(fill: &mut Filler<'_>, config: &ClusterConfig) {
    let Some(tenants) = &config.tenants else {
        return;
    };
    let rules = std::iter::once(&config.roles).chain(config.roles.by_provider.values());
    let patterns: BTreeSet<&str> = rules
        .flat_map(roles::Config::patterns)
        .map(Group::as_str)
        .filter(|pattern| captures::may_run_on(pattern, &tenants.capture))
        .collect();
    if !patterns.is_empty() {
        let patterns: Vec<&str> = patterns.into_iter().collect();
        let warning = format!(
            "`*` in `{}` may stand for a part of another tenant's name: a label has letters, \
             digits and `-`, so the pattern for `acme` also fits names of `acme-dev` or \
             `dev-acme`; name the groups, or put another character between, as in \
             `{{{}}}/*`",
            patterns.join("`, `"),
            tenants.capture
        );
        fill.warn(&table::ES_MATCH_HOSTS, warning);
    }
    let example = TenantLabel::parse(EXAMPLE);
    if example
        .and_then(|label| config.for_tenant(&label))
        .is_none()
    {
        let fault = format!(
            "the section is not valid with `{EXAMPLE}` for `{{{}}}`: look at its role names and \
             hosts",
            tenants.capture
        );
        fill.fault(&table::ES_MATCH_HOSTS, fault);
    }
}
