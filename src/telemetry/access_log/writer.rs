//! The thread that writes the access log.

use crate::telemetry::{losses::Losses, metrics::AuditLine};
use std::{
    fmt,
    io::Write,
    sync::{Arc, mpsc::Receiver},
};
use tokio::sync::oneshot;

/// So many bytes are written at once, at most: a pipe takes 64 KB.
const BATCH: usize = 64 * 1024;

#[derive(Debug)]
pub(super) enum Message {
    Line(Box<[u8]>),
    /// Answered when everything before it has been written or lost.
    Flush(oneshot::Sender<()>),
}

/// Lines cannot be written.
pub(super) fn lost(losses: &Losses, lines: u64, why: &dyn fmt::Display) {
    losses.metrics.access_logged(AuditLine::Lost, lines);
    if losses.add(lines) {
        let lines = losses.take();
        tracing::error!(
            error = %why,
            lines,
            "lines of the access log are lost; requests go on without it"
        );
    }
}

pub(super) struct Writer<W> {
    pub(super) out: W,
    pub(super) messages: Receiver<Message>,
    pub(super) losses: Arc<Losses>,
}

impl<W: Write> Writer<W> {
    pub(super) fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Ok(first) = self.messages.recv() {
            let (mut next, mut lines, mut waits) = (Some(first), 0, None);
            // What has queued up meanwhile goes out in one call.
            while let Some(message) = next {
                match message {
                    Message::Line(line) => {
                        batch.extend_from_slice(&line);
                        lines += 1;
                    }
                    Message::Flush(done) => {
                        waits = Some(done);
                        break;
                    }
                }
                if batch.len() >= BATCH {
                    break;
                }
                next = self.messages.try_recv().ok();
            }
            match self.out.write_all(&batch).and_then(|()| self.out.flush()) {
                Ok(()) => self.losses.metrics.access_logged(AuditLine::Written, lines),
                Err(error) => lost(&self.losses, lines, &error),
            }
            batch.clear();
            if let Some(done) = waits {
                let _nobody_waits = done.send(());
            }
        }
    }
}
