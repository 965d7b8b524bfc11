//! Hearing of changes that other replicas make.
//!
//! A subscription that has silently died looks like one on which nobody says anything. So every
//! replica says something every two seconds, and believes that it hears only for as long as it
//! hears itself: that proves the whole way, from publishing to hearing.

use super::{Shared, health::Part, link::Waits};
use crate::{
    keys::Slot,
    ledger::seal::{Letter, News},
    telemetry::metrics::ClockSource,
};
use futures_util::StreamExt as _;
use std::{sync::atomic::Ordering, time::Duration};
use tokio::time::{Instant, sleep, sleep_until};

/// How often a replica says that it is there.
const BEAT: Duration = Duration::from_secs(2);
/// Two beats, and one second for a slow one.
const DEAF: Duration = Duration::from_secs(5);
/// A Redis that is heard so soon after the start was never away.
const START: Duration = Duration::from_secs(5);

/// Hears for ever. Never ends by itself.
pub(super) async fn hear(shared: &Shared) {
    let started = Instant::now();
    let (mut waits, mut outage) = (Waits::default(), false);
    loop {
        let since = Instant::now();
        match shared.link.subscribe(&shared.channel).await {
            Ok(subscription) => {
                let mut letters = subscription.into_on_message();
                shared.wake_beat.notify_one();
                let (mut heard, mut last) = (None, Instant::now());
                loop {
                    tokio::select! {
                        letter = letters.next() => match letter {
                            None => break,
                            Some(letter) => if takes(shared, letter.get_payload_bytes()) {
                                last = Instant::now();
                                if heard.replace(shared.clock.now()).is_none() {
                                    arrived(shared, outage || started.elapsed() >= START);
                                }
                            },
                        },
                        () = sleep_until(last + DEAF) => break,
                    }
                }
                if let Some(until) = heard {
                    shared.front.hears_no_more(until);
                    outage = true;
                }
                shared
                    .health
                    .set(Part::News, Some("changes by other replicas are not heard"));
                if since.elapsed() >= DEAF * 2 {
                    waits = Waits::default();
                }
            }
            Err(why) => shared.health.set(Part::News, Some(why)),
        }
        waits.wait().await;
    }
}

/// Says that we are there, for ever.
pub(super) async fn beat(shared: &Shared) {
    loop {
        shared.forget_foreign();
        let keys = &shared.keys.of(Slot::Current).store;
        if let Some(letter) = shared.letter(keys, News::Beat(shared.clock.now())) {
            let mut publish = redis::Cmd::new();
            publish.arg("PUBLISH").arg(&shared.channel).arg(letter);
            // If it fails nobody hears it, and that is the measure.
            if shared.link.ask::<()>(&publish, super::DEADLINE * 4).await
                == Err(super::AskError::Away)
            {
                shared.link.up().await;
                continue;
            }
        }
        tokio::select! {
            () = sleep(BEAT) => {}
            () = shared.wake_beat.notified() => {}
        }
    }
}

fn arrived(shared: &Shared, after_an_outage: bool) {
    let now = shared.clock.now();
    if after_an_outage {
        shared.outage_ended.store(now.0, Ordering::Release);
    }
    shared.front.hears();
    shared.health.set(Part::News, None);
}

/// Takes one letter; says whether it is our own.
fn takes(shared: &Shared, closed: &[u8]) -> bool {
    match Letter::open(&shared.keys, closed) {
        Ok(letter) if letter.from == shared.own => true,
        Ok(Letter {
            news: News::Changed(user, fingerprint),
            ..
        }) => {
            let _known = shared.front.contradict(&user, fingerprint);
            false
        }
        Ok(Letter {
            news: News::Stands(user, fingerprint, seen),
            ..
        }) => {
            shared.confirmed_elsewhere(&user, fingerprint, seen);
            false
        }
        Ok(Letter {
            news: News::Beat(now),
            ..
        }) => {
            shared.clocks.compare(ClockSource::Replica, now);
            false
        }
        Err(worthless) => {
            shared.worthless(worthless);
            false
        }
    }
}
