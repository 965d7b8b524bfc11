//! The thread that writes the audit stream.

use super::{
    event::{EventDetails, EventKind},
    sink::Sink,
};
use crate::{
    clock::Clock,
    telemetry::{losses::Losses, metrics::AuditLine},
};
use serde::Serialize;
use std::{
    fmt,
    sync::{Arc, mpsc::Receiver},
};
use tokio::sync::oneshot;

#[derive(Debug)]
pub(super) enum WriterMessage {
    Line(Box<[u8]>),
    /// Answered when everything before it has been written or lost.
    Flush(oneshot::Sender<()>),
}

#[derive(Serialize)]
struct AuditRecord<'a> {
    #[serde(rename = "@timestamp")]
    timestamp: String,
    event: EventKind,
    #[serde(flatten)]
    details: &'a EventDetails<'a>,
}

pub(super) fn line(clock: &Clock, event: EventKind, details: &EventDetails<'_>) -> Box<[u8]> {
    let line = AuditRecord {
        timestamp: clock.now().to_string(),
        event,
        details,
    };
    // Texts and lists of texts cannot fail to be JSON.
    let mut bytes = serde_json::to_vec(&line).unwrap_or_default();
    bytes.push(b'\n');
    bytes.into()
}

/// A line cannot be written.
pub(super) fn lost(losses: &Losses, why: &dyn fmt::Display) {
    losses.metrics.audited(AuditLine::Lost, 1);
    if losses.add(1) {
        tracing::error!(
            error = %why,
            "lines of the audit stream are lost; decisions go on without it"
        );
    }
}

pub(super) struct Writer {
    pub(super) sink: Sink,
    pub(super) lines: Receiver<WriterMessage>,
    pub(super) losses: Arc<Losses>,
    pub(super) clock: Clock,
}

impl Writer {
    pub(super) fn run(mut self) {
        while let Ok(message) = self.lines.recv() {
            match message {
                WriterMessage::Line(line) => self.write(&line),
                WriterMessage::Flush(done) => {
                    let _nobody_waits = done.send(());
                }
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        let unreported = self.losses.unreported();
        let written = if unreported == 0 {
            self.sink.write(bytes)
        } else {
            let details = EventDetails {
                count: Some(unreported),
                ..EventDetails::default()
            };
            let report = line(&self.clock, EventKind::LinesLost, &details);
            self.sink.write(&[&report, bytes].concat())
        };
        match written {
            Ok(()) => {
                self.losses.reported(unreported);
                self.losses.metrics.audited(AuditLine::Written, 1);
            }
            Err(error) => lost(&self.losses, &error),
        }
    }
}
