//! One connection to a server. It has no task of its own: whoever waits for its answer, or reads
//! that, reads and writes for it. So an exchange costs no switch between tasks.

use super::{
    relay::Relay,
    upload::{Outgoing, Upload},
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
    rt::{Executor as _, Read, Write},
};
use hyper_util::rt::TokioExecutor;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};
use tokio::{
    task::coop::unconstrained,
    time::{Instant, Sleep, sleep_until, timeout},
};

/// The head of an answer, and what is read at once of its body.
const MAX_BUFFER: usize = 128 * 1024;
/// Elasticsearch sends a `Warning` for each deprecated thing that a request uses.
const MAX_HEADERS: usize = 300;
/// For the end of a connection that is not used again.
const GOODBYE: Duration = Duration::from_secs(10);

/// Dropping it closes the connection at once, whatever is under way on it: also an upload whose
/// answer has come already.
pub(super) struct Connection {
    sender: SendRequest<Outgoing>,
    /// hyper's part of it; `None` once it has ended.
    driver: Option<Driver>,
    relay: Arc<Relay>,
    /// Of the relay.
    waker: Waker,
    /// Of whichever request is under way. It is left as it is from one to the next, and set again
    /// when it expires too early: to set it for each costs all threads a lock.
    timer: Option<Pin<Box<Sleep>>>,
}

type Driver = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

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
        let relay = Arc::<Relay>::default();
        Ok(Self {
            sender,
            driver: Some(Box::pin(connection.with_upgrades())),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
            timer: None,
        })
    }

    /// Sends a request; `None` if its answer has not begun within `patience`, counted from the last
    /// piece of its body. A connection that the server has ended, or on which it has said something
    /// unasked, is seen before the request is taken.
    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
        upload: &Upload,
        patience: Option<Duration>,
    ) -> Option<Answered> {
        let begun = Instant::now();
        // Its wake-ups go nowhere, so it must not say that it is pending for want of a budget.
        let mut sending = pin!(unconstrained(self.sender.try_send_request(request)));
        poll_fn(|context| {
            self.drive(context);
            if let Poll::Ready(answered) = sending.as_mut().poll(&mut unwoken()) {
                return Poll::Ready(Some(answered));
            }
            let Some(patience) = patience else {
                return Poll::Pending;
            };
            let deadline = || upload.last_progress(begun) + patience;
            ready!(expire(&mut self.timer, context, deadline));
            Poll::Ready(None)
        })
        .await
    }

    /// Reads and writes what can be, and wakes this task when there is more.
    pub(super) fn drive(&mut self, context: &mut Context<'_>) {
        let Some(driver) = &mut self.driver else {
            return;
        };
        self.relay.register(context.waker());
        let mut context = Context::from_waker(&self.waker);
        if driver.as_mut().poll(&mut context).is_ready() {
            // Whoever waits for an answer has the error too.
            self.driver = None;
        }
    }

    /// Polls a part of hyper that [`Self::drive`] makes ready; whether it has to be driven again.
    pub(super) fn muted<T>(&self, poll: impl FnOnce() -> T) -> (T, bool) {
        self.relay.muted(poll)
    }

    /// Whether another request can be sent. Both messages of the last exchange have to be over. The
    /// task of the last exchange is not woken any more.
    pub(super) fn becomes_ready(&mut self) -> bool {
        if !self.sender.is_ready() {
            self.drive(&mut unwoken());
        }
        self.relay.forget();
        self.sender.is_ready()
    }

    /// Whether the server has ended it, as far as that was seen.
    pub(super) fn is_closed(&self) -> bool {
        self.driver.is_none() || self.sender.is_closed()
    }

    /// The same, as it is now.
    pub(super) fn has_ended(&mut self) -> bool {
        self.drive(&mut unwoken());
        self.is_closed()
    }

    /// Leaves the end to hyper, which says goodbye in TLS, or hands over an upgraded connection.
    pub(super) fn let_go(self) {
        let Self { sender, driver, .. } = self;
        drop(sender);
        if let Some(driver) = driver {
            // The end of the program does not wait for it.
            TokioExecutor::new().execute(async move {
                // Nobody waits for an answer any more, and a server may never read the goodbye.
                let _ended = timeout(GOODBYE, driver).await;
            });
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connection")
    }
}

/// For what only [`Connection::drive`] makes ready.
pub(super) fn unwoken() -> Context<'static> {
    Context::from_waker(Waker::noop())
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
