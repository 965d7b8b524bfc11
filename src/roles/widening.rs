//! What a new configuration of the roles opens, compared with the one in force.

use super::{Config, DefaultRolesApply, patterns};
use crate::model::{Group, Role};

/// Reserved roles with which a user administers the cluster, or all of Kibana: those of
/// Elasticsearch, then those of `OpenSearch`.
const ADMINISTRATORS: [&str; 5] = [
    "superuser",
    "kibana_system",
    "kibana_admin",
    "all_access",
    "security_rest_api_access",
];

impl Config {
    /// Whether `allowed_groups` is gone, or has a wildcard for groups that could not enter before. A
    /// group that is named with its whole name is named on purpose, as in `group_mappings`.
    pub(crate) fn admits_unnamed_groups(&self, before: &Self) -> bool {
        match (&before.allowed_groups, &self.allowed_groups) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(before), Some(after)) => after
                .iter()
                .filter(|group| group.as_str().contains('*'))
                .any(|group| !covered(group, before.iter())),
        }
    }

    /// Whether `default_roles` has an administrator's role that it did not have before.
    pub(crate) fn makes_everybody_administrator(&self, before: &Self) -> bool {
        administrators()
            .any(|role| gives(&self.default_roles, role) && !gives(&before.default_roles, role))
    }

    /// Whether `group_mappings` gives an administrator's role to users who did not have it before.
    pub(crate) fn maps_to_administrator(&self, before: &Self) -> bool {
        administrators().any(|role| {
            let is_default = gives(&before.default_roles, role);
            if is_default && before.default_roles_apply == DefaultRolesApply::Always {
                return false;
            }
            let had = || with_role(before, role).map(|(group, _)| group);
            let newly_mapped = with_role(self, role).any(|(group, _)| !covered(group, had()));
            // Whom no mapping matches any more gets the default roles.
            let unmapped = self.default_roles_apply == DefaultRolesApply::Unmapped
                && gives(&self.default_roles, role)
                && before.group_mappings.iter().any(|(group, _)| {
                    !covered(group, self.group_mappings.iter().map(|(group, _)| group))
                });
            newly_mapped || unmapped
        })
    }
}

fn administrators() -> impl Iterator<Item = &'static str> {
    ADMINISTRATORS.into_iter()
}

fn gives(roles: &[Role], role: &str) -> bool {
    roles.iter().any(|given| given.as_str() == role)
}

fn with_role<'a>(
    config: &'a Config,
    role: &'a str,
) -> impl Iterator<Item = &'a (Group, Vec<Role>)> {
    let mappings = config.group_mappings.iter();
    mappings.filter(move |(_, roles)| gives(roles, role))
}

/// Whether one of these patterns matches every group that `group` matches.
fn covered<'a>(group: &Group, mut by: impl Iterator<Item = &'a Group>) -> bool {
    by.any(|pattern| patterns::covers(pattern.as_str(), group.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> Vec<Group> {
        names
            .iter()
            .map(|name| Group::parse(name).unwrap())
            .collect()
    }

    fn config(default: &[&str], mappings: &[(&str, &str)]) -> Config {
        let role = |name: &&str| Role::parse(name).unwrap();
        Config {
            default_roles: default.iter().map(role).collect(),
            group_mappings: mappings
                .iter()
                .map(|(group, given)| (Group::parse(group).unwrap(), vec![role(given)]))
                .collect(),
            ..Config::default()
        }
    }

    #[test]
    fn a_lost_list_and_a_new_wildcard_admit_unnamed_groups() {
        let allowed = |names: Option<&[&str]>| Config {
            allowed_groups: names.map(groups),
            ..Config::default()
        };
        for (before, after, opens) in [
            (Some(&["a"][..]), None, true),
            (None, Some(&["a"][..]), false),
            (Some(&["a"]), Some(&["a", "b"]), false),
            (Some(&["a", "b"]), Some(&["b"]), false),
            (Some(&["a"]), Some(&["a*"]), true),
            (Some(&["Team-*"]), Some(&["team-a*"]), false),
            (Some(&["team-*"]), Some(&["*"]), true),
            (Some(&["*"]), Some(&["x*", "*y"]), false),
        ] {
            assert_eq!(
                allowed(after).admits_unnamed_groups(&allowed(before)),
                opens,
                "{before:?} {after:?}"
            );
        }
    }

    #[test]
    fn only_a_new_administrator_counts() {
        for (before, after, opens) in [
            (&[][..], &[("ops", "superuser")][..], true),
            (&[("ops", "superuser")], &[("OPS", "superuser")], false),
            (&[("ops", "superuser")], &[("ops", "editor")], false),
            (&[("ops", "superuser")], &[("ops*", "superuser")], true),
            (&[("ops*", "superuser")], &[("ops-a", "superuser")], false),
            (&[("ops", "superuser")], &[("ops", "kibana_admin")], true),
            (&[], &[("ops", "monitoring_user")], false),
        ] {
            let (before, after) = (config(&[], before), config(&[], after));
            assert_eq!(after.maps_to_administrator(&before), opens, "{after:?}");
        }
        let everybody = config(&["superuser"], &[]);
        assert!(everybody.makes_everybody_administrator(&config(&[], &[])));
        assert!(!everybody.makes_everybody_administrator(&everybody));
        assert!(!config(&[], &[("ops", "superuser")]).maps_to_administrator(&everybody));
    }

    #[test]
    fn a_lost_mapping_makes_an_administrator_where_the_default_is_one() {
        let unmapped = |mappings| Config {
            default_roles_apply: DefaultRolesApply::Unmapped,
            ..config(&["superuser"], mappings)
        };
        let before = unmapped(&[("dev", "viewer"), ("ops", "viewer")]);
        assert!(unmapped(&[("dev", "viewer")]).maps_to_administrator(&before));
        assert!(!unmapped(&[("*", "viewer")]).maps_to_administrator(&before));
    }
}
