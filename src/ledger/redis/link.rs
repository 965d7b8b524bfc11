//! The connection to Redis: held by one task, which alone connects. A caller finds it there or does
//! not, and never waits for it.
//!
//! The first answer that fails to come in time opens the circuit: for all others there is no
//! connection until a new one has answered.

use super::{
    connector::{CONNECT, Connection, Connector, backoff},
    health::{Health, Part},
    refusal::{reason, refusal},
    server::Driver,
};
use crate::ledger::types::lock;
use arc_swap::ArcSwap;
use redis::{Cmd, FromRedisValue, aio::PubSub};
use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep, timeout},
};

/// A connection that lasted so long was a good one: the waits begin again.
const GOOD: Duration = Duration::from_secs(10);

/// Why a command has no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AskError {
    /// There is no connection.
    Away,
    /// Redis did not answer in time, or the connection broke: whether it has run the command is not
    /// known.
    Late,
    /// Redis answered with an error.
    Refused(&'static str),
}

/// The one connection, and how to make another.
pub(super) struct Link {
    connector: ArcSwap<Connector>,
    health: Arc<Health>,
    live: Mutex<Option<Live>>,
    lost: Notify,
    /// Counts the connections.
    number: watch::Sender<u64>,
}

#[derive(Clone)]
struct Live {
    number: u64,
    connection: Connection,
}

impl Link {
    pub(super) fn new(connector: Connector, health: Arc<Health>) -> Self {
        Self {
            connector: ArcSwap::from_pointee(connector),
            health,
            live: Mutex::new(None),
            lost: Notify::new(),
            number: watch::Sender::new(0),
        }
    }

    /// From the next connection on; the present one is authenticated already.
    pub(super) fn replace(&self, connector: Connector) {
        self.connector.store(Arc::new(connector));
    }

    /// Runs a command, if there is a connection.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        deadline: Duration,
    ) -> Result<T, AskError> {
        let live = lock(&self.live).clone();
        let Some(Live {
            number,
            mut connection,
        }) = live
        else {
            return Err(AskError::Away);
        };
        let error = match timeout(deadline, connection.ask(command)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(_) => {
                self.lose(number, "it does not answer in time");
                return Err(AskError::Late);
            }
        };
        let Some((why, stays)) = refusal(&error) else {
            self.lose(number, "the connection is broken");
            return Err(AskError::Late);
        };
        if !stays {
            self.lose(number, why);
        }
        Err(AskError::Refused(why))
    }

    /// Whether there is a connection.
    pub(super) fn is_up(&self) -> bool {
        lock(&self.live).is_some()
    }

    /// Resolves when there is a connection.
    pub(super) async fn up(&self) {
        let mut numbers = self.number.subscribe();
        while lock(&self.live).is_none() {
            if numbers.changed().await.is_err() {
                return;
            }
        }
    }

    /// Keeps a connection: connects, waits until it is lost, and connects again.
    pub(super) async fn keep(&self) {
        let mut backoff = backoff();
        loop {
            match self.connector.load_full().connect().await {
                Ok((connection, driver)) => {
                    let (since, mut opened) = (Instant::now(), 0);
                    self.number.send_modify(|number| {
                        *number += 1;
                        opened = *number;
                        *lock(&self.live) = Some(Live {
                            number: *number,
                            connection,
                        });
                    });
                    self.health.set(Part::Link, None);
                    tokio::select! {
                        () = self.lost.notified() => {}
                        () = self.drive(driver, opened) => {}
                    }
                    if since.elapsed() >= GOOD {
                        backoff.reset();
                    }
                }
                Err(why) => self.health.set(Part::Link, Some(why)),
            }
            sleep(backoff.failed()).await;
        }
    }

    /// Drives a connection as long as it lasts. Never ends by itself: whoever loses a connection
    /// notifies `lost`, once.
    async fn drive(&self, driver: Driver, number: u64) {
        driver.await;
        self.lose(number, "the connection is broken");
        pending::<()>().await;
    }

    /// A connection of its own that receives the messages of this channel.
    pub(super) async fn subscribe(&self, channel: &str) -> Result<PubSub, &'static str> {
        timeout(CONNECT, self.connector.load_full().subscribe(channel))
            .await
            .map_err(|_| "it does not answer in time")?
            .map_err(|error| reason(&error))
    }

    fn lose(&self, number: u64, why: &'static str) {
        let mut live = lock(&self.live);
        // Many may notice at once; a newer connection has nothing to do with it.
        if live.as_ref().is_some_and(|live| live.number == number) {
            *live = None;
            drop(live);
            self.health.set(Part::Link, Some(why));
            self.lost.notify_one();
        }
    }
}
