//! The access log of proxy mode: a line for each request that came for a cluster, on standard
//! output. docs/LOGGING.md is for operators.
//!
//! No request waits for its line: lines go through a bounded queue to a thread that writes them.
//! Lines that do not fit or cannot be written are counted and reported.

mod format;
#[cfg(test)]
mod tests;
mod writer;

pub use format::Format;
pub(crate) use format::{AccessRecord, RequestEnd};

use super::{losses::Losses, metrics::Metrics};
use crate::clock::Clock;
use std::{
    io,
    sync::{
        Arc,
        mpsc::{SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};
use tokio::sync::oneshot;
use writer::{Message, Writer};

/// Lines that wait for standard output. A line has some 400 bytes, so the queue holds 6 MB at most,
/// half a second of what two cores forward.
const QUEUE: usize = 16_384;

/// The access log. Clones write into the same one; the default writes nothing.
#[derive(Debug, Clone, Default)]
pub struct AccessLog(Option<Arc<AccessStream>>);

#[derive(Debug)]
struct AccessStream {
    format: Format,
    queue: SyncSender<Message>,
    losses: Arc<Losses>,
}

impl AccessLog {
    /// Starts it, on standard output.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(format: Format, clock: Clock, metrics: Metrics) -> io::Result<Self> {
        Self::start_on(format, clock, metrics, io::stdout())
    }

    fn start_on(
        format: Format,
        clock: Clock,
        metrics: Metrics,
        out: impl io::Write + Send + 'static,
    ) -> io::Result<Self> {
        if format == Format::Off {
            return Ok(Self(None));
        }
        let (queue, messages) = sync_channel(QUEUE);
        let losses = Losses::new(clock, metrics);
        let writer = Writer {
            out,
            messages,
            losses: Arc::clone(&losses),
        };
        // Its end is that of the queue: with the last clone of this handle.
        let _detached = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(|| writer.run())?;
        let stream = AccessStream {
            format,
            queue,
            losses,
        };
        Ok(Self(Some(Arc::new(stream))))
    }

    /// Whether it is written at all: who has to collect the parts of a line asks this first.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Queues a line for the writer. It never waits.
    pub fn write(&self, record: &AccessRecord<'_>) {
        let Some(stream) = &self.0 else { return };
        let line = format::line(stream.format, record);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) =
            stream.queue.try_send(Message::Line(line))
        {
            writer::lost(&stream.losses, 1, &"the queue is full: nobody reads them");
        }
    }

    /// Waits until the lines so far are written, at most `patience`.
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
