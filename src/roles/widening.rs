//! What a new configuration of the roles opens, compared with the one in force.

use super::{
    config::{Config, DefaultRolesApply},
    patterns::{self, Case},
};
use crate::model::{Group, Role};

/// Reserved roles with which a user administers the cluster, or all of Kibana: those of
/// Elasticsearch, then those of `OpenSearch`.
pub(super) const ADMINISTRATORS: [&str; 5] = [
    "superuser",
    "kibana_system",
    "kibana_admin",
    "all_access",
    "security_rest_api_access",
];

impl Config {
    /// Whether `allowed_groups` is gone, or has a wildcard for groups that could not enter before.
    /// A group that is named with its whole name is named on purpose, as in `group_mappings`.
    pub(crate) fn admits_unnamed_groups(&self, before: &Self) -> bool {
        admits_more(
            before.allowed_groups.as_deref(),
            self.allowed_groups.as_deref(),
        ) || admits_more(
            before.groups_of_cluster.as_deref(),
            self.groups_of_cluster.as_deref(),
        )
    }

    /// Whether `default_roles` has an administrator's role that it did not have before.
    pub(crate) fn makes_everybody_administrator(&self, before: &Self) -> bool {
        administrators()
            .any(|role| gives(&self.default_roles, role) && !gives(&before.default_roles, role))
    }

    /// Whether every group may enter, and not by these rules.
    pub(crate) fn admits_all_unlike(&self, other: &Self) -> bool {
        let admits_all = |groups: &Option<Vec<Group>>| {
            let is_any = |group: &Group| group.as_str().bytes().all(|byte| byte == b'*');
            groups.as_ref().is_none_or(|all| all.iter().any(is_any))
        };
        let widens = |own, other| admits_all(own) && !admits_all(other);
        widens(&self.allowed_groups, &other.allowed_groups)
            || widens(&self.groups_of_cluster, &other.groups_of_cluster)
    }

    /// Whether a wildcard makes administrators, and none of these rules makes them of the same
    /// users. Whoever is named with the whole name is named on purpose.
    pub(crate) fn maps_unnamed_to_administrator(&self, other: &Self) -> bool {
        self.maps_more_to_administrator(other, |pattern| pattern.as_str().contains('*'))
    }

    /// Whether `group_mappings` or `user_mappings` gives an administrator's role to users who did
    /// not have it before.
    pub(crate) fn maps_to_administrator(&self, before: &Self) -> bool {
        self.maps_more_to_administrator(before, |_| true)
    }

    fn maps_more_to_administrator(&self, before: &Self, counts: impl Fn(&Group) -> bool) -> bool {
        administrators().any(|role| {
            let is_default = gives(&before.default_roles, role);
            if is_default && before.default_roles_apply == DefaultRolesApply::Always {
                return false;
            }
            let newly_mapped = |now, then, case| {
                let had = || with_role(then, role).map(|(pattern, _)| pattern);
                with_role(now, role)
                    .any(|(pattern, _)| counts(pattern) && !covered(case, pattern, had()))
            };
            let newly_mapped =
                newly_mapped(&self.group_mappings, &before.group_mappings, Case::Folded)
                    || newly_mapped(&self.user_mappings, &before.user_mappings, Case::Kept);
            // Whom no mapping matches any more gets the default roles.
            let unmapped = self.default_roles_apply == DefaultRolesApply::Unmapped
                && gives(&self.default_roles, role)
                && (lost(Case::Folded, &before.group_mappings, &self.group_mappings)
                    || lost(Case::Kept, &before.user_mappings, &self.user_mappings));
            newly_mapped || unmapped
        })
    }
}

fn admits_more(before: Option<&[Group]>, after: Option<&[Group]>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after
            .iter()
            .filter(|group| group.as_str().contains('*'))
            .any(|group| !covered(Case::Folded, group, before.iter())),
    }
}

fn administrators() -> impl Iterator<Item = &'static str> {
    ADMINISTRATORS.into_iter()
}

fn gives(roles: &[Role], role: &str) -> bool {
    roles.iter().any(|given| given.as_str() == role)
}

type Mappings = Vec<(Group, Vec<Role>)>;

fn with_role<'a>(
    mappings: &'a Mappings,
    role: &'a str,
) -> impl Iterator<Item = &'a (Group, Vec<Role>)> {
    let mappings = mappings.iter();
    mappings.filter(move |(_, roles)| gives(roles, role))
}

/// Whether a name that had a mapping can have none now.
fn lost(case: Case, before: &Mappings, after: &Mappings) -> bool {
    let mut before = before.iter();
    before.any(|(pattern, _)| !covered(case, pattern, after.iter().map(|(pattern, _)| pattern)))
}

/// Whether one of these patterns matches every name that `name` matches.
fn covered<'a>(case: Case, name: &Group, mut by: impl Iterator<Item = &'a Group>) -> bool {
    by.any(|pattern| patterns::covers(case, pattern.as_str(), name.as_str()))
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
    fn only_an_unnamed_administrator_counts_where_nothing_was_before() {
        for (other, new, opens) in [
            (&[][..], &[("ops", "superuser")][..], false),
            (&[], &[("ops*", "superuser")], true),
            (&[("o*", "superuser")], &[("ops*", "superuser")], false),
            (&[], &[("*", "viewer")], false),
        ] {
            let (other, new) = (config(&[], other), config(&[], new));
            assert_eq!(new.maps_unnamed_to_administrator(&other), opens, "{new:?}");
        }
        let allowed = |names: Option<&[&str]>| Config {
            allowed_groups: names.map(groups),
            ..Config::default()
        };
        for (other, new, opens) in [
            (None, None, false),
            (Some(&["a"][..]), Some(&["b*"][..]), false),
            (Some(&["a"]), None, true),
            (Some(&["a"]), Some(&["b", "*"]), true),
            (Some(&["*"]), None, false),
        ] {
            let (other, new) = (allowed(other), allowed(new));
            assert_eq!(new.admits_all_unlike(&other), opens, "{new:?}");
        }
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

    #[test]
    fn a_user_who_becomes_an_administrator_by_name_is_one_too() {
        let users = |pairs| Config {
            user_mappings: config(&[], pairs).group_mappings,
            ..Config::default()
        };
        for (before, after, widens) in [
            (users(&[]), users(&[("alice", "superuser")]), true),
            (users(&[("alice", "superuser")]), users(&[]), false),
            (
                users(&[("*", "superuser")]),
                users(&[("alice", "superuser")]),
                false,
            ),
            // Case counts for users.
            (
                users(&[("alice", "superuser")]),
                users(&[("Alice", "superuser")]),
                true,
            ),
            (users(&[]), users(&[("alice", "viewer")]), false),
        ] {
            assert_eq!(after.maps_to_administrator(&before), widens, "{after:?}");
        }
    }
}
