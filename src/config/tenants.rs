//! What the section of a cluster with a capture in its hosts, such as `{tenant}.es.example.com`,
//! says for one tenant.

use super::{
    captures::filled,
    types::{ClusterConfig, Tenants},
};
use crate::{
    ledger::StoreConfig,
    model::{Group, Role},
    roles,
    upstream::TenantLabel,
};
use http::Uri;

/// A role for each entry.
type Mappings = Vec<(Group, Vec<Role>)>;

impl ClusterConfig {
    /// What the section says for this tenant. Where tenants have nodes of their own
    /// ([`Tenants::separate`]), nothing is shared with another tenant: neither passwords, nor the
    /// ledger. Otherwise the roles alone are the tenant's, and there is one cluster.
    ///
    /// `None` without a capture, and where the label would make a role that no text may make.
    #[must_use]
    pub(crate) fn for_tenant(&self, label: &TenantLabel) -> Option<Self> {
        let tenants = self.tenants.as_ref()?;
        let mut own = self.clone();
        own.tenants = None;
        own.roles = roles_for(&self.roles, &tenants.capture, label)?;
        if tenants.separate {
            own.cluster.hosts = hosts_for(tenants, label)?;
            // No name of a cluster has a slash.
            own.broker.cluster_name = format!("{}/{}", self.name, label.as_str());
            let store = &mut own.broker.ledger.store;
            if let StoreConfig::File(folder) = store {
                let mut folder = std::mem::take(folder);
                folder
                    .as_mut_os_string()
                    .push(format!(".{}", label.as_str()));
                // Somebody may ask for tenants that do not exist.
                *store = StoreConfig::TransientFile(folder);
            }
        }
        Some(own)
    }
}

fn hosts_for(tenants: &Tenants, label: &TenantLabel) -> Option<Vec<Uri>> {
    let hosts = tenants.hosts.iter();
    let hosts = hosts.map(|host| filled(host, Some(&tenants.capture), label.as_str()));
    hosts.map(|host| host.parse().ok()).collect()
}

fn roles_for(config: &roles::Config, capture: &str, label: &TenantLabel) -> Option<roles::Config> {
    let fill = |text: &str| filled(text, Some(capture), label.as_str());
    let role = |role: &Role| {
        let made = fill(role.as_str());
        if made == role.as_str() {
            return Some(role.clone());
        }
        Role::parse(&made).filter(|_| roles::may_be_made(&made))
    };
    let group = |group: &Group| Group::parse(&fill(group.as_str()));
    let groups = |groups: &Option<Vec<Group>>| match groups {
        Some(groups) => groups.iter().map(group).collect::<Option<_>>().map(Some),
        None => Some(None),
    };
    let mappings = |mappings: &Mappings| {
        let entries = mappings.iter().map(|(pattern, roles)| {
            let roles = roles.iter().map(role).collect::<Option<_>>()?;
            Some((group(pattern)?, roles))
        });
        entries.collect::<Option<_>>()
    };
    let by_provider = config.by_provider.iter().map(|(name, rules)| {
        let rules = roles_for(rules, capture, label)?;
        Some((name.clone(), rules))
    });
    Some(roles::Config {
        default_roles: config
            .default_roles
            .iter()
            .map(role)
            .collect::<Option<_>>()?,
        default_roles_apply: config.default_roles_apply,
        group_mappings: mappings(&config.group_mappings)?,
        user_mappings: mappings(&config.user_mappings)?,
        allowed_groups: groups(&config.allowed_groups)?,
        groups_of_cluster: groups(&config.groups_of_cluster)?,
        by_provider: by_provider.collect::<Option<_>>()?,
    })
}
