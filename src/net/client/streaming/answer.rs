//! A server's answer, whose body comes as it is read.

use super::{
    connection::{Connection, unwoken},
    kept::Kept,
    types::StreamError,
    upload::UploadWatch,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    response::Parts,
};
use http_body::{Body, Frame, SizeHint};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) head: Parts,
    pub(crate) body: AnswerBody,
    /// The connection after a 101 that was asked for.
    pub(crate) upgrade: Option<OnUpgrade>,
}

/// Gives the connection back once it is read to its end. Dropped before, it closes the connection.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    incoming: Incoming,
    back: Option<Back>,
    upload: UploadWatch,
    /// Why it ended too early, while what came before that goes out.
    cut: Option<hyper::Error>,
}

/// A connection, and where it goes behind a whole exchange.
pub(super) type Back = (Arc<Kept>, Connection);

impl Answer {
    /// # Errors
    /// If it is unclear where the answer ends, or it changes the protocol without being asked to.
    pub(super) fn new(
        response: Response<Incoming>,
        asked_for_upgrade: bool,
        back: Back,
        upload: UploadWatch,
    ) -> Result<Self, StreamError> {
        let (mut head, incoming) = response.into_parts();
        let upgrade = head.extensions.remove::<OnUpgrade>();
        let is_upgrade = head.status == StatusCode::SWITCHING_PROTOCOLS;
        if is_upgrade && !asked_for_upgrade {
            return Err(StreamError::Malformed("101 that was not asked for"));
        }
        check_framing(&head.headers).map_err(StreamError::Malformed)?;
        let mut body = AnswerBody {
            incoming,
            back: Some(back),
            upload,
            cut: None,
        };
        if !is_upgrade {
            body.give_back_at_end();
        } else if let Some((_, connection)) = body.back.take() {
            connection.let_go();
        }
        Ok(Self {
            head,
            body,
            upgrade: upgrade.filter(|_| is_upgrade),
        })
    }
}

/// RFC 9112, §6.1 lets a client read an answer with both; whoever reads it otherwise sees another
/// answer behind it.
fn check_framing(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    if let Some(coding) = codings.next() {
        if codings.next().is_some() || !coding.as_bytes().eq_ignore_ascii_case(b"chunked") {
            return Err("a transfer coding other than `chunked`");
        }
        if lengths.next().is_some() {
            return Err("a length and a transfer coding");
        }
        return Ok(());
    }
    let first = lengths.next();
    let is_other = |value: &HeaderValue| Some(value) != first;
    if lengths.any(is_other) {
        return Err("two lengths");
    }
    Ok(())
}

impl AnswerBody {
    fn give_back_at_end(&mut self) {
        if self.incoming.is_end_stream() {
            self.give_back();
        }
    }

    /// What was read already comes first. The connection wakes this task when there is more.
    fn poll_incoming(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let incoming = &mut self.incoming;
        let mut poll = || Pin::new(&mut *incoming).poll_frame(&mut unwoken());
        let Some((_, connection)) = &mut self.back else {
            return poll();
        };
        let mut is_driven = false;
        loop {
            let (polled, is_woken) = connection.muted(&mut poll);
            if polled.is_ready() || is_driven && !is_woken {
                return polled;
            }
            connection.drive(context);
            is_driven = true;
        }
    }

    /// An answer that ends before its request ends that, too: nobody watches it any more.
    fn give_back(&mut self) {
        if let Some((kept, connection)) = self.back.take()
            && self.upload.is_over()
        {
            kept.put(connection);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(why) = self.cut.take() {
            return Poll::Ready(Some(Err(why)));
        }
        match ready!(self.poll_incoming(context)) {
            Some(Ok(frame)) => {
                self.give_back_at_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(why)) => {
                self.back = None;
                // hyper would end the client's connection with what it has not written yet, perhaps
                // the head.
                self.cut = Some(why);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            None => {
                self.give_back();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
