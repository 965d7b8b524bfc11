//! Who gets which roles, and who gets in.

use super::{Findings, Settings};
use crate::{
    config::{finding::Place, raw::Node, section, table},
    model::{Group, Role},
    roles::{Config, DefaultRolesApply},
};

/// What may do everything in a cluster.
const SUPERUSER: &str = "superuser";

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let has_own = |own: &&Settings| section::RULES.iter().any(|key| own.given(key));
    let by_provider = settings.providers().iter().filter(has_own).map(|own| {
        let name: String = own.get(&table::OIDC_NAME)?;
        Some((name.into_boxed_str(), rules(own, findings, true)?))
    });
    let by_provider: Vec<Option<(Box<str>, Config)>> = by_provider.collect();
    // Where every user has rules of a provider, nobody needs the general ones.
    let needed = settings.says(&table::AUTH_PROVIDER, "authelia")
        || by_provider.is_empty()
        || by_provider.len() < settings.providers().len();
    let general = rules(settings, findings, needed);
    Some(Config {
        by_provider: by_provider.into_iter().collect::<Option<_>>()?,
        ..general?
    })
}

fn rules(settings: &Settings, findings: &mut Findings, needed: bool) -> Option<Config> {
    let default_roles: Vec<Role> = settings.get(&table::DEFAULT_ROLES).unwrap_or_default();
    let group_mappings: Vec<(Group, Vec<Role>)> =
        settings.get(&table::GROUP_MAPPINGS).unwrap_or_default();
    if default_roles.iter().any(|role| role.as_str() == SUPERUSER) {
        findings.warn(
            &settings.place(&table::DEFAULT_ROLES),
            "`default_roles` makes every user a superuser",
        );
    }
    for (group, roles) in &group_mappings {
        if group.as_str().contains('*') && roles.iter().any(|role| role.as_str() == SUPERUSER) {
            let text = "a wildcard in `group_mappings` makes superusers: whoever can name a group that fits becomes one";
            findings.warn(&place_of(settings, group), text);
        }
    }
    // A faulty mapping is no missing one.
    let nobody =
        needed && !settings.given(&table::DEFAULT_ROLES) && !settings.given(&table::GROUP_MAPPINGS);
    if nobody
        || (default_roles.is_empty()
            && group_mappings.is_empty()
            && settings.get::<Vec<Role>>(&table::DEFAULT_ROLES).is_some())
    {
        findings.warn(settings.home(), "neither `default_roles` nor `group_mappings` gives anybody a role: every request will be refused");
    }
    let default_roles_apply = match settings.get::<&str>(&table::DEFAULT_ROLES_APPLY)? {
        "unmapped" => DefaultRolesApply::Unmapped,
        _ => DefaultRolesApply::Always,
    };
    Some(Config {
        default_roles,
        default_roles_apply,
        group_mappings,
        allowed_groups: allowed(settings, findings),
        ..Config::default()
    })
}

/// Whom `allowed_groups` lets in, or the two keys that came before it.
fn allowed(settings: &Settings, findings: &mut Findings) -> Option<Vec<Group>> {
    let listed = settings.get::<bool>(&table::ENABLE_GROUP_WHITELIST) == Some(true);
    let (key, place) = if settings.given(&table::ALLOWED_GROUPS) {
        if listed {
            findings.fault(
                &settings.place(&table::ENABLE_GROUP_WHITELIST),
                "`enable_group_whitelist` stands beside `allowed_groups`; keep the latter",
            );
        }
        (
            &table::ALLOWED_GROUPS,
            settings.place(&table::ALLOWED_GROUPS),
        )
    } else if listed {
        (
            &table::GROUP_WHITELIST,
            settings.place(&table::ENABLE_GROUP_WHITELIST),
        )
    } else {
        return None;
    };
    let groups: Option<Vec<Group>> = settings.get(key);
    let missing = groups.is_none() && !settings.given(key);
    if missing || groups.as_ref().is_some_and(Vec::is_empty) {
        findings
            .fault(&place, format!("`{}` names no group: nobody could enter; name one, or leave it out to let every group in", key.path));
    }
    groups
}

fn place_of(settings: &Settings, group: &Group) -> Place {
    let entries = settings.raw(&table::GROUP_MAPPINGS).map(|raw| &raw.node);
    let Some(Node::Map(entries)) = entries else {
        return Place::Nowhere;
    };
    entries
        .iter()
        .find(|(name, _)| name.text.trim() == group.as_str())
        .map_or(Place::Nowhere, |(name, _)| name.place.clone())
}
