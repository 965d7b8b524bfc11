//! A finished span, as it waits in the queue.

use super::context::{SpanId, TraceId};

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request that elastauth answers.
    Server,
    /// A call that elastauth makes.
    Client,
}

/// The value of an attribute. Only [`Value::Text`] is open: whoever makes one is responsible for
/// what is in it.
#[derive(Debug)]
pub(super) enum Value {
    Word(&'static str),
    Text(Box<str>),
    Number(i64),
}

/// The attributes of a span, by the names of the semantic conventions of OpenTelemetry.
pub(super) type Attributes = Vec<(&'static str, Value)>;

/// A finished span. Times are nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct Span {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: Kind,
    pub(super) name: Box<str>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Attributes,
    pub(super) failed: bool,
}
