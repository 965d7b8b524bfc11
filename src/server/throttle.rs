//! The limit to how many lines of one kind the log gets.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

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
