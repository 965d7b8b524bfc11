//! Credentials and the users that are written.

use super::{Findings, Settings};
use crate::{
    broker::{Adopt, Config, InvalidWindow, PreviousKey, Window},
    clock::Timestamp,
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
    let ledger = super::ledger::fill(settings, findings);
    let (rotation, grace) = (
        settings.get::<Duration>(&table::ROTATION),
        settings.get::<Duration>(&table::GRACE),
    );
    if let (Some(rotation), Some(grace)) = (rotation, grace) {
        // Nobody is answered in the grace: half of the time would be lost to it.
        if !rotation.is_zero() && rotation < grace * 2 {
            findings.fault(
                &settings.place(&table::ROTATION),
                "`credentials.rotation` must be at least twice `credentials.grace`, or 0",
            );
        }
    }
    if settings.get(&table::EXTEND_CACHE) == Some(true) {
        let text = "`extend_cache` is accepted and has no effect: what is used is checked after `cache.expiration` all the same";
        findings.warn(&settings.place(&table::EXTEND_CACHE), text);
    }
    let dry_run = settings.get(&table::ES_DRY_RUN)?;
    if dry_run {
        findings.warn(
            &settings.place(&table::ES_DRY_RUN),
            "`elasticsearch.dry_run` is on: logins are answered that nobody has written to the cluster",
        );
    }
    Some(Config {
        secret_key: settings.get(&table::SECRET_KEY),
        previous_key: previous_key(settings, findings),
        cluster_name: settings.get(&table::ES_CLUSTER_NAME)?,
        service_account: settings.get(&table::ES_USERNAME),
        rotation: rotation?,
        rotation_window: rotation_window(settings, findings),
        grace: grace?,
        expiration: settings.get(&table::CACHE_EXPIRATION)?,
        adopt: match settings.get::<&str>(&table::ADOPT)? {
            "never" => Adopt::Never,
            "any" => Adopt::Any,
            _ => Adopt::ElastauthGo,
        },
        writes_per_minute: settings
            .get::<u64>(&table::WRITES_PER_MINUTE)
            .and_then(|writes| u32::try_from(writes).ok())?,
        new_per_minute: settings
            .get::<u64>(&table::NEW_PER_MINUTE)
            .and_then(|users| u32::try_from(users).ok())?,
        writes_at_once: settings
            .get::<u64>(&table::WRITES_AT_ONCE)
            .and_then(|writes| usize::try_from(writes).ok())?,
        dry_run,
        ledger: ledger?,
    })
}

/// A key that is being replaced, and the moment from which users move to the new one.
fn previous_key(settings: &Settings, findings: &mut Findings) -> Option<PreviousKey> {
    let place = settings.place(&table::SECRET_KEY_PREVIOUS);
    let given = settings.given(&table::SECRET_KEY_PREVIOUS);
    if settings.given(&table::SECRET_KEY_SINCE) && !given {
        findings.fault(
            &settings.place(&table::SECRET_KEY_SINCE),
            "`secret_key_since` needs `secret_key_previous` beside it",
        );
    }
    if given && !settings.given(&table::SECRET_KEY) {
        findings.fault(
            &place,
            "`secret_key_previous` needs the new `secret_key` beside it",
        );
    }
    if given && !settings.given(&table::SECRET_KEY_SINCE) {
        findings.warn(
            &place,
            "`secret_key_since` is not set: users move to the new key at once, and replicas that do not know it yet lock them out; name a moment by which all know it",
        );
    }
    let key = settings.get(&table::SECRET_KEY_PREVIOUS)?;
    Some(PreviousKey {
        key,
        until: settings
            .get(&table::SECRET_KEY_SINCE)
            .unwrap_or(Timestamp(0)),
    })
}

fn rotation_window(settings: &Settings, findings: &mut Findings) -> Option<Window> {
    let place = settings.place(&table::ROTATION_WINDOW);
    let (text, zone) = (
        settings.get::<String>(&table::ROTATION_WINDOW)?,
        settings.get::<String>(&table::ROTATION_TIME_ZONE)?,
    );
    let rotation = settings.get::<Duration>(&table::ROTATION)?;
    if rotation.is_zero() || rotation.as_secs() % (24 * 3_600) != 0 || rotation.subsec_nanos() != 0
    {
        findings.fault(&place, "`credentials.rotation_window` needs a `credentials.rotation` of whole days, such as `24h` or `168h`");
    }
    match Window::parse(&text, &zone) {
        Ok(window) => Some(window),
        Err(error) => {
            let key = if error == InvalidWindow::Zone {
                &table::ROTATION_TIME_ZONE
            } else {
                &table::ROTATION_WINDOW
            };
            findings.fault(&settings.place(key), format!("`{}`: {error}", key.path));
            None
        }
    }
}
