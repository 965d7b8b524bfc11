//! One user of a cluster, as a list and a page of one user show them.

use crate::broker::AccountView;
use serde_json::{Value, json};
use std::time::Duration;

/// How long an operator waits for one cluster: for an update of the user that is running, reads and
/// a write, or for a page of users.
pub(super) const WITHIN: Duration = Duration::from_secs(30);

pub(super) fn view(account: &AccountView) -> Value {
    json!({
        "user": account.name.as_str(),
        "state": account.standing.name(),
        "seen_from": account.seen_from().map(|day| day.to_string()),
        "seen_before": account.seen_before().map(|day| day.to_string()),
        "provider": account.provider,
        "generation": account.generation,
    })
}
