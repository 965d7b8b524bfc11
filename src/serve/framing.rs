//! Where the messages of an HTTP/1 connection begin and end, judged strictly and before hyper reads
//! them (RFC 9112).
//!
//! hyper takes what a proxy must not: bare line feeds, two lengths, a second `Host`. Whoever is
//! behind might read such a request as two. On a connection of a listener in proxy mode hyper gets
//! only bytes that [`Framing`] has passed: a head, a line with a chunk's size and the trailers pass
//! as a whole or not at all. Where gateways ask, they have judged already, and hyper reads alone.

mod authority;
mod chunks;
mod head;
mod lines;
mod multiplexed;
mod slot;
mod types;

use chunks::{Chunks, Part};
use head::Head;
pub(super) use multiplexed::judge as judge_multiplexed;
pub(super) use slot::FramingSlot;
use types::Body;
pub(super) use types::{FramingFault, HeadLimits, MalformedBody};

#[cfg(test)]
mod tests;

/// The first bytes of an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is known of a connection from the bytes that came.
#[derive(Debug)]
pub(super) struct Framing {
    limits: HeadLimits,
    next: Next,
    /// The request that is being read asks for an upgrade.
    asks_for_upgrade: bool,
}

#[derive(Debug)]
enum Next {
    /// The first byte of the connection.
    First,
    Head(Head),
    Sized(u64),
    Chunked(Chunks),
    /// The request is whole. One at a time passes, and the answer to one that asks for an upgrade
    /// says what the next bytes are.
    Answer,
    /// HTTP/2 and tunnels, which are not framed here.
    Anything,
}

/// What may be passed on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Judged {
    /// So many bytes from the start. The others are judged again, with those that come behind them.
    pub(super) passed: usize,
    /// What is wrong with the bytes behind those.
    pub(super) fault: Option<FramingFault>,
}

impl Framing {
    pub(super) fn new(limits: HeadLimits) -> Self {
        Self {
            limits,
            next: Next::First,
            asks_for_upgrade: false,
        }
    }

    /// Judges `bytes`, which begin with the first one that was not passed. After a fault nothing
    /// may be judged any more.
    pub(super) fn judge(&mut self, bytes: &[u8]) -> Judged {
        let mut passed = 0;
        loop {
            let (_, rest) = lines::split(bytes, passed);
            match self.part(rest) {
                Ok(Some(length)) => passed += length,
                Ok(None) => {
                    return Judged {
                        passed,
                        fault: None,
                    };
                }
                Err(fault) => {
                    let fault = Some(fault);
                    return Judged { passed, fault };
                }
            }
        }
    }

    /// The length of the next part, if there is one and it is complete.
    fn part(&mut self, bytes: &[u8]) -> Result<Option<usize>, FramingFault> {
        if bytes.is_empty() {
            return Ok(None);
        }
        match &mut self.next {
            Next::First => {
                if bytes.starts_with(PREFACE) {
                    self.next = Next::Anything;
                } else if !PREFACE.starts_with(bytes) {
                    self.next = Next::Head(Head::default());
                } else {
                    return Ok(None);
                }
                Ok(Some(0))
            }
            Next::Head(head) => {
                let Some(whole) = head.judge(bytes, self.limits)? else {
                    return Ok(None);
                };
                self.asks_for_upgrade = whole.asks_for_upgrade;
                self.next = match whole.body {
                    Body::Sized(0) => Next::Answer,
                    Body::Sized(length) => Next::Sized(length),
                    Body::Chunked => Next::Chunked(Chunks::default()),
                };
                Ok(Some(whole.length))
            }
            Next::Sized(left) => {
                let here = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= here as u64;
                if *left == 0 {
                    self.next = Next::Answer;
                }
                Ok(Some(here))
            }
            Next::Chunked(chunks) => Ok(match chunks.judge(bytes)? {
                None => None,
                Some(Part::Some(length)) => Some(length),
                Some(Part::Last(length)) => {
                    self.next = Next::Answer;
                    Some(length)
                }
            }),
            Next::Answer => Ok(None),
            Next::Anything => Ok(Some(bytes.len())),
        }
    }

    /// The request that passed last has its answer. Bytes that came already are judged next.
    pub(super) fn answered(&mut self, switches: bool) {
        if let Next::Answer = self.next {
            self.next = if switches {
                Next::Anything
            } else {
                Next::Head(Head::default())
            };
        }
    }

    /// Whether a head has begun, or may begin with the next byte.
    pub(super) fn is_in_head(&self) -> bool {
        matches!(self.next, Next::First | Next::Head(_))
    }

    pub(super) fn waits_for_answer(&self) -> bool {
        matches!(self.next, Next::Answer)
    }

    /// Whether the request that passed last may change the protocol.
    pub(super) fn asks_for_upgrade(&self) -> bool {
        self.asks_for_upgrade
    }

    /// Whether the next byte belongs to a body, so that a fault cuts it.
    pub(super) fn is_in_body(&self) -> bool {
        matches!(self.next, Next::Sized(_) | Next::Chunked(_))
    }
}
