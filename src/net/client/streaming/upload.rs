//! A client's body on its way to a server. It is read when the server takes it, and its beginning
//! is kept, so that a request with a small body can be sent once more.

use super::beginning::Beginning;
use crate::net::client::types::Source as ErrorSource;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    fmt,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::time::Instant;

/// The body of a client's request, for one or more tries. `None` has no body.
#[derive(Debug)]
pub(crate) struct Upload(Option<Arc<Mutex<State>>>);

/// The body of one try.
#[derive(Debug)]
pub(crate) struct Outgoing(Option<Try>);

#[derive(Debug)]
struct Try {
    state: Arc<Mutex<State>>,
    number: u32,
    /// Bytes that this try has had of what is kept.
    given: usize,
    is_ended: bool,
    length: SizeHint,
}

struct State {
    body: Incoming,
    /// Of the whole body. What hyper says of it later is of the rest.
    length: SizeHint,
    /// What has come, while all of it is kept.
    kept: Beginning,
    /// Those of the kept body.
    trailers: Option<HeaderMap>,
    /// Which trailers are not passed on.
    drops: Drops,
    /// hyper takes a stream of HTTP/2 that its client reset without an error for one that ended.
    is_multiplexed: bool,
    /// Whether the client's body came to its own end.
    is_whole: bool,
    /// All that has come, in bytes. The report of the request reads it too.
    received: Arc<AtomicU64>,
    tries: u32,
    /// The last of them whose body hyper has let go of: all of it is written, or none more ever is.
    over: u32,
    /// When the last piece came.
    progress: Instant,
    /// Whether the client is waited for.
    waits: bool,
    broken: Option<ErrorSource>,
}

/// Looks at the body from beside it, and does not keep it.
#[derive(Debug, Clone)]
pub(crate) struct UploadWatch(Weak<Mutex<State>>);

/// Says of a trailer whether it is not passed on.
pub(crate) type Drops = Box<dyn Fn(&HeaderName) -> bool + Send + Sync>;

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client's body ended early")]
    Client(#[source] hyper::Error),
    #[error("the client reset its stream before the end of the body")]
    Reset,
    #[error("the request is sent once more on another connection")]
    Repeated,
}

impl Upload {
    /// `drops` is asked for if there is a body.
    pub(crate) fn new(body: Incoming, version: Version, drops: impl FnOnce() -> Drops) -> Self {
        let state = (!body.is_end_stream()).then(|| State {
            length: body.size_hint(),
            body,
            kept: Beginning::default(),
            trailers: None,
            drops: drops(),
            is_multiplexed: version == Version::HTTP_2,
            is_whole: false,
            received: Arc::default(),
            tries: 0,
            over: 0,
            progress: Instant::now(),
            waits: false,
            broken: None,
        });
        Self(state.map(|state| Arc::new(Mutex::new(state))))
    }

    /// That of a request without one.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self(None)
    }

    /// How long the body is: `None` for no body, an inexact hint where only its end tells.
    pub(crate) fn length(&self) -> Option<SizeHint> {
        self.0.as_ref().map(|state| locked(state).length)
    }

    pub(crate) fn watch(&self) -> UploadWatch {
        UploadWatch(self.0.as_ref().map_or_else(Weak::new, Arc::downgrade))
    }

    /// Counts the bytes that have come of the body, if there is one.
    pub(crate) fn received(&self) -> Option<Arc<AtomicU64>> {
        let state = self.0.as_ref()?;
        Some(Arc::clone(&locked(state).received))
    }

    /// The body for the next try. Earlier ones get no more of it.
    pub(crate) fn outgoing(&self) -> Outgoing {
        Outgoing(self.0.as_ref().map(|state| {
            let mut own = locked(state);
            own.tries += 1;
            Try {
                number: own.tries,
                given: 0,
                is_ended: false,
                length: own.length,
                state: Arc::clone(state),
            }
        }))
    }

    /// Whether all that has come so far is still here.
    pub(crate) fn may_repeat(&self) -> bool {
        self.0.as_ref().is_none_or(|state| {
            let state = locked(state);
            state.kept.is_all() && state.broken.is_none()
        })
    }

    /// The request is not sent again.
    pub(crate) fn forget(&self) {
        if let Some(state) = &self.0 {
            let mut state = locked(state);
            state.kept.forget();
            state.trailers = None;
        }
    }

    /// Why the client's body is not whole, if that was seen.
    pub(super) fn broken(&self) -> Option<ErrorSource> {
        locked(self.0.as_ref()?).broken.clone()
    }

    /// Since when the server is waited for, in a try that has begun then: since the last piece of
    /// the body. While the client is waited for, the time does not run: that is the client's to
    /// end.
    pub(super) fn last_progress(&self, begun: Instant) -> Instant {
        let Some(state) = &self.0 else {
            return begun;
        };
        let state = locked(state);
        if state.waits {
            Instant::now()
        } else {
            state.progress.max(begun)
        }
    }
}

