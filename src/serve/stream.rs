//! A stream that records the activity of its connection: what was read, and whether the peer reads
//! what is written. [`super::timer`] ends the connection of one that does not.

use super::{connection::PeerConnection, listen::Reset};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub(super) struct Stream<I: Reset> {
    pub(super) io: I,
    pub(super) connection: Arc<PeerConnection>,
}

/// A client of HTTP/1.0 takes the end of the connection for the end of the answer.
impl<I: Reset> Drop for Stream<I> {
    fn drop(&mut self) {
        if self.connection.activity.is_cut() {
            self.io.ends_with_reset();
        }
    }
}

impl<I: AsyncRead + Reset + Unpin> AsyncRead for Stream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            self.connection.activity.read();
        }
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Reset + Unpin> Stream<I> {
    fn write<T>(
        &mut self,
        write: impl FnOnce(Pin<&mut I>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let activity = &self.connection.activity;
        activity.written();
        let written = write(Pin::new(&mut self.io));
        if written.is_pending() {
            activity.write_blocked();
        }
        written
    }
}

impl<I: AsyncWrite + Reset + Unpin> AsyncWrite for Stream<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.write(|io| io.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(|io| io.poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Plain TCP has nothing to flush. TLS takes what it is given and is blocked here.
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        let activity = &self.connection.activity;
        match flushed {
            Poll::Ready(_) => activity.flushed(),
            Poll::Pending => activity.write_blocked(),
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(|io| io.poll_shutdown(context))
    }
}
