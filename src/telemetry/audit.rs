//! The audit stream: who got in with which roles, which users were written and why, who was
//! refused. JSON lines, apart from the log.
//!
//! No decision waits for its line: lines go through a bounded queue to a thread that writes them,
//! because a disk may take seconds. Lines that do not fit or cannot be written are counted and
//! reported.

mod event;
mod sink;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use event::{EventDetails, EventKind};

use super::{losses::Losses, metrics::Metrics};
use crate::clock::Clock;
use sink::Sink;
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::oneshot;
use writer::{Writer, WriterMessage, line, lost};

/// Lines that wait for the disk. A cluster takes 2,000 first logins a second at best, so the disk
/// may stop for two seconds; a line has some 300 bytes.
const QUEUE: usize = 4_096;

/// Settings of the audit stream.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where it goes (`audit.path`).
    pub target: AuditTarget,
    /// Which grants it has (`audit.grants`).
    pub grants: Grants,
    /// Which requests of proxy mode it has (`audit.requests`).
    pub requests: Requests,
}

/// Where the audit stream goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AuditTarget {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output. The log goes to standard error, so the two do not mix.
    Stdout,
    /// To the end of this file. A new one is readable by its owner only (0600); an existing one
    /// keeps its permissions.
    File(PathBuf),
}

/// Which grants are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grants {
    /// Those for which the cluster was read or written: the first of a user in this process, each
    /// change, and one when the memory of the user has expired.
    #[default]
    Changes,
    /// Every one. An open dashboard makes several a second.
    All,
}

/// Which requests of proxy mode are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Requests {
    /// None.
    #[default]
    Off,
    /// Those that may change something.
    Writes,
    /// Every one.
    All,
}

/// The audit stream. Clones write into the same one; the default writes nothing.
#[derive(Debug, Clone, Default)]
pub struct Audit(Option<Arc<AuditStream>>);

#[derive(Debug)]
struct AuditStream {
    queue: SyncSender<WriterMessage>,
    grants: Grants,
    requests: Requests,
    losses: Arc<Losses>,
    clock: Clock,
}

impl Audit {
    /// Starts the stream. A file that cannot be opened yet is no error: it is tried again with each
    /// line.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(config: &Config, clock: Clock, metrics: Metrics) -> io::Result<Self> {
        let sink = match &config.target {
            AuditTarget::Off => return Ok(Self(None)),
            AuditTarget::Stdout => Sink::Stdout,
            AuditTarget::File(path) => Sink::file(path.clone()),
        };
        let (queue, lines) = sync_channel(QUEUE);
        let losses = Losses::new(clock.clone(), metrics);
        let writer = Writer {
            sink,
            lines,
            losses: Arc::clone(&losses),
            clock: clock.clone(),
        };
        // Its end is that of the queue: with the last clone of this handle.
        let _detached = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(|| writer.run())?;
        Ok(Self(Some(Arc::new(AuditStream {
            queue,
            grants: config.grants,
            requests: config.requests,
            losses,
            clock,
        }))))
    }

    /// Whether it is written at all: a line whose parts have to be collected first asks this.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether every grant is written.
    #[must_use]
    pub fn wants_all_grants(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|stream| stream.grants == Grants::All)
    }

    /// Which requests of proxy mode are written.
    #[must_use]
    pub fn requests(&self) -> Requests {
        self.0
            .as_ref()
            .map_or(Requests::Off, |stream| stream.requests)
    }

    /// Queues a line for the writer. It never waits.
    pub fn write(&self, event: EventKind, details: &EventDetails<'_>) {
        let Some(stream) = &self.0 else { return };
        let line = line(&stream.clock, event, details);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            stream.queue.try_send(WriterMessage::Line(line))
        {
            lost(&stream.losses, &"the queue is full: the disk is too slow");
        }
    }

    /// Waits until the lines so far are written, at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let Some(stream) = &self.0 else { return };
        let (done, mut written) = oneshot::channel();
        let mut message = WriterMessage::Flush(done);
        let _at_the_end_nobody_waits_longer = tokio::time::timeout(patience, async {
            while let Err(TrySendError::Full(back)) = stream.queue.try_send(message) {
                message = back;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let _answered_or_gone = (&mut written).await;
        })
        .await;
    }
}
