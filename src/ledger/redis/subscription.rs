//! The subscription to what other replicas report.
//!
//! A subscription that has silently died looks like one on which nobody reports anything. So every
//! replica sends a heartbeat every two seconds, and trusts its subscription only for as long as it
//! receives its own: that proves the whole way, from publishing to receiving.

use super::{
    health::Part,
    limits::{DEADLINE, backoff},
    link::AskError,
    state::State,
};
use crate::{
    keys::Slot,
    ledger::message::{Event, Message},
    telemetry::metrics::ClockSource,
};
use futures_util::StreamExt as _;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const HEARTBEAT: Duration = Duration::from_secs(2);
/// Two heartbeats, and one second for a slow one.
const SILENCE: Duration = Duration::from_secs(5);
/// A Redis whose messages come so soon after the start was never away.
const START: Duration = Duration::from_secs(5);

/// Subscribes, and again when the subscription is lost. Never ends by itself.
pub(super) async fn keep(state: &State) {
    let started = Instant::now();
    let (mut backoff, mut outage) = (backoff(), false);
    loop {
        let since = Instant::now();
        match state.link.subscribe(state.names.channel()).await {
            Ok(subscription) => {
                let mut messages = subscription.into_on_message();
                state.heartbeat_due.notify_one();
                let (mut complete_until, mut last) = (None, Instant::now());
                loop {
                    tokio::select! {
                        message = messages.next() => match message {
                            None => break,
                            Some(message) => if receive(state, message.get_payload_bytes()) {
                                last = Instant::now();
                                if complete_until.replace(state.clock.now()).is_none() {
                                    subscribed(state, outage || started.elapsed() >= START);
                                }
                            },
                        },
                        () = sleep_until(last + SILENCE) => break,
                    }
                }
                if let Some(until) = complete_until {
                    state.memory.subscription_lost(until);
                    outage = true;
                }
                let why = "changes by other replicas are not received";
                state.health.set(Part::Subscription, Some(why));
                if since.elapsed() >= SILENCE * 2 {
                    backoff.reset();
                }
            }
            Err(why) => state.health.set(Part::Subscription, Some(why)),
        }
        sleep(backoff.failed()).await;
    }
}

/// Never ends by itself.
pub(super) async fn send_heartbeats(state: &State) {
    loop {
        state.invalid.expire(state.clock.now(), &state.health);
        let keys = &state.names.keyring().of(Slot::Current).store;
        let heartbeat = Event::Heartbeat(state.clock.now());
        if let Some(message) = state.names.message(keys, heartbeat) {
            let mut publish = redis::Cmd::new();
            publish
                .arg("PUBLISH")
                .arg(state.names.channel())
                .arg(message);
            // If it fails nobody receives it, and that is the measure.
            if state.link.ask::<()>(&publish, DEADLINE * 4).await == Err(AskError::Away) {
                state.link.up().await;
                continue;
            }
        }
        tokio::select! {
            () = sleep(HEARTBEAT) => {}
            () = state.heartbeat_due.notified() => {}
        }
    }
}

fn subscribed(state: &State, after_an_outage: bool) {
    if after_an_outage {
        state.outage_ended(state.clock.now());
    }
    state.memory.subscribed();
    state.health.set(Part::Subscription, None);
}

/// Takes one message; says whether it is our own.
fn receive(state: &State, closed: &[u8]) -> bool {
    let message = match Message::open(state.names.keyring(), closed) {
        Ok(message) if state.names.is_own(&message) => return true,
        Ok(message) => message,
        Err(invalid) => {
            state.found_invalid(invalid);
            return false;
        }
    };
    match message.event {
        Event::Changed(user, fingerprint) => {
            state.memory.contradict(&user, fingerprint);
        }
        Event::Confirmed(user, fingerprint, seen) => {
            state.confirmed_elsewhere(&user, fingerprint, seen);
        }
        Event::Heartbeat(now) => state.clocks.compare(ClockSource::Replica, now),
    }
    false
}
