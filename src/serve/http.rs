//! HTTP on one connection: the TLS handshake, HTTP/1 or HTTP/2, and its end.

use super::{
    connection::{Audience, PeerConnection},
    guard::Guard,
    listen::{Accepted, Reset},
    route,
    spawner::Spawner,
    stream::Stream,
    timer::{Timer, TimerAction},
};
use crate::{
    net::tls::CertificateNames,
    rate::{Limiter, Rate},
    respond::Response,
    telemetry::chain,
};
use futures_util::{FutureExt as _, future::Either};
use http::Request;
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    service::{Service, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::conn::auto,
};
use std::{
    convert::Infallible,
    error::Error,
    future::{Future, poll_fn, ready},
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::Poll,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Notify,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

/// What hyper may have read behind a head.
const READ_AHEAD: usize = 16 * 1024;
/// What a client may send of one body before the cluster takes it: at 50 ms, 20 MB a second.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same for all bodies of a connection, which is what they may cost together.
const CONNECTION_WINDOW: u32 = 4 * STREAM_WINDOW;
/// What is held of one answer that the client does not take.
const SEND_BUFFER: usize = 64 * 1024;

/// What all connections of a listener share.
pub(super) struct Shared {
    draining: AtomicBool,
    drain_begins: Notify,
    handshakes: Limiter,
    /// Connections of balancers without a valid PROXY header.
    pub(super) headers: Limiter,
    /// Of trusted peers, and of others, who must not hide them.
    large_heads: [Limiter; 2],
}

impl Shared {
    pub(super) fn new() -> Self {
        Self {
            draining: AtomicBool::new(false),
            drain_begins: Notify::new(),
            handshakes: Limiter::new(Rate::a_second(10)),
            headers: Limiter::new(Rate::a_second(10)),
            large_heads: std::array::from_fn(|_| Limiter::new(Rate::a_second(1))),
        }
    }

    /// Tells all connections that the end has begun.
    pub(super) fn drain(&self) {
        // A connection that is not yet listening misses the notification and sees the flag.
        self.draining.store(true, SeqCst);
        self.drain_begins.notify_waiters();
    }
}

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: Accepted,
    tls: Option<TlsAcceptor>,
    connection: Arc<PeerConnection>,
    shared: &Shared,
) {
    let Some(tls) = tls else {
        return http(stream, connection, shared).await;
    };
    let failed: Box<dyn std::error::Error> =
        match timeout(connection.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(stream)) => {
                let (_, tls) = stream.get_ref();
                let own = tls.peer_certificates().and_then(<[_]>::first);
                connection.handshake_done(own.map(CertificateNames::of));
                return http(stream, connection, shared).await;
            }
            Ok(Err(error)) => error.into(),
            Err(late) => late.into(),
        };
    // A gateway that does not trust our certificate, or has none to show, is seen here and nowhere
    // else. Port scanners are seen here too.
    if connection.trusted
        && let Ok(suppressed) = shared.handshakes.take(connection.service.clock.now())
    {
        tracing::warn!(
            peer = %connection.peer,
            error = chain(failed.as_ref()),
            suppressed,
            "the TLS handshake failed"
        );
    }
}

async fn http<I>(io: I, connection: Arc<PeerConnection>, shared: &Shared)
where
    I: AsyncRead + AsyncWrite + Reset + Unpin + Send + 'static,
{
    let stream = Stream {
        io,
        connection: Arc::clone(&connection),
    };
    let builder = builder(&connection);
    if connection.audience == Audience::Clients {
        let io = TokioIo::new(Guard::new(stream, Arc::clone(&connection)));
        let answer = {
            let connection = Arc::clone(&connection);
            service_fn(move |request| {
                // Before the request becomes a task of its own, which takes it.
                let progress = connection.exchange_begins();
                route::pass_on(Arc::clone(&connection), progress, request)
            })
        };
        let serving = pin!(builder.serve_connection_with_upgrades(io, answer));
        return drive(serving, connection, shared).await;
    }
    let io = TokioIo::new(stream);
    let answer = {
        let connection = Arc::clone(&connection);
        move |request: Request<Incoming>| {
            // Before the request becomes a task of its own: this decides how many there may be.
            connection.seen(request.headers());
            route::answer(Arc::clone(&connection), request)
        }
    };
    if connection.trusted {
        let serving = pin!(builder.serve_connection(io, service_fn(answer)));
        drive(serving, connection, shared).await;
    } else {
        // Refused at once, before the next request is read: a task would keep the headers until it
        // runs, and room for a whole decision for as long as nobody reads the answer. Both together
        // are some 16 KB a request. What takes longer, a check of health or a logout, is in a box.
        let answer = service_fn(move |request| {
            let mut answer = Box::pin(answer(request));
            match answer.as_mut().now_or_never() {
                Some(answer) => Either::Left(ready(answer)),
                None => Either::Right(answer),
            }
        });
        let mut serving = Box::pin(builder.serve_connection(io, answer));
        drive(serving.as_mut(), connection, shared).await;
    }
}

