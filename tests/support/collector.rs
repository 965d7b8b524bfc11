//! A collector of traces on a real socket, in the mood that a test wants.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Good,
    /// With this status.
    Says(u16),
    /// With this status and the wish to be asked again at once, the first time; then well.
    Once(u16),
    /// Well, but for so many spans of each batch.
    Rejects(i64),
    /// It reads and never answers.
    Hangs,
    /// Nobody listens.
    Away,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct Got {
    pub(crate) path: String,
    headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Got {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn message(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.clone()).expect("a message of the protocol")
    }

    pub(crate) fn resource(&self) -> Vec<KeyValue> {
        self.message()
            .resource_spans
            .remove(0)
            .resource
            .expect("a resource")
            .attributes
    }
}

#[derive(Debug, Default)]
struct Seen {
    connections: usize,
    got: Vec<Got>,
}

#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Seen>>,
    /// Ends with the value.
    _serving: JoinSet<()>,
}

impl Collector {
    pub(crate) async fn start(mood: Mood) -> Self {
        Self::start_with(mood, None).await
    }

    /// One that speaks TLS.
    pub(crate) async fn start_tls(server: Arc<rustls::ServerConfig>) -> Self {
        Self::start_with(Mood::Good, Some(TlsAcceptor::from(server))).await
    }

    async fn start_with(mood: Mood, tls: Option<TlsAcceptor>) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Where it is away, nobody else may get its port.
        let listener = super::ports::listener().await;
        let (address, seen) = (
            listener.local_addr().expect("its address"),
            Arc::<Mutex<Seen>>::default(),
        );
        let mut serving = JoinSet::new();
        if mood != Mood::Away {
            serving.spawn(serve(listener, tls, mood, Arc::clone(&seen)));
        }
        Self {
            address,
            scheme,
            seen,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().expect("what was seen").connections
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.seen.lock().expect("what was seen").got.clone()
    }

    /// All spans so far, in the order in which they have begun.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let scopes = self
            .got()
            .into_iter()
            .flat_map(|got| got.message().resource_spans)
            .flat_map(|spans| spans.scope_spans);
        let mut spans: Vec<Span> = scopes.flat_map(|scope| scope.spans).collect();
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }
}

async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mood: Mood,
    seen: Arc<Mutex<Seen>>,
) {
    let mut open = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        seen.lock().expect("what was seen").connections += 1;
        let (seen, tls) = (Arc::clone(&seen), tls.clone());
        open.spawn(async move {
            let answer = service_fn(|request| answer(request, mood, &seen));
            let _closed = match tls {
                None => {
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await
                }
                Some(tls) => match tls.accept(stream).await {
                    Ok(stream) => {
                        http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), answer)
                            .await
                    }
                    Err(_refused) => return,
                },
            };
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    mood: Mood,
    seen: &Mutex<Seen>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    let first = {
        let mut seen = seen.lock().expect("what was seen");
        seen.got.push(Got {
            path: head.uri.to_string(),
            headers: head.headers,
            body,
        });
        seen.got.len() == 1
    };
    let rejected_spans = if let Mood::Rejects(spans) = mood {
        spans
    } else {
        0
    };
    let partial_success = Some(ExportTracePartialSuccess {
        rejected_spans,
        error_message: String::new(),
    });
    let mut response = Response::new(Full::from(
        ExportTraceServiceResponse { partial_success }.encode_to_vec(),
    ));
    match mood {
        Mood::Hangs => std::future::pending().await,
        Mood::Once(status) if first => {
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("0"));
        }
        Mood::Says(status) => {
            *response.status_mut() = StatusCode::from_u16(status).expect("a status");
        }
        Mood::Good | Mood::Once(_) | Mood::Rejects(_) | Mood::Away => {}
    }
    Ok(response)
}

/// The value of an attribute, as text.
pub(crate) fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let mut found = attributes.iter().filter(|pair| pair.key == key);
    let value = found.next()?.value.as_ref()?.value.clone()?;
    assert!(found.next().is_none(), "{key} stands twice");
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "there is nothing else in our spans"
    )]
    match value {
        Value::StringValue(text) => Some(text),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}
