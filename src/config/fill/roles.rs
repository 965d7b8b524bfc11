//! Who gets which roles, and who may enter.

use super::filler::Filler;
use crate::{
    config::{
        choice::AuthProvider, finding::Place, key::ConfigKey, raw::RawNode, section,
        settings::Settings, table, value_type::SectionsOf,
    },
    model::{Group, Role},
    roles::{Config, RoleTemplate},
};
use std::collections::HashMap;

/// The role that may do everything in a cluster.
const SUPERUSER: &str = "superuser";

/// `own` is the section of the cluster, if it has one.
pub(super) fn fill(fill: &mut Filler<'_>, own: Option<&Settings>) -> Option<Config> {
    let sections = fill.settings.sections(SectionsOf::Providers);
    let has_own = |own: &&Settings| section::RULES.iter().any(|key| own.given(key));
    let by_provider = sections.iter().filter(has_own).map(|own| {
        let name: String = own.get(&table::OIDC_NAME)?;
        let rules = rules(&mut fill.section(own), true)?;
        Some((name.into_boxed_str(), rules))
    });
    let by_provider: Vec<Option<(Box<str>, Config)>> = by_provider.collect();
    // Where every provider has rules of its own, nobody needs the general ones.
    let headers = AuthProvider::Headers;
    let needed = fill.settings.names(&table::AUTH_PROVIDER, headers)
        || by_provider.is_empty()
        || by_provider.len() < sections.len();
    let general = rules(fill, needed);
    let mut by_provider: HashMap<Box<str>, Config> =
        by_provider.into_iter().collect::<Option<_>>()?;
    let general = general?;
    if let Some(own) = own.filter(|_| !by_provider.is_empty()) {
        warn_of_providers(fill, own, &by_provider);
        if own.given(&table::ALLOWED_GROUPS) {
            for rules in by_provider.values_mut() {
                rules.groups_of_cluster.clone_from(&general.allowed_groups);
            }
        }
    }
    Some(Config {
        by_provider,
        ..general
    })
}

/// The group `admins` of a provider with rules of its own is not that of the cluster's section, so
/// these rules count in every cluster.
fn warn_of_providers(
    fill: &mut Filler<'_>,
    own: &Settings,
    by_provider: &HashMap<Box<str>, Config>,
) {
    let gives = |key: &&&ConfigKey| **key != &table::ALLOWED_GROUPS && own.given(key);
    if let Some(key) = section::RULES.iter().find(gives) {
        let mut names: Vec<&str> = by_provider.keys().map(|name| &**name).collect();
        names.sort_unstable();
        let warning = format!(
            "`{}` of this cluster is not for users of the providers `{}`: these have role rules of \
             their own, which count in every cluster",
            key.path,
            names.join("`, `")
        );
        fill.warn(key, warning);
    }
}

/// The names of groups, users and roles in the value of a role rule.
pub(super) fn rules_texts(fill: &Filler<'_>, key: &ConfigKey) -> Vec<String> {
    let text = |text: &str| text.to_owned();
    let roles: Option<Vec<Role>> = fill.get(key);
    let groups: Option<Vec<Group>> = fill.get(key);
    let mappings: Option<Vec<(Group, Vec<Role>)>> = fill.get(key);
    let of_mappings = mappings.iter().flatten().flat_map(|(pattern, roles)| {
        let roles = roles.iter().map(Role::as_str);
        roles.chain([pattern.as_str()])
    });
    let roles = roles.iter().flatten().map(Role::as_str);
    let groups = groups.iter().flatten().map(Group::as_str);
    of_mappings.chain(roles).chain(groups).map(text).collect()
}

