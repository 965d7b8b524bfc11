//! Facts that outlive the process, in a file of a folder that one process has at a time.
//!
//! The file is never on the way of a known user. A flight asks the table that was read at the
//! start, and what it learns is written in the background. Only where the file still says that a
//! user stands does a write to the cluster wait until it no longer does, and no longer than
//! [`WRITTEN`] and [`DEADLINE`]. A disk that is full, slow or away costs calls to the cluster after
//! the next start, never a login.

mod disk;

use super::{
    FLUX, Found, Front, NO_FINGERPRINT, Target, Update, lock,
    redis::DEADLINE,
    seal::{self, Fact, Kind, claimed},
};
use crate::{
    clock::{Clock, Timestamp},
    keys::{Keyring, StoreName},
    model::Username,
    shutdown::Tasks,
};
use disk::{Disk, Record};
use std::{
    collections::HashMap,
    fmt,
    future::pending,
    io,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tracing::{error, info, warn};

/// Records on their way to the disk, about 150 bytes each. What finds no room is not lost: the file
/// is then written anew from the table.
const QUEUE: usize = 8_192;
/// How often a full table is rid of what is too old.
const PRUNE: Duration = Duration::from_mins(1);
/// How long the disk is left alone after it could not be written. A full one takes a little again
/// as soon as our own file is gone, and would be filled and given up many times a second.
const RECOVERY: Duration = Duration::from_secs(10);
/// How long a write to the cluster waits until the system has what is written before it. It is
/// there within a millisecond, but for a disk that hangs or a machine that is far too busy.
const WRITTEN: Duration = Duration::from_millis(500);
/// Records in one go to the disk.
const BATCH: usize = 1_024;

/// The store.
pub(super) struct File {
    shared: Arc<Shared>,
    lines: mpsc::Sender<Line>,
}

struct Shared {
    keys: Arc<Keyring>,
    known: Mutex<HashMap<StoreName, Vec<u8>>>,
    capacity: usize,
    lasts: Duration,
    clock: Clock,
    /// Something is missing in the file, or there is something wrong in it.
    rewrite: AtomicBool,
    /// When the full table was last rid of what is too old.
    pruned: AtomicU64,
    trouble: Mutex<Option<&'static str>>,
}

struct Line {
    record: Record,
    /// Told when it outlives the process, and when it outlives the machine.
    done: Option<(oneshot::Sender<()>, oneshot::Sender<()>)>,
}

impl File {
    /// Takes the folder and reads what is there. Waits for the local disk and for nobody else;
    /// whatever is wrong leaves memory alone.
    pub(super) fn start(
        folder: &Path,
        keys: Arc<Keyring>,
        expiration: Duration,
        capacity: usize,
        front: Arc<Front>,
        clock: &Clock,
        tasks: &Tasks,
    ) -> Self {
        let (lines, coming) = mpsc::channel(QUEUE);
        let shared = Arc::new(Shared {
            keys,
            known: Mutex::default(),
            capacity,
            lasts: expiration,
            clock: clock.clone(),
            rewrite: AtomicBool::new(true),
            pruned: AtomicU64::new(0),
            trouble: Mutex::new(None),
        });
        match Disk::take(folder, capacity) {
            Ok((disk, records)) => {
                shared.read(&disk, records);
                tasks.spawn(write(
                    Arc::clone(&shared),
                    disk,
                    coming,
                    front,
                    tasks.clone(),
                ));
            }
            Err(disk::TakeError::Taken) => {
                warn!(
                    "another process has the folder of `cache.path`; users are remembered in memory alone"
                );
                shared.troubled(Some("another process has the folder"));
            }
            Err(disk::TakeError::Io(step, why)) => {
                warn!(error = %why, "the folder of `cache.path` cannot be used ({step}); users are remembered in memory alone");
                shared.troubled(Some("the folder cannot be used"));
            }
        }
        Self { shared, lines }
    }

    pub(super) fn state(&self) -> Result<(), String> {
        lock(&self.shared.trouble).map_or(Ok(()), |why| Err(why.to_owned()))
    }

    /// What the file had about the user.
    pub(super) fn look(&self, target: &Target) -> Option<Found> {
        let keys = &self.shared.keys.of(target.key).store;
        let name = keys.name(&target.user);
        let raw = lock(&self.shared.known).get(&name).cloned()?;
        let fact = seal::open(keys, &name, &raw)
            .ok()
            .filter(|fact| self.shared.is_worth_keeping(fact));
        Some(Found {
            fact,
            raw: Some(raw),
        })
    }

    /// Puts "in flux" in the place of what the file says, before a write makes it wrong. It
    /// outlives the process: a write that is lost on its way may come late, and who starts next
    /// must know.
    pub(super) async fn begin_write(&self, target: &Target, now: Timestamp) {
        let keys = &self.shared.keys.of(target.key).store;
        let name = keys.name(&target.user);
        let flux = Fact {
            kind: Kind::WritePending,
            epoch: target.epoch,
            fingerprint: target.fingerprint,
            at: now,
        };
        let value = seal::close(keys, &name, &flux);
        let ((outlives, written), (lasts, synced)) = (oneshot::channel(), oneshot::channel());
        let old = self.shared.keep(name, value.clone());
        self.put(Line {
            record: Record { name, value },
            done: Some((outlives, lasts)),
        });
        if old
            .as_deref()
            .and_then(claimed)
            .is_some_and(|fact| fact.kind == Kind::Present)
        {
            // Late or never, the write goes on. Writing waits for no disk in a usual hour, and a
            // process may be killed at any moment.
            let _best_effort = timeout(WRITTEN, written).await;
            let _best_effort = timeout(DEADLINE, synced).await;
        }
    }

    /// Takes away what the file says about the user.
    pub(super) fn forget(&self, user: &Username) {
        for keys in self.shared.keys.all().map(|keys| &keys.store) {
            let name = keys.name(user);
            if lock(&self.shared.known).remove(&name).is_some() {
                // A write that began in 1970 is long over: nothing stands, and nothing is under
                // way.
                let nothing = Fact {
                    kind: Kind::WritePending,
                    epoch: 0,
                    fingerprint: NO_FINGERPRINT,
                    at: Timestamp(0),
                };
                self.put(Line {
                    record: Record {
                        name,
                        value: seal::close(keys, &name, &nothing),
                    },
                    done: None,
                });
            }
        }
    }

    /// The user stands as the flight wanted it.
    pub(super) fn stands(&self, update: &Update, now: Timestamp, written: bool) {
        if !written && update.others_began().is_some() {
            // What stands now may yet be undone by a write that was lost.
            return;
        }
        let target = &update.target;
        let keys = &self.shared.keys.of(target.key).store;
        let name = keys.name(&target.user);
        let value = seal::close(
            keys,
            &name,
            &Fact {
                kind: Kind::Present,
                epoch: target.epoch,
                fingerprint: target.fingerprint,
                at: now,
            },
        );
        let _old = self.shared.keep(name, value.clone());
        self.put(Line {
            record: Record { name, value },
            done: None,
        });
    }

    fn put(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.shared.rewrite.store(true, Ordering::Release);
        }
    }
}

