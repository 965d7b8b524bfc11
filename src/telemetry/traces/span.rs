//! A finished span, as it waits in the queue.

use super::context::{SpanId, TraceId};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;

/// The value of an attribute. Only [`AttributeValue::Text`] is open: the code that makes one is
/// responsible for what is in it.
#[derive(Debug)]
pub(super) enum AttributeValue {
    Word(&'static str),
    Text(Box<str>),
    Number(i64),
}

/// An attribute of a span, by its name in the semantic conventions of OpenTelemetry.
pub(super) type Attribute = (&'static str, AttributeValue);

/// A finished span. Times are nanoseconds since 1970.
#[derive(Debug)]
pub(super) struct FinishedSpan {
    pub(super) trace: TraceId,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: SpanKind,
    pub(super) name: Box<str>,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) attributes: Vec<Attribute>,
    pub(super) failed: bool,
}
