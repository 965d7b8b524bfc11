//! What is remembered of the cluster.

use super::{Findings, Settings};
use crate::{config::table, ledger::Config};

pub(super) fn fill(settings: &Settings, _findings: &mut Findings) -> Option<Config> {
    settings.get::<&str>(&table::CACHE_TYPE)?;
    Some(Config { capacity: settings.get::<u64>(&table::CACHE_CAPACITY).and_then(|users| usize::try_from(users).ok())? })
}
