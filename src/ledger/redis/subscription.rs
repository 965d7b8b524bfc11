//! The subscription to what other replicas report.
//!
//! A subscription that has silently died looks like one on which nobody reports anything. So every
//! replica sends a heartbeat every two seconds, and trusts its subscription only for as long as it
//! receives its own: that proves the whole way, from publishing to receiving.

use super::{
    connector::{DEADLINE, backoff},
    health::Part,
    link::AskError,
    state::Redis,
};
use crate::{
    keys::Slot,
    ledger::message::{Event, Message},
    telemetry::metrics::ClockSource,
};
use futures_util::StreamExt as _;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

const HEARTBEAT: Duration = Duration::from_secs(2);
/// Two heartbeats, and one second for a slow one.
const SILENCE: Duration = Duration::from_secs(5);
/// A Redis whose messages come so soon after the start was never away.
const START: Duration = Duration::from_secs(5);

/// Subscribes, and again when the subscription is lost. Never ends by itself.
pub(super) async fn keep(redis: &Redis) {
    let started = Instant::now();
    let (mut backoff, mut outage) = (backoff(), false);
    loop {
        let since = Instant::now();
        match redis.link.subscribe(&redis.namespace.channel).await {
            Ok(subscription) => {
                let mut messages = subscription.into_on_message();
                redis.heartbeat_due.notify_one();
                let (mut last_own_message, mut last) = (None, Instant::now());
                loop {
                    tokio::select! {
                        message = messages.next() => match message {
                            None => break,
                            Some(message) => if receive(redis, message.get_payload_bytes()) {
                                last = Instant::now();
                                if last_own_message.replace(redis.context.clock.now()).is_none() {
                                    subscribed(redis, outage || started.elapsed() >= START);
                                }
                            },
                        },
                        () = sleep_until(last + SILENCE) => break,
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
        let heartbeat = Event::Heartbeat(redis.context.clock.now());
        let keys = &redis.context.keys.of(Slot::Current).store;
        if let Some(message) = redis.namespace.message(keys, heartbeat) {
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

/// Takes one message; says whether it is our own.
fn receive(redis: &Redis, closed: &[u8]) -> bool {
    let message = match Message::open(&redis.context.keys, closed) {
        Ok(message) if message.from == redis.namespace.replica => return true,
        Ok(message) => message,
        Err(invalid) => {
            redis.found_invalid(invalid);
            return false;
        }
    };
    match message.event {
        Event::Changed(user, fingerprint) => {
            redis.memory.contradict(&user, fingerprint);
        }
        Event::Confirmed(user, fingerprint, seen) => {
            redis.confirmed_elsewhere(&user, fingerprint, seen);
        }
        Event::Heartbeat(now) => redis.context.clocks.compare(ClockSource::Replica, now),
    }
    false
}
