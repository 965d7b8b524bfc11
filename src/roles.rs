//! From an identity to the roles that it has. Pure functions of the configuration and the identity.

mod patterns;
mod widening;

use crate::{
    identity::Identity,
    model::{Group, Role},
};
use patterns::PatternTable;
use std::collections::HashMap;

/// Settings of the role mapping.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Roles for all users, or for those that no mapping matched.
    pub default_roles: Vec<Role>,
    /// Which users have the default roles.
    pub default_roles_apply: DefaultRolesApply,
    /// A group pattern (`*` matches any text) and the roles that it gives.
    pub group_mappings: Vec<(Group, Vec<Role>)>,
    /// Patterns of the groups that may enter; `None` lets every group in.
    pub allowed_groups: Option<Vec<Group>>,
    /// Rules for the users of one identity provider, by its name. They replace all of the above:
    /// the group `admins` of a second provider is not that of the first.
    pub by_provider: HashMap<Box<str>, Config>,
}

/// Which users have `default_roles`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultRolesApply {
    /// Every user, in addition to the mapped ones.
    #[default]
    Always,
    /// Only users that no mapping matched.
    Unmapped,
}

/// An identity with its roles: at least one, sorted, each once. Made by [`Mapping::entitle`] alone.
#[derive(Debug, Clone)]
pub struct Entitled {
    identity: Identity,
    roles: RoleSet,
}

impl Entitled {
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    #[must_use]
    pub fn roles(&self) -> &RoleSet {
        &self.roles
    }
}

/// Roles: at least one, sorted, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleSet(Vec<Role>);

impl RoleSet {
    /// The roles in order.
    pub fn iter(&self) -> impl Iterator<Item = &Role> {
        self.0.iter()
    }
}

/// Why an identity has no roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEntitled {
    /// `allowed_groups` is set and none of the groups is in it.
    #[error("none of the user's groups is in `allowed_groups`")]
    GroupNotAllowed,
    /// Neither a mapping nor a default gives a role.
    #[error("neither `group_mappings` nor `default_roles` gives this user a role")]
    NoRole,
}

/// The configuration, prepared so that each group costs one look-up, however many mappings there
/// are.
#[derive(Debug)]
pub struct Mapping {
    rules: Rules,
    by_provider: HashMap<Box<str>, Rules>,
}

#[derive(Debug)]
struct Rules {
    default_roles: Vec<Role>,
    apply: DefaultRolesApply,
    mappings: PatternTable<Vec<Role>>,
    allowed: Option<PatternTable<()>>,
}

impl Mapping {
    #[must_use]
    #[expect(missing_docs, reason = "the name says it")]
    pub fn new(mut config: Config) -> Self {
        let by_provider = std::mem::take(&mut config.by_provider);
        let by_provider = by_provider
            .into_iter()
            .map(|(name, config)| (name, Rules::new(config)))
            .collect();
        Self {
            rules: Rules::new(config),
            by_provider,
        }
    }

    /// The rules of the identity's provider, where it has its own.
    fn rules(&self, identity: &Identity) -> &Rules {
        let own = self.by_provider.get(identity.provider().name());
        own.unwrap_or(&self.rules)
    }

