//! Updates in the ledger that need no write: another replica vouches for the user, or the cluster
//! has confirmed it.

use crate::{
    broker::{document::Document, state::State},
    ledger::Update,
};
use std::time::Duration;
use tokio::time::sleep;

/// How long apart the store is asked whether another replica's write has ended, in milliseconds:
/// most do within tens of them, and none is waited for longer than half a second. A mark may stay
/// when its write has ended, and then the wait is in vain: after the grace of a new period it must
/// leave time for the answer.
const BETWEEN_LOOKS: [u64; 4] = [30, 60, 120, 240];

/// Begins an update in the ledger.
pub(super) async fn begin(state: &State, document: &Document) -> Update {
    let mut update = state.ledger.begin_update(document.target.clone()).await;
    let user = &document.target.user;
    if state.uncertain.affects(user, state.clock.now()) {
        update.keep_local();
    }
    update
}

/// Takes over what the store vouches for: another replica has asked the cluster, or this one has
/// before its restart, and that is still trusted.
pub(super) fn use_stored(state: &State, update: &Update) -> bool {
    let (user, now) = (update.user(), state.clock.now());
    let confirmed_at = update
        .confirmed_at()
        .filter(|seen| !state.uncertain.affects(user, *seen) && state.is_fresh(user, *seen, now));
    if let Some(seen) = confirmed_at {
        update.use_stored(seen, now);
    }
    confirmed_at.is_some()
}

/// Remembers that the cluster has confirmed the user. If another replica writes the user, this
/// waits for it, at most half a second, and then remembers only what the store has.
///
/// What the cluster has confirmed may be that very write, seen at one copy of the index before the
/// other copies have it. A node that reads one of those would refuse the login.
pub(super) async fn confirm(state: &State, document: &Document, mut update: Update) {
    let mut waited = false;
    for pause in BETWEEN_LOOKS {
        if !state
            .ledger
            .is_written_elsewhere(&update, state.clock.now())
        {
            break;
        }
        state.ledger.drop_outdated(&update);
        sleep(Duration::from_millis(pause)).await;
        waited = true;
        // The ledger has one update a user: the old one ends before the new one begins.
        drop(update);
        update = begin(state, document).await;
    }
    // What was seen before a wait answers those who wait and is not remembered: a contradiction of
    // that time went to the update that is over.
    if !use_stored(state, &update) && !waited {
        state.ledger.record_confirmed(&update, state.clock.now());
    }
}
