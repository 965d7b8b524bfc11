//! Sends the outbox to Redis, one entry at a time.

use super::{
    connector::BACKGROUND,
    health::Part,
    link::AskError,
    outbox::{Action, OutboxEntry},
    scripts,
    state::Redis,
};
use redis::Cmd;
use std::{pin::pin, time::Duration};
use tokio::time::sleep;
use tracing::warn;

/// How long the shutdown waits for a Redis that is away or takes no writes, while changes have
/// still to be reported. Long enough for a failover, and well within the time that the shutdown
/// has.
const LAST_TRIES: Duration = Duration::from_secs(5);
/// Between two tries of what Redis refuses.
const PAUSE: Duration = Duration::from_millis(500);
/// After the shutdown has begun: how often it is looked whether the last update has ended.
const LAST_UPDATES: Duration = Duration::from_millis(20);

/// Sends until the shutdown, and what the last updates report after it.
pub(super) async fn run(redis: &Redis) {
    let tasks = &redis.context.tasks;
    let mut drain_time = pin!(async {
        tasks.ending().await;
        sleep(LAST_TRIES).await;
    });
    let (mut has_patience, mut lost) = (true, 0_u32);
    loop {
        match redis.outbox.next() {
            Some(entry) => {
                let Err(error) = send(redis, &entry).await else {
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
                redis.outbox.put_back(entry, refused);
                let again = async {
                    if refused {
                        sleep(PAUSE).await;
                    } else {
                        redis.link.up().await;
                    }
                };
                tokio::select! {
                    () = again => {}
                    () = tasks.ending(), if !ending => {}
                    () = &mut drain_time, if has_patience => has_patience = false,
                }
            }
            None if tasks.is_ending() && !redis.memory.has_updates() => break,
            None => {
                redis.health.set(Part::Outbox, None);
                tokio::select! {
                    () = redis.outbox.filled.notified() => {}
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
async fn send(redis: &Redis, entry: &OutboxEntry) -> Result<(), AskError> {
    let channel = &redis.namespace.channel;
    let (message, number) = redis.entry_message(entry)?;
    let Some(script) = scripts::end(entry, redis.kept_for, channel, &message) else {
        drop(number);
        return forget(redis, entry, BACKGROUND).await;
    };
    match redis.link.ask::<bool>(&script, BACKGROUND).await {
        Ok(note_stored) => {
            number.published();
            redis.health.set(Part::Writes, None);
            if let Action::Store {
                instead_of, value, ..
            } = &entry.action
            {
                redis.stored(&entry.user, instead_of, value, note_stored);
            }
            Ok(())
        }
        Err(error) => {
            redis.failed(Part::Writes, &error);
            match error {
                AskError::Refused(_) if entry.action.is_change() => {
                    drop(number);
                    forget(redis, entry, BACKGROUND).await
                }
                AskError::Refused(_) => Ok(()),
                AskError::Away | AskError::Late => Err(error),
            }
        }
    }
}

/// Removes the fact and reports it: two commands that work where scripts do not. Both are tried.
pub(super) async fn forget(
    redis: &Redis,
    entry: &OutboxEntry,
    deadline: Duration,
) -> Result<(), AskError> {
    let (message, number) = redis.entry_message(entry)?;
    let (mut delete, mut publish) = (Cmd::new(), Cmd::new());
    delete.arg("DEL").arg(&entry.key);
    publish
        .arg("PUBLISH")
        .arg(&redis.namespace.channel)
        .arg(message);
    let (deleted, reported) = tokio::join!(
        redis.link.ask::<()>(&delete, deadline),
        redis.link.ask::<()>(&publish, deadline)
    );
    if reported.is_ok() {
        number.published();
    }
    for error in [&deleted, &reported]
        .into_iter()
        .filter_map(|result| result.as_ref().err())
    {
        redis.failed(Part::Writes, error);
    }
    deleted.and(reported)
}