    /// Gives an identity its roles.
    ///
    /// # Errors
    /// When none of its groups is allowed, or no rule gives it a role.
    pub fn entitle(&self, identity: Identity) -> Result<Entitled, NotEntitled> {
        if let Some(allowed) = &self.rules(&identity).allowed {
            let enters = identity
                .groups()
                .iter()
                .any(|group| allowed.matching(group.as_str()).next().is_some());
            if !enters {
                return Err(NotEntitled::GroupNotAllowed);
            }
        }
        let mut roles: Vec<Role> = self
            .given(&identity)
            .into_iter()
            .map(|given| given.role.clone())
            .collect();
        if roles.is_empty() {
            return Err(NotEntitled::NoRole);
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(Entitled {
            identity,
            roles: RoleSet(roles),
        })
    }

    /// Every role that a rule gives to this identity, with the rule, in the order of the groups.
    /// [`Self::entitle`] makes the role set of them.
    #[must_use]
    pub fn given<'a>(&'a self, identity: &'a Identity) -> Vec<Given<'a>> {
        let rules = self.rules(identity);
        let mapped = identity.groups().iter().flat_map(|group| {
            let fitting = rules.mappings.matching(group.as_str());
            fitting.flat_map(move |(pattern, roles)| {
                roles.iter().map(move |role| Given {
                    role,
                    rule: Rule::Mapping { pattern, group },
                })
            })
        });
        let mut given: Vec<Given<'a>> = mapped.collect();
        if given.is_empty() || rules.apply == DefaultRolesApply::Always {
            given.extend(rules.default_roles.iter().map(|role| Given {
                role,
                rule: Rule::Default,
            }));
        }
        given
    }
}

impl Rules {
    fn new(config: Config) -> Self {
        Self {
            default_roles: config.default_roles,
            apply: config.default_roles_apply,
            mappings: PatternTable::new(config.group_mappings),
            allowed: config.allowed_groups.map(|groups| {
                PatternTable::new(groups.into_iter().map(|group| (group, ())).collect())
            }),
        }
    }
}

/// A role, and what gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<'a> {
    /// The role.
    pub role: &'a Role,
    /// By which rule.
    pub rule: Rule<'a>,
}

