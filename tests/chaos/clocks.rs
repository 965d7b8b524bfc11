//! The wall clock of a replica, moved by `libfaketime` while it runs. Its other clock, which
//! measures waits, is left alone, as with a machine whose time is set.

use crate::support::{Why, pause};
use crate::{support::http::Server, support::process::folder};
use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::Instant;

/// By how much any two replicas differ at most, in milliseconds: the grace (900 ms), less the 150
/// ms for which a login is used after its answer, less 450 ms for a machine that has other things
/// to do.
pub(crate) const MOST: u64 = 300;
/// How long the library believes what it has read: it counts in whole seconds.
const SEEN: Duration = Duration::from_secs(10);

/// A replica's wall clock.
#[derive(Debug)]
pub(crate) struct Wall {
    file: String,
    library: String,
}

impl Wall {
    /// One that is so far ahead of the machine's.
    pub(crate) fn ahead(ms: u64) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep();
        let file = folder().join(format!("clock-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let wall = Self {
            file: file.display().to_string(),
            library: library().display().to_string(),
        };
        wall.set(ms);
        wall
    }

    /// What the replica has to be started with.
    pub(crate) fn environment(&self) -> [(&str, &str); 4] {
        [
            ("LD_PRELOAD", &self.library),
            ("FAKETIME_TIMESTAMP_FILE", &self.file),
            ("FAKETIME_CACHE_DURATION", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ]
    }

    /// Moves it.
    pub(crate) fn set(&self, ahead_ms: u64) {
        let fresh = format!("{}.fresh", self.file);
        std::fs::write(
            &fresh,
            format!("+{}.{:03}\n", ahead_ms / 1_000, ahead_ms % 1_000),
        )
        .expect("a file for a clock");
        std::fs::rename(&fresh, &self.file).expect("a clock that is moved");
    }
}

/// Waits until the replica itself says that its clock is so far ahead.
pub(crate) async fn shows(replica: &Server, ahead_ms: u64) {
    let until = Instant::now() + SEEN;
    loop {
        let before = now_ms();
        let answer = replica
            .try_ask(http::Method::GET, "/elastauth/live", &[], None)
            .await;
        let (after, text) = (
            now_ms(),
            answer.map(|answer| {
                answer.json()["timestamp"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            }),
        );
        let shown = text
            .ok()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok())
            .map(jiff::Timestamp::as_millisecond);
        let wanted = i64::try_from(ahead_ms).unwrap_or(i64::MAX);
        if shown.is_some_and(|shown| (before - 1..=after + 1).contains(&(shown - wanted))) {
            return;
        }
        assert!(
            Instant::now() < until,
            "a replica's clock is not {ahead_ms} ms ahead: it says {shown:?} between {before} and \
             {after}"
        );
        pause(Why::Again, Duration::from_millis(50)).await;
    }
}

fn now_ms() -> i64 {
    i64::try_from(
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock")
            .as_millis(),
    )
    .expect("a date of this age")
}

/// A missing library would be passed over by the system's loader without a failure.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()));
    let found = folders
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|path| path.exists());
    found.expect(
        "libfaketime is missing; `cargo xtask parts` or `apt-get install faketime` brings it",
    )
}

/// Takes away what the library has left in shared memory for processes that were killed: one that
/// gets the same number would not start.
pub(crate) fn sweep() {
    for entry in std::fs::read_dir("/dev/shm")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        let id = name
            .strip_prefix("faketime_shm_")
            .or_else(|| name.strip_prefix("sem.faketime_sem_"));
        if id.is_some_and(|id| !PathBuf::from("/proc").join(id).exists()) {
            let _somebody_else_was_faster = std::fs::remove_file(entry.path());
        }
    }
}