fn rules(fill: &mut Filler<'_>, needed: bool) -> Option<Config> {
    let default_roles = fill.get::<Vec<Role>>(&table::DEFAULT_ROLES);
    let is_empty = default_roles.as_ref().is_some_and(Vec::is_empty);
    let default_roles = default_roles.unwrap_or_default();
    let group_mappings = mappings(fill, &table::GROUP_MAPPINGS);
    let user_mappings = mappings(fill, &table::USER_MAPPINGS);
    let is_superuser = |role: &Role| role.as_str() == SUPERUSER;
    if default_roles.iter().any(is_superuser) {
        fill.warn(
            &table::DEFAULT_ROLES,
            "`default_roles` makes every user a superuser",
        );
    }
    // A faulty mapping is not a missing one.
    let given = |key: &ConfigKey| fill.given(key);
    let sources = [
        &table::DEFAULT_ROLES,
        &table::GROUP_MAPPINGS,
        &table::USER_MAPPINGS,
    ];
    let missing = needed && !sources.into_iter().any(given);
    if missing || (is_empty && group_mappings.is_empty() && user_mappings.is_empty()) {
        fill.findings.warn(
            &fill.settings.place,
            "neither `default_roles`, `group_mappings` nor `user_mappings` gives anybody a role: \
             every request will be refused",
        );
    }
    Some(Config {
        default_roles,
        default_roles_apply: fill.get(&table::DEFAULT_ROLES_APPLY)?,
        group_mappings,
        user_mappings,
        allowed_groups: allowed(fill),
        ..Config::default()
    })
}

/// The entries of a mapping, with the same care for groups and users.
fn mappings(fill: &mut Filler<'_>, key: &ConfigKey) -> Vec<(Group, Vec<Role>)> {
    let mappings: Vec<(Group, Vec<Role>)> = fill.get(key).unwrap_or_default();
    let whose = if key == &table::USER_MAPPINGS {
        "every user whose name matches it"
    } else {
        "every user with a group that matches it"
    };
    for (pattern, roles) in &mappings {
        let place = place_of(fill.settings, key, pattern);
        if pattern.as_str().contains('*') && roles.iter().any(|role| role.as_str() == SUPERUSER) {
            let warning = format!(
                "a wildcard in `{}` makes superusers: {whose} becomes one",
                key.path
            );
            fill.findings.warn(&place, warning);
        }
        for role in roles {
            match RoleTemplate::parse(pattern.as_str(), role) {
                Ok(Some(template)) if template.is_all_capture() => {
                    let warning = format!(
                        "`{}` in `{}` makes any name a role: whoever can choose a name that \
                         matches the pattern can choose a role; put something before or behind it",
                        template.as_str(),
                        key.path
                    );
                    fill.findings.warn(&place, warning);
                }
                Ok(_) => {}
                Err(why) => {
                    let fault = format!("`{}`: {why}", key.path);
                    fill.findings.fault(&place, fault);
                }
            }
        }
    }
    mappings
}

/// The groups of `allowed_groups`, or of the two keys that came before it.
fn allowed(fill: &mut Filler<'_>) -> Option<Vec<Group>> {
    let whitelist = fill.get::<bool>(&table::ENABLE_GROUP_WHITELIST) == Some(true);
    let (key, switch) = if fill.given(&table::ALLOWED_GROUPS) {
        if whitelist {
            fill.fault(
                &table::ENABLE_GROUP_WHITELIST,
                "`enable_group_whitelist` and `allowed_groups` are both set; keep the latter",
            );
        }
        (&table::ALLOWED_GROUPS, &table::ALLOWED_GROUPS)
    } else if whitelist {
        (&table::GROUP_WHITELIST, &table::ENABLE_GROUP_WHITELIST)
    } else {
        return None;
    };
    let groups: Option<Vec<Group>> = fill.get(key);
    let missing = groups.is_none() && !fill.given(key);
    if missing || groups.as_ref().is_some_and(Vec::is_empty) {
        let fault = format!(
            "`{}` names no group, so nobody could enter; name one, or leave it out to let every \
             group in",
            key.path
        );
        fill.fault(switch, fault);
    }
    groups
}

fn place_of(settings: &Settings, key: &ConfigKey, pattern: &Group) -> Place {
    let raw = settings.raw(key);
    let Some(RawNode::Map(entries)) = raw.map(|raw| &raw.node) else {
        return Place::Nowhere;
    };
    let mut names = entries.iter().map(|(name, _)| name);
    let name = names.find(|name| name.text.trim() == pattern.as_str());
    name.map_or(Place::Nowhere, |name| name.place.clone())
}