/// What hyper makes of a connection, with and without a way to other protocols.
trait Serving: Future<Output = Result<(), Box<dyn Error + Send + Sync>>> {
    /// Answers what has begun, then ends.
    fn finish(self: Pin<&mut Self>);
}

impl<I, S> Serving for auto::Connection<'_, I, S, Spawner>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>,
    I: Read + Write + Unpin + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Serving for auto::UpgradeableConnection<'_, I, S, Spawner>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>,
    I: Read + Write + Unpin + Send + 'static,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

/// Drives a connection to its end, within its times.
async fn drive(
    mut serving: Pin<&mut impl Serving>,
    connection: Arc<PeerConnection>,
    shared: &Shared,
) {
    let peer = connection.peer;
    let mut timer = Timer::new(Arc::clone(&connection));
    let mut drain_begins = pin!(shared.drain_begins.notified());
    drain_begins.as_mut().enable();
    let mut is_subscribed = false;
    let ended = poll_fn(|context| {
        // Polled once, to say whom to wake; from then on the flag says whether the end has begun.
        // All connections share the lock of the notification: it is not for every request.
        if !is_subscribed {
            is_subscribed = true;
            let _wakes_later = drain_begins.as_mut().poll(context);
        }
        loop {
            if let Poll::Ready(ended) = serving.as_mut().poll(context) {
                return Poll::Ready(Some(ended));
            }
            match timer.poll(context, shared.draining.load(SeqCst)) {
                TimerAction::Wait => return Poll::Pending,
                TimerAction::Drain => serving.as_mut().finish(),
                TimerAction::Close => return Poll::Ready(None),
            }
        }
    })
    .await;
    match ended {
        Some(Ok(())) => {}
        Some(Err(error)) if is_too_large(error.as_ref()) => too_large(&connection, shared),
        // The peer's doing: not HTTP, or hung up. Nothing to look at in a service that works.
        Some(Err(error)) => {
            tracing::debug!(%peer, error = chain(error.as_ref()), "the connection ended");
        }
        None => tracing::debug!(%peer, "the connection took too long and was closed"),
    }
}

/// Whether hyper has answered 431, or 414 for a request line.
fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<hyper::Error>();
    error.is_some_and(hyper::Error::is_parse_too_large)
}

/// Such a request is answered before it is a request, so no other line is written for it. Mostly it
/// is a browser with many cookies: its user sees an error, and the gateway's log a status.
fn too_large(connection: &PeerConnection, shared: &Shared) {
    let [trusted, others] = &shared.large_heads;
    let limiter = if connection.trusted { trusted } else { others };
    if let Ok(suppressed) = limiter.take(connection.service.clock.now()) {
        tracing::warn!(
            peer = %connection.peer,
            trusted = connection.trusted,
            max_bytes = connection.peer_limits().header_bytes,
            max_headers = connection.limits.headers,
            suppressed,
            "refused with 431 or 414: the request's headers are too large or too many; let the \
             gateway send fewer, above all cookies"
        );
    }
}

/// What the connection may use is agreed on at its start.
fn builder(connection: &Arc<PeerConnection>) -> auto::Builder<Spawner> {
    let (limits, of_peer) = (&connection.limits, connection.peer_limits());
    let mut builder = auto::Builder::new(Spawner(Arc::clone(connection)));
    builder
        .http1()
        // hyper's time for headers runs while an open connection is idle, and costs a timer a
        // request. `Timer` does it instead.
        .header_read_timeout(None)
        .max_headers(limits.headers)
        .max_buf_size(of_peer.header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(of_peer.header_bytes)
        .max_concurrent_streams(of_peer.streams)
        .max_local_error_reset_streams(of_peer.resets)
        // Bodies are not read: the smallest windows that need no negotiation.
        .initial_stream_window_size(65_535)
        .initial_connection_window_size(65_535)
        .keep_alive_interval(limits.ping)
        .keep_alive_timeout(limits.pong);
    if connection.audience == Audience::Clients {
        // The guard holds heads until they are whole, so hyper has all of one at once.
        let most = of_peer.header_bytes as usize + READ_AHEAD;
        builder.http1().max_buf_size(most);
        builder
            .http2()
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(SEND_BUFFER);
    }
    builder
}
