//! Reads the configuration again while the program runs: on SIGHUP, and when one of its files
//! changes.
//!
//! A faulty configuration changes nothing, and neither does one that is still being written: a
//! change counts when the files have looked the same twice.

use crate::{
    app::Controls,
    config::{Config, Finding, Flags, Loaded, Reloaded, Widening},
    shutdown::Tasks,
    supervisor::Supervisor,
    telemetry::{self, chain, log::Level, metrics::Reload},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::Duration,
};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

/// How often the files are looked at. A change counts after two looks; an operator who waits for
/// it watches the log.
const POLL: Duration = Duration::from_secs(1);

/// What the supervisor shows while all is well.
pub(crate) const ANSWERS: &str = "Answers gateways";
/// What it shows after a reload that changed nothing.
const REFUSED: &str =
    "Answers gateways; the new configuration is faulty (the log says why), the old one is in force";

/// What is in force, and what can change it.
#[derive(Debug)]
pub(crate) struct Reloader {
    flags: Flags,
    loaded: Loaded,
    controls: Controls,
    log: telemetry::log::Handle,
    level: Level,
    /// The faults that were logged last.
    logged: Vec<Finding>,
    /// The changes that were audited and still are not applied.
    held: Vec<Widening>,
    supervisor: Supervisor,
    /// What the supervisor shows.
    status: &'static str,
}

/// Why the configuration is read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Signal,
    Files,
}

impl Reloader {
    /// For the program that was started with `flags`, has `loaded` in force, and logs from `level`
    /// on.
    #[must_use]
    pub(crate) fn new(
        flags: Flags,
        loaded: Loaded,
        controls: Controls,
        (log, level): (telemetry::log::Handle, Level),
        supervisor: Supervisor,
    ) -> Self {
        Self {
            flags,
            loaded,
            controls,
            log,
            level,
            logged: Vec::new(),
            held: Vec::new(),
            supervisor,
            status: ANSWERS,
        }
    }

    /// Starts to listen for the signal and to look at the files, until `tasks` end.
    ///
    /// # Errors
    /// When the signal cannot be received.
    pub(crate) fn start(self, watch: Watch, tasks: &Tasks) -> io::Result<()> {
        let hangup = signal(SignalKind::hangup())?;
        let ending = tasks.clone();
        tasks.spawn(async move {
            tokio::select! {
                () = ending.ending() => {}
                () = self.run(watch, hangup) => {}
            }
        });
        Ok(())
    }

    async fn run(mut self, mut watch: Watch, mut hangup: Signal) {
        let mut looks = interval(POLL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let why = tokio::select! {
                _ = hangup.recv() => Why::Signal,
                _ = looks.tick() => {
                    let files = watch.files();
                    // A file system that hangs delays this task alone.
                    match spawn_blocking(move || look(files)).await {
                        Ok(seen) if watch.has_changed(&seen) => Why::Files,
                        Ok(_) | Err(_) => continue,
                    }
                }
            };
            // Files are read and certificates parsed: not on a thread that answers requests.
            let work = move || {
                let files = self.reload(why);
                (self, look(files))
            };
            match spawn_blocking(work).await {
                Ok((reloader, seen)) => {
                    self = reloader;
                    watch.expect(seen);
                }
                Err(error) => {
                    tracing::error!(
                        %error,
                        "the configuration can no longer be read again; it stays in force until \
                         the next start"
                    );
                    return;
                }
            }
        }
    }

    /// Reads and applies, between two messages to the supervisor: it may wait for the second one.
    fn reload(&mut self, why: Why) -> BTreeSet<PathBuf> {
        if why == Why::Signal {
            self.supervisor.reloading();
        }
        let files = self.read_again(why);
        match why {
            Why::Signal => self.supervisor.ready(self.status),
            Why::Files => self.supervisor.status(self.status),
        }
        files
    }

    /// Reads, and applies the new configuration if it is valid. Returns the files to look at from
    /// now on.
    fn read_again(&mut self, why: Why) -> BTreeSet<PathBuf> {
        let sources = self.loaded.sources(self.flags.clone());
        let Reloaded {
            outcome,
            warnings,
            applied,
            requires_restart,
            widenings,
            mut files,
        } = self.loaded.reload(&sources);
        sources.wipe();
        files.extend(self.loaded.files());
        let (config, loaded) = match outcome {
            Ok(good) => good,
            Err(faults) => {
                self.refused(why, faults);
                return files;
            }
        };
        self.hold(widenings);
        // The lower of both levels until everything is logged.
        let level = config.telemetry.level;
        if let Err(error) = self.apply(&config, level.min(self.level)) {
            self.status = REFUSED;
            self.controls.metrics().reloaded(Reload::Refused);
            tracing::error!(
                error = chain(&*error),
                "the new configuration cannot be applied; the old one stays in force"
            );
            return files;
        }
        self.loaded = loaded;
        self.status = ANSWERS;
        self.logged.clear();
        self.controls.requires_restart(&requires_restart);
        if applied.is_empty() {
            self.controls.metrics().reloaded(Reload::Unchanged);
            tracing::info!(
                "the configuration was read again, certificates too; no setting that can change \
                 without a restart has changed"
            );
        } else {
            self.controls.metrics().reloaded(Reload::Applied);
            for warning in &warnings {
                tracing::warn!("{warning}");
            }
            tracing::info!(
                keys = applied.join(","),
                "the configuration has changed and is in force"
            );
        }
        if !requires_restart.is_empty() {
            tracing::warn!(
                keys = requires_restart.join(","),
                "these keys have changed; their new values require a restart of elastauth"
            );
        }
        if let Err(error) = self.log.set_level(level) {
            tracing::error!(
                error = chain(&error),
                "the level of the log cannot be changed"
            );
        }
        self.level = level;
        files
    }

