//! Credentials and the users that are written.

use super::{Findings, Settings};
use crate::{
    broker::{Adopt, Config, HashMode},
    config::{finding::Place, table},
};
use std::time::Duration;

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    if !settings.given(&table::SECRET_KEY) {
        findings.warn(
            &Place::Nowhere,
            "no `secret_key` is set: one is made at each start, so every restart writes all users anew, and several replicas lock each other's users out; \
             make one with `elastauth generate-key`",
        );
    }
    let (rotation, grace) = (settings.get::<Duration>(&table::ROTATION), settings.get::<Duration>(&table::GRACE));
    if let (Some(rotation), Some(grace)) = (rotation, grace) {
        // Nobody is answered in the grace: half of the time would be lost to it.
        if !rotation.is_zero() && rotation < grace * 2 {
            findings.fault(&settings.place(&table::ROTATION), "`credentials.rotation` must be at least twice `credentials.grace`, or 0");
        }
    }
    if settings.get(&table::EXTEND_CACHE) == Some(true) {
        let text = "`extend_cache` is accepted and has no effect: what is used is checked after `cache.expiration` all the same";
        findings.warn(&settings.place(&table::EXTEND_CACHE), text);
    }
    let dry_run = settings.get(&table::ES_DRY_RUN)?;
    if dry_run {
        findings.warn(&settings.place(&table::ES_DRY_RUN), "`elasticsearch.dry_run` is on: logins are answered that nobody has written to the cluster");
    }
    Some(Config {
        secret_key: settings.get(&table::SECRET_KEY),
        cluster_name: settings.get(&table::ES_CLUSTER_NAME)?,
        service_account: settings.get(&table::ES_USERNAME),
        rotation: rotation?,
        grace: grace?,
        expiration: settings.get(&table::CACHE_EXPIRATION)?,
        hash: match settings.get::<&str>(&table::HASH)? {
            "off" => HashMode::Off,
            _ => HashMode::Auto,
        },
        adopt: match settings.get::<&str>(&table::ADOPT)? {
            "never" => Adopt::Never,
            "any" => Adopt::Any,
            _ => Adopt::ElastauthGo,
        },
        writes_per_minute: settings.get::<u64>(&table::WRITES_PER_MINUTE).and_then(|writes| u32::try_from(writes).ok())?,
        dry_run,
    })
}
