//! What an attack is, and what came of it.

use crate::{draft::Draft, gateway::Form, stage::Stage};
use futures_util::future::LocalBoxFuture;

/// A row of the document. It is sent by somebody who is signed in, as `alice`, and by somebody who
/// is not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attack {
    /// What is sent, as the document shows it.
    pub(crate) name: &'static str,
    pub(crate) sent: Sent,
    pub(crate) must: Must,
    pub(crate) forms: &'static [Form],
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Sent {
    /// More header lines, over HTTP/1.1 and HTTP/2.
    Lines(&'static [&'static str]),
    /// A changed request, over HTTP/1.1.
    Draft(fn(&mut Draft)),
    /// The same, over HTTP/1.1 and HTTP/2.
    Both(fn(&mut Draft)),
    /// More than one request.
    Steps(for<'a> fn(&'a Stage) -> LocalBoxFuture<'a, Outcome>),
}

/// What has to come of it when `alice` sends it. From somebody who is not signed in nothing ever
/// arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Must {
    /// It is a request of `alice` without the claims, or refused.
    BeHarmless,
    /// It is refused.
    BeRefused,
    /// It is a request of `alice`: what is no attack has to work.
    Work,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It arrived as a request of `alice`, without any claim.
    AsAlice,
    /// It arrived as a request of `alice` at the application that elastauth has nothing to do with.
    AtTheWiki,
    /// What takes several requests ended as it has to.
    Works(&'static str),
    /// Nothing arrived; the answer was the gateway's or elastauth's, with this status.
    Refused(u16),
    /// Nothing arrived, and the connection was closed without an answer.
    Closed,
    /// Nothing arrived, and no answer came.
    Silent,
    /// What must not be.
    Breach(String),
}

impl Outcome {
    pub(crate) fn is_allowed(&self, must: Must) -> bool {
        match self {
            Self::AsAlice | Self::Works(_) => must != Must::BeRefused,
            Self::AtTheWiki => must == Must::BeHarmless,
            Self::Refused(_) | Self::Closed | Self::Silent => must != Must::Work,
            Self::Breach(_) => false,
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AsAlice => f.write_str("as alice"),
            Self::AtTheWiki => f.write_str("at the wiki as alice"),
            Self::Works(how) => f.write_str(how),
            Self::Refused(status @ ..300) => write!(f, "{status} of its own"),
            Self::Refused(status) => write!(f, "{status}"),
            Self::Closed => f.write_str("closed"),
            Self::Silent => f.write_str("no answer"),
            Self::Breach(what) => f.write_str(what),
        }
    }
}
