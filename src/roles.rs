//! From an identity to the roles that it has. Pure functions of the configuration and the identity.

pub(crate) mod config;
mod gives;
mod patterns;
mod remark;
mod widening;

pub(crate) use config::{Config, DefaultRolesApply};
pub(crate) use gives::RoleTemplate;
pub(crate) use remark::Remark;

use crate::{
    identity::{Identity, group_list},
    model::{Group, Role},
};
use gives::Gives;
use patterns::{Case, PatternTable};
use std::collections::HashMap;

/// An identity with its roles: at least one, sorted, each once. Made by [`Mapping::entitle`] alone.
#[derive(Debug, Clone)]
pub struct Entitled {
    identity: Identity,
    roles: RoleSet,
    remarks: Vec<Remark>,
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

impl Entitled {
    /// What operators should know of these roles. Empty for almost everybody.
    #[must_use]
    pub(crate) fn remarks(&self) -> &[Remark] {
        &self.remarks
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
    #[error("neither `group_mappings`, `user_mappings` nor `default_roles` gives this user a role")]
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
    groups: PatternTable<Gives>,
    /// `None` where there is no entry: most deployments have none.
    users: Option<PatternTable<Gives>>,
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
            let mut groups = identity.groups().iter();
            if !groups.any(|group| allowed.matches(group.as_str())) {
                return Err(NotEntitled::GroupNotAllowed);
            }
        }
        let mut remarks = Vec::new();
        let given = self.judge(&identity, &mut remarks);
        let mut roles: Vec<Role> = given.into_iter().map(|given| given.role).collect();
        if roles.is_empty() {
            return Err(NotEntitled::NoRole);
        }
        roles.sort_unstable();
        roles.dedup();
        Ok(Entitled {
            identity,
            roles: RoleSet(roles),
            remarks,
        })
    }

    /// Every role that a rule gives to this identity, with the rule: by the user name, then in the
    /// order of the groups. [`Self::entitle`] makes the role set of them.
    #[must_use]
    pub fn given<'a>(&'a self, identity: &'a Identity) -> Vec<Given<'a>> {
        self.judge(identity, &mut Vec::new())
    }

    /// What operators should know of this identity's roles, also where it has none.
    #[must_use]
    pub(crate) fn remarks(&self, identity: &Identity) -> Vec<Remark> {
        let mut remarks = Vec::new();
        self.judge(identity, &mut remarks);
        remarks
    }

    fn judge<'a>(&'a self, identity: &'a Identity, remarks: &mut Vec<Remark>) -> Vec<Given<'a>> {
        let rules = self.rules(identity);
        let mut judged = Judged {
            given: Vec::new(),
            made: 0,
            matched: false,
            remarks,
        };
        if let Some(users) = &rules.users {
            let user = identity.user().as_str();
            for (pattern, gives) in users.matching(user) {
                let rule = Rule::User { pattern };
                judged.add(users, (pattern, user), gives, rule);
            }
        }
        for group in identity.groups() {
            for (pattern, gives) in rules.groups.matching(group.as_str()) {
                let rule = Rule::Mapping { pattern, group };
                judged.add(&rules.groups, (pattern, group.as_str()), gives, rule);
            }
        }
        if !judged.matched || rules.apply == DefaultRolesApply::Always {
            judged
                .given
                .extend(rules.default_roles.iter().map(|role| Given {
                    role: role.clone(),
                    rule: Rule::Default,
                }));
        }
        if let Some(joined) = identity.joined() {
            judged.remarks.extend(rules.joined(joined));
        }
        judged.given
    }
}

/// What the rules have given so far.
struct Judged<'a, 'r> {
    given: Vec<Given<'a>>,
    /// How many of them templates have made.
    made: usize,
    /// Whether a mapping matched, even if it could make no role.
    matched: bool,
    remarks: &'r mut Vec<Remark>,
}

impl<'a> Judged<'a, '_> {
    fn add(
        &mut self,
        table: &PatternTable<Gives>,
        (pattern, name): (&str, &str),
        gives: &'a Gives,
        rule: Rule<'a>,
    ) {
        self.matched = true;
        self.given.extend(gives.roles.iter().map(|role| Given {
            role: role.clone(),
            rule,
        }));
        if gives.templates.is_empty() {
            return;
        }
        let captures = table.captures(pattern, name);
        for template in &gives.templates {
            if self.made == remark::MAX_MADE {
                if !self.remarks.contains(&Remark::TooMany) {
                    self.remarks.push(Remark::TooMany);
                }
                return;
            }
            match template.make(&captures) {
                Ok(made) => {
                    self.made += 1;
                    self.given.push(Given { role: made, rule });
                }
                // One of a kind is enough to find the cause.
                Err(_) if self.remarks.len() > MAX_REMARKS => {}
                Err(why) => self.remarks.push(Remark::NotMade {
                    template: template.as_str().into(),
                    pattern: pattern.into(),
                    of: name.into(),
                    why,
                }),
            }
        }
    }
}

/// So many remarks about one user are kept: their number is the sender's.
const MAX_REMARKS: usize = 10;