impl UploadWatch {
    /// How many bytes of the body have come, and whether the client is waited for.
    pub(crate) fn now(&self) -> (u64, bool) {
        self.0.upgrade().map_or((0, false), |state| {
            let state = locked(&state);
            (state.received.load(Relaxed), state.waits)
        })
    }

    /// Whether nothing more of it goes out in the last try.
    pub(super) fn is_over(&self) -> bool {
        self.0.upgrade().is_none_or(|state| {
            let state = locked(&state);
            state.over == state.tries
        })
    }
}

impl State {
    /// Takes what hyper has read; `None` is an end.
    fn take(
        &mut self,
        read: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, UploadError>> {
        let frame = match read {
            None if self.is_multiplexed && !self.body.is_end_stream() => {
                self.broken = Some(Arc::new(UploadError::Reset));
                return Some(Err(UploadError::Reset));
            }
            None => {
                self.is_whole = true;
                return None;
            }
            Some(Err(error)) => {
                self.broken = Some(Arc::new(BodyError(error.to_string())));
                return Some(Err(UploadError::Client(error)));
            }
            Some(Ok(frame)) => frame,
        };
        let frame = match frame.into_data().map_err(Frame::into_trailers) {
            Ok(data) => {
                self.received.fetch_add(data.len() as u64, Relaxed);
                self.kept.add(&data);
                self.is_whole = self.body.is_end_stream();
                Frame::data(data)
            }
            Err(Ok(came)) => {
                let trailers = self.passed(&came);
                self.is_whole = true;
                // hyper would never end a request whose trailers it cannot write.
                if trailers.is_empty() || self.length.exact().is_some() {
                    return None;
                }
                if self.kept.is_all() {
                    self.trailers = Some(trailers.clone());
                }
                Frame::trailers(trailers)
            }
            // There is no third kind.
            Err(Err(frame)) => frame,
        };
        Some(Ok(frame))
    }

    fn passed(&self, came: &HeaderMap) -> HeaderMap {
        let mut passed = HeaderMap::new();
        for (name, value) in came {
            if !(self.drops)(name) {
                passed.append(name, value.clone());
            }
        }
        passed
    }
}

/// Neither the body nor a header gets into a log.
impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").finish_non_exhaustive()
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Try {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        state.over = state.over.max(self.number);
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        let Some(own) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let mut state = locked(&own.state);
        if state.tries != own.number {
            return Poll::Ready(Some(Err(UploadError::Repeated)));
        }
        if let Some(rest) = state.kept.from(own.given) {
            own.given += rest.len();
            own.is_ended = state.is_whole && state.trailers.is_none();
            return Poll::Ready(Some(Ok(Frame::data(rest))));
        }
        if state.is_whole {
            let trailers = state.trailers.clone().filter(|_| !own.is_ended);
            own.is_ended = true;
            return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let polled = Pin::new(&mut state.body).poll_frame(context);
        state.waits = polled.is_pending();
        let Poll::Ready(read) = polled else {
            return Poll::Pending;
        };
        state.progress = Instant::now();
        let taken = state.take(read);
        if let Some(Ok(frame)) = &taken {
            own.given += frame.data_ref().map_or(0, Bytes::len);
        }
        own.is_ended = state.is_whole;
        Poll::Ready(taken)
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|own| own.is_ended)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(own) => own.length,
        }
    }
}

/// What hyper said of the body; its own error went to the connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct BodyError(String);