impl Shared {
    /// Takes over what is right. One record that is damaged makes all of them doubtful: it may have
    /// been the one that took another back.
    fn read(&self, disk: &Disk, records: Vec<Record>) {
        let (mut foreign, mut known) = (0_usize, HashMap::new());
        for Record { name, value } in records {
            match seal::open_any(&self.keys, &name, &value) {
                Ok(fact) if self.is_worth_keeping(&fact) => drop(known.insert(name, value)),
                Ok(_) => drop(known.remove(&name)),
                Err(seal::Worthless::Foreign) => foreign += 1,
                Err(seal::Worthless::Damaged) => {
                    warn!(
                        "the file in `cache.path` is damaged; it is set aside beside it, and the cluster is asked again"
                    );
                    disk.set_aside();
                    return;
                }
            }
        }
        if foreign > 0 {
            warn!(
                records = foreign,
                "the file in `cache.path` has records made with another `secret_key`; they are ignored"
            );
        }
        let users = known
            .values()
            .filter(|value| claimed(value).is_some_and(|fact| fact.kind == Kind::Present))
            .count();
        info!(users, "users remembered from the file in `cache.path`");
        *lock(&self.known) = known;
    }

    /// Puts a value into the table, as far as it has room; what was there before comes back.
    fn keep(&self, name: StoreName, value: Vec<u8>) -> Option<Vec<u8>> {
        let mut known = lock(&self.known);
        if known.len() < self.capacity || known.contains_key(&name) {
            return known.insert(name, value);
        }
        drop(known);
        // Whatever is too old goes when the file is written anew. That costs a look at everything,
        // so it is not done for each who finds no room.
        let (now, pruned) = (self.clock.now(), self.pruned.load(Ordering::Relaxed));
        if now.since(Timestamp(pruned)).is_none_or(|age| age >= PRUNE) {
            self.pruned.store(now.0, Ordering::Relaxed);
            self.rewrite.store(true, Ordering::Release);
        }
        None
    }

