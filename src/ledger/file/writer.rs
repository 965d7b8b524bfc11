//! Writes the file in the background.

use super::{
    disk::{Disk, Record},
    place::Place,
    table::Table,
};
use std::{
    future::{pending, ready},
    io,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, spawn_blocking},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How long the disk is left alone after it could not be written. A full one takes a little again
/// as soon as our own file is gone, and would be filled and given up many times a second.
const RECOVERY: Duration = Duration::from_secs(10);
/// How long it is waited for one who has left the folder: a last write to the disk. Longer is a
/// disk that hangs.
const RELEASED: Duration = Duration::from_secs(10);
/// Records in one go to the disk.
const BATCH: usize = 1_024;

pub(super) struct Line {
    pub(super) record: Record,
    /// Notified when it outlives the process, and when it outlives the machine.
    pub(super) done: Option<(oneshot::Sender<()>, oneshot::Sender<()>)>,
}

/// Takes the folder where it is not taken yet, and writes what comes, until the last update has
/// ended after the end. `before` is cancelled when the one who had the folder before has left it.
pub(super) async fn run(
    table: Arc<Table>,
    place: Place,
    disk: Option<Disk>,
    before: Option<CancellationToken>,
    mut coming: mpsc::Receiver<Line>,
) {
    let mut first = Vec::new();
    let disk = if let Some(disk) = disk {
        disk
    } else {
        if let Some(before) = before {
            // Late or never: then somebody has it, which the log says.
            let _released = timeout(RELEASED, before.cancelled()).await;
        }
        while place.is_transient && first.is_empty() && !place.exists() {
            tokio::select! {
                received = coming.recv_many(&mut first, BATCH) => if received == 0 {
                    table.close();
                    return;
                },
                () = end(&table) => if coming.is_empty() && table.close_if_idle() {
                    return;
                }
            }
        }
        let (own, place) = (Arc::clone(&table), place.clone());
        let Ok(Some(disk)) = spawn_blocking(move || place.take(&own)).await else {
            return;
        };
        disk
    };
    if let Some(disk) = write(&table, disk, first, coming).await {
        let _left = spawn_blocking(move || place.leave(disk, &table)).await;
    }
}

/// A little after the end has begun, for what is still on its way.
async fn end(table: &Table) {
    table.ending().await;
    sleep(Duration::from_millis(20)).await;
}

/// What is written outlives a process that is killed; nobody else's lines wait until it is also on
/// the disk, for a machine that is cut off.
async fn write(
    table: &Arc<Table>,
    mut disk: Disk,
    mut first: Vec<Line>,
    mut coming: mpsc::Receiver<Line>,
) -> Option<Disk> {
    let mut given_up: Option<Instant> = None;
    let mut unsynced: Vec<oneshot::Sender<()>> = Vec::new();
    let mut sync: Option<JoinHandle<io::Result<()>>> = None;
    loop {
        let mut lines = std::mem::take(&mut first);
        let has_some = !lines.is_empty();
        tokio::select! {
            () = ready(()), if has_some => {}
            received = coming.recv_many(&mut lines, BATCH), if !has_some => if received == 0 {
                table.close();
                return Some(disk);
            },
            synced = async {
                match &mut sync {
                    Some(sync) => sync.await,
                    None => pending().await,
                }
            } => {
                sync = None;
                if let Ok(Err(why)) = synced {
                    disk.give_up();
                    given_up = Some(Instant::now());
                    table.failed(&why);
                }
            }
            () = end(table) => {
                if coming.is_empty() && sync.is_none() && table.close_if_idle() {
                    return Some(disk);
                }
                continue;
            }
        }
        if given_up.is_some_and(|since| since.elapsed() < RECOVERY) {
            // There is no file that could be wrong, and the table has what the lines say: nobody
            // needs to wait for one.
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
            let own = Arc::clone(table);
            let work = spawn_blocking(move || {
                let whole = own.take_rewrite() || disk.is_long();
                // The table is newer than the lines: a file that is written again needs none of
                // them.
                let result = if whole {
                    disk.rewrite(&own.snapshot())
                } else {
                    disk.append(&records)
                };
                (disk, result)
            });
            let Ok((back, result)) = work.await else {
                table.set_trouble(Some("its writer has crashed"));
                table.close();
                return None;
            };
            disk = back;
            match result {
                Ok(()) => {
                    given_up = None;
                    for written in outlive {
                        // The one who waited may have given up.
                        let _nobody = written.send(());
                    }
                    if table.set_trouble(None) {
                        info!("the file in `cache.path` is written again");
                    }
                }
                Err(why) => {
                    given_up = Some(Instant::now());
                    table.failed(&why);
                    unsynced.clear();
                    continue;
                }
            }
        }
        if sync.is_none() && !unsynced.is_empty() {
            let (file, waiting) = (disk.handle(), std::mem::take(&mut unsynced));
            sync = Some(spawn_blocking(move || {
                file.and_then(|file| file.sync_data())?;
                for synced in waiting {
                    let _nobody = synced.send(());
                }
                Ok(())
            }));
        }
    }
}
