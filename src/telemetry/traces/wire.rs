//! The messages of OTLP 1 that are sent and read, by their numbers in `opentelemetry/proto`. What
//! is never sent is left out.

use super::{Kind, Span, Value};
use prost::Message;

/// The name under which spans say what made them.
const SCOPE: &str = env!("CARGO_PKG_NAME");
/// `StatusCode.STATUS_CODE_ERROR`.
const ERROR: i32 = 2;
/// Trace flags: sampled, and that bit 9 is told.
const SAMPLED: u32 = 0x101;
/// Trace flags: the parent is in another program.
const REMOTE: u32 = 0x200;

/// `ExportTraceServiceRequest`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Request {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

/// Whose spans they are.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<WireSpan>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct WireSpan {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
    #[prost(fixed32, tag = "16")]
    flags: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "Any", tags = "1, 3")]
    value: Option<Any>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Any {
    #[prost(string, tag = "1")]
    Text(String),
    #[prost(int64, tag = "3")]
    Number(i64),
}

/// `ExportTraceServiceResponse`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Response {
    #[prost(message, optional, tag = "1")]
    partial_success: Option<PartialSuccess>,
}

#[derive(Clone, PartialEq, Message)]
struct PartialSuccess {
    #[prost(int64, tag = "1")]
    rejected_spans: i64,
}

impl Response {
    /// How many of the spans the collector has thrown away. A body that is not readable says
    /// nothing.
    pub(super) fn rejected(body: &[u8]) -> u64 {
        let partial = Self::decode(body)
            .ok()
            .and_then(|response| response.partial_success);
        partial
            .and_then(|partial| u64::try_from(partial.rejected_spans).ok())
            .unwrap_or_default()
    }
}

impl Resource {
    pub(super) fn new(attributes: &[(String, String)]) -> Self {
        let attributes = attributes
            .iter()
            .map(|(key, value)| pair(key, Any::Text(value.clone())))
            .collect();
        Self { attributes }
    }
}

/// A whole request, as bytes.
pub(super) fn request(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let scope = Scope {
        name: SCOPE.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let spans = spans.into_iter().map(span).collect();
    let scope_spans = vec![ScopeSpans {
        scope: Some(scope),
        spans,
    }];
    Request {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans,
        }],
    }
    .encode_to_vec()
}

fn span(span: Span) -> WireSpan {
    let (kind, remote) = match span.kind {
        Kind::Server if span.parent.is_some() => (2, REMOTE),
        Kind::Server => (2, 0),
        Kind::Client => (3, 0),
    };
    let attributes = span.attributes.into_iter().map(|(key, value)| {
        let value = match value {
            Value::Word(word) => Any::Text(word.to_owned()),
            Value::Text(text) => Any::Text(text.into()),
            Value::Number(number) => Any::Number(number),
        };
        pair(key, value)
    });
    WireSpan {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span
            .parent
            .map(|parent| parent.0.to_vec())
            .unwrap_or_default(),
        name: span.name.into(),
        kind,
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes.collect(),
        status: span.failed.then_some(Status { code: ERROR }),
        flags: SAMPLED | remote,
    }
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
    }
}
