//! A connection as it was accepted. One type for both kinds, so that what is built on it exists
//! once.

use crate::net::keep_alive;
use rustix::net::sockopt::set_socket_send_buffer_size;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};

/// What the system keeps of answers that a gateway does not read; it takes twice this for its own
/// records. Without a bound that grows to megabytes for each connection. An answer is a kilobyte.
const SEND_BUFFER: usize = 32 * 1024;

#[derive(Debug)]
pub(crate) enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Accepted {
    /// Unix sockets need none.
    pub(crate) fn set_options(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                // An answer is one small packet; without this it may wait for the acknowledgement
                // of the one before.
                stream.set_nodelay(true)?;
                keep_alive(stream)
            }
            Self::Unix(_) => Ok(()),
        }
    }

    /// For answers of a kilobyte. The bodies of a cluster need what the system gives by itself: a
    /// buffer of one packet waits for an acknowledgement again and again.
    pub(crate) fn bound_send_buffer(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => Ok(set_socket_send_buffer_size(stream, SEND_BUFFER)?),
            Self::Unix(_) => Ok(()),
        }
    }
}

/// A socket whose end can be told from the end of what is written to it.
pub(crate) trait Reset {
    /// From now on its end is a reset.
    fn ends_with_reset(&self);
}

impl Reset for Accepted {
    fn ends_with_reset(&self) {
        if let Self::Tcp(stream) = self
            && let Err(error) = stream.set_zero_linger()
        {
            tracing::debug!(%error, "cannot set SO_LINGER");
        }
    }
}

/// Without `close_notify` its end is no end of what was written.
impl Reset for tokio_rustls::server::TlsStream<Accepted> {
    fn ends_with_reset(&self) {
        self.get_ref().0.ends_with_reset();
    }
}

macro_rules! either {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream.get_mut() {
            Accepted::Tcp(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
            Accepted::Unix(stream) => {
                let $inner = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Accepted {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(context, buffer))
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(context, parts))
    }

    /// Both kinds write several parts at once.
    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(context))
    }
}
