//! One connection: the handshake, the protocol, and the watch over its time.

use super::{Audience, Limits, Service, accept::Shared, answer};
use crate::{shutdown::Tasks, telemetry::chain};
use http::Version;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::{
    future::{Future, poll_fn},
    io::{self, IoSlice},
    net::IpAddr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed, Ordering::SeqCst},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;

/// What a request needs to know of its connection.
#[derive(Debug)]
pub(super) struct Connection {
    /// The peer's address; an IPv4 address is never in its IPv6 form.
    pub(super) peer: IpAddr,
    /// Whether it is in `trusted_proxies`.
    pub(super) known: bool,
    /// For whom the listener is that took it.
    pub(super) audience: Audience,
    pub(super) limits: Limits,
    pub(super) service: Arc<Service>,
    pub(super) tasks: Tasks,
    pub(super) pulse: Pulse,
}

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    connection: Arc<Connection>,
    shared: &Shared,
) {
    let Some(tls) = tls else {
        return http(stream, connection, shared).await;
    };
    let failed: Box<dyn std::error::Error> =
        match timeout(connection.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => return http(stream, connection, shared).await,
            Ok(Err(error)) => error.into(),
            Err(late) => late.into(),
        };
    // A gateway that does not believe our certificate, or has none to show, is seen here and
    // nowhere else. Port scanners are seen here too.
    if connection.known
        && let Some(suppressed) = shared.handshakes.admit()
    {
        let peer = connection.peer;
        tracing::warn!(%peer, error = chain(failed.as_ref()), suppressed = (suppressed > 0).then_some(suppressed), "the TLS handshake failed");
    }
}

async fn http<I>(io: I, connection: Arc<Connection>, shared: &Shared)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut watch = Watch::over(Arc::clone(&connection));
    let io = TokioIo::new(Watched {
        io,
        connection: Arc::clone(&connection),
    });
    let service = service_fn(move |request| answer(Arc::clone(&connection), request));
    let mut serving = pin!(shared.http.serve_connection(io, service));
    let mut bell = pin!(shared.drain.bell.notified());
    bell.as_mut().enable();
    let mut bell_is_heard = false;
    let ended = poll_fn(|context| {
        // The bell is told once whom to wake; from then on the flag says whether it has rung. Its
        // lock is everybody's, and not for every request.
        if !bell_is_heard {
            bell_is_heard = true;
            let _rings_later = bell.as_mut().poll(context);
        }
        loop {
            if let Poll::Ready(ended) = serving.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            match watch.look(context, shared.drain.begun.load(SeqCst)) {
                Verdict::Stay => return Poll::Pending,
                Verdict::Leave => serving.as_mut().graceful_shutdown(),
                Verdict::Cut => return Poll::Ready(None),
            }
        }
    })
    .await;
    match ended {
        Some(Ok(())) => {}
        // The peer's doing: not HTTP, or hung up. Nothing to look at in a service that works.
        Some(Err(error)) => {
            tracing::debug!(peer = %watch.connection.peer, error = chain(error.as_ref()), "the connection ended");
        }
        None => {
            tracing::debug!(peer = %watch.connection.peer, "the connection was cut: it took too long");
        }
    }
}

/// Tells connections that the end has begun.
#[derive(Debug, Default)]
pub(super) struct Drain {
    begun: AtomicBool,
    bell: Notify,
}

impl Drain {
    pub(super) fn begin(&self) {
        // A connection that misses the bell because it is not yet listening sees the flag.
        self.begun.store(true, SeqCst);
        self.bell.notify_waiters();
    }
}

/// Signs of life of a connection. Written on the hot path, so a few relaxed stores and nothing
/// more.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    /// Requests so far.
    calls: AtomicU32,
    /// Something was read after the last request and the last answer: the beginning of another
    /// request.
    begun: AtomicBool,
    /// HTTP/2 reads at any time, and keeps its own watch over silent peers.
    multiplexed: AtomicBool,
}

impl Pulse {
    /// A request is whole.
    pub(super) fn called(&self, version: Version) {
        self.calls.fetch_add(1, Relaxed);
        self.begun.store(false, Relaxed);
        if version == Version::HTTP_2 {
            self.multiplexed.store(true, Relaxed);
        }
    }

    fn read(&self) {
        self.begun.store(true, Relaxed);
    }

    /// Only an answer is written, so what was read before it was the rest of a request that nobody
    /// waits for: its body.
    fn written(&self) {
        self.begun.store(false, Relaxed);
    }
}

/// The watch over a connection's time, with one timer for its whole life. The timer is not set anew
/// by each request: when it rings, the watch looks whether anything has happened since, and so
/// allows between one and two of the times set.
struct Watch {
    connection: Arc<Connection>,
    timer: Pin<Box<Sleep>>,
    pace: Pace,
    calls: u32,
}

/// How long a connection without a request yet has for its first one when the end begins. It was
/// made because there is one, and a gateway that finds it closed under its first request does not
/// know that nobody has read it.
const FIRST: Duration = Duration::from_secs(1);

/// What a connection is given time for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// To send a request.
    Header,
    /// To send its first request, and no other one.
    First,
    /// To rest.
    Idle,
    /// To end.
    Leaving,
}

enum Verdict {
    Stay,
    /// End when what is in hand is done.
    Leave,
    Cut,
}

impl Watch {
    fn over(connection: Arc<Connection>) -> Self {
        let timer = Box::pin(sleep(connection.limits.header));
        Self {
            connection,
            timer,
            pace: Pace::Header,
            calls: 0,
        }
    }

    fn look(&mut self, context: &mut Context<'_>, draining: bool) -> Verdict {
        if draining && self.pace != Pace::Leaving {
            if self.connection.pulse.calls.load(Relaxed) > 0 {
                self.set(Pace::Leaving);
                return Verdict::Leave;
            }
            if self.pace != Pace::First {
                self.set(Pace::First);
            }
        }
        let pace = self.due();
        if pace != self.pace {
            self.set(pace);
        }
        while self.timer.as_mut().poll(context).is_ready() {
            let has_called = self.connection.pulse.calls.load(Relaxed) != self.calls;
            match self.pace {
                Pace::Header | Pace::Idle if has_called => self.set(self.pace),
                Pace::Header | Pace::Leaving => return Verdict::Cut,
                Pace::Idle | Pace::First => {
                    self.set(Pace::Leaving);
                    return Verdict::Leave;
                }
            }
        }
        Verdict::Stay
    }

    fn due(&self) -> Pace {
        let Pulse {
            calls,
            begun,
            multiplexed,
        } = &self.connection.pulse;
        let in_header = begun.load(Relaxed) && !multiplexed.load(Relaxed);
        if let Pace::First | Pace::Leaving = self.pace {
            self.pace
        } else if in_header || !self.connection.known || calls.load(Relaxed) == 0 {
            // Who is not in `trusted_proxies` gets no connection to keep.
            Pace::Header
        } else {
            Pace::Idle
        }
    }

    fn set(&mut self, pace: Pace) {
        self.pace = pace;
        self.calls = self.connection.pulse.calls.load(Relaxed);
        let time: Duration = match pace {
            Pace::Header => self.connection.limits.header,
            Pace::First => FIRST.min(self.connection.limits.header),
            Pace::Idle => self.connection.limits.idle,
            Pace::Leaving => self.connection.limits.leaving,
        };
        self.timer.as_mut().reset(Instant::now() + time);
    }
}

/// A stream that feels its pulse.
struct Watched<I> {
    io: I,
    connection: Arc<Connection>,
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.connection.pulse.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.connection.pulse.written();
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.connection.pulse.written();
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
