//! What a line of the access log says, in each form.

use crate::{clock::Timestamp, net::peer::Peer, telemetry::ecs};
use serde_json::{Map, Value};
use std::{fmt::Write as _, time::Duration};

/// The form of the lines (`access_log`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// There is none.
    #[default]
    Off,
    /// For people.
    Text,
    /// One JSON object a line, with the field names of the log.
    Json,
    /// One JSON object a line, with the field names of the Elastic Common Schema.
    Ecs,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestEnd {
    /// The client has the whole answer of the cluster, or its connection became a tunnel.
    Complete,
    /// elastauth answered by itself: a refusal, or the cluster did not answer.
    Refused,
    /// The client left before it had the whole answer.
    ClientGone,
    /// The cluster's answer ended too early.
    Cut,
}

impl RequestEnd {
    /// The one spelling.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::ClientGone => "client_gone",
            Self::Cut => "cut",
        }
    }
}

/// A request of proxy mode, when it is over. No query, no header and no body is in it.
#[derive(Debug, Clone)]
pub struct AccessRecord<'a> {
    /// When it came.
    pub at: Timestamp,
    /// Its id in the log and in the answer to a refusal.
    pub request_id: &'a str,
    pub trace_id: Option<&'a str>,
    pub peer: Peer,
    pub user: Option<&'a str>,
    pub cluster: Option<&'a str>,
    /// The upstream beside the cluster.
    pub upstream: Option<&'a str>,
    pub method: &'a str,
    pub host: Option<&'a str>,
    /// Without its query.
    pub path: &'a str,
    /// Whether method, host or path is cut.
    pub truncated: bool,
    /// `None` if the client left before there was an answer.
    pub status: Option<u16>,
    /// Why a request was refused; the outcomes of docs/STATUS-CODES.md.
    pub outcome: Option<&'a str>,
    /// Bytes of the body of the request that went on to the cluster.
    pub bytes_in: u64,
    /// Bytes of the body of the answer.
    pub bytes_out: u64,
    /// From the first to the last byte.
    pub took: Duration,
    /// Until the head of the cluster's answer was there.
    pub answered_after: Option<Duration>,
    /// The node that answered.
    pub node: Option<&'a str>,
    pub end: RequestEnd,
}

/// A line with its end.
pub(super) fn line(format: Format, record: &AccessRecord<'_>) -> Box<[u8]> {
    let mut line = match format {
        Format::Off => return Box::default(),
        Format::Text => text(record),
        Format::Json => Value::Object(json(record)).to_string(),
        Format::Ecs => Value::Object(ecs(record)).to_string(),
    };
    line.push('\n');
    line.into_bytes().into()
}

/// What is not known is `-`, so that the columns stay where they are.
fn text(record: &AccessRecord<'_>) -> String {
    let mut line = String::with_capacity(256);
    let or_dash = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), escaped);
    let status = record.status.map(|status| status.to_string());
    let _infallible = write!(
        line,
        "{at} {peer} {user} \"{method} {path}{more}\" {status} {end} in={bytes_in} out={bytes_out} \
         ms={took} answer_ms={answered} cluster={cluster} node={node} host={host} id={id}",
        at = record.at,
        peer = record.peer,
        user = or_dash(record.user),
        method = escaped(record.method),
        path = escaped(record.path),
        // No path has a space: what is cut cannot be mistaken for a whole one.
        more = if record.truncated { " …" } else { "" },
        status = status.as_deref().unwrap_or("-"),
        end = record.outcome.unwrap_or(record.end.name()),
        bytes_in = record.bytes_in,
        bytes_out = record.bytes_out,
        took = ms(record.took),
        answered = record
            .answered_after
            .map_or_else(|| "-".to_owned(), |after| ms(after).to_string()),
        cluster = or_dash(record.cluster),
        node = or_dash(record.upstream.or(record.node)),
        host = or_dash(record.host),
        id = escaped(record.request_id),
    );
    line
}

/// Without what could end a column or a line.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' ' => escaped.push_str("\\u{20}"),
            '\'' => escaped.push('\''),
            _ => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}

/// The fields under the names of the log, where those have one.
fn fields(record: &AccessRecord<'_>) -> [(&'static str, Option<Value>); 18] {
    [
        ("user", record.user.map(Value::from)),
        ("peer", Some(record.peer.to_string().into())),
        ("method", Some(record.method.into())),
        ("host", record.host.map(Value::from)),
        ("uri", Some(record.path.into())),
        ("truncated", record.truncated.then(|| true.into())),
        ("status", record.status.map(Value::from)),
        ("outcome", record.outcome.map(Value::from)),
        ("end", Some(record.end.name().into())),
        ("bytes_in", Some(record.bytes_in.into())),
        ("bytes_out", Some(record.bytes_out.into())),
        ("duration_ms", Some(ms(record.took).into())),
        (
            "answer_ms",
            record.answered_after.map(|after| ms(after).into()),
        ),
        ("cluster", record.cluster.map(Value::from)),
        ("upstream", record.upstream.map(Value::from)),
        ("node", record.node.map(Value::from)),
        ("request_id", Some(record.request_id.into())),
        ("trace_id", record.trace_id.map(Value::from)),
    ]
}

fn json(record: &AccessRecord<'_>) -> Map<String, Value> {
    let start = [
        ("@timestamp".to_owned(), record.at.to_string().into()),
        // As in the audit stream, which may go to standard output as well.
        ("event".to_owned(), "access".into()),
    ];
    let fields = fields(record).into_iter();
    let fields = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
    start.into_iter().chain(fields).collect()
}

fn ecs(record: &AccessRecord<'_>) -> Map<String, Value> {
    let nanos = u64::try_from(record.took.as_nanos()).unwrap_or(u64::MAX);
    let start = [
        ("@timestamp", Value::from(record.at.to_string())),
        ("ecs.version", ecs::VERSION.into()),
        ("service.name", env!("CARGO_PKG_NAME").into()),
        ("event.dataset", "elastauth.access".into()),
        ("event.category", "web".into()),
        ("event.duration", nanos.into()),
    ];
    let start = start.map(|(name, value)| (name.to_owned(), value));
    let fields = fields(record).into_iter();
    let fields = fields.filter_map(|(ours, value)| {
        let value = value?;
        Some((ecs::name_of(ours, &value), value))
    });
    start.into_iter().chain(fields).collect()
}

fn ms(time: Duration) -> f64 {
    // Microseconds are as exact as a reader needs it.
    (time.as_secs_f64() * 1_000_000.0).round() / 1_000.0
}
