//! Settings of the role mapping. `config` fills them in.

use crate::model::{Group, Role};
use std::collections::{BTreeSet, HashMap};

/// Settings of the role mapping.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Roles for all users, or for those that no mapping matched.
    pub default_roles: Vec<Role>,
    /// Which users have the default roles.
    pub default_roles_apply: DefaultRolesApply,
    /// A group pattern (`*` matches any text) and the roles that it gives.
    pub group_mappings: Vec<(Group, Vec<Role>)>,
    /// The same for user names, in which case counts.
    pub user_mappings: Vec<(Group, Vec<Role>)>,
    /// Patterns of the groups that may enter; `None` lets every group in.
    pub allowed_groups: Option<Vec<Group>>,
    /// Patterns, one of which has to match a group as well: those of a cluster, for the users of a
    /// provider with rules of its own.
    pub groups_of_cluster: Option<Vec<Group>>,
    /// Rules for the users of one identity provider, by its name. They replace all of the above:
    /// the group `admins` of a second provider is not that of the first.
    pub by_provider: HashMap<Box<str>, Config>,
}

impl Config {
    /// Every role that these rules may give, each once.
    #[must_use]
    pub fn named_roles(&self) -> Vec<&str> {
        let mut named = BTreeSet::new();
        for rules in std::iter::once(self).chain(self.by_provider.values()) {
            named.extend(rules.default_roles.iter().map(Role::as_str));
            for (_, roles) in rules.group_mappings.iter().chain(&rules.user_mappings) {
                named.extend(roles.iter().map(Role::as_str));
            }
        }
        named.into_iter().collect()
    }

    /// Every pattern of groups and names, without those for the users of one provider.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &Group> {
        let mappings = self.group_mappings.iter().chain(&self.user_mappings);
        let groups = [&self.allowed_groups, &self.groups_of_cluster];
        let groups = groups.into_iter().flatten().flatten();
        groups.chain(mappings.map(|(pattern, _)| pattern))
    }

    /// Whether a role or a pattern has `{capture}` in it.
    pub(crate) fn names_capture(&self, capture: &str) -> bool {
        let text = format!("{{{capture}}}");
        let is_in = |name: &str| name.contains(&text);
        let has_role = |roles: &[Role]| roles.iter().any(|role| is_in(role.as_str()));
        let has_group = |groups: &[Group]| groups.iter().any(|group| is_in(group.as_str()));
        let mappings = self.group_mappings.iter().chain(&self.user_mappings);
        let groups = [&self.allowed_groups, &self.groups_of_cluster];
        has_role(&self.default_roles)
            || groups.into_iter().flatten().any(|groups| has_group(groups))
            || mappings
                .into_iter()
                .any(|(pattern, roles)| is_in(pattern.as_str()) || has_role(roles))
            || self
                .by_provider
                .values()
                .any(|rules| rules.names_capture(capture))
    }
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
