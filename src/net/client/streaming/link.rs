//! The connections to one server.

use super::{
    answer::Answer,
    kept::{Kept, Sender},
    origin::{Connected, Origin},
    types::{LinkLimits, NotAnswered, StreamError},
    upload::{Outgoing, Upload},
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1},
    rt::{Executor as _, Read, Write},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{future::Future, io, pin::pin, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout_at};

/// The head of an answer, and what is read at once of its body.
const MAX_BUFFER: usize = 128 * 1024;
/// Elasticsearch sends a `Warning` for each deprecated thing that a request uses.
const MAX_HEADERS: usize = 300;

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
            let (mut sender, kept) = match self.kept.take() {
                Some(sender) => (sender, true),
                None => match self.connect().await {
                    Ok(sender) => (sender, false),
                    Err(why) => return Err(NotAnswered::unsent(why, request)),
                },
            };
            let sending = sender.try_send_request(request);
            let Some(answered) = in_time(sending, upload, patience).await else {
                return Err(NotAnswered::sent(StreamError::TimedOut));
            };
            let mut failed = match answered {
                Ok(response) => {
                    return Answer::new(response, asks_for_upgrade, &self.kept, sender)
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

    async fn connect(&self) -> io::Result<Sender> {
        match self.origin.connect(&self.limits).await? {
            Connected::Plain(stream) => Self::begin(TokioIo::new(stream)).await,
            Connected::Tls(stream) => Self::begin(TokioIo::new(*stream)).await,
        }
        .map_err(io::Error::other)
    }

    async fn begin<I>(io: I) -> hyper::Result<Sender>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER).max_headers(MAX_HEADERS);
        let (sender, connection) = builder.handshake(io).await?;
        // The end of the program does not wait for it: whoever reads an answer is waited for, and a
        // kept connection has no end.
        TokioExecutor::new().execute(async move {
            // Whoever waits for an answer has the error too.
            let _ended = connection.with_upgrades().await;
        });
        Ok(sender)
    }
}

/// `None` where the answer has not begun in time.
async fn in_time(
    sending: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>>,
    upload: &Upload,
    patience: Option<Duration>,
) -> Option<Result<Response<Incoming>, TrySendError<Request<Outgoing>>>> {
    let Some(patience) = patience else {
        return Some(sending.await);
    };
    let mut sending = pin!(sending);
    loop {
        match timeout_at(upload.deadline(patience), &mut sending).await {
            Ok(answered) => return Some(answered),
            Err(_elapsed) if upload.deadline(patience) > Instant::now() => {}
            Err(_elapsed) => return None,
        }
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
