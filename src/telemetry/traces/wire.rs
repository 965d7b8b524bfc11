//! Spans as messages of OTLP 1.

use super::span::{AttributeValue, FinishedSpan};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value},
    resource::v1::Resource,
    trace::v1::{
        ResourceSpans, ScopeSpans, Span, SpanFlags, Status, span::SpanKind, status::StatusCode,
    },
};
use prost::Message as _;

/// The flag of W3C Trace Context for a recorded trace.
const SAMPLED: u32 = 1;

/// How many spans the collector rejected. An unreadable body means none.
pub(super) fn rejected(body: &[u8]) -> u64 {
    let partial = ExportTraceServiceResponse::decode(body)
        .ok()
        .and_then(|response| response.partial_success);
    partial
        .and_then(|partial| u64::try_from(partial.rejected_spans).ok())
        .unwrap_or_default()
}

/// The attributes of this program.
pub(super) fn resource(attributes: &[(String, String)]) -> Resource {
    let attributes = attributes
        .iter()
        .map(|(key, value)| pair(key, any_value::Value::StringValue(value.clone())))
        .collect();
    Resource {
        attributes,
        ..Resource::default()
    }
}

/// A whole request, as bytes.
pub(super) fn request(resource: &Resource, spans: Vec<FinishedSpan>) -> Vec<u8> {
    let scope = InstrumentationScope {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..InstrumentationScope::default()
    };
    let scope_spans = ScopeSpans {
        scope: Some(scope),
        spans: spans.into_iter().map(span).collect(),
        ..ScopeSpans::default()
    };
    let resource_spans = ResourceSpans {
        resource: Some(resource.clone()),
        scope_spans: vec![scope_spans],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![resource_spans],
    }
    .encode_to_vec()
}

fn span(span: FinishedSpan) -> Span {
    let mut flags = SAMPLED | SpanFlags::ContextHasIsRemoteMask as u32;
    if span.kind == SpanKind::Server && span.parent.is_some() {
        flags |= SpanFlags::ContextIsRemoteMask as u32;
    }
    let attributes = span.attributes.into_iter().map(|(key, value)| {
        let value = match value {
            AttributeValue::Word(word) => any_value::Value::StringValue(word.to_owned()),
            AttributeValue::Text(text) => any_value::Value::StringValue(text.into()),
            AttributeValue::Number(number) => any_value::Value::IntValue(number),
        };
        pair(key, value)
    });
    Span {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span
            .parent
            .map(|parent| parent.0.to_vec())
            .unwrap_or_default(),
        name: span.name.into(),
        kind: span.kind.into(),
        start_time_unix_nano: span.start,
        end_time_unix_nano: span.end,
        attributes: attributes.collect(),
        status: span.failed.then(|| Status {
            code: StatusCode::Error.into(),
            ..Status::default()
        }),
        flags,
        ..Span::default()
    }
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
