//! A stream that gives hyper only what [`Framing`] has passed.
//!
//! hyper answers what is wrong between two requests, in its place behind the answers to those
//! before: it gets a request that no client can send, and whoever answers finds the fault beside
//! it. A body that is wrong in the middle ends with an error, so nothing behind takes it for whole.
//!
//! hyper gets one request at a time. With bytes of the next one it would not look whether the
//! client is still there, and a search would go on for nobody.

use super::{
    connection::PeerConnection,
    framing::{Framing, FramingFault, Judged, MalformedBody},
};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What hyper reads where a malformed request begins. Its target is one that never passes.
const MALFORMED: &[u8] = b"GET * HTTP/1.1\r\nhost: malformed\r\n\r\n";
/// How much is read at once while a part is not complete.
const STEP: usize = 4 * 1024;
/// How much is held of what comes before an answer. The end of a client that sends more is seen
/// later.
const AHEAD: usize = 64 * 1024;
/// How much is read at the end and thrown away, so that the client gets the answer and not a reset:
/// more than the buffers of both systems hold.
const LINGER: usize = 32 * 1024 * 1024;

pub(super) struct Guard<I> {
    io: I,
    framing: Framing,
    connection: Arc<PeerConnection>,
    /// What came and is not with hyper yet. Empty, and without memory, unless a part was not
    /// complete.
    held: Vec<u8>,
    /// Bytes at the start of `held` that hyper may have.
    passed: usize,
    /// Requests that passed, each whole.
    requests: u32,
    fault: Option<FramingFault>,
    /// Bytes that were thrown away at the end.
    discarded: usize,
}

impl<I: AsyncRead + Unpin> Guard<I> {
    pub(super) fn new(io: I, connection: Arc<PeerConnection>) -> Self {
        Self {
            io,
            framing: Framing::new(connection.head_limits()),
            connection,
            held: Vec::new(),
            passed: 0,
            requests: 0,
            fault: None,
            discarded: 0,
        }
    }

    /// Reads into what hyper gave, and takes back what does not pass.
    fn read_in_place(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<Read>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        if came.is_empty() {
            return Poll::Ready(Ok(Read::End));
        }
        let judged = self.framing.judge(came);
        if judged.fault.is_none() {
            let rest = came.get(judged.passed..).unwrap_or_default();
            self.held.extend_from_slice(rest);
        }
        self.judged(&judged);
        buffer.set_filled(before + judged.passed);
        Poll::Ready(Ok(if judged.passed > 0 {
            Read::Passed
        } else {
            Read::Nothing
        }))
    }

    /// Reads behind what is held.
    fn read_behind(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Read>> {
        let before = self.held.len();
        self.held.resize(before + STEP, 0);
        let mut buffer = ReadBuf::new(self.held.get_mut(before..).unwrap_or_default());
        let read = Pin::new(&mut self.io).poll_read(context, &mut buffer);
        let came = buffer.filled().len();
        self.held.truncate(before + came);
        ready!(read)?;
        if came == 0 {
            return Poll::Ready(Ok(Read::End));
        }
        self.judge_held();
        Poll::Ready(Ok(Read::Nothing))
    }

    fn judge_held(&mut self) {
        let judged = self.framing.judge(&self.held);
        self.passed = judged.passed;
        if judged.fault.is_some() {
            self.held.truncate(judged.passed);
        }
        self.judged(&judged);
    }

    fn judged(&mut self, judged: &Judged) {
        let fault = judged.fault;
        if judged.passed > 0 && self.framing.waits_for_answer() {
            self.requests = self.requests.wrapping_add(1);
        }
        self.connection.activity.head_begun(
            fault.is_none() && self.framing.is_in_head() && self.held.len() > self.passed,
        );
        let Some(fault) = fault else { return };
        self.fault = Some(fault);
        self.connection.framing.set_fault(fault);
        if !self.framing.is_in_body() {
            self.held.extend_from_slice(MALFORMED);
            self.passed = self.held.len();
        }
    }

    /// Whether the request that passed last is answered, and if so, whether the connection changes
    /// its protocol.
    fn answer(&self) -> Option<bool> {
        if self.framing.asks_for_upgrade() {
            return self.connection.framing.take_answer();
        }
        let activity = &self.connection.activity;
        let is_answered = activity.requests() == self.requests && !activity.has_exchanges();
        is_answered.then_some(false)
    }

    /// Hands on what passed and had to be held.
    fn take_passed(&mut self, buffer: &mut ReadBuf<'_>) {
        let length = self.passed.min(buffer.remaining());
        buffer.put_slice(self.held.get(..length).unwrap_or_default());
        self.held.drain(..length);
        self.passed -= length;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }
}

enum Read {
    /// hyper's buffer has something.
    Passed,
    Nothing,
    End,
}

impl<I: AsyncRead + Unpin> AsyncRead for Guard<I> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            // What passed and is still held belongs to the request before: a short buffer of hyper
            // may leave the end of its body here, also after its answer.
            if this.passed == 0 && this.framing.waits_for_answer() {
                // For more from the client hyper is woken by the system.
                if !this.held.is_empty() {
                    this.connection.framing.wait(context);
                }
                if let Some(switches) = this.answer() {
                    this.framing.answered(switches);
                    this.judge_held();
                }
            }
            if this.passed > 0 {
                this.take_passed(buffer);
                return Poll::Ready(Ok(()));
            }
            if let Some(fault) = this.fault {
                return if this.framing.is_in_body() {
                    let fault = MalformedBody(fault);
                    Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)))
                } else {
                    // Nothing more is read: the answer closes the connection, which wakes its task.
                    Poll::Pending
                };
            }
            if this.framing.waits_for_answer() && this.held.len() > AHEAD {
                // The answer wakes the task, too.
                return Poll::Pending;
            }
            let read = if this.held.is_empty() {
                ready!(this.read_in_place(context, buffer))?
            } else {
                ready!(this.read_behind(context))?
            };
            match read {
                Read::Passed | Read::End => return Poll::Ready(Ok(())),
                Read::Nothing => {}
            }
        }
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guard<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    /// A system that closes a connection with unread bytes resets it, and the client may lose the
    /// answer. So the rest of a body that nobody wants is read first; [`super::timer`] bounds that.
    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(Pin::new(&mut this.io).poll_shutdown(context))?;
        let is_mid_message = this.fault.is_some() || this.framing.is_in_body();
        if !is_mid_message {
            return Poll::Ready(Ok(()));
        }
        this.connection.activity.lingers();
        this.held.clear();
        this.held.resize(STEP, 0);
        while this.discarded < LINGER {
            let mut buffer = ReadBuf::new(&mut this.held);
            let read = ready!(Pin::new(&mut this.io).poll_read(context, &mut buffer));
            let came = buffer.filled().len();
            if read.is_err() || came == 0 {
                break;
            }
            this.discarded += came;
        }
        Poll::Ready(Ok(()))
    }
}
