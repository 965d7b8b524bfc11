//! A client's body on its way to a server. It is read when the server takes it, and its beginning
//! is kept, so that a request with a small body can be sent once more.

use crate::net::client::types::Source as ErrorSource;
use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::Instant;

/// The longest body that is kept for a second try. Searches and single documents are shorter; a
/// bulk request is not, and costs no memory so.
const MAX_KEPT: usize = 64 * 1024;

/// The body of a client's request, for one or more tries. `None` has no body.
#[derive(Debug)]
pub(crate) struct Upload {
    state: Option<Arc<Mutex<State>>>,
    begun: Instant,
}

/// The body of one try.
#[derive(Debug)]
pub(crate) struct Outgoing(Option<Try>);

#[derive(Debug)]
struct Try {
    state: Arc<Mutex<State>>,
    number: u32,
    /// Pieces that this try has had of what is kept.
    given: usize,
    is_ended: bool,
    length: SizeHint,
}

#[derive(Debug)]
struct State {
    body: Incoming,
    /// Of the whole body. What hyper says of it later is of the rest.
    length: SizeHint,
    /// What has come, while all of it is kept.
    kept: Vec<Piece>,
    kept_bytes: usize,
    is_kept: bool,
    /// All that has come, in bytes. The report of the request reads it too.
    received: Arc<AtomicU64>,
    tries: u32,
    /// When the last piece came.
    progress: Instant,
    /// Whether the client is waited for.
    waits: bool,
    broken: Option<ErrorSource>,
}

/// Looks at the body from beside it, and does not keep it.
#[derive(Debug, Clone)]
pub(crate) struct UploadWatch(Weak<Mutex<State>>);

#[derive(Debug, Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

/// Why a body ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("the client's body ended early")]
    Client(#[source] hyper::Error),
    #[error("the request is sent once more on another connection")]
    Repeated,
}

impl Upload {
    pub(crate) fn new(body: Incoming) -> Self {
        let begun = Instant::now();
        let state = (!body.is_end_stream()).then(|| State {
            length: body.size_hint(),
            body,
            kept: Vec::new(),
            kept_bytes: 0,
            is_kept: true,
            received: Arc::default(),
            tries: 0,
            progress: begun,
            waits: false,
            broken: None,
        });
        Self {
            state: state.map(|state| Arc::new(Mutex::new(state))),
            begun,
        }
    }

    /// That of a request without one.
    #[cfg(test)]
    pub(crate) fn empty() -> Self {
        Self {
            state: None,
            begun: Instant::now(),
        }
    }

    /// How long the body is: `None` for no body, an inexact hint where only its end tells.
    pub(crate) fn length(&self) -> Option<SizeHint> {
        self.state.as_ref().map(|state| locked(state).length)
    }

    pub(crate) fn watch(&self) -> UploadWatch {
        UploadWatch(self.state.as_ref().map_or_else(Weak::new, Arc::downgrade))
    }

    /// Counts the bytes that have come of the body, if there is one.
    pub(crate) fn received(&self) -> Option<Arc<AtomicU64>> {
        let state = self.state.as_ref()?;
        Some(Arc::clone(&locked(state).received))
    }

    /// The body for the next try. Earlier ones get no more of it.
    pub(crate) fn outgoing(&self) -> Outgoing {
        Outgoing(self.state.as_ref().map(|state| {
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
        self.state.as_ref().is_none_or(|state| {
            let state = locked(state);
            state.is_kept && state.broken.is_none()
        })
    }

    /// The request is not sent again.
    pub(crate) fn forget(&self) {
        if let Some(state) = &self.state {
            locked(state).forget();
        }
    }

    /// Why the client's body is not whole, if that was seen.
    pub(super) fn broken(&self) -> Option<ErrorSource> {
        locked(self.state.as_ref()?).broken.clone()
    }

    /// Until when the server may take to answer, counted from the last piece of the body. While the
    /// client is waited for, the time does not run: that is the client's to end.
    pub(super) fn deadline(&self, patience: Duration) -> Instant {
        let Some(state) = &self.state else {
            return self.begun + patience;
        };
        let state = locked(state);
        let since = if state.waits {
            Instant::now()
        } else {
            state.progress
        };
        since + patience
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
}

impl State {
    fn forget(&mut self) {
        self.is_kept = false;
        self.kept = Vec::new();
    }

    fn keep(&mut self, piece: &Piece) {
        let bytes = match piece {
            Piece::Data(data) => data.len(),
            Piece::Trailers(_) => 0,
        };
        self.received.fetch_add(bytes as u64, Relaxed);
        if !self.is_kept {
            return;
        }
        self.kept_bytes += bytes;
        if self.kept_bytes > MAX_KEPT {
            self.forget();
        } else {
            self.kept.push(piece.clone());
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
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
        if let Some(piece) = state.kept.get(own.given).cloned() {
            own.given += 1;
            own.is_ended = own.given == state.kept.len() && state.body.is_end_stream();
            return Poll::Ready(Some(Ok(piece.into())));
        }
        let polled = Pin::new(&mut state.body).poll_frame(context);
        state.waits = polled.is_pending();
        let Poll::Ready(polled) = polled else {
            return Poll::Pending;
        };
        state.progress = Instant::now();
        let frame = match polled {
            None => {
                own.is_ended = true;
                return Poll::Ready(None);
            }
            Some(Err(error)) => {
                state.broken = Some(Arc::new(BodyError(error.to_string())));
                return Poll::Ready(Some(Err(UploadError::Client(error))));
            }
            Some(Ok(frame)) => frame,
        };
        let piece = match frame.into_data().map_err(Frame::into_trailers) {
            Ok(data) => Piece::Data(data),
            Err(Ok(trailers)) => Piece::Trailers(trailers),
            // There is no third kind.
            Err(Err(frame)) => return Poll::Ready(Some(Ok(frame))),
        };
        state.keep(&piece);
        own.given += 1;
        own.is_ended = state.body.is_end_stream();
        Poll::Ready(Some(Ok(piece.into())))
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
