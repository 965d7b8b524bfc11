//! Whether a request's body has left, known for certain and decided once.
//!
//! A write may go to another host only if the first one cannot have it. "The connection failed" is
//! not enough to go by: a time-out can strike between waiting for a connection and sending on it.
//! So the body itself keeps the count. The connection asks it for its bytes exactly when it is
//! about to send them, and without its body a `PUT` is not carried out. Whoever recalls the body
//! before it was asked for knows that it never leaves.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

const WAITING: u8 = 0;
const LEFT: u8 = 1;
const RECALLED: u8 = 2;

/// The body of a request, empty for a read.
#[derive(Debug)]
pub(super) struct Outgoing {
    data: Option<Bytes>,
    state: Arc<AtomicU8>,
}

/// The sender's end of an [`Outgoing`].
#[derive(Debug)]
pub(super) struct SendState {
    state: Arc<AtomicU8>,
    empty: bool,
}

impl Outgoing {
    pub(super) fn new(data: Bytes) -> (Self, SendState) {
        let state = Arc::new(AtomicU8::new(WAITING));
        let empty = data.is_empty();
        (
            Self {
                data: Some(data).filter(|_| !empty),
                state: Arc::clone(&state),
            },
            SendState { state, empty },
        )
    }
}

impl SendState {
    /// Whether the server may have the request. From this question on it either has, or never will:
    /// a body that has not left is recalled. A request without a body has nothing to go by, and may
    /// be repeated anyway.
    pub(super) fn may_have_left(&self) -> bool {
        self.empty
            || self
                .state
                .compare_exchange(WAITING, RECALLED, Ordering::SeqCst, Ordering::SeqCst)
                .unwrap_or_else(|now| now)
                == LEFT
    }
}

/// The body was called back before it left.
#[derive(Debug, thiserror::Error)]
#[error("the request was given up before it was sent")]
pub(super) struct Recalled;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Recalled;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Recalled>>> {
        let Some(data) = self.data.take() else {
            return Poll::Ready(None);
        };
        let left = self
            .state
            .compare_exchange(WAITING, LEFT, Ordering::SeqCst, Ordering::SeqCst);
        Poll::Ready(Some(left.map(|_| Frame::data(data)).map_err(|_| Recalled)))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(
            self.data
                .as_ref()
                .map_or(0, |data| u64::try_from(data.len()).unwrap_or(u64::MAX)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn what_has_left_cannot_be_recalled() {
        let (body, state) = Outgoing::new(Bytes::from_static(b"{}"));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "{}");
        assert!(state.may_have_left());
    }

    #[tokio::test]
    async fn what_was_recalled_never_leaves() {
        let (body, state) = Outgoing::new(Bytes::from_static(b"{}"));
        assert!(!state.may_have_left());
        assert!(!state.may_have_left(), "once recalled it stays so");
        assert!(body.collect().await.is_err());
    }

    #[test]
    fn a_request_without_a_body_may_always_have_left() {
        assert!(Outgoing::new(Bytes::new()).1.may_have_left());
    }
}