/// What gives a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule<'a> {
    /// `default_roles`.
    Default,
    /// An entry of `group_mappings`.
    Mapping {
        /// The entry's group or pattern, as it is configured.
        pattern: &'a str,
        /// The user's group that it matches.
        group: &'a Group,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity;
    use http::{HeaderMap, HeaderValue};

    fn identity(groups: &str) -> Identity {
        let mut headers = HeaderMap::new();
        headers.insert("remote-user", HeaderValue::from_static("alice"));
        headers.insert("remote-groups", HeaderValue::from_str(groups).unwrap());
        identity::headers::identity(&headers)
    }

    fn roles(names: &[&str]) -> Vec<Role> {
        names
            .iter()
            .map(|name| Role::parse(name).unwrap())
            .collect()
    }

    fn mapping(pairs: &[(&str, &[&str])]) -> Vec<(Group, Vec<Role>)> {
        pairs
            .iter()
            .map(|(group, names)| (Group::parse(group).unwrap(), roles(names)))
            .collect()
    }

    fn given(config: &Config, groups: &str) -> Result<Vec<String>, NotEntitled> {
        let entitled = Mapping::new(config.clone()).entitle(identity(groups))?;
        Ok(entitled
            .roles()
            .iter()
            .map(|role| role.as_str().to_owned())
            .collect())
    }

    #[test]
    fn default_roles_go_to_all_users_in_addition_to_the_mapped_ones() {
        let config = Config {
            default_roles: roles(&["viewer"]),
            group_mappings: mapping(&[("admins", &["superuser", "viewer"]), ("dev", &["editor"])]),
            ..Config::default()
        };
        assert_eq!(given(&config, "").unwrap(), ["viewer"]);
        assert_eq!(given(&config, "dev").unwrap(), ["editor", "viewer"]);
        assert_eq!(
            given(&config, "dev,admins,unknown").unwrap(),
            ["editor", "superuser", "viewer"]
        );
    }

    #[test]
    fn each_role_can_say_which_rule_gave_it() {
        let config = Config {
            default_roles: roles(&["viewer"]),
            group_mappings: mapping(&[("Team-*", &["editor"])]),
            ..Config::default()
        };
        let (mapping, identity) = (Mapping::new(config), identity("team-a"));
        let given: Vec<String> = mapping
            .given(&identity)
            .iter()
            .map(|given| match given.rule {
                Rule::Default => format!("{} by default", given.role.as_str()),
                Rule::Mapping { pattern, group } => format!(
                    "{} by {pattern} for {}",
                    given.role.as_str(),
                    group.as_str()
                ),
            })
            .collect();
        assert_eq!(given, ["editor by Team-* for team-a", "viewer by default"]);
    }

    #[test]
    fn unmapped_means_only_users_that_no_mapping_matched() {
        let config = Config {
            default_roles: roles(&["viewer"]),
            default_roles_apply: DefaultRolesApply::Unmapped,
            group_mappings: mapping(&[("dev", &["editor"])]),
            ..Config::default()
        };
        assert_eq!(given(&config, "dev").unwrap(), ["editor"]);
        assert_eq!(given(&config, "other").unwrap(), ["viewer"]);
    }

    #[test]
    fn ascii_case_does_not_count_and_other_letters_do() {
        let config = Config {
            group_mappings: mapping(&[("Éditeurs", &["editor"]), ("OPS", &["ops"])]),
            ..Config::default()
        };
        assert_eq!(given(&config, "ops").unwrap(), ["ops"]);
        assert_eq!(given(&config, "oPs").unwrap(), ["ops"]);
        let mappings = Mapping::new(config).rules.mappings;
        assert_eq!(mappings.matching("Éditeurs").count(), 1);
        assert_eq!(mappings.matching("éditeurs").count(), 0);
    }

    #[test]
    fn only_allowed_groups_are_let_in() {
        let config = Config {
            default_roles: roles(&["viewer"]),
            allowed_groups: Some(vec![Group::parse("es-*").unwrap()]),
            ..Config::default()
        };
        assert_eq!(given(&config, "ES-users").unwrap(), ["viewer"]);
        assert_eq!(given(&config, "users"), Err(NotEntitled::GroupNotAllowed));
        assert_eq!(given(&config, ""), Err(NotEntitled::GroupNotAllowed));
    }

    #[test]
    fn rules_of_one_provider_are_for_its_users_only() {
        let own = Config {
            group_mappings: mapping(&[("admins", &["partner_admin"])]),
            ..Config::default()
        };
        let rules = Mapping::new(Config {
            default_roles: roles(&["viewer"]),
            group_mappings: mapping(&[("admins", &["superuser"])]),
            by_provider: HashMap::from([("partner".into(), own)]),
            ..Config::default()
        });
        let given = |identity: Identity| {
            rules.entitle(identity).map(|e| {
                e.roles()
                    .iter()
                    .map(|role| role.as_str().to_owned())
                    .collect()
            })
        };
        assert_eq!(
            given(identity("admins")),
            Ok(vec!["superuser".to_owned(), "viewer".to_owned()])
        );
        let from = |provider: &str, groups: &[&str]| Identity::of_provider(provider, "bob", groups);
        assert_eq!(
            given(from("partner", &["admins"])),
            Ok(vec!["partner_admin".to_owned()])
        );
        assert_eq!(given(from("partner", &[])), Err(NotEntitled::NoRole));
        assert_eq!(
            given(from("other", &["admins"])),
            Ok(vec!["superuser".to_owned(), "viewer".to_owned()])
        );
    }

    #[test]
    fn a_user_without_a_role_is_refused() {
        let config = Config {
            group_mappings: mapping(&[("dev", &["editor"])]),
            ..Config::default()
        };
        assert_eq!(given(&config, "other"), Err(NotEntitled::NoRole));
    }

    proptest::proptest! {
        #[test]
        fn fewer_groups_never_give_more_roles(
            all in proptest::collection::vec("[a-c]{1,2}", 0..6),
            keep in 0_usize..6,
        ) {
            let config = Config {
                default_roles: roles(&["viewer"]),
                group_mappings: mapping(&[
                    ("a*", &["one"]),
                    ("b", &["two", "three"]),
                    ("*c", &["four"]),
                ]),
                ..Config::default()
            };
            let some = all.iter().take(keep).cloned().collect::<Vec<_>>().join(",");
            let more = given(&config, &all.join(",")).unwrap();
            let fewer = given(&config, &some).unwrap();
            proptest::prop_assert!(fewer.iter().all(|role| more.contains(role)));
        }
    }
}