    fn is_worth_keeping(&self, fact: &Fact) -> bool {
        let lasts = match fact.kind {
            Kind::Present => self.lasts,
            Kind::WritePending => FLUX,
        };
        self.clock
            .now()
            .since(fact.at)
            .is_none_or(|age| age < lasts)
    }

    /// Everything that is still worth something. What is in the table was proven when it came:
    /// flights wait for this lock.
    fn snapshot(&self) -> Vec<Record> {
        let mut known = lock(&self.known);
        known.retain(|_, value| claimed(value).is_some_and(|fact| self.is_worth_keeping(&fact)));
        known
            .iter()
            .map(|(name, value)| Record {
                name: *name,
                value: value.clone(),
            })
            .collect()
    }

    /// What the file has not taken is in the table, and comes when it is written anew.
    fn fails(&self, why: &io::Error) {
        self.rewrite.store(true, Ordering::Release);
        if self.troubled(Some("it cannot be written")) {
            error!(error = %why, "the file in `cache.path` cannot be written; logins go on, and the next start asks the cluster again");
        }
    }

    fn troubled(&self, why: Option<&'static str>) -> bool {
        let mut trouble = lock(&self.trouble);
        let new = *trouble != why;
        *trouble = why;
        new
    }
}

/// Writes what comes, until the last flight has landed after the end. What is written outlives a
/// process that is killed; until it is also on the disk, for the sake of a machine that is cut off,
/// nobody else's lines wait.
async fn write(
    shared: Arc<Shared>,
    mut disk: Disk,
    mut coming: mpsc::Receiver<Line>,
    front: Arc<Front>,
    tasks: Tasks,
) {
    let (mut given_up, mut unsynced): (Option<Instant>, Vec<oneshot::Sender<()>>) =
        (None, Vec::new());
    let mut sync: Option<JoinHandle<io::Result<()>>> = None;
    loop {
        let mut lines = Vec::new();
        tokio::select! {
            received = coming.recv_many(&mut lines, BATCH) => if received == 0 {
                return;
            },
            synced = async { if let Some(sync) = &mut sync { sync.await } else { pending().await } } => {
                sync = None;
                if let Ok(Err(why)) = synced {
                    disk.give_up();
                    given_up = Some(Instant::now());
                    shared.fails(&why);
                }
            }
            () = async { tasks.ending().await; sleep(Duration::from_millis(20)).await } => {
                if lock(&front.aloft).is_empty() && coming.is_empty() && sync.is_none() {
                    return;
                }
                continue;
            }
        }
        if given_up.is_some_and(|since| since.elapsed() < RECOVERY) {
            // There is no file that could be wrong, and the table has what the lines say: whoever
            // waits for one need not.
            unsynced.clear();
            continue;
        }
        let (records, done): (Vec<_>, Vec<_>) = lines
            .into_iter()
            .map(|line| (line.record, line.done))
            .unzip();
        let (outlive, last): (Vec<_>, Vec<_>) = done.into_iter().flatten().unzip();
        unsynced.extend(last);
        if !records.is_empty() {
            let own = Arc::clone(&shared);
            let work = tokio::task::spawn_blocking(move || {
                let whole = own.rewrite.swap(false, Ordering::AcqRel) || disk.is_long();
                // The table is the truth and newer than the lines: a file that is written anew
                // needs none of them.
                let result = if whole {
                    disk.rewrite(&own.snapshot())
                } else {
                    disk.append(&records)
                };
                (disk, result)
            });
            let Ok((back, result)) = work.await else {
                shared.troubled(Some("its writer has crashed"));
                return;
            };
            disk = back;
            match result {
                Ok(()) => {
                    given_up = None;
                    for written in outlive {
                        // Whoever waited may have given up.
                        let _nobody = written.send(());
                    }
                    if shared.troubled(None) {
                        info!("the file in `cache.path` is written again");
                    }
                }
                Err(why) => {
                    given_up = Some(Instant::now());
                    shared.fails(&why);
                    unsynced.clear();
                    continue;
                }
            }
        }
        if sync.is_none() && !unsynced.is_empty() {
            let (file, waiting) = (disk.handle(), std::mem::take(&mut unsynced));
            sync = Some(tokio::task::spawn_blocking(move || {
                file.and_then(|file| file.sync_data())?;
                for synced in waiting {
                    let _nobody = synced.send(());
                }
                Ok(())
            }));
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
