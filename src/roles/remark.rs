//! What operators should know of a user's roles, beside the roles.

use super::gives::NotMade;
use crate::model::{Group, Shown};
use std::fmt;

/// Something that refuses nobody and is probably not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remark {
    /// A text that looks like several groups matches no rule.
    Joined {
        /// The text.
        group: Group,
        /// What seems to join them.
        by: char,
    },
    /// A template of a mapping made no role.
    NotMade {
        /// The template.
        template: Box<str>,
        /// The entry's pattern.
        pattern: Box<str>,
        /// The user or the group that it matches.
        of: Box<str>,
        /// Why.
        why: NotMade,
    },
    /// More roles were made than one user may have.
    TooMany,
}

/// Roles of one user that are made of templates. The cluster keeps all of a user's roles in one
/// document and reads them with each login.
pub(super) const MAX_MADE: usize = 500;

/// So many remarks about one user are kept: their number is the sender's.
pub(super) const MAX_REMARKS: usize = 10;

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined { group, by } => write!(
                f,
                "the group {} matches no rule and looks like several groups joined by {by:?}; \
                 `groups_separator` of the provider says how they are separated",
                Shown::text(group.as_str())
            ),
            Self::NotMade {
                template,
                pattern,
                of,
                why,
            } => write!(
                f,
                "`{template}` of the mapping `{pattern}` gives no role for {}: {why}",
                Shown::text(of)
            ),
            Self::TooMany => write!(
                f,
                "the mappings make more than {MAX_MADE} roles for this user; those beyond it are \
                 left out"
            ),
        }
    }
}
