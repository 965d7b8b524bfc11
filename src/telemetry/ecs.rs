//! Lines of the log with the field names of the Elastic Common Schema, so that Filebeat and Elastic
//! Agent need no pipeline for them.
//!
//! Names are written flat with dots (`"user.name"`), as Elastic's own logging libraries do;
//! Elasticsearch reads them as objects.

use crate::clock::Clock;
use serde_json::{Map, Value};
use std::{
    fmt::{self, Debug},
    net::IpAddr,
};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// The version of the schema whose names these are. None of them has changed since 1.x.
pub(super) const VERSION: &str = "8.17.0";

/// Writes one object a line.
#[derive(Debug, Default)]
pub(super) struct Lines {
    clock: Clock,
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut fields = EcsFields(Map::from_iter([
            ("@timestamp".to_owned(), self.clock.now().to_string().into()),
            (
                "log.level".to_owned(),
                metadata.level().as_str().to_ascii_lowercase().into(),
            ),
            ("ecs.version".to_owned(), VERSION.into()),
            ("service.name".to_owned(), env!("CARGO_PKG_NAME").into()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").into(),
            ),
            ("event.dataset".to_owned(), "elastauth.log".into()),
            ("log.logger".to_owned(), metadata.target().into()),
        ]));
        event.record(&mut fields);
        writeln!(writer, "{}", Value::Object(fields.0))
    }
}

/// The name that the schema has for one of ours. Without one the field gets our own prefix, where
/// no later version can collide with it.
fn name(ours: &str) -> String {
    let theirs = match ours {
        "message" => "message",
        "code" => "event.code",
        "outcome" | "reason" => "event.reason",
        "status" => "http.response.status_code",
        "user" => "user.name",
        "roles" => "user.roles",
        "peer" => "source.ip",
        "method" => "http.request.method",
        "host" => "url.domain",
        "uri" => "url.path",
        "request_id" => "http.request.id",
        "trace_id" => "trace.id",
        "error" => "error.message",
        "node" => "server.address",
        "version" => "service.version",
        "bytes_in" => "http.request.body.bytes",
        "bytes_out" => "http.response.body.bytes",
        other => return format!("elastauth.{other}"),
    };
    theirs.to_owned()
}

/// The same, for a field with this value.
pub(super) fn name_of(ours: &str, value: &Value) -> String {
    let name = name(ours);
    // The field has the type `ip`: with the `unix` of a socket's peer, Elasticsearch would refuse
    // the whole line.
    let is_ip = |text: &str| text.parse::<IpAddr>().is_ok();
    if name == "source.ip" && !value.as_str().is_some_and(is_ip) {
        return "source.address".to_owned();
    }
    name
}

struct EcsFields(Map<String, Value>);

impl EcsFields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(name_of(field.name(), &value), value);
    }
}

impl Visit for EcsFields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}
