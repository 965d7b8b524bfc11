//! Sends the outbox to Redis, one entry at a time.

use super::{
    health::Part, limits::BACKGROUND, link::AskError, outbox::OutboxEntry, scripts::millis,
    state::State,
};
use crate::shutdown::Tasks;
use redis::Cmd;
use std::{pin::pin, time::Duration};
use tokio::time::sleep;
use tracing::warn;

/// How long the end waits for a Redis that is away or takes no writes, while changes have still to
/// be reported. Long enough for a failover, and well within the time that the end has.
const LAST_TRIES: Duration = Duration::from_secs(5);
/// Between two tries of what Redis refuses.
const PAUSE: Duration = Duration::from_millis(500);
/// After the end has begun: how often it is looked whether the last update has ended.
const LAST_UPDATES: Duration = Duration::from_millis(20);

/// Sends until the end, and what the last updates report after it.
pub(super) async fn run(state: &State, tasks: &Tasks) {
    let mut patience = pin!(async {
        tasks.ending().await;
        sleep(LAST_TRIES).await;
    });
    let (mut has_patience, mut lost) = (true, 0_u32);
    loop {
        match state.outbox.next() {
            Some(entry) => {
                let Err(error) = send(state, &entry).await else {
                    continue;
                };
                let ending = tasks.is_ending();
                if ending && !(has_patience && entry.action.is_change()) {
                    lost += u32::from(entry.action.is_change());
                    continue;
                }
                // One that is refused lets others pass: in a cluster some of them go to another
                // node.
                let refused = matches!(error, AskError::Refused(_));
                state.outbox.put_back(entry, refused);
                let again = async {
                    if refused {
                        sleep(PAUSE).await;
                    } else {
                        state.link.up().await;
                    }
                };
                tokio::select! {
                    () = again => {}
                    () = tasks.ending(), if !ending => {}
                    () = &mut patience, if has_patience => has_patience = false,
                }
            }
            None if tasks.is_ending() && !state.memory.has_updates() => break,
            None => {
                state.health.set(Part::Outbox, None);
                tokio::select! {
                    () = state.outbox.filled() => {}
                    () = async { tasks.ending().await; sleep(LAST_UPDATES).await } => {}
                }
            }
        }
    }
    if lost > 0 {
        warn!(
            changes = lost,
            "changes could not be reported to Redis before the end; other replicas may use \
             outdated entries"
        );
    }
}

/// A confirmation is not worth a second try where Redis refuses it.
async fn send(state: &State, entry: &OutboxEntry) -> Result<(), AskError> {
    let (kept_ms, channel) = (millis(state.kept_for), state.names.channel());
    let Some(script) = state.scripts.end(entry, kept_ms, channel) else {
        return forget(state, entry, BACKGROUND).await;
    };
    match state.link.ask::<bool>(&script, BACKGROUND).await {
        Ok(is_stored) => {
            state.health.set(Part::Writes, None);
            if let Some((instead_of, value)) = entry.action.values() {
                state.stored(&entry.user, instead_of, value, is_stored);
            }
            Ok(())
        }
        Err(error) => {
            state.failed(Part::Writes, &error);
            match error {
                AskError::Refused(_) if entry.action.is_change() => {
                    forget(state, entry, BACKGROUND).await
                }
                AskError::Refused(_) => Ok(()),
                AskError::Away | AskError::Late => Err(error),
            }
        }
    }
}

/// Removes the fact and reports it: two commands that work where scripts do not. Both are tried.
pub(super) async fn forget(
    state: &State,
    entry: &OutboxEntry,
    deadline: Duration,
) -> Result<(), AskError> {
    let (mut delete, mut publish) = (Cmd::new(), Cmd::new());
    delete.arg("DEL").arg(&entry.key);
    publish
        .arg("PUBLISH")
        .arg(state.names.channel())
        .arg(&entry.message);
    let (deleted, reported) = tokio::join!(
        state.link.ask::<()>(&delete, deadline),
        state.link.ask::<()>(&publish, deadline)
    );
    for error in [&deleted, &reported]
        .into_iter()
        .filter_map(|result| result.as_ref().err())
    {
        state.failed(Part::Writes, error);
    }
    deleted.and(reported)
}