    /// Reports what is not applied because it opens a way in. The audit stream has each of these
    /// changes once.
    fn hold(&mut self, widenings: Vec<Widening>) {
        for widening in &widenings {
            tracing::warn!(
                keys = widening.keys.join(","),
                "a change is not applied before a restart of elastauth: {}; undo it if it is a \
                 mistake",
                widening.what
            );
            if !self.held.contains(widening) {
                self.controls.held(widening);
            }
        }
        self.held = widenings;
    }

    fn apply(&self, config: &Config, level: Level) -> Result<(), Box<dyn Error>> {
        self.controls.apply(config)?;
        self.log.set_level(level)?;
        Ok(())
    }

    /// The same faults of a file that somebody is still editing are logged once.
    fn refused(&mut self, why: Why, faults: Vec<Finding>) {
        self.status = REFUSED;
        if why != Why::Signal && faults == self.logged {
            return;
        }
        self.controls.metrics().reloaded(Reload::Refused);
        tracing::error!(
            faults = faults.len(),
            "the new configuration is faulty; the old one stays in force"
        );
        for fault in &faults {
            tracing::error!("{fault}");
        }
        self.logged = faults;
    }
}

/// The files of a configuration, each with its state; `None` where there is no such file.
type FileStates = BTreeMap<PathBuf, Option<Stamp>>;

/// The state of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    /// Device and inode: editors and Kubernetes replace a file by another of its name.
    file: (u64, u64),
    modified: (i64, i64),
    len: u64,
}

fn look(files: BTreeSet<PathBuf>) -> FileStates {
    let stamp = |path: &PathBuf| {
        let found = fs::metadata(path).ok()?;
        Some(Stamp {
            file: (found.dev(), found.ino()),
            modified: (found.mtime(), found.mtime_nsec()),
            len: found.len(),
        })
    };
    let states = files.into_iter().map(|path| (stamp(&path), path));
    states.map(|(stamp, path)| (path, stamp)).collect()
}

/// The files as they were when they were read, and at the last look.
#[derive(Debug)]
pub(crate) struct Watch {
    read: FileStates,
    last: FileStates,
}

impl Watch {
    /// For a configuration that was just read. Make it before certificates are read: what changes
    /// after this is noticed.
    #[must_use]
    pub(crate) fn new(loaded: &Loaded) -> Self {
        let read = look(loaded.files());
        Self {
            last: read.clone(),
            read,
        }
    }

    fn files(&self) -> BTreeSet<PathBuf> {
        self.read.keys().cloned().collect()
    }

    /// Looks at these files from now on. Those known already count as they were before.
    fn expect(&mut self, mut seen: FileStates) {
        for (path, stamp) in &mut seen {
            if let Some(before) = self.read.get(path) {
                *stamp = *before;
            }
        }
        self.read = seen;
    }

    /// Whether the files differ from what was read, and have not changed since the last look.
    fn has_changed(&mut self, seen: &FileStates) -> bool {
        let changed = *seen == self.last && *seen != self.read;
        if changed {
            self.read.clone_from(seen);
        }
        self.last.clone_from(seen);
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(len: u64) -> FileStates {
        FileStates::from([(
            PathBuf::from("a"),
            Some(Stamp {
                file: (1, 2),
                modified: (3, 4),
                len,
            }),
        )])
    }

    #[test]
    fn a_file_counts_once_it_has_looked_the_same_twice() {
        let mut watch = Watch {
            read: seen(1),
            last: seen(1),
        };
        let looks = [
            (1, false),
            (2, false),
            (3, false),
            (3, true),
            (3, false),
            (1, false),
            (1, true),
        ];
        for (at, (len, changed)) in looks.into_iter().enumerate() {
            assert_eq!(watch.has_changed(&seen(len)), changed, "look {at}");
        }
    }

    #[test]
    fn a_change_between_the_look_and_the_reading_is_noticed_by_the_next_looks() {
        let mut watch = Watch {
            read: seen(1),
            last: seen(1),
        };
        assert!(!watch.has_changed(&seen(2)) && watch.has_changed(&seen(2)));
        // Somebody wrote while it was read.
        watch.expect(seen(3));
        assert!(!watch.has_changed(&seen(3)) && watch.has_changed(&seen(3)));
    }

    #[test]
    fn a_file_that_vanishes_or_comes_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yml");
        let files = || BTreeSet::from([path.clone()]);
        let none = look(files());
        std::fs::write(&path, "a").unwrap();
        let there = look(files());
        assert_ne!(none, there);
        std::fs::write(folder.path().join("other"), "a").unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert_ne!(look(files()), there);
    }
}
