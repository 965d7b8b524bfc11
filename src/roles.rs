//! placeholder
use crate::model::{Group, Role};

/// Settings of this floor.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Roles for everybody, or for those whom no mapping matched.
    pub default_roles: Vec<Role>,
    /// To whom the default roles go.
    pub default_roles_apply: DefaultRolesApply,
    /// A group pattern (`*` stands for any text) and the roles that it gives.
    pub group_mappings: Vec<(Group, Vec<Role>)>,
    /// Patterns of the groups that may enter; `None` lets every group in.
    pub allowed_groups: Option<Vec<Group>>,
}

/// To whom `default_roles` go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DefaultRolesApply {
    /// Every user has them beside the mapped ones.
    #[default]
    Always,
    /// Only users whom no mapping matched.
    Unmapped,
}
