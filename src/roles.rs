//! From an identity to the roles that it has. Pure functions of the configuration and the identity.

pub(crate) mod config;
mod gives;
mod patterns;
mod remark;
mod rules;
#[cfg(test)]
mod tests;
mod widening;

pub(crate) use config::{Config, DefaultRolesApply};
pub(crate) use gives::{RoleTemplate, may_be_made};
pub(crate) use remark::Remark;
pub(crate) use rules::{Given, Rule};

use crate::{identity::Identity, model::Role};
use rules::Rules;
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
        let own = self.rules(&identity);
        if !own.admit(&identity) {
            return Err(NotEntitled::GroupNotAllowed);
        }
        let mut remarks = Vec::new();
        let given = own.judge(&identity, &mut remarks);
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
        self.rules(identity).judge(identity, &mut Vec::new())
    }

    /// What operators should know of this identity's roles, also where it has none.
    #[must_use]
    pub(crate) fn remarks(&self, identity: &Identity) -> Vec<Remark> {
        let mut remarks = Vec::new();
        self.rules(identity).judge(identity, &mut remarks);
        remarks
    }
}
