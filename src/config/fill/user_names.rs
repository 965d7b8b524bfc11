//! How texts of a provider become user names.

use super::filler::Filler;
use crate::{
    config::key::ConfigKey,
    identity::user_name::{UserNamePattern, UserNameRules},
};

/// The rules that these two keys give.
pub(super) fn user_names(
    fill: &mut Filler<'_>,
    case: &ConfigKey,
    pattern: &ConfigKey,
) -> Option<UserNameRules> {
    let parsed = fill
        .get::<String>(pattern)
        .map(|text| UserNamePattern::parse(&text));
    let pattern = parsed.transpose().map_err(|why| fill.invalid(pattern, why));
    Some(UserNameRules {
        case: fill.get(case)?,
        pattern: pattern.ok()?,
    })
}
