//! Credentials, and the users that are written.

use super::{filler::Filler, ledger};
use crate::{
    broker::{Config, InvalidWindow, OpenSearchPeriods, PreviousKey, Window},
    clock::Timestamp,
    config::table,
};
use jiff::SignedDuration;
use std::time::Duration;

/// Bounds of the default of `credentials.park_within`. Below two seconds the grace of a boundary
/// and the look through the users leave no time.
const SHORTEST_PARKING: Duration = Duration::from_secs(2);
const LONGEST_PARKING: Duration = Duration::from_hours(1);

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    if !fill.given(&table::SECRET_KEY) {
        fill.warn(
            &table::SECRET_KEY,
            "`secret_key` is not set, so each start makes one: every restart writes all users \
             again, and several replicas lock each other's users out; make one with \
             `elastauth generate-key`",
        );
    }
    let ledger = ledger::fill(fill);
    let rotation = fill.get::<Duration>(&table::ROTATION);
    let grace = fill.get::<Duration>(&table::GRACE);
    if let (Some(rotation), Some(grace)) = (rotation, grace)
        // Requests wait during the grace: half of the time would be lost to it.
        && !rotation.is_zero()
        && rotation < grace * 2
    {
        fill.fault(
            &table::ROTATION,
            "`credentials.rotation` must be at least twice `credentials.grace`, or 0",
        );
    }
    if fill.get(&table::EXTEND_CACHE) == Some(true) {
        fill.warn(
            &table::EXTEND_CACHE,
            "`extend_cache` has no effect: elastauth checks each user again after \
             `cache.expiration`, used or not",
        );
    }
    let dry_run = fill.get(&table::ES_DRY_RUN)?;
    if dry_run {
        fill.warn(
            &table::ES_DRY_RUN,
            "`elasticsearch.dry_run` is on: elastauth answers with logins and writes no users, so \
             the cluster refuses these logins",
        );
    }
    let config = Config {
        secret_key: fill.get(&table::SECRET_KEY),
        previous_key: previous_key(fill),
        cluster_name: fill.get(&table::ES_CLUSTER_NAME)?,
        service_account: fill.get(&table::ES_USERNAME),
        rotation: rotation?,
        opensearch: on_opensearch(fill, rotation?),
        rotation_window: rotation_window(fill),
        grace: grace?,
        park_within: park_within(fill, rotation?),
        expiration: fill.get(&table::CACHE_EXPIRATION)?,
        adopt: fill.get(&table::ADOPT)?,
        writes_per_minute: fill.number(&table::WRITES_PER_MINUTE)?,
        new_per_minute: fill.number(&table::NEW_PER_MINUTE)?,
        tries_for: Config::TRIES_FOR,
        writes_at_once: fill.number(&table::WRITES_AT_ONCE)?,
        // A section can so do without what the others do.
        prune_after: fill
            .get(&table::PRUNE_AFTER)
            .filter(|after: &Duration| !after.is_zero()),
        dry_run,
        ledger: ledger?,
    };
    let least = config.shortest_pruning(fill.get(&table::ES_KIND)?);
    if config.prune_after.is_some_and(|after| after < least) {
        let least = SignedDuration::try_from(least).unwrap_or(SignedDuration::MAX);
        fill.fault(
            &table::PRUNE_AFTER,
            format!(
                "`users.prune_after` must be at least {least:#} here, twice the time within which it \
                 is known when a user was seen: that is `credentials.rotation`, and where it is 0 \
                 a day (seven on OpenSearch) and `cache.expiration`"
            ),
        );
    }
    Some(config)
}

/// What is given counts for either kind of cluster; the defaults differ.
fn on_opensearch(fill: &Filler<'_>, rotation: Duration) -> OpenSearchPeriods {
    let rotation = if fill.given(&table::ROTATION) {
        rotation
    } else {
        OpenSearchPeriods::ROTATION
    };
    let longest = OpenSearchPeriods::PARK_WITHIN;
    let park_within = fill.get::<Duration>(&table::PARK_WITHIN);
    OpenSearchPeriods {
        rotation,
        park_within: park_within.unwrap_or((rotation / 4).clamp(SHORTEST_PARKING, longest)),
    }
}

/// A key that is being replaced, and the time from which users move to the new one.
fn previous_key(fill: &mut Filler<'_>) -> Option<PreviousKey> {
    let given = fill.given(&table::SECRET_KEY_PREVIOUS);
    fill.requires(&table::SECRET_KEY_SINCE, &table::SECRET_KEY_PREVIOUS);
    if given && !fill.given(&table::SECRET_KEY) {
        fill.fault(
            &table::SECRET_KEY_PREVIOUS,
            "`secret_key_previous` needs the new `secret_key` as well",
        );
    }
    if given && !fill.given(&table::SECRET_KEY_SINCE) {
        fill.warn(
            &table::SECRET_KEY_PREVIOUS,
            "`secret_key_since` is not set, so users move to the new key at once, and replicas \
             that do not have it yet lock them out; name a time by which all replicas have it",
        );
    }
    Some(PreviousKey {
        key: fill.get(&table::SECRET_KEY_PREVIOUS)?,
        until: fill.get(&table::SECRET_KEY_SINCE).unwrap_or(Timestamp(0)),
    })
}

/// How long a login may work after its period. `None` where nobody is parked.
fn park_within(fill: &mut Filler<'_>, rotation: Duration) -> Option<Duration> {
    let given = fill.get::<Duration>(&table::PARK_WITHIN);
    let parks = fill.get(&table::PARK) == Some(true) && !rotation.is_zero();
    if given.is_some() && !parks {
        fill.warn(
            &table::PARK_WITHIN,
            "`credentials.park_within` has no effect: nobody is parked with \
             `credentials.park: false`, or without `credentials.rotation`",
        );
    }
    parks.then(|| given.unwrap_or((rotation / 4).clamp(SHORTEST_PARKING, LONGEST_PARKING)))
}

fn rotation_window(fill: &mut Filler<'_>) -> Option<Window> {
    let text = fill.get::<String>(&table::ROTATION_WINDOW)?;
    let zone = fill.get::<String>(&table::ROTATION_TIME_ZONE)?;
    let rotation = fill.get::<Duration>(&table::ROTATION)?;
    let day = Duration::from_hours(24).as_nanos();
    if rotation.is_zero() || !rotation.as_nanos().is_multiple_of(day) {
        fill.fault(
            &table::ROTATION_WINDOW,
            "`credentials.rotation_window` needs a `credentials.rotation` of whole days, such as \
             `24h` or `168h`",
        );
    }
    let window = Window::parse(&text, &zone).map_err(|error| {
        let key = if error == InvalidWindow::Zone {
            &table::ROTATION_TIME_ZONE
        } else {
            &table::ROTATION_WINDOW
        };
        fill.invalid(key, error);
    });
    window.ok()
}
