//! The audit event of an account that elastauth has written or confirmed.

use crate::{
    cluster::Account,
    telemetry::audit::{Audit, EventDetails, EventKind},
};

pub(super) fn account_event(
    audit: &Audit,
    kind: EventKind,
    cluster: &str,
    account: &Account,
    reason: Option<&str>,
) {
    if !audit.is_on() {
        return;
    }
    let marker = account.origin.marker();
    let details = EventDetails {
        cluster: Some(cluster),
        user: Some(&account.name),
        provider: marker.and_then(|marker| marker.provider.as_deref()),
        groups: account.groups.iter().map(String::as_str).collect(),
        roles: account.roles.iter().map(String::as_str).collect(),
        reason,
        ..EventDetails::default()
    };
    audit.write(kind, &details);
}
