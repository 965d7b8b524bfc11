//! The one line a refusal writes, and the limit to how many.

use super::decision::Asked;
use crate::{
    outcome::Refusal,
    respond::Line,
    telemetry::{chain, metrics::Metrics},
};
use http::{HeaderMap, HeaderName};
use std::{
    error::Error,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tracing::Level;

/// So many lines of one kind are written in a second. Enough to see what goes on; more would let
/// anybody who can reach the port fill the disk.
const LINES_PER_SECOND: u32 = 10;

/// Lets a few lines of one kind through in each second and counts the others.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    written: u32,
    suppressed: u64,
}

impl Throttle {
    /// `None`: write nothing. Otherwise how many lines were left out since the last one that was
    /// written.
    pub(super) fn admit(&self) -> Option<u64> {
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if window
            .since
            .is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1))
        {
            window.since = Some(now);
            window.written = 0;
        }
        if window.written == LINES_PER_SECOND {
            window.suppressed = window.suppressed.saturating_add(1);
            return None;
        }
        window.written += 1;
        Some(std::mem::take(&mut window.suppressed))
    }
}

/// One throttle an outcome, so that a flood of strangers does not hide a refusal of another kind.
#[derive(Debug, Default)]
pub(super) struct Lines {
    refusals: [Throttle; Refusal::ALL.len()],
    withheld: Throttle,
    rechecks: Throttle,
    pub(super) logouts: Throttle,
}

/// What a refusal's line tells.
#[derive(Debug)]
pub(super) struct Refused<'a> {
    pub(super) refusal: Refusal,
    pub(super) status: u16,
    pub(super) peer: IpAddr,
    pub(super) user: Option<&'a str>,
    pub(super) request_id: &'a str,
    /// Where the request's trace is recorded.
    pub(super) trace_id: Option<&'a str>,
    /// `None` for a peer that is not believed: nothing that it sends gets into the log.
    pub(super) asked: Option<&'a Asked>,
    pub(super) error: &'a (dyn Error + 'static),
}

macro_rules! line {
    ($level:expr, $($field:tt)*) => {
        match $level {
            Level::ERROR => tracing::error!($($field)*),
            Level::WARN => tracing::warn!($($field)*),
            Level::INFO => tracing::info!($($field)*),
            _ => tracing::debug!($($field)*),
        }
    };
}

impl Lines {
    /// Writes the line, unless there were too many like it; says whether it did, and how many it
    /// left out before. Texts are escaped by the writer of the log.
    pub(super) fn refused(&self, refused: &Refused<'_>, metrics: &Metrics) -> Option<u64> {
        let Some(suppressed) = self
            .refusals
            .get(refused.refusal as usize)
            .and_then(Throttle::admit)
        else {
            metrics.suppressed();
            return None;
        };
        let line = Line::of(refused.refusal);
        let asked = refused.asked;
        line!(
            line.level,
            code = line.code,
            outcome = %refused.refusal.name(),
            status = refused.status,
            user = refused.user,
            peer = %refused.peer,
            method = asked.and_then(|asked| asked.method.as_deref()),
            host = asked.and_then(|asked| asked.host.as_deref()),
            uri = asked.and_then(|asked| asked.uri.as_deref()),
            request_id = refused.request_id,
            trace_id = refused.trace_id,
            error = chain(refused.error),
            suppressed = (suppressed > 0).then_some(suppressed),
            "refused"
        );
        Some(suppressed)
    }

    /// An operator has asked for a user to be checked again.
    pub(super) fn recheck(&self, peer: IpAddr, user: &str, known: bool) {
        if let Some(suppressed) = self.rechecks.admit() {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::info!(%peer, user, known, suppressed, "the next request of this user asks the cluster: an operator wants it");
        }
    }

    /// Somebody who is not believed has asked for what operators look at.
    pub(super) fn withheld(&self, peer: IpAddr, why: &(dyn Error + 'static)) {
        if let Some(suppressed) = self.withheld.admit() {
            let suppressed = (suppressed > 0).then_some(suppressed);
            tracing::info!(%peer, error = chain(why), suppressed, "a page for operators is withheld");
        }
    }
}

/// The text of a header for the log: at most `most` bytes of it, lossy. `None` where it is absent.
pub(super) fn excerpt(headers: &HeaderMap, name: &HeaderName, most: usize) -> Option<String> {
    headers
        .get(name)
        .map(|value| bounded(value.as_bytes(), most))
}

/// At most `most` bytes, lossy.
pub(super) fn bounded(bytes: &[u8], most: usize) -> String {
    String::from_utf8_lossy(bytes.get(..most).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_writes_ten_lines_a_second_and_says_what_it_left_out() {
        let throttle = Throttle::default();
        let written = (0..1_000)
            .filter_map(|_| throttle.admit())
            .collect::<Vec<_>>();
        assert_eq!(written, [0; 10]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!((throttle.admit(), throttle.admit()), (Some(990), Some(0)));
    }
}
