//! The connections to one server.

use super::{
    answer::Answer,
    connection::Connection,
    kept::Kept,
    origin::{Connected, Origin},
    types::{LinkLimits, NotAnswered, StreamError},
    upload::{Outgoing, Upload},
};
use http::Request;
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc, time::Duration};

/// One server, and the connections to it that are kept.
pub(crate) struct Link {
    origin: Origin,
    limits: LinkLimits,
    kept: Arc<Kept>,
}

impl Link {
    pub(crate) fn new(origin: Origin, limits: LinkLimits) -> Self {
        Self {
            origin,
            limits,
            kept: Arc::new(Kept::new(limits)),
        }
    }

    /// Closes connections that were not used for a while.
    pub(crate) fn sweep(&self) {
        self.kept.sweep();
    }

    /// Sends a request. Its answer's head must be there within `patience`, counted from the last
    /// piece of the request. Whoever drops the future before, or the answer's body before its end,
    /// closes the connection.
    ///
    /// # Errors
    /// Why there is no answer, with the request where not a byte of it was written.
    pub(crate) async fn send(
        &self,
        mut request: Request<Outgoing>,
        upload: &Upload,
        asks_for_upgrade: bool,
        patience: Option<Duration>,
    ) -> Result<Answer, NotAnswered> {
        loop {
            let (mut connection, kept) = match self.kept.take() {
                Some(connection) => (connection, true),
                // In a box, so that the many requests without have no room for it.
                None => match Box::pin(self.connect()).await {
                    Ok(connection) => (connection, false),
                    Err(why) => return Err(NotAnswered::unsent(why, request)),
                },
            };
            let Some(answered) = connection.send(request, upload, patience).await else {
                return Err(NotAnswered::sent(StreamError::TimedOut));
            };
            let mut failed = match answered {
                Ok(response) => {
                    let back = (Arc::clone(&self.kept), connection);
                    return Answer::new(response, asks_for_upgrade, back, upload.watch())
                        .map_err(NotAnswered::sent);
                }
                Err(failed) => failed,
            };
            // hyper hands a request back only if it has not begun to write it.
            match failed.take_message() {
                Some(back) if kept => request = back,
                Some(back) => return Err(NotAnswered::unsent(failed.into_error(), back)),
                None => return Err(NotAnswered::sent(cut(upload, failed.into_error(), kept))),
            }
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        match self.origin.connect(&self.limits).await? {
            Connected::Plain(stream) => Connection::begin(TokioIo::new(stream)).await,
            Connected::Tls(stream) => Connection::begin(TokioIo::new(*stream)).await,
        }
        .map_err(io::Error::other)
    }
}

fn cut(upload: &Upload, error: hyper::Error, kept: bool) -> StreamError {
    match upload.broken() {
        Some(why) => StreamError::Upload(why),
        None => StreamError::Cut {
            source: Arc::new(error),
            kept,
        },
    }
}
