//! One connection to a server, and the task that reads and writes it.

use super::upload::{Outgoing, Upload};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
    rt::{Read, Write},
};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, Sleep, sleep_until},
};

/// The head of an answer, and what is read at once of its body.
const MAX_BUFFER: usize = 128 * 1024;
/// Elasticsearch sends a `Warning` for each deprecated thing that a request uses.
const MAX_HEADERS: usize = 300;

/// Dropping it closes the connection at once, whatever is under way on it: hyper itself would go on
/// with an upload whose answer has come already, for as long as the client takes.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    task: JoinSet<()>,
    /// Of whichever request is under way. It is left as it is from one to the next, and set again
    /// when it expires too early: to set it for each costs all threads a lock.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The head of an answer, or the request if not a byte of it was written.
pub(super) type Answered = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>;

impl Connection {
    pub(super) async fn begin<I>(io: I) -> hyper::Result<Self>
    where
        I: Read + Write + Unpin + Send + 'static,
    {
        let mut builder = http1::Builder::new();
        builder.max_buf_size(MAX_BUFFER).max_headers(MAX_HEADERS);
        let (sender, connection) = builder.handshake(io).await?;
        // The end of the program does not wait for it: whoever reads an answer is waited for, and a
        // kept connection has no end.
        let mut task = JoinSet::new();
        task.spawn(async move {
            // Whoever waits for an answer has the error too.
            let _ended = connection.with_upgrades().await;
        });
        let timer = None;
        Ok(Self {
            sender,
            task,
            timer,
        })
    }

    /// Sends a request; `None` if its answer has not begun within `patience`, counted from the last
    /// piece of its body.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
        upload: &Upload,
        patience: Option<Duration>,
    ) -> Option<Answered> {
        let mut sending = pin!(self.sender.try_send_request(request));
        let Some(patience) = patience else {
            return Some(sending.await);
        };
        let (begun, timer) = (Instant::now(), &mut self.timer);
        poll_fn(|context| {
            if let Poll::Ready(answered) = sending.as_mut().poll(context) {
                return Poll::Ready(Some(answered));
            }
            ready!(expire(timer, context, || upload.last_progress(begun) + patience));
            Poll::Ready(None)
        })
        .await
    }

    /// Whether both messages of its last exchange are whole, hyper has read nothing behind them,
    /// and the server has not closed it.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Leaves the end to hyper, which says goodbye in TLS, or hands over an upgraded connection.
    pub(super) fn let_go(mut self) {
        self.task.detach_all();
    }
}

/// Waits until a time that moves on.
fn expire(
    timer: &mut Option<Pin<Box<Sleep>>>,
    context: &mut Context<'_>,
    deadline: impl Fn() -> Instant,
) -> Poll<()> {
    let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(deadline())));
    if timer.deadline() > deadline() {
        timer.as_mut().reset(deadline());
    }
    loop {
        ready!(timer.as_mut().poll(context));
        if deadline() <= Instant::now() {
            return Poll::Ready(());
        }
        timer.as_mut().reset(deadline());
    }
}
