//! The time limits of a connection, with one timer for its whole life.

use super::connection::PeerConnection;
use std::{
    future::Future as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// How long a connection without a request yet has for its first one when the end begins. It was
/// made because there is one, and a gateway that finds it closed under its first request does not
/// know that nobody has read it.
const FIRST: Duration = Duration::from_secs(1);

/// How long what comes is thrown away, so that an answer reaches whoever still sends: longer than
/// the round trip of a client that stops when it sees the answer.
const LINGER: Duration = Duration::from_secs(5);

/// Requests do not set the timer. When it expires, it is set again if there was a request since; so
/// a connection gets between one and two of the times in [`super::limits::ListenerLimits`].
pub(super) struct Timer {
    connection: Arc<PeerConnection>,
    sleep: Pin<Box<Sleep>>,
    phase: TimerPhase,
    /// When the timer was set.
    since: Instant,
    /// Requests at that time.
    requests: u32,
    /// The phase has changed since, and the timer was left as it was.
    is_carried: bool,
    /// The connection has had all its requests.
    is_spent: bool,
}

/// What a connection is given time for.
#[derive(Clone, Copy, PartialEq)]
enum TimerPhase {
    /// To send a request.
    Header,
    /// To send its first request, and no other one.
    First,
    /// To be idle.
    Idle,
    /// To read what is written to it.
    Write,
    /// To move a body.
    Exchange,
    /// To be told, while what it still sends is thrown away, that it is not wanted.
    Linger,
    /// To end.
    Drain,
}

/// What is to be done with the connection now.
pub(super) enum TimerAction {
    Wait,
    /// Finish the requests under way, then end.
    Drain,
    Close,
}

impl Timer {
    pub(super) fn new(connection: Arc<PeerConnection>) -> Self {
        let sleep = Box::pin(sleep(connection.peer_limits().header));
        Self {
            connection,
            sleep,
            phase: TimerPhase::Header,
            since: Instant::now(),
            requests: 0,
            is_carried: false,
            is_spent: false,
        }
    }

    pub(super) fn poll(&mut self, context: &mut Context<'_>, draining: bool) -> TimerAction {
        if draining && self.phase != TimerPhase::Drain {
            if self.connection.activity.requests() > 0 {
                self.set(TimerPhase::Drain);
                return TimerAction::Drain;
            }
            if self.phase != TimerPhase::First {
                self.set(TimerPhase::First);
            }
        }
        let activity = &self.connection.activity;
        if activity.cancels_too_much() {
            return TimerAction::Close;
        }
        if !self.is_spent && activity.requests() >= self.connection.limits.requests {
            // An answer of HTTP/1.1 says so itself.
            self.is_spent = true;
            if activity.is_multiplexed() {
                return TimerAction::Drain;
            }
        }
        let phase = self.due();
        if phase != self.phase {
            self.change(phase);
        }
        while let Poll::Ready(()) = self.sleep.as_mut().poll(context) {
            let was_active =
                self.is_carried || self.connection.activity.requests() != self.requests;
            match self.phase {
                TimerPhase::Header | TimerPhase::Idle if was_active => self.set(self.phase),
                // The end of the program has a bound of its own, and an exchange without progress
                // ends there or in its own task.
                TimerPhase::Drain if self.connection.activity.has_exchanges() => {
                    self.set(TimerPhase::Drain);
                }
                TimerPhase::Header | TimerPhase::Write | TimerPhase::Linger | TimerPhase::Drain => {
                    return TimerAction::Close;
                }
                TimerPhase::Exchange if self.is_stalled() => return TimerAction::Close,
                TimerPhase::Exchange => self.set(self.phase),
                TimerPhase::Idle | TimerPhase::First => {
                    self.set(TimerPhase::Drain);
                    return TimerAction::Drain;
                }
            }
        }
        TimerAction::Wait
    }

    fn due(&self) -> TimerPhase {
        let activity = &self.connection.activity;
        if let TimerPhase::First | TimerPhase::Drain = self.phase {
            self.phase
        } else if activity.is_lingering() {
            TimerPhase::Linger
        } else if activity.has_exchanges() {
            TimerPhase::Exchange
        } else if activity.is_in_header()
            || !self.connection.may_be_idle()
            || activity.requests() == 0
        {
            // A peer that has shown nothing gets no idle connection where gateways ask. It has to
            // be done with a whole request in this time, reading the answer included.
            TimerPhase::Header
        } else if activity.is_stalled() {
            TimerPhase::Write
        } else {
            TimerPhase::Idle
        }
    }

    /// The requests of HTTP/2 are watched each in its own task.
    fn is_stalled(&self) -> bool {
        let least = self.connection.limits.progress_bytes;
        let progress = self.connection.last_progress();
        progress.as_ref().is_some_and(|own| own.is_stalled(least))
    }

    /// Between requests and within them a timer that expires early enough is left as it is: each
    /// request changes the phase twice, and to set it costs all threads a lock.
    fn change(&mut self, phase: TimerPhase) {
        use TimerPhase::{Exchange, Idle};
        let is_usual = matches!((self.phase, phase), (Idle, Exchange) | (Exchange, Idle));
        // It was set before now: what is early enough from then on is early enough.
        if is_usual && self.sleep.deadline() <= self.since + self.time(phase) {
            self.phase = phase;
            self.is_carried = true;
        } else {
            self.set(phase);
        }
    }

    fn set(&mut self, phase: TimerPhase) {
        self.phase = phase;
        self.is_carried = false;
        self.requests = self.connection.activity.requests();
        self.since = Instant::now();
        let time = self.time(phase);
        self.sleep.as_mut().reset(self.since + time);
    }

    fn time(&self, phase: TimerPhase) -> Duration {
        let (limits, of_peer) = (&self.connection.limits, self.connection.peer_limits());
        match phase {
            TimerPhase::Header => of_peer.header,
            TimerPhase::Write => of_peer.write,
            TimerPhase::First => FIRST.min(of_peer.header),
            TimerPhase::Idle => limits.idle,
            TimerPhase::Exchange => limits.progress,
            TimerPhase::Linger => LINGER,
            TimerPhase::Drain => limits.drain,
        }
    }
}
