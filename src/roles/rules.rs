//! The rules for the users of one provider: who enters, and which role each rule gives.

use super::{
    config::{Config, DefaultRolesApply},
    gives::Gives,
    patterns::{Case, PatternTable},
    remark::{self, Remark},
};
use crate::{
    identity::{Identity, group_list},
    model::{Group, Role},
};

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

#[derive(Debug)]
pub(super) struct Rules {
    default_roles: Vec<Role>,
    apply: DefaultRolesApply,
    groups: PatternTable<Gives>,
    /// `None` where there is no entry: most deployments have none.
    users: Option<PatternTable<Gives>>,
    allowed: Option<PatternTable<()>>,
    allowed_by_cluster: Option<PatternTable<()>>,
}

impl Rules {
    pub(super) fn new(config: Config) -> Self {
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
            allowed: config.allowed_groups.map(table_of),
            allowed_by_cluster: config.groups_of_cluster.map(table_of),
        }
    }

    /// Whether one of the identity's groups may enter.
    pub(super) fn admit(&self, identity: &Identity) -> bool {
        let both = [&self.allowed, &self.allowed_by_cluster];
        both.into_iter().flatten().all(|allowed| {
            let mut groups = identity.groups().iter();
            groups.any(|group| allowed.matches(group.as_str()))
        })
    }

    /// Every role that a rule gives to this identity, with the rule: by the user name, then in the
    /// order of the groups.
    pub(super) fn judge<'a>(
        &'a self,
        identity: &'a Identity,
        remarks: &mut Vec<Remark>,
    ) -> Vec<Given<'a>> {
        let mut judged = Judged {
            given: Vec::new(),
            made: 0,
            matched: false,
            remarks,
        };
        if let Some(users) = &self.users {
            let user = identity.user().as_str();
            for (pattern, gives) in users.matching(user) {
                let rule = Rule::User { pattern };
                judged.add(users, (pattern, user), gives, rule);
            }
        }
        for group in identity.groups() {
            for (pattern, gives) in self.groups.matching(group.as_str()) {
                let rule = Rule::Mapping { pattern, group };
                judged.add(&self.groups, (pattern, group.as_str()), gives, rule);
            }
        }
        if !judged.matched || self.apply == DefaultRolesApply::Always {
            judged
                .given
                .extend(self.default_roles.iter().map(|role| Given {
                    role: role.clone(),
                    rule: Rule::Default,
                }));
        }
        if let Some(joined) = identity.joined() {
            judged.remarks.extend(self.joined(joined));
        }
        judged.given
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

fn table_of(groups: Vec<Group>) -> PatternTable<()> {
    let entries = groups.into_iter().map(|group| (group, ()));
    PatternTable::new(Case::Folded, entries.collect())
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
                Err(_) if self.remarks.len() > remark::MAX_REMARKS => {}
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
