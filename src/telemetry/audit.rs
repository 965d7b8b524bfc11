//! The audit stream: who was let in with which roles, which users were written and why, who was
//! refused. JSON lines in a place of their own.
//!
//! It never holds anybody up: lines go through a bounded queue to a thread that writes them,
//! because a disk may take seconds and a worker that answers gateways may not. What does not fit or
//! cannot be written is counted and told; a decision does not wait for its line.

mod sink;
#[cfg(test)]
mod tests;

use super::{
    losses::Losses,
    metrics::{AuditLine, Metrics},
};
use crate::clock::Clock;
use serde::Serialize;
use sink::Sink;
use std::{
    fmt, io,
    net::IpAddr,
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::oneshot;

/// Lines that wait for the disk. At the 2,000 first logins a second that a cluster takes at best, a
/// disk may stand still for two seconds; a line has some 300 bytes.
const QUEUE: usize = 4_096;

/// Settings of the audit stream.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where it goes (`audit.path`).
    pub target: Target,
    /// Which grants it has (`audit.grants`).
    pub grants: Grants,
}

/// Where the audit stream goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// Nowhere.
    #[default]
    Off,
    /// To standard output. The log goes to standard error, so the two do not mix.
    Stdout,
    /// To the end of this file. It is made for its owner alone (0600); one that is there keeps its
    /// permissions.
    File(PathBuf),
}

/// Which grants are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Grants {
    /// Those for which the cluster was asked or told something: the first of a user in this
    /// process, each change, and one when what is remembered has expired.
    #[default]
    Changes,
    /// Each single one. A dashboard that somebody looks at makes several a second.
    All,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The cluster was asked and has the user as he should be.
    UserConfirmed,
    /// The user was written: his first login, or something about him has changed.
    UserWritten,
    /// The user got the password of a new period.
    UserRotated,
    /// A user whom elastauth had not written was taken over.
    UserAdopted,
    /// The user was to be written and the cluster did not do it, or has not said so.
    WriteFailed,
    /// An operator has asked for the cluster to be asked about this user again.
    UserRecheck,
    /// A request got a login.
    Granted,
    /// A request got none.
    Refused,
}

/// One line. What is not known is left out.
#[derive(Debug, Clone, Serialize)]
pub struct Event<'a> {
    /// What happened.
    pub event: Kind,
    /// In which cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<&'a str>,
    /// To whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// Who vouches for him.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'a str>,
    /// The groups that the provider names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<&'a str>,
    /// The roles that follow from them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<&'a str>,
    /// Why; for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Why; for a program. The outcomes of docs/STATUS-CODES.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a str>,
    /// The gateway's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<IpAddr>,
    /// What the client asked for: the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// What the client asked for: the path, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<&'a str>,
    /// The same as in the log and in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// Lines of this kind that were left out since the last one, because there were too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<u64>,
}

impl Event<'_> {
    /// A line that says only what happened.
    #[must_use]
    pub fn new(event: Kind) -> Self {
        Self {
            event,
            cluster: None,
            user: None,
            provider: None,
            groups: Vec::new(),
            roles: Vec::new(),
            reason: None,
            outcome: None,
            peer: None,
            host: None,
            uri: None,
            request_id: None,
            suppressed: None,
        }
    }
}

/// The audit stream. Clones write into the same one; the default writes nothing.
#[derive(Clone, Default)]
pub struct Audit(Option<Arc<Stream>>);

struct Stream {
    queue: SyncSender<Message>,
    grants: Grants,
    losses: LineLosses,
    clock: Clock,
}

enum Message {
    Line(Box<[u8]>),
    /// Answered when everything before it has been written or lost.
    Flush(oneshot::Sender<()>),
}

/// The system gives no thread.
#[derive(Debug, thiserror::Error)]
#[error("the audit stream cannot be started")]
pub struct StartError(#[source] io::Error);

impl Audit {
    /// Starts the stream. A file that cannot be opened yet is no error: it is tried again with each
    /// line.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(config: &Config, clock: Clock, metrics: Metrics) -> Result<Self, StartError> {
        let sink = match &config.target {
            Target::Off => return Ok(Self(None)),
            Target::Stdout => Sink::stdout(),
            Target::File(path) => Sink::file(path.clone()),
        };
        let (queue, lines) = sync_channel(QUEUE);
        let losses = LineLosses {
            losses: Arc::new(Losses::new(clock.clone())),
            metrics,
        };
        let writer = Writer {
            sink,
            lines,
            losses: losses.clone(),
            clock: clock.clone(),
        };
        // Its end is that of the queue: with the last clone of this handle.
        let _detached = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(|| writer.run())
            .map_err(StartError)?;
        Ok(Self(Some(Arc::new(Stream {
            queue,
            grants: config.grants,
            losses,
            clock,
        }))))
    }

    /// Whether anybody listens. Who has to collect a line's parts first asks this before.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Whether each single grant is wanted.
    #[must_use]
    pub fn wants_all_grants(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|stream| stream.grants == Grants::All)
    }

    /// Writes a line, later and elsewhere. It never waits.
    pub fn tell(&self, event: &Event<'_>) {
        let Some(stream) = &self.0 else { return };
        let line = line(&stream.clock, event);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            stream.queue.try_send(Message::Line(line))
        {
            stream
                .losses
                .add(&"the queue is full: the disk is too slow");
        }
    }

    /// Waits until what was told so far is written, at most `patience`.
    pub async fn flush(&self, patience: Duration) {
        let Some(stream) = &self.0 else { return };
        let (done, mut written) = oneshot::channel();
        let mut message = Message::Flush(done);
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

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit")
            .field("on", &self.is_on())
            .finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct Line<'a, E> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    #[serde(flatten)]
    event: &'a E,
}

fn line(clock: &Clock, event: &impl Serialize) -> Box<[u8]> {
    let line = Line {
        timestamp: clock.now().to_string(),
        event,
    };
    // Texts and lists of texts cannot fail to be JSON.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// Lines that cannot be written.
#[derive(Clone)]
struct LineLosses {
    losses: Arc<Losses>,
    metrics: Metrics,
}

impl LineLosses {
    fn add(&self, why: &dyn fmt::Display) {
        self.metrics.audited(AuditLine::Lost, 1);
        if self.losses.add(1) {
            tracing::error!(
                error = %why,
                "lines of the audit stream are lost; decisions go on without it"
            );
        }
    }
}

struct Writer {
    sink: Sink,
    lines: Receiver<Message>,
    losses: LineLosses,
    clock: Clock,
}

/// What the stream itself says about its losses, before the first line after them.
#[derive(Serialize)]
struct Lost {
    event: &'static str,
    count: u64,
}

impl Writer {
    fn run(mut self) {
        while let Ok(message) = self.lines.recv() {
            match message {
                Message::Line(line) => self.write(&line),
                Message::Flush(done) => {
                    let _nobody_waits = done.send(());
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let lost = self.losses.losses.unreported();
        let written = if lost == 0 {
            self.sink.write(bytes)
        } else {
            let told = line(
                &self.clock,
                &Lost {
                    event: "lines_lost",
                    count: lost,
                },
            );
            self.sink.write(&[&told, bytes].concat())
        };
        match written {
            Ok(()) => {
                self.losses.losses.reported(lost);
                self.losses.metrics.audited(AuditLine::Written, 1);
            }
            Err(error) => self.losses.add(&error),
        }
    }
}
