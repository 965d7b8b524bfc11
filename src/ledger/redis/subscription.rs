//! The subscription to what other replicas report.
//!
//! A subscription that has silently died looks like one on which nobody reports anything. So every
//! replica sends a heartbeat every two seconds, and trusts its subscription only for as long as it
//! receives its own: that proves the whole way, from publishing to receiving. The numbers of the
//! messages prove that none is missing.

use super::{
    connector::{DEADLINE, backoff},
    health::Part,
    link::AskError,
    senders::{Senders, Taken},
    state::Redis,
};
use crate::{
    clock::Timestamp,
    keys::Slot,
    ledger::message::{Event, InvalidMessage, Message},
    telemetry::metrics::{ClockSource, StoreMessage},
};
use futures_util::StreamExt as _;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, warn};

const HEARTBEAT: Duration = Duration::from_secs(2);
/// Two heartbeats, and one second for a slow one.
const SILENCE: Duration = Duration::from_secs(5);
/// A Redis whose messages come so soon after the start was never away.
const START: Duration = Duration::from_secs(5);

/// What a message says about the subscription.
enum Received {
    /// It is our own: the way is complete.
    Own,
    Other,
    /// A change may have been missed after this time.
    Missed(Timestamp, &'static str),
    /// A change was perhaps received, but not understood.
    OtherVersion,
}

/// Subscribes, and again when the subscription is lost. Never ends by itself.
pub(super) async fn keep(redis: &Redis) {
    let started = Instant::now();
    let (mut backoff, mut outage) = (backoff(), false);
    let mut senders = Senders::default();
    loop {
        let since = Instant::now();
        senders.interrupted();
        match redis.link.subscribe(&redis.namespace.channel).await {
            Ok(subscription) => {
                let mut messages = subscription.into_on_message();
                redis.heartbeat_due.notify_one();
                let (mut last_own_message, mut last) = (None, Instant::now());
                let mut other_version = None::<Instant>;
                loop {
                    let message = tokio::select! {
                        message = messages.next() => message,
                        () = sleep_until(last + SILENCE) => break,
                    };
                    let Some(message) = message else { break };
                    let missed = match receive(redis, &mut senders, message.get_payload_bytes()) {
                        Received::Own => {
                            last = Instant::now();
                            let understood = other_version.is_none_or(|at| last - at >= SILENCE);
                            let now = redis.context.clock.now();
                            if understood && last_own_message.replace(now).is_none() {
                                senders.complete();
                                subscribed(redis, outage || started.elapsed() >= START);
                            }
                            continue;
                        }
                        Received::Other => continue,
                        Received::Missed(after, why) => {
                            let until = last_own_message.take().map(|own| after.min(own));
                            until.map(|until| (until, why))
                        }
                        Received::OtherVersion => {
                            other_version = Some(Instant::now());
                            let why = "replicas of another version of elastauth use it, and what \
                                       they change is not understood";
                            last_own_message.take().map(|own| (own, why))
                        }
                    };
                    if let Some((until, why)) = missed {
                        redis.memory.subscription.lost(until);
                        outage = true;
                        redis.health.set(Part::Subscription, Some(why));
                        redis.heartbeat_due.notify_one();
                    }
                }
                if let Some(until) = last_own_message {
                    redis.memory.subscription.lost(until);
                    outage = true;
                }
                let why = "changes by other replicas are not received";
                redis.health.set(Part::Subscription, Some(why));
                if since.elapsed() >= SILENCE * 2 {
                    backoff.reset();
                }
            }
            Err(why) => redis.health.set(Part::Subscription, Some(why)),
        }
        sleep(backoff.failed()).await;
    }
}

/// Never ends by itself.
pub(super) async fn send_heartbeats(redis: &Redis) {
    loop {
        redis.expire_foreign();
        let heartbeat =
            Event::Heartbeat(redis.context.clock.now(), redis.numbers.published_changes());
        let keys = &redis.context.keys.of(Slot::Current).store;
        if let Ok((message, _)) = redis.message(keys, heartbeat) {
            let mut publish = redis::Cmd::new();
            publish
                .arg("PUBLISH")
                .arg(&redis.namespace.channel)
                .arg(message);
            // If it fails nobody receives it, and that is the measure.
            if redis.link.ask::<()>(&publish, DEADLINE * 4).await == Err(AskError::Away) {
                redis.link.up().await;
                continue;
            }
        }
        tokio::select! {
            () = sleep(HEARTBEAT) => {}
            () = redis.heartbeat_due.notified() => {}
        }
    }
}

fn subscribed(redis: &Redis, after_an_outage: bool) {
    if after_an_outage {
        let now = redis.context.clock.now();
        redis.outage_ended.store(now.0, Ordering::Release);
    }
    redis.memory.subscription.begin();
    redis.health.set(Part::Subscription, None);
}

/// Takes one message.
fn receive(redis: &Redis, senders: &mut Senders, closed: &[u8]) -> Received {
    let metrics = &redis.context.metrics;
    let message = match Message::open(&redis.context.keys, closed) {
        Ok(message) => message,
        Err(InvalidMessage::Seal(invalid)) => {
            redis.found_invalid(invalid);
            return Received::Other;
        }
        Err(InvalidMessage::OtherVersion) => {
            metrics.received(StoreMessage::OtherVersion);
            debug!("a message of a replica of another version of elastauth is ignored");
            return Received::OtherVersion;
        }
    };
    let now = redis.context.clock.now();
    let missed = match senders.take(&message, now) {
        Taken::Again => {
            metrics.received(StoreMessage::Again);
            if let Ok(more) = redis.replays.take(now) {
                warn!(
                    more = more.map(u64::from),
                    "a message between replicas came a second time and is ignored; if this goes \
                     on, somebody who can write to Redis sends copies"
                );
            }
            return Received::Other;
        }
        Taken::New => None,
        Taken::NewAfterGap(complete_at) => {
            metrics.received(StoreMessage::Missed);
            if let Ok(more) = redis.losses.take(now) {
                warn!(
                    more = more.map(u64::from),
                    "a message of another replica about a change was lost on its way through \
                     Redis; what is remembered is checked with the cluster again"
                );
            }
            Some(complete_at)
        }
    };
    let is_own = message.from == redis.namespace.replica;
    match message.event {
        _ if is_own => {}
        Event::Changed(user, fingerprint) => {
            redis.memory.contradict(&user, fingerprint);
        }
        Event::Confirmed(user, fingerprint, seen) => {
            redis.confirmed_elsewhere(&user, fingerprint, seen);
        }
        Event::Heartbeat(now, _) => redis.context.clocks.compare(ClockSource::Replica, now),
    }
    match missed {
        Some(after) => Received::Missed(after, "messages between replicas are lost"),
        None if is_own => Received::Own,
        None => Received::Other,
    }
}
