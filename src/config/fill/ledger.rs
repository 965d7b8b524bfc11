//! What is remembered of the cluster.

use super::{Findings, Settings};
use crate::{config::table, ledger::Config};

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    if settings.says(&table::CACHE_TYPE, "redis") && !settings.given(&table::SECRET_KEY) {
        let text = "`cache.type: redis` needs `secret_key`: replicas that share a memory must derive the same passwords";
        findings.fault(&settings.place(&table::CACHE_TYPE), text);
    }
    settings.get::<&str>(&table::CACHE_TYPE)?;
    Some(Config { capacity: settings.get::<u64>(&table::CACHE_CAPACITY).and_then(|users| usize::try_from(users).ok())? })
}