impl Rules {
    fn new(config: Config) -> Self {
        let gives = |case, entries: Vec<(Group, Vec<Role>)>| {
            let entries = entries.into_iter().map(|(pattern, roles)| {
                let gives = Gives::new(pattern.as_str(), roles);
                (pattern, gives)
            });
            PatternTable::new(case, entries.collect())
        };
        let users = config.user_mappings;
        Self {
            default_roles: config.default_roles,
            apply: config.default_roles_apply,
            groups: gives(Case::Folded, config.group_mappings),
            users: (!users.is_empty()).then(|| gives(Case::Kept, users)),
            allowed: config.allowed_groups.map(|groups| {
                let entries = groups.into_iter().map(|group| (group, ()));
                PatternTable::new(Case::Folded, entries.collect())
            }),
        }
    }

    /// A text that looks like several groups and that no rule is for. A blank is usual in the name
    /// of one group: there one of the parts has to match a rule.
    fn joined(&self, group: &Group) -> Option<Remark> {
        let has_rule = |name: &str| {
            let allowed = self.allowed.as_ref();
            self.groups.matches(name) || allowed.is_some_and(|allowed| allowed.matches(name))
        };
        let (separator, parts) = group_list::parts(group)?;
        let by = separator.char();
        let suspicious = by != ' ' || parts.iter().any(|part| has_rule(part.as_str()));
        (suspicious && !has_rule(group.as_str())).then(|| Remark::Joined {
            group: group.clone(),
            by,
        })
    }
}

/// A role, and what gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given<'a> {
    /// The role.
    pub role: Role,
    /// By which rule.
    pub rule: Rule<'a>,
}

/// What gives a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule<'a> {
    /// `default_roles`.
    Default,
    /// An entry of `user_mappings`.
    User {
        /// The entry's user name or pattern, as it is configured.
        pattern: &'a str,
    },
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
                Rule::User { pattern } => format!("{} by {pattern}", given.role.as_str()),
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
        let mappings = Mapping::new(config).rules.groups;
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

    fn mapped(config: &Config, user: &str, groups: &[&str]) -> (Vec<String>, Vec<String>) {
        let mapping = Mapping::new(config.clone());
        let identity = Identity::of_provider("main", user, groups);
        let remarks = mapping.remarks(&identity);
        let given = mapping.given(&identity);
        (
            given
                .iter()
                .map(|given| given.role.as_str().to_owned())
                .collect(),
            remarks.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn a_user_has_the_roles_of_their_name_in_addition_to_those_of_groups() {
        let config = Config {
            default_roles: roles(&["viewer"]),
            default_roles_apply: DefaultRolesApply::Unmapped,
            group_mappings: mapping(&[("dev", &["editor"])]),
            user_mappings: mapping(&[("Alice", &["boss"]), ("svc-*", &["svc_{1}"])]),
            ..Config::default()
        };
        for (user, groups, expected) in [
            ("Alice", &["dev"][..], &["boss", "editor"][..]),
            ("Alice", &[], &["boss"]),
            // To the cluster this is another user.
            ("alice", &[], &["viewer"]),
            ("svc-a", &[], &["svc_a"]),
            // A mapping matched, so these are not the unmapped.
            ("svc-a b", &[], &[]),
        ] {
            assert_eq!(mapped(&config, user, groups).0, expected, "{user}");
        }
    }

    #[test]
    fn what_a_wildcard_stands_for_names_roles_and_what_cannot_is_told() {
        let config = Config {
            group_mappings: mapping(&[("team-*", &["kibana-{1}", "viewer"])]),
            ..Config::default()
        };
        let (given, remarks) = mapped(&config, "alice", &["Team-A", "team-b/c"]);
        assert_eq!(given, ["viewer", "kibana-A", "viewer"]);
        assert_eq!(remarks.len(), 1);
        assert!(
            remarks[0]
                .starts_with("`kibana-{1}` of the mapping `team-*` gives no role for \"team-b/c\""),
            "{remarks:?}"
        );
    }

    #[test]
    fn made_roles_and_remarks_are_bounded() {
        let config = Config {
            group_mappings: mapping(&[("t*", &["k{1}"])]),
            ..Config::default()
        };
        let names: Vec<String> = (0..2_000).map(|n| format!("t{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (given, remarks) = mapped(&config, "alice", &names);
        assert_eq!((given.len(), remarks.len()), (remark::MAX_MADE, 1));
        let names: Vec<String> = (0..2_000).map(|n| format!("t /{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (given, remarks) = mapped(&config, "alice", &names);
        assert!(given.is_empty() && remarks.len() <= MAX_REMARKS + 1);
    }

    #[test]
    fn a_text_that_looks_like_several_groups_is_told_where_no_rule_is_for_it() {
        let config = Config {
            default_roles: roles(&["viewer"]),
            group_mappings: mapping(&[("dev", &["editor"]), ("a|b", &["editor"])]),
            ..Config::default()
        };
        for (groups, told) in [
            ("dev|ops", true),
            ("x;y", true),
            ("a|b", false),
            ("dev ops", true),
            ("Domain Users", false),
            ("dev", false),
        ] {
            let remarks = Mapping::new(config.clone()).remarks(&identity(groups));
            assert_eq!(!remarks.is_empty(), told, "{groups}: {remarks:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn fewer_groups_never_give_more_roles(
            all in proptest::collection::vec("[a-c]{1,2}", 0..6),
            keep in 0_usize..6,
        ) {
            let config = Config {
                default_roles: roles(&["viewer"]),
                user_mappings: mapping(&[("al*", &["user_{1}"])]),
                group_mappings: mapping(&[
                    ("a*", &["one", "made_{1}"]),
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
